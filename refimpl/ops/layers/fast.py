"""Compiled twins of the layers: same names, same arguments, same steps."""

import math

import numpy as np
from numba import njit


def linear(x, weight, bias):
    *rest, D = x.shape
    y = x.reshape(-1, D) @ weight.T
    if bias is not None:
        _add_bias(y, bias)
    return y.reshape((*rest, weight.shape[0]))


@njit(cache=True)
def _add_bias(y, bias):
    for row in range(y.shape[0]):
        for o in range(y.shape[1]):
            y[row, o] += bias[o]


def layer_norm(x, gain, bias, eps):
    D = x.shape[-1]
    y = np.empty(x.shape, x.dtype)
    _layer_norm(x.reshape(-1, D), gain, bias, x.dtype.type(eps), y.reshape(-1, D))
    return y


@njit(cache=True)
def _layer_norm(x, gain, bias, eps, y):
    rows, D = x.shape
    size = x.dtype.type(D)
    for row in range(rows):
        mean = x.dtype.type(0)
        for d in range(D):
            mean += x[row, d]
        mean /= size
        variance = x.dtype.type(0)
        for d in range(D):
            centred = x[row, d] - mean
            variance += centred * centred
        root = np.sqrt(variance / size + eps)
        for d in range(D):
            y[row, d] = gain[d] * ((x[row, d] - mean) / root) + bias[d]


def rms_norm(x, gain, eps):
    D = x.shape[-1]
    y = np.empty(x.shape, x.dtype)
    _rms_norm(x.reshape(-1, D), gain, x.dtype.type(eps), y.reshape(-1, D))
    return y


@njit(cache=True)
def _rms_norm(x, gain, eps, y):
    rows, D = x.shape
    for row in range(rows):
        mean_square = x.dtype.type(0)
        for d in range(D):
            mean_square += x[row, d] * x[row, d]
        root = np.sqrt(mean_square / x.dtype.type(D) + eps)
        for d in range(D):
            y[row, d] = gain[d] * (x[row, d] / root)


def group_norm(x, gain, bias, groups, eps):
    B, channels, height, width = x.shape
    grouped = (B, groups, channels // groups, height * width)  # B G C pixels
    y = np.empty(x.shape, x.dtype)
    _group_norm(x.reshape(grouped), gain, bias, x.dtype.type(eps), y.reshape(grouped))
    return y


@njit(cache=True)
def _group_norm(x, gain, bias, eps, y):
    B, G, C, pixels = x.shape
    size = x.dtype.type(C * pixels)
    for b in range(B):
        for g in range(G):
            mean = x.dtype.type(0)
            for c in range(C):
                for i in range(pixels):
                    mean += x[b, g, c, i]
            mean /= size
            variance = x.dtype.type(0)
            for c in range(C):
                for i in range(pixels):
                    centred = x[b, g, c, i] - mean
                    variance += centred * centred
            root = np.sqrt(variance / size + eps)
            for c in range(C):
                channel = g * C + c
                for i in range(pixels):
                    normal = (x[b, g, c, i] - mean) / root
                    y[b, g, c, i] = gain[channel] * normal + bias[channel]


def softmax(z):
    p = np.empty(z.shape, z.dtype)
    _softmax(z.reshape(-1, z.shape[-1]), p.reshape(-1, z.shape[-1]))
    return p


@njit(cache=True)
def _softmax(z, p):
    rows, K = z.shape
    zero = z.dtype.type(0)
    for row in range(rows):
        top = z[row, 0]
        for k in range(1, K):
            top = max(top, z[row, k])
        if top == -np.inf:  # a row of -inf alone has weights 0
            top = zero
        total = zero
        for k in range(K):
            p[row, k] = np.exp(z[row, k] - top)
            total += p[row, k]
        total = max(total, z.dtype.type(1))
        for k in range(K):
            p[row, k] /= total


def log_softmax(z):
    log_probs = np.empty(z.shape, z.dtype)
    _log_softmax(z.reshape(-1, z.shape[-1]), log_probs.reshape(-1, z.shape[-1]))
    return log_probs


@njit(cache=True)
def _log_softmax(z, log_probs):
    rows, K = z.shape
    for row in range(rows):
        top = z[row, 0]
        for k in range(1, K):
            top = max(top, z[row, k])
        if top == -np.inf:
            top = z.dtype.type(0)
        total = z.dtype.type(0)
        for k in range(K):
            total += np.exp(z[row, k] - top)
        log_total = top + np.log(max(total, z.dtype.type(1)))
        for k in range(K):
            log_probs[row, k] = z[row, k] - log_total


def cross_entropy(logits, labels):
    log_probs = np.empty(logits.shape, logits.dtype)
    _log_softmax(logits, log_probs)
    return np.asarray(_mean_picked(log_probs, labels), logits.dtype)


@njit(cache=True)
def _mean_picked(log_probs, labels):
    N = log_probs.shape[0]
    total = log_probs.dtype.type(0)
    for n in range(N):
        total += log_probs[n, labels[n]]
    return -(total / log_probs.dtype.type(N))


def sigmoid(z):
    p = np.empty(z.shape, z.dtype)
    _sigmoid(z.reshape(-1), p.reshape(-1))
    return p


@njit(cache=True)
def _sigmoid(z, p):
    for i in range(z.size):
        p[i] = _logistic(z[i], z.dtype.type(0), z.dtype.type(1))


@njit(cache=True)
def _logistic(z, zero, one):
    return np.exp(min(z, zero)) / (one + np.exp(-abs(z)))


def gelu(x):
    y = np.empty(x.shape, x.dtype)
    _gelu(x.reshape(-1), y.reshape(-1))
    return y


@njit(cache=True)
def _gelu(x, y):
    one, two = x.dtype.type(1), x.dtype.type(2)
    root = np.sqrt(two)
    for i in range(x.size):
        y[i] = x[i] / two * (one + x.dtype.type(math.erf(x[i] / root)))


def gelu_tanh(x):
    y = np.empty(x.shape, x.dtype)
    _gelu_tanh(x.reshape(-1), y.reshape(-1))
    return y


@njit(cache=True)
def _gelu_tanh(x, y):
    one, two = x.dtype.type(1), x.dtype.type(2)
    root, cubic = x.dtype.type(math.sqrt(2 / math.pi)), x.dtype.type(0.044715)
    for i in range(x.size):
        cube = x[i] * x[i] * x[i]
        y[i] = x[i] / two * (one + np.tanh(root * (x[i] + cubic * cube)))


def quick_gelu(x):
    y = np.empty(x.shape, x.dtype)
    _gated(x.reshape(-1), x.dtype.type(1.702), y.reshape(-1))
    return y


def silu(x):
    y = np.empty(x.shape, x.dtype)
    _gated(x.reshape(-1), x.dtype.type(1), y.reshape(-1))
    return y


@njit(cache=True)
def _gated(x, slope, y):
    zero, one = x.dtype.type(0), x.dtype.type(1)
    for i in range(x.size):
        y[i] = x[i] * _logistic(slope * x[i], zero, one)


def l2_normalize(x):
    D = x.shape[-1]
    u = np.empty(x.shape, x.dtype)
    _l2_normalize(x.reshape(-1, D), u.reshape(-1, D))
    return u


@njit(cache=True)
def _l2_normalize(x, u):
    rows, D = x.shape
    for row in range(rows):
        total = x.dtype.type(0)
        for d in range(D):
            total += x[row, d] * x[row, d]
        norm = np.sqrt(total)
        if norm == 0:  # the zero vector stays zero
            norm = x.dtype.type(1)
        for d in range(D):
            u[row, d] = x[row, d] / norm
