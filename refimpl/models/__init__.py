"""Whole models as pure functions over a flat dict of arrays, built from the operations.

Every model takes a namespace of operations and a tap. With `TEXT` it runs on the textbook
functions, also on error-carrying arrays; with `refimpl` itself on the checked ones; with
`refimpl.fast` on the compiled twins; with `refimpl.models.compiled` a whole Transformer runs on
each thread, for some of the images. The model says the name of each of its intermediate values to
the tap, `x = tap("visual.ln_pre", x)`, and goes on from what the tap returns: that is how values
are recorded, judged one layer at a time, or replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np

from refimpl.registry import OPS

TEXT = SimpleNamespace(**{name: op.text for name, op in OPS.items()})
Params = Mapping[str, Any]
Tap = Callable[[str, Any], Any]


def untouched(_: str, x: Any) -> Any:
    """The tap that neither looks nor changes."""
    return x


def recorder(into: dict[str, Any]) -> Tap:
    """A tap that keeps every value under its name.

    >>> kept = {}
    >>> recorder(kept)("tokens", 3), kept
    (3, {'tokens': 3})
    """

    def tap(name: str, x: Any) -> Any:
        into[name] = x
        return x

    return tap


def zeros(shape: Any, like: Any) -> np.ndarray:
    """Zeros in the dtype of an array, where it has one of NumPy's."""
    dtype = getattr(like, "dtype", None)
    return np.zeros(shape, dtype if isinstance(dtype, np.dtype) else np.float64)
