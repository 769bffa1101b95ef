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

TILES_PACK, AT = TILES.pack, TILES.at
BOTH = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@njit
def pack(source, row, column, rows, readable, depth, panel):
    TILES_PACK(AT(source, 0), row, column, rows, readable, depth, AT(panel, 0), rows)


def whole(*shape: int, dtype: type, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-9, 10, shape).astype(dtype)


@BOTH
@pytest.mark.parametrize("each", [1, 5, 14, 15, 29])
@pytest.mark.parametrize("sets", [1, 3])
@pytest.mark.parametrize("adds", [False, True])
def test_windows_multiply_weights_by_what_lies_at_their_steps(each, sets, adds, dtype):
    n, C, taps = TILES.lanes(dtype), 3, 2
    weight = whole(each * sets, C, taps, dtype=dtype)
    frame, apart = whole(sets * 200 + n, dtype=dtype, seed=1), 200
    steps, places = np.array([0, 3, 40, 43, 80, 83]), np.array([0, n, 5, 7])
    room = whole(each * sets, 4 * n, dtype=dtype, seed=2)
    packed = np.empty(weight.size, dtype)
    TILES.pack_weights(0, TILES.panels(len(weight), each), weight, each, packed)
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
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("rows", [1, 3, 8, 14, 16, 23, 32])
@pytest.mark.parametrize("depth", [1, 7, 16, 17, 40])
def test_a_panel_holds_the_numbers_of_all_rows_side_by_side(rows, depth, turned, dtype):
    x = whole(rows + 3, depth, dtype=dtype)  # three rows more may be read
    source, steps = (np.ascontiguousarray(x.T), (1, len(x))) if turned else (x, (depth, 1))
    panel = np.empty(depth * rows + TILES.lanes(dtype), dtype)
    pack(source, *steps, rows, rows + 3, depth, panel)
    np.testing.assert_array_equal(panel[: depth * rows].reshape(depth, rows), x[:rows].T)


def test_products_are_the_same_on_narrower_processors(tmp_path):
    told = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "", "NUMBA_CACHE_DIR": str(tmp_path)}
    asked = "from refimpl.compiled.registers import BYTES; assert BYTES < 64"
    again = "-q", "-p", "no:cacheprovider", __file__, "-k", "windows or panel or steps"
    for command in (("-c", asked), ("-m", "pytest", *again)):
        ran = subprocess.run(
            [sys.executable, *command], env=os.environ | told, capture_output=True, text=True
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
