"""Convolutions in bands: what stands before and behind them, and what they hold."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest

import refimpl
from refimpl import fast
from refimpl.compiled import memory
from refimpl.compiled.loading import compiled as loaded
from refimpl.models import TEXT, compiled
from refimpl.oracle.cases.drawn import generate
from refimpl.registry import OPS
from refimpl.testing import bound
from tests.compiled.test_fast import floats, worst

BANDS = loaded("refimpl.ops.convolution.fast_bands")


IN_BANDS = (
    "conv2d",
    "conv2d_vjp",
    "conv_transpose2d",
    "conv_transpose2d_vjp",
    "residual_block",
    "residual_block_scale_shift",
)


@pytest.mark.parametrize("places", [1, 40, 4096])
@pytest.mark.parametrize("op", IN_BANDS)
def test_bands_of_any_height_join_where_they_meet(op, places, two_threads, monkeypatch):
    monkeypatch.setattr(BANDS, "PLACES", (places, places))
    monkeypatch.setattr(loaded("refimpl.ops.convolution.fast_few"), "FEW", 0)
    for case in generate(OPS[op], "float32", 12):
        given = case.typed(OPS[op])
        assert worst(op, given, getattr(fast, op)(**given)) <= 1


@pytest.mark.parametrize("stride", [1, 2, 3, 5])
@pytest.mark.parametrize("dilation", [1, 2, 3])
@pytest.mark.parametrize("groups", [1, 2])
def test_a_convolution_and_its_gradient_take_any_stride_and_dilation(stride, dilation, groups):
    images, weight = floats(2, 4, 19, 37), floats(6, 4 // groups, 3, 3, seed=1)
    given = {"images": images, "weight": weight, "bias": floats(6, seed=2), "stride": stride}
    given |= {"before": 2, "after": 1, "dilation": dilation, "groups": groups}
    found = fast.conv2d(**given)
    assert worst("conv2d", given, found) <= 1
    del given["bias"]
    given["grad"] = floats(*found.shape, seed=3)
    assert worst("conv2d_vjp", given, fast.conv2d_vjp(**given)) <= 1


def read(x, gain, shift, weight, bias, normed, times, ops):
    """A convolution behind a group norm and its gate, or not, each pixel repeated."""
    x = ops.silu(ops.group_norm(x, gain, shift, 2, 1e-5)) if normed else x
    x = ops.resize_nearest(x, times * x.shape[2], times * x.shape[3])
    return ops.conv2d(x, weight, bias, 1, 1, 0, 1, 1)


@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("normed", [True, False])
def test_a_convolution_makes_what_waits_for_it(normed, times, two_threads, monkeypatch):
    monkeypatch.setattr(BANDS, "PLACES", (30, 30))
    shapes = {"x": (2, 6, 5, 7), "gain": (6,), "shift": (6,), "weight": (4, 6, 2, 2), "bias": (4,)}
    given = {name: floats(*shape, seed=i) for i, (name, shape) in enumerate(shapes.items())}

    def text(x, gain, shift, weight, bias):
        return read(x, gain, shift, weight, bias, normed, times, TEXT)

    wanted, allowed = bound(text, **given)
    found = read(**given, normed=normed, times=times, ops=compiled)
    assert found.dtype == np.float32
    assert (np.abs(found - wanted) <= allowed).all()


def held(call: Callable[[], np.ndarray]) -> float:
    """How much a call holds at most, in arrays of what it gives."""
    size = call().nbytes
    memory.clear()
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1] / size
    finally:
        tracemalloc.stop()


def test_a_residual_block_holds_one_map_beside_the_one_it_is_given():
    x, one, weight = floats(1, 16, 256, 256), np.ones(16, np.float32), floats(16, 16, 3, 3)
    halves = one, one, weight, one
    blank = np.zeros((16, 1), np.float32), np.zeros(16, np.float32)
    given = x, np.zeros((1, 1), np.float32), *halves, *blank, *halves
    for skip in ((None, None), (floats(16, 16, 1, 1), one)):
        assert held(lambda skip=skip: fast.residual_block(*given, *skip, 4, 1e-5)) < 1.5


def test_no_map_is_repeated_or_normalised_as_a_whole_before_a_convolution():
    x, one, weight = floats(1, 16, 256, 256), np.ones(16, np.float32), floats(16, 16, 3, 3)

    def larger(ops):
        return ops.conv2d(ops.resize_nearest(x, 512, 512), weight, one, 1, 1, 1, 1, 1)

    def gated(ops):
        y = ops.silu(ops.group_norm(x, one, one, 4, 1e-5))
        return ops.conv2d(y, weight, one, 1, 1, 1, 1, 1)

    for call in (larger, gated):
        assert held(lambda call=call: call(compiled)) < 1.5
        assert held(lambda call=call: call(refimpl.fast)) > 1.9
