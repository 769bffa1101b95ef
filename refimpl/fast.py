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
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from refimpl.axes import Spec
from refimpl.compiled.loading import compiled
from refimpl.compiled.memory import told_finite
from refimpl.compiled.threads import WORTHWHILE, contiguous, share
from refimpl.registry import OPS

PRECISIONS = ("float32", "float64")
NARROW, WIDE, WHOLE = np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.int64)
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
    hides = None if name in TELLING else _Hides(op.specs)

    @np.errstate(all="ignore")
    def compute(prepared: dict[str, Any]) -> tuple[Any, bool]:
        """What the kernel gives, and whether that settles what the text would say."""
        result = kernel(**prepared)
        parts = _parts(result)
        plain = all(told_finite(x) or _finite(x) for x in parts)
        return result, plain and not (hides and hides.anything(prepared, parts))

    @functools.wraps(op.text)
    def call(*args: Any, **kwargs: Any) -> Any:
        inputs, sizes = op.taken(args, kwargs, keep_dtype=True)
        prepared = prepare(op.specs, inputs)
        if 0 in sizes.values() and _is_empty(sizes):
            return _like(op.evaluate(op.read(*args, **kwargs)), prepared)
        try:
            result, plain = compute(prepared)
        except (ArithmeticError, IndexError):
            return _like(op.evaluate(op.read(*args, **kwargs)), prepared)
        if not plain:
            op.evaluate(op.read(*args, **kwargs))  # raises where the operation is not defined
        return result

    call.__module__ = __name__  # where it is found when a process sends it to another
    return call


def _is_empty(sizes: dict[str, int]) -> bool:
    """Whether an axis has nothing along it; that there are no further axes is no such thing."""
    return any(size == 0 for name, size in sizes.items() if name != "...")


def _parts(result: Any) -> list[np.ndarray]:
    """The outputs of a call that are real numbers."""
    outputs = result if isinstance(result, tuple) else (result,)
    return [x for x in map(np.asarray, outputs) if x.dtype.kind == "f"]


def _finite(x: np.ndarray) -> bool:
    """Whether all numbers are."""
    numbers = x.ravel()
    return _all_finite(numbers) if x.size < WORTHWHILE else share(_some_finite, x.size, 1, numbers)


def _some_finite(first: int, last: int, x: np.ndarray) -> bool:
    return _all_finite(x[first:last])


def _all_finite(x: np.ndarray) -> bool:
    """Squares are added up first, in one pass over memory."""
    return math.isfinite(x.dot(x)) or bool(np.isfinite(x).all())


class _Hides:
    """Whether a finite answer may hide a number that the text stumbles over.

    A sum may leave out an infinite term, and a schedule the step at which nothing is left.
    """

    def __init__(self, specs: dict[str, Spec]) -> None:
        self.betas = [n for n, spec in specs.items() if spec.kind.name == "Betas"]
        self.open = [
            n for n, s in specs.items() if not (s.scalar or s.kind.hides or s.kind.integer)
        ]

    def anything(self, prepared: dict[str, Any], parts: list[np.ndarray]) -> bool:
        """Whether one of these arguments may be hidden in these outputs."""
        for name in self.betas:
            if isinstance(prepared[name], np.ndarray) and prepared[name].max() >= 1:
                return True
        given = [x for n in self.open if isinstance(x := prepared[n], np.ndarray)]
        shapes = [x.shape for x in given]
        reshaped = any(x.shape not in shapes for x in parts)
        return reshaped and not all(map(_finite, given))


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
    dtype = WIDE if _is_wide(specs, inputs) else NARROW
    prepared = {}
    for name, value in inputs.items():
        if isinstance(value, np.ndarray):
            kind = WHOLE if specs[name].kind.integer else dtype
            value = contiguous(value, kind).view()
            value.setflags(write=False)
        prepared[name] = value
    return prepared


def _is_wide(specs: dict[str, Spec], inputs: dict[str, Any]) -> bool:
    """Whether the arguments ask for float64; masks are looked at where nothing else says it."""
    narrow, single, masks = False, [], []
    for name, x in inputs.items():
        if isinstance(x, np.ndarray) and x.dtype.kind == "f":
            if specs[name].kind.hides:
                masks.append(x)
            elif not x.ndim:
                single.append(x)
            elif x.itemsize > 4:
                return True
            else:
                narrow = True
    if narrow:
        return any(x.itemsize > 4 and x.ndim and not _is_mask(x) for x in masks)
    arrays = single + [x for x in masks if not _is_mask(x)]
    arrays = [x for x in arrays if x.ndim] or arrays
    return not arrays or any(x.itemsize > 4 for x in arrays)


def _is_mask(x: np.ndarray) -> bool:
    return bool(np.all((x == 0) | (x == -np.inf)))
