"""Honest implementations, simulated: the unchanged text on arrays that round like hardware.

A `Simulated` array holds numbers of one precision. Each elementary operation is computed in
float64 and rounded; a `Style` says in which order sums run, whether products are fused into them,
how exp and quotients are made, and how sloppy the elementary functions are.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from refimpl.constants import log_ndtr
from refimpl.oracle.numbers.precisions import PRECISIONS, Precision
from refimpl.oracle.numbers.reading import COMPARISONS, Reading, compare, run

FAR = 20  # NumPy, torch, JAX and ONNX Runtime give exactly one for tanh and erf beyond


@dataclass(frozen=True)
class Style:
    """One honest way to compute."""

    name: str
    order: str = "pairwise"  # pairwise, sequential, reversed, blocked or running
    fused: bool = False  # products enter a sum without being rounded
    base_two: bool = False  # exp and log by way of powers of two
    reciprocal: bool = False  # quotients and roots by way of the reciprocal
    ulps: float = 0.0  # how far elementary functions may be off, beyond rounding
    wide: bool = False  # everything in float64, rounded once at the end


STYLES = (
    Style("pairwise"),
    Style("sequential", order="sequential"),
    Style("reversed", order="reversed"),
    Style("blocked", order="blocked"),
    Style("fused", order="sequential", fused=True),
    Style("base two", order="blocked", base_two=True),
    Style("reciprocal", order="sequential", reciprocal=True),
    Style("sloppy functions", order="sequential", ulps=3.0),
    Style("running mean", order="running"),
    Style("all at once", order="reversed", fused=True, base_two=True, reciprocal=True, ulps=1.0),
    Style("float64 rounded once", wide=True),
)


class Simulated(Reading):
    """Numbers of one precision, computed in one style."""

    def __init__(self, value: Any, precision: Precision, style: Style, known: bool = False) -> None:
        self.value = np.asarray(value, dtype=np.float64)
        self.precision = precision
        self.style = style
        self.known = known

    def moved(self, move: Callable) -> Simulated:
        return self.made(move(self.value))

    def join(self, parts: list, join: Callable) -> Simulated:
        return self.made(join([part.value for part in parts]))

    def decided(self, name: str, axis: Any = None, **_: Any) -> np.ndarray:
        options = {"kind": "stable"} if name == "argsort" else {}
        return getattr(np, name)(self.value, axis=axis, **options)

    def lift(self, x: Any) -> Simulated:
        return x if isinstance(x, Simulated) else self.rounded(x)

    def lift_constant(self, number: float) -> Simulated:
        return Simulated(float(number), self.precision, self.style, known=True)

    def made(self, value: Any) -> Simulated:
        return Simulated(value, self.precision, self.style)

    def rounded(self, value: Any) -> Simulated:
        return self.made(value if self.style.wide else self.precision.round(value))

    def accumulated(self, value: Any) -> np.ndarray:
        """Round as an accumulator does."""
        if self.style.wide:
            return np.asarray(value)
        half = self.precision.sum_unit < self.precision.unit
        return (PRECISIONS["float32"] if half else self.precision).round(value)

    def function(self, value: Any) -> Simulated:
        """The result of an elementary function of this array, off by up to a few ulp.

        At the points where every library is exact (exp 0, log 1, cos 0 …) it is exact here too.
        """
        if self.known:
            return Simulated(value, self.precision, self.style, known=True)
        if self.style.wide:
            return self.made(value)
        noise = np.random.default_rng(np.size(value)).uniform(-1, 1, np.shape(value))
        ulp = 2 * self.precision.sum_unit * np.ldexp(1.0, np.frexp(value)[1] - 1)
        ulp = np.where((self.value == 0) | (value == 0) | np.isinf(value), 0.0, ulp)
        return self.rounded(value + self.style.ulps * ulp * np.sign(noise))


def simulate(text: Callable, inputs: dict[str, Any], precision: str, style: Style) -> list:
    """Run a text in one precision and style and return its outputs, rounded to storage."""
    p = PRECISIONS[precision]
    like = Simulated(0.0, p, style)
    result = run(text, lambda x: like.made(x) if np.ndim(x) else like.rounded(x), inputs)
    outputs = result if isinstance(result, tuple) else (result,)
    return [p.round(y.value) if isinstance(y, Simulated) else np.asarray(y) for y in outputs]


def rule(function: Callable) -> Callable:
    return lambda x, *y: x.rounded(function(x.value, *(other.value for other in y)))


def truth(name: str) -> Callable:
    function = getattr(np, f"logical_{name}")
    return lambda *operands: function(*(x.value != 0 for x in operands))


def smooth(function: Callable) -> Callable:
    return lambda x: x.function(function(x.value))


def saturating(function: Callable) -> Callable:
    """A sigmoidal function: far out it is one in every library, however sloppy it is nearer by."""

    def rule(x: Simulated) -> Simulated:
        value = function(x.value)
        far = np.abs(x.value) > FAR
        return x.made(np.where(far, value, x.function(value).value))

    return rule


def _divide(x: Simulated, y: Simulated) -> Simulated:
    if x.known and y.known:
        return x.function(x.value / y.value)
    if x.style.reciprocal:
        return x.rounded(x.value * x.accumulated(1 / y.value))
    return x.rounded(x.value / y.value)


def _sqrt(x: Simulated) -> Simulated:
    if x.style.reciprocal and not x.known:
        inverse = x.accumulated(1 / np.sqrt(x.value))
        special = (x.value == 0) | np.isinf(x.value)  # which every library sets apart
        return x.rounded(np.where(special, x.value, x.value * inverse))
    return x.function(np.sqrt(x.value)) if x.known else x.rounded(np.sqrt(x.value))


def _exp(x: Simulated) -> Simulated:
    if x.style.base_two:
        power = x.accumulated(x.value * x.accumulated(np.log2(np.e)))
        return x.function(np.exp2(power))
    return x.function(np.exp(x.value))


def _log(x: Simulated) -> Simulated:
    if x.style.base_two and not x.known:
        power = x.accumulated(np.log2(x.value))
        return x.rounded(power * x.accumulated(np.log(2)))
    return x.function(np.log(x.value))


def _power(x: Simulated, y: Simulated) -> Simulated:
    exponent = float(y.value) if y.ndim == 0 else np.nan
    if not exponent.is_integer() or exponent < 1:
        return x.function(np.power(x.value, y.value))
    result = x
    for _ in range(int(exponent) - 1):
        result = result * x
    return result


def _short(x: Simulated) -> np.ndarray:
    """The operand of a product as tensor cores take it: TF32 keeps eleven bits."""
    if not x.precision.operand or x.style.wide:
        return x.value
    return replace(x.precision, product_bits=11).shorten(x.value)


def _contract(subscripts: str, *operands: Simulated) -> Simulated:
    """A sum of products: the products written out and rounded, then added up."""
    inputs, out = subscripts.split("->")
    summed = "".join(dict.fromkeys(c for c in inputs.replace(",", "") if c not in out))
    whole = np.einsum(f"{inputs}->{out}{summed}", *(_short(x) for x in operands))
    kept = whole.shape[: len(out)]
    rows = np.reshape(whole, (*kept, math.prod(whole.shape[len(out) :])))
    like = operands[0]
    rows = rows if like.style.fused else like.accumulated(rows)
    return like.rounded(_add_up(like.made(rows), None, -1))


def _running(function: Callable) -> Callable:
    """What a function makes of the first one, two, three … numbers along an axis."""

    def rule(x: Simulated, axis: Any = None) -> Simulated:
        numbers = x.value.ravel() if axis is None else np.moveaxis(x.value, axis, 0)
        parts = list(numbers[:1])
        for number in numbers[1:]:
            whole = function(parts[-1], number)
            parts.append(whole if x.style.wide else x.accumulated(whole))
        result = np.array(parts).reshape(numbers.shape)
        return x.rounded(result if axis is None else np.moveaxis(result, 0, axis))

    return rule


def _prod(x: Simulated, axis: Any = None, keepdims: bool = False) -> Simulated:
    flat, axes = _flatten(x, axis)
    parts = flat.value[..., ::-1] if x.style.order == "reversed" else flat.value
    product = np.ones(parts.shape[:-1])
    for k in range(parts.shape[-1]):
        product = product * parts[..., k]
        product = product if x.style.wide else x.accumulated(product)
    product = x.rounded(product).value
    return x.made(np.expand_dims(product, axes) if keepdims else product)


def _add_up(x: Simulated, products: tuple | None, axis: int) -> np.ndarray:
    """Sum along one axis in the style's order; `products` are unrounded factors to fuse."""
    style, n = x.style, x.shape[axis]
    terms = np.moveaxis(x.value, axis, 0)
    if style.wide or n == 0:
        return np.sum(terms, axis=0)
    if style.order == "pairwise":
        while len(terms) > 1:
            half = len(terms) // 2
            pairs = x.accumulated(terms[:half] + terms[half : 2 * half])
            terms = np.concatenate((pairs, terms[2 * half :]))
        return terms[0]
    if style.order == "blocked":
        sums = [_in_order(x, terms[lane::4]) for lane in range(min(4, n))]
        return _in_order(x, np.stack(sums))
    return _in_order(x, terms[::-1] if style.order == "reversed" else terms)


def _in_order(x: Simulated, terms: np.ndarray) -> np.ndarray:
    total = terms[0]
    for term in terms[1:]:
        total = x.accumulated(total + term)
    return total


def _matmul(x: Simulated, y: Simulated) -> Simulated:
    if min(x.ndim, y.ndim) == 1:
        return np.dot(x, y)  # type: ignore[call-overload]
    a, b = _short(x), _short(y)
    if x.style.wide:
        return x.made(a @ b)
    products = a[..., :, :, None] * b[..., None, :, :]
    if not x.style.fused:
        products = x.accumulated(products)
    return x.rounded(_add_up(x.made(products), None, -2))


def _flatten(x: Simulated, axis: Any) -> tuple[Simulated, tuple[int, ...]]:
    axes = tuple(range(x.ndim)) if axis is None else tuple(np.atleast_1d(axis))
    axes = tuple(a % x.ndim for a in axes)
    kept = [a for a in range(x.ndim) if a not in axes]
    moved = np.transpose(x.value, (*kept, *axes))
    shape = [x.shape[a] for a in kept]
    n = int(np.prod([x.shape[a] for a in axes]))
    return x.made(moved.reshape(*shape, n)), axes


def _sum(x: Simulated, axis: Any = None, keepdims: bool = False) -> Simulated:
    flat, axes = _flatten(x, axis)
    total = x.rounded(_add_up(flat, None, -1)).value
    return x.made(np.expand_dims(total, axes) if keepdims else total)


def _mean(x: Simulated, axis: Any = None, keepdims: bool = False) -> Simulated:
    flat, axes = _flatten(x, axis)
    n = flat.shape[-1]
    if not n:
        mean = np.full(flat.shape[:-1], np.nan)  # as NumPy has it
    elif x.style.order == "running" and not x.style.wide:
        mean = flat.value[..., 0]
        for k in range(1, n):
            change = x.accumulated(flat.value[..., k] - mean)
            mean = x.accumulated(mean + x.accumulated(change / (k + 1)))
    elif x.style.reciprocal:
        mean = _add_up(flat, None, -1) * x.accumulated(1 / n)
    else:
        mean = _add_up(flat, None, -1) / n
    mean = x.rounded(mean).value
    return x.made(np.expand_dims(mean, axes) if keepdims else mean)


def _max(x: Simulated, axis: Any = None, keepdims: bool = False) -> Simulated:
    return x.made(np.max(x.value, axis=axis, keepdims=keepdims))


def _linspace(start: Simulated, stop: Simulated, num: int) -> Simulated:
    step = (stop - start) / start.lift(max(num - 1, 1))
    return start + start.lift(np.arange(num)) * step


def _quantile(x: Simulated, q: Any, axis: Any = None, keepdims: bool = False) -> Simulated:
    flat, axes = _flatten(x, axis)
    q = x.lift(q)
    ordered = np.sort(flat.value, axis=-1)
    n = ordered.shape[-1]
    place = x.rounded(q.value * (n - 1)).value
    below = np.minimum(np.floor(place).astype(int), n - 1)
    above = np.minimum(below + 1, n - 1)
    low, high = x.made(ordered[..., below]), x.made(ordered[..., above])
    result = low + (high - low) * x.rounded(place - below)
    return x.made(np.expand_dims(result.value, axes) if keepdims else result.value)


@functools.cache
def _erf() -> Callable:
    from scipy.special import erf

    return erf


Simulated.rules = {
    "add": rule(np.add),
    "subtract": rule(np.subtract),
    "multiply": rule(np.multiply),
    "divide": _divide,
    "negative": rule(np.negative),
    "power": _power,
    "maximum": rule(np.maximum),
    "minimum": rule(np.minimum),
    "absolute": rule(np.abs),
    "exp": _exp,
    "log": _log,
    "log1p": smooth(np.log1p),
    "sqrt": _sqrt,
    "tanh": saturating(np.tanh),
    "erf": saturating(lambda v: _erf()(v)),
    "log_ndtr": smooth(log_ndtr),
    "erfc": lambda x: x.function(1 - _erf()(x.value)),
    "sin": smooth(np.sin),
    "cos": smooth(np.cos),
    "arcsin": smooth(np.arcsin),
    "arctan": smooth(np.arctan),
    "arctan2": lambda x, y: x.function(np.arctan2(x.value, y.value)),
    "matmul": _matmul,
    "sum": _sum,
    "mean": _mean,
    "max": _max,
    "amax": _max,
    "cumprod": _running(np.multiply),
    "cumsum": _running(np.add),
    "contract": _contract,
    "prod": _prod,
    "sort": lambda x, axis=-1: x.made(np.sort(x.value, axis=axis)),
    "expm1": smooth(np.expm1),
    "exp2": smooth(np.exp2),
    "log2": smooth(np.log2),
    "arccos": smooth(np.arccos),
    "cbrt": smooth(np.cbrt),
    "sign": rule(np.sign),
    "floor": rule(np.floor),
    "ceil": rule(np.ceil),
    "linspace": _linspace,
    "quantile": _quantile,
    **{name: compare(name) for name in COMPARISONS},
    "floor_divide": lambda x, y: x.made(np.floor(_divide(x, y).value)),
    "remainder": rule(np.remainder),
    "rint": rule(np.rint),
    "trunc": rule(np.trunc),
    "float_power": _power,
    **{f"logical_{name}": truth(name) for name in ("and", "or", "xor", "not")},
    **{f"bitwise_{name}": truth(name) for name in ("and", "or", "xor")},
    "invert": truth("not"),
    "all": lambda x, axis=None, keepdims=False: np.all(x.value != 0, axis, keepdims=keepdims),
    "any": lambda x, axis=None, keepdims=False: np.any(x.value != 0, axis, keepdims=keepdims),
}
