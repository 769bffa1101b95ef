"""An earlier input in which two numbers have changed places.

Whoever keeps answers by the shape of an input, its first numbers, its sum or its extremes gives the
old answer again; a right one is another, nearly always.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from refimpl.axes import Given, Spec
from refimpl.op import Op
from refimpl.oracle.cases.drawn import Case

MARK = "-exchanged"  # what the key of such a case ends with
LEAST = 3  # numbers of an array, so that the first one stays


def exchanged(op: Op, case: Case) -> Case | None:
    """The case with the last number of an array and the one farthest from it exchanged."""
    if getattr(op, "draw", None) is not None:
        return None  # its author's strategy may draw numbers in an order that matters
    for name, x in case.inputs.items():
        if not isinstance(x, np.ndarray) or x.dtype.kind != "f" or x.size < LEAST:
            continue
        if _free(op.specs[name]) and (other := _swapped(x)) is not None:
            says = f"{case.says}, two numbers of {name} exchanged"
            inputs = case.inputs | {name: other}
            return replace(case, key=case.key + MARK, says=says, inputs=inputs)
    return None


def _free(spec: Spec) -> bool:
    """Whether numbers may stand in any order: no table, probabilities, angles or the like."""
    return spec is Given or spec.kind.free


def _swapped(x: np.ndarray) -> np.ndarray | None:
    flat = np.array(x).reshape(-1)
    with np.errstate(invalid="ignore"):
        far = np.nan_to_num(np.abs(flat[1:-1] - flat[-1]), nan=0.0, posinf=0.0)
    place = 1 + int(np.argmax(far))
    if far[place - 1] == 0:
        return None
    flat[[place, -1]] = flat[[-1, place]]
    return flat.reshape(x.shape)
