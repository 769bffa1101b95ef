"""What is known about cutouts and its gradient: laws, probes, mistakes and dialects."""

import numpy as np

from refimpl.gradients import LINEAR_IN_GRAD
from refimpl.op import Edit, Law, Op, Probe
from refimpl.ops.common import sines
from refimpl.ops.images import reference as text
from refimpl.ops.images.spec.shared import product, ramp, turned


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
    costly=("cuts",),
    laws=(
        Law("each number is the mean of its bin", cutouts_equation),
        Law("a square of one pixel repeats that pixel", cutouts_single_pixel),
        Law("squares as large as the side are plain crops", cutouts_same_size),
        Law("the squares come one after another", cutouts_one_by_one),
        Law("transposing exchanges top and left", cutouts_transposed),
        Law("a mirrored image gives mirrored squares", cutouts_mirrored),
        Law("a constant image stays constant", cutouts_constant),
    ),
    probes=(
        Probe(
            "three squares, one of them the whole height",
            lambda: {"images": sines(2, 2, 6, 8), **SQUARES, "side": 4},
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
                "images": sines(2, 1, 4, 5),
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
            "cuts every square from the top, ignoring its offset",
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
            "sums the pixels of a bin instead of averaging",
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
            "exchanges rows and columns of a cutout",
            "cuts.append(rows @ images @ columns.T)",
            "cuts.append(np.swapaxes(rows @ images @ columns.T, 2, 3))",
            effect="every cutout is transposed",
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
    costly=("cuts",),
    outputs=("images_grad",),
    laws=(
        Law("is the adjoint of cutting out", cutouts_vjp_adjoint),
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
                "grad": sines(6, 2, 4, 4),
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
            "averages the gradients of the squares instead of adding them",
            "return np.sum(np.stack(spread), axis=0)",
            "return np.mean(np.stack(spread), axis=0)",
            effect="guidance is weaker the more squares there are",
            invisible_when="there is one square",
        ),
        Edit(
            "cutouts_vjp/last-cut-only",
            "overwrites the gradients of earlier squares instead of adding",
            "return np.sum(np.stack(spread), axis=0)",
            "return spread[-1]",
            effect="only the last square guides",
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
            "puts every gradient back at the top",
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
            effect="gradients are transposed",
            invisible_when="the gradient is symmetric, or the side is 1",
        ),
    ),
    values={"top": drawn_top, "left": drawn_left, "size": drawn_size},
)
