"""The compiled twins: the operations of the reference, in Numba, in float32 or float64.

`refimpl.fast.softmax(x)` has the signature of `refimpl.softmax`, computes in the precision of its
arguments and returns it. Kernels are compiled on first use and cached.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from refimpl.op import Op
from refimpl.registry import OPS

PRECISIONS = ("float32", "float64")


def __getattr__(name: str) -> Callable[..., Any]:
    if name not in OPS:
        raise AttributeError(f"module 'refimpl.fast' has no attribute {name!r}")
    return _twin(name)


def __dir__() -> list[str]:
    return sorted(OPS)


@functools.cache
def _twin(name: str) -> Callable[..., Any]:
    op = OPS[name]
    kernel = getattr(importlib.import_module(f"refimpl.ops.{op.chapter}.fast"), name)

    @functools.wraps(op.text)
    def call(*args: Any, **kwargs: Any) -> Any:
        return kernel(**prepare(op, op.read(*args, **kwargs, keep_dtype=True)))

    return call


def prepare(op: Op, inputs: dict[str, Any]) -> dict[str, Any]:
    """One float dtype, contiguous, read-only: a kernel meets one type and compiles once.

    A mask of zeros and -inf is as exact in float32, and asks for no wider one; neither does a
    single number beside arrays, as in NumPy.
    """
    arrays = [
        x
        for name, x in inputs.items()
        if isinstance(x, np.ndarray) and x.dtype.kind == "f" and not _is_mask(op, name, x)
    ]
    arrays = [x for x in arrays if x.ndim] or arrays
    wide = not arrays or any(x.dtype.itemsize > 4 for x in arrays)
    dtype = np.dtype(np.float64 if wide else np.float32)
    prepared = {}
    for name, value in inputs.items():
        if isinstance(value, np.ndarray):
            kind = np.dtype(np.int64) if op.specs[name].kind.integer else dtype
            value = np.asarray(value, dtype=kind, order="C").view()
            value.flags.writeable = False
        prepared[name] = value
    return prepared


def _is_mask(op: Op, name: str, x: np.ndarray) -> bool:
    return op.specs[name].kind.name == "Bias" and bool(np.all((x == 0) | (x == -np.inf)))
