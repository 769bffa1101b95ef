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


def clip_logits_vjp(image_features, text_features, log_scale, grad):
    scale = np.exp(image_features.dtype.type(log_scale))
    images, texts = _l2_normalize(image_features), _l2_normalize(text_features)
    images_grad, texts_grad = scale * (grad @ texts), scale * (grad.T @ images)  # N D, M D
    _across(image_features, images, images_grad)
    _across(text_features, texts, texts_grad)
    log_scale_grad = np.sum(grad * (scale * (images @ texts.T)))
    return images_grad, texts_grad, log_scale_grad


@njit(cache=True)
def _across(x, u, grad):
    """The part of each gradient that is orthogonal to its feature, over the feature's length."""
    zero = x.dtype.type(0)
    N, D = x.shape
    for n in range(N):
        square, along = zero, zero
        for d in range(D):
            square += x[n, d] * x[n, d]
            along += u[n, d] * grad[n, d]
        norm = np.sqrt(square)
        if norm == zero:  # the zero vector passes grad on
            norm = x.dtype.type(1)
        for d in range(D):
            grad[n, d] = (grad[n, d] - u[n, d] * along) / norm


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


def clip_loss_vjp(image_features, text_features, log_scale, grad):
    number = image_features.dtype.type
    logits = clip_logits(image_features, text_features, log_scale)  # N N
    N = number(len(logits))
    by_text = _softmax(np.ascontiguousarray(logits.T)).T
    logits_grad = _softmax(logits) + by_text
    logits_grad[np.diag_indices(len(logits))] -= number(2)
    logits_grad *= number(grad) / (number(2) * N)
    return clip_logits_vjp(image_features, text_features, log_scale, logits_grad)


@njit(cache=True)
def _softmax(logits):
    number = logits.dtype.type
    N = len(logits)
    weights = np.empty(logits.shape, logits.dtype)
    for n in range(N):
        top = logits[n, 0]
        for k in range(1, N):
            top = max(top, logits[n, k])
        total = number(0)
        for k in range(N):
            weights[n, k] = np.exp(logits[n, k] - top)
            total += weights[n, k]
        for k in range(N):
            weights[n, k] /= total
    return weights


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


def siglip_loss_vjp(image_features, text_features, log_scale, bias, grad):
    number = image_features.dtype.type
    logits = clip_logits(image_features, text_features, log_scale) + number(bias)  # N N
    _sigmoid_slopes(logits, number(grad) / number(len(logits)))
    features_and_scale = clip_logits_vjp(image_features, text_features, log_scale, logits)
    return *features_and_scale, np.sum(logits)


@njit(cache=True)
def _sigmoid_slopes(logits, factor):
    number = logits.dtype.type
    N = len(logits)
    for i in range(N):
        for j in range(N):
            sign = number(1) if i == j else number(-1)
            wrong = -sign * logits[i, j]
            share = np.exp(min(wrong, number(0))) / (number(1) + np.exp(-abs(wrong)))
            logits[i, j] = -factor * sign * share
