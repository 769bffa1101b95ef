"""On which arguments a result depends, on which its error does, and what ends a deviation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from refimpl.oracle.cases.drawn import Case, rounded
from refimpl.oracle.diagnosis.evidence import Observation
from refimpl.oracle.diagnosis.outputs import HALF
from refimpl.oracle.numbers.precisions import PRECISIONS

if TYPE_CHECKING:
    from refimpl.oracle.diagnosis.facts import Interview

ASKED = 6  # cases on which a question about layouts or arguments is asked
SEED = 3001
UNIT = PRECISIONS["float32"].unit


def same(these: list[np.ndarray], those: list[np.ndarray]) -> bool:
    """Whether two answers are the same numbers."""
    return len(these) == len(those) and all(
        np.array_equal(np.asarray(a).astype(np.float64), b, equal_nan=True)
        for a, b in zip(these, those)
    )


def ignored(interview: Interview, answers: list[Observation]) -> Iterator[str]:
    """The arguments that the result should depend on, and does not."""
    for name in interview.op.specs:
        if interview.over:
            return
        told = 0
        for answer in answers:
            changed = _changed(interview, answer.case, name)
            if changed is None:
                continue
            other = interview.evidence.put(changed)
            if other is None or not _moved(answer, other):
                continue
            told = told + 1 if same(other.found, answer.found) else 0
            if told in (0, ASKED):
                break
        if told > 1:
            yield f"the result does not depend on {name}: {told} asked"


def independent(interview: Interview, bad: list[Observation]) -> Iterator[str]:
    """The arguments on which the result depends, and the error does not; and those that end it.

    An error is what was returned less what is right.
    """
    for name, spec in interview.op.specs.items():
        if interview.over:
            return
        others = [_asked(interview, _changed(interview, a.case, name)) for a in bad[:ASKED]]
        pairs = [(a, b) for a, b in zip(bad, others) if b is not None and _moved(a, b)]
        if len(pairs) > 1 and all(_same_error(a, b) for a, b in pairs):
            yield f"the error does not depend on {name}: {len(pairs)} asked"
        if spec.scalar or spec.kind.integer or spec.kind.low > 0:
            continue
        empty = [_asked(interview, _without(interview, a.case, name)) for a in bad[:ASKED]]
        told = [a for a in empty if a is not None]
        if len(told) > 1 and not any(a.fails for a in told):
            yield f"right where {name} is 0 throughout: {len(told)} asked"


def _asked(interview: Interview, case: Case | None) -> Observation | None:
    return None if case is None else interview.evidence.put(case)


def _without(interview: Interview, case: Case, name: str) -> Case | None:
    """The case with zeros for one argument; None where it has none, or is not defined there."""
    value = case.inputs[name]
    if value is None or np.size(value) == 0 or not np.any(value):
        return None
    return _valid(interview, case, {name: np.zeros_like(np.asarray(value))})


def _same_error(one: Observation, other: Observation) -> bool:
    """Whether two answers are off by the same numbers, in half of the digits that errors have.

    Infinite numbers and errors as small as roundings say nothing.
    """
    if len(one.found) != len(other.found):
        return False
    told = 0
    for found, right, again, also in zip(one.found, one.right, other.found, other.right):
        if len({x.shape for x in (found, right, again, also)}) != 1:
            return False
        error, later = found - right, again - also
        noise = UNIT * sum(np.abs(x) for x in (found, right, again, also))
        clear = np.isfinite(noise) & (np.maximum(np.abs(error), np.abs(later)) > 8 * noise)
        apart = np.abs(error - later)[clear]
        told += apart.size
        if np.any(apart > (HALF * np.abs(error) + 2 * noise)[clear]):
            return False
    return told > 0


def _moved(answer: Observation, other: Observation) -> bool:
    """Whether what is right differs, by more than any rounding, between two answers."""
    return len(answer.right) == len(other.right) and any(
        a.shape == b.shape and bool(np.any(np.abs(a - b) > 0.01 * np.max(np.abs(a), initial=0)))
        for a, b in zip(answer.right, other.right)
    )


def _changed(interview: Interview, case: Case, name: str) -> Case | None:
    """The case with one argument replaced by another of its kind; None where there is none."""
    op = interview.op
    spec, value = op.specs[name], case.inputs[name]
    if value is None or spec.kind.up_to or spec.kind.increasing or np.size(value) == 0:
        return None
    rng = np.random.default_rng([SEED, *name.encode()])
    array = np.asarray(value)
    if spec.kind.integer:
        new: Any = array[::-1].copy() if array.ndim else None
    elif spec.kind.low == -np.inf:
        new = np.where(np.isfinite(array), array + rng.standard_normal(array.shape), array)
    elif spec.kind.high == 1:
        new = array * 0.5 if np.max(array) > 0.5 or array.ndim else array * 0.5 + 0.25
    else:
        new = array * 0.5 if np.all(np.isfinite(array)) else np.ones_like(array)
    if new is None:
        return None
    return _valid(interview, case, {name: float(new) if spec.scalar else new})


def _valid(interview: Interview, case: Case, changes: dict[str, Any]) -> Case | None:
    """The case with other arguments; None where the operation is not defined there."""
    op = interview.op
    try:
        inputs = rounded(op, op.read(**{**case.inputs, **changes}), case.precision)
        op.evaluate(inputs)
    except ValueError:
        return None
    return replace(case, inputs=inputs)
