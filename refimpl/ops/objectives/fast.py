"""Compiled twins of the objectives: same names, same arguments, same steps."""

import numpy as np
from numba import njit

from refimpl.compiled.memory import empty
from refimpl.ops.layers.fast import log_softmax


def shift_right(labels, start, ignore, pad):
    words = np.empty(labels.shape, np.int64)
    words[:, :1] = start
    words[:, 1:] = np.where(labels == ignore, pad, labels)[:, :-1]
    return words


def token_log_probs(logits, labels):
    picked = empty(labels.shape, logits.dtype)
    _pick(_rows(log_softmax(logits)), labels.reshape(-1), picked.reshape(-1))
    return picked


def _rows(array):
    return array.reshape(-1, array.shape[-1]) if array.size else array.reshape(0, 1)


@njit(cache=True)
def _pick(log_probs, labels, picked):
    for n in range(len(labels)):
        picked[n] = log_probs[n, labels[n]]


def token_log_probs_vjp(logits, labels, grad):
    logits_grad = log_softmax(logits)
    _differ(_rows(logits_grad), labels.reshape(-1), grad.reshape(-1))
    return logits_grad


@njit(cache=True)
def _differ(rows, labels, grad):
    """Turn rows of log probabilities into grad times the one-hot label minus probabilities."""
    one = rows.dtype.type(1)
    for n in range(len(labels)):
        for v in range(rows.shape[1]):
            hit = one if v == labels[n] else one - one
            rows[n, v] = grad[n] * (hit - np.exp(rows[n, v]))


def masked_cross_entropy(logits, labels, keep):
    return _mean(-token_log_probs(logits, labels), keep)


def _mean(nats, keep):
    kept = nats[keep > 0]
    return np.asarray(kept.sum() / nats.dtype.type(kept.size), nats.dtype)


def masked_cross_entropy_vjp(logits, labels, keep, grad):
    return token_log_probs_vjp(logits, labels, -_shares(keep, grad, logits.dtype.type))


def _shares(keep, grad, number):
    return number(grad) * keep.astype(number) / number(keep.sum())


def next_token_loss(logits, ids, keep):
    told = np.ascontiguousarray(logits[:, :-1])
    return masked_cross_entropy(told, np.ascontiguousarray(ids[:, 1:]), keep[:, 1:])


def next_token_loss_vjp(logits, ids, keep, grad):
    logits_grad = np.zeros(logits.shape, logits.dtype)
    told, labels = np.ascontiguousarray(logits[:, :-1]), np.ascontiguousarray(ids[:, 1:])
    logits_grad[:, :-1] = masked_cross_entropy_vjp(told, labels, keep[:, 1:], grad)
    return logits_grad


def smoothed_cross_entropy(logits, labels, keep, smoothing):
    log_probs = log_softmax(logits)
    nats = empty(labels.shape, logits.dtype)
    spread = logits.dtype.type(smoothing)
    _smoothed(_rows(log_probs), labels.reshape(-1), spread, nats.reshape(-1))
    return _mean(nats, keep)


@njit(cache=True)
def _smoothed(log_probs, labels, smoothing, nats):
    number = log_probs.dtype.type
    V = number(log_probs.shape[1])
    for n in range(len(labels)):
        total = number(0)
        for value in log_probs[n]:
            total += value
        told = log_probs[n, labels[n]]
        nats[n] = -((number(1) - smoothing) * told + smoothing * (total / V))


def smoothed_cross_entropy_vjp(logits, labels, keep, smoothing, grad):
    number = logits.dtype.type
    logits_grad = log_softmax(logits)
    shares = _shares(keep, grad, number).reshape(-1)
    _differ_smoothed(_rows(logits_grad), labels.reshape(-1), number(smoothing), shares)
    return logits_grad


@njit(cache=True)
def _differ_smoothed(rows, labels, smoothing, shares):
    number = rows.dtype.type
    spread = smoothing / number(rows.shape[1])
    for n in range(len(labels)):
        for v in range(rows.shape[1]):
            target = spread + (number(1) - smoothing if v == labels[n] else number(0))
            rows[n, v] = shares[n] * (np.exp(rows[n, v]) - target)


def perplexity(nats, keep):
    return np.exp(_mean(nats, keep))


def corrupt_tokens(ids, selected, uniforms, words, mask, hidden, changed):
    number, read = uniforms.dtype.type, ids.copy()
    chosen = selected > 0
    swap = chosen & (uniforms < number(changed))
    read[swap] = words[swap]
    read[chosen & (uniforms < number(hidden))] = mask
    return read
