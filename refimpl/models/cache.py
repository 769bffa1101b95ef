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


class Growing(np.ndarray):
    """Keys or values, B M D, at the front of a memory with room for more.

    What is appended stands behind them in the same memory, as long as nothing stands there: whoever
    appends to the same keys once more gets a copy.
    """

    memory: np.ndarray  # B room D
    filled: list[int]  # how much of the memory is used, by all who look at it


def front(memory: np.ndarray, length: int, filled: list[int] | None = None) -> Growing:
    """The first of a memory, behind which is room; `filled` where others look at it as well.

    >>> front(np.zeros((1, 8, 2)), 3).shape
    (1, 3, 2)
    """
    seen = memory[:, :length].view(Growing)
    seen.memory, seen.filled = memory, filled or [length]
    return seen


def grown(before: np.ndarray, x: np.ndarray) -> Growing:
    """Keys or values with new ones behind: B M D, B N D -> B M+N D."""
    last, end = before.shape[1], before.shape[1] + x.shape[1]
    memory, filled = getattr(before, "memory", None), getattr(before, "filled", [-1])
    if memory is None or filled[0] != last or end > memory.shape[1] or memory.dtype != x.dtype:
        memory, filled = np.empty((len(x), 2 * end, x.shape[2]), x.dtype), [last]
        memory[:, :last] = before
    memory[:, last:end] = x
    filled[0] = end
    return front(memory, end, filled)


def seen_before(past: Past) -> int:
    """How many words are in the cache.

    >>> seen_before(None), seen_before({"h.0.attn.key": np.zeros((1, 5, 8))})
    (0, 5)
    """
    return next(iter(past.values())).shape[1] if past else 0
