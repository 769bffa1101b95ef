"""What is known about patchify: laws, probes, mistakes and dialects."""

import numpy as np

from refimpl.op import Edit, Law, Op, Probe
from refimpl.ops.common import sines
from refimpl.ops.patch_embedding import reference as text
from refimpl.ops.patch_embedding.spec.shared import grid_transposed, squares


def patchify_equation(f, images, patch):
    B, channels, _, _ = images.shape
    flat = [np.reshape(x, (B, channels * patch * patch)) for x in squares(images, patch)]
    yield f(images, patch), np.stack(flat, axis=1)


def patchify_inverse(f, images, patch):
    _, channels, height, _ = images.shape
    yield text.unpatchify(f(images, patch), patch, height // patch, channels), images


def patchify_single_pixels(f, images, patch):
    B, channels, height, width = images.shape
    yield f(images, 1), np.swapaxes(np.reshape(images, (B, channels, height * width)), 1, 2)


def patchify_one_channel(f, images, patch):
    area = patch * patch
    last = images.shape[1] - 1
    yield f(images[:, last:], patch), f(images, patch)[:, :, last * area :]


def patchify_transposed(f, images, patch):
    B, channels, _, width = images.shape
    turned = grid_transposed(f(np.swapaxes(images, 2, 3), patch), width // patch)
    pixels = (B, turned.shape[1], channels, patch, patch)
    turned = np.swapaxes(np.reshape(turned, pixels), 3, 4)
    yield np.reshape(turned, (*pixels[:2], channels * patch * patch)), f(images, patch)


def patchify_upper_part(f, images, patch):
    _, _, height, width = images.shape
    if height > patch:
        yield f(images[:, :, :patch], patch), f(images, patch)[:, : width // patch]


PATCHIFY = Op(
    text.patchify,
    laws=(
        Law("a patch is a square of the image, flattened", patchify_equation),
        Law("unpatchify puts the image together again", patchify_inverse),
        Law("patches of one pixel are the pixels in reading order", patchify_single_pixels),
        Law("the last channel fills the last columns", patchify_one_channel),
        Law("transposing the image transposes grid and pixels", patchify_transposed),
        Law("the first row of patches is the upper edge of the image", patchify_upper_part),
    ),
    probes=(
        Probe(
            "two channels, two rows, three columns",
            lambda: {"images": sines(1, 2, 4, 6), "patch": 2},
        ),
        Probe("a single patch", lambda: {"images": sines(1, 2, 2, 2), "patch": 2}),
        Probe(
            "a different constant on every patch",
            lambda: {
                "images": np.kron(np.arange(12.0).reshape(1, 2, 2, 3), np.ones((3, 3))),
                "patch": 3,
            },
        ),
    ),
    mistakes=(
        Edit(
            "patchify/mixed-channels",
            "reshapes after unfolding without moving the channel axis behind the grid",
            "(0, 2, 4, 1, 3, 5)",
            "(0, 1, 2, 4, 3, 5)",
            effect="a token holds pieces of several patches of one channel",
            source="https://github.com/gupta-abhay/pytorch-vit/issues/7",
            invisible_when="there is one channel, or one patch",
        ),
        Edit(
            "patchify/column-major-grid",
            "counts the patches column by column",
            "(0, 2, 4, 1, 3, 5)",
            "(0, 4, 2, 1, 3, 5)",
            effect="tokens get the positions of the transposed grid",
            source="https://github.com/MIC-DKFZ/dynamic-network-architectures/pull/13",
            invisible_when="the grid has one row or one column",
        ),
        Edit(
            "patchify/no-transpose",
            "reshapes without moving axes",
            "np.transpose(grid, (0, 2, 4, 1, 3, 5))",
            "grid",
            effect="a token is a run of consecutive pixels of the image, not a square",
            invisible_when="there is one patch, or one channel and one column",
        ),
        Edit(
            "patchify/count-for-size",
            "takes the number of patches per side for the side of a patch",
            "(B, channels, rows, patch, cols, patch)",
            "(B, channels, patch, rows, patch, cols)",
            effect="the image is cut into P × P patches of the wrong size",
            source="https://github.com/BrianPulfer/PapersReimplementations/issues/3",
            invisible_when="an image has as many patches a side as a patch has pixels",
        ),
        Edit(
            "patchify/height-and-width-swapped",
            "reads the height as the width",
            "(B, channels, rows, patch, cols, patch)",
            "(B, channels, cols, patch, rows, patch)",
            effect="rows of pixels wrap at the wrong place",
            source="https://github.com/ageron/handson-mlp/pull/17",
            invisible_when="the image is square",
        ),
        Edit(
            "patchify/transposed-pixels",
            "flattens each patch column by column",
            "(0, 2, 4, 1, 3, 5)",
            "(0, 2, 4, 1, 5, 3)",
            effect="weights multiply pixels of the transposed patch",
            invisible_when="a patch is one pixel, or symmetric",
        ),
    ),
    dialects=(
        Edit(
            "patchify/channels-last",
            "flattens each patch as (row, column, channel): Flax kernels, MAE, vit-pytorch",
            "(0, 2, 4, 1, 3, 5)",
            "(0, 2, 4, 3, 5, 1)",
            effect="equal after a permutation of the columns of the weight",
            source="https://github.com/lucidrains/vit-pytorch/issues/184",
            invisible_when="there is one channel, or a patch is one pixel",
        ),
    ),
)
