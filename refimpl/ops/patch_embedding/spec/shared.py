"""What the specifications of patch embedding share."""

import numpy as np

from refimpl.constants import constant


def squares(images, patch):
    """The patches as small images, in reading order."""
    _, _, height, width = images.shape
    return [
        images[:, :, top : top + patch, left : left + patch]
        for top in range(0, height, patch)
        for left in range(0, width, patch)
    ]


def grid_transposed(tokens, rows):
    """Tokens in the order of columns instead of rows."""
    B, N, D = tokens.shape
    grid = np.reshape(tokens, (B, rows, N // rows, D))
    return np.reshape(np.swapaxes(grid, 1, 2), (B, N, D))


def geometric_frequencies(like, half):
    """The frequencies 1, r, r², … as running products of r = 10000^(-1/E)."""
    ratio = np.exp(-np.log(constant(10000, like)) / half)
    steps = np.concatenate((np.ones(1), ratio * np.ones(half - 1)))
    return np.cumprod(steps)
