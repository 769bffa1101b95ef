"""Two answers to one input: are they the same, and if not, may roundings be why?"""

from __future__ import annotations

import numpy as np

from refimpl.oracle.judging.judge import Expected


def same(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    """Whether two answers are the same bit for bit."""
    return len(one) == len(other) and all(
        a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
        for a, b in zip(one, other, strict=True)
    )


def apart(one: list[np.ndarray], other: list[np.ndarray], expected: list[Expected]) -> bool:
    """Whether two answers to one input differ by more than the roundings of both."""
    for a, b, want in zip(one, other, expected, strict=False):
        if np.shape(a) != np.shape(b) or np.shape(a) != want.value.shape:
            return True
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        with np.errstate(invalid="ignore"):
            far = np.abs(a - b) > 2 * want.allowed
        if np.any(far | (np.isnan(a) != np.isnan(b))):
            return True
    return len(one) != len(other)
