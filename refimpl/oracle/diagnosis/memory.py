"""Arrays that are read, or written, as they lie in memory, whatever their strides say.

No edit of a text shows that: a text knows no layout. So the right text is run on the numbers as
they would be read.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from refimpl.op import Op
from refimpl.oracle.cases.drawn import LAYOUTS, lay
from refimpl.oracle.diagnosis.cause import UNLISTED, Cause
from refimpl.oracle.diagnosis.evidence import Evidence, Observation
from refimpl.oracle.judging.judge import Expected

MOST = 16  # sets of so many arguments
ASKED = 6  # row-major cases that are asked again in each other layout
Reading = Callable[[np.ndarray], np.ndarray]


def _in_order(x: np.ndarray) -> np.ndarray:
    """The numbers in the order of memory, as if that were the order of rows."""
    return x.ravel("K").reshape(x.shape)


def _from_the_start(x: np.ndarray) -> np.ndarray:
    """The first numbers of the memory that an array is a view of."""
    whole = x if x.base is None else x.base
    return whole.ravel("K")[: x.size].reshape(x.shape)


READINGS: dict[str, Reading] = {
    "in the order in which they lie in memory": _in_order,
    "from the start of their memory on, one after another": _from_the_start,
}


def as_it_lies(evidence: Evidence) -> list[Cause]:
    """What explains deviations of arrays that are not row-major, where no other array deviates."""
    bad = [a for a in evidence if a.fails]
    if not bad or any(a.case.layout == "C" for a in bad):
        return []
    turned = [a for a in evidence if a.case.layout != "C"]
    turned.sort(key=lambda a: (not a.fails, sum(np.size(x) for x in a.case.inputs.values())))
    for names, (words, reading) in itertools.product(_subsets(evidence.op), READINGS.items()):
        if all(_reads(evidence, a, names, reading) for a in turned):
            read = f"reads {', '.join(names)} {words}, whatever the strides are"
            return _put_to_the_test(evidence, read, lambda a: _reads(evidence, a, names, reading))  # noqa: B023
    if all(_writes(evidence, a) for a in turned):
        wrote = "writes the result in the order in which an argument lies in memory"
        return _put_to_the_test(evidence, wrote, lambda a: _writes(evidence, a))
    return []


def _subsets(op: Op) -> Iterator[tuple[str, ...]]:
    """All arrays, then one alone, then all but one, and so on."""
    arrays = tuple(name for name, spec in op.specs.items() if not spec.scalar)
    yield arrays
    sizes = {size: None for few in range(1, len(arrays)) for size in (few, len(arrays) - few)}
    for size in sizes:
        yield from itertools.islice(itertools.combinations(arrays, size), MOST)


def _put_to_the_test(
    evidence: Evidence, says: str, fits: Callable[[Observation], bool]
) -> list[Cause]:
    """The cause, with the number of new inputs that bear it out; nothing where one refutes it."""
    confirmed = 0
    straight = [a.case for a in evidence if a.case.layout == "C"][:ASKED]
    for case, layout in itertools.product(straight, LAYOUTS[1:]):
        answer = evidence.put(replace(case, layout=layout))
        if answer is not None and not fits(answer):
            return []
        confirmed += answer is not None and answer.fails
    return [Cause("mistake", UNLISTED, says, confirmed=confirmed)]


def _reads(evidence: Evidence, answer: Observation, names: Sequence[str], reading: Reading) -> bool:
    """Whether an answer is the right one for arguments that are read in a certain way."""
    case = answer.case
    inputs = {
        name: reading(lay(x, case.layout)) if name in names and isinstance(x, np.ndarray) else x
        for name, x in case.inputs.items()
    }
    try:
        wanted = evidence.expect(replace(case, inputs=inputs))
    except (ValueError, IndexError):
        return False  # the operation is not defined there
    return evidence.within(wanted, answer.outputs)


def _writes(evidence: Evidence, answer: Observation) -> bool:
    """Whether an answer is the right one, written as if rows followed one another there."""

    def written(x: np.ndarray) -> np.ndarray:
        place: np.ndarray = lay(np.empty(x.shape), answer.case.layout)
        by_columns = place.flags.f_contiguous and not place.flags.c_contiguous
        return np.reshape(x.ravel(), x.shape[::-1]).T if by_columns else x

    wanted = [Expected(e.name, written(e.value), written(e.allowed)) for e in answer.own]
    return evidence.within(wanted, answer.outputs)
