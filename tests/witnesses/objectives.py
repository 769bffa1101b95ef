"""The objectives, one word at a time."""

import math

import numpy as np


def shift_right(labels, start, ignore, pad):
    words = np.zeros(labels.shape, dtype=int)
    for b, n in np.ndindex(labels.shape):
        before = start if n == 0 else int(labels[b, n - 1])
        words[b, n] = pad if n and before == ignore else before
    return words


def _log_prob(row, word):
    top = max(row)
    if row[word] == top:  # near one, the others' share counts
        others = [math.exp(z - top) for v, z in enumerate(row) if v != word]
        return -math.log1p(math.fsum(others))
    return row[word] - top - math.log(math.fsum(math.exp(z - top) for z in row))


def _prob(row, word):
    top = max(row)
    return math.exp(row[word] - top) / math.fsum(math.exp(z - top) for z in row)


def token_log_probs(logits, labels):
    found = np.zeros(labels.shape)
    for place in np.ndindex(labels.shape):
        found[place] = _log_prob(list(logits[place]), int(labels[place]))
    return found


def _differences(logits, wanted, weights):
    """Weights times probabilities minus what is wanted; `wanted` says it of a place and a word."""
    result = np.zeros(logits.shape)
    for *place, v in np.ndindex(logits.shape):
        row, weight = list(logits[tuple(place)]), float(weights[tuple(place)])
        want = wanted(tuple(place), v)
        apart = _prob(row, v) - want
        if want == 1:
            apart = -math.fsum(_prob(row, w) for w in range(len(row)) if w != v)
        result[*place, v] = weight * apart
    return result


def _one_hot(labels):
    return lambda place, v: float(v == labels[place])


def token_log_probs_vjp(logits, labels, grad):
    return _differences(logits, _one_hot(labels), -grad)


def _mean(values, keep):
    kept = [float(values[place]) for place in np.ndindex(keep.shape) if keep[place]]
    return np.array(math.fsum(kept) / len(kept))


def masked_cross_entropy(logits, labels, keep):
    return _mean(-token_log_probs(logits, labels), keep)


def masked_cross_entropy_vjp(logits, labels, keep, grad):
    return _differences(logits, _one_hot(labels), float(grad) * keep / int(np.count_nonzero(keep)))


def next_token_loss(logits, ids, keep):
    texts, words = ids.shape
    found = [
        -_log_prob(list(logits[b, n - 1]), int(ids[b, n]))
        for b in range(texts)
        for n in range(1, words)
        if keep[b, n]
    ]
    return np.array(math.fsum(found) / len(found))


def next_token_loss_vjp(logits, ids, keep, grad):
    result = np.zeros(logits.shape)
    count = int(np.count_nonzero(keep[:, 1:]))
    weights = float(grad) * keep[:, 1:] / count
    result[:, :-1] = _differences(logits[:, :-1], _one_hot(ids[:, 1:]), weights)
    return result


def _targets(labels, smoothing, V):
    return lambda place, v: smoothing / V + (1 - smoothing if v == labels[place] else 0.0)


def smoothed_cross_entropy(logits, labels, keep, smoothing):
    nats, V = np.zeros(labels.shape), logits.shape[-1]
    for place in np.ndindex(labels.shape):
        row, wanted = list(logits[place]), _targets(labels, smoothing, V)
        nats[place] = -math.fsum(wanted(place, v) * _log_prob(row, v) for v in range(V))
    return _mean(nats, keep)


def smoothed_cross_entropy_vjp(logits, labels, keep, smoothing, grad):
    wanted = _targets(labels, smoothing, logits.shape[-1])
    return _differences(logits, wanted, float(grad) * keep / int(np.count_nonzero(keep)))


def perplexity(nats, keep):
    return np.exp(_mean(nats, keep))


def corrupt_tokens(ids, selected, uniforms, words, mask, hidden, changed):
    read = np.zeros(ids.shape, dtype=int)
    for place in np.ndindex(ids.shape):
        read[place] = ids[place]
        if selected[place] and uniforms[place] < changed:
            read[place] = words[place]
        if selected[place] and uniforms[place] < hidden:
            read[place] = mask
    return read
