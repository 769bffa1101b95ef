"""The compiled twins: the operations of the reference, in Numba, in float32 or float64.

`refimpl.fast.softmax(x)` has the signature of `refimpl.softmax`, computes in the precision of its
arguments and returns it. Kernels are compiled on first use and cached in a folder of their own for
each version of the package and of its kernels, or where NUMBA_CACHE_DIR says.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from refimpl.axes import Spec
from refimpl.compiled.loading import compiled
from refimpl.compiled.memory import empty
from refimpl.registry import OPS

PRECISIONS = ("float32", "float64")


def guided_ddim_step(
    x_t: Any,
    t: Any,
    t_prev: Any,
    eps_uncond: Any,
    eps_cond: Any,
    scale: float,
    noise: Any,
    alpha_bar: Any,
    eta: float,
) -> Any:
    """`classifier_free_guidance`, then `ddim_step` with what it gives, in one pass over memory.

    Raises what these two raise.
    """
    kernel = kernels("diffusion").guided_ddim_step
    guide, step = OPS["classifier_free_guidance"], OPS["ddim_step"]
    inputs = guide.read(eps_uncond, eps_cond, scale, keep_dtype=True)
    inputs |= step.read(x_t, t, t_prev, eps_cond, noise, alpha_bar, eta, keep_dtype=True)
    del inputs["eps"]
    return kernel(**prepare(guide.specs | step.specs, inputs))


def __getattr__(name: str) -> Callable[..., Any]:
    if name not in OPS:
        raise AttributeError(f"module 'refimpl.fast' has no attribute {name!r}")
    return _twin(name)


def __dir__() -> list[str]:
    return sorted(OPS)


@functools.cache
def _twin(name: str) -> Callable[..., Any]:
    op = OPS[name]
    kernel = getattr(kernels(op.chapter), name)

    @functools.wraps(op.text)
    def call(*args: Any, **kwargs: Any) -> Any:
        return kernel(**prepare(op.specs, op.read(*args, **kwargs, keep_dtype=True)))

    call.__module__ = __name__  # where it is found when a process sends it to another
    return call


def kernels(chapter: str) -> ModuleType:
    """The module of a chapter's kernels."""
    return compiled(f"refimpl.ops.{chapter}.fast")


def prepare(specs: dict[str, Spec], inputs: dict[str, Any]) -> dict[str, Any]:
    """One float dtype, contiguous, read-only: a kernel meets one type and compiles once.

    A mask of zeros and -inf is as exact in float32, and asks for no wider one; neither does a
    single number beside arrays, as in NumPy.
    """
    arrays = [
        x
        for name, x in inputs.items()
        if isinstance(x, np.ndarray) and x.dtype.kind == "f" and not _is_mask(specs[name], x)
    ]
    arrays = [x for x in arrays if x.ndim] or arrays
    wide = not arrays or any(x.dtype.itemsize > 4 for x in arrays)
    dtype = np.dtype(np.float64 if wide else np.float32)
    prepared = {}
    for name, value in inputs.items():
        if isinstance(value, np.ndarray):
            kind = np.dtype(np.int64) if specs[name].kind.integer else dtype
            if value.dtype != kind or not value.flags.c_contiguous:
                value, given = empty(value.shape, kind), value
                np.copyto(value, given, casting="unsafe")
            value = value.view()
            value.flags.writeable = False
        prepared[name] = value
    return prepared


def _is_mask(spec: Spec, x: np.ndarray) -> bool:
    return spec.kind.name == "Bias" and bool(np.all((x == 0) | (x == -np.inf)))
