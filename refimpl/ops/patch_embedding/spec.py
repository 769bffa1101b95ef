"""What is known about patch embedding: laws, probes, mistakes and dialects."""

import numpy as np

from refimpl.constants import constant
from refimpl.gradients import LINEAR_IN_GRAD
from refimpl.op import Edit, Law, Op, Probe, values
from refimpl.ops.patch_embedding import reference as text


def waves(*shape):
    """Numbers that anyone can write down again: the sines of 1, 2, 3, …"""
    return np.sin(np.arange(1, np.prod(shape) + 1)).reshape(shape)


def half_waves(*shape):
    """Half the cosines of 1, 2, 3, …"""
    return np.cos(np.arange(1, np.prod(shape) + 1)).reshape(shape) / 2


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


# ------------------------------------------------------------------------------------- patchify


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
            lambda: {"images": waves(1, 2, 4, 6), "patch": 2},
        ),
        Probe("a single patch", lambda: {"images": waves(1, 2, 2, 2), "patch": 2}),
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
            "flattens straight after unfolding, the channel axis still in front of the grid",
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
            effect="tokens meet the positions of the transposed grid",
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
            "takes the number of patches for the side of a patch",
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
            effect="rows of pixels break at the wrong place",
            source="https://github.com/ageron/handson-mlp/pull/17",
            invisible_when="the image is square",
        ),
        Edit(
            "patchify/transposed-pixels",
            "flattens each patch column by column",
            "(0, 2, 4, 1, 3, 5)",
            "(0, 2, 4, 1, 5, 3)",
            effect="weights meet the pixels of the transposed patch",
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


# ----------------------------------------------------------------------------------- unpatchify


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
            lambda: {"patches": waves(1, 6, 8), "patch": 2, "rows": 2, "channels": 2},
        ),
        Probe(
            "a grid of one column, four rows",
            lambda: {"patches": waves(1, 4, 8), "patch": 2, "rows": 4, "channels": 2},
        ),
        Probe(
            "a single patch of three channels",
            lambda: {"patches": waves(1, 1, 12), "patch": 2, "rows": 1, "channels": 3},
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
            effect="bands of patches break at the wrong place",
            invisible_when="the grid is square",
        ),
        Edit(
            "unpatchify/square-grid",
            "takes the grid to be square",
            "cols = N // max(rows, 1)",
            "rows = cols = int(N**0.5)",
            effect="four patches in a row come back as a square image; other grids fail",
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


# ---------------------------------------------------------------------------------- patch_embed


def patch_embed_equation(f, images, weight, bias):
    products = [
        np.sum(square[:, None] * weight, axis=(2, 3, 4))
        for square in squares(images, weight.shape[2])
    ]
    tokens = np.stack(products, axis=1)
    yield f(images, weight, bias), tokens if bias is None else tokens + bias


def patch_embed_delta_kernels(f, images, weight, bias):
    _, channels, patch, _ = weight.shape
    width = channels * patch * patch
    deltas = np.reshape(np.eye(width), (width, channels, patch, patch))
    yield f(images, deltas, None), text.patchify(images, patch)


def patch_embed_channels_add_up(f, images, weight, bias):
    if images.shape[1] > 1:
        first = f(images[:, :1], weight[:, :1], bias)
        rest = f(images[:, 1:], weight[:, 1:], None)
        yield first + rest, f(images, weight, bias)


def patch_embed_black_image(f, images, weight, bias):
    tokens = f(images, weight, bias)
    nothing = 0 * tokens
    yield f(0 * images, weight, bias), nothing if bias is None else nothing + bias


def patch_embed_transposed(f, images, weight, bias):
    turned = f(np.swapaxes(images, 2, 3), np.swapaxes(weight, 2, 3), bias)
    rows = images.shape[3] // weight.shape[2]
    yield grid_transposed(turned, rows), f(images, weight, bias)


def patch_embed_mirrored(f, images, weight, bias):
    mirrored = f(images[:, :, ::-1, ::-1], weight[:, :, ::-1, ::-1], bias)
    yield mirrored[:, ::-1], f(images, weight, bias)


PATCH_EMBED = Op(
    text.patch_embed,
    laws=(
        Law("every token is the sum of a square times a kernel", patch_embed_equation),
        Law("kernels with a single one give the patches themselves", patch_embed_delta_kernels),
        Law("the channels contribute one by one", patch_embed_channels_add_up),
        Law("a black image gives the bias", patch_embed_black_image),
        Law("image and kernels transposed give the grid transposed", patch_embed_transposed),
        Law("image and kernels turned by half give the tokens reversed", patch_embed_mirrored),
    ),
    probes=(
        Probe(
            "sines and cosines, a grid of two by two",
            lambda: {
                "images": waves(1, 1, 4, 4),
                "weight": half_waves(3, 1, 2, 2),
                "bias": half_waves(3),
            },
        ),
        Probe(
            "three channels, a grid of two by three, a large bias",
            lambda: {
                "images": waves(2, 3, 4, 6),
                "weight": half_waves(4, 3, 2, 2),
                "bias": np.array([3.0, -2.0, 1.0, 5.0]),
            },
        ),
        Probe(
            "a ramp, and kernels that each look at one pixel",
            lambda: {
                "images": np.arange(24.0).reshape(1, 1, 4, 6) / 8,
                "weight": np.eye(4).reshape(4, 1, 2, 2),
                "bias": None,
            },
        ),
    ),
    mistakes=(
        Edit(
            "patch_embed/flipped-kernel",
            "convolves in the sense of mathematics, the kernel turned by half",
            "np.reshape(weight, (D",
            "np.reshape(weight[:, :, ::-1, ::-1], (D",
            effect="features of the wrong pixels",
            invisible_when="a patch is one pixel, or the kernels are symmetric",
        ),
        Edit(
            "patch_embed/transposed-kernel",
            "reads the kernel as (column, row)",
            "np.reshape(weight, (D",
            "np.reshape(np.swapaxes(weight, 2, 3), (D",
            effect="features of the transposed patch",
            invisible_when="a patch is one pixel, or the kernels are symmetric",
        ),
        Edit(
            "patch_embed/channels-last-weight",
            "flattens the kernel as (row, column, channel), the patch as (channel, row, column)",
            "np.reshape(weight, (D",
            "np.reshape(np.transpose(weight, (0, 2, 3, 1)), (D",
            effect="weights meet the pixels of other channels",
            invisible_when="there is one channel, or a patch is one pixel",
        ),
        Edit(
            "patch_embed/no-bias",
            "drops the bias, as is right for CLIP only",
            "patch * patch)), bias)",
            "patch * patch)), None)",
            effect="every patch token is shifted by a constant, the class token is not",
            invisible_when="the bias is zero",
        ),
        Edit(
            "patch_embed/padded",
            "pads the image at the top and at the left",
            "patchify(images, patch)",
            "patchify(np.pad(images, ((0, 0), (0, 0), (1, 0), (1, 0)))[:, :, :-1, :-1], patch)",
            effect="the grid is shifted, the last rows and columns of pixels are lost",
            source="https://github.com/ViTAE-Transformer/ViTPose/issues/125",
            invisible_when="the image is black",
        ),
        Edit(
            "patch_embed/reversed-channels",
            "reads blue, green, red for red, green, blue",
            "patchify(images, patch)",
            "patchify(images[:, ::-1], patch)",
            effect="features of a picture in the wrong colours",
            invisible_when="the picture is grey",
        ),
        Edit(
            "patch_embed/mixed-channels",
            "flattens straight after unfolding, the channel axis still in front of the grid",
            "(0, 2, 4, 1, 3, 5)",
            "(0, 1, 2, 4, 3, 5)",
            where="patchify",
            effect="a token holds pieces of several patches of one channel",
            source="https://github.com/gupta-abhay/pytorch-vit/issues/7",
            invisible_when="there is one channel, or one patch",
        ),
        Edit(
            "patch_embed/column-major-grid",
            "counts the patches column by column",
            "(0, 2, 4, 1, 3, 5)",
            "(0, 4, 2, 1, 3, 5)",
            where="patchify",
            effect="tokens meet the positions of the transposed grid",
            source="https://github.com/MIC-DKFZ/dynamic-network-architectures/pull/13",
            invisible_when="the grid has one row or one column",
        ),
    ),
)


# ------------------------------------------------------------------------------ patch_embed_vjp


def patch_embed_vjp_equation(f, images, weight, grad):
    patch = weight.shape[2]
    images_grad, weight_grad, bias_grad = f(images, weight, grad)
    pulled = [
        np.sum(grad[:, n, :, None, None, None] * weight, axis=1) for n in range(grad.shape[1])
    ]
    yield np.stack(squares(images_grad, patch)), np.stack(pulled)
    if len(images):
        seen = np.stack(squares(images, patch), axis=1)[:, :, None]
        yield weight_grad, np.sum(grad[..., None, None, None] * seen, axis=(0, 1))
    yield bias_grad, np.sum(grad, axis=(0, 1))


def patch_embed_vjp_adjoint(f, images, weight, grad):
    turned, other = images[:, :, ::-1], weight[::-1]
    images_grad, weight_grad, _ = f(images, weight, grad)
    yield np.sum(images_grad * turned), np.sum(grad * text.patch_embed(turned, weight, None))
    yield np.sum(weight_grad * other), np.sum(grad * text.patch_embed(images, other, None))


def patch_embed_vjp_delta_kernels(f, images, weight, grad):
    _, channels, patch, _ = weight.shape
    width = channels * patch * patch
    deltas = np.reshape(np.eye(width), (width, channels, patch, patch))
    yield f(images, deltas, text.patchify(images, patch))[0], images


def patch_embed_vjp_channels_apart(f, images, weight, grad):
    images_grad, weight_grad, _ = f(images, weight, grad)
    first = f(images[:, :1], weight[:, :1], grad)
    yield first[0], images_grad[:, :1]
    yield first[1], weight_grad[:, :1]


def patch_embed_vjp_images_add_up(f, images, weight, grad):
    whole = f(images, weight, grad)
    first, rest = f(images[:1], weight, grad[:1]), f(images[1:], weight, grad[1:])
    yield first[0], whole[0][:1]
    for i in (1, 2):
        yield first[i] + rest[i], whole[i]


PATCH_EMBED_VJP = Op(
    text.patch_embed_vjp,
    laws=(
        Law(
            "every square and every kernel gets its sum of products with grad",
            patch_embed_vjp_equation,
        ),
        Law("is adjoint to the embedding in images and weight", patch_embed_vjp_adjoint),
        Law("kernels with a single one put patches back in place", patch_embed_vjp_delta_kernels),
        Law("each channel gets its own gradient", patch_embed_vjp_channels_apart),
        Law(
            "images are apart, weight and bias collect what each gives",
            patch_embed_vjp_images_add_up,
        ),
        LINEAR_IN_GRAD,
    ),
    probes=(
        Probe(
            "a grid of two by two",
            lambda: {
                "images": waves(1, 1, 4, 4),
                "weight": half_waves(3, 1, 2, 2),
                "grad": waves(1, 4, 3),
            },
        ),
        Probe(
            "three channels, a grid of two by three",
            lambda: {
                "images": waves(2, 3, 4, 6),
                "weight": half_waves(4, 3, 2, 2),
                "grad": half_waves(2, 6, 4),
            },
        ),
        Probe(
            "a grid of one row and three columns",
            lambda: {
                "images": waves(1, 2, 2, 6),
                "weight": half_waves(3, 2, 2, 2),
                "grad": half_waves(1, 3, 3),
            },
        ),
    ),
    mistakes=(
        Edit(
            "patch_embed_vjp/flipped-kernel",
            "turns the kernel by half, as a convolution of mathematics would",
            "np.reshape(weight, (D",
            "np.reshape(weight[:, :, ::-1, ::-1], (D",
            effect="pixels get the gradient of their mirror image",
            invisible_when="a patch is one pixel, or the kernels are symmetric",
        ),
        Edit(
            "patch_embed_vjp/patches-end-to-end",
            "reshapes the gradients of the patches straight into images",
            "unpatchify(patches_grad, patch, rows, channels)",
            "np.reshape(patches_grad, images.shape)",
            effect="the gradient of every patch is smeared over a band",
            invisible_when="a patch is one pixel and there is one channel",
        ),
        Edit(
            "patch_embed_vjp/column-major-grid",
            "puts the patches back column by column",
            "(B, rows, cols, channels, patch, patch))\n"
            "    grid = np.transpose(grid, (0, 3, 1, 4, 2, 5))",
            "(B, cols, rows, channels, patch, patch))\n"
            "    grid = np.transpose(grid, (0, 3, 2, 4, 1, 5))",
            where="unpatchify",
            effect="patches stand at the transposed place",
            invisible_when="the grid has one row or one column",
        ),
        Edit(
            "patch_embed_vjp/rows-and-columns-swapped",
            "takes the number of columns for the number of rows",
            "images.shape[2] // patch",
            "images.shape[3] // patch",
            effect="bands of patches break at the wrong place",
            invisible_when="the grid is square",
        ),
        Edit(
            "patch_embed_vjp/weight-channels-last",
            "reads the gradient of the kernels as (row, column, channel)",
            "np.reshape(weight_grad, weight.shape)",
            "np.transpose(np.reshape(weight_grad, (D, patch, patch, channels)), (0, 3, 1, 2))",
            effect="kernels learn from other channels",
            invisible_when="there is one channel, or a patch is one pixel",
        ),
        Edit(
            "patch_embed_vjp/weight-averaged",
            "averages the gradient of the weight over the batch",
            "weight.shape), bias_grad",
            "weight.shape) / len(images), bias_grad",
            effect="divided twice where the loss is a mean already",
            invisible_when="there is one image",
        ),
        Edit(
            "patch_embed_vjp/bias-of-one-patch",
            "averages the gradient of the bias over the patches",
            "weight.shape), bias_grad",
            "weight.shape), bias_grad / grad.shape[1]",
            effect="the bias learns too slowly",
            invisible_when="there is one patch",
        ),
    ),
    outputs=("images_grad", "weight_grad", "bias_grad"),
)


# ----------------------------------------------------------------------------------- vit_tokens


def vit_tokens_equation(f, patches, class_token, positions):
    tokens = f(patches, class_token, positions)
    yield tokens[:, 0], 0 * tokens[:, 0] + (class_token + positions[0])
    yield tokens[:, 1:], patches + positions[1:]


def vit_tokens_without_positions(f, patches, class_token, positions):
    tokens = f(patches, class_token, 0 * positions)
    yield tokens[:, 0], 0 * tokens[:, 0] + class_token
    yield tokens[:, 1:], patches


def vit_tokens_only_positions(f, patches, class_token, positions):
    tokens = f(0 * patches, 0 * class_token, positions)
    yield tokens, 0 * tokens + positions


def vit_tokens_permuted(f, patches, class_token, positions):
    order = np.concatenate(([0], np.arange(len(positions) - 1, 0, -1)))
    tokens = f(patches[:, ::-1], class_token, positions[order])
    yield tokens, f(patches, class_token, positions)[:, order]


def vit_tokens_first_patch_as_class(f, patches, class_token, positions):
    if patches.shape[0] and patches.shape[1] > 1:
        rest = f(patches[:1, 1:], patches[0, 0], positions[1:])
        yield rest, f(patches[:1], class_token, positions)[:, 1:]


def vit_tokens_linear(f, patches, class_token, positions):
    yield f(3 * patches, 3 * class_token, 3 * positions), 3 * f(patches, class_token, positions)


VIT_TOKENS = Op(
    text.vit_tokens,
    laws=(
        Law("token 0 is the class token, the others are patches", vit_tokens_equation),
        Law("without positions the tokens are joined unchanged", vit_tokens_without_positions),
        Law("of black patches only the positions remain", vit_tokens_only_positions),
        Law("patches and their positions may be permuted together", vit_tokens_permuted),
        Law("the first patch may serve as class token", vit_tokens_first_patch_as_class),
        Law("scaling everything scales the tokens", vit_tokens_linear),
    ),
    probes=(
        Probe(
            "two images, three patches, distinct rows of positions",
            lambda: {
                "patches": waves(2, 3, 4),
                "class_token": half_waves(4),
                "positions": np.arange(16.0).reshape(4, 4),
            },
        ),
        Probe(
            "one patch",
            lambda: {
                "patches": waves(1, 1, 2),
                "class_token": np.array([5.0, -5.0]),
                "positions": np.array([[1.0, 2.0], [3.0, 4.0]]),
            },
        ),
    ),
    mistakes=(
        Edit(
            "vit_tokens/positions-before-class-token",
            "adds positions to the patches, then prepends the class token without one",
            "np.concatenate((first, patches), axis=1) + positions",
            "np.concatenate((first, patches + positions[1:]), axis=1)",
            effect="the class token misses its position vector; right for DeiT III",
            source="https://github.com/labmlai/annotated_deep_learning_paper_implementations/pull/221",
            invisible_when="row 0 of the positions is zero",
        ),
        Edit(
            "vit_tokens/positions-shifted-by-one",
            "gives patch n row n of the positions",
            "axis=1) + positions",
            "axis=1) + np.concatenate((positions[:1], positions[:-1]))",
            effect="every patch takes the position of its left neighbour",
            source="https://github.com/NVIDIA/Megatron-LM/pull/6260",
            invisible_when="all rows of the positions are equal",
        ),
        Edit(
            "vit_tokens/class-token-last",
            "appends the class token",
            "(first, patches)",
            "(patches, first)",
            effect="index 0 reads a patch",
            invisible_when="tokens are averaged and positions absent",
        ),
        Edit(
            "vit_tokens/positions-along-the-batch",
            "gives each image of the batch a position vector, not each token",
            "axis=1) + positions",
            "axis=1) + positions[:B, None]",
            effect="equal images differ, permuted patches do not",
            source="https://github.com/pytorch/examples/issues/1178",
            invisible_when="all rows of the positions are equal",
        ),
        Edit(
            "vit_tokens/no-positions",
            "forgets the positions",
            "axis=1) + positions",
            "axis=1)",
            effect="the order of the patches is lost",
            invisible_when="the positions are zero",
        ),
        Edit(
            "vit_tokens/scaled-embeddings",
            "multiplies the embeddings by the root of their width, as the first Transformer did",
            "return np.concatenate",
            "return np.sqrt(D) * np.concatenate",
            effect="positions weigh too little",
            invisible_when="the width is one",
        ),
    ),
)


# ------------------------------------------------------------------------------- vit_tokens_vjp


def vit_tokens_vjp_equation(f, grad):
    patches_grad, class_token_grad, positions_grad = f(grad)
    yield patches_grad, grad[:, 1:]
    yield class_token_grad, np.sum(grad[:, 0], axis=0)
    yield positions_grad, np.sum(grad, axis=0)


def vit_tokens_vjp_adjoint(f, grad):
    class_token, positions = grad[:1, 0], half_waves(*grad.shape[1:])
    if len(grad):
        patches_grad, class_token_grad, positions_grad = f(grad)
        tokens = text.vit_tokens(grad[::-1, 1:], class_token[0], positions)
        pulled = np.sum(patches_grad * grad[::-1, 1:]) + np.sum(class_token_grad * class_token)
        yield np.sum(grad * tokens), pulled + np.sum(positions_grad * positions)


def vit_tokens_vjp_positions(f, grad):
    patches_grad, class_token_grad, positions_grad = f(grad)
    yield positions_grad[1:], np.sum(patches_grad, axis=0)
    yield positions_grad[0], class_token_grad


def vit_tokens_vjp_images_add_up(f, grad):
    whole, first, rest = f(grad), f(grad[:1]), f(grad[1:])
    for i in (1, 2):
        yield first[i] + rest[i], whole[i]


VIT_TOKENS_VJP = Op(
    text.vit_tokens_vjp,
    laws=(
        Law("patches get their tokens, what is shared gets sums", vit_tokens_vjp_equation),
        Law("is adjoint to the joining and adding", vit_tokens_vjp_adjoint),
        Law("positions get what patches and class token get", vit_tokens_vjp_positions),
        Law(
            "class token and positions collect what each image gives", vit_tokens_vjp_images_add_up
        ),
        LINEAR_IN_GRAD,
    ),
    probes=(
        Probe("two images, three patches", lambda: {"grad": waves(2, 4, 3)}),
        Probe("one patch", lambda: {"grad": waves(3, 2, 2)}),
    ),
    mistakes=(
        Edit(
            "vit_tokens_vjp/averaged",
            "averages over the images",
            "np.sum(grad, axis=0)",
            "np.sum(grad, axis=0) / len(grad)",
            effect="divided twice where the loss is a mean already",
            invisible_when="there is one image",
        ),
        Edit(
            "vit_tokens_vjp/first-image-alone",
            "takes the first image's gradient for what all images share",
            "np.sum(grad, axis=0)",
            "grad[0]",
            effect="most of the batch teaches nothing",
            invisible_when="there is one image",
        ),
        Edit(
            "vit_tokens_vjp/class-token-summed-over-tokens",
            "gives the class token the gradients of all tokens",
            "positions_grad[0],",
            "np.sum(positions_grad, axis=0),",
            effect="the class token learns what patches should",
        ),
        Edit(
            "vit_tokens_vjp/class-token-last",
            "takes the last token for the class token",
            "return grad[:, 1:], positions_grad[0],",
            "return grad[:, :-1], positions_grad[-1],",
            effect="patches learn from their right neighbours",
        ),
        Edit(
            "vit_tokens_vjp/patches-shifted",
            "gives patch n the gradient of token n",
            "grad[:, 1:]",
            "grad[:, :-1]",
            effect="patches learn from their left neighbours",
        ),
        Edit(
            "vit_tokens_vjp/position-of-the-class-token-fixed",
            "gives the position of the class token no gradient",
            "    return grad[:, 1:], positions_grad[0], positions_grad",
            "    rest = np.concatenate((0 * positions_grad[:1], positions_grad[1:]))\n"
            "    return grad[:, 1:], positions_grad[0], rest",
            effect="row 0 of the positions stays as it was; right for DeiT III",
        ),
    ),
    outputs=("patches_grad", "class_token_grad", "positions_grad"),
)


# ------------------------------------------------------------------------- sinusoidal_positions


def geometric_frequencies(like, half):
    """The frequencies 1, r, r², … as running products of r = 10000^(-1/E)."""
    ratio = np.exp(-np.log(constant(10000, like)) / half)
    steps = np.concatenate((np.ones(1), ratio * np.ones(half - 1)))
    return np.cumprod(steps)


def sinusoidal_positions_equation(f, positions, half):
    angles = positions[:, None] * geometric_frequencies(positions, half)
    table = f(positions, half)
    yield table[:, 0::2], np.sin(angles)
    yield table[:, 1::2], np.cos(angles)


def sinusoidal_positions_unit_circle(f, positions, half):
    table = f(positions, half)
    yield table[:, 0::2] ** 2 + table[:, 1::2] ** 2, np.ones((len(positions), half))


def sinusoidal_positions_origin(f, positions, half):
    yield f(0 * positions, half), np.tile([0.0, 1.0], (len(positions), half))


def sinusoidal_positions_rotation(f, positions, half):
    table, step = f(positions, half), f(positions[:1], half)
    sine, cosine = table[:, 0::2], table[:, 1::2]
    moved = f(positions + positions[:1], half)
    yield moved[:, 0::2], sine * step[:, 1::2] + cosine * step[:, 0::2]
    yield moved[:, 1::2], cosine * step[:, 1::2] - sine * step[:, 0::2]


def sinusoidal_positions_refined(f, positions, half):
    N = len(positions)
    fine = np.reshape(f(positions, 2 * half), (N, 2 * half, 2))
    yield np.reshape(fine[:, ::2], (N, 2 * half)), f(positions, half)


def sinusoidal_positions_distances(f, positions, half):
    table = f(positions, half)
    offsets = positions - positions[:1]
    waves = np.cos(offsets[:, None] * geometric_frequencies(positions, half))
    yield np.sum(table * table[:1], axis=-1), np.sum(waves, axis=-1)


SINUSOIDAL_POSITIONS = Op(
    text.sinusoidal_positions,
    laws=(
        Law("frequencies fall by a constant ratio", sinusoidal_positions_equation),
        Law("every pair lies on the unit circle", sinusoidal_positions_unit_circle),
        Law("position zero has sines 0 and cosines 1", sinusoidal_positions_origin),
        Law("a step in position rotates every pair", sinusoidal_positions_rotation),
        Law("twice as many frequencies contain these", sinusoidal_positions_refined),
        Law("inner products depend on distances alone", sinusoidal_positions_distances),
    ),
    probes=(
        Probe("positions 0 to 5", lambda: {"positions": np.arange(6.0), "half": 3}),
        Probe("width 64", lambda: {"positions": np.array([23.0, 24.0, 25.0]), "half": 32}),
        Probe("a single frequency", lambda: {"positions": np.array([1.0, 2.0]), "half": 1}),
        Probe("a fraction", lambda: {"positions": np.array([0.5, 999.25]), "half": 4}),
    ),
    mistakes=(
        Edit(
            "sinusoidal_positions/base-1000",
            "takes 1000 for the base",
            "constant(10000",
            "constant(1000",
            effect="frequencies too high in all but the first pair",
            source="https://github.com/maxjcohen/transformer/issues/62",
            invisible_when="there is one frequency",
        ),
        Edit(
            "sinusoidal_positions/cosine-with-its-own-exponent",
            "lets the exponent follow the column, so that a cosine has not its sine's frequency",
            "np.cos(angles)",
            "np.cos(angles * np.exp(-log_base / (2 * half)))",
            effect="pairs leave the unit circle",
            source="https://github.com/maxjcohen/transformer/issues/62",
            invisible_when="the position is zero",
        ),
        Edit(
            "sinusoidal_positions/precedence",
            "divides -log(base) by the width, rounds down, and only then counts in steps of two",
            "np.exp(-log_base * np.arange(half) / half)",
            "np.exp(2 * np.arange(half) * (-log_base / half // 2))",
            effect="the frequencies are powers of e; all but a few vanish",
            source="https://github.com/zju3dv/LoFTR/issues/41",
            invisible_when="the position is zero",
        ),
        Edit(
            "sinusoidal_positions/power-swapped",
            "raises the exponent to the base",
            "np.exp(-log_base * np.arange(half) / half)",
            "(np.arange(half) / half) ** 1e-4",
            effect="nearly all columns are equal",
            source="https://github.com/ivanvovk/WaveGrad/issues/12",
            invisible_when="the position is zero",
        ),
        Edit(
            "sinusoidal_positions/rising-frequencies",
            "forgets the sign of the exponent",
            "np.exp(-log_base",
            "np.exp(log_base",
            effect="neighbouring positions have unrelated columns",
            invisible_when="the position is zero, or there is one frequency",
        ),
        Edit(
            "sinusoidal_positions/exponent-over-width",
            "divides the index of the pair by the width instead of its half",
            "np.arange(half) / half",
            "np.arange(half) / (2 * half)",
            effect="the lowest frequencies are missing",
            invisible_when="the position is zero, or there is one frequency",
        ),
        Edit(
            "sinusoidal_positions/counts-from-one",
            "counts positions from one",
            "positions[:, None]",
            "(positions[:, None] + 1)",
            effect="every row is that of the next position",
            invisible_when="only differences of positions matter",
        ),
    ),
    dialects=(
        Edit(
            "sinusoidal_positions/blocks",
            "puts all sines before all cosines: MAE",
            "np.cos(angles)), axis=-1)",
            "np.cos(angles)), axis=-2)",
            effect="a permutation of the columns",
            invisible_when="there is one frequency",
        ),
        Edit(
            "sinusoidal_positions/tensor2tensor",
            "puts all sines before all cosines; the last frequency is 1/10000",
            "/ half)  # E\n"
            "    angles = positions[:, None] * frequencies  # N E\n"
            "    pairs = np.stack((np.sin(angles), np.cos(angles)), axis=-1)",
            "/ max(half - 1, 1))\n"
            "    angles = positions[:, None] * frequencies\n"
            "    pairs = np.stack((np.sin(angles), np.cos(angles)), axis=-2)",
            effect="a permutation, and slightly lower frequencies",
            invisible_when="there is one frequency",
        ),
    ),
    precisions=("float64", "float32"),
)


# --------------------------------------------------------------------------- timestep_embedding


def timestep_embedding_equation(f, t, half):
    angles = t[:, None] * geometric_frequencies(t, half)
    embedding = f(t, half)
    yield embedding[:, :half], np.cos(angles)
    yield embedding[:, half:], np.sin(angles)


def timestep_embedding_as_positions(f, t, half):
    pairs = text.sinusoidal_positions(t, half)
    yield f(t, half), np.concatenate((pairs[:, 1::2], pairs[:, 0::2]), axis=-1)


def timestep_embedding_length(f, t, half):
    embedding = f(t, half)
    yield np.sum(embedding * embedding, axis=-1), np.full(len(t), half)


def timestep_embedding_origin(f, t, half):
    ones_and_zeros = np.repeat([1.0, 0.0], half)
    yield f(0 * t, half), np.tile(ones_and_zeros, (len(t), 1))


def timestep_embedding_double_time(f, t, half):
    once, twice = f(t, half), f(2 * t, half)
    cosine, sine = once[:, :half], once[:, half:]
    yield twice[:, :half], cosine * cosine - sine * sine
    yield twice[:, half:], 2 * sine * cosine


def timestep_embedding_first_frequency(f, t, half):
    embedding = f(t, half)
    yield embedding[:, 0], np.cos(t)
    yield embedding[:, half], np.sin(t)


def timestep_embedding_refined(f, t, half):
    fine, coarse = f(t, 2 * half), f(t, half)
    yield fine[:, : 2 * half : 2], coarse[:, :half]
    yield fine[:, 2 * half :: 2], coarse[:, half:]


def timestep_embedding_slowed(f, t, half):
    if half % 4 == 0 and np.max(values(t), initial=0) > 0:  # a quarter on, frequencies / 10
        slow, embedding = f(t / 10, half), f(t, half)
        quarter = half // 4
        yield slow[:, : half - quarter], embedding[:, quarter:half]
        yield slow[:, half : 2 * half - quarter], embedding[:, half + quarter :]


TIMESTEP_EMBEDDING = Op(
    text.timestep_embedding,
    laws=(
        Law("frequencies fall by a constant ratio", timestep_embedding_equation),
        Law("is a permutation of sinusoidal positions", timestep_embedding_as_positions),
        Law("the squared length is half the width", timestep_embedding_length),
        Law("time zero has cosines 1 and sines 0", timestep_embedding_origin),
        Law("twice the time doubles every angle", timestep_embedding_double_time),
        Law("the first frequency is one", timestep_embedding_first_frequency),
        Law("twice as many frequencies contain these", timestep_embedding_refined),
        Law("a tenth of the time moves a quarter of the columns on", timestep_embedding_slowed),
    ),
    probes=(
        Probe("t = 10, width 8", lambda: {"t": np.array([10.0]), "half": 4}),
        Probe(
            "the first and the last step",
            lambda: {"t": np.array([0.0, 999.0]), "half": 16},
        ),
        Probe("width 64", lambda: {"t": np.array([23.0, 24.0, 25.0]), "half": 32}),
        Probe("a rescaled time", lambda: {"t": np.array([250.25, 750.0]), "half": 8}),
    ),
    mistakes=(
        Edit(
            "timestep_embedding/half-minus-one",
            "lets the exponents run to one inclusive, in a model trained without",
            "np.arange(half) / half",
            "np.arange(half) / max(half - 1, 1)",
            effect="wrong conditioning, worse samples",
            source="https://github.com/kohya-ss/sd-scripts/pull/1187",
            invisible_when="the time is zero, or there is one frequency",
        ),
        Edit(
            "timestep_embedding/exponent-over-width",
            "divides the index by the width instead of its half",
            "np.arange(half) / half",
            "np.arange(half) / (2 * half)",
            effect="the lowest frequencies are missing",
            invisible_when="the time is zero, or there is one frequency",
        ),
        Edit(
            "timestep_embedding/rising-frequencies",
            "forgets the sign of the exponent",
            "np.exp(-log_base",
            "np.exp(log_base",
            effect="neighbouring times have unrelated embeddings",
            invisible_when="the time is zero, or there is one frequency",
        ),
        Edit(
            "timestep_embedding/unit-interval",
            "embeds times of the unit interval as they are",
            "t[:, None]",
            "t[:, None] / 1000",
            effect="the embedding is almost constant",
            source="https://github.com/ArchiMickey/Just-a-DiT/pull/9",
            invisible_when="the time is zero",
        ),
        Edit(
            "timestep_embedding/time-in-bfloat16",
            "casts the time to bfloat16 before it is embedded",
            "t[:, None]",
            "np.ldexp(np.rint(np.ldexp(np.frexp(t)[0], 8)), np.frexp(t)[1] - 8)[:, None]",
            effect="times above 256 lose their last bits: 999 is embedded as 1000",
            source="https://github.com/huggingface/diffusers/issues/9405",
            invisible_when="the time is a whole number up to 256",
        ),
        Edit(
            "timestep_embedding/counts-from-one",
            "embeds the papers' t, which counts from one",
            "t[:, None]",
            "(t[:, None] + 1)",
            effect="the network is told the next noisier time",
        ),
    ),
    dialects=(
        Edit(
            "timestep_embedding/sines-first",
            "puts sines before cosines: diffusers without flip_sin_to_cos",
            "(np.cos(angles), np.sin(angles))",
            "(np.sin(angles), np.cos(angles))",
            effect="the halves are exchanged",
            source="https://github.com/huggingface/diffusers/issues/3981",
        ),
        Edit(
            "timestep_embedding/ho",
            "puts sines before cosines; the last frequency is 1/10000",
            "/ half)  # E\n"
            "    angles = t[:, None] * frequencies  # B E\n"
            "    return np.concatenate((np.cos(angles), np.sin(angles)), axis=-1)",
            "/ max(half - 1, 1))\n"
            "    angles = t[:, None] * frequencies\n"
            "    return np.concatenate((np.sin(angles), np.cos(angles)), axis=-1)",
            effect="the halves are exchanged, frequencies slightly lower",
            source="https://github.com/hojonathanho/diffusion/issues/15",
        ),
        Edit(
            "timestep_embedding/interleaved",
            "puts every cosine beside its sine, as in the first Transformer",
            "np.concatenate((np.cos(angles), np.sin(angles)), axis=-1)",
            "np.reshape(np.stack((np.sin(angles), np.cos(angles)), axis=-1), (len(t), 2 * half))",
            effect="a permutation of the columns",
        ),
    ),
    precisions=("float64", "float32"),
)


OPS = (
    PATCHIFY,
    UNPATCHIFY,
    PATCH_EMBED,
    PATCH_EMBED_VJP,
    VIT_TOKENS,
    VIT_TOKENS_VJP,
    SINUSOIDAL_POSITIONS,
    TIMESTEP_EMBEDDING,
)
