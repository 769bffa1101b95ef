"""What explains a deviation: the edits of the text that give what the target returned."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from refimpl.op import Edit, Op
from refimpl.oracle.diagnosis.ask_back import (
    brought_nearer,
    fit,
    fitting_relatives,
    foretelling,
    keep_fitting,
    predict,
)
from refimpl.oracle.diagnosis.cause import UNKNOWN, Cause
from refimpl.oracle.diagnosis.evidence import Evidence, Observation
from refimpl.oracle.diagnosis.memory import as_it_lies
from refimpl.oracle.diagnosis.outputs import one_number
from refimpl.registry import generations

BUDGET = 8.0  # seconds of computing that one diagnosis may take
SEARCHING = 12.0  # of them for the search at least, however long the catalogue took
ASKING = 2.0  # for questions about what was found
ROUNDS = 3  # times that the search begins again with the answers that refuted its finds
FEWEST = 3  # outputs that are one number throughout, which says more than a cause for so few


def causes(evidence: Evidence) -> list[Cause]:
    """What explains everything seen; several causes cannot be told apart on any input tried."""
    return explanations(evidence) or [UNKNOWN]


def explanations(evidence: Evidence) -> list[Cause]:
    """The dialects, else the mistakes, else the loss of digits, else the small edits that fit.

    Where the target can be asked, each explanation is put to the test on new inputs, and where
    several fit, on inputs that tell them apart. Those that are left agree on everything tried.
    """
    from refimpl.oracle.diagnosis.limits import beyond_a_limit
    from refimpl.oracle.diagnosis.roundings import SIZED, inside, roundings
    from refimpl.oracle.diagnosis.search import explain, explain_short

    evidence, deadline = evidence.also(), time.process_time() + BUDGET
    if not evidence or _one_number(evidence):
        return []

    lies = as_it_lies(evidence)
    if lies:
        return lies
    halves = inside(evidence)
    if halves and not _speaks_exactly(evidence):
        return halves

    def asked(found: list[Cause]) -> list[Cause]:
        if not evidence.ask or not found:
            return found
        before = len(evidence)
        until = max(deadline, time.process_time() + ASKING)  # whatever was used up before
        left = keep_fitting(evidence, found, until)
        if not any(answer.fails for answer in list(evidence)[before:]):
            left = fitting_relatives(evidence, left, until)
        confirmed = sum(answer.fails for answer in list(evidence)[before:])
        return [replace(e, confirmed=confirmed) for e in left]

    family = generations(evidence.op)
    for of in family:  # its own, else what it inherits from the operations that it calls
        known = _listed(evidence.op, of.dialects, "dialect")
        known += _listed(evidence.op, of.mistakes, "mistake")
        found = asked([e for e in known if _explains(evidence, e)])
        if found:
            return [e for e in found if e.kind == "dialect"] or _by_name(found)
    found = digits_lost(evidence)
    if found:
        return found
    found = asked(beyond_a_limit(evidence))
    if found:
        return found
    losses = roundings(evidence)
    if losses:
        sized = all(loss.id.startswith(SIZED) for loss in losses)
        short = asked(explain_short(evidence)) if sized else []
        return short or losses
    deadline = max(deadline, time.process_time() + SEARCHING)
    for _ in range(ROUNDS):
        known_before = len(evidence)
        found = explain(evidence, deadline - time.process_time())
        if not evidence.ask or not found:
            return found
        found = asked(found)
        if found or len(evidence) == known_before or time.process_time() > deadline:
            return found
    return []


def digits_lost(evidence: Evidence) -> list[Cause]:
    """The first form, equal on paper, whose own bound explains everything; each loses more."""
    lossy = [
        cause
        for of in generations(evidence.op)
        for cause in _listed(
            evidence.op, [e for e in of.lossy if e.tells_in(evidence.precision)], "precision"
        )
    ]
    return next(([e] for e in lossy if _explains(evidence, e)), [])


def _one_number(evidence: Evidence) -> bool:
    """Whether all that was returned is one number throughout: a fact, and no slip of the pen."""
    pairs = [
        (found, right)
        for answer in evidence
        for found, right in zip(answer.found, answer.right)
        if found.shape == right.shape
    ]
    return len(pairs) >= FEWEST and one_number(pairs) is not None


def _speaks_exactly(evidence: Evidence) -> bool:
    """Whether a dialect gives what was returned, and not only as much as noise may come to."""
    known = _listed(evidence.op, evidence.op.dialects, "dialect")
    return any(_explains(evidence, e) and _comes_near(evidence, e) for e in known)


def _by_name(found: list[Cause]) -> list[Cause]:
    """One of each: several forms of a mistake are one mistake."""
    return list({explanation.id: explanation for explanation in reversed(found)}.values())[::-1]


def _listed(op: Op, edits: Sequence[Edit], kind: str) -> list[Cause]:
    """The edits of a catalogue as causes, each in all its forms."""
    forms = [form for edit in edits for form in edit.forms]
    return [Cause(kind, form.id, form.says, op.diff(form), op.edited(form)) for form in forms]


def _explains(evidence: Evidence, suspect: Cause) -> bool:
    """Whether an edited text fits every case, and says something of one that deviates.

    One that loses digits may lose all of them.
    """
    blind = suspect.kind == "precision"
    says_something = blind
    for answer in evidence:
        wanted = predict(evidence.op, suspect.text, answer.case)
        beside = replace(answer, own=[]) if blind else answer
        fits_it = fit(evidence.op, wanted, beside, foretelling(suspect))
        if fits_it is False:
            return False
        says_something |= bool(fits_it and answer.fails)
    if suspect.kind != "mistake":
        return says_something
    return says_something and _comes_near(evidence, suspect)


def _comes_near(evidence: Evidence, suspect: Cause) -> bool:
    """Whether an edited text comes near to most of the wrong numbers that it has to explain."""
    assert suspect.text is not None
    counts = [brought_nearer(evidence.op, suspect.text, answer) for answer in evidence]
    near, wrong = (sum(count) for count in zip(*counts))
    return not wrong or near > wrong / 2


def fits(op: Op, text: Callable, answer: Observation) -> bool:
    """Whether an edited text explains one case; a bound that allows everything explains nothing."""
    return bool(fit(op, predict(op, text, answer.case), answer, text))
