"""Generation, one word at a time."""

import math

import numpy as np


def _softmax(row):
    top = max(row)
    shares = [math.exp(z - top) for z in row]
    total = math.fsum(shares)
    return [s / total for s in shares]


def temperature_softmax(logits, temperature):
    rows = [[float(z) / temperature for z in row] for row in logits]
    return np.array([_softmax(row) for row in rows]).reshape(logits.shape)


def penalize_repetition(logits, seen, penalty):
    result = np.array(logits, dtype=float)
    for place in zip(*np.nonzero(seen), strict=True):
        z = result[place]
        result[place] = z / penalty if z > 0 else z * penalty
    return result


def _filtered(logits, words):
    """Rows in which all but some words are forbidden."""
    result = np.full(logits.shape, -math.inf)
    for b, row in enumerate(logits):
        for v in words(list(row)):
            result[b, v] = row[v]
    return result


def keep_top_k(logits, k):
    def words(row):
        least = sorted(row, reverse=True)[min(k, len(row)) - 1]
        return [v for v, z in enumerate(row) if z >= least]

    return _filtered(logits, words)


def keep_top_p(logits, mass):
    def words(row):
        probs, left, reached = _softmax(row), [], []
        for v in sorted(range(len(row)), key=lambda v: (-row[v], v)):
            if math.fsum(reached) < mass or mass == 1:
                left.append(v)
            reached.append(probs[v])
        return left

    return _filtered(logits, words)


def keep_min_p(logits, share):
    return _filtered(
        logits, lambda row: [v for v, z in enumerate(row) if z >= max(row) + math.log(share)]
    )


def sample_index(probabilities, uniforms):
    found = []
    for row, u in zip(probabilities, uniforms, strict=True):
        limit = u * math.fsum(row)
        found.append(next(v for v in range(len(row)) if math.fsum(row[: v + 1]) > limit))
    return np.array(found, dtype=int)


def greedy_index(logits):
    found = []
    for row in logits:
        best = 0
        for v, z in enumerate(row):
            if z > row[best]:
                best = v
        found.append(best)
    return np.array(found, dtype=int)
