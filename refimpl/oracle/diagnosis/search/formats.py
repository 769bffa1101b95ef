"""One value of a text held in a shorter format: predicted exactly, so that it can be a cause.

An edited text may say `np.bfloat16(weights)`: the numbers nearest to those of `weights` in that
format. On error-carrying arrays the result is certain wherever every honest value rounds to the
same number, and off by one step of the format where two do.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from refimpl.oracle.numbers.errors import ErrorArray
from refimpl.oracle.numbers.precisions import PRECISIONS, Precision

Rounding = Callable[[np.ndarray], np.ndarray]
SHORT = replace(PRECISIONS["float32"], product_bits=11)


def _shortened(shorten: Rounding) -> Rounding:
    """Fewer bits of each number; of what float32 may flush to zero, as many as there are."""
    return lambda x: np.where(np.abs(x) < SHORT.smallest, x, shorten(x))


HELD: dict[str, tuple[Rounding, str]] = {
    "bfloat16": (PRECISIONS["bfloat16"].round, "bfloat16"),
    "float16": (PRECISIONS["float16"].round, "float16"),
    "tf32": (_shortened(SHORT.shorten), "11 bits (TF32, or float16 in its range)"),
    "tf32_cut": (_shortened(replace(SHORT, truncates=True).shorten), "11 bits, cut off (TF32)"),
}
NARROW = ("float16",)  # the squares of small whole numbers overflow there
BITS = {"bfloat16": 8, "float16": 11, "tf32": 11, "tf32_cut": 11}


def held(rounding: Rounding, x: Any) -> Any:
    """The numbers of an array of any arithmetic, rounded to a format."""
    if not isinstance(x, ErrorArray):
        plain = np.asarray(x)
        return rounding(plain.astype(np.float64)).astype(plain.dtype)
    value = rounding(x.value)
    ends = [rounding(end) for end in (x.value - x.error, x.value + x.error)]
    with np.errstate(invalid="ignore"):
        off = [np.where(end == value, 0, np.abs(end - value)) for end in ends]
    error = np.where(np.isfinite(x.error), np.maximum(*off), np.inf)
    return ErrorArray(value, np.where(np.isnan(error), np.inf, error), x.precision)


FUNCTIONS = {name: functools.partial(held, rounding) for name, (rounding, _) in HELD.items()}


def shorter(precision: Precision) -> list[str]:
    """The formats that hold fewer digits than a precision, and one that overflows early itself."""
    fewer = [name for name, bits in BITS.items() if bits < precision.bits]
    return fewer + [name for name in NARROW if name == precision.name]
