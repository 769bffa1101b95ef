"""Inputs for an operation, read from its annotations.

One drawing procedure serves two sources: a NumPy generator (`verify`, thousands of cases a second)
and Hypothesis (shrinking). Axes get pairwise different sizes unless a case says otherwise, values
are drawn as their kinds say, and arrays arrive in any memory layout.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from refimpl.axes import Given, Spec, Wanted
from refimpl.axes.drawing import FAMILIES, FAMILIES_WITHOUT_ZEROS, Source
from refimpl.axes.names import axis
from refimpl.axes.shapes import shape_of
from refimpl.op import Op
from refimpl.oracle.numbers.precisions import PRECISIONS, Precision

LAYOUTS = ("C", "F", "reversed", "strided")
WIDE = (40, 300)  # sizes of long axes in some random cases
WIDE_WITH_HEADS = (20, 60)  # beside an axis of heads, where arrays are larger


class Anywhere:
    """The domain of most targets: whatever is drawn."""

    def fit(self, sizes: dict[str, int]) -> dict[str, int]:
        return sizes

    def absent(self, name: str, source: Source) -> bool:
        return source.absent()

    def narrowed(self, shape: tuple[int, ...], source: Source) -> tuple[int, ...]:
        return source.narrowed(shape)

    def layout(self, drawn: str) -> str:
        return drawn


ANYWHERE = Anywhere()


class RandomSource(Source):
    """Numbers from a NumPy generator."""

    def __init__(self, seed: Any, plain: bool = False) -> None:
        self.rng = np.random.default_rng(seed)
        self.plain = plain

    def integer(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high, endpoint=True))

    def choice(self, options: Sequence) -> Any:
        return options[self.integer(0, len(options) - 1)]

    def normal(self, shape: tuple[int, ...]) -> np.ndarray:
        return self.rng.standard_normal(shape)

    def uniform(self, shape: tuple[int, ...], low: float, high: float) -> np.ndarray:
        return self.rng.uniform(low, high, shape)


class HypothesisSource(Source):
    """Numbers drawn by Hypothesis, which shrinks them."""

    def __init__(self, draw: Callable) -> None:
        self.draw = draw

    def integer(self, low: int, high: int) -> int:
        """An integer from low to high, both included."""
        from hypothesis import strategies as st

        return self.draw(st.integers(low, high))

    def choice(self, options: Sequence) -> Any:
        """One of several."""
        return options[self.integer(0, len(options) - 1)]

    def normal(self, shape: tuple[int, ...]) -> np.ndarray:
        """Numbers of moderate size, in eighths, zero the simplest."""
        from hypothesis import strategies as st
        from hypothesis.extra.numpy import arrays

        return self.draw(arrays(np.float64, shape, elements=st.integers(-32, 32))) / 8

    def uniform(self, shape: tuple[int, ...], low: float, high: float) -> np.ndarray:
        """Numbers between two limits, in 1/1024 of their distance."""
        from hypothesis import strategies as st
        from hypothesis.extra.numpy import arrays

        steps = self.draw(arrays(np.float64, shape, elements=st.integers(0, 1023)))
        return low + (high - low) * steps / 1024


@dataclass(frozen=True)
class Case:
    """One input of an operation: float64 numbers that the precision's storage holds exactly."""

    op: str
    precision: str
    key: str
    says: str
    inputs: dict[str, Any]
    layout: str = "C"

    @property
    def id(self) -> str:
        return f"{self.op}/{self.precision}/{self.key}"

    @property
    def nbytes(self) -> int:
        """The bytes of its arrays."""
        return sum(x.nbytes for x in self.inputs.values() if isinstance(x, np.ndarray))

    def typed(self, op: Op) -> dict[str, Any]:
        """The inputs as a target receives them: storage dtype, memory layout, read-only."""
        return {
            name: typed(value, op.specs[name], self.precision, self.layout)
            for name, value in self.inputs.items()
        }


def typed(value: Any, spec: Spec, precision: str, layout: str = "C") -> Any:
    """One argument as a target receives it."""
    if value is None or spec.scalar or (spec is Given and not isinstance(value, np.ndarray)):
        return value
    array = np.asarray(value)
    if holds_reals(spec, array):
        array = array.astype(stored_as(spec, PRECISIONS[precision]).dtype())
    array = lay(array, layout)
    array.flags.writeable = False
    return array


def lay(array: np.ndarray, layout: str) -> np.ndarray:
    """A copy of an array in another memory layout.

    >>> lay(np.arange(3), "reversed").strides
    (-8,)
    """
    if layout == "F":
        return np.array(array, order="F")
    if layout == "reversed" and array.ndim:
        every = (slice(None, None, -1),) * array.ndim
        return np.array(array[every], order="C")[every]
    if layout == "strided" and array.ndim:
        return np.repeat(array, 2, axis=-1)[..., ::2]
    return np.array(array, order="C")


def holds_reals(spec: Spec, value: Any) -> bool:
    """Whether an argument is an array of real numbers, which a precision stores."""
    if spec is Given:
        return isinstance(value, np.ndarray) and value.dtype.kind == "f"
    return value is not None and not spec.scalar and not spec.kind.integer


def stored_as(spec: Spec, precision: Precision) -> Precision:
    """The precision an argument is stored in: tables of a schedule are float32 at least."""
    if precision.storage in ("bfloat16", "float16") and spec.kind.table:
        return PRECISIONS["float32"]
    return precision


def rounded(op: Op, inputs: dict[str, Any], precision: str) -> dict[str, Any]:
    """Round arrays to what the storage format holds; scalars and integers stay."""
    result = {}
    for name, value in inputs.items():
        spec = op.specs[name]
        if holds_reals(spec, value):
            value = stored_as(spec, PRECISIONS[precision]).round(value)
        result[name] = value
    return result


def generate(op: Op, precision: str, count: int, seed: int = 0) -> Iterator[Case]:
    """The probes of an operation, then `count` random cases."""
    for i, probe in enumerate(op.probes):
        inputs = op.read(**probe.inputs())
        yield Case(op.name, precision, f"probe{i}", probe.says, rounded(op, inputs, precision))
    for i in range(count):
        yield random_case(op, precision, seed, i)


def random_case(op: Op, precision: str, seed: int, i: int) -> Case:
    """The i-th random case: the same on every machine for one version of NumPy.

    Half of them are plain: as many key heads as heads, a batch that is not empty, no zero vector,
    no row that sees nothing. Their numbers have an even count of binary ones, so that they fall
    on all layouts and on every sixteenth, wide case alike.
    """
    source = RandomSource([seed, i, *op.name.encode()], plain=i.bit_count() % 2 == 0)
    inputs = draw(op, source, wide=i % 16 == 15)
    layout = (op.domain or ANYWHERE).layout(LAYOUTS[(i // 2) % 4] if i % 2 else "C")
    return Case(op.name, precision, f"{seed}-{i}", "random", rounded(op, inputs, precision), layout)


class PlainSource(RandomSource):
    """Independent numbers of one family: what statistics of rounding errors are taken on."""

    def __init__(self, seed: Any, positive: bool) -> None:
        super().__init__(seed)
        self.positive = positive

    def choice(self, options: Sequence) -> Any:
        return (
            "normal" if options in (FAMILIES, FAMILIES_WITHOUT_ZEROS) else super().choice(options)
        )

    def normal(self, shape: tuple[int, ...]) -> np.ndarray:
        x = super().normal(shape)
        return np.abs(x) if self.positive else x


def long_size(name: str, names: Sequence[str]) -> int:
    """How long an axis is in cases with long sums, beside others; 0 if no sum depends on it.

    >>> long_size("E", ["E"]), long_size("E", ["E", "H"]), long_size("K", ["K", "T"])
    (512, 192, 7)
    """
    record = axis(name)
    if record.within in names:
        return record.long_within
    with_heads = any(axis(other).heads for other in names)
    return record.long_with_heads if with_heads and record.long_with_heads else record.long


def long_case(op: Op, precision: str, seed: int, i: int) -> Case:
    """The i-th case with long sums, of independent numbers: positive ones where i is odd."""
    source = PlainSource([seed, i, *op.name.encode()], positive=i % 2 == 1)
    names = list(dict.fromkeys(n for spec in op.specs.values() for n in spec.names()))
    sizes = {name: long_size(name, names) or 2 + place % 3 for place, name in enumerate(names)}
    inputs = draw_all(op, source, sizes, (5, 6))
    key = f"long{seed}-{i}"
    return Case(op.name, precision, key, "long sums", rounded(op, inputs, precision))


def draw(op: Op, source: Source, wide: bool = False) -> dict[str, Any]:
    """Draw the sizes of all axes, then all arguments of an operation."""
    given = op.drawn(source)
    if given is not None:
        return given
    return draw_all(op, source, *draw_sizes(op, source, wide))


def draw_all(
    op: Op, source: Source, sizes: dict[str, int], rest: tuple[int, ...]
) -> dict[str, Any]:
    """Draw all arguments for given sizes of the axes; `rest` is what the dots mean."""
    inputs: dict[str, Any] = {}
    domain = op.domain or ANYWHERE
    sizes = domain.fit(sizes)
    known = sizes | {"...": math.prod(rest)}  # and whole numbers drawn so far, for what follows
    for name, spec in op.specs.items():
        if name in op.values:
            inputs[name] = op.values[name](source, known)
        elif spec.optional and domain.absent(name, source):
            inputs[name] = None
        else:
            inputs[name] = draw_value(spec, source, sizes, rest, inputs, domain)
        if spec.scalar and spec.kind.integer:
            known[name] = inputs[name]
    return op.read(**inputs)


def draw_sizes(op: Op, source: Source, wide: bool) -> tuple[dict[str, int], tuple[int, ...]]:
    """Sizes of all axes: small, pairwise different, sometimes one, sometimes an empty batch."""
    names = list(dict.fromkeys(n for spec in op.specs.values() for n in spec.names()))
    turn = source.integer(0, 19)  # some inputs are of a rare kind
    with_heads = any(axis(name).heads for name in names)
    sizes: dict[str, int] = {}
    for name in names:
        record = axis(name)
        low, high = record.low, record.high
        if record.rare and turn == 3:
            low = high = record.rare
        if wide and record.wide:
            low, high = WIDE_WITH_HEADS if with_heads else WIDE
        free = [n for n in range(low, high + 1) if n not in sizes.values()]
        sizes[name] = source.choice(free) if free and turn != 2 else source.integer(low, high)
    sizes |= {name: 1 for name in names if source.plain and axis(name).usually_one}
    sizes |= {n: 0 for n in names if turn == 0 and axis(n).sometimes_empty and not source.plain}
    sizes |= {name: 1 for name in names if turn == 1 and axis(name).sometimes_one}
    for part, whole in bounded_axes(op, names):
        sizes[part] = min(sizes[part], sizes[whole])
    taken = set(sizes.values())
    rest = [n for n in (2, 3, 4, 5, 6, 7, 8, 9) if n not in taken][: source.integer(1, 3)]
    return sizes, tuple(rest)


def bounded_axes(op: Op, names: Sequence[str]) -> list[tuple[str, str]]:
    """The axes that are never longer than another, each with that other."""
    measured = [s for s in op.specs.values() if s.kind.measures and s.limit]
    pairs = [(spec.axes, spec.limit or "") for spec in measured]
    return pairs + [(name, axis(name).within) for name in names if axis(name).within in names]


def draw_value(
    spec: Spec,
    source: Source,
    sizes: dict[str, int],
    rest: tuple[int, ...],
    drawn: dict[str, Any],
    domain: Anywhere = ANYWHERE,
) -> Any:
    """One argument, as its kind says."""
    if spec.kind.measures:
        return sizes[spec.axes]
    shape = () if spec.scalar else shape_of(spec, sizes, rest)
    if spec.broadcastable:
        shape = domain.narrowed(shape, source)
    wanted = Wanted(shape, sizes.get(spec.limit or "", 0), drawn)
    return spec.kind.drawn(source, wanted, spec.scalar)
