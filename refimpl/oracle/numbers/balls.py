"""Balls: the unchanged text in interval arithmetic of any precision, for certified values.

A `Balls` array holds Arb balls (python-flint): a midpoint of some hundred bits and a proven radius.
The text runs on it through the same dispatch as the error-carrying arrays, and each result is
narrowed until it decides which float64 is the nearest. A float that was rounded before it entered
the text would make the proof worthless, so it is refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import flint
import numpy as np

from refimpl.exceptions import RefimplError
from refimpl.oracle.numbers.reading import Reading, run

BITS = 200
MIDDLE_BITS = 3200  # from which a ball about the middle of two float64s counts as the middle
MOST_BITS = 12_800
NOTHING = -1100  # binary digits from which float64 holds zero alone
SHORT = 15  # decimal digits that a float always keeps; a longer one was rounded


class Undecided(RefimplError, ArithmeticError):
    """The balls are too wide to decide; more bits are needed."""


def ball(x: Any) -> flint.arb:
    """One number of the text as a ball: integers as they are, short decimals as they are written.

    >>> ball(0.5).is_exact()
    True
    """
    if isinstance(x, flint.arb):
        return x
    if isinstance(x, (bool, int, np.integer, np.bool_)):
        return flint.arb(int(x))
    number = float(x)
    if number in (np.inf, -np.inf):
        return flint.arb(number)
    numerator, denominator = number.as_integer_ratio()
    if denominator <= 1 << 20:
        return flint.arb(numerator) / denominator
    digits = repr(number).replace("-", "").replace(".", "").split("e")[0].strip("0")
    if len(digits) > SHORT:
        raise TypeError(
            f"{number!r} was rounded before it entered the text; lift its parts with constant()"
        )
    exact = Fraction(repr(number))
    return flint.arb(exact.numerator) / exact.denominator


def input_ball(x: float) -> flint.arb:
    """An argument: the float64 number itself, every bit of it."""
    if x in (np.inf, -np.inf):
        return flint.arb(x)
    numerator, denominator = float(x).as_integer_ratio()
    return flint.arb(numerator) / denominator


class Balls(Reading):
    """An array of balls."""

    def __init__(self, value: Any) -> None:
        self.value = np.asarray(value, dtype=object)

    def __repr__(self) -> str:
        return f"Balls({self.value!r})"

    def moved(self, move: Callable) -> Balls:
        return Balls(move(self.value))

    def join(self, parts: list, join: Callable) -> Balls:
        return Balls(join([part.value for part in parts]))

    def filled(self, move: Callable) -> Balls:
        """A move that fills up with zeros."""
        moved = np.asarray(move(self.value), dtype=object)
        return Balls(each(ball, moved))

    def plain(self, how: str) -> Any:
        """The one number, where it is a float64 exactly."""
        number = self.value.item()
        value, _ = nearest(number)
        if not (number.is_exact() and input_ball(value) == number):
            raise TypeError(f"{how} of a number that float64 does not hold")
        return value

    def decided(self, name: str, axis: Any = None, **_: Any) -> np.ndarray:
        middles = each(lambda a: float(a.mid()), self.value).astype(np.float64)
        widths = each(lambda a: float(a.rad()), self.value).astype(np.float64)
        ordered = np.sort(middles, axis=axis)
        gaps = np.diff(ordered, axis=-1 if axis is None else axis)
        if widths.any() and np.min(gaps, initial=np.inf) <= 2 * np.max(widths):
            raise Undecided
        options = {"kind": "stable"} if name == "argsort" else {}
        return getattr(np, name)(middles, axis=axis, **options)

    def lift(self, x: Any) -> Balls:
        return x if isinstance(x, Balls) else Balls(each(ball, np.asarray(x)))

    def select(self, condition: Any, a: Balls, b: Balls) -> Balls:
        """`np.where`: what both sides hold, where balls are too wide to say which."""
        if isinstance(condition, Overlap):
            return Balls(each(_either, condition.found, a.value, b.value))
        return super().select(condition, a, b)

    def lift_constant(self, number: int) -> Balls:
        """An integer, exactly."""
        return Balls(flint.arb(number))


class Overlap:
    """Truth values of a comparison, None where the balls overlap."""

    def __init__(self, found: np.ndarray) -> None:
        self.found = found

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise Undecided

    def __bool__(self) -> bool:
        raise Undecided


def _either(truth: bool | None, a: flint.arb, b: flint.arb) -> flint.arb:
    return a.union(b) if truth is None else a if truth else b


def each(function: Callable, *arrays: Any) -> np.ndarray:
    """Apply a function of numbers to arrays of them."""
    if any(np.size(a) == 0 for a in arrays):
        return np.zeros(np.broadcast_shapes(*(np.shape(a) for a in arrays)), dtype=object)
    return np.asarray(np.frompyfunc(function, len(arrays), 1)(*arrays), dtype=object)


def elementwise(function: Callable) -> Callable:
    """A rule that works number by number."""
    return lambda *operands: Balls(each(function, *(x.value for x in operands)))


def comparison(certain: Callable, opposite: Callable) -> Callable:
    """A comparison; where balls overlap, only `np.where` may go on, with both sides."""

    def decide(a: flint.arb, b: flint.arb) -> bool | None:
        return True if certain(a, b) else False if opposite(a, b) else None

    def rule(x: Balls, y: Balls) -> Any:
        found = each(decide, x.value, y.value)
        undecided = any(truth is None for truth in found.flat)
        return Overlap(found) if undecided else found.astype(bool)

    return rule


def _add(a: flint.arb, b: flint.arb) -> flint.arb:
    if not (a.is_finite() and b.is_finite()):
        return flint.arb(float(a.mid()) + float(b.mid()))
    return a + b


def _exp(a: flint.arb) -> flint.arb:
    return a.exp()


def _log_ndtr(a: flint.arb) -> flint.arb:
    z = a / flint.arb(2).sqrt()
    return (-z.erfc() / 2).log1p() if a > 0 else ((-z).erfc() / 2).log()


def _sqrt(a: flint.arb) -> flint.arb:
    if not a >= 0:
        a = a.nonnegative_part() if a.contains(0) else a
    return a.sqrt()


def _divide(a: flint.arb, b: flint.arb) -> flint.arb:
    if b.contains(0):
        raise Undecided
    return a / b


def _power(x: Balls, y: Balls) -> Balls:
    if y.ndim == 0 and (y.value.item() * 2).is_integer():
        n = float(y.value.item())
        if n.is_integer():
            return Balls(each(lambda a: a ** int(n), x.value))
        return Balls(each(lambda a: _sqrt(a) ** int(2 * n), x.value))
    return Balls(each(lambda a, b: a**b, x.value, y.value))


def _contract(subscripts: str, *operands: Balls) -> Balls:
    """A sum of products: the products written out, then added up."""
    inputs, out = subscripts.split("->")
    summed = "".join(dict.fromkeys(c for c in inputs.replace(",", "") if c not in out))
    whole = np.einsum(f"{inputs}->{out}{summed}", *(x.value for x in operands), dtype=object)
    terms = math.prod(whole.shape[len(out) :])  # none may be there, nor any result
    rows = np.reshape(whole, (*whole.shape[: len(out)], terms))
    return reduction(_total)(Balls(rows), axis=-1)


def _truth(function: Callable) -> Callable:
    """A rule for what a function makes of truth values: a number is true if it is not zero."""

    def decide(*numbers: flint.arb) -> bool | None:
        if any(a.contains(0) and not a.is_zero() for a in numbers):
            return None
        return function(*(bool(a != 0) for a in numbers))

    def rule(*operands: Balls) -> Any:
        found = each(decide, *(x.value for x in operands))
        return Overlap(found) if any(t is None for t in np.ravel(found)) else found.astype(bool)

    return rule


def _truth_along(function: Callable) -> Callable:
    """A rule for what a function makes of the truth values along some axes."""

    def rule(x: Balls, axis: Any = None, keepdims: bool = False) -> Any:
        return function(np.asarray(_truth(bool)(x)), axis=axis, keepdims=keepdims)

    return rule


def _whole(a: flint.arb) -> flint.arb:
    """The nearest integer, the even one of two."""
    up = (a + flint.arb(1) / 2).floor()
    halfway = up - a == flint.arb(1) / 2
    return up - 1 if halfway and int(float(up.mid())) % 2 else up


def _product(numbers: np.ndarray) -> flint.arb:
    product = flint.arb(1)
    for number in numbers:
        product = product * number
    return product


def _jump(function: Callable) -> Callable:
    """A function that jumps, at numbers that are certainly not at a jump."""

    def rule(a: flint.arb) -> flint.arb:
        result = function(a)
        if not result.is_exact():
            raise Undecided
        return result

    return elementwise(rule)


def _running(function: Callable) -> Callable:
    """A rule for what a function makes of the first one, two, three … numbers along an axis."""

    def rule(x: Balls, axis: Any = None) -> Balls:
        numbers = x.value.ravel() if axis is None else np.moveaxis(x.value, axis, 0)
        if not len(numbers):
            return x
        parts = [numbers[0]]
        for number in numbers[1:]:
            parts.append(each(function, parts[-1], number))
        result = np.stack([np.asarray(part, dtype=object) for part in parts])
        return Balls(result if axis is None else np.moveaxis(result, 0, axis))

    return rule


def _sort(x: Balls, axis: Any = -1) -> Balls:
    whole = np.moveaxis(x.value, axis, -1).copy()
    for place in np.ndindex(whole.shape[:-1]):
        row = list(whole[place])
        for end in range(len(row) - 1, 0, -1):  # neighbours change places, certain or not
            for i in range(end):
                row[i], row[i + 1] = row[i].min(row[i + 1]), row[i].max(row[i + 1])
        whole[place] = row
    return Balls(np.moveaxis(whole, -1, axis))


def _total(numbers: np.ndarray) -> flint.arb:
    total = flint.arb(0)
    for number in numbers:
        total = _add(total, number)
    return total


def _largest(numbers: np.ndarray) -> flint.arb:
    most = numbers[0]
    for number in numbers[1:]:
        most = most.max(number)
    return most


def reduction(function: Callable) -> Callable:
    """A rule that turns the numbers along some axes into one."""

    def rule(x: Balls, axis: Any = None, keepdims: bool = False) -> Balls:
        axes = tuple(range(x.ndim)) if axis is None else tuple(a % x.ndim for a in np.ravel(axis))
        kept = [a for a in range(x.ndim) if a not in axes]
        count = int(np.prod([x.shape[a] for a in axes]))
        rows = np.transpose(x.value, (*kept, *axes)).reshape(*(x.shape[a] for a in kept), count)
        result = np.empty(rows.shape[:-1], dtype=object)
        for place in np.ndindex(result.shape):
            result[place] = function(rows[place])
        return Balls(np.expand_dims(result, axes) if keepdims else result)

    return rule


def _matmul(x: Balls, y: Balls) -> Balls:
    if 0 in x.shape or 0 in y.shape:
        shape = (*np.broadcast_shapes(x.shape[:-2], y.shape[:-2]), x.shape[-2], y.shape[-1])
        return Balls(np.full(shape, flint.arb(0), dtype=object))
    return Balls(np.matmul(x.value, y.value))


def _linspace(start: Balls, stop: Balls, num: int) -> Balls:
    a, b = start.value.item(), stop.value.item()
    return Balls([a + (b - a) * i / max(num - 1, 1) for i in range(num)])


def _quantile(x: Balls, q: Any, axis: Any = -1, keepdims: bool = False) -> Balls:
    share = q.value.item() if isinstance(q, Balls) else ball(q)

    def along(numbers: np.ndarray) -> flint.arb:
        ordered = np.sort(numbers)
        place = share * (len(numbers) - 1)
        below = int(float(place.floor().mid()))
        above = min(below + 1, len(numbers) - 1)
        return ordered[below] + (ordered[above] - ordered[below]) * (place - below)

    return reduction(along)(x, axis=axis, keepdims=keepdims)


FLOORED = _jump(lambda a: a.floor())
TRUTHS = {
    "and": _truth(lambda a, b: a and b),
    "or": _truth(lambda a, b: a or b),
    "xor": _truth(lambda a, b: a != b),
}

Balls.rules = {
    "add": elementwise(_add),
    "subtract": elementwise(lambda a, b: _add(a, -b)),
    "multiply": elementwise(lambda a, b: a * b),
    "divide": elementwise(_divide),
    "negative": elementwise(lambda a: -a),
    "power": _power,
    "maximum": elementwise(lambda a, b: a.max(b)),
    "minimum": elementwise(lambda a, b: a.min(b)),
    "absolute": elementwise(abs),
    "exp": elementwise(_exp),
    "log": elementwise(lambda a: a.log()),
    "log1p": elementwise(lambda a: a.log1p()),
    "sqrt": elementwise(_sqrt),
    "tanh": elementwise(lambda a: a.tanh()),
    "erf": elementwise(lambda a: a.erf()),
    "sin": elementwise(lambda a: a.sin()),
    "cos": elementwise(lambda a: a.cos()),
    "arcsin": elementwise(lambda a: a.asin()),
    "arctan": elementwise(lambda a: a.atan()),
    "matmul": _matmul,
    "sum": reduction(_total),
    "mean": reduction(lambda numbers: _total(numbers) / len(numbers)),
    "max": reduction(_largest),
    "amax": reduction(_largest),
    "cumprod": _running(lambda a, b: a * b),
    "cumsum": _running(_add),
    "contract": _contract,
    "prod": reduction(_product),
    "sort": _sort,
    "expm1": elementwise(lambda a: a.expm1()),
    "exp2": elementwise(lambda a: flint.arb(2) ** a),
    "log2": elementwise(lambda a: a.log() / flint.arb(2).log()),
    "erfc": elementwise(lambda a: a.erfc()),
    "log_ndtr": elementwise(_log_ndtr),
    "arccos": elementwise(lambda a: a.acos()),
    "arctan2": elementwise(lambda a, b: flint.arb.atan2(a, b)),
    "cbrt": elementwise(lambda a: a.sgn() * abs(a).root(3)),
    "sign": _jump(lambda a: a.sgn()),
    "floor": FLOORED,
    "rint": _jump(_whole),
    "trunc": _jump(lambda a: a.sgn() * abs(a).floor()),
    "floor_divide": lambda x, y: FLOORED(elementwise(_divide)(x, y)),
    "remainder": lambda x, y: x - FLOORED(elementwise(_divide)(x, y)) * y,
    "float_power": _power,
    **{f"logical_{name}": rule for name, rule in TRUTHS.items()},
    **{f"bitwise_{name}": rule for name, rule in TRUTHS.items()},
    "logical_not": _truth(lambda a: not a),
    "invert": _truth(lambda a: not a),
    "all": _truth_along(np.all),
    "any": _truth_along(np.any),
    "ceil": _jump(lambda a: a.ceil()),
    "isnan": lambda x: each(lambda a: a.is_nan(), x.value).astype(bool),
    "isfinite": lambda x: each(lambda a: a.is_finite(), x.value).astype(bool),
    "equal": comparison(lambda a, b: a == b, lambda a, b: a != b),
    "not_equal": comparison(lambda a, b: a != b, lambda a, b: a == b),
    "linspace": _linspace,
    "quantile": _quantile,
    "greater": comparison(lambda a, b: a > b, lambda a, b: a <= b),
    "greater_equal": comparison(lambda a, b: a >= b, lambda a, b: a < b),
    "less": comparison(lambda a, b: a < b, lambda a, b: a >= b),
    "less_equal": comparison(lambda a, b: a <= b, lambda a, b: a > b),
}


def nearest(number: flint.arb) -> tuple[float, float]:
    """The float64 nearest to every number of a ball, and the ball's radius; else `Undecided`.

    A sum of a few products of float32 numbers may lie just in the middle between two float64s. No
    ball can prove it; from many bits on the even one of the two is taken.
    """
    if not number.is_finite():
        middle = float(number.mid())
        if np.isnan(middle):
            raise Undecided
        return middle, 0.0
    lower, upper = (_as_fraction(end) for end in (number.lower(), number.upper()))
    low, high = _rounded(lower), _rounded(upper)
    if low != high and flint.ctx.prec >= MIDDLE_BITS and np.nextafter(low, high) == high:
        low = high = _rounded((Fraction(low) + Fraction(high)) / 2)
    if low != high:
        raise Undecided
    return low, float(number.rad())


def _as_fraction(exact: flint.arb) -> Fraction:
    mantissa, exponent = (int(part) for part in exact.man_exp())
    if mantissa.bit_length() + exponent < NOTHING:
        return Fraction(0)
    return Fraction(mantissa << max(exponent, 0), 1 << max(-exponent, 0))


def _rounded(x: Fraction) -> float:
    try:
        return float(x)
    except OverflowError:
        return float("inf") if x > 0 else float("-inf")


def in_balls(text: Callable, inputs: dict[str, Any], bits: int) -> Any:
    """What a text returns in balls of so many bits, its arguments every bit of them."""
    with flint.ctx.workprec(bits):
        return run(text, lambda x: Balls(each(input_ball, np.asarray(x))), inputs)


def certified(text: Callable, inputs: dict[str, Any]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Every output of a text, each number the float64 nearest to the exact one.

    Returns pairs of an array and the proven radius of each number before that rounding. The
    precision doubles until every ball decides.
    """
    bits = BITS
    while bits <= MOST_BITS:
        try:
            result = in_balls(text, inputs, bits)
            outputs = result if isinstance(result, tuple) else (result,)
            with flint.ctx.workprec(bits):
                return [_decide(output) for output in outputs]
        except Undecided:
            bits *= 2
    raise Undecided(f"not decided with {MOST_BITS} bits")


def _decide(output: Any) -> tuple[np.ndarray, np.ndarray]:
    if not isinstance(output, Balls):
        plain = np.asarray(output, dtype=np.float64)
        return plain, np.zeros(plain.shape)
    decided = [nearest(number) for number in output.value.ravel()]
    values = np.array([value for value, _ in decided], dtype=np.float64)
    radii = np.array([radius for _, radius in decided], dtype=np.float64)
    return values.reshape(output.shape), radii.reshape(output.shape)
