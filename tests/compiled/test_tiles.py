"""Products in registers: of whole numbers, so that every sum is exact in any order."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from numba import njit

from refimpl.compiled.loading import compiled as loaded

TILES = loaded("refimpl.compiled.tiles")

PACK, AT = TILES.pack_panels, TILES.at
BOTH = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@njit
def panels_of(source, rows, tall, depth, packed):
    PACK(AT(source, 0), source.shape[1], rows, tall, depth, AT(packed, 0))


def whole(*shape: int, dtype: type, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-9, 10, shape).astype(dtype)


@BOTH
@pytest.mark.parametrize("each", [1, 5, 14, 15, 29])
@pytest.mark.parametrize("sets", [1, 3])
@pytest.mark.parametrize("registers", [3, 4])
@pytest.mark.parametrize("adds", [False, True])
def test_windows_multiply_weights_by_what_lies_at_their_steps(each, sets, registers, adds, dtype):
    n, C, taps = TILES.lanes(dtype), 3, 2
    weight = whole(each * sets, C, taps, dtype=dtype)
    frame, apart = whole(sets * 200 + n, dtype=dtype, seed=1), 200
    steps, places = np.array([0, 3, 40, 43, 80, 83]), np.array([0, n, 5, 7])[:registers]
    room = whole(each * sets, registers * n, dtype=dtype, seed=2)
    flat = weight.reshape(len(weight), -1)
    packed = np.empty(TILES.packed_size(*flat.shape, each, dtype), dtype)
    for k in reversed(range(TILES.panels(len(weight), each))):
        TILES.pack_weights(k, k + 1, flat, each, packed)
    wanted = room.copy() if adds else np.zeros_like(room)
    for row in range(len(weight)):
        seen = frame[
            row // each * apart + steps[:, None] + np.add.outer(places, np.arange(n)).ravel()
        ]
        wanted[row] += weight[row].reshape(-1) @ seen
    TILES.windows(packed, each, frame, apart, steps, places, room, adds)
    np.testing.assert_array_equal(room, wanted)


def test_no_steps_sum_to_zero():
    room, nothing = np.ones((2, 2 * TILES.lanes(np.float32)), np.float32), np.empty(0, np.float32)
    frame, places = np.ones(99, np.float32), np.array([0, 1])
    TILES.windows(nothing, 2, frame, 0, np.empty(0, np.int64), places, room, True)
    assert (room == 1).all()
    TILES.windows(nothing, 2, frame, 0, np.empty(0, np.int64), places, room, False)
    assert not room.any()


@BOTH
@pytest.mark.parametrize("tall", [1, 3, 8, 14, 16, 23, 32])
@pytest.mark.parametrize("depth", [1, 7, 16, 17, 40])
def test_panels_hold_the_numbers_of_their_rows_side_by_side(tall, depth, dtype):
    x = whole(tall + 2, depth, dtype=dtype)
    packed = np.empty(x.size + tall * TILES.lanes(dtype), dtype)
    panels_of(x, len(x), tall, depth, packed)
    for rows in (x[:tall], x[tall : 2 * tall]):
        panel, packed = packed[: rows.size], packed[rows.size :]
        np.testing.assert_array_equal(panel.reshape(depth, len(rows)), rows.T)


@BOTH
@pytest.mark.parametrize("depth", [1, 7, 16, 40, 67])
@pytest.mark.parametrize("others", [1, 2, 6, 7, 13])
@pytest.mark.parametrize(("first", "last"), [(0, 1), (2, 7), (3, 11)])
def test_inner_products_of_some_rows_and_all_others(depth, others, first, last, dtype):
    rows, met = whole(11, depth, dtype=dtype), whole(others, depth, dtype=dtype, seed=1)
    sums = np.full((last - first + 1, others), np.nan, dtype)
    TILES.dots(first, last, rows, met, sums)
    np.testing.assert_array_equal(sums[:-1], rows[first:last] @ met.T)
    assert np.isnan(sums[-1]).all()


def test_products_are_the_same_on_narrower_processors(tmp_path):
    told = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "", "NUMBA_CACHE_DIR": str(tmp_path)}
    asked = "from refimpl.compiled.registers import BYTES; assert BYTES < 64"
    again = "-q", "-p", "no:cacheprovider", __file__, "-k", "windows or panel or steps or inner"
    for command in (("-c", asked), ("-m", "pytest", *again)):
        ran = subprocess.run(
            [sys.executable, *command], env=os.environ | told, capture_output=True, text=True
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
