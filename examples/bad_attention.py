"""Attention with a mistake: the scores are divided by the root of the model width.

Run `refimpl verify examples/bad_attention.py` to see what the oracle makes of it.
"""

import numpy as np


def attention(query, key, value, bias):
    heads, width = query.shape[1], query.shape[3]
    shared = heads // key.shape[1]
    key, value = np.repeat(key, shared, axis=1), np.repeat(value, shared, axis=1)
    scores = query @ np.swapaxes(key, -1, -2) / np.float32(np.sqrt(heads * width))
    if bias is not None:
        scores = scores + bias
    top = np.max(scores, axis=-1, keepdims=True)
    weights = np.exp(scores - np.where(top > -np.inf, top, 0).astype(np.float32))
    return weights / np.maximum(np.sum(weights, axis=-1, keepdims=True), 1) @ value
