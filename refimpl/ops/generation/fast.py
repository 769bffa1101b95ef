"""Compiled twins of generation: same names, same arguments, same steps."""

import numpy as np
from numba import njit

from refimpl.ops.layers.fast import softmax


def temperature_softmax(logits, temperature):
    return softmax(logits / logits.dtype.type(temperature))


def penalize_repetition(logits, seen, penalty):
    theta = logits.dtype.type(penalty)
    return np.where(seen > 0, np.where(logits > 0, logits / theta, logits * theta), logits)


def keep_top_k(logits, k):
    V = logits.shape[-1]
    at = V - min(k, V)
    least = np.partition(logits, at, axis=-1)[:, at : at + 1]
    return np.where(logits >= least, logits, logits.dtype.type(-np.inf))


def keep_top_p(logits, mass):
    kept = np.full(logits.shape, -np.inf, logits.dtype)
    order = np.argsort(-logits, axis=-1, kind="stable")
    _top_p(logits, softmax(logits), order, logits.dtype.type(mass), kept)
    return kept


@njit(cache=True)
def _top_p(logits, probs, order, mass, kept):
    for b in range(logits.shape[0]):
        reached = logits.dtype.type(0)
        for v in order[b]:
            if reached < mass or mass >= 1:
                kept[b, v] = logits[b, v]
            reached += probs[b, v]


def keep_min_p(logits, share):
    with np.errstate(divide="raise"):  # 0 has no logarithm: the text says so
        least = logits.max(axis=-1, keepdims=True) + np.log(logits.dtype.type(share))
    return np.where(logits >= least, logits, logits.dtype.type(-np.inf))


def sample_index(probabilities, uniforms):
    found = np.empty(len(uniforms), np.int64)
    _sample(probabilities, uniforms, found)
    return found


@njit(cache=True)
def _sample(probabilities, uniforms, found):
    for b in range(len(uniforms)):
        total = probabilities.dtype.type(0)
        for p in probabilities[b]:
            total += p
        reached = probabilities.dtype.type(0)
        for v in range(probabilities.shape[1]):
            reached += probabilities[b, v]
            if reached > uniforms[b] * total:
                found[b] = v
                break


def greedy_index(logits):
    return logits.argmax(axis=-1)
