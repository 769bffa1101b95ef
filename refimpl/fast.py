"""The compiled twins: the operations of the reference, in Numba, in float32 or float64.

`refimpl.fast.softmax(x)` has the signature of `refimpl.softmax`, computes in the precision of its
arguments and returns it. Kernels are compiled on first use and cached in a folder of their own for
each version of the package and of its kernels, or where NUMBA_CACHE_DIR says.

Where an answer is not finite, or nothing is asked, the text decides whether the operation is
defined there: both reject the same.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

import numpy as np

from refimpl.axes import Spec
from refimpl.compiled.loading import compiled
from refimpl.compiled.memory import empty, told_finite
from refimpl.compiled.threads import share
from refimpl.registry import OPS

PRECISIONS = ("float32", "float64")
TELLING = {"linear"}  # every number given meets all sums of its row: one that is not finite shows


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


def group_norm_silu(x: Any, gain: Any, bias: Any, groups: int, eps: float) -> Any:
    """`group_norm`, then `silu` of what it gives, in one pass over memory.

    Raises what `group_norm` raises.
    """
    op = OPS["group_norm"]
    inputs = op.read(x, gain, bias, groups, eps, keep_dtype=True)
    return kernels("layers").group_norm_silu(**prepare(op.specs, inputs))


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
        inputs = op.read(*args, **kwargs, keep_dtype=True)
        prepared = prepare(op.specs, inputs)
        if 0 in op._sizes(inputs).values():
            return _like(op.evaluate(op.read(*args, **kwargs)), prepared)
        try:
            with np.errstate(all="ignore"):
                result = kernel(**prepared)
                unknown = [x for x in _parts(result) if not told_finite(x)]
                plain = _finite(unknown) and (
                    name in TELLING or not _hides(op.specs, prepared, result)
                )
        except (ArithmeticError, IndexError):
            return _like(op.evaluate(op.read(*args, **kwargs)), prepared)
        if not plain:
            op.evaluate(op.read(*args, **kwargs))  # raises where the operation is not defined
        return result

    call.__module__ = __name__  # where it is found when a process sends it to another
    return call


def _parts(result: Any) -> list[np.ndarray]:
    """The outputs of a call that are real numbers."""
    outputs = result if isinstance(result, tuple) else (result,)
    return [x for x in map(np.asarray, outputs) if x.dtype.kind == "f"]


def _finite(arrays: Iterable[np.ndarray]) -> bool:
    """Whether all numbers are."""
    return all(share(_all_finite, x.size, 1, x.reshape(-1)) for x in arrays)


def _all_finite(first: int, last: int, x: np.ndarray) -> bool:
    """Squares are added up first, in one pass over memory."""
    part = x[first:last]
    return math.isfinite(np.dot(part, part)) or bool(np.isfinite(part).all())


def _hides(specs: dict[str, Spec], prepared: dict[str, Any], result: Any) -> bool:
    """Whether a finite answer may hide a number that the text stumbles over.

    A sum may leave out an infinite term, and a schedule the step at which nothing is left.
    """
    arrays = {n: x for n, x in prepared.items() if isinstance(x, np.ndarray)}
    betas = [x for n, x in arrays.items() if specs[n].kind.name == "Betas"]
    if any(np.max(x) >= 1 for x in betas):
        return True
    given = [x for n, x in arrays.items() if x.dtype.kind == "f" and not specs[n].kind.hides]
    shapes = {x.shape for x in given}
    reshaped = any(x.shape not in shapes for x in _parts(result))
    return reshaped and not _finite(given)


def _like(result: Any, prepared: dict[str, Any]) -> Any:
    """What the text gives, in the precision of a twin's arguments."""
    kinds = [x.dtype for x in prepared.values() if isinstance(x, np.ndarray)]
    dtype = next((kind for kind in kinds if kind.kind == "f"), np.dtype(np.float64))

    def cast(x: Any) -> Any:
        floats = np.asarray(x).dtype.kind == "f"
        return np.asarray(x).astype(dtype)[()] if floats else x

    return tuple(map(cast, result)) if isinstance(result, tuple) else cast(result)


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
    return spec.kind.hides and bool(np.all((x == 0) | (x == -np.inf)))
