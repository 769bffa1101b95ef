"""Bounds of numbers that meet what was made of them: sound for any error, and as sharp."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.oracle.numbers.errors import ErrorArray
from refimpl.oracle.numbers.precisions import PRECISIONS

FLOAT64 = PRECISIONS["float64"]


@pytest.fixture(autouse=True)
def _as_bounds_are_computed():
    with np.errstate(all="ignore"):
        yield


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


def shares(z):
    weights = np.exp(z - np.max(z, axis=-1, keepdims=True))
    return weights / np.maximum(np.sum(weights, axis=-1, keepdims=True), 1)


@pytest.mark.parametrize("size", [1e-6, 0.1, 3.0, 1e4])
def test_shares_are_as_wrong_as_their_logarithms_make_them_and_no_more(size):
    z = carrying(5, 4, 5, size=size)
    found = shares(z)
    most = np.max([np.abs(shares(y) - found.value) for y in corners(z)], axis=0)
    assert np.all(most <= found.error)
    assert np.all(found.error <= most * (1 + 1e-9) + 1e3 * FLOAT64.unit)


def test_scores_without_a_bound_leave_shares_without_one():
    z = carrying(6, 2, 3)
    z.error[0, 1] = np.inf
    found = shares(z)
    assert np.all(np.isinf(found.error[0]))
    assert np.all(np.isfinite(found.error[1]))


@pytest.mark.parametrize("size", [1e-6, 0.1, 3.0, 1e4])
def test_a_mean_by_shares_stays_within_what_it_is_a_mean_of(size):
    z, y = carrying(7, 4, 5, size=size), carrying(8, 5, 3, size=0.0)
    y.value += 100
    found = shares(z) @ y
    most = np.max([np.abs(shares(x) @ y.value - found.value) for x in corners(z)], axis=0)
    assert np.all(most <= found.error)
    assert np.all(found.error <= np.ptp(y.value, axis=0) + 1e5 * FLOAT64.unit)


def test_a_mean_by_shares_is_moved_by_its_numbers_as_far_as_they_are_and_no_further():
    z, y = carrying(9, 4, 5, size=1e4), carrying(10, 5, 3)
    found = shares(z) @ y
    assert np.all(found.error <= np.ptp(y.value, axis=0) + np.max(y.error, axis=0) + 1e-9)
    assert np.all(found.error >= np.min(y.error, axis=0))


def test_a_product_without_a_second_axis_is_as_wrong_as_with_it_or_more():
    z, y = carrying(28, 4, 5), carrying(29, 5)
    for alone, column in ((shares(z) @ y, shares(z) @ y[:, None]), (z @ y, z @ y[:, None])):
        assert np.all(alone.value == column.value[:, 0])
        assert np.all(alone.error >= column.error[:, 0])
    row, one = shares(z[:1]) @ y[:, None], shares(z[0]) @ y[:, None]
    assert one.shape == (1,)
    assert np.all(one.error >= row.error[0])


def test_one_key_is_seen_whatever_its_score():
    z, y = carrying(11, 4, 1, size=1e4), carrying(12, 1, 3, size=0.0)
    found = shares(z) @ y
    assert np.all(found.error <= 1e3 * FLOAT64.unit * np.abs(found.value))


@pytest.mark.parametrize("size", [0.1, 3.0, 1e4])
def test_a_logistic_function_is_as_wrong_as_its_corners_and_never_by_more_than_its_range(size):
    def logistic(x):
        return np.exp(np.minimum(x, 0)) / (1 + np.exp(-np.abs(x)))

    x = carrying(13, 6, 4, size=size)
    found = logistic(x)
    most = np.max([np.abs(logistic(y) - found.value) for y in corners(x)], axis=0)
    assert np.all(most <= found.error)
    assert np.all(found.error <= 2 + 1e3 * FLOAT64.unit)


def test_an_exponential_of_what_may_be_positive_is_not_held_below_one():
    x = ErrorArray(np.zeros(3), np.full(3, 5.0), FLOAT64)
    assert np.all(np.exp(np.minimum(x, 0)).error < 1.001)
    assert np.all(np.exp(np.minimum(x, 1)).error >= np.e - 1)
    assert np.all(np.exp(np.abs(x)).error >= np.expm1(5))


def moved_by_scores(z, g, y, keys, by=lambda weights: weights):
    """The gradient of queries: from that of the mixed rows, through the shares of the keys."""
    weights = shares(z)
    average = np.sum(g * (by(weights) @ y), axis=-1, keepdims=True)
    return (weights * (g @ np.swapaxes(y, -1, -2) - average)) @ keys


@pytest.mark.parametrize("size", [1e-6, 0.1, 3.0, 1e4])
def test_a_gradient_through_shares_is_as_wrong_with_keys_far_from_zero(size):
    z, keys = carrying(14, 4, 5, size=size), carrying(15, 5, 2, size=0.0)
    g, y = carrying(17, 4, 3, size=0.0), carrying(18, 5, 3, size=0.0)
    far = keys + 1000
    centred, found = moved_by_scores(z, g, y, keys), moved_by_scores(z, g, y, far)
    plain = (g.value, y.value, far.value)
    most = [np.abs(moved_by_scores(x, *plain) - found.value) for x in corners(z)]
    assert np.all(np.max(most, axis=0) <= found.error)
    assert np.all(found.error <= 3 * centred.error + 1e7 * FLOAT64.unit)


def test_a_gradient_by_other_shares_than_the_mean_s_is_not_held_together():
    z, g, y = carrying(19, 4, 5), carrying(20, 4, 3, size=0.0), carrying(21, 5, 3, size=0.0)
    keys = carrying(22, 5, 2, size=0.0) + 1000
    alike = moved_by_scores(z, g, y, keys)
    copied = moved_by_scores(z, g, y, keys, by=lambda weights: weights.copy())
    assert np.all(copied.error > 10 * alike.error)
    turned = moved_by_scores(z, g, y, keys, by=lambda weights: weights[:, ::-1])
    assert np.all(turned.error > 10 * alike.error)


def test_numbers_in_doubt_carry_their_own_errors_through_such_a_gradient():
    z, g, y = carrying(23, 4, 5), carrying(24, 4, 3), carrying(25, 5, 3, size=0.1)
    keys = carrying(26, 5, 2) + 1000
    found = moved_by_scores(z, g, y, keys)
    rng = np.random.default_rng(27)
    for _ in range(200):
        near = [x.value + rng.choice([-1.0, 1.0], x.shape) * x.error for x in (z, g, y, keys)]
        assert np.all(np.abs(moved_by_scores(*near) - found.value) <= found.error)
