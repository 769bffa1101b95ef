"""Numbers of edited texts beside those that a target returned: compared plainly, without bounds."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from refimpl.op import Op
from refimpl.oracle.diagnosis.ask_back import plainly
from refimpl.oracle.diagnosis.evidence import Observation
from refimpl.oracle.diagnosis.search import plain
from refimpl.oracle.diagnosis.search.looked_at import is_small, various
from refimpl.oracle.judging.judge import error_ratio
from refimpl.oracle.numbers.precisions import PRECISIONS

SHOWN = 4  # cases whose results tell edits apart
SMALL = 12  # others that do where these do not
GENEROUS = 128  # times the allowed error that the first, plain comparison lets pass
NEARER = 4  # times that a wrong number must come nearer by an edit that is to explain it


class Comparison:
    """What was seen of a target, to compare with; a few cases of it that tell edits apart."""

    def __init__(self, op: Op, precision: str, seen: list[Observation]) -> None:
        self.op = op
        self.precision = precision
        self.seen = seen
        places = various(seen, SHOWN)
        self.shown = [seen[place] for place in places]
        self.small = [e for e in seen if is_small(e)][:SMALL]
        others = [e for place, e in enumerate(seen) if place not in places]
        self.rest = [e for place, e in enumerate(others) if place < SMALL or e in self.small]

    def _fits(self, text: Callable, seen: Observation) -> bool:
        values = plain.values(text, seen.case)
        return values is not None and self._near(values, seen)

    def _gain(
        self, results: list[list[np.ndarray]], several: list[Observation] | None = None
    ) -> float:
        """The share of the deviating numbers that an edit alone puts right."""
        right = wrong = 0
        for values, seen in zip(results, several or self.shown):
            before, near = self._close(self._own(seen), seen), self._close(values, seen)
            off = ~np.concatenate([n.ravel() for n in before or ()])
            wrong += int(off.sum())
            if near:
                right += int((np.concatenate([n.ravel() for n in near]) & off).sum())
        return right / max(wrong, 1)

    @staticmethod
    def _own(seen: Observation) -> list[np.ndarray]:
        return [
            own.value if own.value.shape == found.shape else np.full(found.shape, np.inf)
            for own, found in zip(seen.own, seen.found)
        ]

    def _passes(self, text: Callable[..., Any], first: list[np.ndarray], stored: bool) -> bool:
        """The plain comparison in float64, case by case, until one differs.

        With `stored`, the text may come to what was returned in the target's own format alone.
        """
        if not self._near(first, self.seen[0]) and not stored:
            return False
        changed = False
        for place, seen in enumerate(self.seen):
            values = plain.values(text, seen.case) if place else first
            if values is None:
                return False
            if not self._near(values, seen):
                runs = plainly(self.op, text, seen.case)[:1] if stored else []
                if not any(self._near(run, seen) for run in runs):
                    return False
                changed = True
            changed = changed or self._differs(text, values, seen)
        return changed

    def _differs(self, text: Callable, values: list[np.ndarray], seen: Observation) -> bool:
        """Whether an edited text gives something else than the right one, or overflows alone."""
        if not plain.within(values, seen.own):
            return True
        lost = [~np.isfinite(f) & np.isfinite(o.value) for f, o in zip(seen.found, seen.own)]
        return any(x.any() for x in lost) and any(
            all(not np.isfinite(value[x]).any() for value, x in zip(plain, lost))
            for plain in plainly(self.op, text, seen.case)
        )

    def _near(self, values: list[np.ndarray], seen: Observation) -> bool:
        """Whether every number is as near as `_close` asks."""
        close = self._close(values, seen)
        return close is not None and all(bool(near.all()) for near in close)

    def _close(self, values: list[np.ndarray], seen: Observation) -> list[np.ndarray] | None:
        """What is within many times the allowed error, or half of the digits of the largest result.

        Where the target has no finite number but the edited text does, it may have lost it on the
        way: the bound decides. None where the outputs have other shapes.
        """
        p = PRECISIONS[self.precision]
        half = math.sqrt(max(p.unit, p.sum_unit))
        if len(values) != len(seen.found):
            return None
        close = []
        for value, found, own in zip(values, seen.found, seen.own, strict=True):
            if value.shape != found.shape:
                return None
            finite = np.where(np.isfinite(value), np.abs(value), 0)
            margin = half * np.max(finite, initial=0)
            if value.shape == own.allowed.shape:
                margin = margin + GENEROUS * own.allowed
            same = (value == found) | (np.isnan(value) & np.isnan(found))
            lost = ~np.isfinite(found)
            if own.value.shape == found.shape:  # what the right text loses as well is no help
                lost &= ~np.isfinite(value) | (np.abs(own.value) < p.largest)
            close.append(same | lost | (np.abs(value - found) <= margin))
        return close

    def _nearer(self, results: list[list[np.ndarray]], seen: list[Observation]) -> float:
        """The share of the wrong numbers that an edit brings a good deal nearer, or gives.

        As it is, or rounded to what the target stores.
        """
        near, wrong, stored = 0, 0, PRECISIONS[self.precision].dtype()
        for values, e in zip(results, seen):
            for value, found, own in zip(values, e.found, e.own):
                if value.shape != found.shape:
                    return 0.0
                if found.shape != own.value.shape:
                    return 1.0  # the shape alone tells
                off = error_ratio(own, found) > 1
                before = np.abs(own.value - found) / NEARER
                kept = value.astype(stored).astype(np.float64)
                moved = (np.abs(value - found) <= before) | (np.abs(kept - found) <= before)
                moved |= ~np.isfinite(found)
                wrong, near = wrong + int(off.sum()), near + int((off & moved).sum())
        return near / max(wrong, 1)

    @staticmethod
    def _own_print(seen: list[Observation]) -> bytes:
        return plain.fingerprint([want.value for want in e.own] for e in seen)
