"""Bring the oracle into your own tests.

>>> import numpy as np
>>> from refimpl.testing import assert_conforms
>>> z = np.array([[0.0, 1.0]], dtype=np.float32)
>>> assert_conforms(np.exp(z) / np.exp(z).sum(), "softmax", {"z": z}, "float32")
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from refimpl.op import Law
from refimpl.oracle.cases import Case, draw, rounded
from refimpl.oracle.judge import Verdict, expect, judge
from refimpl.oracle.precision import PRECISIONS
from refimpl.registry import find

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy


def check(actual: Any, op: str, inputs: dict[str, Any], precision: str = "float32") -> Verdict:
    """Judge an output that was computed from `inputs`.

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


class HypothesisSource:
    """Numbers drawn by Hypothesis, which shrinks them."""

    def __init__(self, draw: Callable) -> None:
        self.draw = draw

    def integer(self, low: int, high: int) -> int:
        """An integer from low to high, both included."""
        from hypothesis import strategies as st

        return self.draw(st.integers(low, high))

    def choice(self, options: Sequence) -> Any:
        """One of several."""
        return options[self.integer(0, len(options) - 1)]

    def normal(self, shape: tuple[int, ...]) -> np.ndarray:
        """Numbers of moderate size, in eighths, zero the simplest."""
        from hypothesis import strategies as st
        from hypothesis.extra.numpy import arrays

        return self.draw(arrays(np.float64, shape, elements=st.integers(-32, 32))) / 8

    def uniform(self, shape: tuple[int, ...], low: float, high: float) -> np.ndarray:
        """Numbers between two limits, in 1/1024 of their distance."""
        from hypothesis import strategies as st
        from hypothesis.extra.numpy import arrays

        steps = self.draw(arrays(np.float64, shape, elements=st.integers(0, 1023)))
        return low + (high - low) * steps / 1024
