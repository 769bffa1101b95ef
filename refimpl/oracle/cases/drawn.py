"""Inputs for an operation, read from its annotations.

One drawing procedure serves two sources: a NumPy generator (`verify`, thousands of cases a second)
and Hypothesis (shrinking). Axes get pairwise different sizes unless a case says otherwise, values
come from families that show what standard normal numbers hide, and arrays arrive in any memory
layout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from refimpl.axes import Given, Spec, shape_of
from refimpl.op import Op
from refimpl.oracle.numbers.precisions import PRECISIONS, Precision

LAYOUTS = ("C", "F", "reversed", "strided")
FAMILIES = (
    "normal",
    "small",
    "large",
    "offset",
    "cancelling",
    "ties",
    "sparse",
    "mixed",
    "constant",
    "flat",
)
FAMILIES_WITHOUT_ZEROS = tuple(name for name in FAMILIES if name not in ("ties", "sparse"))


class Source(Protocol):
    """Where numbers come from; a plain one keeps to what every implementation must do."""

    plain: bool = False

    def integer(self, low: int, high: int) -> int: ...
    def choice(self, options: Sequence) -> Any: ...
    def normal(self, shape: tuple[int, ...]) -> np.ndarray: ...
    def uniform(self, shape: tuple[int, ...], low: float, high: float) -> np.ndarray: ...

    def absent(self) -> bool:
        """Whether an optional argument is left out."""
        return self.integer(0, 2) == 0

    def narrowed(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """A shape that broadcasts to another one."""
        shape = tuple(n if self.integer(0, 3) else 1 for n in shape)
        return shape[self.integer(0, len(shape) - 1) :]


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


LONG = {"D": 2048, "K": 2048, "M": 512, "E": 512, "P": 16, "C": 8, "height": 16, "width": 16}


def long_case(op: Op, precision: str, seed: int, i: int) -> Case:
    """The i-th case with long sums, of independent numbers: positive ones where i is odd."""
    source = PlainSource([seed, i, *op.name.encode()], positive=i % 2 == 1)
    names = list(dict.fromkeys(n for spec in op.specs.values() for n in spec.names()))
    sizes = {name: LONG.get(name, 2 + place % 3) for place, name in enumerate(names)}
    if "H" in sizes:
        sizes |= {"H": 2, "E": 192, "M": 512}
    if "T" in sizes:
        sizes |= {"T": 12, "K": 7}
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
    for name, spec in op.specs.items():
        if name in op.values:
            inputs[name] = op.values[name](source, sizes)
        elif spec.optional and domain.absent(name, source):
            inputs[name] = None
        else:
            inputs[name] = draw_value(spec, source, sizes, rest, inputs, domain)
    return op.read(**inputs)


def draw_sizes(op: Op, source: Source, wide: bool) -> tuple[dict[str, int], tuple[int, ...]]:
    """Sizes of all axes: small, pairwise different, sometimes one, sometimes an empty batch."""
    names = list(dict.fromkeys(n for spec in op.specs.values() for n in spec.names()))
    special = source.integer(0, 19)
    sizes: dict[str, int] = {}
    for name in names:
        low, high = {"T": (3, 12), "P": (1, 4), "rows": (1, 4), "cols": (1, 4)}.get(name, (1, 7))
        if name == "T" and special == 3:
            low, high = 1000, 1000
        if wide and name in ("D", "E", "K", "M"):
            low, high = (40, 300) if "H" not in names else (20, 60)
        free = [n for n in range(low, high + 1) if n not in sizes.values()]
        sizes[name] = source.choice(free) if free and special != 2 else source.integer(low, high)
    if source.plain and "R" in sizes:
        sizes["R"] = 1
    if special == 0 and "B" in sizes and not source.plain:
        sizes["B"] = 0
    if special == 1 and "N" in sizes:
        sizes["N"] = 1
    for spec in op.specs.values():
        if spec.kind.name == "Size" and spec.limit:
            sizes[spec.axes] = min(sizes[spec.axes], sizes[spec.limit])
    if "K" in sizes and "T" in sizes:
        sizes["K"] = min(sizes["K"], sizes["T"])
    taken = set(sizes.values())
    rest = [n for n in (2, 3, 4, 5, 6, 7, 8, 9) if n not in taken][: source.integer(1, 3)]
    return sizes, tuple(rest)


def draw_value(
    spec: Spec,
    source: Source,
    sizes: dict[str, int],
    rest: tuple[int, ...],
    drawn: dict[str, Any],
    domain: Anywhere = ANYWHERE,
) -> Any:
    """One argument."""
    kind = spec.kind.name
    if kind == "Size":
        return sizes[spec.axes]
    if spec.scalar and spec.kind.draw is not None:
        return np.asarray(spec.kind.draw(source, ())).item()
    if spec.scalar:
        return draw_scalar(kind, source, sizes, spec)
    shape = shape_of(spec, sizes, rest)
    if spec.broadcastable:
        shape = domain.narrowed(shape, source)
    if spec.kind.draw is not None:
        return spec.kind.draw(source, shape)
    size = sizes.get(spec.limit or "", 0)
    match kind:
        case "Betas":
            return draw_betas(source, shape[0])
        case "AlphaBar":
            return np.cumprod(1 - draw_betas(source, shape[0]))
        case "Variance" | "Deviation" | "Positive":
            return np.exp(draw_floats(source, shape, "normal"))
        case "LogVariance":
            return source.uniform(shape, -12, 1)
        case "Time":
            whole = np.floor(source.uniform(shape, 0, 1000))
            return whole * source.choice([0.0, 1.0, 1.0, 0.01])
        case "Bias":
            masked = source.uniform(shape, 0, 1) < source.choice([0.0, 0.3, 0.7])
            if source.plain and shape:
                masked[..., 0] = False  # every row sees something
            finite = draw_floats(source, shape, source.choice(["normal", "large", "zero"]))
            return np.where(masked, -np.inf, finite)
        case "Index":
            return draw_indices(source, shape, np.full(shape, size))
        case "Previous":
            later = next(v for v in drawn.values() if np.asarray(v).dtype.kind == "i")
            return draw_indices(source, shape, later + 1) - 1
        case "Count":
            return draw_indices(source, shape, np.full(shape, size + 1))
        case "Kept":
            order = np.argsort(source.uniform((size,), 0, 1), kind="stable")
            return np.sort(order[: shape[0]])
        case "Mask":
            return draw_mask(source, shape)
        case "Label":
            return draw_indices(source, shape, np.full(shape, 3)) - 1
    families = FAMILIES_WITHOUT_ZEROS if source.plain else FAMILIES
    family = source.choice(families) if source.integer(0, 1) else "normal"
    return draw_floats(source, shape, family)


def draw_scalar(kind: str, source: Source, sizes: dict[str, int], spec: Spec) -> Any:
    """One scalar argument: its customary values first."""
    anywhere = float(source.uniform((), 0, 1))
    match kind:
        case "Epsilon":
            return source.choice([1e-5, 1e-6, 1e-12, 1e-3])
        case "Fraction":
            return source.choice([0.0, 1.0, 0.5, anywhere, anywhere])
        case "LogScale":
            return source.choice([0.0, 2.659260036932778, 4.605170185988092, 4.6 * anywhere])
        case "Scale":
            return source.choice([0.0, 1.0, 2.0, 7.5, 10 * anywhere])
        case "Limit":
            return source.choice([1.0, np.inf, 0.5, 2.0])
        case "Base":
            return source.choice([1e4, 5e5, 1e6, 2 + 8 * anywhere])
        case "Positive":
            return source.choice([1.0, 2.0, 14.5, 1 + 9 * anywhere])
        case "Level":  # below what is above zero, as samplers go down
            return source.choice([0.0, 0.03125, 0.875, 0.9 * anywhere])
        case "Count":
            return source.integer(0, sizes[spec.limit or ""])
    return source.choice([0.0, 1.0, -10.0, 10 * anywhere - 5])


def draw_indices(source: Source, shape: tuple[int, ...], limits: np.ndarray) -> np.ndarray:
    """Integers from 0 below each limit, both ends favoured."""
    where = source.uniform(shape, -0.3, 1.3)
    return np.clip(np.floor(where * limits), 0, np.maximum(limits - 1, 0)).astype(np.int64)


def draw_mask(source: Source, shape: tuple[int, ...]) -> np.ndarray:
    """Ones and zeros, the last one a one, so that something counts."""
    kept = source.uniform(shape, 0, 1) < source.choice([1.0, 0.7, 0.4])
    return (kept | (np.arange(kept.size) == kept.size - 1).reshape(shape)).astype(np.int64)


def draw_betas(source: Source, steps: int) -> np.ndarray:
    """A noise schedule: linear, cosine-like with a capped end, or random."""
    match source.choice(["linear", "capped", "random"]):
        case "linear":
            return np.linspace(1e-4, 0.02, steps)
        case "capped":
            return np.minimum(np.linspace(0.005, 0.95, steps) ** 2 + 1e-4, 0.8)
    low, high = (1e-4, 0.5) if steps < 50 else (1e-4, 0.02)
    return source.uniform((steps,), low, high)


def draw_floats(source: Source, shape: tuple[int, ...], family: str) -> np.ndarray:
    """An array of one family: what it looks like decides which mistakes it can show."""
    x = source.normal(shape)
    match family:
        case "small":
            return 1e-2 * x
        case "large":
            return 30 * x
        case "offset":
            return 100 + x
        case "cancelling":
            flat = x.reshape(-1).copy()
            half = flat.size // 2
            flat[half : 2 * half] = -flat[:half] * (1 + 1e-3 * flat[half : 2 * half])
            return flat.reshape(shape)
        case "ties":
            return np.clip(np.round(x), -2, 2)
        case "sparse":
            return np.where(np.abs(x) > 1, x, 0.0)
        case "mixed":
            return x * 10.0 ** source.uniform(shape, -3, 1.5)
        case "constant":
            return np.ones(shape) * x.reshape(-1)[0] if x.size else x
        case "flat":
            return 1 + 1e-2 * x
        case "zero":
            return 0 * x
    return x
