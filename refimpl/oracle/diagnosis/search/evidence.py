"""What was seen of a target: each case, what it returned, and what the right text says of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from refimpl.op import Op
from refimpl.oracle.cases.drawn import Case
from refimpl.oracle.judging.judge import Expected, expect, judge


@dataclass(frozen=True, eq=False)
class Evidence:
    """One case, what the target returned, and what the unedited text says of it."""

    case: Case
    outputs: list[np.ndarray]
    found: list[np.ndarray]  # the outputs in float64
    own: list[Expected]
    fails: bool

    @property
    def hopeless(self) -> bool:
        """Whether the outputs have a form, or so many gaps, that no edit would give them."""
        if len(self.found) != len(self.own):
            return True
        gaps = [
            np.isnan(found).all() and found.size > 0 and not np.isnan(own.value).any()
            for found, own in zip(self.found, self.own)
        ]
        return any(gaps)


def gathered(op: Op, seen: list, storage: np.dtype, precision: str) -> list[Evidence]:
    """The cases, small failing ones first."""
    evidence = []
    for case, outputs in seen:
        try:
            found = [np.asarray(output).astype(np.float64) for output in outputs]
        except (TypeError, ValueError):
            return []
        own = expect(op, case.inputs, precision)
        actual: Any = outputs[0] if len(outputs) == 1 else outputs
        fails = not judge(op, own, actual, storage).conforms
        evidence.append(Evidence(case, outputs, found, own, fails))

    return sorted(evidence, key=order)


def order(e: Evidence) -> tuple:
    """What is looked at first: what fails, can be explained and is small."""
    numbers = sum(np.size(x) for x in e.case.inputs.values())
    results = sum(x.size for x in e.found)
    return not e.fails, e.hopeless, results < 4, numbers + results


def is_small(e: Evidence) -> bool:
    """Whether a case is made to tell mistakes apart, as probes are, on few numbers."""
    return e.case.key.startswith("probe")


def various(evidence: list[Evidence], most: int) -> list[int]:
    """The places of a few cases whose results tell edits apart: the first, then of other shapes.

    A factor of two is the width on a case of width two, and axis 1 the last one of two axes.
    """
    places, sizes, ranks = [0], [_sizes(evidence[0])], {_ranks(evidence[0])}
    for place, e in enumerate(evidence):
        apart = not any(_sizes(e) & other for other in sizes)
        if len(places) < most and e.fails and (apart or _ranks(e) not in ranks):
            places.append(place)
            sizes.append(_sizes(e))
            ranks.add(_ranks(e))
    rest = [place for place in range(len(evidence)) if place not in places]
    return [*places, *rest][:most]


def _ranks(e: Evidence) -> tuple[int, ...]:
    return tuple(np.ndim(x) for x in e.case.inputs.values())


def _sizes(e: Evidence) -> frozenset[int]:
    """The lengths of axes that a factor may be taken for."""
    return frozenset(n for x in e.case.inputs.values() for n in np.shape(x) if n > 1)
