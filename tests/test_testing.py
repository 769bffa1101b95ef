"""The oracle inside other people's tests."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from refimpl import testing
from refimpl.oracle.cases.drawn import Case
from refimpl.registry import OPS
from tests.harness import twin, worst_ratio

DRAWN = [pytest.param(op, id=op.name) for op in OPS.values()]


@pytest.mark.parametrize("op", DRAWN)
def test_the_twin_conforms_on_whatever_hypothesis_draws(op):
    @given(testing.cases(op.name, "float32"))
    @settings(max_examples=10)
    def conforms(case: Case) -> None:
        assert worst_ratio(op, twin(op), case, typed=True) <= 1

    conforms()


def test_hypothesis_shrinks_a_wrong_softmax_to_two_numbers():
    smallest = []

    @given(testing.cases("softmax", "float32"))
    @settings(max_examples=200, database=None)
    def wrong(case: Case) -> None:
        z = case.inputs["z"]
        try:
            testing.assert_conforms(np.exp(z) / np.e, "softmax", {"z": z})
        except AssertionError:
            smallest[:] = [z]
            raise

    with pytest.raises(AssertionError):
        wrong()
    assert smallest[0].size <= 2


def test_assert_conforms_accepts_and_rejects():
    x = np.float32([0.5, -1.0])
    testing.assert_conforms(x / (1 + np.exp(-x)), "silu", {"x": x})
    with pytest.raises(AssertionError, match="silu: result"):
        testing.assert_conforms(x, "silu", {"x": x})
    with pytest.raises(KeyError, match="did you mean"):
        testing.assert_conforms(x, "sillu", {"x": x})


def test_laws_are_offered():
    assert all(law.says and callable(law.sides) for law in testing.laws("attention"))
