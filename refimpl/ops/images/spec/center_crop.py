"""What is known about center_crop and its gradient: laws, probes, mistakes and dialects."""

import numpy as np

from refimpl.gradients import LINEAR_IN_GRAD
from refimpl.op import Edit, Law, Op, Probe
from refimpl.ops.images import reference as text
from refimpl.ops.images.spec.shared import (
    gradient_of_same_size,
    gradient_transposed,
    one_axis_at_a_time,
    product,
    ramp,
    same_size,
    transposed,
)


def crop_equation(f, images, tall, wide):
    """Rows and columns are taken off both ends in turn, starting at the even ends."""
    kept = images
    for i in range(images.shape[2] - tall):
        kept = kept[:, :, :-1] if i % 4 in (0, 3) else kept[:, :, 1:]
    for i in range(images.shape[3] - wide):
        kept = kept[:, :, :, :-1] if i % 4 in (0, 3) else kept[:, :, :, 1:]
    yield f(images, tall, wide), kept


def crop_symmetric(f, images, tall, wide):
    _, _, height, width = images.shape
    if (height - tall) % 2 == 0 and (width - wide) % 2 == 0:
        yield f(images[:, :, ::-1, ::-1], tall, wide), f(images, tall, wide)[:, :, ::-1, ::-1]


def crop_of_channels(f, images, tall, wide):
    yield f(images[:, -1:], tall, wide), f(images, tall, wide)[:, -1:]


def kept_rows(source, sizes):
    """Rows of a crop that fits."""
    return source.integer(0, sizes["height"])


def kept_columns(source, sizes):
    """Columns of a crop that fits."""
    return source.integer(0, sizes["width"])


CENTER_CROP = Op(
    text.center_crop,
    laws=(
        Law("rows and columns are cut off both ends in turn", crop_equation),
        Law("a crop of the whole size is the image", same_size),
        Law("an even margin keeps a mirrored image mirrored", crop_symmetric),
        Law("transposing exchanges rows and columns", transposed),
        Law("rows and columns may be cropped one after the other", one_axis_at_a_time),
        Law("all channels are cropped alike", crop_of_channels),
    ),
    probes=(
        Probe(
            "margins of one and of three pixels",
            lambda: {"images": ramp(1, 1, 5, 7), "tall": 4, "wide": 4},
        ),
        Probe(
            "margins of five and of two pixels",
            lambda: {"images": ramp(1, 2, 7, 6), "tall": 2, "wide": 4},
        ),
        Probe(
            "margins of seven and of none",
            lambda: {"images": ramp(2, 1, 9, 3), "tall": 2, "wide": 3},
        ),
    ),
    mistakes=(
        Edit(
            "center_crop/upper-left-corner",
            "keeps the upper left corner",
            "return round((size - kept) / 2)",
            "return 0",
            where="middle",
            effect="the crop is off-centre by half the margin",
            invisible_when="nothing is cut, or one pixel",
        ),
        Edit(
            "center_crop/lower-right-corner",
            "keeps the lower right corner",
            "return round((size - kept) / 2)",
            "return size - kept",
            where="middle",
            effect="the crop is off-centre by half the margin",
            invisible_when="nothing is cut",
        ),
        Edit(
            "center_crop/offsets-swapped",
            "takes the left offset for the rows and the upper one for the columns",
            "top, left = middle(height, tall), middle(width, wide)",
            "left, top = middle(height, tall), middle(width, wide)",
            effect="the crop moves along the diagonal, or off the image",
            invisible_when="both offsets are equal",
        ),
        Edit(
            "center_crop/middle-of-the-image",
            "starts the crop at the middle of the image",
            "return round((size - kept) / 2)",
            "return min(size // 2, size - kept)",
            where="middle",
            effect="the crop shows the lower right half",
            invisible_when="nothing is cut",
        ),
        Edit(
            "center_crop/one-pixel-late",
            "starts the crop one pixel too late",
            "return round((size - kept) / 2)",
            "return min(round((size - kept) / 2) + 1, size - kept)",
            where="middle",
            effect="the crop is shifted by one pixel",
            invisible_when="nothing is cut, or one pixel at the far side",
        ),
        Edit(
            "center_crop/columns-from-the-left",
            "centres the rows only",
            "left : left + wide",
            ":wide",
            effect="a wide picture loses its right side",
            invisible_when="the image is not wider than the crop",
        ),
    ),
    dialects=(
        Edit(
            "center_crop/half-down",
            "rounds halves down: transformers and many ports",
            "return round((size - kept) / 2)",
            "return (size - kept) // 2",
            where="middle",
            effect="shifted by one pixel where three, seven, … pixels are cut",
            source="https://github.com/huggingface/transformers/pull/11994",
            invisible_when="the margin is not 3 modulo 4",
        ),
        Edit(
            "center_crop/half-up",
            "rounds halves up: older versions of torchvision",
            "return round((size - kept) / 2)",
            "return (size - kept + 1) // 2",
            where="middle",
            effect="shifted by one pixel where one, five, … pixels are cut",
            source="https://github.com/pytorch/vision/issues/3482",
            invisible_when="the margin is not 1 modulo 4",
        ),
    ),
    values={"tall": kept_rows, "wide": kept_columns},
)


def crop_vjp_cropped(f, images, tall, wide, grad):
    yield text.center_crop(f(images, tall, wide, grad), tall, wide), grad


def crop_vjp_adjoint(f, images, tall, wide, grad):
    forward = product(grad, text.center_crop(images, tall, wide))
    yield forward, product(f(images, tall, wide, grad), images)


def crop_vjp_total(f, images, tall, wide, grad):
    total = np.sum(f(images, tall, wide, np.abs(grad)), axis=(2, 3))
    yield total, np.sum(np.abs(grad), axis=(2, 3))


CENTER_CROP_VJP = Op(
    text.center_crop_vjp,
    outputs=("images_grad",),
    laws=(
        Law("cropping the result gives back grad", crop_vjp_cropped),
        Law("it is the adjoint of cropping", crop_vjp_adjoint),
        Law("the gradient is zero outside the crop", crop_vjp_total),
        Law("transposing exchanges rows and columns", gradient_transposed),
        Law("a crop of the whole size passes the gradient through", gradient_of_same_size),
        LINEAR_IN_GRAD,
    ),
    probes=(
        Probe(
            "margins of one and of three pixels",
            lambda: {
                "images": np.zeros((1, 1, 5, 7)),
                "tall": 4,
                "wide": 4,
                "grad": 1 + ramp(1, 1, 4, 4),
            },
        ),
        Probe(
            "margins of five and of two pixels",
            lambda: {
                "images": np.zeros((1, 2, 7, 6)),
                "tall": 2,
                "wide": 4,
                "grad": 1 + ramp(1, 2, 2, 4),
            },
        ),
    ),
    mistakes=(
        Edit(
            "center_crop_vjp/upper-left-corner",
            "puts the gradient into the upper left corner",
            "return round((size - kept) / 2)",
            "return 0",
            where="middle",
            effect="gradients reach the wrong pixels",
            invisible_when="nothing was cut, or one pixel",
        ),
        Edit(
            "center_crop_vjp/lower-right-corner",
            "puts the gradient into the lower right corner",
            "return round((size - kept) / 2)",
            "return size - kept",
            where="middle",
            effect="gradients reach the wrong pixels",
            invisible_when="nothing was cut",
        ),
        Edit(
            "center_crop_vjp/rows-padded-in-reverse",
            "puts the zeros that belong below the crop above it",
            "np.concatenate((above, grad, below), axis=2)",
            "np.concatenate((below, grad, above), axis=2)",
            effect="gradients are one row off for odd margins",
            invisible_when="the margin of the rows is even",
        ),
        Edit(
            "center_crop_vjp/columns-padded-in-reverse",
            "puts the zeros that belong right of the crop to its left",
            "np.concatenate((before, column, after), axis=3)",
            "np.concatenate((after, column, before), axis=3)",
            effect="gradients are one column off for odd margins",
            invisible_when="the margin of the columns is even",
        ),
        Edit(
            "center_crop_vjp/ones-around",
            "surrounds the gradient with ones",
            "above = np.zeros((B, channels, top, wide))",
            "above = np.zeros((B, channels, top, wide)) + 1",
            effect="pixels that were cut off get a gradient",
            invisible_when="nothing was cut above",
        ),
        Edit(
            "center_crop_vjp/mean-over-the-image",
            "scales the gradient by the share of the rows that was kept",
            "np.concatenate((above, grad, below), axis=2)",
            "np.concatenate((above, grad * (tall / constant(height, grad)), below), axis=2)",
            effect="gradients are too small",
            invisible_when="no rows were cut",
        ),
    ),
    dialects=(
        Edit(
            "center_crop_vjp/half-down",
            "rounds halves down: transformers and many ports",
            "return round((size - kept) / 2)",
            "return (size - kept) // 2",
            where="middle",
            effect="shifted by one pixel where three, seven, … pixels were cut",
            source="https://github.com/huggingface/transformers/pull/11994",
            invisible_when="the margin is not 3 modulo 4",
        ),
        Edit(
            "center_crop_vjp/half-up",
            "rounds halves up: older versions of torchvision",
            "return round((size - kept) / 2)",
            "return (size - kept + 1) // 2",
            where="middle",
            effect="shifted by one pixel where one, five, … pixels were cut",
            source="https://github.com/pytorch/vision/issues/3482",
            invisible_when="the margin is not 1 modulo 4",
        ),
    ),
)
