"""Layers, one number at a time."""

import math

import numpy as np


def linear(x, weight, bias):
    outputs, width = weight.shape
    y = np.zeros((*x.shape[:-1], outputs))
    for place in np.ndindex(y.shape):
        *row, o = place
        products = [x[(*row, d)] * weight[o, d] for d in range(width)]
        y[place] = math.fsum(products if bias is None else [*products, bias[o]])
    return y


def layer_norm(x, gain, bias, eps):
    y = np.zeros(x.shape)
    for row in np.ndindex(x.shape[:-1]):
        for d, normal in enumerate(_standardised(list(x[row]), eps)):
            y[(*row, d)] = math.fsum([gain[d] * normal, bias[d]])
    return y


def rms_norm(x, gain, eps):
    y = np.zeros(x.shape)
    for row in np.ndindex(x.shape[:-1]):
        size = _root_mean_square(x[row], eps)
        for d, entry in enumerate(x[row]):
            y[(*row, d)] = gain[d] * entry / size
    return y


def group_norm(x, gain, bias, groups, eps):
    y = np.zeros(x.shape)
    samples, channels, height, width = x.shape
    together = channels // groups
    for b in range(samples):
        for first in range(0, channels, together):
            places = [
                (b, c, i, j)
                for c in range(first, first + together)
                for i in range(height)
                for j in range(width)
            ]
            normals = _standardised([x[place] for place in places], eps)
            for place, normal in zip(places, normals, strict=True):
                y[place] = math.fsum([gain[place[1]] * normal, bias[place[1]]])
    return y


def _standardised(numbers, eps):
    mean = math.fsum(numbers) / len(numbers)
    centred = [number - mean for number in numbers]
    size = _root_mean_square(centred, eps)
    return [number / size for number in centred]


def _root_mean_square(numbers, eps):
    """The root of mean square plus eps, as the length of a vector with √eps as last component."""
    return math.hypot(math.hypot(*numbers) / math.sqrt(len(numbers)), math.sqrt(eps))


def softmax(z):
    p = np.zeros(z.shape)
    for row in np.ndindex(z.shape[:-1]):
        largest = max(z[row])
        if largest == -math.inf:
            continue
        total = math.fsum(math.exp(x - largest) for x in z[row])
        for k, x in enumerate(z[row]):
            p[(*row, k)] = math.exp(x - largest) / total
    return p


def log_softmax(z):
    result = np.zeros(z.shape)
    for row in np.ndindex(z.shape[:-1]):
        top = max(range(z.shape[-1]), key=lambda k, row=row: z[(*row, k)])
        for k in range(z.shape[-1]):
            result[(*row, k)] = -_surprise(z[row], top, k)
    return result


def cross_entropy(logits, labels):
    surprises = []
    for row, label in zip(logits, labels, strict=True):
        top = max(range(len(row)), key=lambda k, row=row: row[k])
        surprises.append(_surprise(row, top, label))
    return np.array(math.fsum(surprises) / len(surprises))


def _surprise(row, top, k):
    """Minus the log-probability of entry k: the largest entry stands apart from the sum."""
    if row[k] == -math.inf:
        return math.inf
    others = math.fsum(math.exp(x - row[top]) for j, x in enumerate(row) if j != top)
    return (row[top] - row[k]) + math.log1p(others)


def sigmoid(z):
    p = np.zeros(z.shape)
    for place in np.ndindex(z.shape):
        p[place] = _logistic(z[place])
    return p


def _logistic(z):
    return 1 / (1 + math.exp(-z)) if z > -700 else math.exp(z)


def gelu(x):
    y = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        y[place] = x[place] * math.erfc(-x[place] / math.sqrt(2)) / 2
    return y


def gelu_tanh(x):
    y = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        v = x[place]
        y[place] = v * _logistic(math.sqrt(8 / math.pi) * v * (1 + 0.044715 * v * v))
    return y


def quick_gelu(x):
    y = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        y[place] = x[place] * _logistic(1.702 * x[place])
    return y


def silu(x):
    y = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        y[place] = x[place] * _logistic(x[place])
    return y


def l2_normalize(x):
    u = np.zeros(x.shape)
    for row in np.ndindex(x.shape[:-1]):
        length = math.hypot(*x[row])
        for d, entry in enumerate(x[row]):
            u[(*row, d)] = entry / length if length else 0.0
    return u
