"""Rules of the error-carrying arrays for NumPy as people write it.

contract             einsum, dot, tensordot …: any order of factors and terms
prod, cumprod        any order; what may overflow or vanish on the way counts
cumsum               any order, a scan in parallel too
x ** y               integer powers by products, others also as exp(y log x)
expm1, cbrt          4 ulp; erfc, arctan2 and arccos 4 ulp of one
log_ndtr             4 ulp, of one at least: it may be the logarithm of a probability near one
sort                 order statistics move no more than their interval
argmax, argsort      choices: any index whose score may be the best
floor, sign, x > y   a jump costs its height wherever an honest number may lie beyond it
z > np.sort(z)[k]    as many as have that rank, whatever their errors
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from refimpl.oracle.numbers.errors import ErrorArray, _magnitude, lift, spread
from refimpl.oracle.numbers.exact import is_exact, is_zero
from refimpl.oracle.numbers.ordered import certain, ranks_of
from refimpl.oracle.numbers.places import Doubt, line
from refimpl.oracle.numbers.rules import (
    DIVISION,
    FOLD,
    ULPS,
    _divide,
    _function,
    _gamma,
    _multiply,
    _round,
    _settle,
    _shortened,
    _sqrt,
    _sum,
    _terms_along,
    _ulp,
    gamma,
)


def _full(x: ErrorArray) -> np.ndarray:
    return spread(x.error, x.shape)


def contract(subscripts: str, *operands: ErrorArray) -> ErrorArray:
    """A sum of products in any order, factors bracketed in any way."""
    p = operands[0].precision
    cut = [_shortened(x) for x in operands]
    inputs, out = subscripts.split("->")
    sizes = {c: n for t, x in zip(inputs.split(","), cut) for c, n in zip(t, x.shape, strict=True)}
    n = int(np.prod([size for c, size in sizes.items() if c not in out]))
    factors = len(cut)

    def total(*arrays: Any) -> np.ndarray:
        return np.einsum(subscripts, *arrays)

    value = total(*(x.value for x in cut))
    sizes_of = [np.abs(x.value) for x in cut]
    most = [a + _full(x) for a, x in zip(sizes_of, cut)]
    carried = np.zeros(np.shape(value))
    for i, x in enumerate(cut):  # one factor's error at a time, later ones not yet moved
        if np.any(x.error):
            carried = carried + total(*most[:i], _full(x), *sizes_of[i + 1 :])
    magnitude = total(*most)
    roundings = _gamma(n + factors - 2, p) if factors > 1 else _gamma(n - 1, p)
    products = roundings + p.operand * (2 + p.operand) * (1 + roundings) * (factors > 1)
    stored = 0.0 if p.sum_unit == p.unit else p.unit
    floor = n * p.sum_smallest * (magnitude > 0) if factors > 1 else 0.0
    error = carried + products * magnitude + floor
    error = error + stored * (np.abs(value) + error)
    error = np.where(np.isnan(error), np.inf, error)
    tags = {"terms": magnitude, "count": n, "products": n} if n > 1 or factors > 1 else {}
    return _settle(value, error, p, **tags)


def _prod(x: ErrorArray, axis: Any = None, keepdims: bool = False) -> ErrorArray:
    over = {"axis": axis, "keepdims": keepdims}
    sum_, product, any_ = (partial(f, **over) for f in (np.sum, np.prod, np.any))
    return _multiplied(x, _terms_along(x, axis), sum_, product, any_)


def _multiplied(
    x: ErrorArray, n: Any, sum_: Callable, product: Callable, any_: Callable
) -> ErrorArray:
    """Products of `n` factors each, which the three reductions go along."""
    p, size, error = x.precision, np.abs(x.value), _full(x)
    value, zero = product(x.value), size == 0
    relative = np.divide(error, size, out=np.zeros_like(size), where=~zero)
    growth = sum_(np.log1p(relative)) + n * gamma(1, p.sum_unit)
    part = np.multiply(n, p.sum_unit)
    roundings = np.divide(part, 1 - part, out=np.full(np.shape(part), np.inf), where=part < 1)
    largest = product(size + error) * (1 + roundings)
    bound = np.where(any_(zero), largest, np.abs(value) * np.expm1(growth))
    above = product(np.maximum(size + error, 1))
    below = product(np.minimum(np.where(zero, 1, size), 1))
    bound = np.where(below < 2 * p.smallest, bound + 2 * np.abs(value), bound)
    bound = np.where(above > p.largest / 2, np.inf, bound)
    stored = 0.0 if p.sum_unit == p.unit else p.unit
    return _settle(value, bound + stored * (np.abs(value) + bound), p)


def _along(x: ErrorArray, axis: Any) -> tuple[ErrorArray, Callable]:
    """An array with the axis first, and what puts a result back."""
    if axis is None:
        return x.reshape(-1), lambda result: result
    back = lambda result: np.moveaxis(result, 0, axis)  # noqa: E731
    return np.moveaxis(x, axis, 0), back  # type: ignore[type-var]


def _cumsum(x: ErrorArray, axis: Any = None) -> ErrorArray:
    p = x.precision
    x, back = _along(x, axis)
    n = np.arange(len(x)).reshape(-1, *(1 for _ in x.shape[1:]))
    each = max(x.products, 1) if not x.exponential else 2 * ULPS + 3
    value, error = np.cumsum(x.value, axis=0), np.cumsum(_full(x), axis=0)
    size = _magnitude(x) if x.products else np.abs(x.value)
    magnitude = np.cumsum(np.broadcast_to(size, x.shape), axis=0) + error
    scan = np.array([_gamma(float(k) * each, p) for k in range(len(x))]).reshape(n.shape)
    error = error + scan * magnitude
    stored = 0.0 if p.sum_unit == p.unit else p.unit
    error = error + stored * (np.abs(value) + error)
    return back(_settle(value, error, p, terms=magnitude, count=max(len(x), 1) * each))


def _cumprod(x: ErrorArray, axis: Any = None) -> ErrorArray:
    x, back = _along(x, axis)
    if not len(x):
        return back(x)
    n = np.arange(1.0, len(x) + 1).reshape(-1, *(1 for _ in x.shape[1:]))  # factors so far
    running = (np.add, np.multiply, np.logical_or)
    return back(_multiplied(x, n, *(partial(f.accumulate, axis=0) for f in running)))


def power(x: ErrorArray, y: ErrorArray) -> ErrorArray:
    """Powers with plain exponents by products or roots, others as exp(y log x)."""
    exponent = float(y.value) if y.ndim == 0 and not y.error.any() else np.nan
    if exponent in (0.0, 1.0):
        return x if exponent else x.lift(np.ones(x.shape))
    if exponent == 0.5:
        return _sqrt(x)
    if exponent == -0.5:
        return _divide(x.lift(1.0), _sqrt(x))
    if exponent < 0 and exponent.is_integer():
        return _divide(x.lift(1.0), power(x, x.lift(-exponent)))
    if exponent == 2.0:
        return _multiply(x, x)
    if exponent.is_integer() and abs(exponent) <= 64:
        p, n = x.precision, int(exponent)
        size = np.abs(x.value)
        error = sum(size**i * (size + x.error) ** (n - 1 - i) for i in range(n)) * x.error
        value = x.value**n
        return _settle(value, np.where(value == 0, error, _round(value, error, p, 2 * n - 2)), p)
    return _power_by_log(x, y)


def _power_by_log(x: ErrorArray, y: ErrorArray) -> ErrorArray:
    p = x.precision
    value = np.power(x.value, y.value)
    low, high = np.maximum(x.value - x.error, 0), x.value + x.error
    ends = [
        np.power(a, b)
        for a, b in itertools.product((low, high), (y.value - y.error, y.value + y.error))
    ]
    error = np.max([np.abs(end - value) for end in ends], axis=0)
    logs = np.abs(y.value * np.log(np.where(x.value > 0, x.value, 1)))
    detour = (np.abs(value) + error) * np.expm1((2 * ULPS + 2) * p.sum_unit * logs)
    error = error + np.where(value == 0, 0.0, detour)
    error = np.where(np.isnan(error), np.inf, error)
    error = _function(value, error, p, ULPS * _ulp(np.abs(value) + error, p.sum_unit))
    certain = (x.error == 0) & (y.error == 0) & ((x.value == 0) | (x.value == 1))
    return _settle(value, np.where(certain, 0.0, error), p)


def rising(function: Callable, of_one: bool = False) -> Callable:
    """The rule of a function that only rises or only falls: what its interval's ends give."""

    def rule(x: ErrorArray) -> ErrorArray:
        p, value = x.precision, function(x.value)
        ends = [np.abs(function(x.value + e) - value) for e in (x.error, -x.error)]
        error = np.where(x.error == 0, 0.0, np.maximum(*ends) + 2.0**-52 * np.abs(value))
        error = np.where(np.isnan(error), np.inf, error)
        size = np.abs(value) + error
        ulps = (
            2 * ULPS * p.sum_unit * np.maximum(size, 1) if of_one else ULPS * _ulp(size, p.sum_unit)
        )
        error = _function(value, error, p, ulps)
        exact = is_exact(x, is_zero) & (value == 0)
        return _settle(value, np.where(exact, 0.0, error), p)

    return rule


def _erfc(x: ErrorArray) -> ErrorArray:
    from scipy.special import erfc

    return rising(erfc, of_one=True)(x)


def _log_ndtr(x: ErrorArray) -> ErrorArray:
    from scipy.special import log_ndtr

    return rising(log_ndtr, of_one=True)(x)


def _arctan2(y: ErrorArray, x: ErrorArray) -> ErrorArray:
    p, value = x.precision, np.arctan2(y.value, x.value)
    away, off = np.hypot(x.value, y.value), np.hypot(x.error, y.error)
    turn = np.arcsin(np.minimum(off / np.where(away > 0, away, 1), 1))
    turn = np.where(off == 0, 0.0, np.where(off >= away, 2 * np.pi, turn))
    cut = (np.abs(y.value) <= y.error) & (x.value - x.error < 0) & (off > 0)
    error = np.where(cut, 2 * np.pi, turn)
    error = _function(value, error, p, 4 * ULPS * p.sum_unit)
    exact = (y.error == 0) & (y.value == 0) & (x.error == 0) & (x.value >= 0)
    return _settle(value, np.where(exact, 0.0, error), p)


def stepwise(function: Callable) -> Callable:
    """The rule of a function that jumps: all that it may be between the interval's ends."""

    def rule(x: ErrorArray) -> ErrorArray:
        value = function(x.value)
        low, high = function(x.value - x.error), function(x.value + x.error)
        return ErrorArray(value, np.maximum(high - value, value - low), x.precision)

    return rule


def _sort(x: ErrorArray, axis: Any = -1) -> ErrorArray:
    error = _full(x)
    value = np.sort(x.value, axis=axis)
    above = np.sort(x.value + error, axis=axis) - value
    below = value - np.sort(x.value - error, axis=axis)
    spread = np.maximum(above, below)
    error = np.where(np.isnan(spread), np.inf, spread)
    return ErrorArray(value, error, x.precision, ranked=ranks_of(x, axis))


def _quotient_rest(x: ErrorArray, y: ErrorArray) -> ErrorArray:
    rest = np.remainder(x.value, y.value)
    certain = (x.error == 0) & (y.error == 0)
    near = np.minimum(np.abs(rest), np.abs(y.value) - np.abs(rest)) > x.error
    error = np.where(certain, 0.0, np.where(near & (y.error == 0), x.error, np.inf))
    return _settle(rest, _round(rest, error, x.precision, DIVISION), x.precision)


class Truth(ErrorArray):
    """What a comparison says, 0 or 1, with an error of one where honest numbers may disagree."""

    def moved(self, move: Callable) -> ErrorArray:
        return Truth(
            move(self.value), move(np.broadcast_to(self.error, self.shape)), self.precision
        )

    def decided(self, name: str, axis: Any = None, **kwargs: Any) -> Any:
        if name == "argsort":
            return super().decided(name, axis, **kwargs)
        from refimpl.oracle.numbers.choices import first_true

        found = first_true(self, name, axis)
        return np.expand_dims(found, axis) if kwargs.get("keepdims") and axis is not None else found

    def certain(self, how: str) -> np.ndarray:
        """The plain truth values, if no honest implementation has others."""
        if self.error.any():
            raise Doubt(
                f"{how} depends on computed numbers that may lie on either side ({line()}); "
                "write np.where(condition, a, b), which joins both"
            )
        return self.value != 0


def _compared(name: str) -> Callable:
    ufunc = getattr(np, name)

    def rule(x: ErrorArray, y: ErrorArray) -> Any:
        found = ufunc(x.value, y.value)
        apart = np.abs(x.value - y.value) > x.error + y.error
        same = x.value == y.value
        computed = (x.error > 0) | (y.error > 0)
        doubt = computed & ~(apart & ~same)
        if np.any(doubt):
            doubt = doubt & ~np.asarray(certain(name, x, y))
        return Truth(found, doubt, x.precision) if np.any(doubt) else found

    return rule


def _truth(x: ErrorArray) -> Truth:
    if isinstance(x, Truth) or not x.error.any():
        return Truth(x.value != 0, x.error > 0, x.precision)
    raise Doubt(f"a computed number stands for true or false ({line()}); compare it with another")


def _and(x: ErrorArray, y: ErrorArray) -> Any:
    a, b = _truth(x), _truth(y)
    value = (a.value != 0) & (b.value != 0)
    false = ((a.value == 0) & (a.error == 0)) | ((b.value == 0) & (b.error == 0))
    doubt = ((a.error > 0) | (b.error > 0)) & ~false
    return Truth(value, doubt, x.precision) if np.any(doubt) else value


def _not(x: ErrorArray) -> Any:
    a = _truth(x)
    return Truth(a.value == 0, a.error, x.precision) if np.any(a.error) else a.value == 0


def _or(x: ErrorArray, y: ErrorArray) -> Any:
    a, b = _truth(x), _truth(y)
    value = (a.value != 0) | (b.value != 0)
    true = ((a.value != 0) & (a.error == 0)) | ((b.value != 0) & (b.error == 0))
    doubt = ((a.error > 0) | (b.error > 0)) & ~true
    return Truth(value, doubt, x.precision) if np.any(doubt) else value


def _xor(x: ErrorArray, y: ErrorArray) -> Any:
    a, b = _truth(x), _truth(y)
    value, doubt = a.value != b.value, (a.error > 0) | (b.error > 0)
    return Truth(value, doubt, x.precision) if np.any(doubt) else value


def _chosen(condition: ErrorArray, a: ErrorArray, b: ErrorArray) -> ErrorArray:
    """`np.where` with a doubtful condition: either branch, wherever it is in doubt."""
    shape = np.broadcast_shapes(condition.shape, a.shape, b.shape)
    spread = [x.moved(lambda array: np.broadcast_to(array, shape)) for x in (a, b)]
    truth = np.broadcast_to(condition.value != 0, shape)
    chosen = spread[0].join(spread, lambda arrays: np.where(truth, *arrays))
    reach = [np.abs(x.value - chosen.value) + x.error for x in spread]
    doubt = np.broadcast_to(condition.error > 0, shape)
    both = np.maximum(*reach)
    chosen.error = np.where(doubt, np.where(np.isnan(both), np.inf, both), chosen.error)
    return chosen


def _any(x: ErrorArray, axis: Any = None, keepdims: bool = False) -> Any:
    return np.any(Truth.certain(_truth(x), "np.any"), axis=axis, keepdims=keepdims)


def _all(x: ErrorArray, axis: Any = None, keepdims: bool = False) -> Any:
    return np.all(Truth.certain(_truth(x), "np.all"), axis=axis, keepdims=keepdims)


def _total(x: ErrorArray, axis: Any = None, keepdims: bool = False) -> ErrorArray:
    from refimpl.oracle.numbers.choices import counted

    return (counted if isinstance(x, Truth) else _sum)(x, axis, keepdims)


def _linspace(start: ErrorArray, stop: ErrorArray, num: int) -> ErrorArray:
    p, value = start.precision, np.linspace(start.value, stop.value, num)
    magnitude = np.abs(start.value) + np.abs(stop.value) + start.error + stop.error
    error = np.full(num, start.error + stop.error + gamma(FOLD, p.unit) * magnitude)
    return _settle(value, error, p)


def _quantile(
    x: ErrorArray, q: Any, axis: Any = None, keepdims: bool = False, method: Any = "linear"
) -> ErrorArray:
    """Between order statistics, or one of them; it moves no more than its largest input."""
    p = x.precision
    q = q if isinstance(q, ErrorArray) else lift(q, p)
    n = _terms_along(x, axis)
    value = np.quantile(x.value, q.value, axis=axis, keepdims=keepdims, method=method)
    place = float(q.value) * (n - 1)
    shift = (n - 1) * float(q.error) + 3 * p.unit * place
    beside = shift + (method == "linear")
    near = np.clip([place - beside, place + beside], 0, n - 1) / max(n - 1, 1)
    below, above = np.quantile(x.value, near, axis=axis, keepdims=keepdims, method=method)
    magnitude = np.maximum(np.abs(below), np.abs(above))
    error = np.max(spread(x.error, x.shape), axis=axis, keepdims=keepdims)
    rise = shift if method == "linear" else 1  # a rank more or less is a jump
    return _settle(value, error + rise * (above - below) + 4 * p.unit * magnitude, p)


RULES: dict[str, Callable] = {
    "linspace": _linspace,
    "quantile": _quantile,
    "sum": _total,
    "contract": contract,
    "prod": _prod,
    "cumsum": _cumsum,
    "cumprod": _cumprod,
    "power": power,
    "float_power": power,
    "expm1": rising(np.expm1),
    "cbrt": rising(np.cbrt),
    "arccos": rising(lambda v: np.arccos(np.clip(v, -1, 1)), of_one=True),
    "erfc": _erfc,
    "log_ndtr": _log_ndtr,
    "arctan2": _arctan2,
    "floor": stepwise(np.floor),
    "ceil": stepwise(np.ceil),
    "trunc": stepwise(np.trunc),
    "rint": stepwise(np.rint),
    "sign": stepwise(np.sign),
    "sort": _sort,
    "remainder": _quotient_rest,
    "logical_and": _and,
    "bitwise_and": _and,
    "logical_or": _or,
    "bitwise_or": _or,
    "logical_not": _not,
    "invert": _not,
    "logical_xor": _xor,
    "bitwise_xor": _xor,
    "any": _any,
    "all": _all,
    **{
        name: _compared(name)
        for name in ("greater", "greater_equal", "less", "less_equal", "equal", "not_equal")
    },
}
ErrorArray.rules.update(RULES)
