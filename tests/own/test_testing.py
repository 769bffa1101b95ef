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


def test_a_failing_assertion_names_the_mistake_that_gives_the_output():
    x = np.float32([0.5, -1.0, 2.0, 3.0])
    quick = x / (1 + np.exp(-np.float32(1.702) * x))
    with pytest.raises(AssertionError, match="on this input it looks like silu/quick-gelu"):
        testing.assert_conforms(quick, "silu", {"x": x})


def test_no_mistake_is_named_where_too_few_numbers_tell_or_none_fits():
    one = np.float32([0.5])
    quick = one / (1 + np.exp(-np.float32(1.702) * one))
    assert "looks like" not in str(testing.check(quick, "silu", {"x": one}))
    x = np.float32([0.5, -1.0, 2.0, 3.0])
    assert "looks like" not in str(testing.check(x + 5, "silu", {"x": x}))


def test_a_verdict_that_conforms_says_so():
    x = np.float32([0.5, -1.0])
    right = testing.check(x / (1 + np.exp(-x)), "silu", {"x": x})
    assert str(right).startswith("silu: conforms; at worst result[")
    assert "conforms" not in str(testing.check(x, "silu", {"x": x}))


def test_tensors_that_carry_gradients_or_hold_bfloat16_are_judged():
    torch = pytest.importorskip("torch")
    x = torch.tensor([[0.5, -1.0, 2.0]], requires_grad=True)
    y = torch.nn.functional.silu(x)
    assert testing.check(y, "silu", {"x": x}).conforms
    half = torch.nn.functional.silu(x.bfloat16())
    assert testing.check(half, "silu", {"x": x}, precision="bfloat16").conforms
    assert not testing.check(2 * half, "silu", {"x": x}, precision="bfloat16").conforms
