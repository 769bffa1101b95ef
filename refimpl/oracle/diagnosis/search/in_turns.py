"""Two edits of the catalogue in turns: one where a condition holds, the other elsewhere."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from refimpl.op import Op
from refimpl.oracle.diagnosis.conditions import telling
from refimpl.oracle.diagnosis.evidence import Observation
from refimpl.oracle.diagnosis.search import plain
from refimpl.oracle.diagnosis.search.candidates import of_catalogue
from refimpl.oracle.diagnosis.search.conditioned import Conditioned
from refimpl.oracle.diagnosis.search.pages import Candidate

SOME_NUMBERS = 1 << 12  # in the arrays of a case on which two edits are told apart
Fits = Callable[[Callable, Observation], bool]


def in_turns(op: Op, seen: Sequence[Observation], fits: Fits, end: float) -> Iterator[Candidate]:
    """Two edits that each give some of the wrong outputs and together all, and a condition.

    `fits` says whether a text comes near to what was returned; edits are tried until `end`.
    """
    few = [e for e in seen if sum(map(np.size, e.case.inputs.values())) <= SOME_NUMBERS]
    failing = [place for place, e in enumerate(few) if e.fails]
    giving: list[tuple[Candidate, set[int]]] = []
    for candidate in of_catalogue(op):
        if time.process_time() > end:
            break
        text = plain.text_of(candidate)
        given = {place for place in failing if fits(text, few[place]) and _lost(text, few[place])}
        if given:
            giving.append((candidate, given))
    for (one, here), (other, there) in itertools.permutations(giving, 2):
        if not {*failing} <= here | there or here <= there or there <= here:
            continue
        inside = [few[place].case.inputs for place in here - there]
        outside = [few[place].case.inputs for place in there - here]
        for condition in telling(op, inside, outside)[:1]:
            yield Conditioned(op.text, one.changes, condition=condition, other=other)


def _lost(text: Callable, e: Observation) -> bool:
    """Whether a text has no number where nothing was returned that is one, and there alone."""
    values = plain.values(text, e.case) or []
    return all(np.array_equal(np.isfinite(x), np.isfinite(y)) for x, y in zip(values, e.found))
