"""Memory for large results, used again: new pages cost a model an eighth of its time.

The system hands out every page of a large array empty, at the moment it is first touched, and takes
them back when the array goes. What the twins return above LARGE bytes goes to a shelf instead, and
from there to the next result of the same size.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

LARGE = 1 << 16  # bytes; the allocator of the system keeps smaller ones itself
KEPT = 1 << 27  # bytes on the shelf, at most
PAGE = 4096  # bytes; a result a little behind its argument, counted from a page, delays the loads

_shelf: dict[int, list[np.ndarray]] = {}  # by size, the one used last at the end


def empty(shape: Any, dtype: Any) -> np.ndarray:
    """An array as `np.empty` makes it, in memory that may have served before."""
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    if size < LARGE:
        return np.empty(shape, dtype)
    return np.asarray(_Lent(_take(size + PAGE), shape, dtype))


def zeros(shape: Any, dtype: Any) -> np.ndarray:
    """The same, filled with zeros."""
    array = empty(shape, dtype)
    array.fill(0)
    return array


def tell_finite(view: np.ndarray) -> None:
    """Note that all numbers of a result are finite, told by a view of the whole of it."""
    whole: Any = view
    while isinstance(whole, np.ndarray) and whole.base is not None:
        whole = whole.base
    if isinstance(whole, _Lent) and view.nbytes == whole.size:
        whole.finite = True


def told_finite(result: np.ndarray) -> bool:
    """Whether that was noted of this result, which nobody else has seen yet."""
    return isinstance(result.base, _Lent) and result.base.finite


def clear() -> None:
    """Give back what nobody looks at."""
    _shelf.clear()


class _Lent:
    """Memory that goes back to the shelf when the last array that looks at it is gone."""

    def __init__(self, memory: np.ndarray, shape: Any, dtype: np.dtype) -> None:
        self.memory, address = memory, memory.ctypes.data
        self.size, self.finite = math.prod(shape) * dtype.itemsize, False
        self.__array_interface__ = {
            "data": (address + -address % PAGE, False),
            "shape": tuple(shape),
            "typestr": dtype.str,
            "version": 3,
        }

    def __del__(self, shelf: dict = _shelf, most: int = KEPT) -> None:  # there when all else ends
        size = self.memory.nbytes
        alike = shelf.pop(size, [])
        alike.append(self.memory)
        shelf[size] = alike
        for other, memories in list(shelf.items()):
            if sum(n * len(kept) for n, kept in list(shelf.items())) <= most:
                break
            memories.clear()
            shelf.pop(other, None)


def _take(size: int) -> np.ndarray:
    if size > KEPT:  # the shelf will be cleared when this goes back: now it would add to the peak
        clear()
    try:
        return _shelf[size].pop()
    except (KeyError, IndexError):
        return np.empty(size, np.uint8)
