"""What each elementary operation may cost, as a rule on error-carrying arrays.

What an honest implementation may do, and what each rule therefore allows (u: unit roundoff):

    add, multiply        one rounding, u; none where the result is exact
    divide, sqrt         2 u each: the reciprocal or its root may be rounded first
    sum of n             any order and any blocking, (n-1) u on the magnitudes; fused or not
    mean                 also divided first, or updated as each number arrives (Welford)
    sum of exponentials  also rescaled on the way, as in an online softmax
    matrix product       sums of n products in any order
    sum of such          also one sum of all products; weighted, also (A B) c as A (B c)
    a + b + c            any order, like terms joined; an addend may start a matrix product
    c (a + b)            also c a + c b: a factor may be folded into the terms, where a + b = 0 too
    c clip(a + b, 0, d)  also clip(c a + c b, 0, c d); clip(a + b, 0, 1) also the latter, divided
    (a + b) / 2          also a + (b - a) / 2, as of any sum divided by 2, 4, 8 …
    exp, log, arcsin     4 ulp; exp and log 2 u |x| more for a detour through powers of two
    sin, cos, tanh, erf  4 ulp of one: small values may come from larger ones
    tanh, erf beyond 20  exactly one, as everywhere; tanh also what an exponential leaves of it
    e / (1 + e')         4 ulp of one: the logistic function may come from tanh, if 1 + e' is not 1
    near one             a half format rounds to one at most, and never past it
    log1p(x)             also log(1 + x)
    constants            rounded once
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from refimpl.oracle.numbers.errors import ErrorArray, _magnitude, every, some, spread, within
from refimpl.oracle.numbers.exact import (
    ZERO,
    among,
    carried_over,
    is_exact,
    is_nothing,
    is_one,
    is_power_of_two,
    is_unit,
    is_zero,
    unless_infinite,
    where,
    zeros,
)
from refimpl.oracle.numbers.ordered import mirrored
from refimpl.oracle.numbers.precisions import Precision

ULPS = 4  # of an elementary function
SATURATED = 20  # where every tanh, in float64 too, is one
FOLD = 6  # roundings when a factor is folded into the terms of a sum, on either side of a product
REORDER = 3  # roundings when the terms of a sum of three are added in another order
DIVISION = 2  # roundings of a quotient by way of the reciprocal


def gamma(n: float, unit: float) -> float:
    """Higham's constant: n roundings in a row change a product by at most this factor.

    >>> gamma(1, 0.5), gamma(2, 0.5)
    (1.0, inf)
    """
    return n * unit / (1 - n * unit) if n * unit < 1 else np.inf


def _gamma(n: float, p: Precision) -> float:
    return gamma(p.roundings(n), p.sum_unit)


def stored(x: ErrorArray, precision: Precision) -> ErrorArray:
    """A result that was computed in a finer precision, rounded once as it is stored."""
    return _settle(x.value, _round(x.value, x.error, precision), precision)


def _settle(value: np.ndarray, error: np.ndarray, p: Precision, **tags: Any) -> ErrorArray:
    """Flush, overflow and infinities, the same for every operation."""
    _, error = within(value, error, p)
    return ErrorArray(value, error, p, **tags)


def _round(value: np.ndarray, error: np.ndarray, p: Precision, roundings: float = 1) -> np.ndarray:
    """The propagated error after the result is rounded."""
    if roundings == 1:
        return error + _rounding(value, error, p)
    return error + roundings * p.unit * (np.abs(value) + error)


def _rounding(value: np.ndarray, error: np.ndarray, p: Precision) -> np.ndarray:
    """One rounding; to a half format it goes no further than to one, which every format holds."""
    size = np.abs(value)
    relative = p.ends[0] * (size + error)
    if p.sum_unit == p.unit:
        return relative
    return np.minimum(relative, np.abs(size - 1) + error + ULPS * p.sum_unit)


def _ulp(value: np.ndarray, unit: float) -> np.ndarray:
    """The distance of neighbouring numbers at a value, for a unit roundoff."""
    return 2 * unit * np.ldexp(1.0, np.frexp(value)[1] - 1)


def _function(value: np.ndarray, error: np.ndarray, p: Precision, ulps: Any) -> np.ndarray:
    """An elementary function: evaluated with the accumulator's unit, stored with the other."""
    error = error + ulps
    return error if p.sum_unit == p.unit else error + _rounding(value, error, p)


def _constant(x: ErrorArray, value: Any) -> ErrorArray:
    return ErrorArray(value, x.precision.unit * np.abs(value), x.precision, known=True)


def _least(x: ErrorArray) -> np.ndarray:
    """What no honest result is below."""
    least = x.value - x.error
    return least if x.floor is None else np.fmax(least, x.floor)


def _not_negative(x: ErrorArray, floor: np.ndarray) -> ErrorArray:
    """With a limit that roundings keep, as all terms or factors behind it are of one sign."""
    if not some(floor < 0):
        kept = floor * (1 - 4 * x.precision.unit)
        x.floor = np.where(kept < 2 * x.precision.smallest, 0.0, kept)
    return x


def _add(x: ErrorArray, y: ErrorArray) -> ErrorArray:
    p, value = x.precision, x.value + y.value
    error, unit = x.error + y.error, p.ends[0]
    untouched = is_nothing(x, zeros(x.error)) | is_nothing(y, zeros(y.error))
    size_x, size_y = _magnitude(x), _magnitude(y)
    terms = sizes = size_x + size_y
    rounded = _round(value, error, p)
    # a neighbour in the sum may have come first: every later addition rounds it too
    for one, other, size in ((x, y, size_y), (y, x, size_x)):
        if one.count > 1:
            rounded = rounded + _gamma(one.count - 1, p) * size
            if one.count == 2 or other.count > 1:
                rounded = rounded + REORDER * p.unit * sizes
        if one.scaled:  # what is added to a quotient may be added before the division
            rounded = rounded + unit * (DIVISION * (np.abs(value) + error) + size)
    if untouched is not False:
        terms = np.where(untouched, np.abs(value) + error, terms)
        rounded = np.where(untouched, error, rounded)
    logistic = (is_one(x) and y.exponential) or (is_one(y) and x.exponential)
    plain, settled = within(value, rounded, p)
    if not plain and some(np.isinf(error)):  # infinities may meet and give NaN
        settled = np.where(np.isinf(x.error) | np.isinf(y.error), np.inf, settled)
    count = x.count + y.count
    result = ErrorArray(value, settled, p, terms=terms, count=count, logistic=logistic)
    if logistic:
        power = x if x.exponential else y
        result.floor = 1 + (0.0 if power.floor is None else power.floor * (1 - 4 * p.unit))
    elif x.floor is not None or y.floor is not None:
        result = _not_negative(result, _least(x) + _least(y))
    return result


def _subtract(x: ErrorArray, y: ErrorArray) -> ErrorArray:
    return _add(x, _negative(y))


def _negative(x: ErrorArray) -> ErrorArray:
    tags = {"terms": x.terms, "count": x.count, "cut": x.cut and (x.cut[0], -x.cut[1])}
    return mirrored(x, ErrorArray(-x.value, x.error, x.precision, **tags))


def _folded(product: np.ndarray, sum_: ErrorArray, factor: ErrorArray) -> tuple:
    """The extra error when a factor is folded into a sum's terms, and the product's terms."""
    if sum_.terms is None:
        return 0.0, None
    terms = sum_.terms * (np.abs(factor.value) + factor.error)
    return FOLD * sum_.precision.unit * terms, terms


def _parted(sum_: ErrorArray, share: np.ndarray, terms: np.ndarray | None) -> Any:
    """The extra error when half of a sum is one of its terms and half of what is between them."""
    if terms is None or sum_.count < 2:
        return 0.0
    return np.where(np.abs(share) < 1, sum_.precision.unit * terms, 0.0)


def _multiply(x: ErrorArray, y: ErrorArray) -> ErrorArray:
    p, value = x.precision, x.value * y.value
    error = carried_over(x, y)
    exact_x, exact_y = zeros(x.error), zeros(y.error)
    scaled = among(exact_x, x, is_power_of_two) | among(exact_y, y, is_power_of_two)
    zero_x, zero_y = is_nothing(x, exact_x), is_nothing(y, exact_y)
    nothing = unless_infinite(zero_x, y) | unless_infinite(zero_y, x)
    fold_x, terms_x = _folded(value, x, y)
    fold_y, terms_y = _folded(value, y, x)
    tags = {}
    if terms_x is not None and terms_y is None:
        tags = {"terms": terms_x, "count": x.count, "products": min(x.products, 1)}
    if terms_y is not None and terms_x is None:
        tags = {"terms": terms_y, "count": y.count, "products": min(y.products, 1)}
    if scaled is False:
        rounded = _round(value, error, p)
        rounded = rounded if terms_x is None else rounded + fold_x
        rounded = rounded if terms_y is None else rounded + fold_y
    else:
        rounded = error + (_parted(x, y.value, terms_x) + _parted(y, x.value, terms_y))
        if np.ndim(scaled):
            rounded = np.where(scaled, rounded, _round(value, error, p) + fold_x + fold_y)
    result = _settle(value, where(nothing, 0.0, rounded), p, **tags)
    if x is y:
        result.floor = np.zeros(value.shape)
    return result


def _divide(x: ErrorArray, y: ErrorArray) -> ErrorArray:
    p, value = x.precision, x.value / y.value
    if x.known and y.known:
        return _constant(x, value)
    least = np.maximum(np.abs(y.value) - y.error, ZERO if y.floor is None else y.floor)
    error, away = (x.error + np.abs(value) * y.error) / least, least > ZERO
    if not every(away):
        error = np.where(away, error, np.inf)
    fold, terms = 0.0, None
    if x.terms is not None:
        terms = x.terms / least
        fold = FOLD * p.unit * terms
    exact = zeros(x.error)
    one = among(exact, x, is_unit)  # whose quotient is the reciprocal, rounded once
    rounded = _round(value, error, p, DIVISION)
    rounded = rounded if one is False else np.where(one, _round(value, error, p), rounded)
    scaled = is_exact(y, is_power_of_two)
    if scaled is False:
        error = rounded if terms is None else rounded + fold
    else:
        error = np.where(scaled, error + _parted(x, 1 / y.value, terms), rounded + fold)
    nothing = is_nothing(x, exact)
    error = error if nothing is False else np.where(nothing & away, 0.0, error)
    if y.logistic:  # the logistic function may come from tanh
        size = 1.0 if x.exponential else np.abs(x.value) + x.error
        tails = np.where(one, 0.0, np.abs(value)) if x.exponential else 0.0
        error = error + np.where(y.value == 1, tails, 2 * ULPS * p.sum_unit * size)
        # beyond all numbers, the quotient lies between this and zero
        overflown = np.isinf(y.error) & away & np.isfinite(x.error)
        error = np.where(overflown, 2 * ULPS * p.sum_unit * size + 2 * size / least, error)
    tags = {"count": x.count, "products": min(x.products, 1), "terms": terms}
    return _settle(value, error, p, **tags, scaled=y.ndim == 0 and not y.error.any())


def _floor_divide(x: ErrorArray, y: ErrorArray) -> ErrorArray:
    quotient = _divide(x, y)
    least = np.floor(quotient.value - quotient.error)
    most = np.floor(quotient.value + quotient.error)
    return ErrorArray(np.floor(quotient.value), most - least, x.precision)


def _maximum(x: ErrorArray, y: ErrorArray) -> ErrorArray:
    first = x.value - x.error >= y.value + y.error
    second = y.value - y.error >= x.value + x.error
    either = np.maximum(x.error, y.error)
    error = np.where(first, x.error, np.where(second, y.error, either))
    floor = np.fmax(x.value - x.error, y.value - y.error)  # neither is ever less
    result = ErrorArray(np.maximum(x.value, y.value), error, x.precision, floor=floor)
    return _gate(result, x, y) if y.ndim == 0 else _gate(result, y, x)


def _gate(result: ErrorArray, x: ErrorArray, limit: ErrorArray) -> ErrorArray:
    """A sum cut off at zero and at a plain number: c clip(a + b, 0, d) is clip(c a + c b, 0, c d).

    A single limit is often there to keep a sum in one piece, so its terms count again behind the
    second only. Where no honest spelling of the sum comes to a limit, that alone is left of it.
    """
    terms, other = x.cut or (x.terms, np.nan)
    if terms is None or limit.ndim or limit.error.any():
        return result
    beyond = x.value + x.error + FOLD * x.precision.unit * terms < limit.value
    terms, ends = np.where(beyond, np.abs(limit.value), terms), (other, float(limit.value))
    if x.cut is None:
        result.cut = terms, float(limit.value)
    elif 0 in ends:
        result.terms = terms
        if 1 in np.abs(ends):  # it may be what is left of another scale, divided
            result.error = result.error + DIVISION * x.precision.unit * np.abs(result.value)
    return result


def _minimum(x: ErrorArray, y: ErrorArray) -> ErrorArray:
    return _negative(_maximum(_negative(x), _negative(y)))


def _absolute(x: ErrorArray) -> ErrorArray:
    return ErrorArray(np.abs(x.value), x.error, x.precision)


def _exp(x: ErrorArray) -> ErrorArray:
    p, value = x.precision, np.exp(x.value)
    detour = 2 * p.sum_unit * np.where(value == 0, 0.0, np.abs(x.value))
    error = value * np.expm1(x.error + detour)
    error = _function(value, error, p, ULPS * _ulp(value + error, p.sum_unit))
    exact = (x.error == 0) & (np.isneginf(x.value) | (x.value == 0))
    error = np.where(exact, 0.0, error)
    floor = np.minimum(np.maximum(value - error, 0), p.largest)
    floor = np.where(np.isnan(floor), 0.0, floor)
    result = _settle(value, error, p, exponential=True)
    result.floor = np.where(floor < 2 * p.smallest, 0.0, floor)  # an overflow only goes up
    return result


def _log(x: ErrorArray) -> ErrorArray:
    p, value = x.precision, np.log(x.value)
    if x.known:
        return _constant(x, value)
    error = np.where(x.error < x.value, -np.log1p(-x.error / x.value), np.inf)
    if x.floor is not None:
        below = np.where(x.floor > 0, value - np.log(np.maximum(x.floor, 0)), np.inf)
        error = np.minimum(error, np.maximum(below, np.log1p(x.error / x.value)))
    detour = 2 * p.sum_unit * (np.abs(value) + error)
    error = _function(value, error + detour, p, ULPS * _ulp(np.abs(value) + error, p.sum_unit))
    one = (x.error == 0) & (x.value == 1)
    return _settle(value, np.where(one, 0.0, error), p)


def _log1p(x: ErrorArray) -> ErrorArray:
    p, value = x.precision, np.log1p(x.value)
    least = 1 + x.value - x.error
    error = np.where(least > 0, x.error / least, np.inf) + p.unit  # as log(1 + x)
    error = error + 2 * p.sum_unit * np.abs(value)
    error = _function(value, error, p, ULPS * _ulp(np.abs(value) + error, p.sum_unit))
    return _settle(value, where(is_exact(x, is_zero), 0.0, error), p)


def _sqrt(x: ErrorArray) -> ErrorArray:
    p, value = x.precision, np.sqrt(x.value)
    if x.known:
        return _constant(x, value)
    least = np.sqrt(np.maximum(x.value - x.error, 0))
    error = np.minimum(x.error / (value + least), np.sqrt(x.error))
    error = np.where(x.error == 0, 0.0, error)
    one = (x.error == 0) & ((x.value == 0) | (x.value == 1))
    result = _settle(value, np.where(one, 0.0, _round(value, error, p, DIVISION)), p)
    return _not_negative(result, np.sqrt(np.maximum(_least(x), 0)))


def _tanh(x: ErrorArray) -> ErrorArray:
    p, value = x.precision, np.tanh(x.value)
    nearest = np.maximum(np.abs(x.value) - x.error, 0)
    steepest = 1 / np.cosh(np.minimum(nearest, 300)) ** 2
    rest = 2 * np.exp(-2 * nearest)  # up to one, which an exponential in its place would keep
    ulps = np.where(nearest > SATURATED, rest, 2 * ULPS * p.sum_unit)
    error = _function(value, x.error * steepest, p, ulps)
    return _settle(value, where(is_exact(x, is_zero), 0.0, error), p)


def _erf(x: ErrorArray) -> ErrorArray:
    from scipy.special import erf

    p, value = x.precision, erf(x.value)
    nearest = np.maximum(np.abs(x.value) - x.error, 0)
    steepest = 2 / np.sqrt(np.pi) * np.exp(-nearest * nearest)
    ulps = np.where(nearest > SATURATED, 0.0, 2 * ULPS * p.sum_unit)
    error = _function(value, x.error * steepest, p, ulps)
    return _settle(value, where(is_exact(x, is_zero), 0.0, error), p)


def _wave(function: Callable) -> Callable:
    def rule(x: ErrorArray) -> ErrorArray:
        p, value = x.precision, function(x.value)
        error = _function(value, np.minimum(x.error, 2), p, 2 * ULPS * p.sum_unit)
        return _settle(value, where(is_exact(x, is_zero), 0.0, error), p)

    return rule


def _arcsin(x: ErrorArray) -> ErrorArray:
    p, size = x.precision, np.minimum(np.abs(x.value), 1)
    steeper, flatter = np.minimum(size + x.error, 1), np.maximum(size - x.error, -1)
    rise = np.maximum(np.arcsin(steeper) - np.arcsin(size), np.arcsin(size) - np.arcsin(flatter))
    value = np.arcsin(x.value)
    error = _function(value, rise, p, ULPS * _ulp(np.arcsin(steeper), p.sum_unit))
    return _settle(value, where(is_exact(x, is_zero), 0.0, error), p)


def _arctan(x: ErrorArray) -> ErrorArray:
    return _constant(x, np.arctan(x.value))  # enters by way of π alone


def _shortened(x: ErrorArray) -> ErrorArray:
    """The operand of a product that drops its low bits; a small error may change which way."""
    p = x.precision
    if not p.product_bits:
        return x
    value = p.shorten(x.value)
    apart = [np.abs(p.shorten(x.value + e) - value) for e in (x.error, -x.error)]
    return ErrorArray(value, np.maximum(*apart), p)


def _carried(x: np.ndarray, y: np.ndarray, p: Precision) -> np.ndarray:
    """Sums of errors times numbers: all of one sign, or independent of each other."""
    return np.sqrt((x * x) @ (y * y)) if p.independent else x @ y


def _matmul(x: ErrorArray, y: ErrorArray) -> ErrorArray:
    x, y = _shortened(x), _shortened(y)
    p = x.precision
    ax, ay = np.abs(x.value), np.abs(y.value)
    ex, ey = spread(x.error, x.shape), spread(y.error, y.shape)
    value = x.value @ y.value
    sure_x, sure_y = not ex.any(), not ey.any()  # no products with zeros
    carried = 0.0 if sure_y else _carried(ax, ey, p)
    carried = carried if sure_x else carried + _carried(ex, ay, p)
    carried = carried if sure_x or sure_y else carried + _carried(ex, ey, p)
    return _product(x, y, value, carried, ax @ ay + carried)


def _product(x: ErrorArray, y: ErrorArray, value: Any, carried: Any, magnitude: Any) -> ErrorArray:
    """A matrix product with the roundings of its operands and of its sums."""
    p, n = x.precision, x.shape[-1]
    rounded_x, rounded_y = (
        0 if p.holds_operands and not z.error.any() else p.operand for z in (x, y)
    )
    operands = rounded_x + rounded_y + rounded_x * rounded_y
    products = _gamma(n, p) + operands * (1 + _gamma(n, p))
    stored = 0.0 if p.sum_unit == p.unit else p.unit
    error = carried + products * magnitude + n * p.sum_smallest * (magnitude > 0)
    error = error + stored * (np.abs(value) + error)
    return _settle(value, error, p, terms=magnitude, count=n, products=n)


def _terms_along(x: ErrorArray, axis: Any) -> int:
    if type(axis) is int:
        return x.shape[axis]
    axes = range(x.ndim) if axis is None else np.atleast_1d(axis)
    return math.prod([x.shape[a] for a in axes])


def _sum(x: ErrorArray, axis: Any = None, keepdims: bool = False) -> ErrorArray:
    p, n = x.precision, _terms_along(x, axis)
    along: dict[str, Any] = {"axis": axis, "keepdims": keepdims}
    value = np.add.reduce(x.value, **along)
    error = np.add.reduce(spread(x.error, x.shape), **along)
    magnitude = np.add.reduce(_magnitude(x) if x.products else np.abs(x.value), **along) + error
    roundings = (n - 1) * (2 * ULPS + 3 if x.exponential else max(x.products, 1))
    error = error + _gamma(roundings, p) * magnitude
    stored = 0.0 if p.sum_unit == p.unit else p.unit
    error = error + stored * (np.abs(value) + error)
    total = n * max(x.products, 1)
    sums = {"terms": magnitude, "count": total, "products": total} if n > 1 else {}
    result = _settle(value, error, p, **sums)
    return (
        result if x.floor is None else _not_negative(result, 0 * value + np.min(x.floor, initial=0))
    )


def _mean(x: ErrorArray, axis: Any = None, keepdims: bool = False) -> ErrorArray:
    p, n = x.precision, _terms_along(x, axis)
    value = np.mean(x.value, axis=axis, keepdims=keepdims)
    error = np.mean(spread(x.error, x.shape), axis=axis, keepdims=keepdims)
    magnitude = np.mean(np.abs(x.value), axis=axis, keepdims=keepdims) + error
    updates = n + 4 + 2 * np.log(n) if n > 1 else 0
    error = error + _gamma(updates, p) * magnitude
    error = error if n == 1 else _round(value, error, p, DIVISION)
    result = _settle(value, error, p)
    return (
        result if x.floor is None else _not_negative(result, 0 * value + np.min(x.floor, initial=0))
    )


def _max(x: ErrorArray, axis: Any = None, keepdims: bool = False) -> ErrorArray:
    error = spread(x.error, x.shape)
    least = np.max(x.value - error, axis=axis, keepdims=True)
    might_be_largest = (x.value + error >= least) | np.isinf(error)
    worst = np.max(np.where(might_be_largest, error, 0.0), axis=axis, keepdims=keepdims)
    return ErrorArray(np.max(x.value, axis=axis, keepdims=keepdims), worst, x.precision)


ErrorArray.rules = {
    "add": _add,
    "subtract": _subtract,
    "multiply": _multiply,
    "divide": _divide,
    "floor_divide": _floor_divide,
    "negative": _negative,
    "maximum": _maximum,
    "minimum": _minimum,
    "absolute": _absolute,
    "exp": _exp,
    "log": _log,
    "log1p": _log1p,
    "sqrt": _sqrt,
    "tanh": _tanh,
    "erf": _erf,
    "sin": _wave(np.sin),
    "cos": _wave(np.cos),
    "arcsin": _arcsin,
    "arctan": _arctan,
    "matmul": _matmul,
    "sum": _sum,
    "mean": _mean,
    "max": _max,
    "amax": _max,
    "exp2": lambda x: _exp(_multiply(x, x.lift(np.log(2.0)))),
    "log2": lambda x: _divide(_log(x), x.lift(np.log(2.0))),
}

from refimpl.oracle.numbers import wholes, written  # noqa: E402, F401  the rest of the rules
