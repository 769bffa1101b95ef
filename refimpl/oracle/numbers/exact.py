"""Exact numbers among those that carry errors: where they are of a kind that no rounding touches.

Nearly always there is none. Then the answer is False, and a rule has nothing to choose.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from refimpl.oracle.numbers.errors import ErrorArray, some

ZERO, ONE = np.array(0.0), np.array(1.0)  # compared with an array sooner than Python's numbers
FEW = 1 << 10  # numbers that are counted sooner than compared


def zeros(error: np.ndarray) -> Any:
    """Where errors are zero; False where none is."""
    if error.size <= FEW and np.count_nonzero(error) == error.size:
        return False
    exact = error == ZERO
    return exact if some(exact) else False


def is_exact(x: ErrorArray, numbers: Callable) -> Any:
    """Where exact numbers are of a kind; False where none is, which is nearly always."""
    return among(zeros(x.error), x, numbers)


def among(exact: Any, x: ErrorArray, numbers: Callable) -> Any:
    """The same, where it is known which of them are exact."""
    if exact is False:
        return False
    found = exact & numbers(x.value)
    return found if some(found) else False


def is_zero(v: np.ndarray) -> np.ndarray:
    """Zeros."""
    return v == ZERO


def is_unit(v: np.ndarray) -> np.ndarray:
    """Ones."""
    return v == ONE


def is_one(x: ErrorArray) -> bool:
    """The number one, alone."""
    return x.ndim == 0 and x.error == 0 and x.value == 1


def is_nothing(x: ErrorArray, exact: Any) -> Any:
    """Zero, and not as the difference of numbers that another order might keep apart."""
    zero = among(exact, x, is_zero)
    return zero if zero is False or x.terms is None else zero & (x.terms == 0)


def where(some: Any, x: Any, y: Any) -> Any:
    """`np.where`, which has nothing to choose where the condition holds nowhere."""
    return y if some is False else np.where(some, x, y)


def is_power_of_two(v: np.ndarray) -> np.ndarray:
    """Powers of two, of either sign: a product with one is not rounded."""
    return np.abs(np.frexp(v)[0]) == 0.5


def unless_infinite(nothing: Any, other: ErrorArray) -> Any:
    """Where nothing is left of a product: the other factor may be anything but an infinity."""
    return nothing is not False and nothing & np.isfinite(other.error)


def carried_over(x: ErrorArray, y: ErrorArray) -> np.ndarray:
    """The error of a product without roundings; what is not finite is so in the value, too."""
    if not y.value.ndim and not y.error:
        return np.abs(y.value) * x.error
    if not x.value.ndim and not x.error:
        return np.abs(x.value) * y.error
    return np.abs(x.value) * y.error + np.abs(y.value) * x.error + x.error * y.error
