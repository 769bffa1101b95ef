"""What is known of a deviation that nothing explains: answers to questions, each a sentence.

Which calls differ, which layouts, arguments, sizes and places matter; and what the wrong output has
to do with the right one: a factor, another order, a transposition, a part that is missing.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator

import numpy as np

from refimpl.op import Op
from refimpl.oracle.diagnosis.conditions import telling
from refimpl.oracle.diagnosis.dependence import ignored, independent, same
from refimpl.oracle.diagnosis.evidence import Evidence, Observation
from refimpl.oracle.diagnosis.memory import only_turned
from refimpl.oracle.diagnosis.outputs import of_outputs
from refimpl.oracle.diagnosis.survey import Survey

BUDGET = 4.0  # seconds of computing for all questions
ENOUGH = 4  # numbers, or cases on either side, that say something of all


class Interview:
    """Questions to one target about one operation in one precision, while there is time."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence, self.op = evidence, evidence.op
        self.end = time.process_time() + BUDGET

    @property
    def over(self) -> bool:
        """Whether the time for questions is used up."""
        return time.process_time() > self.end


def facts(evidence: Evidence, survey: Survey | None = None) -> list[str]:
    """Sentences on what a deviation depends on, and on what the output looks like.

    `survey` is what is known of sizes, if that was asked before; then layouts were as well.
    """
    with np.errstate(all="ignore"):
        answers = list(evidence)
        bad = [a for a in answers if a.fails]
        good = [a for a in answers if not a.fails]
        if not bad:
            return []
        alone, survey = survey is None, survey or Survey.of(evidence)
        interview = Interview(evidence)
        questions: list[Iterator[str]] = [iter(survey.facts)]
        if evidence.ask:
            questions += [_again(interview, bad), _layouts(evidence) if alone else iter(())]
            questions += [ignored(interview, answers), independent(interview, bad)]
        questions += [_conditions(evidence.op, bad, good), of_outputs(evidence.op, bad)]
        questions += [_side(bad)]
        return list(dict.fromkeys(itertools.chain.from_iterable(questions)))


def _again(interview: Interview, bad: list[Observation]) -> Iterator[str]:
    """Whether the same call gives the same numbers."""
    for answer in bad[:3]:
        again = interview.evidence.outputs(answer.case)
        if again is not None and not same(again, answer.found):
            yield "the same call gives other numbers the next time"
            return


def _layouts(evidence: Evidence) -> Iterator[str]:
    """Whether only arrays that are not row-major show the deviation."""
    says, counts = only_turned(evidence)
    if says:
        yield f"{says} ({counts})"


def _side(bad: list[Observation]) -> Iterator[str]:
    """Whether all wrong numbers are too large, or all too small."""
    pairs = [pair for a in bad for pair in zip(a.found, a.right, a.wrong, strict=False)]
    apart = [(found - right)[wrong] for found, right, wrong in pairs if found.shape == right.shape]
    errors = np.concatenate([error.ravel() for error in apart]) if apart else np.zeros(0)
    if errors.size >= ENOUGH and not np.isnan(errors).any():
        if np.all(errors > 0):
            yield f"wrong numbers are too large, all {errors.size} of them"
        elif np.all(errors < 0):
            yield f"wrong numbers are too small, all {errors.size} of them"


def _conditions(op: Op, bad: list[Observation], good: list[Observation]) -> Iterator[str]:
    """What holds of every input that deviates, and of no other."""
    found = telling(op, [a.case.inputs for a in bad], [a.case.inputs for a in good], ENOUGH)
    if found:
        count = f"in all {len(bad)} cases that deviate, in none of {len(good)} that do not"
        yield f"deviates only where {found[0].says}: {count}"
