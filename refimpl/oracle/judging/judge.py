"""Is this output right? Compare it with the reference, element by element, within the bound."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from refimpl.op import Op
from refimpl.oracle.numbers.choices import Choice
from refimpl.oracle.numbers.errors import ErrorArray, bounded, stored
from refimpl.oracle.numbers.places import Doubt
from refimpl.oracle.numbers.precisions import PRECISIONS, Precision, kernel


@dataclass(frozen=True)
class Expected:
    """One output: its reference value and the error allowed to each element."""

    name: str
    value: np.ndarray
    allowed: np.ndarray
    choice: Choice | None = None  # where honest implementations may find other whole numbers


@dataclass(frozen=True)
class Verdict:
    """What became of one output of one case. `worst` is error ÷ allowed where that is largest."""

    worst: float
    output: str
    index: tuple[int, ...] = ()
    found: float = 0.0
    expected: float = 0.0
    allowed: float = 0.0
    reason: str = ""
    op: str = ""
    chosen: bool = False  # a choice, which is judged by what it costs
    cause: str = ""  # a known mistake that gives just this, where one was looked for

    @property
    def conforms(self) -> bool:
        """Whether the output is within the bound."""
        return self.worst <= 1 and not self.reason

    def __str__(self) -> str:
        if self.reason:
            return self.reason
        also = " or another that may be as good" if self.chosen else f" ± {self.allowed:.2g}"
        told = (
            f"{self.output}{list(self.index)} is {self.found:.9g}, expected "
            f"{self.expected:.9g}{also}: {self.worst:.3g} × the allowed error"
        )
        if self.conforms:
            return f"{self.op}: conforms; at worst {told}"
        return f"{self.op}: {told}" + (f"\n{self.cause}" if self.cause else "")


def reference(op: Op, inputs: dict[str, Any], text: Callable | None = None) -> list[ErrorArray]:
    """What the text gives in float64, with its own error bound."""
    with np.errstate(all="ignore"):
        return bounded(text or op.text, inputs, "float64")


def expect(
    op: Op,
    inputs: dict[str, Any],
    precision: str | Precision,
    text: Callable | None = None,
    own: list[ErrorArray] | None = None,
) -> list[Expected]:
    """Reference values and allowed errors: the target's bound, and the reference's own.

    `text` is an edited text to expect from instead of the operation's own; `own` what `reference`
    gave for it already. Where the text decides by numbers that honest implementations may compute
    on either side, nothing bounds what they give: the allowed error is infinite.
    """
    try:
        own = own or reference(op, inputs, text)
        with np.errstate(all="ignore"):
            theirs = own if precision == "float64" else bounds(text or op.text, inputs, precision)
    except Doubt:
        with np.errstate(all="ignore"):
            result = (text or op.text)(**inputs)
        values = [np.asarray(y) for y in (result if isinstance(result, tuple) else (result,))]
        return [Expected(n, y, np.full(y.shape, np.inf)) for n, y in zip(op.outputs, values)]
    return [
        Expected(
            name,
            ours.value,
            ours.error + other.error,
            other if isinstance(other, Choice) else None,
        )
        for name, ours, other in zip(op.outputs, own, theirs, strict=True)
    ]


def bounds(text: Callable, inputs: dict[str, Any], precision: str | Precision) -> list[ErrorArray]:
    """The bound of each output in a precision.

    In a half format it admits arithmetic in that format throughout. Where there is no such bound (a
    square may overflow, an epsilon vanish) it is the one for kernels that compute in float32 and
    store in half, as all frameworks do for their statistics.
    """
    p = PRECISIONS[precision] if isinstance(precision, str) else precision
    found, inside = bounded(text, inputs, p), kernel(p)
    if inside is None or not any(np.isinf(x.error).any() for x in found):
        return found
    sharper = [x if isinstance(x, Choice) else stored(x, p) for x in bounded(text, inputs, inside)]
    return [_sharper(x, y, p) for x, y in zip(found, sharper, strict=True)]


def _sharper(x: ErrorArray, y: ErrorArray, p: Precision) -> ErrorArray:
    """One bound where it is finite, the other elsewhere; of a choice, the one or the other."""
    if isinstance(x, Choice):
        return y if np.isinf(x.error).any() else x
    return ErrorArray(x.value, np.where(np.isinf(x.error), y.error, x.error), p)


def judge(op: Op, expected: list[Expected], actual: Any, storage: np.dtype) -> Verdict:
    """The worst verdict over the outputs of one call."""
    if len(expected) == 1:
        outputs = [actual]
    elif isinstance(actual, (tuple, list)) and len(actual) == len(expected):
        outputs = list(actual)
    else:
        found = f"{len(actual)} outputs" if isinstance(actual, (tuple, list)) else "one output"
        return _reject(op, op.outputs[0], f"returned {found}, expected {len(expected)}")
    verdicts = [
        compare(op, want, output, storage) for want, output in zip(expected, outputs, strict=True)
    ]
    return max(verdicts, key=lambda v: v.worst)


def compare(op: Op, want: Expected, actual: Any, storage: np.dtype) -> Verdict:
    """Judge one output."""
    try:
        found = np.asarray(actual)
    except (TypeError, ValueError) as error:
        return _reject(op, want.name, f"returned no array: {error}")
    if found.dtype.kind not in "fiuV" or (found.dtype.kind == "V" and found.dtype.fields):
        return _reject(op, want.name, f"has dtype {found.dtype}, expected {storage}")
    exact = not want.allowed.any() or want.choice is not None
    if found.dtype.itemsize < storage.itemsize and not exact:
        return _reject(op, want.name, f"has dtype {found.dtype}, expected {storage} or wider")
    if found.dtype.kind in "iu" and not exact:
        return _reject(op, want.name, f"has dtype {found.dtype}, expected {storage}")
    if found.shape != want.value.shape:
        return _reject(op, want.name, f"has shape {found.shape}, expected {want.value.shape}")
    ratio = error_ratio(want, found.astype(np.float64))
    if not ratio.size:
        return Verdict(0.0, want.name, op=op.name)
    index = np.unravel_index(int(np.argmax(ratio)), ratio.shape)
    return Verdict(
        float(ratio[index]),
        want.name,
        tuple(int(i) for i in index),
        float(found[index]),
        float(want.value[index]),
        float(want.allowed[index]),
        op=op.name,
        chosen=want.choice is not None,
    )


def error_ratio(want: Expected, found: np.ndarray) -> np.ndarray:
    """Error ÷ allowed: 0 where right, infinite where nothing is allowed or a number is missing."""
    if want.choice is not None:
        return want.choice.cost(found)
    with np.errstate(all="ignore"):
        error = np.abs(found - want.value)
        ratio = np.where(error == 0, 0.0, error / want.allowed)
    finite = np.isfinite(want.value)
    same = (found == want.value) | (np.isnan(found) & np.isnan(want.value))
    unbounded = np.isinf(want.allowed)
    ratio = np.where(np.isfinite(found), ratio, np.inf)
    ratio = np.where(unbounded, 0.0, ratio)
    return np.where(finite, ratio, np.where(same, 0.0, np.inf))


def _reject(op: Op, output: str, what: str) -> Verdict:
    return Verdict(np.inf, output, reason=f"{op.name}: {output} {what}", op=op.name)
