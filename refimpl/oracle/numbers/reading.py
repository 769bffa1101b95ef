"""Arrays that answer NumPy's functions themselves, so that a text runs on them unchanged.

A subclass says which NumPy arrays it carries (`carried`) and gives a rule for each elementary
operation; whatever only moves elements about (reshape, transpose, concatenate, indexing …) is
applied to every carried array here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

MOVES = (
    *("reshape", "transpose", "swapaxes", "moveaxis", "broadcast_to", "expand_dims", "ravel"),
    *("repeat", "tile", "roll", "pad", "tril", "triu"),
)
JOINS = ("concatenate", "stack")


class Reading(np.lib.mixins.NDArrayOperatorsMixin):
    """An array-like whose arithmetic is given by rules."""

    carried: ClassVar[tuple[str, ...]] = ("value",)
    rules: ClassVar[dict[str, Callable]] = {}
    value: np.ndarray

    def moved(self, move: Callable) -> Any:
        """Apply a function that only moves elements to every carried array."""
        raise TypeError(f"{type(self).__name__} does not say how")

    def lift(self, x: Any) -> Any:
        """Read a number or a plain array in this arithmetic."""
        raise TypeError(f"{type(self).__name__} does not say how")

    def join(self, parts: list, join: Callable) -> Any:
        """Apply a joining function to every carried array of several operands."""
        raise TypeError(f"{type(self).__name__} does not say how")

    shape = property(lambda self: self.value.shape)
    ndim = property(lambda self: self.value.ndim)
    size = property(lambda self: self.value.size)
    T = property(lambda self: self.moved(np.transpose))

    def __len__(self) -> int:
        return len(self.value)

    def __getitem__(self, index: Any) -> Any:
        return self.moved(lambda array: array[index])

    def reshape(self, *shape: Any) -> Any:
        """The same elements in another shape."""
        return self.moved(lambda array: array.reshape(*shape))

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        rule = self.rules.get(ufunc.__name__)
        if method != "__call__" or kwargs or rule is None:
            raise TypeError(f"{type(self).__name__} has no rule for np.{ufunc.__name__}")
        return rule(*(self.lift(x) for x in inputs))

    def __array_function__(self, func: Callable, types: Any, args: tuple, kwargs: dict) -> Any:
        name = func.__name__
        if name in MOVES:
            return args[0].moved(lambda array: func(array, *args[1:], **kwargs))
        if name in JOINS:
            parts = [self.lift(x) for x in args[0]]
            return self.join(parts, lambda arrays: func(arrays, *args[1:], **kwargs))
        if name == "split":
            return self._split(*args, **kwargs)
        if name == "where":
            return self.select(args[0], self.lift(args[1]), self.lift(args[2]))
        rule = self.rules.get(name)
        if rule is None:
            raise TypeError(f"{type(self).__name__} has no rule for np.{name}")
        if name == "linspace":
            return rule(self.lift(args[0]), self.lift(args[1]), *args[2:], **kwargs)
        return rule(*args, **kwargs)

    def _split(self, whole: Any, where: Any, axis: int = 0) -> list[Any]:
        """`np.split`: parts along one axis."""
        along = axis % len(whole.shape)
        parts = np.split(np.arange(whole.shape[along]), where)
        return [whole[(slice(None),) * along + (part,)] for part in parts]

    def select(self, condition: Any, a: Any, b: Any) -> Any:
        """`np.where` with a plain condition."""
        if isinstance(condition, Reading):
            raise TypeError(f"{type(self).__name__} cannot decide a condition it carries")
        shape = np.broadcast_shapes(np.shape(condition), a.shape, b.shape)
        spread = [x.moved(lambda array: np.broadcast_to(array, shape)) for x in (a, b)]
        condition = np.broadcast_to(condition, shape)
        return self.join(spread, lambda arrays: np.where(condition, *arrays))


COMPARISONS = ("greater", "greater_equal", "less", "less_equal", "equal", "not_equal")


def compare(name: str) -> Callable:
    """A comparison looks at the values alone."""
    ufunc = getattr(np, name)
    return lambda x, y: ufunc(x.value, y.value)


def _is_plain_float(x: Any) -> bool:
    return not isinstance(x, Reading) and np.asarray(x).dtype.kind == "f"


def run(text: Callable, lift: Callable, inputs: dict[str, Any]) -> Any:
    """Run an unchanged text on inputs of another arithmetic.

    `lift` reads each floating-point argument, array or scalar; integers and None stay as they are.
    """
    lifted = {
        name: lift(value) if _is_plain_float(value) else value
        for name, value in inputs.items()
        if value is not None
    }
    with np.errstate(all="ignore"):  # the rules know what to make of infinities
        return text(**{name: lifted.get(name) for name in inputs})
