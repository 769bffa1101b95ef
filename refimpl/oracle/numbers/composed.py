"""NumPy as people write it: functions made of others that every reading has a rule for.

Each is the textbook's form of the function, so that it means the same to all readings and a bound
does not depend on how it is spelled. `contract`, the sum of products, is a rule of each reading.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from refimpl.oracle.numbers.places import no_rule


def _size(x: Any, axis: Any) -> int:
    axes = range(x.ndim) if axis is None else np.atleast_1d(axis)
    return math.prod(x.shape[a] for a in axes)


def _sigmoid(x: Any) -> Any:
    return np.exp(np.minimum(x, 0)) / (1 + np.exp(-np.abs(x)))


def _logaddexp(x: Any, y: Any) -> Any:
    return np.maximum(x, y) + np.log1p(np.exp(-np.abs(x - y)))


def _variance(x: Any, axis: Any = None, ddof: int = 0, keepdims: bool = False) -> Any:
    apart = x - np.mean(x, axis=axis, keepdims=True)
    n = _size(x, axis)
    if ddof == 0:
        return np.mean(apart * apart, axis=axis, keepdims=keepdims)
    return np.sum(apart * apart, axis=axis, keepdims=keepdims) / (n - ddof)


def _deviation(x: Any, axis: Any = None, ddof: int = 0, keepdims: bool = False) -> Any:
    return np.sqrt(_variance(x, axis, ddof, keepdims))


def _average(x: Any, axis: Any = None, weights: Any = None, keepdims: bool = False) -> Any:
    if weights is None:
        return np.mean(x, axis=axis, keepdims=keepdims)
    total = np.sum(x * weights, axis=axis, keepdims=keepdims)
    return total / np.sum(weights * np.ones(np.shape(x)), axis=axis, keepdims=keepdims)


def _least(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return -np.max(-x, axis=axis, keepdims=keepdims)


def _clip(x: Any, a_min: Any = None, a_max: Any = None, **limits: Any) -> Any:
    low, high = limits.get("min", a_min), limits.get("max", a_max)
    x = x if low is None else np.maximum(x, low)
    return x if high is None else np.minimum(x, high)


def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    if ord in (None, 2, "fro") and not (ord == 2 and axis is None and x.ndim > 1):
        return np.sqrt(np.sum(x * x, axis=axis, keepdims=keepdims))
    if ord == 1 and np.size(axis if axis is not None else range(x.ndim)) == 1:
        return np.sum(np.abs(x), axis=axis, keepdims=keepdims)
    if ord == np.inf and np.size(axis if axis is not None else range(x.ndim)) == 1:
        return np.max(np.abs(x), axis=axis, keepdims=keepdims)
    raise no_rule(type(x).__name__, f"np.linalg.norm with ord={ord!r}")


def _difference(x: Any, n: int = 1, axis: int = -1) -> Any:
    for _ in range(n):
        x = np.moveaxis(x, axis, -1)
        x = np.moveaxis(x[..., 1:] - x[..., :-1], -1, axis)
    return x


def _median(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return np.quantile(x, 0.5, axis=axis, keepdims=keepdims)


def _convolve(a: Any, v: Any, mode: str = "full") -> Any:
    a, v = (v, a) if len(v) > len(a) else (a, v)
    a = a if hasattr(a, "lift") else v.lift(a)
    n, m = len(a), len(v)
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(a, (m - 1, m - 1)), m)
    full = np.einsum("ij,j->i", windows, v[::-1])
    start = {"full": 0, "same": (m - 1) // 2, "valid": m - 1}[mode]
    return full[start : start + {"full": n + m - 1, "same": n, "valid": n - m + 1}[mode]]


def _letters(start: int, count: int) -> str:
    return "".join(chr(ord("a") + start + i) for i in range(count))


def _contract(subscripts: str, *operands: Any) -> Any:
    """The sum of products of one reading."""
    like = next(x for x in operands if hasattr(x, "lift"))
    return like.rules["contract"](subscripts, *(like.lift(x) for x in operands))


def _einsum(subscripts: str, *operands: Any, **_: Any) -> Any:
    return _contract(_explicit(subscripts, [np.ndim(x) for x in operands]), *operands)


def _explicit(subscripts: str, ranks: list[int]) -> str:
    """Subscripts with the dots and the output written out.

    >>> _explicit("ij,jk", [2, 2]), _explicit("...i,...i->...", [2, 3])
    ('ij,jk->ik', 'Bi,ABi->AB')
    """
    left, arrow, out = subscripts.replace(" ", "").partition("->")
    terms = left.split(",")
    dots = [rank - len(t.replace("...", "")) for t, rank in zip(terms, ranks, strict=True)]
    most = max((d for t, d in zip(terms, dots) if "..." in t), default=0)
    rest = "ABCDEFGH"[:most]
    written = [t.replace("...", rest[most - d :]) for t, d in zip(terms, dots)]
    if arrow:
        return f"{','.join(written)}->{out.replace('...', rest)}"
    letters = "".join(terms).replace(".", "")
    once = "".join(sorted(c for c in set(letters) if letters.count(c) == 1))
    return f"{','.join(written)}->{rest}{once}"


def _dot(x: Any, y: Any) -> Any:
    if np.ndim(x) == 0 or np.ndim(y) == 0:
        return x * y
    return _tensordot(x, y, ([np.ndim(x) - 1], [max(np.ndim(y) - 2, 0)]))


def _inner(x: Any, y: Any) -> Any:
    if np.ndim(x) == 0 or np.ndim(y) == 0:
        return x * y
    return _tensordot(x, y, ([np.ndim(x) - 1], [np.ndim(y) - 1]))


def _vdot(x: Any, y: Any) -> Any:
    return _contract("a,a->", np.ravel(x), np.ravel(y))


def _outer(x: Any, y: Any) -> Any:
    return np.reshape(x, (-1, 1)) * np.reshape(y, (1, -1))


def _tensordot(x: Any, y: Any, axes: Any = 2) -> Any:
    rank = np.ndim(x)
    if isinstance(axes, (int, np.integer)):
        axes = (list(range(rank - axes, rank)), list(range(axes)))
    first, second = (np.atleast_1d(a) for a in axes)
    one, other = list(_letters(0, rank)), list(_letters(rank, np.ndim(y)))
    for i, j in zip(first, second, strict=True):
        other[j] = one[i]
    shared = {one[i] for i in first}
    out = [c for c in (*one, *other) if c not in shared]
    return _contract(f"{''.join(one)},{''.join(other)}->{''.join(out)}", x, y)


def _tile_of(x: Any, value: Any) -> Any:
    return x.lift(np.full(x.shape, value, dtype=np.float64))


def _like(value: float) -> Callable:
    def rule(x: Any, dtype: Any = None, shape: Any = None, **_: Any) -> Any:
        plain = np.full(x.shape if shape is None else shape, value)
        if dtype is not None and np.dtype(dtype).kind in "biu":
            return plain.astype(dtype)
        return x.lift(plain)

    return rule


def _full_like(x: Any, fill_value: Any, dtype: Any = None, **_: Any) -> Any:
    if dtype is not None and np.dtype(dtype).kind in "biu":
        return np.full(x.shape, fill_value, dtype=dtype)
    return x.lift(fill_value) + _tile_of(x, 0.0)


def _round(x: Any, decimals: int = 0) -> Any:
    if not decimals:
        return np.rint(x)
    scale = 10 ** abs(decimals)
    return np.rint(x * scale) / scale if decimals > 0 else np.rint(x / scale) * scale


def _select(conditions: list, choices: list, default: Any = 0.0) -> Any:
    for condition, choice in zip(conditions[::-1], choices[::-1], strict=True):
        default = np.where(condition, choice, default)
    return default


def _softmax(x: Any, axis: Any = None) -> Any:
    weights = np.exp(x - np.max(x, axis=axis, keepdims=True))
    return weights / np.sum(weights, axis=axis, keepdims=True)


def _logsumexp(a: Any, axis: Any = None, b: Any = None, keepdims: bool = False) -> Any:
    most = np.max(a, axis=axis, keepdims=True)
    most = np.where(np.isfinite(most), most, 0)  # a row of -inf alone
    terms = np.exp(a - most) if b is None else b * np.exp(a - most)
    found = most + np.log(np.sum(terms, axis=axis, keepdims=True))
    if keepdims:
        return found
    return found.reshape(()) if axis is None else np.squeeze(found, axis)


def _xlogy(x: Any, y: Any) -> Any:
    return np.where(x == 0, 0, x * np.log(np.where(x == 0, 1, y)))


def _piecewise(x: Any, conditions: list, functions: list, *args: Any) -> Any:
    values = [f(x, *args) if callable(f) else f for f in functions]
    rest = values[len(conditions) :] or [0.0]
    return _select(list(conditions), values[: len(conditions)], rest[0] + _tile_of(x, 0.0))


def _nan_to_num(x: Any, nan: Any = 0.0, posinf: Any = None, neginf: Any = None, **_: Any) -> Any:
    for limit, value in ((np.inf, posinf), (-np.inf, neginf)):
        if np.any(x.value == limit):
            if value is None:
                raise no_rule(type(x).__name__, "np.nan_to_num of infinities, without their value")
            x = np.where(x.value == limit, value, x)
    return np.where(np.isnan(x), nan, x)


def _apply_along_axis(function: Callable, axis: int, x: Any, *args: Any, **named: Any) -> Any:
    rows = np.moveaxis(x, axis, -1)
    found = [x.lift(function(rows[i], *args, **named)) for i in np.ndindex(rows.shape[:-1])]
    whole = np.stack(found)
    whole = np.reshape(whole, (*rows.shape[:-1], *whole.shape[1:]))
    return np.moveaxis(whole, -1, axis) if whole.ndim == x.ndim else whole


def _kron(x: Any, y: Any) -> Any:
    rank = max(np.ndim(x), np.ndim(y))
    one, other = (np.reshape(a, (1,) * (rank - np.ndim(a)) + np.shape(a)) for a in (x, y))
    sizes = [a * b for a, b in zip(one.shape, other.shape, strict=True)]
    apart = [n for a in one.shape for n in (a, 1)], [n for b in other.shape for n in (1, b)]
    return np.reshape(np.reshape(one, apart[0]) * np.reshape(other, apart[1]), sizes)


def _cross(x: Any, y: Any, axis: int = -1) -> Any:
    (a, b, c), (d, e, f) = (np.moveaxis(v, axis, 0) for v in (x, y))
    return np.stack([b * f - c * e, c * d - a * f, a * e - b * d], axis=axis)


def _trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    width = dx if x is None else np.diff(x, axis=-1 if np.ndim(x) == 1 else axis)
    y = np.moveaxis(y, axis, -1)
    if np.ndim(width) > 1:
        width = np.moveaxis(width, axis, -1)
    return np.sum(width * (y[..., 1:] + y[..., :-1]) / 2, axis=-1)


def _interp(x: Any, xp: Any, fp: Any) -> Any:
    """Straight lines between points: each climbs as far as x has come along it."""
    like = next(a for a in (x, xp, fp) if hasattr(a, "lift"))
    xp, fp = like.lift(xp), like.lift(fp)
    found = fp[0]
    for i in range(len(xp) - 1):
        far = np.minimum(np.maximum(x, xp[i]), xp[i + 1]) - xp[i]
        found = found + far * ((fp[i + 1] - fp[i]) / (xp[i + 1] - xp[i]))
    return found


def _without_nan(x: Any, nothing: float) -> Any:
    return np.where(np.isnan(x), nothing, x)


def _nanmean(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    over = {"axis": axis, "keepdims": keepdims}
    return np.sum(_without_nan(x, 0.0), **over) / np.sum(~np.isnan(x), **over)


def _searchsorted(a: Any, v: Any, side: str = "left") -> Any:
    """How many of the sorted numbers lie before each."""
    before = np.less if side == "left" else np.less_equal
    return np.sum(before(a, np.expand_dims(v, -1)), axis=-1)


def _digitize(x: Any, bins: Any, right: bool = False) -> Any:
    return _searchsorted(bins, x, "left" if right else "right")


def _gradient(x: Any, spacing: Any = 1.0, axis: Any = None) -> Any:
    if np.ndim(spacing) or (axis is None and x.ndim > 1):
        raise no_rule(type(x).__name__, "np.gradient along several axes, or of unequal steps")
    x = np.moveaxis(x, axis or 0, -1) if axis is not None else x
    first, last = x[..., 1:2] - x[..., :1], x[..., -1:] - x[..., -2:-1]
    inner = (x[..., 2:] - x[..., :-2]) / (2 * spacing)
    whole = np.concatenate([first / spacing, inner, last / spacing], axis=-1)
    return whole if axis is None else np.moveaxis(whole, -1, axis)


def _cov(m: Any, rowvar: bool = True, bias: bool = False, ddof: int | None = None) -> Any:
    rows = m if rowvar else m.T
    apart = rows - np.mean(rows, axis=-1, keepdims=True)
    ddof = int(not bias) if ddof is None else ddof
    return apart @ apart.T / (rows.shape[-1] - ddof)


def _corrcoef(x: Any, rowvar: bool = True) -> Any:
    rows = x if rowvar else x.T
    apart = rows - np.mean(rows, axis=-1, keepdims=True)
    length = np.sqrt(np.sum(apart * apart, axis=-1))
    return apart @ apart.T / (length[:, None] * length)


def _polyval(p: Any, x: Any) -> Any:
    found = 0 * x
    for coefficient in p:
        found = found * x + coefficient
    return found


def _matrix_power(x: Any, n: int) -> Any:
    if n < 1:
        raise no_rule(type(x).__name__, f"np.linalg.matrix_power with {n}")
    return x if n == 1 else _matrix_power(x, n - 1) @ x


def _put_along_axis(x: Any, indices: Any, values: Any, axis: int) -> None:
    place = list(np.indices(indices.shape, sparse=True))
    place[axis] = indices
    x[tuple(place)] = values


def _trace(x: Any) -> Any:
    return np.sum(np.diagonal(x), axis=-1)


COMPOSED: dict[str, Callable] = {
    "square": lambda x: x * x,
    "reciprocal": lambda x: 1 / x,
    "positive": lambda x: x,
    "fabs": lambda x: np.abs(x),
    "expit": _sigmoid,
    "logit": lambda x: np.log(x) - np.log1p(-x),
    "log_expit": lambda x: -_logaddexp(-x, 0),
    "logaddexp": _logaddexp,
    "hypot": lambda x, y: np.sqrt(x * x + y * y),
    "sinh": lambda x: (np.exp(x) - np.exp(-x)) / 2,
    "cosh": lambda x: (np.exp(x) + np.exp(-x)) / 2,
    "tan": lambda x: np.sin(x) / np.cos(x),
    "log10": lambda x: np.log(x) / np.log(x.lift_constant(10)),
    "deg2rad": lambda x: x * (4 * np.arctan(x.lift_constant(1)) / 180),
    "fmax": lambda x, y: np.maximum(x, y),
    "fmin": lambda x, y: np.minimum(x, y),
    "var": _variance,
    "std": _deviation,
    "average": _average,
    "min": _least,
    "amin": _least,
    "ptp": lambda x, axis=None, keepdims=False: (
        np.max(x, axis=axis, keepdims=keepdims) + np.max(-x, axis=axis, keepdims=keepdims)
    ),
    "clip": _clip,
    "norm": _norm,
    "diff": _difference,
    "median": _median,
    "percentile": lambda x, q, axis=None, keepdims=False: np.quantile(
        x, q / 100, axis=axis, keepdims=keepdims
    ),
    "nansum": lambda x, axis=None, keepdims=False: np.sum(
        _without_nan(x, 0.0), axis=axis, keepdims=keepdims
    ),
    "nanmax": lambda x, axis=None, keepdims=False: np.max(
        _without_nan(x, -np.inf), axis=axis, keepdims=keepdims
    ),
    "nanmin": lambda x, axis=None, keepdims=False: np.min(
        _without_nan(x, np.inf), axis=axis, keepdims=keepdims
    ),
    "nanmean": _nanmean,
    "searchsorted": _searchsorted,
    "digitize": _digitize,
    "gradient": _gradient,
    "cov": _cov,
    "corrcoef": _corrcoef,
    "polyval": _polyval,
    "matrix_power": _matrix_power,
    "put_along_axis": _put_along_axis,
    "broadcast_arrays": lambda *arrays: tuple(
        np.broadcast_to(x, np.broadcast_shapes(*(np.shape(a) for a in arrays))) for x in arrays
    ),
    "partition": lambda x, kth, axis=-1: np.sort(x, axis=axis),
    "softmax": _softmax,
    "logsumexp": _logsumexp,
    "log_softmax": lambda x, axis=None: x - _logsumexp(x, axis, keepdims=True),
    "xlogy": _xlogy,
    "entr": lambda x: -_xlogy(x, x),
    "rel_entr": lambda x, y: _xlogy(x, x / y),
    "piecewise": _piecewise,
    "nan_to_num": _nan_to_num,
    "apply_along_axis": _apply_along_axis,
    "kron": _kron,
    "cross": _cross,
    "trapezoid": _trapezoid,
    "interp": _interp,
    "convolve": _convolve,
    "correlate": lambda a, v, mode="valid": _convolve(a, v[::-1], mode),
    "einsum": _einsum,
    "dot": _dot,
    "inner": _inner,
    "vdot": _vdot,
    "outer": _outer,
    "tensordot": _tensordot,
    "trace": _trace,
    "round": _round,
    "select": _select,
    "zeros_like": _like(0.0),
    "ones_like": _like(1.0),
    "empty_like": _like(np.nan),
    "full_like": _full_like,
    "count_nonzero": lambda x, axis=None: np.sum(x != 0, axis=axis),
    "isnan": lambda x: np.isnan(x.value),
    "isinf": lambda x: np.isinf(x.value),
    "isfinite": lambda x: np.isfinite(x.value),
}
