"""Compiled twins of CLIP: same names, same arguments, same steps."""

import numpy as np
from numba import njit


def clip_logits(image_features, text_features, log_scale):
    number = image_features.dtype.type
    cosines = _l2_normalize(image_features) @ _l2_normalize(text_features).T  # N M
    return np.exp(number(log_scale)) * cosines


@njit(cache=True)
def _l2_normalize(x):
    zero = x.dtype.type(0)
    u = np.empty(x.shape, x.dtype)
    N, D = x.shape
    for n in range(N):
        square = zero
        for d in range(D):
            square += x[n, d] * x[n, d]
        norm = np.sqrt(square)
        if norm == zero:  # the zero vector stays zero
            norm = x.dtype.type(1)
        for d in range(D):
            u[n, d] = x[n, d] / norm
    return u


def clip_loss(image_features, text_features, log_scale):
    number = image_features.dtype.type
    logits = clip_logits(image_features, text_features, log_scale)  # N N
    by_image = number(_cross_entropy(logits))
    by_text = number(_cross_entropy(np.ascontiguousarray(logits.T)))
    return (by_image + by_text) / number(2)


@njit(cache=True)
def _cross_entropy(logits):
    number = logits.dtype.type
    N = len(logits)
    loss = number(0)
    for n in range(N):  # the label of row n is n
        top = logits[n, 0]
        for k in range(1, N):
            top = max(top, logits[n, k])
        total = number(0)
        for k in range(N):
            total += np.exp(logits[n, k] - top)
        loss += top + np.log(total) - logits[n, n]
    return loss / number(N)


def siglip_loss(image_features, text_features, log_scale, bias):
    number = image_features.dtype.type
    logits = clip_logits(image_features, text_features, log_scale) + number(bias)  # N N
    return number(_sigmoid_loss(logits))


@njit(cache=True)
def _sigmoid_loss(logits):
    number = logits.dtype.type
    N = len(logits)
    loss = number(0)
    for i in range(N):
        for j in range(N):
            signed = logits[i, j] if i == j else -logits[i, j]
            log_sigmoid = min(signed, number(0)) - np.log1p(np.exp(-abs(signed)))
            loss -= log_sigmoid
    return loss / number(N)
