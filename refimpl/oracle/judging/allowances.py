"""What error is allowed: the bound of a precision, and others where that says nothing.

A half format's bound admits arithmetic in that format throughout. Where that says nothing (a square
may overflow, an epsilon vanish, or an error as large as the answer is allowed) it is the one for
kernels that compute in float32 and store in half. Where that says nothing either, as on sums of
millions of terms, n roundings are taken to be independent: they count as √n.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from refimpl.oracle.numbers.choices import Choice
from refimpl.oracle.numbers.errors import ErrorArray, bounded
from refimpl.oracle.numbers.precisions import PRECISIONS, Precision, kernel
from refimpl.oracle.numbers.rules import stored

RISK = 2.0**-40  # that independent roundings come to more than they are taken to
LIKELY = math.sqrt(2 * math.log(2 / RISK))  # Hoeffding: n of them stay below so many times √n


@dataclass(frozen=True)
class Allowance:
    """The error allowed to each element of an output, and how it came about."""

    value: np.ndarray
    bound: ErrorArray
    nothing: np.ndarray  # values up to which nobody can tell from zero
    inside: np.ndarray | None = None  # what a kernel is allowed, where half formats are stored
    likely: np.ndarray | None = None  # where independent roundings count as such
    beyond: np.ndarray | None = None  # the format's end, with its sign, where all results overflow

    @property
    def empty(self) -> np.ndarray:
        """Where it says nothing of the value."""
        if isinstance(self.bound, Choice):
            return np.isinf(self.bound.error)
        return useless(self.value, self.bound.error, self.nothing)

    def overflowing(self, wide: ErrorArray, p: Precision) -> Allowance:
        """Where kernels' results lie beyond the format and this says nothing, it is that."""
        if isinstance(wide, Choice) or isinstance(self.bound, Choice):
            return self
        end = p.largest * (1 + p.unit)  # which is rounded up
        sure = self.empty & (np.abs(wide.value) - wide.error > end)
        if not sure.any():
            return self
        return replace(self, beyond=np.where(sure, np.copysign(p.largest, wide.value), 0.0))

    def replaced(self, other: ErrorArray, likely: bool = False) -> Allowance:
        """The sharper bound where this one says nothing; of a choice, the one or the other."""
        where = self.empty & (other.error < self.bound.error)
        if not where.any():
            return self
        if isinstance(self.bound, Choice):
            return replace(self, bound=other)
        error = np.where(where, other.error, self.bound.error)
        bound = ErrorArray(self.bound.value, error, self.bound.precision)
        return replace(self, bound=bound, likely=where if likely else self.likely)


def allowances(
    text: Callable,
    inputs: dict[str, Any],
    precision: str | Precision,
    own: list[ErrorArray],
    throughout: bool,
    theirs: list[ErrorArray] | None = None,
) -> list[Allowance]:
    """What is allowed to each output; `throughout` asks for the precision's own bound alone.

    `theirs` is what `bounded` gave in this precision, if it is known.
    """
    p = PRECISIONS[precision] if isinstance(precision, str) else precision
    theirs = own if precision == "float64" else theirs or bounded(text, inputs, p)
    found = [
        Allowance(ours.value, other, np.maximum(ours.error, p.smallest))
        for ours, other in zip(own, theirs, strict=True)
    ]
    return found if throughout or precision == "float64" else _sharpened(found, text, inputs, p)


def _sharpened(
    found: list[Allowance], text: Callable, inputs: dict[str, Any], p: Precision
) -> list[Allowance]:
    inside = kernel(p)
    if inside is not None:
        wide = bounded(text, inputs, inside)
        found = [x.overflowing(w, p) for x, w in zip(found, wide, strict=True)]
        pairs = zip(found, _stored(wide, p), strict=True)
        found = [replace(x.replaced(k), inside=k.error) for x, k in pairs]
    if p.spread is not None or not any(x.empty.any() for x in found):
        return found
    chance = bounded(text, inputs, replace(inside or p, spread=LIKELY))
    chance = _stored(chance, p) if inside else chance
    return [x.replaced(c, likely=True) for x, c in zip(found, chance, strict=True)]


def _stored(bounds: list[ErrorArray], p: Precision) -> list[ErrorArray]:
    return [x if isinstance(x, Choice) else stored(x, p) for x in bounds]


def useless(value: np.ndarray, allowed: np.ndarray, nothing: np.ndarray | float) -> np.ndarray:
    """Where the largest number of the answer, or more, is allowed as error: nothing is judged.

    An answer that is `nothing`, since neither the reference nor the format tells it from zero, is
    judged as a zero.

    >>> useless(np.array([4.0, 1.0, 0.0]), np.array([0.1, 4.0, np.inf]), 0.0).tolist()
    [False, True, True]
    """
    finite = np.isfinite(value)
    told = finite & (np.abs(value) > nothing)
    size = np.max(np.abs(value), where=told, initial=0.0)
    return finite & (np.isinf(allowed) | ((size > 0) & (allowed >= size)))
