"""Choices: indices that are found by computed numbers, judged by what another choice costs.

Two honest implementations of `np.argmax(scores)` may pick different indices where scores lie closer
than their errors. A choice is right if its score may be the best; only where the others lie further
below than the bounds of both scores must the index agree. So a `Choice` remembers for each index
the row of scores it was found in and its rank there.

argmax, argmin   the first rank; equal scores that are exact: the first one, as NumPy says
argsort          every rank; equal scores in any order, with kind="stable" in that of their places
a slice of it    top-k: no score outside may be better than the worst inside
a sum of truths  a count: as many as there may be
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from refimpl.oracle.numbers.errors import SLACK, ErrorArray
from refimpl.oracle.numbers.places import Doubt, line
from refimpl.oracle.numbers.precisions import PRECISIONS, Precision


class Choice(ErrorArray):
    """Whole numbers: the indices of the text, and which others an honest implementation may find.

    `score` and `reach` have a row for every search, the best score the largest; `row` and `rank`
    say for each index where it was found. Without a score it is a count from `least` to `most`.
    """

    def __init__(self, value: Any, error: Any, precision: Precision, **search: Any) -> None:
        super().__init__(value, error, precision)
        self.row: Any = search.get("row")
        self.rank: Any = search.get("rank")
        self.score: Any = search.get("score")
        self.reach: Any = search.get("reach")
        self.least = search.get("least", self.value - self.error)
        self.most = search.get("most", self.value + self.error)

    def moved(self, move: Callable) -> Choice:
        error = move(np.broadcast_to(self.error, self.shape))
        search = {"score": self.score, "reach": self.reach}
        search |= {"least": move(self.least), "most": move(self.most)}
        if self.score is not None:
            search |= {"row": move(self.row), "rank": move(self.rank)}
        return Choice(move(self.value), error, self.precision, **search)

    def filled(self, move: Callable) -> ErrorArray:
        return Choice(self.value, np.array(self.error), self.precision).moved(move)

    def join(self, parts: list, join: Callable) -> ErrorArray:
        joined = super().join(parts, join)
        whole = np.all(joined.value == np.rint(joined.value))
        return Choice(joined.value, joined.error, self.precision) if whole else joined

    def astype(self, dtype: Any, **_: Any) -> Any:
        return self if np.dtype(dtype).kind in "iu" else super().astype(dtype)

    def finished(self) -> ErrorArray:
        return self

    def plain_index(self) -> Any:
        if not self.error.any():
            return self.value.astype(np.int64)
        raise Doubt(f"an index depends on scores that may change places ({line()})")

    def plain(self, how: str) -> Any:
        if self.error.any():
            raise Doubt(f"{how} depends on scores that may change places ({line()})")
        return int(self.value.item())

    def taken(self, table: ErrorArray) -> ErrorArray:
        """The entries of a table at these indices: any that an honest choice may take."""
        found = table[self.value.astype(np.int64)]
        return self._any(found, table, lambda place, others: others)

    def taken_along(self, table: ErrorArray, axis: int) -> ErrorArray:
        """`np.take_along_axis` with these indices: any that an honest choice may take."""
        found: Any = np.take_along_axis(table, self.value.astype(np.int64), axis)
        along = axis % self.ndim
        return self._any(
            found, table, lambda place, others: (*place[:along], others, *place[along + 1 :])
        )

    def _any(self, found: ErrorArray, table: ErrorArray, at: Callable) -> ErrorArray:
        error, off = np.array(np.broadcast_to(found.error, found.shape)), table.error
        off = np.broadcast_to(off, table.shape)
        for place in zip(*np.nonzero(np.broadcast_to(self.error, self.shape))):
            others = at(place, self.admissible(place))
            error[place] = np.max(
                np.abs(table.value[others] - found.value[place]) + off[others], axis=0
            )
        return ErrorArray(found.value, error, found.precision)

    def admissible(self, place: tuple[int, ...]) -> np.ndarray:
        """The indices that an honest implementation may give in one place."""
        if self.score is None:
            return np.arange(int(self.least[place]), int(self.most[place]) + 1)
        first, last = ranks(self.score[self.row[place]], self.reach[self.row[place]])
        return np.flatnonzero((first <= self.rank[place]) & (self.rank[place] <= last))

    def cost(self, found: np.ndarray) -> np.ndarray:
        """Error ÷ allowed of other indices: how far their scores are from being right here."""
        if self.score is None:
            inside = (found >= self.least) & (found <= self.most) & (found == np.rint(found))
            return np.where(inside, 0.0, np.inf)
        ratio = np.full(self.shape, np.inf)
        flat, row, rank = ratio.reshape(-1), self.row.reshape(-1), self.rank.reshape(-1)
        with np.errstate(invalid="ignore"):
            index = np.nan_to_num(found, nan=-1, posinf=-1, neginf=-1).astype(np.int64).reshape(-1)
        index = np.where(index == found.reshape(-1), index, -1)
        order = np.lexsort((rank, row))
        for places in np.split(order, np.flatnonzero(np.diff(row[order])) + 1) if row.size else ():
            score, reach = self.score[row[places[0]]], self.reach[row[places[0]]]
            flat[places] = _costs(score, reach, index[places], rank[places])
        return ratio


def ranks(score: np.ndarray, reach: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first and the last rank that each score may have.

    >>> ranks(np.array([5.0, 4.9, 1.0]), np.array([0.1, 0.1, 0.1]))
    (array([0, 0, 2]), array([1, 1, 2]))
    """
    free = np.isinf(reach)
    low, high = np.where(free, -np.inf, score - reach), np.where(free, np.inf, score + reach)
    above = len(score) - np.sort(low).searchsorted(high, side="right")
    below = np.sort(high).searchsorted(low, side="left")
    return above, len(score) - 1 - below


def _costs(score: np.ndarray, reach: np.ndarray, index: np.ndarray, rank: np.ndarray) -> np.ndarray:
    """The cost of each of some indices found in one search, in the order of their ranks."""
    n, k = len(score), len(index)
    valid = (index >= 0) & (index < n)
    if not np.all(valid) or len(np.unique(index)) < k:
        repeated = np.array([i in index[:place] for place, i in enumerate(index)])
        return np.where(valid & ~repeated, 0.0, np.inf)
    if np.array_equal(rank, np.arange(k)):
        return _from_the_best(score, reach, index)
    if np.array_equal(rank, np.arange(n - k, n)):
        return _from_the_best(-score, reach, index[::-1])[::-1]
    return np.array([_anywhere(score, reach, i, r) for i, r in zip(index, rank)])


def _shortfall(score: np.ndarray, reach: np.ndarray, i: int) -> np.ndarray:
    """How far every score is above one of them, ÷ what the errors of both allow."""
    with np.errstate(all="ignore"):
        ratio = np.where(score > score[i], (score - score[i]) / (reach + reach[i]), 0.0)
    return np.where(np.isinf(reach + reach[i]), 0.0, ratio)


def _from_the_best(score: np.ndarray, reach: np.ndarray, index: np.ndarray) -> np.ndarray:
    """The best k in order: each is held against all that were not taken before it."""
    left, costs = np.ones(len(score), dtype=bool), []
    for i in index:
        left[i] = False
        costs.append(np.max(_shortfall(score, reach, i), where=left, initial=0.0))
    return np.array(costs)


def _anywhere(score: np.ndarray, reach: np.ndarray, i: int, rank: int) -> float:
    """One rank alone: so many others may be better, and so many worse."""
    better, worse = (np.sort(_shortfall(s, reach, i))[::-1] for s in (score, -score))
    return float(max(better[rank], worse[len(score) - 1 - rank]))


def _reach(error: np.ndarray, p: Precision) -> np.ndarray:
    """How far honest scores may be from those computed here, whose own error counts too."""
    error = np.where(np.isnan(error), np.inf, error)
    return error * (2 if p is PRECISIONS["float64"] else SLACK)


def decided(x: ErrorArray, name: str, axis: Any = None, stable: bool = False) -> Any:
    """The indices of argmax, argmin or argsort: plain ones if no honest result differs."""
    flat = x.reshape(-1) if axis is None else np.moveaxis(x, axis, -1)  # type: ignore[type-var]
    score = flat.value if name == "argmax" else -flat.value
    reach = _reach(np.broadcast_to(flat.error, flat.shape), x.precision)
    search = Search(score.reshape(-1, score.shape[-1]), reach.reshape(-1, score.shape[-1]))
    if name != "argsort" or stable:
        search = search.settled()
    shape = score.shape if name == "argsort" else (*score.shape[:-1], 1)
    found = search.choice(shape, x.precision)
    if name != "argsort":
        return found[..., 0]
    return found if axis is None else np.moveaxis(found, -1, axis)


def first_true(x: ErrorArray, name: str, axis: Any) -> Any:
    """argmax or argmin of truth values: the first that holds, or else the first of all."""
    flat = x.reshape(-1) if axis is None else np.moveaxis(x, axis, -1)  # type: ignore[type-var]
    doubt = np.broadcast_to(flat.error > 0, flat.shape)
    truth = flat.value != 0 if name == "argmax" else flat.value == 0
    sure = truth & ~doubt
    stands = (truth | doubt) & ~(np.cumsum(sure, axis=-1) - sure > 0)
    stands[..., 0] |= ~np.any(sure, axis=-1)
    score = stands.reshape(-1, stands.shape[-1]).astype(np.float64)
    search = Search(score, np.zeros(score.shape))
    return search.choice((*stands.shape[:-1], 1), x.precision)[..., 0]


@dataclass(frozen=True)
class Search:
    """Rows of scores, the best the largest, and how far an honest score may be from each."""

    score: np.ndarray
    reach: np.ndarray

    def settled(self) -> Search:
        """Among exact scores the text decides, whose ties go to the first."""
        order = np.argsort(-self.score, axis=1, kind="stable")
        place = np.empty(self.score.shape)
        np.put_along_axis(place, order, np.arange(self.score.shape[1])[None].astype(float), 1)
        exact = ~np.any(self.reach > 0, axis=1, keepdims=True)
        return Search(np.where(exact, -place, self.score), self.reach)

    def choice(self, shape: tuple[int, ...], p: Precision) -> Any:
        """The indices of the first ranks: as many of each row as the last axis of a shape has."""
        count = shape[-1]
        places = np.argsort(-self.score, axis=1, kind="stable")[:, :count]
        doubt = ~self._alone()[:, :count]
        if not np.any(doubt):
            return places.reshape(shape)
        unbounded = np.any(np.isinf(self.reach), axis=1, keepdims=True)
        error = np.where(doubt, np.where(unbounded, np.inf, self.score.shape[1]), 0.0)
        row, rank = np.indices(places.shape)
        known = {"row": row.reshape(shape), "rank": rank.reshape(shape)}
        known |= {"score": self.score, "reach": self.reach}
        return Choice(places.reshape(shape), error.reshape(shape), p, **known)

    def _alone(self) -> np.ndarray:
        """Which ranks of each row only one index may have."""
        alone = self._apart()
        for place in np.flatnonzero(~alone[:, 0] if alone.size else ()):
            score, reach = self.score[place], self.reach[place]
            first, last = ranks(score, reach)
            begin, end = (np.bincount(r, minlength=len(score) + 1) for r in (first, last + 1))
            alone[place] = np.cumsum(begin - end)[:-1] == 1
        return alone

    def _apart(self) -> np.ndarray:
        """All ranks of the rows in which each score, as far as it reaches, is below the one before.

        >>> Search(np.array([[5.0, 4.0], [5.0, 4.9]]), np.full((2, 2), 0.1))._apart()[:, 0]
        array([ True, False])
        """
        order = np.argsort(-self.score, axis=1)
        score = np.take_along_axis(self.score, order, axis=1)
        reach = np.take_along_axis(self.reach, order, axis=1)
        with np.errstate(invalid="ignore"):
            below = score[:, 1:] + reach[:, 1:] < score[:, :-1] - reach[:, :-1]
        return np.broadcast_to(np.all(below, axis=1, keepdims=True), self.score.shape).copy()


def counted(x: ErrorArray, axis: Any = None, keepdims: bool = False) -> Choice:
    """How many of some truth values hold."""
    options: dict[str, Any] = {"axis": axis, "keepdims": keepdims}
    truth, doubt = x.value != 0, np.broadcast_to(x.error > 0, x.shape)
    least, most = np.sum(truth & ~doubt, **options), np.sum(truth | doubt, **options)
    value = np.sum(truth, **options)
    error = np.maximum(most - value, value - least)
    return Choice(value, error, x.precision, least=least, most=most)
