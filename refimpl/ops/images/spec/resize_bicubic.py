"""What is known about resize_bicubic and its gradient: laws, probes, mistakes and dialects."""

import numpy as np

from refimpl.gradients import LINEAR_IN_GRAD
from refimpl.op import Edit, Law, Op, Probe
from refimpl.ops.common import FLOATS, cosines, sines
from refimpl.ops.images import reference as text
from refimpl.ops.images.spec.shared import (
    gradient_of_same_size,
    gradient_transposed,
    mirrored,
    one_axis_at_a_time,
    product,
    ramp,
    same_size,
    transposed,
)

# What plain torch.nn.functional.interpolate and OpenCV do instead of the text's last lines.
NARROW = """    offsets = (centers[:, None] - np.arange(size)) / np.maximum(scale, 1)  # target size
    weights = bicubic_kernel(offsets, -0.5)
    return weights / np.sum(weights, axis=1, keepdims=True)"""

REPEATED_BORDER = """    pixels = np.arange(-3, size + 3)
    weights = bicubic_kernel(centers[:, None] - pixels, -0.75)
    return weights @ (1.0 * (np.clip(pixels, 0, size - 1)[:, None] == np.arange(size)))"""

CENTERS = "    centers = (np.arange(target) + 0.5) * scale - 0.5\n"

CORNERS = """    ends = constant(size - 1, like) / constant(max(target - 1, 1), like)
    centers = np.arange(target) * ends
"""


def resize_equation(f, images, tall, wide):
    """Keys' two cubics, in distances that are quotients of integers."""
    _, _, height, width = images.shape

    def weights(size, target):
        reach = 2 * max(size, target)
        new, old = np.arange(target)[:, None], np.arange(size)
        x = np.abs((2 * old + 1) * target - (2 * new + 1) * size) / reach
        near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
        taken = np.where(x < 1, near, np.where(x < 2, far, 0.0))
        return taken / np.sum(taken, axis=1, keepdims=True)

    columns = images @ weights(width, wide).T
    yield f(images, tall, wide), weights(height, tall) @ columns


def resize_constant(f, images, tall, wide):
    B, channels, height, width = images.shape
    first = images[:, :, :1, :1]
    flat = np.broadcast_to(first, (B, channels, height, width))
    yield f(flat, tall, wide), np.broadcast_to(first, (B, channels, tall, wide))


def resize_linear(f, images, tall, wide):
    yield f(3 * images + 1, tall, wide), 3 * f(images, tall, wide) + 1


RESIZE_BICUBIC = Op(
    text.resize_bicubic,
    laws=(
        Law("each pixel is Keys' sum over its neighbours", resize_equation),
        Law("the same size changes nothing", same_size),
        Law("a constant image stays constant", resize_constant),
        Law("a mirrored image is resized to the mirrored result", mirrored),
        Law("transposing exchanges rows and columns", transposed),
        Law("rows and columns may be resized one after the other", one_axis_at_a_time),
        Law("scaling and shifting the values commutes with resizing", resize_linear),
    ),
    probes=(
        Probe(
            "a checkerboard made smaller and wider",
            lambda: {
                "images": (np.indices((9, 5)).sum(axis=0) % 2.0)[None, None],
                "tall": 4,
                "wide": 8,
            },
        ),
        Probe("a ramp made larger", lambda: {"images": ramp(1, 1, 4, 6), "tall": 9, "wide": 13}),
        Probe(
            "an edge, a third of the size",
            lambda: {
                "images": np.where(np.arange(12) < 5, 0.0, 255.0)[None, None, None]
                * np.ones((1, 1, 9, 1)),
                "tall": 3,
                "wide": 4,
            },
        ),
        Probe(
            "two images of two channels",
            lambda: {"images": sines(2, 2, 5, 7), "tall": 3, "wide": 10},
        ),
    ),
    mistakes=(
        Edit(
            "resize_bicubic/left-edges-aligned",
            "multiplies the index by the scale, without the half pixel",
            "(np.arange(target) + 0.5) * scale - 0.5",
            "np.arange(target) * scale",
            where="bicubic_weights",
            effect="the image is shifted by half of scale - 1 pixels",
            source="https://github.com/opencv/opencv/issues/24165",
            invisible_when="the size stays the same",
        ),
        Edit(
            "resize_bicubic/kernel-typo",
            "writes 8x for 8ax in the outer cubic",
            "+ 8 * a",
            "+ 8",
            where="bicubic_kernel",
            effect="rings around every edge",
            source="https://github.com/python-pillow/Pillow/pull/970",
            invisible_when="the size stays the same",
        ),
        Edit(
            "resize_bicubic/bilinear",
            "interpolates linearly, the default of many functions",
            "return np.where(x <= 1, near, np.where(x < 2, far, 0))",
            "return np.maximum(1 - x, 0)",
            where="bicubic_kernel",
            effect="the image is blurred",
            source="https://github.com/huggingface/transformers/pull/43017",
            invisible_when="the size stays the same, or the image is constant",
        ),
        Edit(
            "resize_bicubic/not-normalised",
            "leaves out the division by the sum of the weights",
            "return weights / np.sum(weights, axis=1, keepdims=True)",
            "return weights",
            where="bicubic_weights",
            effect="borders darken, and a smaller image grows brighter",
            invisible_when="the size stays the same",
        ),
        Edit(
            "resize_bicubic/scale-inverted",
            "divides the new size by the old one",
            "constant(size, like) / constant(target, like)",
            "constant(target, like) / constant(size, like)",
            where="bicubic_weights",
            effect="a corner of the image is enlarged, or the border repeated",
            invisible_when="the size stays the same",
        ),
        Edit(
            "resize_bicubic/height-and-width-swapped",
            "takes the new size as (width, height), as Pillow does",
            "rows = bicubic_weights(images.shape[2], tall, images)  # tall height\n"
            "    columns = bicubic_weights(images.shape[3], wide, images)",
            "rows = bicubic_weights(images.shape[2], wide, images)\n"
            "    columns = bicubic_weights(images.shape[3], tall, images)",
            effect="the result has the sides exchanged, and is squeezed",
            invisible_when="the result is square",
        ),
        Edit(
            "resize_bicubic/rows-upside-down",
            "counts rows from below",
            "return rows @ images @ columns.T",
            "return rows[::-1] @ images @ columns.T",
            effect="the picture is upside down",
            invisible_when="the image is symmetric",
        ),
        Edit(
            "resize_bicubic/kernel-widened-when-enlarging",
            "scales the kernel also when the image is enlarged",
            "np.maximum(scale, 1)",
            "scale",
            where="bicubic_weights",
            effect="an enlarged image has gaps or hard steps",
            invisible_when="both sides shrink",
        ),
    ),
    dialects=(
        Edit(
            "resize_bicubic/no-antialias",
            "slope -3/4, no widening, border repeated: interpolate without antialias, OpenCV",
            NARROW,
            REPEATED_BORDER,
            where="bicubic_weights",
            effect="a smaller image shows moiré",
            source="https://github.com/opencv/opencv/issues/17720",
            invisible_when="the size stays the same",
        ),
        Edit(
            "resize_bicubic/align-corners",
            "as without antialias, and the corner pixels keep their centres: align_corners=True",
            CENTERS + NARROW,
            CORNERS + REPEATED_BORDER,
            where="bicubic_weights",
            effect="the image is stretched by half a pixel on every side",
            source="https://github.com/huggingface/pytorch-image-models/pull/2105",
            invisible_when="the size stays the same",
        ),
        Edit(
            "resize_bicubic/steeper-kernel",
            "antialiased with a slope of -3/4, as a port of OpenCV's kernel to Pillow's filter",
            "bicubic_kernel(offsets, -0.5)",
            "bicubic_kernel(offsets, -0.75)",
            where="bicubic_weights",
            effect="edges overshoot by half as much again",
            invisible_when="the size stays the same",
        ),
    ),
    precisions=FLOATS,
)


def resize_vjp_adjoint(f, images, tall, wide, grad):
    forward = product(grad, text.resize_bicubic(images, tall, wide))
    yield forward, product(f(images, tall, wide, grad), images)


def resize_vjp_total(f, images, tall, wide, grad):
    total = np.sum(f(images, tall, wide, grad), axis=(2, 3))
    yield total, np.sum(grad, axis=(2, 3))


def resize_vjp_mirrored(f, images, tall, wide, grad):
    mirrored = f(images, tall, wide, grad[:, :, ::-1, ::-1])
    yield mirrored, f(images, tall, wide, grad)[:, :, ::-1, ::-1]


def resize_vjp_values_forgotten(f, images, tall, wide, grad):
    yield f(0 * images, tall, wide, grad), f(images, tall, wide, grad)


RESIZE_BICUBIC_VJP = Op(
    text.resize_bicubic_vjp,
    outputs=("images_grad",),
    laws=(
        Law("it is the adjoint of resizing", resize_vjp_adjoint),
        Law("the same size passes the gradient through", gradient_of_same_size),
        Law("the gradients of an image keep their sum", resize_vjp_total),
        Law("a mirrored gradient comes back mirrored", resize_vjp_mirrored),
        Law("transposing exchanges rows and columns", gradient_transposed),
        Law("the values of the images do not matter", resize_vjp_values_forgotten),
        LINEAR_IN_GRAD,
    ),
    probes=(
        Probe(
            "from small and wide back to tall",
            lambda: {
                "images": np.zeros((1, 1, 9, 5)),
                "tall": 4,
                "wide": 8,
                "grad": sines(1, 1, 4, 8),
            },
        ),
        Probe(
            "a gradient at one corner",
            lambda: {
                "images": np.zeros((1, 1, 4, 6)),
                "tall": 9,
                "wide": 13,
                "grad": (ramp(1, 1, 9, 13) == 0) * 1.0,
            },
        ),
        Probe(
            "two images of two channels",
            lambda: {
                "images": sines(2, 2, 5, 7),
                "tall": 3,
                "wide": 10,
                "grad": cosines(2, 2, 3, 10),
            },
        ),
    ),
    mistakes=(
        Edit(
            "resize_bicubic_vjp/resized-back",
            "resizes the gradient back to the old size instead of transposing the weights",
            "return rows.T @ grad @ columns",
            "return resize_bicubic(grad, images.shape[2], images.shape[3])",
            effect="the gradient has the wrong sum, and the weights of the other direction",
            invisible_when="the size stays the same",
        ),
        Edit(
            "resize_bicubic_vjp/mean-instead-of-sum",
            "divides the transposed weights by their sum",
            "return rows.T @ grad @ columns",
            "return (rows / np.sum(rows, axis=0)).T @ grad @ columns",
            effect="gradients are too small or too large by the change of height",
            invisible_when="the height stays the same",
        ),
        Edit(
            "resize_bicubic_vjp/not-normalised",
            "leaves out the division by the sum of the weights",
            "return weights / np.sum(weights, axis=1, keepdims=True)",
            "return weights",
            where="bicubic_weights",
            effect="gradients are too large where the image shrinks",
            invisible_when="the size stays the same",
        ),
        Edit(
            "resize_bicubic_vjp/left-edges-aligned",
            "multiplies the index by the scale, without the half pixel",
            "(np.arange(target) + 0.5) * scale - 0.5",
            "np.arange(target) * scale",
            where="bicubic_weights",
            effect="gradients reach the neighbours of their pixels",
            invisible_when="the size stays the same",
        ),
        Edit(
            "resize_bicubic_vjp/bilinear",
            "takes the gradient of linear interpolation",
            "return np.where(x <= 1, near, np.where(x < 2, far, 0))",
            "return np.maximum(1 - x, 0)",
            where="bicubic_kernel",
            effect="no gradient is negative, though the outer taps are",
            invisible_when="the size stays the same",
        ),
        Edit(
            "resize_bicubic_vjp/rows-upside-down",
            "counts rows from below",
            "return rows.T @ grad @ columns",
            "return rows.T[::-1] @ grad @ columns",
            effect="gradients arrive at the mirrored row",
            invisible_when="the gradient is symmetric",
        ),
        Edit(
            "resize_bicubic_vjp/divided-by-the-scale",
            "divides each gradient by the scale, as for an average",
            "return rows.T @ grad @ columns",
            "return rows.T @ grad @ columns * (tall / constant(images.shape[2], grad))",
            effect="the scale of the rows is counted twice",
            invisible_when="the height stays the same",
        ),
    ),
    dialects=(
        Edit(
            "resize_bicubic_vjp/no-antialias",
            "slope -3/4, no widening, border repeated: interpolate without antialias, OpenCV",
            NARROW,
            REPEATED_BORDER,
            where="bicubic_weights",
            effect="pixels between the taps get no gradient",
            invisible_when="the size stays the same",
        ),
    ),
    precisions=FLOATS,
)
