"""What the tests share: cases, and an implementation seen as an error-carrying function."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import flint
import numpy as np

from refimpl.op import Law, Op
from refimpl.oracle.cases.drawn import Case, generate
from refimpl.oracle.judging.judge import error_ratio, expect
from refimpl.oracle.numbers.balls import in_balls
from refimpl.oracle.numbers.errors import ErrorArray, bounded, exact, lift
from refimpl.oracle.numbers.precisions import PRECISIONS

PROOF_BITS, PROVEN_BITS = 6400, 200  # of the balls, of what they have in common


def witness(op: Op) -> Callable[..., Any]:
    """The loops over scalars written for this operation."""
    return getattr(importlib.import_module(f"tests.witnesses.{op.chapter}"), op.name)


def twin(op: Op) -> Callable[..., Any]:
    """The compiled twin behind the checks of `refimpl.fast`."""
    return getattr(importlib.import_module("refimpl.fast"), op.name)


def cases(op: Op, precision: str = "float64", count: int = 24, seed: int = 0) -> list[Case]:
    return list(generate(op, precision, count, seed))


def outputs(result: Any) -> list[Any]:
    return list(result) if isinstance(result, tuple) else [result]


def equal_on_paper(text: Callable, form: Callable, inputs: dict[str, Any]) -> bool:
    """Whether the numbers of two texts lie in balls that overlap and are far too narrow to matter.

    What cancels to zero in one of them has no nearest float64 in balls, so that none is asked for.
    Narrow is less than 2^-200 of the smallest float64, or of the largest number of the result.
    """
    smallest = flint.arb(float(np.finfo(np.float64).smallest_subnormal))
    ours, theirs = (outputs(in_balls(f, inputs, PROOF_BITS)) for f in (text, form))
    for own, other in zip(ours, theirs, strict=True):
        pairs = list(zip(own.value.ravel(), other.value.ravel(), strict=True))
        finite = [abs(a).upper() for a, _ in pairs if a.is_finite()]
        narrow = max([smallest, *finite]) / (1 << PROVEN_BITS)
        if own.shape != other.shape or not all(
            a.overlaps(b) and max(a.rad(), b.rad()) <= narrow for a, b in pairs
        ):
            return False
    return True


def worst_ratio(op: Op, implementation: Callable, case: Case, typed: bool = False) -> float:
    """The largest error ÷ allowed of an implementation on one case."""
    inputs = case.typed(op) if typed else case.inputs
    expected = expect(op, case.inputs, case.precision)
    with np.errstate(all="ignore"):
        actual = outputs(implementation(**inputs))
    worst = 0.0
    for want, found in zip(expected, actual, strict=True):
        found = np.asarray(found, dtype=np.float64)
        if found.shape != want.value.shape:
            return np.inf
        worst = max(worst, float(np.max(error_ratio(want, found), initial=0.0)))
    return worst


def carrying(op: Op, implementation: Callable, precision: str) -> Callable[..., Any]:
    """An implementation as a function of error-carrying arrays.

    The value is what it computes; the error is the bound of the text, errors of the arguments
    included, so that a law can be asked of anything that can be called.
    """

    p = PRECISIONS[precision]

    def carried_by(x: Any) -> Any:
        floating = not isinstance(x, ErrorArray) and np.asarray(x).dtype.kind == "f"
        return lift(x, p) if floating else x

    def call(*args: Any, **kwargs: Any) -> Any:
        given = op.signature.bind(*args, **kwargs).arguments
        carried = {name: carried_by(x) for name, x in given.items()}
        bounds = outputs(op.text(**carried))
        plain = {
            name: _plain(x, op.specs[name].scalar) if isinstance(x, ErrorArray) else x
            for name, x in carried.items()
        }
        values = outputs(implementation(**plain))
        results = tuple(
            ErrorArray(value, getattr(bound, "error", 0.0), p)
            for value, bound in zip(values, bounds, strict=True)
        )
        return results if len(results) > 1 else results[0]

    return call


def _plain(x: ErrorArray, scalar: bool) -> Any:
    return float(x.value) if scalar else x.value


def law_sides(op: Op, law: Law, case: Case, implementation: Callable | None = None) -> list:
    """Both sides of a law on one case, as (left, right) pairs of error-carrying arrays."""
    p = PRECISIONS[case.precision]
    inputs = {
        name: (exact(x, p) if np.ndim(x) else lift(x, p))
        if np.asarray(x).dtype.kind == "f" and x is not None
        else x
        for name, x in case.inputs.items()
    }
    f = carrying(op, implementation or op.text, case.precision)
    with np.errstate(all="ignore"):
        pairs = list(law.sides(f, **inputs))
        return [tuple(_lifted(side, p) for side in pair) for pair in pairs]


def _lifted(side: Any, p: Any) -> ErrorArray:
    return side if isinstance(side, ErrorArray) else lift(side, p)


def disagreement(left: ErrorArray, right: ErrorArray) -> float:
    """How many times over the sum of both bounds two sides differ; 0 where they agree."""
    a, b = np.broadcast_arrays(left.value, right.value)
    allowed = left.error + right.error
    with np.errstate(all="ignore"):
        error = np.abs(a - b)
        ratio = np.where((error == 0) | (a == b) | np.isinf(allowed), 0.0, error / allowed)
    ratio = np.where(np.isnan(ratio), np.inf, ratio)
    return float(np.max(ratio, initial=0.0))


__all__ = [
    "bounded",
    "carrying",
    "cases",
    "disagreement",
    "law_sides",
    "outputs",
    "twin",
    "witness",
    "worst_ratio",
]
