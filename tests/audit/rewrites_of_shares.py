"""Shares of a whole, honestly rewritten; other rewrites stand on these."""

from __future__ import annotations

from typing import Any

import numpy as np


def largest(z: Any) -> Any:
    top = np.max(z, axis=-1, keepdims=True)
    return np.where(top > -np.inf, top, 0)


def softmax_online(z):
    """One pass: the sum so far is rescaled whenever a larger entry arrives."""
    top, total = largest(z[..., 0:1]), np.exp(z[..., 0:1] - largest(z[..., 0:1]))
    for k in range(1, z.shape[-1]):
        entry = z[..., k : k + 1]
        seen = np.maximum(np.max(z[..., :k], axis=-1, keepdims=True), entry)
        new = np.where(seen > -np.inf, seen, 0)
        rescale = np.where(total > 0, np.exp(top - new), 0)
        total = total * rescale + np.exp(entry - new)
        top = new
    return np.exp(z - top) / np.where(total > 0, total, 1)


def log_softmax_shifted(z):
    shifted = z - largest(z)
    total = np.sum(np.exp(shifted), axis=-1, keepdims=True)
    return shifted - np.log(np.maximum(total, 1))


def sigmoid_plain(z):
    return 1 / (1 + np.exp(-z))
