"""Bounds of numbers that meet what was made of them: sound for any error, and as sharp."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.oracle.numbers.errors import ErrorArray
from refimpl.oracle.numbers.precisions import PRECISIONS

FLOAT64 = PRECISIONS["float64"]


def carrying(seed, *shape, size=1.0):
    rng = np.random.default_rng(seed)
    return ErrorArray(rng.normal(size=shape), size * rng.uniform(size=shape), FLOAT64)


def corners(x):
    """What is within the errors: every number as far off as it may be, up or down."""
    signs = np.stack(np.meshgrid(*([-1.0, 1.0],) * x.shape[-1]), axis=-1)
    for sign in signs.reshape(-1, x.shape[-1]):
        yield x.value + sign * x.error


def deviation(x):
    return x - np.mean(x, axis=-1, keepdims=True)


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_a_deviation_from_the_mean_is_as_wrong_as_the_numbers_make_it_and_no_more(count):
    x = carrying(count, 4, count)
    found = deviation(x)
    most = np.max([np.abs(deviation(y) - found.value) for y in corners(x)], axis=0)
    assert np.all(most <= found.error)
    assert np.all(found.error <= most + 1e3 * FLOAT64.unit)


def test_the_mean_of_other_numbers_is_as_wrong_as_they_are():
    x = carrying(0, 4, 3)
    other = ErrorArray(x.value, x.error, FLOAT64)
    apart = x - np.mean(other, axis=-1, keepdims=True)
    assert np.all(apart.error > deviation(x).error)
    x = x.copy()
    mean = np.mean(x, axis=-1, keepdims=True)
    x[:] = other
    assert np.all((x - mean).error >= apart.error)
