"""What the tests share: cases, and an implementation seen as an error-carrying function."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from refimpl.op import Law, Op
from refimpl.oracle.cases.drawn import Case, generate
from refimpl.oracle.judging.judge import error_ratio, expect
from refimpl.oracle.numbers.errors import ErrorArray, bounded, exact, lift
from refimpl.oracle.numbers.precisions import PRECISIONS


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
