"""What NumPy has no word for: a matrix product added to what stands there, row by row in memory."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from refimpl.compiled.threads import openblas

ROWS, AS_IT_STANDS = 101, 111  # of the C interface: an order of numbers, and no transposition
KINDS = {"float32": ("sgemm", ctypes.c_float), "float64": ("dgemm", ctypes.c_double)}


@functools.cache
def adding(dtype: np.dtype) -> Callable[[np.ndarray, np.ndarray, np.ndarray], None] | None:
    """A function (a, b, c) that adds a @ b to c; None where NumPy came without OpenBLAS.

    Numbers of a row stand side by side, the rows of each matrix as far apart as they like.
    """
    for library in openblas():
        name, number = KINDS[dtype.name]
        wide = library.wide
        with_suffix = f"scipy_cblas_{name}{'64_' if wide else ''}"
        function = getattr(library.library, with_suffix, None)
        if function is not None:
            size = ctypes.c_int64 if wide else ctypes.c_int
            three, place = [size] * 3, [ctypes.c_void_p, size]
            function.argtypes = [*[ctypes.c_int] * 3, *three, number, *place * 2, number, *place]
            function.restype = None
            return functools.partial(_add, function)
    return None


def _add(function: Any, a: np.ndarray, b: np.ndarray, c: np.ndarray) -> None:
    (M, K), N = a.shape, b.shape[1]
    places = [(x.ctypes.data, x.strides[0] // x.itemsize) for x in (a, b, c)]
    kinds = ROWS, AS_IT_STANDS, AS_IT_STANDS
    function(*kinds, M, N, K, 1.0, *places[0], *places[1], 1.0, *places[2])
