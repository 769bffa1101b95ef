"""What the textbook functions need and NumPy lacks: erf, log_ndtr, constants in their arithmetic.

The text of an operation runs on float64 arrays, on error-carrying arrays and on arrays of other
number types. A constant that was rounded to float64 before it entered the text would spoil the last
two, so constants enter through `constant` and `pi`, which ask the arithmetic of `like` for them.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def _holds_objects(x: Any) -> bool:
    return getattr(x, "dtype", np.dtype(float)).kind == "O"


def erf(x: Any) -> Any:
    r"""The error function, $\operatorname{erf} x = \frac{2}{\sqrt\pi}\int_0^x e^{-t^2}\,dt$.

    Objects are asked for their own `erf` method, as NumPy asks them for `exp`.

    >>> float(erf(0.0))
    0.0
    """
    if _holds_objects(x):
        return np.frompyfunc(lambda number: number.erf(), 1, 1)(x)
    from scipy.special import erf as scipy_erf

    return scipy_erf(x)


def log_ndtr(x: Any) -> Any:
    r"""The logarithm of the probability that a standard normal number is below x, $\ln \Phi(x)$.

    It is finite where that probability underflows.

    >>> float(log_ndtr(-100.0)) < -5000
    True
    """
    from scipy.special import log_ndtr as scipy_log_ndtr

    return scipy_log_ndtr(x)


def constant(number: int, like: Any) -> Any:
    """An exact number in the arithmetic of `like`: what it stores in, float64 for integers.

    A float64 constant would widen an array of float32, in which exp(-200) is zero.

    >>> float(constant(64, np.ones(3))), constant(64, np.ones(3, np.float32)).dtype
    (64.0, dtype('float32'))
    """
    if hasattr(like, "lift_constant"):
        return like.lift_constant(number)
    if _holds_objects(like) and np.size(like):
        return 0 * np.ravel(like)[0] + number
    dtype = getattr(like, "dtype", np.dtype(np.float64))
    return (np.float64 if dtype.kind in "biuO" else dtype.type)(number)


def pi(like: Any) -> Any:
    """The number π in the arithmetic of `like`: four times the arc tangent of one.

    >>> float(pi(np.ones(3)))
    3.141592653589793
    """
    return 4 * np.arctan(constant(1, like))
