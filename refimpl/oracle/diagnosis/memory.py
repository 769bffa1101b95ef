"""Arrays that are read, or written, as they lie in memory, whatever their strides say.

No edit of a text shows that: a text knows no layout. So the right text is run on the numbers as
they would be read.
"""

from __future__ import annotations

import functools
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
FEWEST = 2  # inputs on either side of a layout
ASKED = 6  # row-major cases that are asked again in each other layout
Reading = Callable[[np.ndarray], np.ndarray]
Order = tuple[int, ...]
WORDS = {"F": "column-major", "reversed": "reversed", "strided": "strided"}


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
    if found := _as_other_axes(evidence, bad):
        return found
    if all(_writes(evidence, a) for a in turned):
        wrote = "writes the result in the order in which an argument lies in memory"
        return _put_to_the_test(evidence, wrote, lambda a: _writes(evidence, a))
    return []


def _as_other_axes(evidence: Evidence, bad: list[Observation]) -> list[Cause]:
    """An array read as if its axes followed one another in another order, as channels do at an end.

    Perhaps in some layouts alone, and for some outputs alone.
    """
    op, shown = evidence.op, {a.case.layout for a in bad}
    wrong = tuple(n for place, n in enumerate(op.outputs) if any(_is_wrong(a, place) for a in bad))
    small = sorted(bad, key=lambda a: sum(np.size(x) for x in a.case.inputs.values()))
    for names, order in itertools.product(_subsets(op), _orders(op)):
        names = tuple(n for n in names if len(op.specs[n].dims) == len(order))

        def fits(a: Observation, names: Sequence[str] = names, order: Order = order) -> bool:
            if a.case.layout not in shown:
                return not a.fails
            return _reads(evidence, a, names, functools.partial(_permuted, order), wrong)

        others = [a for a in evidence if not a.fails and a.case.layout in shown]
        if names and all(map(fits, small)) and all(map(fits, others)):
            axes = ", ".join(map(str, order))
            where = " or ".join(WORDS[layout] for layout in LAYOUTS if layout in shown)
            given = f" for {', '.join(wrong)}" if len(wrong) < len(op.outputs) else ""
            says = (
                f"reads {', '.join(names)}{given} as if its axes were {axes}, where it is {where}"
            )
            return _put_to_the_test(evidence, says, fits)
    return []


def _is_wrong(answer: Observation, place: int) -> bool:
    """Whether one output of an answer is beyond its bound."""
    return not answer.wrong or bool(answer.wrong[place].any())


def _orders(op: Op) -> list[Order]:
    """The orders of so many axes as an array of the operation has; channels last go first."""
    ranks = {len(spec.dims) for spec in op.specs.values() if "..." not in spec.dims}
    every = [o for rank in ranks & {3, 4} for o in itertools.permutations(range(rank))]
    turns = [o for o in every if o != tuple(range(len(o)))]
    return sorted(turns, key=lambda o: o not in ((0, 2, 3, 1), (0, 3, 1, 2), (0, 2, 1)))


def _permuted(order: Order, x: np.ndarray) -> np.ndarray:
    """The numbers in the order of other axes, as if that were the order of rows."""
    return np.transpose(x, order).reshape(x.shape) if x.ndim == len(order) else x


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


def _reads(
    evidence: Evidence,
    answer: Observation,
    names: Sequence[str],
    reading: Reading,
    outputs: Sequence[str] = (),
) -> bool:
    """Whether an answer is the right one for arguments that are read in a certain way.

    With `outputs`, for those alone.
    """
    case = answer.case
    inputs = {
        name: reading(lay(x, case.layout)) if name in names and isinstance(x, np.ndarray) else x
        for name, x in case.inputs.items()
    }
    try:
        wanted = evidence.expect(replace(case, inputs=inputs))
    except (ValueError, IndexError):
        return False  # the operation is not defined there
    for_those = outputs or evidence.op.outputs
    mixed = [w if w.name in for_those else own for w, own in zip(wanted, answer.own)]
    return evidence.within(mixed, answer.outputs)


def _writes(evidence: Evidence, answer: Observation) -> bool:
    """Whether an answer is the right one, written as if rows followed one another there."""

    def written(x: np.ndarray) -> np.ndarray:
        place: np.ndarray = lay(np.empty(x.shape), answer.case.layout)
        by_columns = place.flags.f_contiguous and not place.flags.c_contiguous
        return np.reshape(x.ravel(), x.shape[::-1]).T if by_columns else x

    wanted = [Expected(e.name, written(e.value), written(e.allowed)) for e in answer.own]
    return evidence.within(wanted, answer.outputs)


def only_turned(evidence: Evidence) -> tuple[str, str]:
    """Whether only arrays that are not row-major are wrong, in which layouts, and how many.

    Empty where they are not, or where too few bear it out.
    """
    bad = [a for a in evidence if a.fails]
    if not evidence.ask or not bad or any(a.case.layout == "C" for a in bad):
        return "", ""
    asked = [evidence.put(replace(a.case, layout="C")) for a in bad[:ASKED]]
    straight = [a for a in asked if a is not None]
    others = [a.case for a in evidence if a.case.layout == "C"][:ASKED]
    turned = {
        layout: [evidence.put(replace(case, layout=layout)) for case in others]
        for layout in LAYOUTS[1:]
    }
    wrong = {layout: sum(a is not None and a.fails for a in turned[layout]) for layout in turned}
    shown = [x for x in turned if wrong[x] or any(a.case.layout == x for a in bad)]
    count = sum(wrong[layout] for layout in shown)
    if any(a.fails for a in straight) or min(len(straight), count) < FEWEST:
        return "", ""
    where = ", ".join(WORDS[layout] for layout in shown)
    says = f"wrong only where an input is not row-major in memory ({where})"
    there = f"of inputs asked for, {count} of {len(others) * len(shown)} wrong there"
    return says, f"{there}, {len(straight)} of {len(straight)} right when they are row-major"
