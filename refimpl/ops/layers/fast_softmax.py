"""Compiled twins of softmax among the layers, of its logarithm, and of the loss made from it."""

import math

import numpy as np
from numba import njit

from refimpl.compiled.arithmetic import (
    as_bits,
    decay,
    dot,
    exponential,
    is_finite,
    largest,
    power_of,
    sum_of,
)
from refimpl.compiled.memory import empty
from refimpl.compiled.native import ask_ahead
from refimpl.compiled.threads import fill, share


def softmax(z):
    p = empty(z.shape, z.dtype)
    rows = z.reshape(math.prod(z.shape[:-1]), z.shape[-1])
    fill(_softmax, len(rows), rows.shape[1], rows, as_bits(rows), p.reshape(rows.shape))
    return p


@njit(cache=True, fastmath={"reassoc", "contract"})
def _exp_of_row(z, top, into):
    """The exponentials of a row below its top, and their sum."""
    total = z.dtype.type(0)
    for k in range(z.size):
        into[k] = decay(z[k] - top)
        total += into[k]
    return total


@njit(cache=True, nogil=True)
def _softmax(first, last, z, bits, p):
    exponentials = np.empty(z.shape[1], z.dtype)  # of a row, in the first cache
    zero, one = z.dtype.type(0), z.dtype.type(1)
    power = power_of(zero)
    for row in range(first, last):
        ask_ahead(z, row)
        ask_ahead(p, row)
        top = largest(bits[row])
        if top == -np.inf:  # a row of -inf alone has weights 0
            top = zero
        total = _exp_of_row(z[row], top, exponentials)
        power = max(power, power_of(total))  # of numbers that are not negative
        share, weights = one / (one if total < one else total), p[row]
        for k in range(weights.size):
            weights[k] = exponentials[k] * share
    return is_finite(power)


def softmax_vjp(z, grad):
    return _led_back(fill, _softmax_vjp, softmax(z), grad)


def _led_back(give, kernel, y, grad):
    """The gradient by rows, from what came out; `give` is how threads are given the kernel."""
    z_grad = empty(y.shape, y.dtype)
    rows = (math.prod(y.shape[:-1]), y.shape[-1])
    give(kernel, *rows, *(x.reshape(rows) for x in (y, grad, z_grad)))
    return z_grad


@njit(cache=True, nogil=True)
def _softmax_vjp(first, last, weights, grad, z_grad):
    K, power = weights.shape[1], power_of(grad.dtype.type(0))
    for row in range(first, last):
        ask_ahead(weights, row)
        ask_ahead(grad, row)
        ask_ahead(z_grad, row)
        average = dot(grad[row], weights[row])
        for k in range(K):
            z_grad[row, k] = weights[row, k] * (grad[row, k] - average)
            power = max(power, power_of(z_grad[row, k]))
    return is_finite(power)


def log_softmax(z):
    log_probs = empty(z.shape, z.dtype)
    rows = (math.prod(z.shape[:-1]), z.shape[-1])
    _log_softmax_of(z.reshape(rows), log_probs.reshape(rows))
    return log_probs


def _log_softmax_of(z, log_probs):
    share(_log_softmax, *z.shape, z, as_bits(z), log_probs)


@njit(cache=True, nogil=True)
def _log_softmax(first, last, z, bits, log_probs):
    K = z.shape[1]
    zero, one = z.dtype.type(0), z.dtype.type(1)
    for row in range(first, last):
        ask_ahead(z, row)
        ask_ahead(log_probs, row)
        top = largest(bits[row])
        if top == -np.inf:
            top = zero
        total = _exp_of_row(z[row], top, log_probs[row])
        log_total = top + np.log(one if total < one else total)
        for k in range(K):
            log_probs[row, k] = z[row, k] - log_total


def log_softmax_vjp(z, grad):
    return _led_back(share, _log_softmax_vjp, log_softmax(z), grad)


@njit(cache=True, nogil=True)
def _log_softmax_vjp(first, last, log_probs, grad, z_grad):
    K = log_probs.shape[1]
    for row in range(first, last):
        total = sum_of(grad[row])
        for k in range(K):
            z_grad[row, k] = grad[row, k] - exponential(log_probs[row, k]) * total


def cross_entropy(logits, labels):
    log_probs = empty(logits.shape, logits.dtype)
    _log_softmax_of(logits, log_probs)
    return np.asarray(_mean_picked(log_probs, labels), logits.dtype)


@njit(cache=True)
def _mean_picked(log_probs, labels):
    N = log_probs.shape[0]
    total = log_probs.dtype.type(0)
    for n in range(N):
        total += log_probs[n, labels[n]]
    return -(total / log_probs.dtype.type(N))


def cross_entropy_vjp(logits, labels, grad):
    log_probs = empty(logits.shape, logits.dtype)
    _log_softmax_of(logits, log_probs)
    logits_grad = empty(logits.shape, logits.dtype)
    _cross_entropy_vjp(log_probs, labels, logits.dtype.type(grad), logits_grad)
    return logits_grad


@njit(cache=True)
def _cross_entropy_vjp(log_probs, labels, grad, logits_grad):
    N, K = log_probs.shape
    share = grad / log_probs.dtype.type(N)
    for n in range(N):
        for k in range(K):
            logits_grad[n, k] = share * np.exp(log_probs[n, k])
        miss = np.exp(log_probs[n, labels[n]]) - log_probs.dtype.type(1)
        logits_grad[n, labels[n]] = share * miss
