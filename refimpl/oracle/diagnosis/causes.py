"""What explains a deviation: the edits of the text that give what the target returned."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from refimpl.op import Edit, Op
from refimpl.oracle.cases.drawn import Case
from refimpl.oracle.diagnosis.ask_back import Ask, fit, foretelling, keep_fitting, predict
from refimpl.oracle.diagnosis.cause import UNKNOWN, Cause
from refimpl.oracle.judging.judge import Expected, expect, judge
from refimpl.registry import generations

Seen = list[tuple[Case, list[np.ndarray]]]
BUDGET = 8.0  # seconds of computing that one diagnosis may take
SEARCHING = 8.0  # of them for the search at least, however long the catalogue took
ASKING = 2.0  # for questions about what was found
ROUNDS = 3  # times that the search begins again with the answers that refuted its finds


def causes(
    op: Op, seen: Seen, storage: np.dtype, precision: str, ask: Ask | None = None
) -> list[Cause]:
    """What explains everything seen; several causes cannot be told apart on any input tried."""
    return explanations(op, seen, storage, precision, ask) or [UNKNOWN]


def explanations(
    op: Op, seen: Seen, storage: np.dtype, precision: str, ask: Ask | None = None
) -> list[Cause]:
    """The dialects, else the mistakes, else the loss of digits, else the small edits that fit.

    `ask` calls the target again: each explanation is put to the test on new inputs, and where
    several fit, on inputs that tell them apart. Those that are left agree on everything tried.
    """
    from refimpl.oracle.diagnosis.roundings import SIZED, inside, roundings
    from refimpl.oracle.diagnosis.search import explain, explain_short

    seen, deadline = list(seen), time.process_time() + BUDGET
    if not seen:
        return []

    halves = inside(op, seen, storage, precision, ask)
    if halves:
        return halves

    def asked(found: list[Cause]) -> list[Cause]:
        if not ask or not found:
            return found
        asked: list[Case] = []
        until = max(deadline, time.process_time() + ASKING)  # whatever was used up before
        left = keep_fitting(op, found, ask, precision, storage, seen, until, asked)
        return [replace(e, confirmed=len(asked)) for e in left]

    own = [expect(op, case.inputs, precision) for case, _ in seen]
    family = generations(op)
    for of in family:  # its own, else what it inherits from the operations that it calls
        known = [_listed(op, form, "dialect") for edit in of.dialects for form in edit.forms]
        known += [_listed(op, form, "mistake") for edit in of.mistakes for form in edit.forms]
        own += [expect(op, case.inputs, precision) for case, _ in seen[len(own) :]]  # asked since
        found = asked([e for e in known if _explains(op, e, seen, own, storage)])
        if found:
            return [e for e in found if e.kind == "dialect"] or _by_name(found)
    lossy = [_listed(op, form, "precision") for of in family for e in of.lossy for form in e.forms]
    found = [e for e in lossy if _explains(op, e, seen, [], storage)]
    if found:
        return _by_name(found)
    losses = roundings(op, seen, storage, precision, ask)
    if losses:
        sized = all(loss.id.startswith(SIZED) for loss in losses)
        short = asked(explain_short(op, seen, storage, precision)) if sized else []
        return short or losses
    deadline = max(deadline, time.process_time() + SEARCHING)
    for _ in range(ROUNDS):
        known_before = len(seen)
        found = explain(op, seen, storage, precision, deadline - time.process_time())
        if not ask or not found:
            return found
        found = asked(found)
        if found or len(seen) == known_before or time.process_time() > deadline:
            return found
    return []


def _by_name(found: list[Cause]) -> list[Cause]:
    """One of each: several forms of a mistake are one mistake."""
    return list({explanation.id: explanation for explanation in reversed(found)}.values())[::-1]


def _listed(op: Op, edit: Edit, kind: str) -> Cause:
    return Cause(kind, edit.id, edit.says, op.diff(edit), op.edited(edit))


def _explains(
    op: Op, suspect: Cause, seen: Seen, own: Sequence[list[Expected]], storage: np.dtype
) -> bool:
    """Whether an edited text fits every case, and says something of one that deviates.

    Without `own`, what the unedited text expects, it may lose all digits.
    """
    says_something = not own
    for i, (case, outputs) in enumerate(seen):
        right = own[i] if own else []
        wanted = predict(op, suspect.text, case)
        fits_it = fit(wanted, right, op, outputs, storage, foretelling(suspect), case)
        if fits_it is False:
            return False
        if fits_it and not says_something:
            actual = outputs[0] if len(outputs) == 1 else outputs
            says_something = not judge(op, right, actual, storage).conforms
    return says_something


def fits(
    op: Op,
    text: Callable,
    case: Case,
    outputs: list[np.ndarray],
    own: list[Expected],
    storage: np.dtype,
) -> bool:
    """Whether an edited text explains one case; `own` is what the unedited one expects.

    A bound that allows everything explains nothing.
    """
    return bool(fit(predict(op, text, case), own, op, outputs, storage, text, case))
