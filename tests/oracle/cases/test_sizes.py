"""What is drawn at the edges of tiles, and the kernels that go wrong there alone."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.axes.names import axis
from refimpl.ops.attention.reference import attention, multi_head_attention
from refimpl.ops.layers.reference import layer_norm_vjp, linear, softmax
from refimpl.oracle.cases import sizes
from refimpl.oracle.cases.sizes import EDGES, LADDER, LEVELS, TILES, axes, of_key, rows
from refimpl.registry import OPS
from tests.audit import sizes as size_table
from tests.harness import worst_ratio


def caught(implementation, profile="quick"):
    """Whether the cases of chosen sizes alone show that an implementation is wrong."""
    op = OPS[implementation.__name__.removeprefix("wrong_")]
    drawn = (sizes.sized_case(op, "float32", profile, 0, i) for i in range(len(rows(op, profile))))
    return any(worst_ratio(op, implementation, case) > 1 for case in drawn)


@pytest.mark.parametrize(
    "right", [attention, multi_head_attention, layer_norm_vjp, linear, softmax]
)
def test_right_functions_pass_at_all_sizes(right):
    assert not caught(right)


@pytest.mark.parametrize("tile", TILES)
def test_a_last_tile_of_one_logit_that_is_left_out_is_caught(tile):
    def wrong_softmax(z):
        weights = softmax(z)
        if z.shape[-1] % tile == 1 and z.shape[-1] > 1:
            weights[..., -1] = 0
        return weights

    assert caught(wrong_softmax)


@pytest.mark.parametrize("tile", TILES)
def test_a_last_tile_of_one_row_that_repeats_the_row_before_is_caught(tile):
    def wrong_softmax(z):
        weights = softmax(z)
        if z.ndim > 1 and z.shape[-2] % tile == 1 and z.shape[-2] > 1:
            weights[..., -1, :] = weights[..., -2, :]
        return weights

    assert caught(wrong_softmax)


@pytest.mark.parametrize("tile", TILES)
def test_one_key_beyond_the_tiles_that_is_lost_under_a_mask_is_caught(tile):
    def wrong_attention(query, key, value, bias):
        M = key.shape[-2]
        if bias is None or M % tile != 1 or M == 1:
            return attention(query, key, value, bias)
        hidden = np.where(np.arange(M) == M - 1, -np.inf, 0.0)
        return attention(query, key, value, bias + hidden)

    assert caught(wrong_attention)


@pytest.mark.parametrize("tile", TILES[:-1])
def test_head_channels_beyond_the_first_tile_that_are_left_out_are_caught(tile):
    def wrong_attention(query, key, value, bias):
        E = query.shape[-1]
        root = np.sqrt(min(E, tile) / E)
        return attention(root * query[..., :tile], key[..., :tile], value, bias)

    assert caught(wrong_attention)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("count", [10, 32, 128])
def test_a_batch_head_or_query_beyond_the_first_ones_is_caught(axis, count):
    def wrong_attention(query, key, value, bias):
        result = np.moveaxis(attention(query, key, value, bias), axis, 0).copy()
        result[count:] = result[:1]
        return np.moveaxis(result, 0, axis)

    assert caught(wrong_attention)


def test_a_gradient_that_is_wrong_for_a_single_row_is_caught():
    def wrong_layer_norm_vjp(x, gain, eps, grad):
        x_grad, gain_grad, bias_grad = layer_norm_vjp(x, gain, eps, grad)
        one = x.size == x.shape[-1]
        return x_grad, gain_grad * np.where(np.arange(gain.size) > 0, 2, 1) ** one, bias_grad

    assert caught(wrong_layer_norm_vjp)


def test_a_weight_that_is_transposed_where_it_is_square_is_caught():
    def wrong_linear(x, weight, bias):
        square = weight.shape[0] == weight.shape[1]
        return linear(x, weight.T if square else weight, bias)

    assert caught(wrong_linear)


def test_self_attention_that_goes_wrong_under_a_square_causal_mask_is_caught():
    def wrong_multi_head_attention(x, memory, **others):
        bias = others.pop("bias")
        if np.array_equal(x, memory) and bias is not None and x.shape[1] > 1:
            causal = np.triu(np.full(bias.shape[-2:], -np.inf), 1)
            bias = np.triu(causal, 2) if np.array_equal(bias, causal) else bias
        return multi_head_attention(x, memory, bias=bias, **others)

    assert caught(wrong_multi_head_attention)


@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("profile", ["quick", "ci"])
def test_every_axis_takes_every_size_that_it_can(name, profile):
    op = OPS[name]
    taken = {(long, row.sizes[long]) for row in rows(op, profile) for long in row.long}
    able = sizes.wishes(op, sizes.FORMS[0], LEVELS[profile])
    assert {(long, size) for long, left in able.items() for size in left} <= taken
    assert all(max(left) >= 33 for name, left in able.items() if not axis(name).most)


def test_an_array_on_the_way_stays_within_the_limits_of_an_input():
    for profile, level in LEVELS.items():
        for row in rows(OPS["max_similarity"], profile):
            assert np.prod([row.sizes[name] for name in ("B", "Q", "N", "M")]) <= level.numbers


def test_the_deep_profile_crosses_sizes_with_forms():
    op = OPS["multi_head_attention"]
    taken = {
        (axis, row.sizes[axis], row.form.says) for row in rows(op, "deep") for axis in row.long
    }
    for says in ("as they come", "square", "self-attention, causal", "one head"):
        assert {("N", size, says) for size in LADDER if size <= 65} <= taken
    assert ("M", 65, "one row") in taken


@pytest.mark.parametrize("name", OPS)
def test_the_rows_of_a_short_profile_begin_a_long_one(name):
    quick, ci, deep = (rows(OPS[name], profile) for profile in LEVELS)
    assert ci[: len(quick)] == quick
    assert deep[: len(ci)] == ci


def test_quick_draws_every_row_in_the_leading_precision_and_some_in_each_other():
    op = OPS["attention"]
    every = set(range(len(rows(op, "quick"))))
    assert set(sizes.taken(op, "float32", "quick", "float32")) == every
    assert set(sizes.taken(op, "float16", "quick", "float16")) == every
    others = [set(sizes.taken(op, p, "quick", "float32")) for p in op.precisions if p != "float32"]
    assert all(others)
    assert len(set.union(*others)) == sum(map(len, others))
    assert set(sizes.taken(op, "float16", "ci", "float32")) > every


@pytest.mark.parametrize("number", ["probe1", "7-3", "size7-3"])
def test_a_case_is_found_again_by_its_number(number):
    op = OPS["attention"]
    drawn = sizes.profile_cases(op, "float32", "quick", 12, 7)
    (case,) = [case for case in drawn if case.key == number]
    again = of_key(op, "float32", number)
    assert case.layout == again.layout
    for name, x in case.inputs.items():
        assert np.array_equal(x, again.inputs[name], equal_nan=False) or x is None


def test_the_numbers_of_cases_are_known_before_they_are_drawn():
    op = OPS["linear"]
    for precision in op.precisions:
        drawn = sizes.profile_cases(op, precision, "quick", 12, 7)
        assert list(sizes.keys(op, precision, "quick", 12, 7)) == [case.key for case in drawn]


def test_sizes_stand_one_below_at_and_above_each_tile():
    assert {tile + step for tile in TILES for step in (-1, 0, 1)} <= set(LADDER)
    assert {tile + 1 for tile in TILES} <= set(EDGES) <= set(LADDER)
    assert set(axes(OPS["linear"])) == {"D", "O", "..."}


@pytest.mark.parametrize("name", ["linear", "attention", "group_norm", "clip_loss"])
def test_the_table_of_sizes_shows_all_that_an_axis_can_take(name):
    op = OPS[name]
    for profile in ("quick", "ci"):
        able = sizes.wishes(op, sizes.FORMS[0], LEVELS[profile])
        for long in axes(op):
            assert set(able[long]) <= size_table.drawn(op, long, profile), (long, profile)


def test_the_table_of_sizes_names_what_it_can_and_lists_the_rest():
    attention_lines = size_table.table([OPS["attention"]]).splitlines()[2:]
    assert len(attention_lines) == len(axes(OPS["attention"]))
    assert all("edges" in line and line.count("ladder") == 2 for line in attention_lines)
    assert "ladder" not in size_table.told(set(LADDER) - {33})
