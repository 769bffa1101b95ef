"""Is this output right? Compare it with the reference, element by element, within the bound."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from refimpl.op import Op
from refimpl.oracle.judging.allowances import Allowance, allowances, useless
from refimpl.oracle.numbers.choices import Choice
from refimpl.oracle.numbers.errors import ErrorArray, bounded
from refimpl.oracle.numbers.places import Doubt
from refimpl.oracle.numbers.precisions import PRECISIONS, Precision


@dataclass(frozen=True)
class Expected:
    """One output: its reference value and the error allowed to each element."""

    name: str
    value: np.ndarray
    allowed: np.ndarray
    choice: Choice | None = None  # where honest implementations may find other whole numbers
    nothing: np.ndarray | float = 0.0  # values up to which nobody can tell from zero
    inside: np.ndarray | None = None  # what a kernel is allowed, where half formats are stored
    likely: np.ndarray | None = None  # where `allowed` counts independent roundings as such
    beyond: np.ndarray | None = None  # the format's end, with its sign, where all results overflow


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
    remark: str = ""  # what else is to be said of a right answer
    likely: bool = False  # whether independent roundings are what `allowed` counts

    @property
    def conforms(self) -> bool:
        """Whether the output is within the bound."""
        return self.worst <= 1 and not self.reason

    def __str__(self) -> str:
        if self.reason:
            return self.reason
        also = " or another that may be as good" if self.chosen else f" ± {self.allowed:.2g}"
        measure = "what independent roundings come to" if self.likely else "the allowed error"
        told = (
            f"{self.output}{list(self.index)} is {self.found:.9g}, expected "
            f"{self.expected:.9g}{also}: {self.worst:.3g} × {measure}"
        )
        if self.conforms:
            more = f"; {self.remark}" if self.remark else ""
            return f"{self.op}: conforms; at worst {told}{more}"
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
    throughout: bool = False,
    theirs: list[ErrorArray] | None = None,
) -> list[Expected]:
    """Reference values and allowed errors: the target's bound, and the reference's own.

    `text` is an edited text to expect from instead of the operation's own; `own` what `reference`
    gave for it already, `theirs` what `bounded` gave in the precision; `throughout` asks for the
    bound of the precision itself, even where that says nothing. Where the text decides by numbers
    that honest implementations may compute on either side, nothing bounds what they give: the
    allowed error is infinite.
    """
    try:
        return decided(op, inputs, precision, text, own, throughout, theirs)
    except Doubt:
        with np.errstate(all="ignore"):
            result = (text or op.text)(**inputs)
        values = [np.asarray(y) for y in (result if isinstance(result, tuple) else (result,))]
        return [Expected(n, y, np.full(y.shape, np.inf)) for n, y in zip(op.outputs, values)]


def decided(
    op: Op,
    inputs: dict[str, Any],
    precision: str | Precision,
    text: Callable | None = None,
    own: list[ErrorArray] | None = None,
    throughout: bool = False,
    theirs: list[ErrorArray] | None = None,
) -> list[Expected]:
    """As `expect`; raises Doubt where the text decides by a number that may lie on either side."""
    own = own or reference(op, inputs, text)
    with np.errstate(all="ignore"):
        allowed = allowances(text or op.text, inputs, precision, own, throughout, theirs)
    return [_expected(*each) for each in zip(op.outputs, own, allowed, strict=True)]


def _expected(name: str, ours: ErrorArray, theirs: Allowance) -> Expected:
    bound, inside = theirs.bound, theirs.inside
    return Expected(
        name,
        ours.value,
        ours.error + bound.error,
        bound if isinstance(bound, Choice) else None,
        theirs.nothing,
        None if inside is None else ours.error + inside,
        theirs.likely,
        theirs.beyond,
    )


class Wanted:
    """What is expected of one input, read from the text as far as it is asked for.

    `least` is less than all that is allowed and judges every element, if there is such a bound: an
    answer that is right by it needs no other.
    """

    def __init__(
        self, read: Callable[[], list[Expected]], least: list[Expected] | None = None
    ) -> None:
        self.least = least
        self._read, self._whole = read, list[Expected]()
        self._lock = threading.Lock()  # several targets may want it at once

    @property
    def first(self) -> list[Expected]:
        """What an answer is judged by at first."""
        return self.least or self.whole

    @property
    def whole(self) -> list[Expected]:
        """All that is allowed."""
        with self._lock:
            self._whole = self._whole or self._read()
            return self._whole


def wanted(op: Op, inputs: dict[str, Any], precision: str) -> Wanted:
    """What is expected, in float32 at first by its bound alone.

    The reference's own error, which is allowed besides, takes a second reading of the text.
    """
    whole = partial(expect, op, inputs, precision)
    if precision != "float32":
        return Wanted(whole)
    try:
        theirs = bounded(op.text, inputs, precision)
    except Doubt:
        return Wanted(whole)
    whole = partial(whole, theirs=theirs)
    if any(isinstance(x, Choice) for x in theirs):
        return Wanted(whole)
    named, smallest = zip(op.outputs, theirs, strict=True), PRECISIONS[precision].smallest
    least = [Expected(name, x.value, x.error, nothing=smallest) for name, x in named]
    # the reference is off by no more than that: with both, too, every element is judged
    both = [replace(want, allowed=2 * want.allowed) for want in least]
    return Wanted(whole, None if any(map(unjudged, both)) else least)


def unjudged(want: Expected) -> int:
    """How many elements of an output nothing is said of."""
    free = np.isinf(want.allowed)  # an infinity in doubt as well
    if want.choice is None:
        free = free | useless(want.value, want.allowed, want.nothing)
    if want.beyond is not None:  # a number that is told by its sign
        free = free & (want.beyond == 0)
    return int(np.count_nonzero(free))


def beyond_kernels(want: Expected, actual: Any) -> int:
    """How many elements are further off than a kernel's, which computes in float32 and stores."""
    if want.inside is None or want.choice is not None:
        return 0
    ratio = error_ratio(replace(want, allowed=want.inside), np.asarray(actual, np.float64))
    return int(np.count_nonzero(ratio > 1))


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
    beyond = want.beyond is not None and bool(want.beyond[index])
    expected = want.value[index] * np.inf if beyond else want.value[index]
    return Verdict(
        float(ratio[index]),
        want.name,
        tuple(int(i) for i in index),
        float(found[index]),
        float(expected),
        0.0 if beyond else float(want.allowed[index]),
        op=op.name,
        chosen=want.choice is not None,
        likely=want.likely is not None and bool(want.likely[index]),
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
    ratio = np.where(finite | unbounded, ratio, np.where(same, 0.0, np.inf))
    if want.beyond is None:
        return ratio
    reached = np.where(want.beyond > 0, found >= want.beyond, found <= want.beyond)
    return np.where(want.beyond == 0, ratio, np.where(reached, 0.0, np.inf))


def _reject(op: Op, output: str, what: str) -> Verdict:
    return Verdict(np.inf, output, reason=f"{op.name}: {output} {what}", op=op.name)
