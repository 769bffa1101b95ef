"""Bring the oracle into your own tests.

Wherever an operation is asked for, its name will do, an `Op`, or any NumPy function: its text.

>>> import numpy as np
>>> from refimpl.testing import assert_conforms
>>> z = np.array([[0.0, 1.0]], dtype=np.float32)
>>> assert_conforms(np.exp(z) / np.exp(z).sum(), "softmax", {"z": z}, "float32")
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from refimpl.op import Law, Op
from refimpl.oracle.cases.drawn import Case, HypothesisSource, draw, random_case, rounded
from refimpl.oracle.diagnosis.causes import fits
from refimpl.oracle.diagnosis.evidence import Observation
from refimpl.oracle.findings import Finding
from refimpl.oracle.judging.judge import Expected, Verdict, decided, expect, judge
from refimpl.oracle.numbers.precisions import PRECISIONS
from refimpl.oracle.reports.text import remarks
from refimpl.oracle.targets.wire import detached
from refimpl.own import as_operation

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

    Text = str | Op | Callable[..., Any]

TELLING = 3  # numbers of output at least, before a mistake is said to give them
SHOWN = 3  # mistakes, where several give the same


class Bound(NamedTuple):
    """A value, and how far an honest implementation may land from it, element by element."""

    value: Any
    allowed: Any


def bound(text: Text, precision: str = "float32", **inputs: Any) -> Bound:
    """The value of a text and the error allowed to each element; infinite where none is known.

    >>> import numpy as np
    >>> value, allowed = bound(lambda x, w: x @ w, x=np.ones((1, 3)), w=np.ones((3, 1)))
    >>> float(value[0, 0]), bool(allowed[0, 0] < 1e-6)
    (3.0, True)
    """
    operation = as_operation(text, inputs)
    read = rounded(operation, operation.read(**inputs), precision)
    wanted = decided(operation, read, precision)
    if len(wanted) == 1:
        return Bound(wanted[0].value, wanted[0].allowed)
    return Bound(tuple(x.value for x in wanted), tuple(x.allowed for x in wanted))


def certify(text: Text, **inputs: Any) -> Any:
    """The outputs of a text, each number the float64 nearest to the exact one, proven in balls.

    Needs the package python-flint. The inputs are the float64 numbers given, every bit of them.

    >>> import numpy as np
    >>> float(certify(lambda x: np.exp(x), x=np.float64([1.0]))[0])
    2.718281828459045
    """
    from refimpl.oracle.numbers.balls import certified

    operation = as_operation(text, inputs)
    found = [value for value, _ in certified(operation.text, operation.read(**inputs))]
    return found[0] if len(found) == 1 else tuple(found)


def check(actual: Any, op: Text, inputs: dict[str, Any], precision: str = "float32") -> Verdict:
    """Judge an output that was computed from `inputs`; a wrong one is held against known mistakes.

    >>> import numpy as np
    >>> str(check(np.float32([2.0]), "silu", {"x": [0.0]}))
    'silu: result[0] is 2, expected 0 ± 0: inf × the allowed error'
    """
    operation = as_operation(op, inputs)
    if precision not in PRECISIONS:
        known = ", ".join(PRECISIONS)
        raise ValueError(f"{operation.name}: precision is {precision!r}, expected one of {known}")
    read = operation.read(**{name: detached(x) for name, x in inputs.items()})
    if isinstance(actual, (tuple, list)) and len(operation.outputs) > 1:
        actual = [detached(x) for x in actual]
    actual = detached(actual)
    case = Case(operation.name, precision, "given", "given", rounded(operation, read, precision))
    expected = expect(operation, case.inputs, precision)
    verdict = judge(operation, expected, actual, PRECISIONS[precision].dtype())
    if verdict.reason:
        return verdict
    if verdict.conforms:
        return replace(verdict, remark=_remark(operation, precision, actual, expected))
    return replace(verdict, cause=_likeness(operation, case, actual, expected))


def _remark(op: Op, precision: str, actual: Any, expected: list[Expected]) -> str:
    """What a right output leaves open, in words; nothing where all of it was judged sharply."""
    counted = Finding(op.name, precision)
    counted.count(expected, [np.asarray(x) for x in (actual if len(expected) > 1 else [actual])])
    return "; ".join(remarks(counted))


def _likeness(op: Op, case: Case, actual: Any, expected: list[Expected]) -> str:
    """The known dialects and mistakes that give this output, in words; nothing where none does."""
    outputs = [np.asarray(x) for x in (actual if len(expected) > 1 else [actual])]
    if sum(x.size for x in outputs) < TELLING:
        return ""
    answer = Observation(case, outputs, expected, fails=True)
    for verb, edits in (("conforms to dialect", op.dialects), ("looks like", op.mistakes)):
        fitting = [e for e in edits if fits(op, op.edited(e), answer)]
        if fitting:
            told = "; or ".join(f"{edit.id}: {edit.says}" for edit in fitting[:SHOWN])
            return f"on this input it {verb} {told}"
    return ""


def assert_conforms(
    actual: Any, op: Text, inputs: dict[str, Any], precision: str = "float32"
) -> None:
    """Raise AssertionError unless an output is within the bound of the operation.

    `inputs` are the arguments by name, stored in `precision`; `actual` is what your implementation
    made of them.
    """
    verdict = check(actual, op, inputs, precision)
    if not verdict.conforms:
        raise AssertionError(str(verdict))


def compare(
    f: Callable, g: Callable, text: Text, precision: str = "float32", count: int = 60, seed: int = 0
) -> tuple[Verdict, Verdict]:
    """The worst verdicts on two implementations of one text, over the same drawn cases.

    >>> import numpy as np
    >>> def double(x): return 2 * x
    >>> op = __import__("refimpl").operation(double, example={"x": np.float32([1, -2, 3])})
    >>> right, wrong = compare(lambda x: x + x, lambda x: x, op, count=8)
    >>> right.conforms, wrong.conforms
    (True, False)
    """
    operation = as_operation(text)
    storage = PRECISIONS[precision].dtype()
    worst: list[Verdict | None] = [None, None]
    for i in range(count):
        case = random_case(operation, precision, seed, i)
        expected = expect(operation, case.inputs, precision)
        for place, function in enumerate((f, g)):
            verdict = judge(operation, expected, function(**case.typed(operation)), storage)
            so_far = worst[place]
            if so_far is None or (not verdict.conforms, verdict.worst) > (
                not so_far.conforms,
                so_far.worst,
            ):
                worst[place] = verdict
    if worst[0] is None or worst[1] is None:
        raise ValueError(f"count is {count}, expected at least 1")
    return worst[0], worst[1]


def laws(op: Text) -> tuple[Law, ...]:
    """The laws of an operation: properties in closed form, each with `says` and `sides`."""
    return as_operation(op).laws


def cases(op: Text, precision: str = "float32") -> SearchStrategy[Case]:
    """A Hypothesis strategy for inputs of an operation, read from its annotations.

    Each example is a `Case`; `case.typed(OPS[op])` are the arguments as a target receives them.
    """
    from hypothesis import strategies as st

    operation = as_operation(op)

    @st.composite
    def strategy(draw_: Callable) -> Case:
        inputs = draw(operation, HypothesisSource(draw_))
        layout = draw_(st.sampled_from(("C", "F", "reversed", "strided")))
        read = rounded(operation, inputs, precision)
        return Case(operation.name, precision, "drawn", "drawn", read, layout)

    return strategy()
