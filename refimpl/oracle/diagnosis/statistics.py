"""The statistical tier: errors that a worst-case bound must let through.

A sum of n terms may be off by n roundings, if all of them go the same way. Roundings of independent
numbers do not: their errors are independent and of mean zero, so that the sum is off by about √n
of them. On long sums that is far less, and two figures tell an honest implementation
from one that loses digits without ever leaving its bound (TF32 operands, an accumulator that cuts):

    variance   root mean square of error ÷ b, with b the bound in which n roundings count as √n;
               an honest one is below 1, since a rounding's variance is a third of its bound's
               square at most
    bias       |Σ error| ÷ (Σ s + √Σ(Σ b)²): s is the part of the bound that does not average out
               (constants, elementary functions, single steps), the second sum runs over cases,
               whose errors are independent of each other

Both are taken on independent normal numbers and on their magnitudes, never on special inputs.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

import numpy as np

from refimpl.op import Op
from refimpl.oracle.cases.drawn import Case, long_case
from refimpl.oracle.diagnosis.cause import Cause
from refimpl.oracle.diagnosis.evidence import Ask
from refimpl.oracle.diagnosis.roundings import LOSSY, LossyArithmetic, as_cause, finest
from refimpl.oracle.judging.judge import Expected, expect, reference
from refimpl.oracle.numbers.errors import ErrorArray
from refimpl.oracle.numbers.places import Doubt
from refimpl.oracle.numbers.precisions import PRECISIONS
from refimpl.registry import OPS

CASES = 6
SEED = 0
ONE_SIDED = Cause(
    "precision",
    "precision/one-sided-sums",
    "the roundings of its sums go one way: an accumulator that truncates or stagnates",
)
UNEXPLAINED = Cause("unknown", says="no known way of losing digits fits")


@dataclass(frozen=True)
class Statistics:
    """Variance and bias of the errors, each ÷ what is allowed."""

    variance: float
    bias: float

    @property
    def conforms(self) -> bool:
        """Whether errors of independent roundings may look like this."""
        return self.variance <= 1 and self.bias <= 1

    def __str__(self) -> str:
        which = "spread" if self.variance >= self.bias else "bias"
        return (
            f"every error is within its bound, but over long sums their {which} is "
            f"{max(self.variance, self.bias):.3g} × what independent roundings come to"
        )


def statistics(op: Op, precision: str, ask: Ask) -> tuple[Statistics | None, list[Cause]]:
    """The statistics of a target's errors on long sums, and what explains them if they are bad.

    None where nothing was answered, or where the reference itself is no finer than the target.
    """
    if precision == "float64":
        return None, []
    cases = long_cases(op.name, precision)
    answered = [(case, outputs) for case in cases if (outputs := ask(case))]
    found = measure(answered, lambda case: _judged(op.name, precision, case.key))
    if found is None or found.conforms:
        return found, []
    fitting = []
    for lossy in LOSSY.get(precision, ()):
        told = measure(answered, partial(both_readings, op, lossy)) if lossy.predicts else None
        if told is not None and told.conforms:
            fitting.append(lossy)
    causes = [as_cause(lossy) for lossy in finest(fitting)]
    return found, causes or ([ONE_SIDED] if found.bias > 1 else [UNEXPLAINED])


@lru_cache(maxsize=4)
def long_cases(name: str, precision: str) -> list[Case]:
    """The cases with long sums of one operation, made once."""
    return [long_case(OPS[name], precision, SEED, i) for i in range(CASES)]


@lru_cache(maxsize=CASES)
def read_long(name: str, precision: str, key: str) -> list[ErrorArray]:
    """What the text gives on a long case, which is judged and then measured."""
    return reference(OPS[name], _long_case(name, precision, key).inputs)


def _long_case(name: str, precision: str, key: str) -> Case:
    return next(case for case in long_cases(name, precision) if case.key == key)


@lru_cache(maxsize=CASES)
def expect_long(name: str, precision: str, key: str) -> list[Expected]:
    """What is expected of a long case."""
    own = None
    with suppress(Doubt):  # of which `expect` knows what it comes to
        own = read_long(name, precision, key)
    return expect(OPS[name], _long_case(name, precision, key).inputs, precision, own=own)


def both_readings(
    op: Op, lossy: LossyArithmetic | None, case: Case, own: list[ErrorArray] | None = None
) -> tuple[list[Expected], list[Expected]]:
    """What is expected if n roundings count as √n, and if they do not count at all.

    `own` is what `reference` gave, if it is known.
    """
    p = lossy.precision if lossy else PRECISIONS[case.precision]
    some, none = replace(p, spread=1.0), replace(p, spread=0.0)
    if lossy:
        return lossy.expect(op, case, some), lossy.expect(op, case, none)
    own = own or reference(op, case.inputs)
    each = partial(expect, op, case.inputs, own=own, throughout=True)
    return each(some), each(none)


@lru_cache(maxsize=CASES)
def _judged(name: str, precision: str, key: str) -> tuple[list[Expected], list[Expected]]:
    """The same for the text itself, kept while several targets are judged side by side."""
    case = _long_case(name, precision, key)
    return both_readings(OPS[name], None, case, read_long(name, precision, key))


def measure(
    answered: list[tuple[Case, list[np.ndarray]]],
    expected: Callable[[Case], tuple[list[Expected], list[Expected]]],
) -> Statistics | None:
    """Variance and bias of the outputs' errors; None where nothing finite is left to judge."""
    squares, count = 0.0, 0
    drift, steady, spread = 0.0, 0.0, 0.0
    for case, outputs in answered:
        independent, fixed = expected(case)
        within = 0.0
        for want, part, found in zip(independent, fixed, outputs, strict=True):
            error, b, s = _usable(want, part, found)
            squares += float(np.sum((error / b) ** 2))
            count += error.size
            drift += float(np.sum(error))
            steady += float(np.sum(s))
            within += float(np.sum(b))
        spread += within**2
    if not count:
        return None
    return Statistics(float(np.sqrt(squares / count)), abs(drift) / (steady + np.sqrt(spread)))


def _usable(want: Expected, part: Expected, found: Any) -> tuple[np.ndarray, ...]:
    """Errors towards and away from zero, and their bounds, where something finite is allowed."""
    found = np.asarray(found, dtype=np.float64)
    if found.shape != want.value.shape:
        return (np.array([np.inf]), np.ones(1), np.ones(1))
    usable = np.isfinite(want.value) & np.isfinite(want.allowed) & (want.allowed > 0)
    with np.errstate(invalid="ignore"):
        error = (found - want.value) * np.sign(want.value)
    return error[usable], want.allowed[usable], part.allowed[usable]
