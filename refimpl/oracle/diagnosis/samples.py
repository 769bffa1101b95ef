"""For which samples a target is wrong: those whose index is the first one, or the -1 before it.

A condition on single samples is counted in all that was seen, and in inputs that are asked for.
Where -1 finds what the last index finds, it is said: it wraps to the end of a table.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from refimpl.oracle.cases.drawn import random_case
from refimpl.oracle.diagnosis.conditions import Sampled, of_samples, sizes_of
from refimpl.oracle.diagnosis.dependence import same
from refimpl.oracle.diagnosis.evidence import Evidence, Observation

SEED = 3002
ASKED = 24  # new inputs
FEWEST = 6  # samples on either side
WRAPPED = 3  # inputs in which -1 is replaced by the last index


def wrong_samples(evidence: Evidence) -> tuple[str, str]:
    """What holds of wrong samples alone, and how often; empty where nothing does."""
    seen = {c: _counted(list(evidence), c) for c in of_samples(evidence.op)}
    found = {c: counts[0] / counts[1] for c, counts in seen.items() if _tells(counts)}
    if not evidence.ask or not found:
        return "", ""
    precision = evidence.precision
    asked = (evidence.put(random_case(evidence.op, precision, SEED, i)) for i in range(ASKED))
    fresh = [answer for answer in asked if answer is not None]
    for condition in sorted(found, key=lambda c: -found[c]):  # that holds of few right ones first
        counts = _counted(fresh, condition)
        if _tells(counts):
            wrong, inside, _, outside = counts
            told = f"of samples asked for, {wrong} of {inside} wrong there"
            wraps = _wraps(evidence, condition)
            says = f"wrong only in samples where {condition.says}"
            return says + wraps, f"{told}, {outside} of {outside} right elsewhere"
    return "", ""


Counts = tuple[int, int, int, int]  # wrong ones of all inside, and the same outside


def _tells(counts: Counts) -> bool:
    wrong, inside, beside, outside = counts
    return min(inside, outside) >= FEWEST and not beside and 2 * wrong >= inside


def _counted(answers: list[Observation], condition: Sampled) -> Counts:
    """How many samples are wrong of those that meet a condition, and of the others."""
    inside, outside = [0, 0], [0, 0]
    for answer in answers:
        holds = condition.test(np.asarray(answer.case.inputs[condition.argument]))
        wrong = [w.reshape(len(w), -1).any(axis=1) for w in answer.wrong if w.size]
        if not wrong or any(w.shape != holds.shape for w in wrong):
            continue
        rows = np.logical_or.reduce(wrong)
        for count, which in ((inside, holds), (outside, ~holds)):
            count[0] += int(rows[which].sum())
            count[1] += int(which.sum())
    return inside[0], inside[1], outside[0], outside[1]


def _wraps(evidence: Evidence, condition: Sampled) -> str:
    """Whether -1 gives just what the last index gives, and not what the first does."""
    name = condition.argument
    limit, told = evidence.op.specs[name].limit, 0
    for answer in evidence:
        index = np.asarray(answer.case.inputs[name])
        last = sizes_of(evidence.op, answer.case.inputs).get(limit or "", 0) - 1
        if not answer.fails or last < 1 or not condition.test(index).any() or index.min() != -1:
            continue
        changed = [
            evidence.outputs(replace(answer.case, inputs=answer.case.inputs | {name: other}))
            for other in (np.where(index == -1, last, index), np.where(index == -1, 0, index))
        ]
        if changed[0] is None or not same(changed[0], answer.found):
            return ""
        told += changed[1] is None or not same(changed[1], answer.found)
        if told == WRAPPED:
            return f": -1 finds the last entry ({told} of {told} inputs asked for both)"
    return ""
