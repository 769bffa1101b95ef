"""Numbers that a sort gives, compared with the numbers that were sorted.

`z >= np.sort(z)[-k]` keeps the k largest whatever their errors are: the k-th is one of them and as
wrong as itself. So a sorted number remembers its rank and its row, and only numbers whose honest
values may change places with it are in doubt.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

TURNED = {"greater": "less", "less": "greater"} | {
    "greater_equal": "less_equal",
    "less_equal": "greater_equal",
}


@dataclass(frozen=True)
class Ranks:
    """Which numbers were sorted, along which axis, and the row and rank of each: 0 the smallest.

    `token` is that of the array that was sorted, `mirror` that of its negative.
    """

    token: object
    mirror: object
    axis: int
    row: np.ndarray
    rank: np.ndarray
    count: int

    def moved(self, move: Callable) -> Ranks:
        """The ranks of elements that were moved."""
        return replace(self, row=move(self.row), rank=move(self.rank))

    def negative(self) -> Ranks:
        """The smallest of the negatives is the largest."""
        turned = self.count - 1 - self.rank
        return replace(self, token=self.mirror, mirror=self.token, rank=turned)


def named(x: Any) -> object:
    """The token by which an array is known again, until something is written into it."""
    x.token = x.token or object()
    return x.token


def mirrored(x: Any, negative: Any) -> Any:
    """The negative of an array, known as that."""
    negative.mirror, x.mirror = named(x), named(negative)
    negative.ranked = x.ranked and x.ranked.negative()
    return negative


def ranks_of(x: Any, axis: Any) -> Ranks | None:
    """The ranks of the sorted elements of an array, in the order of the sort."""
    if axis is None or not x.ndim:
        return None
    along = axis % x.ndim
    row = _rows(x.shape, along)
    rank = np.moveaxis(np.broadcast_to(np.arange(x.shape[along]), _last(x.shape, along)), -1, along)
    return Ranks(named(x), x.mirror, along, row, rank, x.shape[along])


def certain(name: str, x: Any, y: Any) -> Any:
    """Where comparing numbers with one of them, as a sort gave it, says the same everywhere."""
    known = y.ranked
    if known is None or known.token is None or known.token is not x.token:
        turned = x.ranked is not None and y.token is not None and x.ranked.token is y.token
        return certain(TURNED.get(name, name), y, x) if turned else False
    if np.broadcast_shapes(x.shape, y.shape) != x.shape or np.any(np.isnan(x.value)):
        return False
    below, above = _surely(x, known.axis)
    rank, rest = known.rank, known.count - 1 - known.rank
    less, greater = above > rest, below > rank
    at_least, at_most = below >= rank, above >= rest
    says = {"greater_equal": at_least | less, "less": at_least | less}
    says |= {"greater": greater | at_most, "less_equal": greater | at_most}
    return (known.row == _rows(x.shape, known.axis)) & says.get(
        name, less | greater | (at_least & at_most)
    )


def _last(shape: tuple[int, ...], along: int) -> tuple[int, ...]:
    return (*shape[:along], *shape[along + 1 :], shape[along])


def _rows(shape: tuple[int, ...], along: int) -> np.ndarray:
    """A number for each row along an axis."""
    outer = _last(shape, along)
    rows = np.arange(int(np.prod(outer[:-1]))).reshape((*outer[:-1], 1))
    return np.moveaxis(np.broadcast_to(rows, outer), -1, along)


def _surely(x: Any, along: int) -> tuple[np.ndarray, np.ndarray]:
    """How many numbers of its row lie below each, and how many above, in every honest result."""
    from refimpl.oracle.numbers.choices import _reach

    value = np.moveaxis(x.value, along, -1)
    error = np.moveaxis(np.broadcast_to(x.error, x.shape), along, -1)
    reach = _reach(error, x.precision)
    below, above = np.zeros(value.shape, dtype=int), np.zeros(value.shape, dtype=int)
    for row in np.ndindex(value.shape[:-1]):
        free = np.isinf(reach[row])
        away = np.where(free, 0.0, reach[row])
        low = np.where(free, -np.inf, value[row] - away)
        high = np.where(free, np.inf, value[row] + away)
        below[row] = np.searchsorted(np.sort(high), low, side="left")
        above[row] = len(low) - np.searchsorted(np.sort(low), high, side="right")
    return np.moveaxis(below, -1, along), np.moveaxis(above, -1, along)
