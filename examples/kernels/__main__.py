"""A hundred operations, five candidates each, and two rules: who is accepted.

`python examples/kernels` prints the table of docs/kernels.md: for each group how many candidates
a rule of atol = rtol = 1e-2 accepts, and how many the bound. Either rule sees three inputs, and
accepts a candidate that is right on each. Where a candidate gives just what the right one gives,
such as the wrong axis of a symmetric window, it is not counted.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from refimpl import own
from refimpl.op import Op
from refimpl.oracle.cases.drawn import RandomSource, draw_all, rounded
from refimpl.oracle.judging.judge import Expected, expect, judge

HERE = Path(__file__).parent
GROUPS = (
    *("products", "activations", "norms", "pooling"),
    *("reductions", "losses", "convolutions"),
)
SIZES = (12, 5, 3)  # of every axis, so that a wrong one has the right shape; an input each
FLOAT32 = np.dtype(np.float32)
LEFT = 3  # numbers of the tail

Inputs = dict[str, Any]
Candidate = Callable[[Op, Inputs], np.ndarray]


def inputs_of(op: Op, seed: int = 0, size: int = SIZES[0]) -> Inputs:
    """One input with square arrays; of an operation with an example, one of its shapes."""
    source = RandomSource([seed, *op.name.encode()])
    given = op.drawn(source)
    if given is None:
        names = {n for spec in op.specs.values() for n in spec.names()}
        given = draw_all(op, source, dict.fromkeys(names, size), ())
    return rounded(op, given, "float32")


def typed(inputs: Inputs, kind: Any = np.float32) -> Inputs:
    """The arrays of numbers in another type."""
    return {
        name: x.astype(kind) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x
        for name, x in inputs.items()
    }


def right(op: Op, inputs: Inputs) -> np.ndarray:
    """The text in float32."""
    return np.asarray(op.text(**typed(inputs)))


def zeros(op: Op, inputs: Inputs) -> np.ndarray:
    """Nothing at all, in the right shape."""
    return np.zeros_like(right(op, inputs))


def half_inside(op: Op, inputs: Inputs) -> np.ndarray:
    """Inputs that are rounded to float16 on the way in, as for a faster product."""
    return right(op, typed(inputs, np.float16))


def no_tail(op: Op, inputs: Inputs) -> np.ndarray:
    """The last numbers of the last axis are not computed; of a single number, not added."""
    found = right(op, inputs)
    if found.ndim:
        found = found.copy()
        found[..., -min(LEFT, found.shape[-1] - 1) :] = 0
        return found
    cut = {n: x[:-LEFT] if isinstance(x, np.ndarray) and x.ndim else x for n, x in inputs.items()}
    return right(op, cut)


def wrong_axis(op: Op, inputs: Inputs) -> np.ndarray:
    """The first argument with two axes exchanged, and the result back where it has them."""
    name, x = next(iter(inputs.items()))
    if x.ndim < 2:
        return right(op, {name: x[::-1]} | {n: y for n, y in inputs.items() if n != name})
    axes = (-1, -2) if x.ndim < 4 else (-1, 1)
    found = right(op, inputs | {name: np.swapaxes(x, *axes)})
    return np.swapaxes(found, *axes) if found.ndim == x.ndim else found


CANDIDATES: tuple[Candidate, ...] = (right, zeros, half_inside, no_tail, wrong_axis)


def theirs(want: Expected, found: np.ndarray) -> bool:
    """The rule of most benchmarks for generated kernels."""
    return found.shape == want.value.shape and np.allclose(found, want.value, atol=1e-2, rtol=1e-2)


def verdicts(op: Op, candidate: Candidate, seed: int = 0) -> Iterator[tuple[bool, bool]]:
    """Whether they and we accept a candidate, on each input where it differs from the right one."""
    for i, size in enumerate(SIZES):
        inputs = inputs_of(op, seed + i, size)
        (want,) = expect(op, inputs, "float32")
        honest = right(op, inputs)
        try:
            found = candidate(op, inputs)
        except (ValueError, IndexError):
            continue  # no such axis, or no such tail
        same = found.shape == honest.shape and np.array_equal(found, honest)
        if candidate is right or not same:
            yield theirs(want, found), judge(op, [want], found, FLOAT32).conforms


def table(seed: int = 0) -> dict[str, dict[str, list[int]]]:
    """For each group and candidate: how many there are, accepted by them, accepted by us."""
    counts: dict[str, dict[str, list[int]]] = {}
    for group in GROUPS:
        row = counts.setdefault(group, {c.__name__: [0, 0, 0] for c in CANDIDATES})
        for op, candidate in itertools.product(own.page(HERE / f"{group}.py"), CANDIDATES):
            found = list(verdicts(op, candidate, seed))
            if found:
                accepted = (1, *map(all, zip(*found, strict=True)))
                name = candidate.__name__
                row[name] = [a + b for a, b in zip(row[name], accepted, strict=True)]
    return counts


def lines(counts: dict[str, dict[str, list[int]]]) -> Iterator[str]:
    """The table in Markdown: accepted by atol = rtol = 1e-2, by the bound, of how many."""
    names = [c.__name__ for c in CANDIDATES]
    yield f"| group | {' | '.join(name.replace('_', ' ') for name in names)} |"
    yield "|---" * (len(names) + 1) + "|"
    total = {name: np.sum([row[name] for row in counts.values()], axis=0) for name in names}
    for group, row in (*counts.items(), ("all", total)):
        cells = [f"{row[n][1]} · {row[n][2]} of {row[n][0]}" for n in names]
        yield f"| {group} | {' | '.join(cells)} |"


if __name__ == "__main__":
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        print("\n".join(lines(table())))
