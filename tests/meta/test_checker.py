"""The checker can fail: wrong outputs of every kind are rejected, right ones are not."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.oracle.cases.drawn import generate
from refimpl.oracle.judging.judge import expect, judge
from refimpl.registry import OPS
from tests.harness import cases, equal_on_paper, outputs

FLOAT = [op for op in OPS.values() if op.specs and "float32" in op.precisions]
PARAMETERS = [pytest.param(op, id=op.name) for op in FLOAT]


def answered(op):
    """The first case whose output has several bounded numbers, finite at both ends, and it."""
    for case in generate(op, "float32", 60):
        expected = expect(op, case.inputs, "float32")
        value = expected[0].value
        ends = value.ravel()[[0, -1]] if value.size > 1 else np.inf
        if np.isfinite(ends).all() and np.isfinite(expected[0].allowed).all():
            return expected, [np.array(want.value, dtype=np.float64) for want in expected]
    pytest.fail("no case has several finite outputs")


def verdict(op, expected, found):
    actual = found[0] if len(found) == 1 else tuple(found)
    return judge(op, expected, actual, np.dtype(np.float32))


ARRAYS = [p for p in PARAMETERS if p.values[0].returns[0].axes]  # a loss is one number


@pytest.mark.parametrize("op", PARAMETERS)
def test_the_reference_itself_is_accepted(op):
    for case in generate(op, "float32", 12):
        expected = expect(op, case.inputs, "float32")
        with np.errstate(all="ignore"):
            assert verdict(op, expected, outputs(op.text(**case.inputs))).conforms


@pytest.mark.parametrize("op", ARRAYS)
def test_one_wrong_element_is_found_at_its_index(op):
    expected, found = answered(op)
    place = tuple(n - 1 for n in found[0].shape)
    found[0][place] += 3 * float(expected[0].allowed[place]) + 1e-6
    result = verdict(op, expected, found)
    assert not result.conforms
    assert result.index == place


@pytest.mark.parametrize("op", ARRAYS)
def test_one_nan_is_found(op):
    expected, found = answered(op)
    found[0].flat[0] = np.nan
    assert not verdict(op, expected, found).conforms


@pytest.mark.parametrize("op", ARRAYS)
def test_errors_that_cancel_in_the_sum_are_found(op):
    expected, found = answered(op)
    shift = 3 * float(np.max(expected[0].allowed)) + 1e-6
    found[0].flat[0] += shift
    found[0].flat[1] -= shift
    assert not verdict(op, expected, found).conforms


@pytest.mark.parametrize("op", ARRAYS)
def test_another_shape_is_found(op):
    expected, found = answered(op)
    found[0] = found[0][..., None]
    result = verdict(op, expected, found)
    assert not result.conforms
    assert "shape" in str(result)


@pytest.mark.parametrize("op", PARAMETERS)
def test_a_narrow_dtype_is_found(op):
    for case in generate(op, "float32", 60):
        expected = expect(op, case.inputs, "float32")
        want = expected[0]
        if want.allowed.any() and want.value.size and want.choice is None:
            break
    else:
        return  # nothing is ever rounded, or chosen: any dtype that holds the numbers will do
    with np.errstate(all="ignore"):
        found = [want.value.astype(np.float16) for want in expected]
    result = verdict(op, expected, found)
    assert not result.conforms
    assert "dtype float16" in str(result)


@pytest.mark.parametrize(
    "bad", [None, "text", np.array(["a"]), np.array([1j]), [[1.0], [1.0, 2.0]]]
)
def test_what_is_no_array_of_numbers_is_rejected(bad):
    op = OPS["softmax"]
    expected = expect(op, {"z": np.zeros((2, 3))}, "float32")
    assert not judge(op, expected, bad, np.dtype(np.float32)).conforms


def test_a_missing_output_is_rejected():
    op = OPS["q_posterior"]
    x = np.zeros((2, 3))
    inputs = {"x_start": x, "x_t": x, "t": np.array([0, 1]), "betas": np.array([0.1, 0.2])}
    expected = expect(op, inputs, "float32")
    result = judge(op, expected, (x, x), np.dtype(np.float32))
    assert not result.conforms
    assert "2 outputs, expected 3" in str(result)


def test_infinity_where_a_number_belongs_is_rejected():
    op = OPS["silu"]
    expected = expect(op, {"x": np.array([1.0, 2.0])}, "float32")
    found = np.array([expected[0].value[0], np.inf], dtype=np.float32)
    assert not judge(op, expected, found, np.dtype(np.float32)).conforms


def test_a_mistake_is_not_equal_on_paper():
    op = OPS["conv2d"]
    case = next(case for case in cases(op) if case.inputs["weight"].shape[-1] > 1)
    wrong = op.edited(next(edit for edit in op.mistakes if edit.id == "conv2d/kernel-mirrored"))
    assert equal_on_paper(op.text, op.text, case.inputs)
    assert not equal_on_paper(op.text, wrong, case.inputs)
