"""The axis vocabulary, and the annotations that carry it.

A signature such as `query: Float[Array, "B G*R N E"]` is read three times: by the reader, by the
run-time check of every public function, and by the strategies that draw inputs. The notation:

    B N D        one axis a name; equal names have equal sizes
    3*H*E        a product: its size is the product, one unknown factor is solved for
    N+1          a number more
    ...          any number of axes, the same ones wherever the dots appear
    1 2          a fixed size
    broadcastable B H N M    any shape that NumPy broadcasts to these axes
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

AXES = {
    "B": "batch",
    "C": "channels of a normalised feature map within a group",
    "D": "width of a token, a feature vector or a layer's input",
    "E": "head width of queries and keys",
    "F": "head width of values",
    "G": "groups: key and value heads, or groups of channels",
    "H": "heads",
    "K": "classes, or kept timesteps",
    "M": "keys",
    "N": "queries or tokens",
    "O": "width of a layer's output",
    "P": "patch side",
    "Q": "documents that are scored",
    "R": "query heads that share one key head",
    "S": "sections of a respaced schedule",
    "T": "diffusion steps",
    "V": "words of a vocabulary",
    "channels": "image channels",
    "rows": "patch rows of an image",
    "cols": "patch columns of an image",
    "cuts": "cutouts of each image",
    "height": "image rows",
    "levels": "noise levels of a sampler",
    "side": "rows, and columns, of a pooled cutout",
    "tall": "rows of an image that was resized or cropped",
    "texts": "texts of a batch, at least one",
    "wide": "columns of an image that was resized or cropped",
    "width": "image columns",
}


class AxesError(ValueError):
    """An argument's shape, dtype or range is not what the operation's signature says."""


@dataclass(frozen=True)
class Kind:
    """What the numbers of an argument mean: how they are checked, stored and drawn.

    `draw(source, shape)` gives numbers from a source of random ones; a kind without it is drawn as
    its name says in `refimpl.oracle.cases.drawn`, or else as any real numbers.
    """

    name: str
    says: str
    low: float = -math.inf
    high: float = math.inf
    integer: bool = False
    open_low: bool = False
    open_high: bool = False
    table: bool = False  # never stored in a half format
    draw: Callable[[Any, tuple[int, ...]], Any] | None = None

    def __getitem__(self, params: tuple) -> Spec:
        of, axes, *limit = params
        return Spec(self, of is not Array, axes, limit[0] if limit else None)


@dataclass(frozen=True)
class Spec:
    """One annotation: a kind of number, scalar or array, and its axes."""

    kind: Kind
    scalar: bool
    axes: str
    limit: str | None = None
    optional: bool = False

    def __or__(self, other: None) -> Spec:
        return replace(self, optional=True)

    @property
    def broadcastable(self) -> bool:
        """Whether any shape that broadcasts to these axes will do."""
        return self.axes.startswith("broadcastable ")

    @property
    def dims(self) -> list[str]:
        """The dimensions, a token each."""
        return self.axes.removeprefix("broadcastable ").split()

    def names(self) -> list[str]:
        """The axis names in order of appearance, the limiting axis included."""
        text = f"{self.axes.removeprefix('broadcastable ')} {self.limit or ''}"
        return list(dict.fromkeys(re.findall(r"[A-Za-z]+", text)))


if TYPE_CHECKING:
    from typing import Annotated as AlphaBar
    from typing import Annotated as Base
    from typing import Annotated as Betas
    from typing import Annotated as Bias
    from typing import Annotated as Count
    from typing import Annotated as Deviation
    from typing import Annotated as Epsilon
    from typing import Annotated as Fixed
    from typing import Annotated as Float
    from typing import Annotated as Fraction
    from typing import Annotated as Gain
    from typing import Annotated as Index
    from typing import Annotated as Kept
    from typing import Annotated as Label
    from typing import Annotated as Level
    from typing import Annotated as Limit
    from typing import Annotated as LogScale
    from typing import Annotated as LogVariance
    from typing import Annotated as Mask
    from typing import Annotated as Positive
    from typing import Annotated as Previous
    from typing import Annotated as Scale
    from typing import Annotated as Size
    from typing import Annotated as Time
    from typing import Annotated as Total
    from typing import Annotated as Uniform
    from typing import Annotated as Variance

    Array = Any
else:

    class Array:
        """Anything NumPy reads as an array."""

    Float = Kind("Float", "real numbers")
    Fixed = Kind("Fixed", "real numbers that a gradient takes as given")
    Bias = Kind("Bias", "an additive mask: finite, or -inf where nothing may be seen")
    Epsilon = Kind("Epsilon", "a small guard", low=0, table=True)
    Fraction = Kind("Fraction", "a number in [0, 1]", low=0, high=1)
    LogScale = Kind("LogScale", "a natural logarithm of a scale")
    LogVariance = Kind("LogVariance", "natural logarithms of variances")
    Scale = Kind("Scale", "a guidance scale")
    Variance = Kind("Variance", "variances", low=0)
    Deviation = Kind("Deviation", "positive standard deviations", low=0, open_low=True)
    Betas = Kind("Betas", "noise variances in (0, 1]", low=0, high=1, open_low=True, table=True)
    AlphaBar = Kind("AlphaBar", "signal shares in [0, 1]", low=0, high=1, table=True)
    Base = Kind("Base", "a base above one", low=1, open_low=True)
    Limit = Kind("Limit", "a positive limit, inf for none", low=0, open_low=True)
    Level = Kind("Level", "a noise level, zero or more", low=0)
    Positive = Kind("Positive", "numbers above zero", low=0, open_low=True)
    Time = Kind("Time", "diffusion times, zero-based", low=0, table=True)
    Index = Kind("Index", "zero-based indices below the named axis", low=0, integer=True)
    Previous = Kind("Previous", "an earlier index, -1 before the first", low=-1, integer=True)
    Count = Kind("Count", "a number from 0 to the size of the named axis", low=0, integer=True)
    Size = Kind("Size", "the size of the named axis", low=0, integer=True)
    Gain = Kind("Gain", "numbers that are not negative", low=0)
    Total = Kind("Total", "whole numbers that are not negative", low=0, integer=True)
    Uniform = Kind("Uniform", "numbers in [0, 1)", low=0, high=1, open_high=True)
    Mask = Kind("Mask", "1 where it counts, 0 where not", low=0, high=1, integer=True)
    Label = Kind("Label", "integer labels", integer=True)
    Kept = Kind("Kept", "strictly increasing indices below the named axis", low=0, integer=True)

Given = Spec(Kind("Given", "anything, as it is"), False, "...")  # an argument without axes


def factors(dim: str) -> tuple[int, list[str]]:
    """Split a product such as `3*H*E` into its number and its names.

    >>> factors("3*H*E")
    (3, ['H', 'E'])
    """
    number, names = 1, []
    for part in dim.partition("+")[0].split("*"):
        if part.isdigit():
            number *= int(part)
        else:
            names.append(part)
    return number, names


def size_of(dim: str, sizes: dict[str, int]) -> int:
    """The size of one dimension of a shape, such as `3*H*E`, under known axis sizes.

    >>> size_of("3*H*E", {"H": 2, "E": 4}), size_of("N+1", {"N": 5})
    (24, 6)
    """
    number, names = factors(dim)
    return number * math.prod(sizes[name] for name in names) + addend(dim)


def addend(dim: str) -> int:
    """The number added to a product, as in `N+1`.

    >>> addend("N+1")
    1
    """
    return int(dim.partition("+")[2] or 0)


def shape_of(spec: Spec, sizes: dict[str, int], rest: tuple[int, ...] = ()) -> tuple[int, ...]:
    """The shape an annotation stands for; `rest` is what the dots mean."""
    shape: list[int] = []
    for dim in spec.dims:
        shape.extend(rest if dim == "..." else (size_of(dim, sizes),))
    return tuple(shape)


def bind(op: str, specs: dict[str, Spec], arguments: dict[str, Any]) -> dict[str, int]:
    """Solve for the size of every axis, or raise `AxesError` naming the first contradiction.

    `arguments` holds arrays and scalars that `convert` has read. The dots' axes are stored under
    "...0", "...1" and so on, their number under "...".
    """
    sizes: dict[str, int] = {}
    origin: dict[str, str] = {}
    pending: list[tuple[str, str, int]] = []

    def settle(name: str, dim: str, found: int) -> bool:
        number, names = factors(dim)
        unknown = [n for n in names if n not in sizes]
        known = number * math.prod(sizes[n] for n in names if n in sizes)
        if not unknown:
            if known + addend(dim) != found:
                _contradiction(op, name, dim, found, known + addend(dim), origin)
            return True
        found -= addend(dim)
        if len(unknown) > 1 or len(set(unknown)) < len(unknown):
            return False
        if (known == 0 or found % known) and (number > 1 or len(names) > 1):
            raise AxesError(
                f"{op}: {name} has {dim}={found}, expected a multiple of "
                f"{dim.replace('*' + unknown[0], '').replace(unknown[0] + '*', '')}={known}"
            )
        sizes[unknown[0]] = found // known if known else 0
        origin.setdefault(unknown[0], name)
        return True

    for name, spec in specs.items():
        value = arguments[name]
        if value is None:
            continue
        if spec.scalar:
            if spec.kind.name == "Size":
                pending.insert(0, (name, spec.axes, int(value)))
            continue
        if not spec.broadcastable and spec is not Given:
            pending.extend((name, *pair) for pair in _pair(op, name, spec, value.shape, sizes))
    while pending:
        left = [entry for entry in pending if not settle(*entry)]
        if len(left) == len(pending):
            break
        pending = left
    for name, spec in specs.items():
        if spec.broadcastable and arguments[name] is not None:
            _check_broadcast(op, name, spec, arguments[name].shape, sizes)
    return sizes


def _pair(op: str, name: str, spec: Spec, shape: tuple[int, ...], sizes: dict[str, int]) -> list:
    """Pair the dimensions of a shape with the tokens of its annotation."""
    dims = spec.dims
    if "..." in dims:
        at = dims.index("...")
        rest = len(shape) - (len(dims) - 1)
        if rest < 0 or sizes.setdefault("...", rest) != rest:
            _wrong_rank(op, name, spec, shape)
        dims = dims[:at] + [f"...{i}" for i in range(rest)] + dims[at + 1 :]
    if len(dims) != len(shape):
        _wrong_rank(op, name, spec, shape)
    return list(zip(dims, shape, strict=True))


def _wrong_rank(op: str, name: str, spec: Spec, shape: tuple[int, ...]) -> None:
    raise AxesError(f"{op}: {name} has shape {shape}, expected axes ({spec.axes})")


def _contradiction(
    op: str, name: str, dim: str, found: int, known: int, origin: dict[str, str]
) -> None:
    others = [origin[n] for n in factors(dim)[1] if origin.get(n, name) != name]
    who = f"{others[0]} has" if others else "expected"
    raise AxesError(f"{op}: {name} has {dim}={found}, {who} {dim}={known}")


def _check_broadcast(
    op: str, name: str, spec: Spec, shape: tuple[int, ...], sizes: dict[str, int]
) -> None:
    rest = tuple(sizes[f"...{i}"] for i in range(sizes.get("...", 0)))
    full = shape_of(spec, sizes, rest)
    fits = len(shape) <= len(full) and all(
        found in (1, want) for found, want in zip(shape[::-1], full[::-1], strict=False)
    )
    if not fits:
        axes = " ".join(spec.dims)
        raise AxesError(
            f"{op}: {name} has shape {shape}, expected a shape that broadcasts to ({axes})={full}"
        )


def convert(op: str, name: str, spec: Spec, value: Any, keep_dtype: bool = False) -> Any:
    """Read one argument as float64 (or integer) array or scalar and check its range."""
    if spec is Given:
        return _as_given(value, keep_dtype)
    if value is None:
        if spec.optional:
            return None
        raise AxesError(f"{op}: {name} is None, expected axes ({spec.axes})")
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise AxesError(f"{op}: {name} cannot be read as an array: {error}") from None
    kind = spec.kind
    if kind.integer:
        if array.dtype.kind not in ("iub" if kind.name == "Mask" else "iu"):
            raise AxesError(f"{op}: {name} has dtype {array.dtype}, expected integers")
    elif array.dtype.kind not in "iufbV" or (array.dtype.kind == "V" and array.dtype.fields):
        raise AxesError(f"{op}: {name} has dtype {array.dtype}, expected real numbers")
    if not keep_dtype or array.dtype.kind not in "f":
        try:
            array = array.astype(np.int64 if kind.integer else np.float64)
        except (TypeError, ValueError):  # bytes without a meaning
            raise AxesError(
                f"{op}: {name} has dtype {array.dtype}, expected real numbers"
            ) from None
    if spec.scalar and array.ndim:
        raise AxesError(f"{op}: {name} has shape {array.shape}, expected a single number")
    if array.size and kind.low > -math.inf:  # numbers without a limit are not read through
        low = array.min()
        if not low >= kind.low or (kind.open_low and low <= kind.low):
            raise AxesError(f"{op}: {name} has {low}, expected {kind.says}")
    if array.size and kind.high < math.inf:
        high = array.max()
        if not high <= kind.high or (kind.open_high and high >= kind.high):
            raise AxesError(f"{op}: {name} has {high}, expected {kind.says}")
    if not spec.scalar:
        return array
    return int(array) if kind.integer else float(array)


def _as_given(value: Any, keep_dtype: bool) -> Any:
    """An argument without axes: arrays of numbers as float64, int64 or truth values."""
    if not isinstance(value, (np.ndarray, list)) and not hasattr(value, "__array__"):
        return value
    array = np.asarray(value)
    if array.dtype.kind not in "fiuVb" or (array.dtype.kind == "f" and keep_dtype):
        return array
    return array.astype({"b": bool, "i": np.int64, "u": np.int64}.get(array.dtype.kind, np.float64))


def check_limits(op: str, specs: dict[str, Spec], arguments: dict, sizes: dict[str, int]) -> None:
    """Check the kinds whose range depends on an axis: indices, counts, parts, kept timesteps."""
    for name, spec in specs.items():
        value = arguments[name]
        if spec.limit is None or value is None or not np.size(value):
            continue
        size = sizes[spec.limit]
        high = int(np.max(value))
        if high > (size if spec.kind.name in ("Count", "Size") else size - 1):
            raise AxesError(f"{op}: {name} has {high}, but {spec.limit}={size}")
        if spec.kind.name == "Kept" and np.any(np.diff(value) <= 0):
            raise AxesError(f"{op}: {name} is not strictly increasing")
        if spec.kind.name == "Previous":
            _check_earlier(op, name, specs, arguments)


def _check_earlier(op: str, name: str, specs: dict[str, Spec], arguments: dict) -> None:
    """Check that an earlier index is not later than the index of the same axis."""
    for other, spec in specs.items():
        if spec.kind.name == "Index" and spec.limit == specs[name].limit:
            earlier, later = np.broadcast_arrays(arguments[name], arguments[other])
            if np.any(earlier > later):
                at = int(np.argmax(earlier > later))
                raise AxesError(
                    f"{op}: {name}[{at}] is {earlier.flat[at]}, later than {other}[{at}]="
                    f"{later.flat[at]}; {name} must be earlier"
                )
