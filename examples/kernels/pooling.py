"""Windows that are reduced to one number, in one, two and three dimensions: six."""

import numpy as np

WINDOWS = np.lib.stride_tricks.sliding_window_view


def _windows(x, side, stride, padding, dilation, fill):
    """B C, the places, then what each window holds."""
    count = x.ndim - 2
    around = ((0, 0), (0, 0)) + ((padding, padding),) * count
    wide = (side - 1) * dilation + 1
    seen = WINDOWS(
        np.pad(x, around, constant_values=fill), (wide,) * count, axis=tuple(range(2, x.ndim))
    )
    place = (slice(None),) * 2 + (slice(None, None, stride),) * count
    return seen[place + (slice(None, None, dilation),) * count]


def _largest(x, side, stride, padding, dilation):
    seen = _windows(x, side, stride, padding, dilation, -np.inf)
    return np.max(seen, axis=tuple(range(x.ndim, seen.ndim)))


def _mean(x, side, stride, padding):
    seen = _windows(x, side, stride, padding, 1, 0.0)
    return np.sum(seen, axis=tuple(range(x.ndim, seen.ndim))) / side ** (x.ndim - 2)


def largest_of_a_line(x):
    return _largest(x, 4, 1, 2, 3)


def largest_of_a_square(x):
    return _largest(x, 4, 1, 1, 1)


def largest_of_a_cube(x):
    return _largest(x, 3, 2, 1, 1)


def mean_of_a_line(x):
    return _mean(x, 4, 1, 2)


def mean_of_a_square(x):
    return _mean(x, 3, 3, 0)


def mean_of_a_cube(x):
    return _mean(x, 3, 2, 1)


_LINE, _SQUARE, _CUBE = ((2, 3, *(12,) * n) for n in (1, 2, 3))
EXAMPLES = {
    name: {"x": np.linspace(-2, 2, int(np.prod(shape))).reshape(shape).astype(np.float32)}
    for place, shape in (("line", _LINE), ("square", _SQUARE), ("cube", _CUBE))
    for name in (f"largest_of_a_{place}", f"mean_of_a_{place}")
}
