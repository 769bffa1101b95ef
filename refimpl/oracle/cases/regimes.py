"""Kinds of inputs that have a name: what a target may do without, and where one raises.

A target file says `WITHOUT = ("grouped heads", "M above 300")` for what it does not do. The same
table gives the words for the inputs on which a target raises: `every case with fewer key heads than
heads`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from refimpl.axes import Spec
from refimpl.exceptions import RefimplError
from refimpl.op import Op
from refimpl.oracle.cases.drawn import Case

Holds = Callable[[Op, Case], bool]
LIMIT = re.compile(r"([A-Za-z]+) (above|below) (\d+)")
ARGUMENT = re.compile(r"(no|a) ([a-z_]+)")


@dataclass(frozen=True)
class Regime:
    """A kind of input: its name in `WITHOUT`, the words for it in a sentence, and the test."""

    name: str
    says: str
    holds: Holds


def _biases(op: Op, case: Case) -> Iterator[np.ndarray]:
    """The arrays in which minus infinity hides something."""
    for name, value in case.inputs.items():
        if isinstance(value, np.ndarray) and op.specs[name].kind.hides:
            yield value


def _empty(op: Op, case: Case) -> bool:
    values = [x for x in case.inputs.values() if isinstance(x, np.ndarray)]
    return any(not x.size for x in values)


def _sizes(op: Op, case: Case) -> dict[str, int]:
    return op._sizes(case.inputs)


def _grouped(op: Op, case: Case) -> bool:
    sizes = _sizes(op, case)
    return "G" in sizes and sizes.get("R", 1) > 1


def _hidden(op: Op, case: Case) -> bool:
    return any(np.isneginf(x).any() for x in _biases(op, case))


def _all_hidden(op: Op, case: Case) -> bool:
    masks = [x for x in _biases(op, case) if x.size]
    return any(np.isneginf(x).all(axis=-1).any() for x in masks)


def _infinite(op: Op, case: Case) -> bool:
    plain = [x for name, x in case.inputs.items() if not op.specs[name].kind.hides]
    return any(not np.isfinite(x).all() for x in plain if isinstance(x, (float, np.ndarray)))


def _zero_row(op: Op, case: Case) -> bool:
    rows = [x for name, x in case.inputs.items() if _is_rows(op.specs[name], x)]
    return any((x == 0).all(axis=-1).any() for x in rows)


def _is_rows(spec: Spec, x: Any) -> bool:
    """Whether an argument holds vectors of real numbers."""
    return spec.kind.free and isinstance(x, np.ndarray) and bool(x.ndim and x.size)


def _other_layout(op: Op, case: Case) -> bool:
    return case.layout != "C"


def _broadcast(op: Op, case: Case) -> bool:
    sizes = _sizes(op, case)
    for name, spec in op.specs.items():
        value = case.inputs[name]
        if spec.broadcastable and value is not None:
            if np.ndim(value) < len(spec.dims):
                return True
            wanted = [sizes.get(d) for d in spec.dims]
            if any(n == 1 and w not in (1, None) for n, w in zip(np.shape(value), wanted)):
                return True
    return False


REGIMES = (
    Regime("empty batches", "with an array that has no elements", _empty),
    Regime("grouped heads", "with fewer key heads than heads", _grouped),
    Regime("hidden rows", "with a row of which everything is hidden", _all_hidden),
    Regime("hidden keys", "with a bias of minus infinity", _hidden),
    Regime("infinite numbers", "with an infinite number", _infinite),
    Regime("other layouts", "that does not lie row-major in memory", _other_layout),
    Regime("broadcast arguments", "with an argument that broadcasts", _broadcast),
    Regime("zero vectors", "with a row of zeros", _zero_row),
)


class UnknownRegime(RefimplError, ValueError):
    """A name in `WITHOUT` that nothing is called."""


def find(name: object) -> Regime:
    """A regime by its name in `WITHOUT`.

    >>> find("M above 300").says
    'with M above 300'
    """
    for regime in REGIMES:
        if regime.name == name:
            return regime
    if isinstance(name, str) and (limit := LIMIT.fullmatch(name)):
        return _beyond(limit[1], limit[2], int(limit[3]))
    if isinstance(name, str) and (given := ARGUMENT.fullmatch(name)):
        return _argument(given[2], given[1] == "no")
    known = ", ".join(repr(regime.name) for regime in REGIMES)
    raise UnknownRegime(
        f"WITHOUT names {name!r}; known are {known}, an axis as in 'M above 300' or 'N below 2', "
        "and an optional argument as in 'no bias' or 'a bias'"
    )


def _beyond(axis: str, side: str, limit: int) -> Regime:
    def holds(op: Op, case: Case) -> bool:
        size = _sizes(op, case).get(axis)
        return size is not None and (size > limit if side == "above" else size < limit)

    return Regime(f"{axis} {side} {limit}", f"with {axis} {side} {limit}", holds)


def _argument(name: str, absent: bool) -> Regime:
    def holds(op: Op, case: Case) -> bool:
        return name in case.inputs and (case.inputs[name] is None) == absent

    word = "no" if absent else "a"
    return Regime(f"{word} {name}", f"with {word} {name}", holds)


def _axes_of(name: str, count: int) -> Regime:
    def holds(op: Op, case: Case) -> bool:
        return np.ndim(case.inputs[name]) > count

    says = f"more than {count} axes in {name}"
    return Regime(says, f"with {says}", holds)


def candidates(op: Op, inside: Sequence[Case], outside: Sequence[Case]) -> Iterator[Regime]:
    """The table, optional arguments, numbers of axes, and one limit an axis and side."""
    yield from REGIMES
    for name, spec in op.specs.items():
        if spec.optional:
            yield _argument(name, absent=True)
            yield _argument(name, absent=False)
        if "..." in spec.dims and not spec.scalar:
            yield _axes_of(name, min(np.ndim(c.inputs[name]) for c in inside) - 1)
    yield from _limits(op, inside, outside)


def _limits(op: Op, inside: Sequence[Case], outside: Sequence[Case]) -> Iterator[Regime]:
    """The axes that are longer, or shorter, in all of some cases than in any of the others."""
    if len(inside) < 2:
        return  # any single case lies beyond some limit
    sizes = [_sizes(op, case) for case in inside]
    others = [_sizes(op, case) for case in outside]
    beyond: dict[str, list[Regime]] = {"above": [], "below": []}
    for axis in filter(str.isalpha, sizes[0]):
        mine = [s[axis] for s in sizes if axis in s]
        theirs = [s[axis] for s in others if axis in s]
        if mine and theirs and min(mine) > max(theirs):
            beyond["above"].append(_beyond(axis, "above", max(theirs)))
        if mine and theirs and max(mine) < min(theirs):
            beyond["below"].append(_beyond(axis, "below", min(theirs)))
    for found in beyond.values():
        if found:
            name = " or ".join(regime.name for regime in found)
            yield Regime(name, f"with {name}", found[0].holds)


def separating(op: Op, inside: Sequence[Case], outside: Sequence[Case]) -> Regime | None:
    """The first regime, or two at once, in which all of some cases lie, and none of the others."""
    wide = []
    for regime in candidates(op, inside, outside):
        if all(regime.holds(op, case) for case in inside):
            rest = [case for case in outside if regime.holds(op, case)]
            if not rest:
                return regime
            wide.append((regime, rest))
    for regime, rest in wide:
        for other in candidates(op, inside, rest):
            everywhere = all(other.holds(op, case) for case in inside)
            if everywhere and not any(other.holds(op, case) for case in rest):
                return _both(regime, other)
    return None


def _both(one: Regime, other: Regime) -> Regime:
    says = f"{one.says} and {other.says.removeprefix('with ')}"
    return Regime(says, says, lambda op, case: one.holds(op, case) and other.holds(op, case))
