"""Rules for numbers that meet what was made of them.

x - mean(x)          what is wrong with x is wrong with its mean: it counts once, and of one number
                     no more is left than its last rounding, which one of the two may be spared
exp(x - max(x))      one at most, beside the roundings of the maximum
exp(min(x, 0))       one at most, as exp(-|x|) is, whatever x is wrong by
e / sum(e)           a share: in [0, 1], and moved by what moves e against the others alone
shares @ y           a mean of y: what the shares are wrong by moves it within y, about its middle;
                     they sum to one up to their roundings
shares * (g @ yᵀ - sum(g * (shares @ y)))
                     deviations from a mean, by its own shares: they sum to zero up to roundings,
                     and a product with them is moved by what stands beside them about its middle
"""

from __future__ import annotations

import copy
import weakref
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from refimpl.oracle.numbers import rules, written
from refimpl.oracle.numbers.errors import ErrorArray, _magnitude, spread
from refimpl.oracle.numbers.ordered import named

FUSED = 4  # roundings of two numbers that are subtracted, which a fused product spares or repeats
FARTHEST = 300  # in logarithms: further off, a share is anything from zero to one


@dataclass(frozen=True)
class Made:
    """How an array came from another one, which `token` names, and from how many of its numbers.

    Of exponentials `radius` is how far the logarithm of each may be off, all that they have in
    common left out, and `slack` what their shares or the largest of them may exceed one by.
    """

    how: str
    token: object = None
    count: int = 1
    axis: int = -1
    radius: Any = 0.0
    slack: Any = 0.0
    of: Any = None


@dataclass(frozen=True)
class Place:
    """Where numbers lie in memory: a view of the same numbers lies there, too."""

    owner: weakref.ref
    where: tuple

    @staticmethod
    def of(numbers: np.ndarray) -> Place:
        """The place of an array, which is not kept alive by it."""
        owner = numbers
        while isinstance(owner.base, np.ndarray):
            owner = owner.base
        start = numbers.__array_interface__["data"][0]
        return Place(weakref.ref(owner), (start, numbers.shape, numbers.strides))

    def holds(self, numbers: np.ndarray) -> bool:
        """Whether it is these numbers that lie there."""
        other = Place.of(numbers)
        return self.owner() is other.owner() and self.where == other.where


def _is(x: ErrorArray, how: str, of: ErrorArray) -> bool:
    made = x.made
    return made is not None and made.how == how and made.token is of.token


def _with_error(x: ErrorArray, error: np.ndarray) -> ErrorArray:
    """The same numbers, of which less is in doubt; the terms of their sums are as large."""
    other = copy.copy(x)
    other.error, other.terms = error, _magnitude(x)
    return other


def _mean(x: ErrorArray, axis: Any = None, keepdims: bool = False) -> ErrorArray:
    result = rules._mean(x, axis, keepdims)
    if keepdims or axis is None:
        result.made = Made("mean", named(x), rules._terms_along(x, axis))
    return result


def _subtract(x: ErrorArray, y: ErrorArray) -> ErrorArray:
    if _is(y, "mean", x) and x.error.any():
        error, share = spread(x.error, x.shape), 1 / y.made.count
        others = np.where(np.isfinite(y.error), y.error - share * error, np.inf)
        spared = rules.DIVISION * x.precision.unit * (np.abs(x.value) + error)
        spared = np.where(error > 0, spared, 0.0)
        x, y = _with_error(x, error * (1 - share) + spared), _with_error(y, np.maximum(others, 0))
    result = rules._subtract(x, y)
    if _is(y, "largest", x):
        result.made = _below(x, y, result)
    elif y.made is not None and y.made.how == "average" and x.made is not None:
        result.made = _apart(x, y, result)
    return result


def _max(x: ErrorArray, axis: Any = None, keepdims: bool = False) -> ErrorArray:
    result = rules._max(x, axis, keepdims)
    if keepdims and np.ndim(axis) == 0 and axis is not None:
        result.made = Made("largest", named(x), x.shape[axis], axis % x.ndim)
    return result


def of_some(condition: np.ndarray, a: ErrorArray, chosen: ErrorArray) -> ErrorArray:
    """The largest numbers, but of rows where all is minus infinity: whatever stands there."""
    if a.made is not None and a.made.how == "largest":
        chosen.made = a.made if np.all(condition | np.isneginf(a.value)) else None
    return chosen


def _below(x: ErrorArray, top: ErrorArray, result: ErrorArray) -> Made:
    """Differences from the largest: none is above zero, but for the roundings of both."""
    p, size = x.precision, np.where(np.isfinite(result.value), np.abs(result.value), 0.0)
    alone = rules._subtract(x, _with_error(top, np.zeros(top.shape)))
    radius = alone.error + p.unit * size
    sure = np.all(np.isfinite(result.error), axis=top.made.axis, keepdims=True)
    slack = FUSED * p.unit * (np.abs(top.value) + top.error + size)
    return Made("below", axis=top.made.axis, radius=radius, slack=np.where(sure, slack, np.inf))


def _minimum(x: ErrorArray, y: ErrorArray) -> ErrorArray:
    result = rules._minimum(x, y)
    if any(z.ndim == 0 and z.error == 0 and z.value <= 0 for z in (x, y)):
        result.made = Made("not positive")
    return result


def _absolute(x: ErrorArray) -> ErrorArray:
    result = rules._absolute(x)
    result.made = Made("not negative")
    return result


def _negative(x: ErrorArray) -> ErrorArray:
    result = rules._negative(x)
    if x.made is not None and x.made.how == "not negative":
        result.made = Made("not positive")
    return result


def _exp(x: ErrorArray) -> ErrorArray:
    result, p, made = rules._exp(x), x.precision, x.made
    if made is None or made.how not in ("below", "not positive"):
        return result
    rounded = rules.gamma(2 * rules.ULPS, p.sum_unit) + rules.gamma(1, p.unit)
    most = np.where(np.isfinite(x.error), np.exp(made.slack) * (1 + rounded), np.inf)
    result.error = np.minimum(result.error, np.maximum(result.value, most - result.value))
    if made.how == "below":
        detour = 2 * p.sum_unit * np.where(result.value == 0, 0.0, np.abs(x.value))
        result.made = replace(made, how="power", radius=made.radius + detour + rounded)
    return result


def _sum(x: ErrorArray, axis: Any = None, keepdims: bool = False) -> ErrorArray:
    result = written.RULES["sum"](x, axis, keepdims)
    along = None if axis is None or np.ndim(axis) else axis % x.ndim
    if x.made is not None and x.made.how == "weighed" and keepdims and along == x.ndim - 1:
        result.made = replace(x.made, how="average")
    if x.made is not None and x.made.how == "power" and keepdims and along == x.made.axis:
        result.made = Made("sum", named(x), x.shape[along], along)
    return result


def _maximum(x: ErrorArray, y: ErrorArray) -> ErrorArray:
    """What is at least one, as such a sum is, is not changed by a limit below."""
    result = rules._maximum(x, y)
    for one, limit in ((x, y), (y, x)):
        below = limit.ndim == 0 and limit.error == 0 and limit.value <= 1
        if below and one.made is not None and one.made.how == "sum":
            result.made = one.made
    return result


def _divide(x: ErrorArray, y: ErrorArray) -> ErrorArray:
    result = rules._divide(x, y)
    return _shared(x, y.made, result) if _is(y, "sum", x) else result


def _shared(x: ErrorArray, whole: Made, result: ErrorArray) -> ErrorArray:
    """Shares: between the least and the most that a number comes to against the others."""
    p, n, axis = x.precision, whole.count, whole.axis
    radius = np.minimum(np.broadcast_to(x.made.radius, x.shape), FARTHEST)
    flushed = p.smallest * (x.value > 0)
    low = np.maximum(x.value * np.exp(-radius) - flushed, 0)
    high = x.value * np.exp(radius) + flushed
    most = high / (high + np.maximum(np.sum(low, axis=axis, keepdims=True) - low, 0))
    least = low / (low + np.maximum(np.sum(high, axis=axis, keepdims=True) - high, 0))
    reach = np.fmax(np.fmax(most - result.value, result.value - least), 0)
    rounded = rules._gamma(n * (2 * rules.ULPS + 3), p) + rules.FOLD * p.unit
    again = x.made.slack if n > 1 else 0.0  # from the logarithm of the sum, and of the scores anew
    relative = rounded + np.expm1(again)
    error = reach + np.fmin(result.value + reach, 1) * relative + 2 * flushed
    result.error = np.fmin(result.error, np.where(x.value == 0, result.error, error))
    together = np.max(np.where(x.value > 0, relative, 0.0), axis=axis, keepdims=True)
    spread_ = p.unit * FUSED * np.log(n)
    result.made = Made("share", axis=axis, slack=together + spread_ + n * p.smallest)
    return result


def _matmul(x: ErrorArray, y: ErrorArray) -> ErrorArray:
    result, made = rules._matmul(x, y), x.made
    if x.precision.independent or min(x.ndim, y.ndim) < 2:
        return result
    if made is None or made.axis != x.ndim - 1 or made.how not in ("share", "balanced"):
        result.made = Made(
            "product", of=(Place.of(x.value), Place.of(np.swapaxes(y.value, -1, -2)))
        )
        return result
    if made.how == "balanced":
        return _of_balanced(x, y, result)
    mixed = _of_shares(x, y, result)
    mixed.made = Made("mixed", of=(x, y))
    return mixed


def _of_shares(x: ErrorArray, y: ErrorArray, result: ErrorArray) -> ErrorArray:
    """A mean of the rows of y, each of which has its share."""
    made, x, y = x.made, rules._shortened(x), rules._shortened(y)
    ex, ey = spread(x.error, x.shape), spread(y.error, y.shape)
    highest, lowest = (f(y.value, axis=-2, keepdims=True) for f in (np.max, np.min))
    middle, width = (highest + lowest) / 2, (highest - lowest) / 2
    value, most = x.value @ y.value, 1 + made.slack
    apart = np.minimum(ex @ np.abs(y.value - middle), most * width + np.abs(value - middle))
    moved = np.minimum((np.abs(x.value) + ex) @ ey, most * np.max(ey, axis=-2, keepdims=True))
    carried = apart + np.abs(middle) * made.slack + moved
    magnitude = most * np.max(np.abs(y.value) + ey, axis=-2, keepdims=True)
    magnitude = np.minimum(magnitude, np.abs(x.value) @ np.abs(y.value) + carried)
    other = rules._product(x, y, value, carried, magnitude)
    result.error, result.terms = (
        np.fmin(a, b) for a, b in ((result.error, other.error), (result.terms, other.terms))
    )
    return result


def _multiply(x: ErrorArray, y: ErrorArray) -> ErrorArray:
    result = rules._multiply(x, y)
    for one, other in ((x, y), (y, x)):
        made = one.made
        if made is None or x.shape != y.shape:
            continue
        if made.how == "mixed":
            result.made = Made("weighed", of=(other, one))
        elif made.how == "apart" and made.token is other.token:
            result.made = _balanced(other, one, result)
    return result


def _apart(x: ErrorArray, y: ErrorArray, result: ErrorArray) -> Made | None:
    """Products of g with each row, less that with their mean by some shares.

    `slack` is what such differences, each times its share, may sum to for roundings: those of the
    products, of the mean and of its product, and of shares that do not sum to one.
    """
    weight, mixed = y.made.of
    shares, rows = mixed.made.of
    if x.made.how != "product" or x.ndim != shares.ndim:
        return None
    if not (x.made.of[0].holds(weight.value) and x.made.of[1].holds(rows.value)):
        return None
    p = x.precision
    g, v, s = (_with_error(z, np.zeros(z.shape)) for z in (weight, rows, shares))
    size_g, size_v = (np.abs(z.value) + z.error for z in (weight, rows))
    product, most = np.abs(x.value) + x.error, 1 + shares.made.slack
    turned: Any = np.swapaxes(v, -1, -2)
    fresh = rules._product(g, turned, x.value, 0.0, size_g @ np.swapaxes(size_v, -1, -2)).error
    mean_of = most * np.max(size_v, axis=-2, keepdims=True)
    mean_off = rules._product(s, v, mixed.value, 0.0, mean_of).error
    exact = _with_error(mixed, np.zeros(mixed.shape))
    weighed = rules._multiply(g, exact)
    weighed.value, weighed.terms = size_g * (np.abs(mixed.value) + mixed.error), None
    again = rules._sum(weighed, -1, keepdims=True).error
    along = rules._gamma(shares.shape[-1] + FUSED, p) * product
    off = most * np.max(fresh + along, axis=-1, keepdims=True)
    off = off + np.sum(size_g * mean_off, axis=-1, keepdims=True) + again
    largest = np.max(product, axis=-1, keepdims=True)
    off = off + 2 * shares.made.slack * (largest + np.abs(y.value) + y.error)
    return Made("apart", named(shares), axis=x.ndim - 1, slack=off)


def _balanced(shares: ErrorArray, apart: ErrorArray, result: ErrorArray) -> Made:
    """Differences times their shares: how far their sum may be off zero."""
    p = result.precision
    rounded = FUSED * p.unit * (np.abs(result.value) + result.error) + p.smallest
    slack = apart.made.slack + np.sum(rounded, axis=-1, keepdims=True)
    return Made("balanced", axis=result.ndim - 1, slack=slack)


def _of_balanced(x: ErrorArray, y: ErrorArray, result: ErrorArray) -> ErrorArray:
    """Sums that weights which sum to zero make of the rows of y, about whose middle they are."""
    slack, x, y = x.made.slack, rules._shortened(x), rules._shortened(y)
    ex, ey = spread(x.error, x.shape), spread(y.error, y.shape)
    middle = (np.max(y.value, axis=-2, keepdims=True) + np.min(y.value, axis=-2, keepdims=True)) / 2
    size = np.abs(x.value) + ex
    carried = ex @ np.abs(y.value - middle) + slack * np.abs(middle) + size @ ey
    other = rules._product(x, y, x.value @ y.value, carried, size @ (np.abs(y.value) + ey))
    result.error = np.fmin(result.error, other.error)
    return result


ErrorArray.rules.update(
    {
        "mean": _mean,
        "subtract": _subtract,
        "minimum": _minimum,
        "absolute": _absolute,
        "negative": _negative,
        "max": _max,
        "amax": _max,
        "exp": _exp,
        "sum": _sum,
        "maximum": _maximum,
        "divide": _divide,
        "matmul": _matmul,
        "multiply": _multiply,
    }
)
