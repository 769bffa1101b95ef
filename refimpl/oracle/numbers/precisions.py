"""Floating-point precisions: what one rounding of an honest implementation may cost.

Each precision has a storage format (what the arrays hold), a unit roundoff for elementwise
arithmetic, one for the operands of matrix products (TF32 drops bits there) and one for
accumulators (half formats accumulate in float32). Results below the smallest normal number may be
flushed to zero, as many processors do.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

NUMPY_BITS = {"float16": 11, "float32": 24, "float64": 53}  # of the formats that NumPy rounds to


@dataclass(frozen=True)
class Precision:
    """Roundoffs of one way to compute; `storage` names the NumPy (or ml_dtypes) dtype."""

    name: str
    storage: str
    bits: int  # significand bits of the storage format, the hidden one included
    smallest: float  # smallest positive normal number
    largest: float  # largest finite number
    operand: float = 0.0  # roundoff of the operands of a matrix product
    accumulator: float = 0.0  # roundoff of sums; 0: the same as elementwise arithmetic
    product_bits: int = 0  # significand bits that a product's operands keep, where it drops some
    truncates: bool = False  # those bits are cut off, not rounded
    spread: float | None = None  # n independent roundings count as spread·√n; None: as n
    independent: bool = False  # errors carried into a product add up as independent ones do
    holds_operands: bool = False  # exact operands of a product are held: `operand` spares them

    @functools.cached_property
    def unit(self) -> float:
        """Unit roundoff of elementwise arithmetic, half an ulp of one."""
        return math.ldexp(1.0, -self.bits)

    @functools.cached_property
    def sum_unit(self) -> float:
        """Unit roundoff of accumulators."""
        return self.accumulator or self.unit

    @functools.cached_property
    def sum_smallest(self) -> float:
        """What an accumulator may flush to zero: half formats accumulate in float32."""
        return FLOAT32_SMALLEST if self.sum_unit < self.unit else self.smallest

    @functools.cached_property
    def ends(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The unit, the smallest and the largest number as arrays, which others meet sooner."""
        return np.array(self.unit), np.array(self.smallest), np.array(self.largest)

    def round(self, x: Any) -> np.ndarray:
        """Round float64 numbers to the storage format, ties to even, overflow to infinity.

        >>> float(PRECISIONS["bfloat16"].round(1.01))
        1.0078125
        """
        x = np.asarray(x, dtype=np.float64)
        if self.bits == NUMPY_BITS.get(self.storage):
            with np.errstate(over="ignore"):
                return x.astype(self.storage).astype(np.float64)
        exponent = np.frexp(x)[1]
        least = math.frexp(self.smallest)[1]
        step = np.ldexp(1.0, np.maximum(exponent, least) - self.bits)
        with np.errstate(invalid="ignore", over="ignore"):
            rounded = np.where(np.isfinite(x), np.rint(x / step) * step, x)
        return np.where(np.abs(rounded) > self.largest, np.copysign(np.inf, x), rounded)

    def shorten(self, x: np.ndarray) -> np.ndarray:
        """The operands of a product as it sees them: some bits fewer, where it drops some."""
        if not self.product_bits:
            return x
        step = np.ldexp(1.0, np.frexp(x)[1] - self.product_bits)
        with np.errstate(invalid="ignore", over="ignore"):
            short = (np.trunc if self.truncates else np.rint)(x / step) * step
        return np.where(np.isfinite(x), short, x)

    def roundings(self, n: float) -> float:
        """How many roundings n of them in a sum count as: all, or their square root's multiple.

        An accumulator coarser than its terms rounds the first of them as well.
        """
        n = n + 1 if self.sum_unit > self.unit else n
        return n if self.spread is None else min(n, self.spread * math.sqrt(n))

    def dtype(self) -> np.dtype:
        """The NumPy dtype of stored arrays; bfloat16 needs the package ml_dtypes."""
        if self.storage == "bfloat16":
            import ml_dtypes

            return np.dtype(ml_dtypes.bfloat16)
        return np.dtype(self.storage)


def kernel(p: Precision) -> Precision | None:
    """How kernels compute on arrays of a half format: in float32, and what they multiply in half.

    Sums, statistics and elementary functions stay in float32 until the result is stored. Operands
    of a matrix product that were computed, such as the weights of an attention, are rounded to the
    format first, as tensor cores want them.
    """
    if p.storage not in ("bfloat16", "float16"):
        return None
    wide = PRECISIONS["float32"]
    return replace(wide, name=p.name, operand=p.unit, holds_operands=True)


FLOAT32_UNIT = math.ldexp(1.0, -24)
FLOAT32_SMALLEST = math.ldexp(1.0, -126)

PRECISIONS = {
    p.name: p
    for p in (
        Precision("float64", "float64", 53, 2.0**-1022, float(np.finfo(np.float64).max)),
        Precision("float32", "float32", 24, 2.0**-126, float(np.finfo(np.float32).max)),
        # tensor cores drop the low bits of float32 operands and of their float32 sums
        Precision(
            "tf32",
            "float32",
            24,
            2.0**-126,
            float(np.finfo(np.float32).max),
            operand=2.0**-10,
            accumulator=2 * FLOAT32_UNIT,
        ),
        Precision(
            "bfloat16",
            "bfloat16",
            8,
            2.0**-126,
            (2 - 2.0**-7) * 2.0**127,
            accumulator=FLOAT32_UNIT,
        ),
        Precision("float16", "float16", 11, 2.0**-14, 65504.0, accumulator=FLOAT32_UNIT),
    )
}
