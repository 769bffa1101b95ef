"""What is known about resize_positions and its gradient: laws, probes and mistakes."""

import numpy as np

from refimpl.gradients import LINEAR_IN_GRAD
from refimpl.op import Law, Op, Probe
from refimpl.ops.common import FLOATS, cosines, mistakes_of, sines, with_more
from refimpl.ops.positions import reference as text

PATCHES = "np.reshape(resized, (D, tall * wide))"


def same_grid(f, positions, rows, cols, tall, wide):
    yield f(positions, rows, cols, rows, cols), positions


def first_row(f, positions, rows, cols, tall, wide):
    yield f(positions, rows, cols, tall, wide)[:1], positions[:1]


def constant_table(f, positions, rows, cols, tall, wide):
    flat = positions[:1] + np.zeros((rows * cols + 1, 1))
    yield f(flat, rows, cols, tall, wide), positions[:1] + np.zeros((tall * wide + 1, 1))


def turned_around(f, positions, rows, cols, tall, wide):
    """The table read backwards belongs to the picture turned by half a circle."""
    around = np.concatenate((positions[:1], positions[:0:-1]), axis=0)
    found = f(positions, rows, cols, tall, wide)
    yield f(around, rows, cols, tall, wide), np.concatenate((found[:1], found[:0:-1]), axis=0)


def linear(f, positions, rows, cols, tall, wide):
    yield f(3 * positions, rows, cols, tall, wide), 3 * f(positions, rows, cols, tall, wide)


def widths_apart(f, positions, rows, cols, tall, wide):
    found = f(positions, rows, cols, tall, wide)
    yield f(positions[:, ::-1], rows, cols, tall, wide), found[:, ::-1]


wrong = mistakes_of("resize_positions")
RESIZED = "resize_bicubic(as_grid(positions, rows, cols), tall, wide)"
RESIZE_POSITIONS = Op(
    text.resize_positions,
    laws=(
        Law("the same grid changes nothing", same_grid),
        Law("the class token keeps its row", first_row),
        Law("a constant table stays constant", constant_table),
        Law("turning the table by 180° turns the result", turned_around),
        Law("is linear in the table", linear),
        Law("each channel is resized by itself", widths_apart),
    ),
    probes=(
        Probe(
            "two by three patches for three by two",
            lambda: {"positions": sines(7, 2), "rows": 2, "cols": 3, "tall": 3, "wide": 2},
        ),
        Probe(
            "four by four made smaller",
            lambda: {"positions": 2 * cosines(17, 1), "rows": 4, "cols": 4, "tall": 2, "wide": 3},
        ),
    ),
    mistakes=(
        wrong(
            "class-token-lost",
            "gives the class token a row of zeros",
            "(positions[:1], patches)",
            "(0 * positions[:1], patches)",
            "the class token has no position",
            "its row is zero",
        ),
        wrong(
            "class-token-last",
            "puts the class token behind the patches",
            "(positions[:1], patches)",
            "(patches, positions[:1])",
            "all positions are one patch off",
            "there is no patch",
        ),
        wrong(
            "transposed-grid",
            "reads the grid column by column",
            "as_grid(positions, rows, cols)",
            "np.swapaxes(as_grid(positions, cols, rows), 2, 3)",
            "positions of the transposed picture",
            "the grid has one row or one column",
        ),
        wrong(
            "rows-and-columns-exchanged",
            "writes the new grid with rows and columns exchanged",
            PATCHES,
            "np.reshape(np.swapaxes(resized, 2, 3), (D, tall * wide))",
            "rows and columns are mixed unless the new grid is square",
            "the new grid has one row or one column",
        ),
        wrong(
            "not-transposed",
            "reshapes (row, column, width) to (width, row, column) without transposing",
            "columns = np.swapaxes(positions[1:], 0, 1)",
            "columns = positions[1:]",
            "entries of different patches are mixed",
            "the width is one",
            where="as_grid",
        ),
        wrong(
            "upside-down",
            "counts rows of patches from below",
            RESIZED,
            "resize_bicubic(as_grid(positions, rows, cols)[:, :, ::-1], tall, wide)",
            "positions of the upside-down picture",
            "the grid has one row",
        ),
        wrong(
            "rescaled",
            "multiplies the table by the ratio of the areas",
            "np.swapaxes(np.reshape(resized, (D, tall * wide)), 0, 1)",
            "np.swapaxes(np.reshape(resized, (D, -1)), 0, 1) * (tall * wide) / (rows * cols)",
            "positions are too large or too small beside the patches",
            "both grids have as many patches",
        ),
    ),
    precisions=FLOATS,
)


def adjoint(f, positions, rows, cols, tall, wide, grad):
    back = f(positions, rows, cols, tall, wide, grad)
    ahead = text.resize_positions(positions, rows, cols, tall, wide)
    yield np.sum(positions * back), np.sum(grad * ahead)


def same_grid_back(f, positions, rows, cols, tall, wide, grad):
    yield f(grad, tall, wide, tall, wide, grad), grad


def first_row_back(f, positions, rows, cols, tall, wide, grad):
    yield f(positions, rows, cols, tall, wide, grad)[:1], grad[:1]


def totals_kept(f, positions, rows, cols, tall, wide, grad):
    found = f(positions, rows, cols, tall, wide, grad)
    yield np.sum(found[1:], axis=0), np.sum(grad[1:], axis=0)


def values_unread(f, positions, rows, cols, tall, wide, grad):
    found = f(positions, rows, cols, tall, wide, grad)
    yield f(0 * positions, rows, cols, tall, wide, grad), found


back = mistakes_of("resize_positions_vjp")
ARRIVED = "as_grid(grad, tall, wide)"
RESIZE_POSITIONS_VJP = Op(
    text.resize_positions_vjp,
    laws=(
        Law("it is the adjoint of resizing", adjoint),
        Law("the same grid hands the gradient on", same_grid_back),
        Law("the class token gets its own row of grad", first_row_back),
        Law("the gradients of the patches keep their sum", totals_kept),
        Law("the values of the table do not matter", values_unread),
        LINEAR_IN_GRAD,
    ),
    probes=tuple(
        with_more(probe, lambda given, shape=shape: {**given, "grad": sines(*shape)})
        for probe, shape in zip(RESIZE_POSITIONS.probes, ((7, 2), (7, 1)), strict=True)
    ),
    outputs=("positions_grad",),
    mistakes=(
        back(
            "resized-back",
            "resizes the gradient to the old grid instead of transposing",
            "resize_bicubic_vjp(as_grid(positions, rows, cols), tall, wide, arrived)",
            "resize_bicubic(arrived, rows, cols)",
            "too large or too small by the change of the grid",
            "both grids are equal",
        ),
        back(
            "class-token-frozen",
            "gives the class token no gradient",
            "(grad[:1], patches)",
            "(0 * grad[:1], patches)",
            "its position is never learned",
            "nothing arrives at it",
        ),
        back(
            "class-token-last",
            "gives the class token the last row of grad",
            "(grad[:1], patches)",
            "(grad[-1:], patches)",
            "the class token gets a patch's gradient",
            "there is no patch",
        ),
        back(
            "transposed-grid",
            "reads grad column by column",
            ARRIVED,
            "np.swapaxes(as_grid(grad, wide, tall), 2, 3)",
            "each patch gets another's gradient",
            "the new grid has one row or one column",
        ),
        back(
            "mean",
            "divides by the number of patches",
            "(grad[:1], patches)",
            "(grad[:1], patches / (rows * cols))",
            "positions of patches learn slowly",
            "there is one patch",
        ),
    ),
    precisions=FLOATS,
)
