"""What is known of a deviation that nothing explains: answers to questions, each a sentence.

Which calls differ, which layouts, arguments, sizes and places matter; and what the wrong output has
to do with the right one: a factor, another order, a transposition, a part that is missing.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from refimpl.axes.shapes import bind
from refimpl.op import Op
from refimpl.oracle.cases.drawn import LAYOUTS, Case, RandomSource, draw_all, rounded
from refimpl.oracle.diagnosis.conditions import telling
from refimpl.oracle.diagnosis.dependence import ASKED, SEED, ignored, independent, same
from refimpl.oracle.diagnosis.evidence import Evidence, Observation
from refimpl.oracle.diagnosis.memory import WORDS
from refimpl.oracle.diagnosis.outputs import of_outputs

BUDGET = 4.0  # seconds of computing for all questions
ENOUGH = 4  # sizes that say something of all
LONGEST = 160  # of an axis whose size is asked about
SIZES = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 127, 128, 129, LONGEST)
QUESTION_SIZE = 1 << 18  # numbers in the arrays of a question


class Interview:
    """Questions to one target about one operation in one precision, while there is time."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence, self.op = evidence, evidence.op
        self.end = time.process_time() + BUDGET

    @property
    def over(self) -> bool:
        """Whether the time for questions is used up."""
        return time.process_time() > self.end

    def of_sizes(
        self, sizes: dict[str, int], number: int, rest: tuple[int, ...]
    ) -> Observation | None:
        """What the target makes of a case with given sizes; None where there is no such case."""
        try:
            source = RandomSource([SEED, number, *self.op.name.encode()])
            inputs = draw_all(self.op, source, sizes, rest)
            if sum(np.size(x) for x in inputs.values()) > QUESTION_SIZE:
                return None
            inputs = rounded(self.op, inputs, self.evidence.precision)
            self.op.evaluate(inputs)
        except (ValueError, IndexError, KeyError):
            return None
        precision = self.evidence.precision
        return self.evidence.put(Case(self.op.name, precision, "asked", "of given sizes", inputs))


def facts(evidence: Evidence) -> list[str]:
    """Sentences on what a deviation depends on, and on what the output looks like."""
    with np.errstate(all="ignore"):
        interview = Interview(evidence)
        answers = list(evidence)
        bad = [a for a in answers if a.fails]
        good = [a for a in answers if not a.fails]
        if not bad:
            return []
        questions: list[Iterator[str]] = []
        if evidence.ask:
            questions += [_again(interview, bad), _layouts(interview, bad, good)]
            questions += [ignored(interview, answers), independent(interview, bad)]
        questions += [_conditions(evidence.op, bad, good), of_outputs(evidence.op, bad)]
        if evidence.ask:
            questions += [_sizes(interview, bad)]
        questions += [_side(bad), _share_of_cases(bad, good)]
        return list(dict.fromkeys(itertools.chain.from_iterable(questions)))


def _again(interview: Interview, bad: list[Observation]) -> Iterator[str]:
    """Whether the same call gives the same numbers."""
    for answer in bad[:3]:
        again = interview.evidence.outputs(answer.case)
        if again is not None and not same(again, answer.found):
            yield "the same call gives other numbers the next time"
            return


def _layouts(
    interview: Interview, bad: list[Observation], good: list[Observation]
) -> Iterator[str]:
    """Whether only arrays that are not row-major show the deviation."""
    if any(a.case.layout == "C" for a in bad):
        return
    straight = [interview.evidence.put(replace(a.case, layout="C")) for a in bad[:ASKED]]
    if not all(a is not None and not a.fails for a in straight):
        return
    told = set()
    for answer in [a for a in good if a.case.layout == "C"][:ASKED]:
        for layout in LAYOUTS[1:]:
            other = interview.evidence.put(replace(answer.case, layout=layout))
            if other is not None and other.fails:
                told.add(layout)
    told |= {a.case.layout for a in bad}
    kinds = ", ".join(WORDS[layout] for layout in LAYOUTS[1:] if layout in told)
    yield f"only when an input is not row-major in memory ({kinds})"


def _side(bad: list[Observation]) -> Iterator[str]:
    """Whether all wrong numbers are too large, or all too small."""
    pairs = [pair for a in bad for pair in zip(a.found, a.right, a.wrong, strict=False)]
    apart = [(found - right)[wrong] for found, right, wrong in pairs if found.shape == right.shape]
    errors = np.concatenate([error.ravel() for error in apart]) if apart else np.zeros(0)
    if errors.size >= ENOUGH and not np.isnan(errors).any():
        if np.all(errors > 0):
            yield "wrong numbers are too large, all of them"
        elif np.all(errors < 0):
            yield "wrong numbers are too small, all of them"


def _share_of_cases(bad: list[Observation], good: list[Observation]) -> Iterator[str]:
    """In how many of the cases it deviates."""
    if good:
        yield f"deviates in {len(bad)} of {len(bad) + len(good)} cases"
    else:
        yield f"deviates in every case, {len(bad)} in all"


def _conditions(op: Op, bad: list[Observation], good: list[Observation]) -> Iterator[str]:
    """What holds of every input that deviates, and of no other."""
    found = telling(op, [a.case.inputs for a in bad], [a.case.inputs for a in good])
    if found:
        count = f"{len(bad)} of {len(bad) + len(good)} cases"
        yield f"deviates only where {found[0].says} ({count})"


def _sizes(interview: Interview, bad: list[Observation]) -> Iterator[str]:
    """For each axis, up to which size the result is right, or at which sizes.

    Nothing is said of an axis where a deviation was seen at a size that is right on other inputs.
    """
    op = interview.op
    seen = [bind(op.name, op.specs, answer.case.inputs) for answer in bad]
    names = list(dict.fromkeys(n for spec in op.specs.values() for n in spec.names()))
    for name in names:
        if interview.over:
            return
        base = {other: 2 + place % 3 for place, other in enumerate(names)}
        if "T" in base:
            base["T"] = LONGEST + 1 if name == "K" else 12
        right = {n: _right_at(interview, base | {name: n}) for n in SIZES}
        fine = [n for n, is_right in right.items() if is_right]
        if any(sizes.get(name) in fine for sizes in seen):
            continue
        sentence = _threshold(interview, name, base, right)
        if sentence:
            yield sentence


def _right_at(interview: Interview, sizes: dict[str, int]) -> bool | None:
    """Whether a few cases of given sizes are right; None where the target was not asked."""
    if interview.over:
        return None
    answers = [interview.of_sizes(sizes, number, (3,)) for number in range(3)]
    told = [not a.fails for a in answers if a is not None]
    return all(told) if told else None


def _threshold(
    interview: Interview, name: str, base: dict[str, int], right: dict[int, bool | None]
) -> str:
    """A sentence on the sizes of one axis at which the result is right."""
    fine = [n for n, is_right in right.items() if is_right]
    wrong = [n for n, is_right in right.items() if is_right is False]
    if not fine and len(wrong) >= ENOUGH:
        return f"wrong at each size of {name} that was tried, from {min(wrong)} to {max(wrong)}"
    if not fine or not wrong:
        return ""
    if max(fine) < min(wrong):
        low, high = max(fine), min(wrong)
        while high - low > 1:
            middle = (low + high) // 2
            is_right = _right_at(interview, base | {name: middle})
            if is_right is None:
                return f"right up to {name} = {low}, wrong from {high}"
            low, high = (middle, high) if is_right else (low, middle)
        return f"right up to {name} = {low}, wrong from {high}"
    if max(wrong) < min(fine):
        return f"wrong up to {name} = {max(wrong)}, right from {min(fine)}"
    if len(fine) + len(wrong) < 8:
        return ""
    for unit in (128, 64, 32, 16, 8, 4, 2):
        if all(n % unit == 0 for n in fine) and all(n % unit for n in wrong):
            return f"right only where {name} is a multiple of {unit}"
    powers = [n for n in right if n.bit_count() == 1]
    if set(fine) <= set(powers) and not set(wrong) & set(powers):
        return f"right only where {name} is a power of two"
    for unit in (128, 64, 32, 16, 8, 4, 2):
        for rest in (0, 1):
            there = [n for n in right if n > unit and n % unit == rest]
            if wrong == there and there:
                return f"wrong only where {name} is {rest} more than a multiple of {unit}"
    return ""
