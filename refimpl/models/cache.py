"""The cache of keys and values of earlier words, so that they are computed once.

A cache is what a model gave to its tap: `kept(recorded)` of one step is the `past` of the next one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

Past = Mapping[str, Any] | None


def kept(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """The keys and values among all values that a model gave to its tap.

    >>> kept({"h.0.attn.key": 1, "h.0.attn.query": 2, "logits": 3})
    {'h.0.attn.key': 1}
    """
    return {n: x for n, x in recorded.items() if n.endswith((".attn.key", ".attn.value"))}


def after(past: Past, name: str, x: Any) -> Any:
    """Keys or values, appended to the cached ones of this name: B N D -> B M D."""
    return np.concatenate([past[name], x], axis=1) if past and name in past else x


def seen_before(past: Past) -> int:
    """How many words are in the cache.

    >>> seen_before(None), seen_before({"h.0.attn.key": np.zeros((1, 5, 8))})
    (0, 5)
    """
    return next(iter(past.values())).shape[1] if past else 0
