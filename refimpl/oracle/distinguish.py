"""Ask back: when several explanations fit, find inputs on which they differ and ask the target."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import numpy as np

from refimpl.op import Edit, Op
from refimpl.oracle.cases import Case, random_case
from refimpl.oracle.judge import Expected, expect, judge

QUESTIONS = 100  # inputs looked at; the target is asked only where explanations differ
SEED = 1009  # none that a run of verify uses by default

Ask = Callable[[Case], list[np.ndarray] | None]


def predict(op: Op, text: Callable, case: Case) -> list[Expected] | None:
    """What an edited text expects of a case, or None where it does not run."""
    try:
        return expect(op, case.inputs, case.precision, text)
    except Exception:
        return None  # an edited text may meet any error on inputs it was not made for


def differ(one: list[Expected] | None, other: list[Expected] | None) -> bool:
    """Whether no output can be within the bounds of both."""
    if one is None or other is None:
        return (one is None) != (other is None)
    for a, b in zip(one, other, strict=True):
        if a.value.shape != b.value.shape:
            return True
        with np.errstate(all="ignore"):
            apart = np.abs(a.value - b.value) > a.allowed + b.allowed
        if np.any(apart | (np.isnan(a.value) != np.isnan(b.value))):
            return True
    return False


def narrow(op: Op, edits: list[Edit], ask: Ask, precision: str, storage: np.dtype) -> list[Edit]:
    """The explanations that still fit after the target was asked where they differ.

    What is left agrees on every input looked at: nothing here tells it apart. If nothing is left,
    none of them was right.
    """
    left = list(edits)
    texts = {edit.id: op.edited(edit) for edit in edits}
    for i in range(QUESTIONS):
        if len(left) < 2:
            break
        case = random_case(op, precision, SEED, i)
        expected = {edit.id: predict(op, texts[edit.id], case) for edit in left}
        if not any(differ(expected[a.id], expected[b.id]) for a, b in combinations(left, 2)):
            continue
        outputs = ask(case)
        if outputs is None:
            continue
        actual = outputs[0] if len(outputs) == 1 else outputs
        fitting = [
            edit
            for edit in left
            if (wants := expected[edit.id]) is not None
            and judge(op, wants, actual, storage).conforms
        ]
        left = fitting
    return left
