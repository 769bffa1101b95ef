"""What is drawn: shapes that confuse, values that show, arrays in any memory layout."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.axes.drawing import FAMILIES, draw_floats
from refimpl.oracle.cases.drawn import RandomSource, generate, random_case
from refimpl.oracle.numbers.precisions import PRECISIONS
from refimpl.registry import OPS

ATTENTION = OPS["attention"]
DRAWN = [random_case(ATTENTION, "float32", 0, i) for i in range(400)]


def test_axes_are_pairwise_different_by_default():
    different = 0
    for case in DRAWN:
        B, _, N, E = case.inputs["query"].shape
        M, F = case.inputs["value"].shape[2:]
        different += len({B, N, E, M, F}) == 5
    assert different > 0.8 * len(DRAWN)


def test_empty_batches_and_single_tokens_occur():
    shapes = [case.inputs["query"].shape for case in DRAWN]
    assert any(shape[0] == 0 for shape in shapes)
    assert any(shape[2] == 1 for shape in shapes)


def test_groups_of_query_heads_occur():
    assert any(c.inputs["query"].shape[1] > c.inputs["key"].shape[1] > 1 for c in DRAWN)


def test_half_of_the_cases_ask_nothing_unusual():
    plain = 0
    for case in DRAWN[:60]:
        query, key, bias = (case.inputs[name] for name in ("query", "key", "bias"))
        seen = bias is None or not bias.size or np.isfinite(bias).any(axis=-1).all()
        vectors = all(np.any(x, axis=-1).all() for x in (query, key))
        plain += query.shape[1] == key.shape[1] and len(query) > 0 and seen and vectors
    assert plain >= 30


def test_plain_cases_come_in_every_layout():
    plain = [case for i, case in enumerate(DRAWN) if i.bit_count() % 2 == 0]
    assert {case.layout for case in plain} == {"C", "F", "reversed", "strided"}


def test_masks_are_absent_partial_and_total():
    biases = [case.inputs["bias"] for case in DRAWN]
    assert any(bias is None for bias in biases)
    masks = [np.isneginf(bias) for bias in biases if bias is not None and bias.size]
    assert any(mask.any() and not mask.all() for mask in masks)
    assert any(mask.all(axis=-1).any() for mask in masks)


def test_views_negative_strides_and_fortran_order_occur_and_hold_the_same_numbers():
    seen = set()
    for case in DRAWN:
        query = case.typed(ATTENTION)["query"]
        assert not query.flags.writeable
        assert np.array_equal(query, case.inputs["query"])
        if query.size > 1:
            seen.add("C" if query.flags.c_contiguous else "")
            seen.add("F" if query.flags.f_contiguous else "")
            seen.add("reversed" if min(query.strides) < 0 else "")
            seen.add("view" if not (query.flags.c_contiguous or query.flags.f_contiguous) else "")
    assert {"C", "F", "reversed", "view"} <= seen


def test_odd_image_sides_occur():
    drawn = [random_case(OPS["patchify"], "float32", 0, i) for i in range(100)]
    assert any(c.inputs["images"].shape[2] % 2 for c in drawn)


def test_both_ends_of_a_schedule_occur():
    drawn = [random_case(OPS["q_sample"], "float32", 0, i) for i in range(60)]
    first = [np.any(c.inputs["t"] == 0) for c in drawn]
    last = [np.any(c.inputs["t"] == len(c.inputs["alpha_bar"]) - 1) for c in drawn]
    assert any(first)
    assert any(last)


@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("precision", ["float32", "float16", "bfloat16"])
def test_inputs_are_what_the_storage_format_holds(name, precision):
    op = OPS[name]
    if precision not in op.precisions:
        return
    for case in generate(op, precision, 6):
        for argument, typed in case.typed(op).items():
            if isinstance(typed, np.ndarray):
                assert np.array_equal(typed.astype(np.float64), case.inputs[argument])


def test_a_case_is_the_same_each_time():
    again = random_case(ATTENTION, "float32", 0, 3)
    assert np.array_equal(again.inputs["query"], DRAWN[3].inputs["query"])


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_draws_finite_numbers(family):
    assert np.isfinite(draw_floats(RandomSource(0), (5, 4), family)).all()


@pytest.mark.parametrize("name", ["bfloat16", "float16", "float32"])
def test_rounding_is_that_of_the_format(name):
    import ml_dtypes

    x = np.concatenate((np.random.default_rng(0).standard_normal(1000) * 10.0, [0, 1e-42, 7e4]))
    dtype = ml_dtypes.bfloat16 if name == "bfloat16" else np.dtype(name)
    with np.errstate(over="ignore"):
        assert np.array_equal(PRECISIONS[name].round(x), x.astype(dtype).astype(np.float64))
