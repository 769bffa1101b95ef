"""Bring the oracle into your own tests.

>>> import numpy as np
>>> from refimpl.testing import assert_conforms
>>> z = np.array([[0.0, 1.0]], dtype=np.float32)
>>> assert_conforms(np.exp(z) / np.exp(z).sum(), "softmax", {"z": z}, "float32")
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from refimpl.op import Law
from refimpl.oracle.cases.drawn import Case, HypothesisSource, draw, rounded
from refimpl.oracle.judging.judge import Verdict, expect, judge
from refimpl.oracle.numbers.precisions import PRECISIONS
from refimpl.registry import find

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy


def check(actual: Any, op: str, inputs: dict[str, Any], precision: str = "float32") -> Verdict:
    """Judge an output that was computed from `inputs`.

    >>> import numpy as np
    >>> str(check(np.float32([2.0]), "silu", {"x": [0.0]}))
    'silu: result[0] is 2, expected 0 ± 0: inf × the allowed error'
    """
    operation = find(op)
    read = operation.read(**inputs)
    expected = expect(operation, rounded(operation, read, precision), precision)
    return judge(operation, expected, actual, PRECISIONS[precision].dtype())


def assert_conforms(
    actual: Any, op: str, inputs: dict[str, Any], precision: str = "float32"
) -> None:
    """Raise AssertionError unless an output is within the bound of the operation.

    `inputs` are the arguments by name, stored in `precision`; `actual` is what your implementation
    made of them (a tuple for operations with several outputs).
    """
    verdict = check(actual, op, inputs, precision)
    if not verdict.conforms:
        raise AssertionError(str(verdict))


def laws(op: str) -> tuple[Law, ...]:
    """The laws of an operation: properties in closed form, each with `says` and `sides`."""
    return find(op).laws


def cases(op: str, precision: str = "float32") -> SearchStrategy[Case]:
    """A Hypothesis strategy for inputs of an operation, read from its annotations.

    Each example is a `Case`; `case.typed(OPS[op])` are the arguments as a target receives them.
    """
    from hypothesis import strategies as st

    operation = find(op)

    @st.composite
    def strategy(draw_: Callable) -> Case:
        inputs = draw(operation, HypothesisSource(draw_))
        layout = draw_(st.sampled_from(("C", "F", "reversed", "strided")))
        return Case(op, precision, "drawn", "drawn", rounded(operation, inputs, precision), layout)

    return strategy()
