"""Error-carrying arrays: how far an honest implementation may land from the exact result.

An `ErrorArray` holds a value and, for each element, a bound on the distance between that value and
whatever an honest implementation in a given precision computes in its place. The unchanged
textbook function runs on such arrays through NumPy's dispatch protocols; each rule below adds what
one elementary operation may cost. Second-order terms are kept: the result is a bound, not an
estimate.

The rules stand in `refimpl.oracle.numbers.rules`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from refimpl.oracle.numbers.places import Doubt, leaves, line, no_rule
from refimpl.oracle.numbers.precisions import PRECISIONS, Precision
from refimpl.oracle.numbers.reading import Reading, run

WHOLE = 2**53  # up to which every whole number is one of float64's
SLACK = 1 + 2.0**-20  # the bounds themselves are computed in float64


class ErrorArray(Reading):
    """A value, and a bound on its distance from what an honest implementation computes.

    `terms` and `count` remember the magnitude and the number of the terms of the sum that this
    value is; `exponential` that it is an exponential, `known` that it is a constant; `floor` a
    limit that no honest result falls below, `logistic` that it is one plus an exponential;
    `products` that it is a sum of so many products, or 1 that it is such a sum times something;
    `scaled` that it is a quotient by a plain number; `cut` the terms of a sum that is cut off at
    one end, and where; `token` and `mirror` name this array and its negative, and `ranked` says
    which of the numbers of such an array a sort found here; `made` says from which array this one
    came, and how.
    """

    carried = ("value", "error")
    terms: Any = None
    count: Any = 1
    exponential = False
    known = False
    floor: Any = None
    logistic = False
    products = 0
    scaled = False
    cut: Any = None
    made: Any = None
    token: Any = None
    mirror: Any = None
    ranked: Any = None

    def __init__(self, value: Any, error: Any, precision: Precision, **tags: Any) -> None:
        self.value = np.asarray(value, dtype=np.float64)
        self.error = np.asarray(error, dtype=np.float64)
        self.precision = precision
        if tags:
            vars(self).update(tags)

    def __repr__(self) -> str:
        return f"ErrorArray({self.value!r}, ±{self.error!r}, {self.precision.name})"

    def moved(self, move: Callable) -> ErrorArray:
        error = spread(self.error, self.value.shape)
        return ErrorArray(move(self.value), move(error), self.precision, **self._tags(move))

    def filled(self, move: Callable) -> ErrorArray:
        """A move that fills up with zeros, which no limit holds back."""
        result = self.moved(move)
        result.floor = result.ranked = None
        return result

    def _tags(self, move: Callable) -> dict[str, Any]:
        """What is remembered of the sums that moved elements are."""
        tags = {"count": self.count, "exponential": self.exponential}
        tags |= {"logistic": self.logistic, "products": self.products}
        for name in ("terms", "floor"):
            limit = getattr(self, name)
            if limit is not None:
                tags[name] = move(spread(limit, self.value.shape))
        if self.ranked is not None:
            tags["ranked"] = self.ranked.moved(move)
        return tags

    def join(self, parts: list, join: Callable) -> ErrorArray:
        errors = [spread(part.error, part.shape) for part in parts]
        tags: dict[str, Any] = {
            "count": max(part.count for part in parts),
            "products": max(part.products for part in parts),
            "exponential": any(part.exponential for part in parts),
            "logistic": any(part.logistic for part in parts),
        }
        if any(part.terms is not None for part in parts):
            sums = [spread(_magnitude(part), part.shape) for part in parts]
            tags["terms"] = join(sums)
        return ErrorArray(
            join([part.value for part in parts]), join(errors), self.precision, **tags
        )

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, Reading) and index.error.any() and hasattr(index, "taken"):
            return index.taken(self)
        if isinstance(index, Reading):
            index = index.plain_index()
        if isinstance(index, tuple):
            index = tuple(i.plain_index() if isinstance(i, Reading) else i for i in index)
        if not self.error.flags.writeable or self.error.shape != self.value.shape:
            self.error = np.array(np.broadcast_to(self.error, self.value.shape))
        return super().__getitem__(index)

    def write(self, index: Any, other: ErrorArray) -> None:
        """Put elements in place; a doubtful condition leaves either the old or the new ones."""
        if isinstance(index, ErrorArray):
            if index.error.any():
                other = self.select(index, other, self)
                index = Ellipsis
            else:
                index = index.plain_index()
        if not self.error.flags.writeable or self.error.shape != self.value.shape:
            self.error = np.array(np.broadcast_to(self.error, self.value.shape))
        sums = None
        if self.terms is not None or other.terms is not None:
            sums = np.array(np.broadcast_to(_magnitude(self), self.value.shape))
            sums[index] = _magnitude(other)
        self.value[index], self.error[index] = other.value, other.error
        self.terms, self.cut, self.floor, self.known = sums, None, None, False
        self.token = self.mirror = self.ranked = self.made = None
        self.count, self.products = max(self.count, other.count), max(self.products, other.products)
        self.exponential = self.exponential or other.exponential
        self.logistic = self.logistic or other.logistic

    def plain_index(self) -> Any:
        """An index that was computed: whole numbers or truth values that are certain."""
        if self.error.any() or not np.all(np.isin(self.value, (0, 1))):
            raise Doubt(f"an index depends on computed numbers ({line()})")
        return self.value != 0

    def plain(self, how: str) -> Any:
        if how == "float":
            raise leaves("ErrorArray", "float(), after which nothing would count; keep the array")
        if self.error.any():
            raise Doubt(
                f"{how} depends on a computed number, which is not the same everywhere ({line()}); "
                "write np.where(condition, a, b), or keep the array"
            )
        return self.value.item()

    def decided(self, name: str, axis: Any = None, **kwargs: Any) -> Any:
        from refimpl.oracle.numbers.choices import decided

        axis = -1 if name == "argsort" and axis is None else axis
        found = decided(self, name, axis, kwargs.get("kind") == "stable")
        kept = kwargs.get("keepdims") and axis is not None and name != "argsort"
        return np.expand_dims(found, axis) if kept else found

    def select(self, condition: Any, a: Any, b: Any) -> Any:
        from refimpl.oracle.numbers.wholes import of_some
        from refimpl.oracle.numbers.written import Truth, _chosen

        if isinstance(condition, Truth):
            return _chosen(condition, a, b)
        if isinstance(condition, Reading):
            return super().select(condition, a, b)
        return of_some(condition, a, self.join([a, b], lambda arrays: np.where(condition, *arrays)))

    def lift(self, x: Any) -> ErrorArray:
        return x if isinstance(x, ErrorArray) else lift(x, self.precision)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        p = self.precision
        if method == "__call__" and not kwargs:
            lifted = [x if isinstance(x, ErrorArray) else lift(x, p) for x in inputs]
            for x in lifted:
                if x.precision is not p:
                    break
            else:
                return self._call(ufunc.__name__, *lifted)
        held = [x.precision for x in inputs if isinstance(x, ErrorArray)]
        if held.count(held[0]) < len(held):  # tables may be held in less than the rest
            finest = min(held, key=lambda p: p.unit)
            inputs = tuple(x.held_in(finest) if isinstance(x, ErrorArray) else x for x in inputs)
            return super(ErrorArray, self.held_in(finest)).__array_ufunc__(
                ufunc, method, *inputs, **kwargs
            )
        return super().__array_ufunc__(ufunc, method, *inputs, **kwargs)

    def __array_function__(self, func: Callable, types: Any, args: tuple, kwargs: dict) -> Any:
        if func in (np.take, np.take_along_axis) and isinstance(args[1], ErrorArray):
            return self.lift(args[0]).at(args[1], func, *args[2:], **kwargs)
        return super().__array_function__(func, types, args, kwargs)

    def at(self, index: Any, func: Callable, axis: Any = None) -> Any:
        """The elements at indices that were computed, which may be in doubt."""
        if not index.error.any() or not hasattr(index, "taken"):
            return func(self, index.plain_index(), axis)
        if func is np.take_along_axis and axis is not None:
            return index.taken_along(self, axis)
        return index.taken(self) if axis == 0 or self.ndim == 1 else index.plain_index()

    def finished(self) -> ErrorArray:
        """An output: what is remembered of its sums is of no use any more."""
        return ErrorArray(self.value, self.error * SLACK, self.precision)

    def held_in(self, precision: Precision) -> ErrorArray:
        """The same numbers among those of another precision."""
        tags = {"terms": self.terms, "count": self.count, "floor": self.floor}
        tags |= {"exponential": self.exponential, "known": self.known, "logistic": self.logistic}
        return ErrorArray(self.value, self.error, precision, **tags)

    def lift_constant(self, number: float) -> ErrorArray:
        """A number known exactly, which functions may turn into a correctly rounded constant."""
        return ErrorArray(float(number), 0.0, self.precision, known=True)


def every(truths: np.ndarray) -> bool:
    """Whether all of them hold; as a string of bytes they are looked through soonest."""
    return 0 not in truths.tobytes()


def some(truths: np.ndarray) -> bool:
    """Whether one of them holds."""
    return 1 in truths.tobytes()


def spread(x: Any, shape: tuple[int, ...]) -> np.ndarray:
    """An array as one of a larger shape, read only; `np.broadcast_to` where there is no other way.

    >>> spread(np.ones(2), (2,)).flags.writeable
    False
    """
    array = x if type(x) is np.ndarray else np.asarray(x)
    if array.shape == shape:
        view = array.view()
    elif not array.ndim:  # a single number, which broadcast_to takes four times as long for
        view = np.ndarray(shape, array.dtype, array, strides=(0,) * len(shape))
    else:
        return np.broadcast_to(array, shape)
    view.setflags(write=False)
    return view


def within(value: np.ndarray, error: np.ndarray, p: Precision) -> tuple[bool, np.ndarray]:
    """Whether all of it is between the ends of a format, as it nearly always is, and the error."""
    size = np.abs(value)
    _, least, most = p.ends
    small, fits = size - error < least, size + error <= most
    if every(fits) and not some(small):
        return True, spread(error, value.shape)
    error = np.where(small & ((error > 0) | (value != 0)), error + p.smallest, error)
    if every(fits) and every(size + error <= most):  # zeros, and what may be flushed
        return False, error
    error = np.where(np.isnan(error) | (size + error > p.largest), np.inf, error)
    return False, np.where(np.isfinite(value), error, 0.0)


@lru_cache(maxsize=4096)
def _lifted_number(number: float, precision: Precision) -> float:
    """The error of one number of a text, which is asked for in every case again."""
    return float(_lifted(np.float64(number), precision).error)


def lift(x: Any, precision: Precision) -> ErrorArray:
    """Read a number or plain array: exact if the precision can hold it, else rounded once."""
    if type(x) is int and abs(x) <= WHOLE:
        return ErrorArray(x, 0.0, precision)
    if type(x) is float:
        return ErrorArray(x, _lifted_number(x, precision), precision)
    return _lifted(x, precision)


def _lifted(x: Any, precision: Precision) -> ErrorArray:
    value = np.asarray(x)
    integer = value.dtype.kind in "biu"
    if value.dtype.kind == "c":
        raise no_rule("ErrorArray", "complex numbers")
    value = value.astype(np.float64)
    if integer:
        return ErrorArray(value, np.zeros_like(value), precision)
    with np.errstate(invalid="ignore"):
        flushed = np.abs(value) < precision.ends[1]
        if precision.bits == 53 and not some(flushed):  # as these numbers are
            return ErrorArray(value, np.zeros(value.shape), precision)
        held = (precision.round(value) == value) | ~np.isfinite(value)
        if every(held) and not some(flushed & (value != 0)):
            return ErrorArray(value, np.zeros(value.shape), precision)
        error = np.where(held, 0.0, precision.unit * np.abs(value))
        return ErrorArray(value, np.where(flushed, np.abs(value), error), precision)


def exact(x: Any, precision: Precision) -> ErrorArray:
    """Read an input array whose elements the storage format holds."""
    value = np.asarray(x, dtype=np.float64)
    return ErrorArray(value, np.zeros_like(value), precision)


def bounded(text: Callable, inputs: dict[str, Any], precision: str | Precision) -> list[ErrorArray]:
    """Run a text and return value and error bound of each of its outputs.

    Numbers that the precision cannot hold (scalars, and the tables of a schedule among half
    formats) are rounded once on entry.
    """
    p = PRECISIONS[precision] if isinstance(precision, str) else precision
    result = run(text, lambda x: lift(x, p), inputs)
    outputs = result if isinstance(result, tuple) else (result,)
    lifted = [y if isinstance(y, ErrorArray) else exact(y, p) for y in outputs]
    return [y.finished() for y in lifted]


def _magnitude(x: ErrorArray) -> np.ndarray:
    return np.abs(x.value) + x.error if x.terms is None else x.terms


import refimpl.oracle.numbers.rules  # noqa: E402, F401  what each elementary operation costs
