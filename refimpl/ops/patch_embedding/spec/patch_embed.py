"""What is known about patch_embed and its gradient: laws, probes, mistakes and dialects."""

import numpy as np

from refimpl.gradients import LINEAR_IN_GRAD
from refimpl.op import Edit, Law, Op, Probe
from refimpl.ops.common import cosines, sines
from refimpl.ops.patch_embedding import reference as text
from refimpl.ops.patch_embedding.spec.shared import grid_transposed, squares


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
        Law("a kernel with a single 1 picks that pixel of each patch", patch_embed_delta_kernels),
        Law("the channels contribute one by one", patch_embed_channels_add_up),
        Law("a black image gives the bias", patch_embed_black_image),
        Law("image and kernels transposed give the grid transposed", patch_embed_transposed),
        Law("image and kernels turned by 180° give the tokens in reverse", patch_embed_mirrored),
    ),
    probes=(
        Probe(
            "sines and cosines, a grid of two by two",
            lambda: {
                "images": sines(1, 1, 4, 4),
                "weight": cosines(3, 1, 2, 2),
                "bias": cosines(3),
            },
        ),
        Probe(
            "three channels, a grid of two by three, a large bias",
            lambda: {
                "images": sines(2, 3, 4, 6),
                "weight": cosines(4, 3, 2, 2),
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
            "flips the kernel, as convolution in mathematics does",
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
            "flattens the kernel as (row, column, channel) but the patch as (channel, row, column)",
            "np.reshape(weight, (D",
            "np.reshape(np.transpose(weight, (0, 2, 3, 1)), (D",
            effect="weights multiply pixels of other channels",
            invisible_when="there is one channel, or a patch is one pixel",
        ),
        Edit(
            "patch_embed/no-bias",
            "drops the bias, which only CLIP's layer lacks",
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
            effect="the grid is shifted, and the last rows and columns of pixels are lost",
            source="https://github.com/ViTAE-Transformer/ViTPose/issues/125",
            invisible_when="the image is black",
        ),
        Edit(
            "patch_embed/reversed-channels",
            "reads blue, green, red for red, green, blue",
            "patchify(images, patch)",
            "patchify(images[:, ::-1], patch)",
            effect="red and blue are exchanged",
            invisible_when="the picture is grey",
        ),
        Edit(
            "patch_embed/mixed-channels",
            "reshapes after unfolding without moving the channel axis behind the grid",
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
            effect="tokens get the positions of the transposed grid",
            source="https://github.com/MIC-DKFZ/dynamic-network-architectures/pull/13",
            invisible_when="the grid has one row or one column",
        ),
    ),
)


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
            "the gradients are sums of products with grad",
            patch_embed_vjp_equation,
        ),
        Law("is adjoint to the embedding in images and weight", patch_embed_vjp_adjoint),
        Law(
            "a kernel with a single 1 puts the gradient at that pixel",
            patch_embed_vjp_delta_kernels,
        ),
        Law("each channel has its own gradient", patch_embed_vjp_channels_apart),
        Law(
            "an image's gradient is its own, those of weight and bias are sums",
            patch_embed_vjp_images_add_up,
        ),
        LINEAR_IN_GRAD,
    ),
    probes=(
        Probe(
            "a grid of two by two",
            lambda: {
                "images": sines(1, 1, 4, 4),
                "weight": cosines(3, 1, 2, 2),
                "grad": sines(1, 4, 3),
            },
        ),
        Probe(
            "three channels, a grid of two by three",
            lambda: {
                "images": sines(2, 3, 4, 6),
                "weight": cosines(4, 3, 2, 2),
                "grad": cosines(2, 6, 4),
            },
        ),
        Probe(
            "a grid of one row and three columns",
            lambda: {
                "images": sines(1, 2, 2, 6),
                "weight": cosines(3, 2, 2, 2),
                "grad": cosines(1, 3, 3),
            },
        ),
    ),
    mistakes=(
        Edit(
            "patch_embed_vjp/flipped-kernel",
            "flips the kernel, as convolution in mathematics does",
            "np.reshape(weight, (D",
            "np.reshape(weight[:, :, ::-1, ::-1], (D",
            effect="pixels get the gradient of the mirrored place",
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
            effect="rows of patches wrap at the wrong place",
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
