"""Convolutions and their transposes in one, two and three dimensions: thirty-five settings."""

import numpy as np

WINDOWS = np.lib.stride_tricks.sliding_window_view


def _each(number, count):
    return (number,) * count if isinstance(number, int) else tuple(number)


def _convolved(x, w, stride=1, padding=0, dilation=1, groups=1):
    """x is B C places, w is O C/groups sides: each output is a window times a filter, summed."""
    count = x.ndim - 2
    steps, around, apart = (_each(n, count) for n in (stride, padding, dilation))
    wide = tuple((side - 1) * d + 1 for side, d in zip(w.shape[2:], apart))
    x = np.pad(x, ((0, 0), (0, 0), *((p, p) for p in around)))
    seen = WINDOWS(x, wide, axis=tuple(range(2, 2 + count)))
    every = (slice(None), slice(None))
    seen = seen[every + tuple(slice(None, None, s) for s in (*steps, *apart))]
    inputs, outputs, sides = x.shape[1] // groups, w.shape[0] // groups, "uvw"[:count]
    places = "xyz"[:count]
    parts = [
        np.einsum(
            f"bc{places}{sides},oc{sides}->bo{places}",
            seen[:, g * inputs : (g + 1) * inputs],
            w[g * outputs : (g + 1) * outputs],
        )
        for g in range(groups)
    ]
    return np.concatenate(parts, axis=1)


def _transposed(x, w, stride=1, padding=0, output_padding=0, dilation=1, groups=1):
    """The adjoint: x with zeros between its numbers, convolved with w turned around."""
    count = x.ndim - 2
    steps, around, after, apart = (
        _each(n, count) for n in (stride, padding, output_padding, dilation)
    )
    for axis, step in enumerate(steps, start=2):
        x = _spread(x, axis, step)
    margins = [
        ((side - 1) * d - p, (side - 1) * d - p + extra)
        for side, d, p, extra in zip(w.shape[2:], apart, around, after)
    ]
    x = np.pad(x, ((0, 0), (0, 0), *margins))
    inputs = w.shape[0] // groups
    turned = w[(slice(None), slice(None)) + (slice(None, None, -1),) * count]
    filters = [np.swapaxes(turned[g * inputs : (g + 1) * inputs], 0, 1) for g in range(groups)]
    return _convolved(x, np.concatenate(filters), dilation=dilation, groups=groups)


def _spread(x, axis, step):
    """Zeros between the numbers along one axis."""
    if step == 1:
        return x
    x = np.moveaxis(x, axis, -1)[..., None]
    wide = np.pad(x, ((0, 0),) * (x.ndim - 1) + ((0, step - 1),))
    wide = np.reshape(wide, (*wide.shape[:-2], -1))[..., : 1 - step]
    return np.moveaxis(wide, -1, axis)


def line(x, w):
    return _convolved(x, w)


def line_dilated_strided(x, w):
    return _convolved(x, w, stride=2, dilation=2)


def line_wide(x, w):
    return _convolved(x, w, padding=2)


def line_grouped(x, w):
    return _convolved(x, w, padding=1, groups=2)


def square(x, w):
    return _convolved(x, w)


def square_strided_padded(x, w):
    return _convolved(x, w, stride=2, padding=1)


def square_by_rectangle(x, w):
    return _convolved(x, w)


def rectangle_by_square(x, w):
    return _convolved(x, w, padding=(1, 0))


def rectangle(x, w):
    return _convolved(x, w, stride=(2, 1))


def square_dilated_padded(x, w):
    return _convolved(x, w, padding=(2, 1), dilation=(2, 1))


def depthwise(x, w):
    return _convolved(x, w, padding=1, groups=6)


def depthwise_rectangle(x, w):
    return _convolved(x, w, stride=2, groups=6)


def depthwise_dilated(x, w):
    return _convolved(x, w, dilation=2, groups=6)


def pointwise(x, w):
    return _convolved(x, w)


def square_grouped(x, w):
    return _convolved(x, w, padding=1, groups=3)


def square_large(x, w):
    return _convolved(x, w, padding=2)


def cube(x, w):
    return _convolved(x, w)


def cube_strided(x, w):
    return _convolved(x, w, stride=2, padding=1)


def cube_by_block(x, w):
    return _convolved(x, w, padding=(0, 1, 0))


def block_dilated(x, w):
    return _convolved(x, w, dilation=2)


def line_transposed(x, w):
    return _transposed(x, w)


def line_transposed_strided(x, w):
    return _transposed(x, w, stride=2, padding=1, output_padding=1)


def line_transposed_dilated(x, w):
    return _transposed(x, w, dilation=2, padding=1)


def line_transposed_grouped(x, w):
    return _transposed(x, w, groups=2)


def square_transposed(x, w):
    return _transposed(x, w)


def square_transposed_strided(x, w):
    return _transposed(x, w, stride=2, padding=1)


def rectangle_transposed(x, w):
    return _transposed(x, w)


def rectangle_transposed_padded(x, w):
    return _transposed(x, w, padding=(1, 0))


def square_transposed_grouped(x, w):
    return _transposed(x, w, stride=(2, 1), padding=1, groups=2)


def square_transposed_dilated(x, w):
    return _transposed(x, w, stride=2, padding=1, dilation=2, output_padding=1)


def cube_transposed(x, w):
    return _transposed(x, w)


def cube_transposed_strided(x, w):
    return _transposed(x, w, stride=2, padding=1, output_padding=1)


def block_transposed(x, w):
    return _transposed(x, w)


def cube_transposed_grouped(x, w):
    return _transposed(x, w, groups=2)


def block_transposed_strided(x, w):
    return _transposed(x, w, stride=(1, 2, 1), padding=(1, 0, 0))


_SIZES = {
    "line": ((2, 6, 9), (6, 6, 3)),
    "line_dilated_strided": ((2, 6, 9), (6, 6, 3)),
    "line_wide": ((2, 6, 9), (6, 6, 5)),
    "line_grouped": ((2, 6, 9), (6, 3, 3)),
    "square": ((2, 6, 8, 8), (6, 6, 3, 3)),
    "square_strided_padded": ((2, 6, 8, 8), (6, 6, 4, 4)),
    "square_by_rectangle": ((2, 6, 8, 8), (6, 6, 3, 4)),
    "rectangle_by_square": ((2, 6, 8, 8), (6, 6, 3, 3)),
    "rectangle": ((2, 6, 8, 8), (6, 6, 2, 4)),
    "square_dilated_padded": ((2, 6, 8, 8), (6, 6, 3, 2)),
    "depthwise": ((2, 6, 8, 8), (6, 1, 3, 3)),
    "depthwise_rectangle": ((2, 6, 8, 8), (6, 1, 3, 2)),
    "depthwise_dilated": ((2, 6, 8, 8), (6, 1, 2, 2)),
    "pointwise": ((2, 6, 8, 8), (6, 6, 1, 1)),
    "square_grouped": ((2, 6, 8, 8), (6, 2, 3, 3)),
    "square_large": ((2, 6, 8, 8), (6, 6, 5, 5)),
    "cube": ((2, 6, 6, 6, 6), (6, 6, 2, 2, 2)),
    "cube_strided": ((2, 6, 6, 6, 6), (6, 6, 2, 2, 2)),
    "cube_by_block": ((2, 6, 6, 6, 6), (6, 6, 2, 3, 2)),
    "block_dilated": ((2, 6, 6, 6, 6), (6, 6, 2, 2, 2)),
    "line_transposed": ((2, 6, 9), (6, 6, 3)),
    "line_transposed_strided": ((2, 6, 9), (6, 6, 3)),
    "line_transposed_dilated": ((2, 6, 9), (6, 6, 3)),
    "line_transposed_grouped": ((2, 6, 9), (6, 3, 3)),
    "square_transposed": ((2, 6, 8, 8), (6, 6, 3, 3)),
    "square_transposed_strided": ((2, 6, 8, 8), (6, 6, 3, 3)),
    "rectangle_transposed": ((2, 6, 8, 8), (6, 6, 2, 3)),
    "rectangle_transposed_padded": ((2, 6, 8, 8), (6, 6, 3, 2)),
    "square_transposed_grouped": ((2, 6, 8, 8), (6, 3, 3, 3)),
    "square_transposed_dilated": ((2, 6, 8, 8), (6, 6, 3, 3)),
    "cube_transposed": ((2, 6, 6, 6, 6), (6, 6, 2, 2, 2)),
    "cube_transposed_strided": ((2, 6, 6, 6, 6), (6, 6, 2, 2, 2)),
    "block_transposed": ((2, 6, 6, 6, 6), (6, 6, 2, 3, 2)),
    "cube_transposed_grouped": ((2, 6, 6, 6, 6), (6, 3, 2, 2, 2)),
    "block_transposed_strided": ((2, 6, 6, 6, 6), (6, 6, 3, 2, 2)),
}


def _some(shape, wave):
    return np.float32(np.sin(wave * np.arange(1, np.prod(shape) + 1))).reshape(shape)


EXAMPLES = {name: {"x": _some(x, 0.7), "w": _some(w, 1.9)} for name, (x, w) in _SIZES.items()}
