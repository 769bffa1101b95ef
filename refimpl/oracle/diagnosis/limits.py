"""Results that are another value wherever an argument is beyond a limit, which is asked for.

A function that flattens out is often cut short where it does, to nothing or to what was given. No
list has the limit: it lies between the arguments of right and of wrong numbers, and the target is
asked until no number lies between them.
"""

from __future__ import annotations

import ast
import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from refimpl.oracle.diagnosis.cause import UNLISTED, Cause
from refimpl.oracle.diagnosis.evidence import Evidence, Observation
from refimpl.oracle.diagnosis.search.nodes import make
from refimpl.oracle.diagnosis.search.pages import Candidate, Change, pages_of
from refimpl.oracle.diagnosis.search.writer import Writer, writer_of

FEWEST = 3  # wrong numbers that have to be the other value
STEPS = 40  # questions for one limit, at most
DIGITS = 9  # of a limit


@dataclass(frozen=True)
class Side:
    """On which side of a limit an argument is; `along` grows towards that side."""

    says: str
    along: Callable[[np.ndarray], np.ndarray]
    sign: int  # of the limit as it is written


SIDES = (
    Side("{0} > {1}", lambda x: x, 1),
    Side("{0} < {1}", lambda x: -x, -1),
    Side("np.abs({0}) > {1}", np.abs, 1),
)


def beyond_a_limit(evidence: Evidence) -> list[Cause]:
    """One change for each wrong output, whose numbers are one other value beyond a limit."""
    bad = [a for a in evidence if a.fails]
    if not bad or any(not a.wrong for a in bad):
        return []
    page = next(page for f, page in pages_of(evidence.op.text).items() if f is evidence.op.text)
    changes: list[Change] = []
    for place in range(len(evidence.op.outputs)):
        if any(a.wrong[place].any() for a in bad):
            found = next(_cut_short(evidence, place, writer_of(page)), None)
            if found is None:
                return []
            changes.append(found)
    one = Candidate(evidence.op.text, tuple(changes))
    return [Cause("mistake", UNLISTED, one.id, one.diff, one.text)]


def _cut_short(evidence: Evidence, place: int, at: Writer) -> Iterator[Change]:
    """The changes of one output that give all its wrong numbers."""
    value = _returned(at, place, len(evidence.op.outputs))
    if value is None:
        return
    arrays = [n for n, p in at.annotated.items() if not p.annotation.scalar]
    for name, side in ((n, side) for n in arrays for side in SIDES):
        for other, given in _values(evidence, place, arrays):
            ends = _ends(evidence, place, name, side, given)
            if ends is None:
                continue
            limit = _roundest(*_narrowed(evidence, place, name, side, given, ends))
            where = side.says.format(name, f"{side.sign * limit:g}")
            new = make(f"np.where({where}, {other}, A)", A=value)
            yield at.change(value, new, "another value beyond a limit")


def _returned(at: Writer, place: int, count: int) -> ast.expr | None:
    """What the last step returns as one of so many outputs, if it is written out there."""
    value = getattr(at.tree.body[-1], "value", None)
    if count == 1 or value is None:
        return value
    return value.elts[place] if isinstance(value, ast.Tuple) else None


Given = Callable[[Observation], np.ndarray]


def _values(evidence: Evidence, place: int, arrays: list[str]) -> Iterator[tuple[str, Given]]:
    """What every wrong number is: nothing, what an argument holds there, or one number."""
    yield "0", lambda a: np.zeros(a.found[place].shape)
    for name in arrays:
        yield name, functools.partial(_argument, name=name)
    numbers = {float(x) for a in evidence if a.fails for x in a.found[place][a.wrong[place]]}
    if len(numbers) == 1 and math.isfinite(number := numbers.pop()) and number:
        yield f"{number:g}", lambda a: np.full(a.found[place].shape, float(f"{number:g}"))


def _argument(a: Observation, name: str) -> np.ndarray:
    """An argument in float64; nothing where it is left out."""
    return np.asarray([] if a.case.inputs[name] is None else a.case.inputs[name], np.float64)


def _ends(
    evidence: Evidence, place: int, name: str, side: Side, given: Given
) -> tuple[float, float] | None:
    """The largest argument of a right number and the least of a wrong one; none if they overlap."""
    low, high, count = -math.inf, math.inf, 0
    for a in evidence:
        x, other, right = _argument(a, name), given(a), a.own[place]
        if not x.shape == other.shape == right.value.shape == a.found[place].shape:
            return None
        if not a.wrong:
            return None
        wrong = a.wrong[place]
        kept = other.astype(evidence.storage).astype(np.float64)
        if np.any(a.found[place][wrong] != kept[wrong]):
            return None
        told = ~wrong & (np.abs(kept - right.value) > right.allowed)
        low = max(low, np.max(side.along(x[told]), initial=-math.inf))
        high = min(high, np.min(side.along(x[wrong]), initial=math.inf))
        count += int(wrong.sum())
    return (low, high) if low < high and count >= FEWEST and math.isfinite(low) else None


def _narrowed(
    evidence: Evidence,
    place: int,
    name: str,
    side: Side,
    given: Given,
    ends: tuple[float, float],
) -> tuple[float, float]:
    """The same, until the target's format has no number between them."""
    low, high = ends
    wrong = [a for a in evidence if a.fails and a.wrong[place].any()]
    case = min(wrong, key=lambda a: a.found[place].size).case
    x = np.asarray(case.inputs[name], np.float64)
    index = np.unravel_index(
        int(np.argmin(np.where(side.along(x) >= high, side.along(x), np.inf))), x.shape
    )
    for _ in range(STEPS if evidence.ask else 0):
        middle = float(np.asarray((low + high) / 2).astype(evidence.storage))
        if not low < middle < high:
            break
        changed = x.copy()
        changed[index] = math.copysign(middle, x[index]) if side.sign > 0 else -middle
        a = evidence.put(replace(case, inputs=case.inputs | {name: changed}))
        if a is None or a.found[place].shape != x.shape:
            break
        kept = given(a).astype(evidence.storage).astype(np.float64)
        low, high = (low, middle) if a.found[place][index] == kept[index] else (middle, high)
    return low, high


def _roundest(low: float, high: float) -> float:
    """The number with the fewest digits from one to below the other.

    >>> _roundest(8.97, 9.02), _roundest(-1.5, 0.25)
    (9.0, 0.0)
    """
    for digits in range(-3, DIGITS):
        number = round(high, digits)
        number -= 10.0**-digits * (number >= high)
        if low <= number < high:
            return round(number, max(digits, 0))
    return low
