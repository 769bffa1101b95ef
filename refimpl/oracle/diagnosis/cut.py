"""An input that deviates, cut shorter along its axes and to rounder numbers while it deviates.

It serves where no small input that is drawn anew shows a deviation: one that was seen always does.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from refimpl.axes import AxesError
from refimpl.op import Op
from refimpl.oracle.cases.drawn import Case, rounded
from refimpl.oracle.diagnosis.conditions import sizes_of
from refimpl.oracle.diagnosis.shrink import LIMIT, OutOfTime, numbers, weight

MOST_NUMBERS = 1 << 14  # in an input that is kept; of many, in a file alone


def cut(
    op: Op,
    cases: Sequence[Case],
    wrong: Callable[[Case], bool],
    clock: Callable[[], float] = time.process_time,
    limit: float = LIMIT,
) -> Case | None:
    """The shortest of inputs that deviate, cut while `wrong` holds and there is time.

    None where what is left has more numbers than a file should hold.
    """
    end, case = clock() + limit, min(cases, key=weight, default=None)
    if case is None:
        return None
    with contextlib.suppress(OutOfTime):
        while clock() < end:
            shorter = _first(op, case, wrong, lambda: clock() > end)
            if shorter is None:
                break
            case = shorter
    return case if numbers(case) <= MOST_NUMBERS else None


def _first(
    op: Op, case: Case, wrong: Callable[[Case], bool], over: Callable[[], bool]
) -> Case | None:
    for inputs in _smaller(op, case):
        if over():
            return None
        smaller = _valid(op, case, inputs)
        if smaller is not None and wrong(smaller):
            return smaller
    return None


def _smaller(op: Op, case: Case) -> Iterator[dict[str, Any]]:
    """Inputs shorter along one axis, shortest first; then of one number, or rounder ones."""
    for name, size in _lengths(op, case).items():
        for length in dict.fromkeys((1, 2, 3, size // 2, size - 1)):
            if 0 < length < size:
                for start in (0, size - length):
                    yield _part(op, case, name, slice(start, start + length))
    for name, value in case.inputs.items():
        if isinstance(value, np.ndarray) and np.issubdtype(value.dtype, np.floating):
            if np.unique(value).size > 1:
                yield {**case.inputs, name: np.zeros_like(value)}
                yield {**case.inputs, name: np.ones_like(value)}
            for digits in (0, 1, 2):
                rounder = np.round(value, digits)
                if not np.array_equal(rounder, value, equal_nan=True):
                    yield {**case.inputs, name: rounder}
                    break


def _lengths(op: Op, case: Case) -> dict[str, int]:
    """The sizes of the axes by name, and of the first that the dots stand for."""
    dotted = [
        case.inputs[name].shape[0]
        for name, spec in op.specs.items()
        if spec.dims[:1] == ["..."] and np.ndim(case.inputs[name]) > 0
    ]
    alike = {"...": dotted[0]} if len(set(dotted)) == 1 else {}
    return sizes_of(op, case.inputs) | alike


def _part(op: Op, case: Case, axis: str, part: slice) -> dict[str, Any]:
    """The inputs with a part of an axis in each array that has it."""
    inputs = dict(case.inputs)
    for name, spec in op.specs.items():
        value = inputs[name]
        if not isinstance(value, np.ndarray) or axis not in spec.dims:
            continue
        place = spec.dims.index(axis)
        if "..." in spec.dims[:place]:
            place -= len(spec.dims)
        if -value.ndim <= place < value.ndim and value.shape[place] > 1:
            inputs[name] = value[_along(place, value.ndim, part)]
    return inputs


def _along(place: int, ndim: int, part: slice) -> tuple[slice, ...]:
    return tuple(part if axis == place % ndim else slice(None) for axis in range(ndim))


def _valid(op: Op, case: Case, inputs: dict[str, Any]) -> Case | None:
    """A case of other inputs; None where the operation is not defined there."""
    try:
        held = rounded(op, op.read(**inputs), case.precision)
        op.evaluate(held)
    except (AxesError, ValueError, IndexError):
        return None
    return replace(case, inputs=held)
