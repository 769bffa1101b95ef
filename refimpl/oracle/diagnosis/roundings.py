"""Too large an error from the right text: which roundings explain it.

A lossy arithmetic loses more digits than the precision that is asked for, on the unchanged text:
matrix products that see TF32 operands, inputs cast to a half format, tables of a schedule in
float32, an accumulator in float16, everything in bfloat16. One that says which numbers are
shortened predicts them, and fits where the target's outputs lie within the bound around its own
values. The others only predict how large the error may become; they count where the error is noise,
that is, where it changes at random when the input changes by a little. Of those that fit, the ones
that lose least are named.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np

from refimpl.axes import AxesError
from refimpl.op import Op
from refimpl.oracle.cases.drawn import Case, random_case, rounded
from refimpl.oracle.diagnosis.ask_back import NEARLY, plainly, reproduces
from refimpl.oracle.diagnosis.cause import Cause
from refimpl.oracle.diagnosis.evidence import Evidence
from refimpl.oracle.judging.judge import Expected, expect
from refimpl.oracle.numbers.errors import bounded, lift
from refimpl.oracle.numbers.precisions import PRECISIONS, Precision, kernel

PAIRS = 12  # of neighbouring inputs on which too large an error is looked at
TRIED = 48  # inputs, in search of such
SEED = 2003  # of the inputs that are looked at
APART = 16  # roundoffs between neighbouring inputs: enough to change every rounding
ALIKE = 0.9  # cosine of two errors from which they count as the same function
SIZED = "as-large-as"  # what a way is called of which only the size fits
RELATED = 0.5  # and their correlation about the mean


@dataclass(frozen=True)
class LossyArithmetic:
    """An arithmetic that loses digits, and what to say of it."""

    id: str
    says: str
    precision: Precision
    inputs: Precision | None = None  # arrays are rounded to it on entry
    tables: Precision | None = None  # tables, and what is computed from them alone, are held in it

    @property
    def loss(self) -> tuple[float, ...]:
        """Roundoffs of steps, sums, products, inputs and tables; smaller means finer."""
        p = self.precision
        short = 2.0**-p.product_bits * (1 + p.truncates) if p.product_bits else 0.0
        entry = self.inputs.unit if self.inputs else p.unit
        table = self.tables.unit if self.tables else p.unit
        return p.unit, max(p.sum_unit, p.unit), max(short, p.unit), entry, max(table, p.unit)

    @property
    def predicts(self) -> bool:
        """Whether it says which numbers are shortened, and so where the outputs must lie."""
        return bool(self.precision.product_bits or self.inputs)

    def expect(self, op: Op, case: Case, precision: Precision | None = None) -> list[Expected]:
        """What the text gives in this arithmetic, within the bound of what it does not say."""
        p = precision or self.precision
        given = dict(case.inputs)
        for name, value in given.items():
            spec, array = op.specs[name], np.asarray(value)
            if value is None or array.dtype.kind != "f":
                continue
            if self.inputs and not spec.scalar and not spec.kind.table:
                given[name] = value = self.inputs.round(value)
            if self.tables and spec.kind.table:
                given[name] = lift(value, self.tables)
        if not self.predicts and not self.tables:
            return expect(op, given, p, throughout=True)
        with np.errstate(all="ignore"):
            return [
                Expected(name, own.value, own.error)
                for name, own in zip(op.outputs, bounded(op.text, given, p), strict=True)
            ]


SINGLE, DOUBLE = PRECISIONS["float32"], PRECISIONS["float64"]
HALF, BRAIN = PRECISIONS["float16"], PRECISIONS["bfloat16"]

LOSSY = {
    "float64": (
        LossyArithmetic(
            "float32-tables", "holds the tables of the schedule in float32", DOUBLE, tables=SINGLE
        ),
        LossyArithmetic("float32-inputs", "casts its inputs to float32", DOUBLE, inputs=SINGLE),
        LossyArithmetic("float32", "computes in float32", SINGLE),
    ),
    "float32": (
        LossyArithmetic(
            "tf32-products",
            "rounds the operands of matrix products to TF32 or float16, 11 bits",
            replace(SINGLE, product_bits=11),
        ),
        LossyArithmetic(
            "truncated-tf32-products",
            "cuts the operands of matrix products to TF32, 11 bits",
            replace(SINGLE, product_bits=11, truncates=True),
        ),
        LossyArithmetic(
            "bfloat16-products",
            "rounds the operands of matrix products to bfloat16, 8 bits",
            replace(SINGLE, product_bits=8),
        ),
        LossyArithmetic("float16-inputs", "casts its inputs to float16", SINGLE, inputs=HALF),
        LossyArithmetic("bfloat16-inputs", "casts its inputs to bfloat16", SINGLE, inputs=BRAIN),
        LossyArithmetic(
            "float16-accumulation",
            "computes sums and elementary functions in float16",
            replace(SINGLE, accumulator=HALF.unit),
        ),
        LossyArithmetic(
            "bfloat16-accumulation",
            "computes sums and elementary functions in bfloat16",
            replace(SINGLE, accumulator=BRAIN.unit),
        ),
        LossyArithmetic("float16", "computes in float16", HALF),
        LossyArithmetic("bfloat16", "computes in bfloat16", BRAIN),
    ),
    "float16": (
        LossyArithmetic(
            "float16-accumulation",
            "computes sums and elementary functions in float16",
            replace(HALF, accumulator=0.0),
        ),
    ),
    "bfloat16": (
        LossyArithmetic(
            "bfloat16-accumulation",
            "computes sums and elementary functions in bfloat16",
            replace(BRAIN, accumulator=0.0),
        ),
    ),
}


def inside(evidence: Evidence) -> list[Cause]:
    """The dialect of what computes in a half format inside, where that alone explains everything.

    There the bound may be as large as the answer, so that the errors must be noise as well.
    """
    precision = evidence.precision
    if kernel(PRECISIONS[precision]) is None or evidence.ask is None:
        return []
    says = f"computes in {precision} inside, where kernels sum in float32"
    lossy = LossyArithmetic(f"{precision}-inside", says, PRECISIONS[precision])
    if not _explains(evidence, lossy):
        return []
    noisy = is_noise(evidence, lossy.precision.unit, [case for case, _ in evidence.seen])
    return [replace(by_size(lossy), kind="dialect")] if noisy else []


def roundings(evidence: Evidence) -> list[Cause]:
    """The lossy arithmetics that fit every case, those that lose least, as causes.

    Those that predict the outputs come alone, also by a run in their format; where none does, what
    the errors are as large as.
    """
    fitting = [w for w in LOSSY.get(evidence.precision, ()) if _explains(evidence, w)]
    predicting = [w for w in fitting if w.predicts or _runs_alike(evidence, w)]
    if predicting or not evidence.ask:
        return [as_cause(lossy) for lossy in finest(predicting)]
    known = [case for case, _ in evidence.seen]
    noisy = {unit: is_noise(evidence, unit, known) for unit in {max(w.loss) for w in fitting}}
    return [by_size(lossy) for lossy in finest([w for w in fitting if noisy[max(w.loss)]])]


def _runs_alike(evidence: Evidence, lossy: LossyArithmetic) -> bool:
    """Whether the text, run in its own formats, gives nearly all numbers that are wrong."""
    if lossy.tables is None and lossy.id != lossy.precision.name:
        return False
    counts = []
    for answer in evidence:
        text = functools.partial(_with_tables, evidence.op, lossy)
        stored = replace(answer.case, precision=lossy.precision.name)
        for values in plainly(evidence.op, text, stored)[:1]:
            counts.append(reproduces(answer.own, answer.outputs, values))
    right, wrong = (sum(count) for count in zip(*counts)) if counts else (0, 0)
    return wrong > 0 and right >= NEARLY * wrong


def _with_tables(op: Op, lossy: LossyArithmetic, **inputs: Any) -> Any:
    """The text, with the tables of a schedule in the format that they are held in."""
    if lossy.tables is not None:
        dtype = lossy.tables.dtype()
        tables = {n: x for n, x in inputs.items() if op.specs[n].kind.table}
        inputs |= {n: np.asarray(x).astype(dtype) for n, x in tables.items()}
    return op.text(**inputs)


def finest(several: Sequence[LossyArithmetic]) -> list[LossyArithmetic]:
    """Those that none of the others is finer than."""

    def finer(one: LossyArithmetic, other: LossyArithmetic) -> bool:
        return one.loss != other.loss and all(a <= b for a, b in zip(one.loss, other.loss))

    return [lossy for lossy in several if not any(finer(other, lossy) for other in several)]


def as_cause(lossy: LossyArithmetic) -> Cause:
    """A lossy arithmetic as what explains a deviation."""
    return Cause("precision", f"precision/{lossy.id}", lossy.says)


def by_size(lossy: LossyArithmetic) -> Cause:
    """One of which nothing but the size of the errors is known, worded as a size."""
    says = f"its errors are random, and as large as those of a target that {lossy.says}"
    return Cause("precision", f"{SIZED}/{lossy.id}", says)


def _explains(evidence: Evidence, lossy: LossyArithmetic) -> bool:
    """Whether it fits every case, at least one of them by more than an infinite bound."""
    told = False
    for answer in evidence:
        try:
            expected = lossy.expect(evidence.op, answer.case)
        except AxesError:  # an argument so shortened is refused
            return False
        if not evidence.within(expected, answer.outputs):
            return False
        told |= answer.fails and all(np.isfinite(e.allowed).all() for e in expected)
    return told


def is_noise(evidence: Evidence, unit: float, known: Sequence[Case] = ()) -> bool:
    """Whether the target's error changes at random between inputs a few roundoffs apart.

    Random inputs are looked at, after those of the `known` ones that show an error.

    The error of a wrong formula is a smooth function of the input and hardly changes; that of
    roundings does. Where the error is allowed, nothing needs an explanation.
    """
    here: list[np.ndarray] = []
    there: list[np.ndarray] = []
    drawn = (random_case(evidence.op, evidence.precision, SEED, i) for i in range(TRIED))
    for i, case in enumerate(chain(known, drawn)):
        if len(here) == PAIRS:
            break
        error = _error(evidence, case)
        if error is None or not np.any(np.abs(error) > 1):
            continue
        near = _error(evidence, _neighbour(evidence.op, case, i, unit))
        if near is not None:
            length = np.sqrt(np.sum(error * error) + np.sum(near * near))
            here.append(error / length)
            there.append(near / length)
    if not here:
        return False
    a, b = np.concatenate(here), np.concatenate(there)
    moving = (a != 0) | (b != 0)
    a, b = a[moving], b[moving]
    return _cosine(a, b) < ALIKE and _cosine(a - np.mean(a), b - np.mean(b)) < RELATED


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    lengths = np.sqrt(np.sum(a * a) * np.sum(b * b))
    return float(np.sum(a * b) / lengths) if lengths > 0 else 1.0


def _neighbour(op: Op, case: Case, i: int, unit: float) -> Case:
    """The same case with every float array changed by a little, within its range."""
    rng = np.random.default_rng([SEED, i])
    near = {}
    for name, value in case.inputs.items():
        spec = op.specs[name]
        if value is not None and not spec.scalar and np.asarray(value).dtype.kind == "f":
            value = value * (1 - APART * unit * rng.uniform(0, 1, np.shape(value)))
        near[name] = value
    return replace(case, inputs=rounded(op, near, case.precision))


def _error(evidence: Evidence, case: Case) -> np.ndarray | None:
    """Error ÷ allowed of every finite element, signed towards and away from zero."""
    answer = evidence.put(case)
    if answer is None:
        return None
    parts = []
    for want, found in zip(answer.own, answer.outputs):
        found = np.asarray(found, dtype=np.float64)
        if found.shape != want.value.shape:
            return None
        with np.errstate(all="ignore"):
            signed = (found - want.value) * np.sign(want.value) / want.allowed
        parts.append(np.where(np.isfinite(signed), signed, 0.0).reshape(-1))
    return np.concatenate(parts)
