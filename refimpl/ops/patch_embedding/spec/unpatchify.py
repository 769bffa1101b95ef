"""What is known about unpatchify: laws, probes, mistakes and dialects."""

import numpy as np

from refimpl.op import Edit, Law, Op, Probe
from refimpl.ops.common import sines
from refimpl.ops.patch_embedding import reference as text


def unpatchify_equation(f, patches, patch, rows, channels):
    B, N, _ = patches.shape
    cols = N // rows
    pixels = np.reshape(patches, (B, N, channels, patch, patch))
    bands = [
        np.concatenate([pixels[:, row * cols + col] for col in range(cols)], axis=3)
        for row in range(rows)
    ]
    yield f(patches, patch, rows, channels), np.concatenate(bands, axis=2)


def unpatchify_inverse(f, patches, patch, rows, channels):
    yield text.patchify(f(patches, patch, rows, channels), patch), patches


def unpatchify_first_patch(f, patches, patch, rows, channels):
    corner = f(patches, patch, rows, channels)[:, :, :patch, :patch]
    yield f(patches[:, :1], patch, 1, channels), corner


def unpatchify_one_channel(f, patches, patch, rows, channels):
    area = patch * patch
    last = channels - 1
    whole = f(patches, patch, rows, channels)
    yield f(patches[:, :, last * area :], patch, rows, 1), whole[:, last:]


def unpatchify_one_row(f, patches, patch, rows, channels):
    cols = patches.shape[1] // rows
    whole = f(patches, patch, rows, channels)
    yield f(patches[:, -cols:], patch, 1, channels), whole[:, :, -patch:]


def unpatchify_reversed_rows(f, patches, patch, rows, channels):
    B, N, width = patches.shape
    grid = np.reshape(patches, (B, rows, N // rows, width))[:, ::-1]
    upside_down = f(np.reshape(grid, (B, N, width)), patch, rows, channels)
    whole = f(patches, patch, rows, channels)
    yield upside_down[:, :, :patch], whole[:, :, (rows - 1) * patch :]


UNPATCHIFY = Op(
    text.unpatchify,
    laws=(
        Law("patches joined along rows and columns are the image", unpatchify_equation),
        Law("patchify takes the image apart again", unpatchify_inverse),
        Law("the first patch is the upper left corner", unpatchify_first_patch),
        Law("the last columns are the last channel", unpatchify_one_channel),
        Law("the last row of patches is the lower edge", unpatchify_one_row),
        Law("rows of patches in reverse put the last one on top", unpatchify_reversed_rows),
    ),
    probes=(
        Probe(
            "two channels, two rows, three columns",
            lambda: {"patches": sines(1, 6, 8), "patch": 2, "rows": 2, "channels": 2},
        ),
        Probe(
            "a grid of one column, four rows",
            lambda: {"patches": sines(1, 4, 8), "patch": 2, "rows": 4, "channels": 2},
        ),
        Probe(
            "a single patch of three channels",
            lambda: {"patches": sines(1, 1, 12), "patch": 2, "rows": 1, "channels": 3},
        ),
    ),
    mistakes=(
        Edit(
            "unpatchify/patches-end-to-end",
            "does not move the columns of the grid next to the columns of the patch",
            "(0, 3, 1, 4, 2, 5)",
            "(0, 3, 1, 2, 4, 5)",
            effect="every patch is smeared over a band of the image",
            invisible_when="the grid has one column, or a patch is one pixel",
        ),
        Edit(
            "unpatchify/column-major-grid",
            "fills the grid column by column",
            "(B, rows, cols, channels, patch, patch))\n"
            "    grid = np.transpose(grid, (0, 3, 1, 4, 2, 5))",
            "(B, cols, rows, channels, patch, patch))\n"
            "    grid = np.transpose(grid, (0, 3, 2, 4, 1, 5))",
            effect="patches stand at the transposed place",
            invisible_when="the grid has one row or one column",
        ),
        Edit(
            "unpatchify/rows-and-columns-swapped",
            "reads the grid with rows and columns exchanged",
            "(B, rows, cols, channels, patch, patch)",
            "(B, cols, rows, channels, patch, patch)",
            effect="rows of patches wrap at the wrong place",
            invisible_when="the grid is square",
        ),
        Edit(
            "unpatchify/square-grid",
            "takes the grid to be square",
            "cols = N // max(rows, 1)",
            "rows = cols = int(N**0.5)",
            effect="four patches in a row come back as a square image; most other grids raise",
            invisible_when="the grid is square",
        ),
        Edit(
            "unpatchify/transposed-pixels",
            "reads each patch column by column",
            "(0, 3, 1, 4, 2, 5)",
            "(0, 3, 1, 5, 2, 4)",
            effect="every patch is mirrored at its diagonal",
            invisible_when="a patch is one pixel, or symmetric",
        ),
        Edit(
            "unpatchify/channels-before-grid",
            "reads the channel axis in front of the grid, as an unfolding leaves it",
            "(B, rows, cols, channels, patch, patch))\n"
            "    grid = np.transpose(grid, (0, 3, 1, 4, 2, 5))",
            "(B, channels, rows, cols, patch, patch))\n"
            "    grid = np.transpose(grid, (0, 1, 2, 4, 3, 5))",
            effect="pieces of one patch land in different channels and places",
            invisible_when="there is one channel, or one patch",
        ),
    ),
    dialects=(
        Edit(
            "unpatchify/channels-last",
            "reads each patch as (row, column, channel): MAE, DiT",
            "(B, rows, cols, channels, patch, patch))\n"
            "    grid = np.transpose(grid, (0, 3, 1, 4, 2, 5))",
            "(B, rows, cols, patch, patch, channels))\n"
            "    grid = np.transpose(grid, (0, 5, 1, 3, 2, 4))",
            effect="not the inverse of a patchify that puts the channel first",
            source="https://github.com/cloneofsimo/minRF/issues/6",
            invisible_when="there is one channel, or a patch is one pixel",
        ),
    ),
)
