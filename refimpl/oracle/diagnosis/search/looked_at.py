"""In which order the search looks at what was seen, and which cases tell edits apart."""

from __future__ import annotations

import numpy as np

from refimpl.oracle.diagnosis.evidence import Evidence, Observation


def ordered(evidence: Evidence) -> list[Observation]:
    """What was seen, small failing cases first; nothing where a target returned no numbers."""
    try:
        return sorted(evidence, key=order)
    except (TypeError, ValueError):
        return []


def order(e: Observation) -> tuple:
    """What is looked at first: what fails, can be explained and is small."""
    numbers = sum(np.size(x) for x in e.case.inputs.values())
    results = sum(x.size for x in e.found)
    return not e.fails, e.hopeless, results < 4, numbers + results


def is_small(e: Observation) -> bool:
    """Whether a case is made to tell mistakes apart, as probes are, on few numbers."""
    return e.case.key.startswith("probe")


def various(seen: list[Observation], most: int) -> list[int]:
    """The places of a few cases whose results tell edits apart: the first, then of other shapes.

    A factor of two is the width on a case of width two, and axis 1 the last one of two axes.
    """
    places, sizes, ranks = [0], [_sizes(seen[0])], {_ranks(seen[0])}
    for place, e in enumerate(seen):
        apart = not any(_sizes(e) & other for other in sizes)
        if len(places) < most and e.fails and (apart or _ranks(e) not in ranks):
            places.append(place)
            sizes.append(_sizes(e))
            ranks.add(_ranks(e))
    rest = [place for place in range(len(seen)) if place not in places]
    return [*places, *rest][:most]


def _ranks(e: Observation) -> tuple[int, ...]:
    return tuple(np.ndim(x) for x in e.case.inputs.values())


def _sizes(e: Observation) -> frozenset[int]:
    """The lengths of axes that a factor may be taken for."""
    return frozenset(n for x in e.case.inputs.values() for n in np.shape(x) if n > 1)
