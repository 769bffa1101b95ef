"""Conditions on an input: sizes, values of arguments, what is left out; and which tell cases apart.

An edit that is made only where a condition holds, or a deviation that shows only there, is said
with the condition: "only where D and O are equal".
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import eq, lt, ne
from typing import Any

import numpy as np

from refimpl.axes import AxesError
from refimpl.op import Op, values

Inputs = dict[str, Any]
NUMBERS = (0, 1)  # what a scalar may be special at
FEW = (1, 2, 3, 4)
TILES = (8, 16, 32, 64, 128)
RANKS = (1, 2, 3, 4)
FEWEST = 2  # cases on either side of a condition


@dataclass(frozen=True)
class Condition:
    """What may hold of an input."""

    says: str
    holds: Callable[[Inputs], bool]


def sizes_of(op: Op, inputs: Inputs) -> dict[str, int]:
    """The sizes of the axes of an input, by name; none where it does not fit the signature."""
    try:
        sizes = op._sizes({name: None if x is None else _plain(x) for name, x in inputs.items()})
    except (AxesError, ValueError):
        return {}
    return {name: size for name, size in sizes.items() if not name.startswith("...")}


def _plain(x: Any) -> Any:
    return x if isinstance(x, (int, float)) else values(x)


def _size(op: Op, name: str, test: Callable[[int], bool]) -> Callable[[Inputs], bool]:
    def holds(inputs: Inputs) -> bool:
        sizes = sizes_of(op, inputs)
        return name in sizes and test(sizes[name])

    return holds


def _both(
    op: Op, one: str, other: str, test: Callable[[int, int], bool]
) -> Callable[[Inputs], bool]:
    def holds(inputs: Inputs) -> bool:
        sizes = sizes_of(op, inputs)
        return one in sizes and other in sizes and test(sizes[one], sizes[other])

    return holds


def _about_sizes(op: Op) -> Iterator[Condition]:
    names = list(dict.fromkeys(n for spec in op.specs.values() for n in spec.names()))
    for name in names:
        for number in FEW:
            yield Condition(f"{name} is {number}", _size(op, name, functools.partial(eq, number)))
        yield Condition(f"{name} is above 1", _size(op, name, lambda n: n > 1))
        for tile in TILES:
            yield Condition(f"{name} is above {tile}", _size(op, name, functools.partial(lt, tile)))
    for one, other in itertools.combinations(names, 2):
        yield Condition(f"{one} and {other} are equal", _both(op, one, other, eq))
        yield Condition(f"{one} and {other} are not equal", _both(op, one, other, ne))
    for name in names:
        yield Condition(f"{name} is odd", _size(op, name, lambda n: n % 2 == 1))
        yield Condition(f"{name} is even", _size(op, name, lambda n: n % 2 == 0))
        no_power = _size(op, name, lambda n: n.bit_count() != 1)
        yield Condition(f"{name} is no power of two", no_power)


def _about_arguments(op: Op) -> Iterator[Condition]:
    for name, spec in op.specs.items():
        if spec.optional:
            yield from _about_an_option(name)
        if spec.scalar and not spec.kind.measures:
            yield from _about_a_scalar(name)
        elif spec.kind.integer and not spec.scalar:
            yield from _about_indices(name)
        elif spec.kind.hides:
            yield from _about_a_bias(name)
        elif spec.dims[:1] == ["..."]:
            for rank in RANKS:
                yield Condition(f"{name} has {rank} axes", _is_of_rank(name, rank))
        elif "..." in spec.dims:
            yield Condition(f"{name} has fewer than four axes", _is_flat(name))


def _about_an_option(name: str) -> Iterator[Condition]:
    yield Condition(f"{name} is given", lambda x: x[name] is not None)
    yield Condition(f"{name} is not given", lambda x: x[name] is None)


def _is_of_rank(name: str, rank: int) -> Callable[[Inputs], bool]:
    return lambda x: x[name] is not None and np.ndim(values(x[name])) == rank


def _is_flat(name: str) -> Callable[[Inputs], bool]:
    return lambda x: x[name] is not None and np.ndim(values(x[name])) < 4


def _about_a_scalar(name: str) -> Iterator[Condition]:
    def at(x: Inputs) -> float:
        return float(values(x[name]))

    def is_(number: int) -> Iterator[Condition]:
        yield Condition(f"{name} is {number}", lambda x: at(x) == number)
        yield Condition(f"{name} is not {number}", lambda x: at(x) != number)
        yield Condition(f"{name} is above {number}", lambda x: at(x) > number)
        yield Condition(f"{name} is below {number}", lambda x: at(x) < number)

    for number in NUMBERS:
        yield from is_(number)
    yield Condition(f"{name} is infinite", lambda x: bool(np.isinf(at(x))))
    yield Condition(f"{name} is finite", lambda x: bool(np.isfinite(at(x))))


def _about_indices(name: str) -> Iterator[Condition]:
    yield Condition(f"{name} has a 0", lambda x: bool(np.any(x[name] == 0)))
    yield Condition(f"{name} has a -1", lambda x: bool(np.any(x[name] == -1)))
    yield Condition(f"{name} is not in order", lambda x: bool(np.any(np.diff(x[name]) < 0)))
    yield Condition(f"{name} has an entry twice", lambda x: np.unique(x[name]).size < len(x[name]))


def _about_a_bias(name: str) -> Iterator[Condition]:
    def hidden(x: Inputs) -> np.ndarray:
        return np.isneginf(values(x[name])) if x[name] is not None else np.zeros((1, 1), bool)

    def row(x: Inputs) -> bool:
        whole = hidden(x)
        return bool(np.any(whole.all(axis=-1))) if whole.ndim and whole.size else False

    def shared(axis: int) -> Callable[[Inputs], bool]:
        def holds(x: Inputs) -> bool:
            shape = (1,) * 4 if x[name] is None else np.shape(values(x[name]))
            return x[name] is not None and (len(shape) < -axis or shape[axis] == 1)

        return holds

    yield Condition(f"{name} hides something", lambda x: bool(hidden(x).any()))
    yield Condition(f"{name} hides nothing", lambda x: x[name] is not None and not hidden(x).any())
    yield Condition(f"{name} hides all keys of a query", row)
    for axis, what in ((-3, "heads"), (-1, "keys"), (-2, "queries")):
        yield Condition(f"one {name} serves all {what}", shared(axis))


def conditions(op: Op) -> list[Condition]:
    """What may be asked of an input of an operation, plain conditions first."""
    return [*_about_arguments(op), *_about_sizes(op)]


def telling(
    op: Op, inside: Sequence[Inputs], outside: Sequence[Inputs], fewest: int = FEWEST
) -> list[Condition]:
    """The conditions that hold of every input on one side, and of none on the other."""
    if len(inside) < fewest or len(outside) < fewest:
        return []
    return [
        condition
        for condition in conditions(op)
        if all(map(condition.holds, inside)) and not any(map(condition.holds, outside))
    ]


@dataclass(frozen=True)
class Sampled:
    """What may hold of single samples of an input: of their step, as an argument says."""

    says: str
    argument: str
    test: Callable[[np.ndarray], np.ndarray]

    def split(self, edited: Callable, right: Callable, inputs: Inputs) -> Any:
        """What an edited text gives for the samples of which it holds, the right one for others."""
        holds = self.test(
            np.asarray(getattr(inputs[self.argument], "value", inputs[self.argument]))
        )
        one, other = edited(**inputs), right(**inputs)
        if not isinstance(one, tuple):
            return _by_sample(holds, one, other)
        return tuple(_by_sample(holds, a, b) for a, b in zip(one, other, strict=True))


def _by_sample(holds: np.ndarray, one: Any, other: Any) -> Any:
    return np.where(np.reshape(holds, holds.shape + (1,) * (np.ndim(one) - 1)), one, other)


def of_samples(op: Op) -> list[Sampled]:
    """What may be asked of single samples, where each output has a row a sample."""
    found = []
    rows = {spec.dims[0] if getattr(spec, "dims", ()) else "" for spec in op.returns}
    for name, spec in op.specs.items():
        if spec.scalar or not spec.kind.integer or {*spec.dims} != rows:
            continue
        for number in (0, -1):
            found.append(Sampled(f"{name} is {number}", name, functools.partial(eq, number)))
            found.append(Sampled(f"{name} is not {number}", name, functools.partial(ne, number)))
    return found
