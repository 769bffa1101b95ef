"""Losses, and attention as one product of three: seven."""

import numpy as np


def squared(found, wanted):
    return np.mean((found - wanted) ** 2)


def cross(logits, labels):
    apart = logits - np.max(logits, axis=1, keepdims=True)
    logs = apart - np.log(np.sum(np.exp(apart), axis=1, keepdims=True))
    return -np.mean(logs[np.arange(len(labels)), labels])


def huber(found, wanted):
    off = np.abs(found - wanted)
    return np.mean(np.where(off < 1, 0.5 * off * off, off - 0.5))


def attended(query, key, value):
    scores = query @ np.swapaxes(key, -1, -2) / np.sqrt(query.shape[-1])
    weights = np.exp(scores - np.max(scores, axis=-1, keepdims=True))
    return weights / np.sum(weights, axis=-1, keepdims=True) @ value


def divergence(found, wanted):
    return np.sum(wanted * (np.log(wanted) - np.log(found))) / found.shape[0]


def triplet(anchor, near, far):
    def length(x):
        return np.sqrt(np.sum((x + 1e-6) ** 2, axis=1))

    return np.mean(np.maximum(length(anchor - near) - length(anchor - far) + 1, 0))


def hinge(found, wanted):
    return np.mean(np.maximum(1 - found * wanted, 0))


_SHARES = np.linspace(0.05, 0.95, 84).reshape(12, 7).astype(np.float32)
_ROWS = np.linspace(-2, 2, 84).reshape(12, 7).astype(np.float32)
_HEADS = np.linspace(-1, 1, 240).reshape(2, 3, 5, 8).astype(np.float32)
EXAMPLES = {
    "squared": {"found": _ROWS, "wanted": _ROWS},
    "cross": {"logits": _ROWS, "labels": np.arange(12) % 7},
    "huber": {"found": _ROWS, "wanted": _ROWS},
    "attended": {"query": _HEADS, "key": _HEADS, "value": _HEADS},
    "divergence": {"found": _SHARES, "wanted": _SHARES},
    "triplet": {"anchor": _ROWS, "near": _ROWS, "far": _ROWS},
    "hinge": {"found": _ROWS, "wanted": np.where(_ROWS > 0.1, _ROWS, -1)},
}
