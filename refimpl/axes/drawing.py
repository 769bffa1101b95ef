"""How numbers are drawn: families that show what standard normal ones hide, indices, schedules.

Each function takes a source of numbers, which may be random or Hypothesis, and what is wanted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

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
STEPS = 1024  # of a range, each of which may be drawn


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


@dataclass(frozen=True)
class Wanted:
    """An argument that is to be drawn."""

    shape: tuple[int, ...] = ()
    limit: int = 0  # the size of the axis that its annotation names as a limit
    drawn: dict[str, Any] = field(default_factory=dict)  # the arguments before it


def draw_reals(source: Source, wanted: Wanted) -> np.ndarray:
    """Real numbers of any family."""
    families = FAMILIES_WITHOUT_ZEROS if source.plain else FAMILIES
    family = source.choice(families) if source.integer(0, 1) else "normal"
    return draw_floats(source, wanted.shape, family)


def draw_weights(source: Source, wanted: Wanted) -> np.ndarray:
    """Parameters as large as layers have them: what comes out is as large as what went in."""
    weights = draw_reals(source, wanted)
    size = np.sqrt(np.sum(weights**2) / max(math.prod(wanted.shape[:1]), 1))  # of a row
    return weights / (size or 1)


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


def draw_between(source: Source, wanted: Wanted, low: float, high: float) -> np.ndarray:
    """Numbers within a range, neither end of it included."""
    if math.isfinite(low) and math.isfinite(high):
        return source.uniform(wanted.shape, low + (high - low) / STEPS, high)
    if math.isfinite(low):
        return low + np.exp(source.normal(wanted.shape))
    if math.isfinite(high):
        return high - np.exp(source.normal(wanted.shape))
    return draw_reals(source, wanted)


def draw_integers(source: Source, wanted: Wanted, low: float, high: float) -> np.ndarray:
    """Whole numbers of a range, or few around zero where there is none."""
    if not math.isfinite(low) and not math.isfinite(high):
        return draw_labels(source, wanted)
    return np.floor(draw_between(source, wanted, low, high + 1)).astype(np.int64)


def draw_log_variances(source: Source, wanted: Wanted) -> np.ndarray:
    """Logarithms of variances as models predict them."""
    return source.uniform(wanted.shape, -12, 1)


def draw_times(source: Source, wanted: Wanted) -> np.ndarray:
    """Whole timesteps, hundredths of them, or zero throughout."""
    whole = np.floor(source.uniform(wanted.shape, 0, 1000))
    return whole * source.choice([0.0, 1.0, 1.0, 0.01])


def draw_bias(source: Source, wanted: Wanted) -> np.ndarray:
    """Finite numbers, and minus infinity where something is hidden."""
    masked = source.uniform(wanted.shape, 0, 1) < source.choice([0.0, 0.3, 0.7])
    if source.plain and wanted.shape:
        masked[..., 0] = False  # every row sees something
    finite = draw_floats(source, wanted.shape, source.choice(["normal", "large", "zero"]))
    return np.where(masked, -np.inf, finite)


def draw_indices(source: Source, shape: tuple[int, ...], limits: np.ndarray) -> np.ndarray:
    """Integers from 0 below each limit, both ends favoured."""
    where = source.uniform(shape, -0.3, 1.3)
    return np.clip(np.floor(where * limits), 0, np.maximum(limits - 1, 0)).astype(np.int64)


def draw_below(source: Source, wanted: Wanted) -> np.ndarray:
    """Indices below the limit."""
    return draw_indices(source, wanted.shape, np.full(wanted.shape, wanted.limit))


def draw_up_to(source: Source, wanted: Wanted) -> np.ndarray:
    """Numbers from 0 to the limit."""
    return draw_indices(source, wanted.shape, np.full(wanted.shape, wanted.limit + 1))


def draw_earlier(source: Source, wanted: Wanted) -> np.ndarray:
    """Indices not later than those drawn before, -1 the earliest."""
    later = next(v for v in wanted.drawn.values() if np.asarray(v).dtype.kind == "i")
    return draw_indices(source, wanted.shape, later + 1) - 1


def draw_kept(source: Source, wanted: Wanted) -> np.ndarray:
    """Some of the indices below the limit, in order."""
    order = np.argsort(source.uniform((wanted.limit,), 0, 1), kind="stable")
    return np.sort(order[: wanted.shape[0]])


def draw_labels(source: Source, wanted: Wanted) -> np.ndarray:
    """Labels of few classes, some of them negative."""
    return draw_indices(source, wanted.shape, np.full(wanted.shape, 3)) - 1


def draw_mask(source: Source, wanted: Wanted) -> np.ndarray:
    """Ones and zeros, so that something counts: of words the last, of samples any."""
    kept = source.uniform(wanted.shape, 0, 1) < source.choice([1.0, 0.7, 0.4])
    if kept.ndim == 1 and kept.any():
        return kept.astype(np.int64)
    last = (np.arange(kept.size) == kept.size - 1).reshape(wanted.shape)
    return (kept | last).astype(np.int64)


def draw_pixels(source: Source, wanted: Wanted) -> np.ndarray:
    """Numbers of 8 bits from -1 to 1, both ends favoured."""
    return draw_indices(source, wanted.shape, np.full(wanted.shape, 256)) / 127.5 - 1


def draw_betas(source: Source, wanted: Wanted) -> np.ndarray:
    """A noise schedule: linear, cosine-like with a capped end, or random."""
    steps = wanted.shape[0]
    match source.choice(["linear", "capped", "random"]):
        case "linear":
            return np.linspace(1e-4, 0.02, steps)
        case "capped":
            return np.minimum(np.linspace(0.005, 0.95, steps) ** 2 + 1e-4, 0.8)
    low, high = (1e-4, 0.5) if steps < 50 else (1e-4, 0.02)
    return source.uniform((steps,), low, high)


def draw_shares(source: Source, wanted: Wanted) -> np.ndarray:
    """What a schedule leaves of the signal."""
    return np.cumprod(1 - draw_betas(source, wanted))
