"""Rules for numbers that meet what was made of them.

x - mean(x)          what is wrong with x is wrong with its mean: it counts once, and of one number
                     no more is left than its last rounding, which one of the two may be spared
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np

from refimpl.oracle.numbers import rules
from refimpl.oracle.numbers.errors import ErrorArray, _magnitude, spread
from refimpl.oracle.numbers.ordered import named


@dataclass(frozen=True)
class Made:
    """How an array came from another one, which `token` names, and from how many of its numbers."""

    how: str
    token: object
    count: int


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
    return rules._subtract(x, y)


ErrorArray.rules.update({"mean": _mean, "subtract": _subtract})
