"""Tables that a text makes itself, read in the arithmetic that it runs in.

`np.arange(n) / n` or `np.zeros(8)` in a text would be plain numbers, exact in every reading, while
an honest implementation rounds them. For a function that is not ours, `np` is therefore read as a
NumPy whose new arrays of real numbers carry what the arguments carry; integers stay plain until a
function makes real numbers of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from refimpl.oracle.numbers.places import no_rule

REFUSED = ("logspace", "geomspace", "random")
OF_LISTS = ("sum", "mean", "prod", "max", "min", "var", "std", "median")
MADE = ("zeros", "ones", "empty", "full", "eye", "identity", "tri")


class Whole(np.ndarray):
    """Integers that a text made; whatever makes real numbers of them carries errors, or balls."""

    lift: Callable | None = None

    def __array_finalize__(self, source: Any) -> None:
        self.lift = getattr(source, "lift", None)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if any(hasattr(x, "lift_constant") for x in inputs):
            return NotImplemented
        lift = next(x.lift for x in inputs if isinstance(x, Whole))
        plain = [x.view(np.ndarray) if isinstance(x, Whole) else x for x in inputs]
        kwargs["out"] = (
            tuple(x.view(np.ndarray) if isinstance(x, Whole) else x for x in kwargs.pop("out", ()))
            or None
        )
        result = getattr(ufunc, method)(*plain, **kwargs)
        if np.asarray(result).dtype.kind == "f" and lift is not None and method == "__call__":
            return ufunc(lift(plain[0]), *plain[1:])
        return whole(result, lift) if isinstance(result, np.ndarray) else result


def whole(integers: np.ndarray, lift: Callable | None) -> Any:
    """Integers that remember the arithmetic they belong to; truth values stay plain."""
    if integers.dtype.kind not in "iu":
        return integers
    made = integers.view(Whole)
    made.lift = lift
    return made


class Carrying:
    """A NumPy whose new arrays of real numbers belong to one reading."""

    def __init__(self, numpy: Any, lift: Callable) -> None:
        self._numpy = numpy
        self._lift = lift

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._numpy, name)
        if name in MADE:
            return lambda *args, **kwargs: self._made(function(*args, **kwargs))
        if name in REFUSED:
            raise no_rule("a text", f"np.{name}")
        if name in OF_LISTS:
            return lambda x, *args, **kwargs: function(
                self.asarray(x) if _carried_inside(x) else x, *args, **kwargs
            )
        return function

    def vectorize(self, function: Callable, **options: Any) -> Callable:
        """A function of numbers for arrays, one number after another."""
        plain = self._numpy.vectorize(function, **options)

        def each(*args: Any, **named: Any) -> Any:
            carried = [self._lift(x) for x in args if hasattr(x, "lift_constant")]
            if not carried or named:
                return plain(*args, **named)
            shape = np.broadcast_shapes(*(np.shape(x) for x in args))
            spread = [np.broadcast_to(x, shape) for x in args]
            found = [self._lift(function(*(x[i] for x in spread))) for i in np.ndindex(shape)]
            return np.reshape(np.stack(found), shape)

        return each

    def _made(self, array: Any) -> Any:
        if array.dtype.kind == "f" and array.ndim:
            return self._lift(array)
        return whole(array, self._lift) if array.ndim else array

    def array(self, x: Any, dtype: Any = None, **_: Any) -> Any:
        """Numbers as an array; what is carried already stays so, in an array of its own."""
        return _copied(self.asarray(x, dtype))

    def asarray(self, x: Any, dtype: Any = None, **_: Any) -> Any:
        """Numbers as an array; what is carried already stays so."""
        if hasattr(x, "lift_constant"):
            return x if dtype is None else x.astype(dtype)
        if _carried_inside(x):
            return np.stack([self._lift(self.asarray(part)) for part in x])
        return self._made(np.asarray(x, dtype=dtype))

    ascontiguousarray = asanyarray = asarray

    def arange(self, *limits: Any, dtype: Any = None) -> Any:
        """A range: integers stay plain, real numbers are start + i step."""
        array = self._numpy.arange(*limits, dtype=dtype)
        if array.dtype.kind != "f" or all(float(x).is_integer() for x in limits):
            return self._made(array)
        start, step = (0, 1, *limits)[-2:] if len(limits) < 3 else (limits[0], limits[2])
        start, step = (limits[0], 1) if len(limits) == 2 else (start, step)
        start, step = (0, 1) if len(limits) == 1 else (start, step)
        return self._lift(start) + self._lift(np.arange(len(array))) * self._lift(step)

    def linspace(self, start: Any, stop: Any, num: int = 50, **kwargs: Any) -> Any:
        """Numbers at equal distances."""
        return np.linspace(self._lift(start), stop, num, **kwargs)


def _copied(x: Any) -> Any:
    return x.copy() if x.ndim else x


def _carried_inside(x: Any) -> bool:
    return isinstance(x, (list, tuple)) and any(
        hasattr(part, "lift_constant") or _carried_inside(part) for part in x
    )
