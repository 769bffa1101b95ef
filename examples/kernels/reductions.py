"""Reductions and scans along the middle axis, or the last: eleven."""

import numpy as np

from refimpl.axes import Array, Float

Stack = Float[Array, "B N D"]
Rows = Float[Array, "B N"]


def total(x: Stack):
    return np.sum(x, axis=1, keepdims=True)


def average(x: Stack):
    return np.mean(x, axis=1)


def largest(x: Stack):
    return np.max(x, axis=1)


def least(x: Stack):
    return np.min(x, axis=1)


def place_of_largest(x: Stack):
    return np.argmax(x, axis=1)


def place_of_least(x: Stack):
    return np.argmin(x, axis=1)


def running_total(x: Rows):
    return np.cumsum(x, axis=1)


def running_product(x: Rows):
    return np.cumprod(x, axis=1)


def running_from_the_end(x: Rows):
    return np.cumsum(x[:, ::-1], axis=1)[:, ::-1]


def running_before(x: Rows):
    return np.cumsum(x, axis=1) - x


def running_where(x: Rows, mask: Rows):
    return np.cumsum(np.where(mask > 0, x, 0), axis=1)
