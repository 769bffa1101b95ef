"""Arrays that answer NumPy's functions themselves, so that a text runs on them unchanged.

A subclass says which NumPy arrays it carries (`carried`) and gives a rule for each elementary
operation; whatever only moves elements about (reshape, transpose, concatenate, indexing …) is
applied to every carried array here.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from refimpl.oracle.numbers.composed import COMPOSED
from refimpl.oracle.numbers.imported import carrying
from refimpl.oracle.numbers.places import Doubt, NoMethod, leaves, line, no_rule

MOVES = {
    *("reshape", "transpose", "swapaxes", "moveaxis", "broadcast_to", "expand_dims", "ravel"),
    *("repeat", "tile", "roll", "squeeze", "flip", "fliplr", "flipud", "rot90", "rollaxis"),
    *("take", "take_along_axis", "delete", "diagonal", "sliding_window_view", "copy"),
    *("atleast_1d", "atleast_2d", "atleast_3d", "matrix_transpose", "permute_dims"),
}
FILLS = {"tril", "triu", "diag", "diagflat"}  # moves that fill up with zeros
JOINS = {"concatenate", "concat", "stack", "hstack", "vstack", "dstack", "column_stack"}
REDUCTIONS = {
    **{"add": "sum", "multiply": "prod", "maximum": "max", "minimum": "min"},
    "logaddexp": "logsumexp",
}
NOTHING = {"sum": 0.0, "prod": 1.0, "max": -np.inf, "amax": -np.inf, "min": np.inf, "amin": np.inf}
JOINED = {"sum": np.add, "prod": np.multiply, "max": np.maximum, "min": np.minimum}
IN_ORDER = {"add": "cumsum", "multiply": "cumprod"}
METHODS = (
    *("sum", "mean", "max", "min", "prod", "var", "std", "dot", "cumsum", "cumprod", "clip"),
    *("transpose", "swapaxes", "squeeze", "repeat", "take", "argmax", "argmin", "argsort"),
    *("diagonal", "trace", "ravel", "ptp", "round"),
)


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

    def __setitem__(self, index: Any, other: Any) -> None:
        self.write(index, self.lift(other))

    def write(self, index: Any, other: Any) -> None:
        """Put elements in place, in every carried array."""
        for name in self.carried:
            getattr(self, name)[index] = getattr(other, name)

    def __getattr__(self, name: str) -> Any:
        if name in METHODS:
            function = getattr(np, name)
            return lambda *args, **kwargs: function(self, *_method_arguments(name, args), **kwargs)
        if not name.startswith("_") and hasattr(np.ndarray, name):
            raise no_rule(type(self).__name__, f"x.{name}", NoMethod)
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise leaves(type(self).__name__, "a function that reads plain arrays")

    def __float__(self) -> float:
        return float(self.plain("float"))

    def __int__(self) -> int:
        return int(self.plain("int"))

    def __index__(self) -> int:
        return self.__int__()

    def __bool__(self) -> bool:
        return bool(self.plain("if"))

    def plain(self, how: str) -> Any:
        """The one number of this array, if it is the same in every honest implementation."""
        raise leaves(type(self).__name__, how)

    def decided(self, name: str, axis: Any = None, **kwargs: Any) -> np.ndarray:
        """The indices that a function such as argmax gives, if no honest one gives others."""
        raise no_rule(type(self).__name__, f"np.{name}")

    dtype = property(lambda self: np.dtype(np.float64))

    def item(self) -> float:
        """The one number, as `float` gives it."""
        return float(self)

    def reshape(self, *shape: Any, **kwargs: Any) -> Any:
        """The same elements in another shape."""
        return self.moved(lambda array: array.reshape(*shape, **kwargs))

    def flatten(self) -> Any:
        """The same elements in a row, in an array of their own."""
        return self.moved(lambda array: array.flatten())

    def copy(self, *_: Any, **__: Any) -> Any:
        """The same numbers in arrays of their own."""
        return self.moved(np.array)

    def astype(self, dtype: Any, **_: Any) -> Any:
        """A text is exact, so a wider dtype changes nothing; a narrower one has no meaning."""
        kind = np.dtype(dtype)
        if kind.kind == "f" and kind.itemsize >= 4:
            return self
        if kind.kind == "b":
            return self != 0
        if kind.kind in "iu" and self.value.dtype.kind == "f":
            limits = np.iinfo(kind)
            if np.all((self.value >= limits.min) & (self.value <= limits.max)):
                return np.trunc(self)
        raise no_rule(type(self).__name__, f"x.astype({kind})")

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        name = ufunc.__name__
        if method == "__call__" and not kwargs:
            return self._call(name, *map(self.lift, inputs))
        if method == "at":
            return self._put(ufunc, *inputs)
        target, where = kwargs.pop("out", (None,))[0], None
        if method == "reduce" and name in REDUCTIONS and kwargs.pop("dtype", None) is None:
            kwargs.setdefault("axis", 0)
            result = self._call(REDUCTIONS[name], inputs[0], **kwargs)
        elif method == "accumulate" and name in IN_ORDER:
            result = self._call(IN_ORDER[name], inputs[0], axis=kwargs.get("axis", 0))
        elif method == "outer":
            left = np.reshape(inputs[0], (*np.shape(inputs[0]), *(1 for _ in np.shape(inputs[1]))))
            result = ufunc(left, inputs[1])
        elif method != "__call__" or kwargs.keys() - {"dtype", "where"}:
            raise no_rule(type(self).__name__, f"np.{name}.{method}")
        else:
            where = kwargs.pop("where", None)
            result = self._call(name, *(self.lift(x) for x in inputs))
        return result if target is None and where is None else self._into(target, where, result)

    def _into(self, target: Any, where: Any, result: Any) -> Any:
        """A result put into an array that stands, all of it or where a condition says."""
        if not isinstance(target, Reading):
            raise leaves(type(self).__name__, "adding it into a plain array")
        if where is not None:
            condition = np.broadcast_to(where, target.shape)
            result = self.select(condition, self.lift(result), target)
        target[...] = result
        return target

    def _put(self, ufunc: np.ufunc, target: Any, index: Any, *values: Any) -> None:
        """`np.add.at`: places that are named several times change as often."""
        if not isinstance(target, Reading):
            raise leaves(type(self).__name__, "adding it into a plain array")
        place = np.arange(target.size).reshape(target.shape)[index]
        given = [np.broadcast_to(self.lift(x), place.shape).reshape(-1) for x in values]
        place, flat = place.reshape(-1), target.flatten()
        order = np.argsort(place, kind="stable")
        turn = np.empty(len(place), dtype=int)
        turn[order] = np.arange(len(place)) - np.searchsorted(place[order], place[order])
        for now in range(turn.max(initial=-1) + 1):
            taken = turn == now
            flat[place[taken]] = ufunc(flat[place[taken]], *(x[taken] for x in given))
        target[...] = flat.reshape(target.shape)

    def _call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        rule = self.rules.get(name) or COMPOSED.get(name)
        if rule is None:
            raise no_rule(type(self).__name__, f"np.{name}")
        if not kwargs:
            return rule(*args)
        if kwargs.keys() & {"where", "initial"}:
            return self._of_some(name, *args, **kwargs)
        if kwargs.keys() - {"axis", "keepdims"}:
            known = inspect.signature(rule).parameters.values()
            if not any(p.kind is p.VAR_KEYWORD for p in known):
                strange = kwargs.keys() - {p.name for p in known}
                if strange:
                    raise no_rule(type(self).__name__, f"np.{name} with {', '.join(strange)}")
        return rule(*args, **kwargs)

    def _of_some(self, name: str, x: Any, *args: Any, **kwargs: Any) -> Any:
        """A reduction that leaves some elements out, or starts at a number."""
        where, initial = kwargs.pop("where", None), kwargs.pop("initial", None)
        if where is not None and name == "mean":
            count = np.sum(np.broadcast_to(where, x.shape), *args, **kwargs)
            return np.sum(np.where(where, x, 0.0), *args, **kwargs) / count
        if name not in NOTHING:
            raise no_rule(type(self).__name__, f"np.{name} with where or initial")
        chosen = x if where is None else np.where(where, x, NOTHING[name])
        found = self._call(name, chosen, *args, **kwargs)
        return found if initial is None else JOINED[name.removeprefix("a")](found, initial)

    def __array_function__(self, func: Callable, types: Any, args: tuple, kwargs: dict) -> Any:
        name = func.__name__
        if name in MOVES:
            whole = self.lift(args[0])
            return whole.moved(lambda array: func(array, *args[1:], **kwargs))
        if name in FILLS:
            return self.lift(args[0]).filled(lambda array: func(array, *args[1:], **kwargs))
        if name == "pad":
            return self._pad(*args, **kwargs)
        if name in JOINS:
            parts = [self.lift(x) for x in args[0]]
            return self.join(parts, lambda arrays: func(arrays, *args[1:], **kwargs))
        if name == "append":
            parts = [self.lift(x) for x in args[:2]]
            flat = parts if args[2:] or kwargs else [part.reshape(-1) for part in parts]
            return np.concatenate(flat, *args[2:], **kwargs)
        if name in ("split", "array_split"):
            return self._split(*args, **kwargs)
        if name == "where":
            if len(args) != 3:
                raise no_rule(type(self).__name__, "np.where without values")
            return self.select(args[0], self.lift(args[1]), self.lift(args[2]))
        if name in ("argmax", "argmin", "argsort"):
            return self.decided(name, *args[1:], **kwargs)
        if name in ("shape", "ndim", "size"):
            return func(np.empty(args[0].shape, dtype=bool), *args[1:], **kwargs)
        if name == "linspace":
            return self.rules[name](self.lift(args[0]), self.lift(args[1]), *args[2:], **kwargs)
        dropped = (
            ("dtype", "order", "subok", "like") if name not in COMPOSED else ("order", "subok")
        )
        kwargs = {key: x for key, x in kwargs.items() if key not in dropped}
        return self._call(name, *args, **kwargs)

    def filled(self, move: Callable) -> Any:
        """A move that fills up with zeros."""
        return self.moved(move)

    def _pad(self, whole: Any, width: Any, mode: str = "constant", **kwargs: Any) -> Any:
        """`np.pad`: constants are numbers of their own, other modes only move elements."""
        fill = kwargs.get("constant_values", 0)
        if mode != "constant" or np.ndim(fill):
            if mode in ("constant", "linear_ramp", "maximum", "mean", "median", "minimum"):
                raise no_rule(type(self).__name__, f"np.pad with mode={mode!r}, {kwargs}")
            return whole.moved(lambda array: np.pad(array, width, mode, **kwargs))  # type: ignore[call-overload]
        inside = np.pad(np.ones(whole.shape, dtype=bool), width)
        zeros = whole.filled(lambda array: np.pad(array, width))
        return self.select(inside, zeros, self.lift(fill))

    def _split(self, whole: Any, where: Any, axis: int = 0) -> list[Any]:
        """`np.split`: parts along one axis."""
        along = axis % len(whole.shape)
        parts = np.array_split(np.arange(whole.shape[along]), where)
        return [whole[(slice(None),) * along + (part,)] for part in parts]

    def select(self, condition: Any, a: Any, b: Any) -> Any:
        """`np.where` with a plain condition."""
        if isinstance(condition, Reading):
            raise Doubt(f"{type(self).__name__} cannot decide a condition it carries ({line()})")
        shape = np.broadcast_shapes(np.shape(condition), a.shape, b.shape)
        spread = [x.moved(lambda array: np.broadcast_to(array, shape)) for x in (a, b)]
        condition = np.broadcast_to(condition, shape)
        return self.join(spread, lambda arrays: np.where(condition, *arrays))


def _method_arguments(name: str, args: tuple) -> tuple:
    """What a method such as x.transpose(0, 2, 1) passes to the function."""
    return (args,) if name == "transpose" and args and not isinstance(args[0], tuple) else args


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
        text = carrying(text, lift(0.0).lift)
        return text(**{name: lifted.get(name) for name in inputs})
