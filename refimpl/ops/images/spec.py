"""What is known about images: laws, probes, mistakes and dialects."""

import numpy as np

from refimpl.gradients import LINEAR_IN_GRAD
from refimpl.op import Edit, Law, Op, Probe, values
from refimpl.ops.images import reference as text

FLOATS = ("float64", "float32")  # positions of pixels mean nothing in a half format
CLIP = {
    "mean": np.array([0.48145466, 0.4578275, 0.40821073]),
    "std": np.array([0.26862954, 0.26130258, 0.27577711]),
}


def waves(*shape):
    """Numbers that anyone can write down again: the sines of 1, 2, 3, …"""
    return np.sin(np.arange(1, np.prod(shape) + 1)).reshape(shape)


def half_waves(*shape):
    """Half the cosines of 1, 2, 3, …"""
    return np.cos(np.arange(1, np.prod(shape) + 1)).reshape(shape) / 2


def ramp(*shape):
    """The numbers 0, 1, 2, … in reading order."""
    return np.arange(float(np.prod(shape))).reshape(shape)


def turned(images):
    """Rows and columns exchanged."""
    return np.swapaxes(images, 2, 3)


def product(left, right):
    """The inner product of two arrays of one shape."""
    return np.sum(left * right)


# -------------------------------------------------------------------------------- resize_bicubic

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


def resize_same_size(f, images, tall, wide):
    _, _, height, width = images.shape
    yield f(images, height, width), images


def resize_constant(f, images, tall, wide):
    B, channels, height, width = images.shape
    first = images[:, :, :1, :1]
    flat = np.broadcast_to(first, (B, channels, height, width))
    yield f(flat, tall, wide), np.broadcast_to(first, (B, channels, tall, wide))


def resize_mirrored(f, images, tall, wide):
    yield f(images[:, :, ::-1, ::-1], tall, wide), f(images, tall, wide)[:, :, ::-1, ::-1]


def resize_transposed(f, images, tall, wide):
    yield f(turned(images), wide, tall), turned(f(images, tall, wide))


def resize_one_axis_at_a_time(f, images, tall, wide):
    _, _, height, _ = images.shape
    yield f(f(images, height, wide), tall, wide), f(images, tall, wide)


def resize_linear(f, images, tall, wide):
    yield f(3 * images + 1, tall, wide), 3 * f(images, tall, wide) + 1


RESIZE_BICUBIC = Op(
    text.resize_bicubic,
    laws=(
        Law("each pixel is Keys' sum over its neighbours", resize_equation),
        Law("the same size changes nothing", resize_same_size),
        Law("a constant image stays constant", resize_constant),
        Law("a mirrored image is resized to the mirrored result", resize_mirrored),
        Law("transposing exchanges rows and columns", resize_transposed),
        Law("rows and columns may be resized one after the other", resize_one_axis_at_a_time),
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
            lambda: {"images": waves(2, 2, 5, 7), "tall": 3, "wide": 10},
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
            "return near + a * far",
            "return near + a * far + 8 * (1 - a) * x * (x > 1) * (x < 2)",
            where="bicubic_kernel",
            effect="rings around every edge",
            source="https://github.com/python-pillow/Pillow/pull/970",
            invisible_when="the size stays the same",
        ),
        Edit(
            "resize_bicubic/bilinear",
            "interpolates linearly, the default of many functions",
            "return near + a * far",
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
            effect="the picture stands on its head",
            invisible_when="the image is symmetric",
        ),
        Edit(
            "resize_bicubic/kernel-widened-when-enlarging",
            "scales the kernel in both directions, also below one pixel",
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


# ---------------------------------------------------------------------------- resize_bicubic_vjp


def resize_vjp_adjoint(f, images, tall, wide, grad):
    forward = product(grad, text.resize_bicubic(images, tall, wide))
    yield forward, product(f(images, tall, wide, grad), images)


def resize_vjp_same_size(f, images, tall, wide, grad):
    yield f(grad, tall, wide, grad), grad


def resize_vjp_total(f, images, tall, wide, grad):
    total = np.sum(f(images, tall, wide, grad), axis=(2, 3))
    yield total, np.sum(grad, axis=(2, 3))


def resize_vjp_mirrored(f, images, tall, wide, grad):
    mirrored = f(images, tall, wide, grad[:, :, ::-1, ::-1])
    yield mirrored, f(images, tall, wide, grad)[:, :, ::-1, ::-1]


def resize_vjp_transposed(f, images, tall, wide, grad):
    yield f(turned(images), wide, tall, turned(grad)), turned(f(images, tall, wide, grad))


def resize_vjp_values_forgotten(f, images, tall, wide, grad):
    yield f(0 * images, tall, wide, grad), f(images, tall, wide, grad)


RESIZE_BICUBIC_VJP = Op(
    text.resize_bicubic_vjp,
    outputs=("images_grad",),
    laws=(
        Law("it is the adjoint of resizing", resize_vjp_adjoint),
        Law("the same size hands the gradient on", resize_vjp_same_size),
        Law("the gradients of an image keep their sum", resize_vjp_total),
        Law("a mirrored gradient comes back mirrored", resize_vjp_mirrored),
        Law("transposing exchanges rows and columns", resize_vjp_transposed),
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
                "grad": waves(1, 1, 4, 8),
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
                "images": waves(2, 2, 5, 7),
                "tall": 3,
                "wide": 10,
                "grad": half_waves(2, 2, 3, 10),
            },
        ),
    ),
    mistakes=(
        Edit(
            "resize_bicubic_vjp/resized-back",
            "resizes the gradient to the old size, which is another map",
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
            "return near + a * far",
            "return np.maximum(1 - x, 0)",
            where="bicubic_kernel",
            effect="no gradient is negative where the outer taps should be",
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
            "spreads each gradient over the pixels it came from, as for an average",
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


# ----------------------------------------------------------------------------------- center_crop


def crop_equation(f, images, tall, wide):
    """Rows and columns are taken off both ends in turn, starting at the even ends."""
    kept = images
    for i in range(images.shape[2] - tall):
        kept = kept[:, :, :-1] if i % 4 in (0, 3) else kept[:, :, 1:]
    for i in range(images.shape[3] - wide):
        kept = kept[:, :, :, :-1] if i % 4 in (0, 3) else kept[:, :, :, 1:]
    yield f(images, tall, wide), kept


def crop_nothing(f, images, tall, wide):
    _, _, height, width = images.shape
    yield f(images, height, width), images


def crop_symmetric(f, images, tall, wide):
    _, _, height, width = images.shape
    if (height - tall) % 2 == 0 and (width - wide) % 2 == 0:
        yield f(images[:, :, ::-1, ::-1], tall, wide), f(images, tall, wide)[:, :, ::-1, ::-1]


def crop_transposed(f, images, tall, wide):
    yield f(turned(images), wide, tall), turned(f(images, tall, wide))


def crop_one_axis_at_a_time(f, images, tall, wide):
    _, _, height, _ = images.shape
    yield f(f(images, height, wide), tall, wide), f(images, tall, wide)


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
        Law("rows and columns come off the ends by turns", crop_equation),
        Law("a crop of the whole size is the image", crop_nothing),
        Law("an even margin keeps a mirrored image mirrored", crop_symmetric),
        Law("transposing exchanges rows and columns", crop_transposed),
        Law("rows and columns may be cropped one after the other", crop_one_axis_at_a_time),
        Law("channels are cropped alike", crop_of_channels),
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
            effect="the crop is off the middle by half the margin",
            invisible_when="nothing is cut, or one pixel",
        ),
        Edit(
            "center_crop/lower-right-corner",
            "keeps the lower right corner",
            "return round((size - kept) / 2)",
            "return size - kept",
            where="middle",
            effect="the crop is off the middle by half the margin",
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
            "begins at the middle of the image",
            "return round((size - kept) / 2)",
            "return min(size // 2, size - kept)",
            where="middle",
            effect="the crop shows the lower right half",
            invisible_when="nothing is cut",
        ),
        Edit(
            "center_crop/one-pixel-late",
            "begins one pixel too late",
            "return round((size - kept) / 2)",
            "return min(round((size - kept) / 2) + 1, size - kept)",
            where="middle",
            effect="the crop is shifted by one pixel",
            invisible_when="nothing is cut, or one pixel at the far side",
        ),
        Edit(
            "center_crop/columns-from-the-left",
            "centres the rows alone",
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


# ------------------------------------------------------------------------------- center_crop_vjp


def crop_vjp_cropped(f, images, tall, wide, grad):
    yield text.center_crop(f(images, tall, wide, grad), tall, wide), grad


def crop_vjp_adjoint(f, images, tall, wide, grad):
    forward = product(grad, text.center_crop(images, tall, wide))
    yield forward, product(f(images, tall, wide, grad), images)


def crop_vjp_total(f, images, tall, wide, grad):
    total = np.sum(f(images, tall, wide, np.abs(grad)), axis=(2, 3))
    yield total, np.sum(np.abs(grad), axis=(2, 3))


def crop_vjp_transposed(f, images, tall, wide, grad):
    yield f(turned(images), wide, tall, turned(grad)), turned(f(images, tall, wide, grad))


def crop_vjp_nothing_cut(f, images, tall, wide, grad):
    yield f(grad, tall, wide, grad), grad


CENTER_CROP_VJP = Op(
    text.center_crop_vjp,
    outputs=("images_grad",),
    laws=(
        Law("cropping gives the gradient again", crop_vjp_cropped),
        Law("it is the adjoint of cropping", crop_vjp_adjoint),
        Law("nothing is added around the crop", crop_vjp_total),
        Law("transposing exchanges rows and columns", crop_vjp_transposed),
        Law("a crop of the whole size hands the gradient on", crop_vjp_nothing_cut),
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
            "puts the zeros that belong below above",
            "np.concatenate((above, grad, below), axis=2)",
            "np.concatenate((below, grad, above), axis=2)",
            effect="gradients are one row off for odd margins",
            invisible_when="the margin of the rows is even",
        ),
        Edit(
            "center_crop_vjp/columns-padded-in-reverse",
            "puts the zeros that belong behind in front",
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


# ------------------------------------------------------------------------------- normalize_image


def normalize_equation(f, images, mean, std):
    channels = [(images[:, c] - mean[c]) / std[c] for c in range(len(mean))]
    yield f(images, mean, std), np.stack(channels, axis=1)


def normalize_undone(f, images, mean, std):
    yield f(images, mean, std) * std[:, None, None] + mean[:, None, None], images


def normalize_mean_is_zero(f, images, mean, std):
    flat = np.broadcast_to(mean[:, None, None], images.shape)
    yield f(flat, mean, std), np.zeros(images.shape)


def normalize_standard(f, images, mean, std):
    yield f(images, 0 * values(mean), np.ones(len(mean))), images


def normalize_unit(f, images, mean, std):
    yield f(4 * images, 4 * mean, 4 * std), f(images, mean, std)


def normalize_channels_permuted(f, images, mean, std):
    yield f(images[:, ::-1], mean[::-1], std[::-1]), f(images, mean, std)[:, ::-1]


BLACK_AND_WHITE = np.stack([np.zeros((3, 2)), np.ones((3, 2))], axis=1)[None]

NORMALIZE_IMAGE = Op(
    text.normalize_image,
    laws=(
        Law("each channel has its own mean and deviation", normalize_equation),
        Law("multiplying and adding gives the image again", normalize_undone),
        Law("an image of means is zero", normalize_mean_is_zero),
        Law("mean 0 and deviation 1 change nothing", normalize_standard),
        Law("the unit of the pixels does not matter", normalize_unit),
        Law("channels may be permuted with their statistics", normalize_channels_permuted),
    ),
    probes=(
        Probe(
            "black and white with CLIP's statistics",
            lambda: {"images": BLACK_AND_WHITE, **CLIP},
        ),
        Probe(
            "three channels, two images",
            lambda: {"images": (1 + waves(2, 3, 2, 4)) / 2, **CLIP},
        ),
        Probe(
            "the unit of 255",
            lambda: {
                "images": 255 * BLACK_AND_WHITE,
                "mean": 255 * CLIP["mean"],
                "std": 255 * CLIP["std"],
            },
        ),
    ),
    mistakes=(
        Edit(
            "normalize_image/not-normalised",
            "hands the pixels on",
            "return (images - mean[:, None, None]) / std[:, None, None]",
            "return images + 0 * mean[:, None, None]",
            effect="features are off, though often good enough to go unnoticed",
            source="https://github.com/k1rezaei/Text-to-concept/issues/2",
            invisible_when="mean 0 and deviation 1",
        ),
        Edit(
            "normalize_image/statistics-of-imagenet",
            "uses the statistics of ImageNet whatever it is given",
            "return (images - mean[:, None, None]) / std[:, None, None]",
            "return (images - np.array([0.485, 0.456, 0.406])[:, None, None]) / "
            "np.array([0.229, 0.224, 0.225])[:, None, None]",
            effect="up to a fifth too much contrast in blue",
            source="https://github.com/openai/CLIP/issues/20",
            invisible_when="these are the statistics of the model",
        ),
        Edit(
            "normalize_image/first-channel-for-all",
            "reads the statistics of the first channel for every channel",
            "mean[:, None, None]) / std[:, None, None]",
            "mean[:1, None, None]) / std[:1, None, None]",
            effect="green and blue are tinted",
            source="https://github.com/monatis/clip.cpp/issues/99",
            invisible_when="the statistics of all channels are equal",
        ),
        Edit(
            "normalize_image/blue-first",
            "takes the image to be blue first, as OpenCV reads it",
            "return (images - mean[:, None, None])",
            "return (images[:, ::-1] - mean[:, None, None])",
            effect="red and blue are exchanged",
            source="https://github.com/pixelite1201/CameraHMR/issues/20",
            invisible_when="the image is grey",
        ),
        Edit(
            "normalize_image/rescaled-twice",
            "divides pixels in [0, 1] by 255 once more",
            "return (images - mean[:, None, None])",
            "return (images / 255 - mean[:, None, None])",
            effect="every image is almost black",
            source="https://github.com/huggingface/transformers/issues/24857",
            invisible_when="the image is black",
        ),
        Edit(
            "normalize_image/divided-by-the-variance",
            "divides by the square of the deviation",
            "/ std[:, None, None]",
            "/ (std * std)[:, None, None]",
            effect="contrast is several times too high",
            invisible_when="the deviation is 1",
        ),
        Edit(
            "normalize_image/mean-after-division",
            "divides first and subtracts the mean from the quotient",
            "(images - mean[:, None, None]) / std[:, None, None]",
            "images / std[:, None, None] - mean[:, None, None]",
            effect="brightness is off",
            invisible_when="mean 0 or deviation 1",
        ),
        Edit(
            "normalize_image/divided-by-256",
            "takes white to be 256",
            "return (images - mean[:, None, None])",
            "return (images * (255 / constant(256, images)) - mean[:, None, None])",
            effect="white is too dark by four thousandths",
            source="https://github.com/Daniil-Osokin/"
            "lightweight-human-pose-estimation.pytorch/issues/140",
            invisible_when="the image is black",
        ),
    ),
    dialects=(
        Edit(
            "normalize_image/half",
            "mean and deviation 1/2 for all channels: SigLIP and some checkpoints of open_clip",
            "return (images - mean[:, None, None]) / std[:, None, None]",
            "return (images + 0 * mean[:, None, None] - 0.5) / 0.5",
            effect="right for those checkpoints, wrong for the others",
            source="https://github.com/mlfoundations/open_clip/issues/204",
            invisible_when="these are the statistics of the model",
        ),
    ),
)


# --------------------------------------------------------------------------- normalize_image_vjp


def normalize_vjp_adjoint(f, images, mean, std, grad):
    images_grad, mean_grad, _ = f(images, mean, std, grad)
    shifted = (images - mean[:, None, None]) / std[:, None, None]
    through = product(images_grad, images) + product(mean_grad, mean)
    yield product(grad, shifted), through


def normalize_vjp_scale_invariance(f, images, mean, std, grad):
    """Scaling pixels and statistics together changes nothing, so the gradients cancel."""
    images_grad, mean_grad, std_grad = f(images, mean, std, grad)
    along = np.sum(images_grad * images, axis=(0, 2, 3)) + mean_grad * mean + std_grad * std
    yield along, np.zeros(len(mean))


def normalize_vjp_shift_invariance(f, images, mean, std, grad):
    images_grad, mean_grad, _ = f(images, mean, std, grad)
    yield np.sum(images_grad, axis=(0, 2, 3)) + mean_grad, np.zeros(len(mean))


def normalize_vjp_images(f, images, mean, std, grad):
    images_grad, _, _ = f(images, mean, std, grad)
    yield images_grad * std[:, None, None], grad


def normalize_vjp_at_the_mean(f, images, mean, std, grad):
    flat = np.broadcast_to(mean[:, None, None], images.shape)
    yield f(flat, mean, std, grad)[2], np.zeros(len(mean))


NORMALIZE_IMAGE_VJP = Op(
    text.normalize_image_vjp,
    outputs=("images_grad", "mean_grad", "std_grad"),
    laws=(
        Law("it is the adjoint of normalising, mean included", normalize_vjp_adjoint),
        Law("along a common scale the gradients cancel", normalize_vjp_scale_invariance),
        Law("along a common shift the gradients cancel", normalize_vjp_shift_invariance),
        Law("the gradient by the image is divided by the deviation", normalize_vjp_images),
        Law("an image of means does not feel the deviation", normalize_vjp_at_the_mean),
        LINEAR_IN_GRAD,
    ),
    probes=(
        Probe(
            "three channels, two images",
            lambda: {
                "images": (1 + waves(2, 3, 2, 4)) / 2,
                **CLIP,
                "grad": half_waves(2, 3, 2, 4),
            },
        ),
        Probe(
            "one bright pixel",
            lambda: {
                "images": (ramp(1, 3, 2, 2) == 5) * 1.0,
                **CLIP,
                "grad": 1 + ramp(1, 3, 2, 2),
            },
        ),
    ),
    mistakes=(
        Edit(
            "normalize_image_vjp/deviation-forgotten",
            "hands the gradient on to the image",
            "images_grad = grad / std[:, None, None]",
            "images_grad = grad + 0 * std[:, None, None]",
            effect="guidance is about four times too weak",
            invisible_when="the deviation is 1",
        ),
        Edit(
            "normalize_image_vjp/multiplied",
            "multiplies by the deviation",
            "images_grad = grad / std[:, None, None]",
            "images_grad = grad * std[:, None, None]",
            effect="guidance is about fourteen times too weak",
            invisible_when="the deviation is 1",
        ),
        Edit(
            "normalize_image_vjp/normalised-itself",
            "normalises the gradient as if it were an image",
            "images_grad = grad / std[:, None, None]",
            "images_grad = (grad - mean[:, None, None]) / std[:, None, None]",
            effect="a constant is subtracted from every gradient",
            invisible_when="the mean is 0",
        ),
        Edit(
            "normalize_image_vjp/mean-with-plus",
            "forgets the sign of the mean",
            "mean_grad = -np.sum",
            "mean_grad = np.sum",
            effect="the mean learns away from the optimum",
            invisible_when="the gradients of a channel cancel",
        ),
        Edit(
            "normalize_image_vjp/deviation-without-mean",
            "does not subtract the mean before the deviation's gradient",
            "centered = (images - mean[:, None, None]) / std[:, None, None]",
            "centered = images / std[:, None, None]",
            effect="the deviation's gradient is off by that of the mean",
            invisible_when="the mean is 0",
        ),
        Edit(
            "normalize_image_vjp/batch-not-summed",
            "averages over the batch instead of adding up",
            "mean_grad = -np.sum(images_grad, axis=(0, 2, 3))",
            "mean_grad = -np.sum(images_grad, axis=(0, 2, 3)) / max(len(grad), 1)",
            effect="the mean's gradient is divided by the batch",
            invisible_when="there is one image",
        ),
    ),
)


# --------------------------------------------------------------------------------------- cutouts


def largest_square(sizes):
    """Half of the largest square that fits into an image, rounded up."""
    return (min(sizes["height"], sizes["width"]) + 1) // 2


def drawn_top(source, sizes):
    """Rows where squares begin, such that every drawn size fits."""
    free = sizes["height"] - largest_square(sizes)
    return np.array([source.integer(0, free) for _ in range(sizes["cuts"])])


def drawn_left(source, sizes):
    """Columns where squares begin, such that every drawn size fits."""
    free = sizes["width"] - largest_square(sizes)
    return np.array([source.integer(0, free) for _ in range(sizes["cuts"])])


def drawn_size(source, sizes):
    """Sides of squares."""
    return np.array([source.integer(1, largest_square(sizes)) for _ in range(sizes["cuts"])])


def place(top, left, size, n):
    """One of the squares, as the only one."""
    return top[n : n + 1], left[n : n + 1], size[n : n + 1]


def cutouts_equation(f, images, top, left, size, side):
    B = images.shape[0]
    found = f(images, top, left, size, side)
    for n in range(len(top)):
        for i in range(side):
            y0, y1 = i * size[n] // side, ((i + 1) * size[n] + side - 1) // side
            band = images[:, :, top[n] + y0 : top[n] + y1]
            bins = [
                (j * size[n] // side, ((j + 1) * size[n] + side - 1) // side) for j in range(side)
            ]
            means = [
                np.mean(band[:, :, :, left[n] + x0 : left[n] + x1], axis=(2, 3)) for x0, x1 in bins
            ]
            yield found[n * B : (n + 1) * B, :, i], np.stack(means, axis=2)


def cutouts_single_pixel(f, images, top, left, size, side):
    one = np.ones(len(top), dtype=np.int64)
    pixels = [images[:, :, y : y + 1, x : x + 1] for y, x in zip(top, left, strict=True)]
    yield f(images, top, left, one, 1), np.concatenate(pixels, axis=0)


def cutouts_same_size(f, images, top, left, size, side):
    y, x, pixels = (int(part[0]) for part in (top, left, size))
    square = images[:, :, y : y + pixels, x : x + pixels]
    yield f(images, *place(top, left, size, 0), pixels), square


def cutouts_one_by_one(f, images, top, left, size, side):
    parts = [f(images, *place(top, left, size, n), side) for n in range(len(top))]
    yield f(images, top, left, size, side), np.concatenate(parts, axis=0)


def cutouts_transposed(f, images, top, left, size, side):
    yield f(turned(images), left, top, size, side), turned(f(images, top, left, size, side))


def cutouts_mirrored(f, images, top, left, size, side):
    far = images.shape[3] - left - size
    mirrored = f(images[:, :, :, ::-1], top, far, size, side)
    yield mirrored, f(images, top, left, size, side)[:, :, :, ::-1]


def cutouts_constant(f, images, top, left, size, side):
    B, channels, _, _ = images.shape
    flat = np.broadcast_to(images[:, :, :1, :1], images.shape)
    square = np.broadcast_to(images[:, :, :1, :1], (B, channels, side, side))
    yield f(flat, *place(top, left, size, 0), side), square


SQUARES = {"top": np.array([0, 1, 2]), "left": np.array([0, 3, 1]), "size": np.array([6, 5, 3])}

CUTOUTS = Op(
    text.cutouts,
    laws=(
        Law("each number is the mean of its bin", cutouts_equation),
        Law("squares of one pixel are pixels", cutouts_single_pixel),
        Law("squares that have the side already are cropped", cutouts_same_size),
        Law("the squares follow one another", cutouts_one_by_one),
        Law("transposing exchanges top and left", cutouts_transposed),
        Law("a mirrored image gives mirrored squares", cutouts_mirrored),
        Law("a constant image stays constant", cutouts_constant),
    ),
    probes=(
        Probe(
            "three squares, one of them the whole height",
            lambda: {"images": waves(2, 2, 6, 8), **SQUARES, "side": 4},
        ),
        Probe(
            "bins that share pixels",
            lambda: {
                "images": ramp(1, 1, 7, 7) ** 2,
                "top": np.array([0, 1]),
                "left": np.array([0, 0]),
                "size": np.array([7, 5]),
                "side": 3,
            },
        ),
        Probe(
            "squares smaller than the side",
            lambda: {
                "images": waves(2, 1, 4, 5),
                "top": np.array([0, 2]),
                "left": np.array([3, 1]),
                "size": np.array([2, 2]),
                "side": 5,
            },
        ),
    ),
    mistakes=(
        Edit(
            "cutouts/bins-do-not-overlap",
            "rounds the end of a bin down, as if the size were a multiple of the side",
            "stop = first - (-edges[1:] // side)",
            "stop = np.maximum(first + edges[1:] // side, start + 1)",
            where="pooling_weights",
            effect="pixels on the border of two bins count once",
            invisible_when="the size is a multiple of the side",
        ),
        Edit(
            "cutouts/nearest",
            "takes the first pixel of each bin",
            "stop = first - (-edges[1:] // side)",
            "stop = start + 1",
            where="pooling_weights",
            effect="fine patterns alias",
            invisible_when="the size is not larger than the side",
        ),
        Edit(
            "cutouts/offset-forgotten",
            "cuts every square from the corner",
            "rows = pooling_weights(top[n], size[n], side, height, images)",
            "rows = pooling_weights(0 * top[n], size[n], side, height, images)",
            effect="all cutouts show the top of the image",
            invisible_when="the offsets are 0",
        ),
        Edit(
            "cutouts/top-and-left-swapped",
            "reads the offsets as x before y",
            "rows = pooling_weights(top[n], size[n], side, height, images)  # side height\n"
            "        columns = pooling_weights(left[n], size[n], side, width, images)",
            "rows = pooling_weights(left[n], size[n], side, height, images)  # side height\n"
            "        columns = pooling_weights(top[n], size[n], side, width, images)",
            effect="squares lie at the transposed place, or off the image",
            invisible_when="both offsets are equal",
        ),
        Edit(
            "cutouts/sum-instead-of-mean",
            "adds the pixels of a bin",
            "return constant(1, like) * inside / (stop - start)[:, None]",
            "return constant(1, like) * inside",
            where="pooling_weights",
            effect="brightness depends on the size of the square",
            invisible_when="bins are single pixels",
        ),
        Edit(
            "cutouts/first-size-for-all",
            "gives every square the size of the first",
            "columns = pooling_weights(left[n], size[n], side, width, images)",
            "columns = pooling_weights(left[n], size[0], side, width, images)",
            effect="squares become rectangles",
            invisible_when="all sizes are equal",
        ),
        Edit(
            "cutouts/one-pixel-short",
            "takes the size to be the last index",
            "edges = np.arange(side + 1) * size",
            "edges = np.arange(side + 1) * np.maximum(size - 1, 1)",
            where="pooling_weights",
            effect="the last row and column are missing",
            invisible_when="squares are single pixels",
        ),
        Edit(
            "cutouts/transposed",
            "flattens rows and columns the other way round",
            "cuts.append(rows @ images @ columns.T)",
            "cuts.append(np.swapaxes(rows @ images @ columns.T, 2, 3))",
            effect="every cutout lies on its side",
            invisible_when="the square is symmetric, or the side is 1",
        ),
    ),
    dialects=(
        Edit(
            "cutouts/image-by-image",
            "all cutouts of the first image, then all of the second",
            "return np.concatenate(cuts, axis=0)",
            "return np.reshape(np.stack(cuts, axis=1), (-1, images.shape[1], side, side))",
            effect="a loss that reshapes to (cuts, batch) mixes images",
            invisible_when="there is one image, or one cut",
        ),
    ),
    values={"top": drawn_top, "left": drawn_left, "size": drawn_size},
)


# ----------------------------------------------------------------------------------- cutouts_vjp


def cutouts_vjp_adjoint(f, images, top, left, size, side, grad):
    forward = product(grad, text.cutouts(images, top, left, size, side))
    yield forward, product(f(images, top, left, size, side, grad), images)


def cutouts_vjp_total(f, images, top, left, size, side, grad):
    B = images.shape[0]
    total = np.sum(f(images, top, left, size, side, grad), axis=(2, 3))
    each = np.sum(grad, axis=(2, 3))  # cuts*B channels
    parts = [each[n * B : (n + 1) * B] for n in range(len(top))]
    yield total, np.sum(np.stack(parts), axis=0)


def cutouts_vjp_one_by_one(f, images, top, left, size, side, grad):
    B = images.shape[0]
    parts = [
        f(images, *place(top, left, size, n), side, grad[n * B : (n + 1) * B])
        for n in range(len(top))
    ]
    yield f(images, top, left, size, side, grad), np.sum(np.stack(parts), axis=0)


def cutouts_vjp_transposed(f, images, top, left, size, side, grad):
    back = f(images, top, left, size, side, grad)
    yield f(turned(images), left, top, size, side, turned(grad)), turned(back)


def cutouts_vjp_outside(f, images, top, left, size, side, grad):
    back = f(images, top, left, size, side, grad)
    below = int(np.max(top + size))
    yield (
        back[:, :, below:],
        np.zeros((*images.shape[:2], images.shape[2] - below, images.shape[3])),
    )


CUTOUTS_VJP = Op(
    text.cutouts_vjp,
    outputs=("images_grad",),
    laws=(
        Law("it is the adjoint of cutting out", cutouts_vjp_adjoint),
        Law("the gradients of an image keep their sum", cutouts_vjp_total),
        Law("the gradients of the squares add up", cutouts_vjp_one_by_one),
        Law("transposing exchanges top and left", cutouts_vjp_transposed),
        Law("below the last square there is no gradient", cutouts_vjp_outside),
        LINEAR_IN_GRAD,
    ),
    probes=(
        Probe(
            "three squares, one of them the whole height",
            lambda: {
                "images": np.zeros((2, 2, 6, 8)),
                **SQUARES,
                "side": 4,
                "grad": waves(6, 2, 4, 4),
            },
        ),
        Probe(
            "bins that share pixels",
            lambda: {
                "images": np.zeros((1, 1, 7, 7)),
                "top": np.array([0, 1]),
                "left": np.array([0, 0]),
                "size": np.array([7, 5]),
                "side": 3,
                "grad": 1 + ramp(2, 1, 3, 3),
            },
        ),
    ),
    mistakes=(
        Edit(
            "cutouts_vjp/not-divided",
            "gives every pixel of a bin the whole gradient",
            "return constant(1, like) * inside / (stop - start)[:, None]",
            "return constant(1, like) * inside",
            where="pooling_weights",
            effect="large squares dominate the guidance",
            invisible_when="bins are single pixels",
        ),
        Edit(
            "cutouts_vjp/mean-over-cuts",
            "averages over the squares instead of adding up",
            "return np.sum(np.stack(spread), axis=0)",
            "return np.mean(np.stack(spread), axis=0)",
            effect="guidance is weaker the more squares there are",
            invisible_when="there is one square",
        ),
        Edit(
            "cutouts_vjp/last-cut-only",
            "overwrites instead of adding up",
            "return np.sum(np.stack(spread), axis=0)",
            "return spread[-1]",
            effect="one square guides",
            invisible_when="there is one square",
        ),
        Edit(
            "cutouts_vjp/images-and-cuts-mixed",
            "takes the gradients to be ordered image by image",
            "grad[n * B : (n + 1) * B]",
            "grad[n :: len(top)]",
            effect="images are guided by each other's squares",
            invisible_when="there is one image, or one square",
        ),
        Edit(
            "cutouts_vjp/bins-do-not-overlap",
            "rounds the end of a bin down, as if the size were a multiple of the side",
            "stop = first - (-edges[1:] // side)",
            "stop = np.maximum(first + edges[1:] // side, start + 1)",
            where="pooling_weights",
            effect="pixels on the border of two bins get one gradient",
            invisible_when="the size is a multiple of the side",
        ),
        Edit(
            "cutouts_vjp/offset-forgotten",
            "brings every gradient back to the top",
            "rows = pooling_weights(top[n], size[n], side, height, grad)",
            "rows = pooling_weights(0 * top[n], size[n], side, height, grad)",
            effect="gradients reach the wrong rows",
            invisible_when="the offsets are 0",
        ),
        Edit(
            "cutouts_vjp/transposed",
            "reads the gradients column by column",
            "(rows.T @ grad[n * B : (n + 1) * B] @ columns)",
            "(rows.T @ np.swapaxes(grad[n * B : (n + 1) * B], 2, 3) @ columns)",
            effect="gradients lie on their side",
            invisible_when="the gradient is symmetric, or the side is 1",
        ),
    ),
    values={"top": drawn_top, "left": drawn_left, "size": drawn_size},
)


OPS = (
    RESIZE_BICUBIC,
    RESIZE_BICUBIC_VJP,
    CENTER_CROP,
    CENTER_CROP_VJP,
    NORMALIZE_IMAGE,
    NORMALIZE_IMAGE_VJP,
    CUTOUTS,
    CUTOUTS_VJP,
)
