"""What `registers` does, in NumPy, for NUMBA_DISABLE_JIT: a place is all that lies behind it."""

from __future__ import annotations

import numpy as np

from refimpl.compiled.registers import lanes


def at(array: np.ndarray, place: int) -> np.ndarray:
    """Where a number of an array stands."""
    return array.reshape(-1)[place:]


def ahead(place: np.ndarray, numbers: int) -> np.ndarray:
    """The place so many numbers behind a place."""
    return place[numbers:]


def width_of(place: np.ndarray) -> int:
    """How many numbers the two registers of a tile hold."""
    return 2 * lanes(place.dtype)


def run_wide() -> None:
    """Nothing: NumPy chooses."""


def turn(source: np.ndarray, apart: int, rows: int, target: np.ndarray, pitch: int) -> None:
    """Transpose a square of as many rows as a register has lanes."""
    for k in range(lanes(source.dtype)):
        for row in range(lanes(source.dtype)):
            target[k * pitch + row] = source[min(row, rows - 1) * apart + k]


def tile_of(
    rows: int,
    registers: int,
    panel: np.ndarray,
    pitch: int,
    first: np.ndarray,
    second: np.ndarray,
    steps: np.ndarray,
    depth: int,
    begin: np.ndarray,
    begin_apart: int,
    one: np.ndarray,
    two: np.ndarray,
    apart: int,
    has_begin: bool,
) -> None:
    """The sums of a tile."""
    n, own = lanes(panel.dtype), np.arange(depth)[:, None] * pitch + np.arange(rows)
    met = steps[:depth, None] + np.arange(n)
    places = [(first, one), (second, two)][:registers]
    sums = [panel[own].T @ place[met] for place, _ in places]
    for row in range(rows):
        line = row * begin_apart
        given = [begin[line + k * n : line + k * n + n] if has_begin else 0 for k in (0, 1)]
        totals = [value[row] + start for value, start in zip(sums, given)]
        for total, (_, place) in zip(totals, places):
            place[row * apart : row * apart + n] = total


def dots_of(
    rows: int,
    others: int,
    first: np.ndarray,
    apart: int,
    second: np.ndarray,
    second_apart: int,
    depth: int,
    sums: np.ndarray,
    sums_apart: int,
    asked: np.ndarray,
) -> None:
    """Inner products of rows and others."""
    for row in range(rows):
        own = first[row * apart : row * apart + depth]
        for k in range(others):
            other = second[k * second_apart : k * second_apart + depth]
            sums[row * sums_apart + k] = own @ other
