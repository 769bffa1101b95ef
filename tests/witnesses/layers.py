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


def linear_vjp(x, weight, grad):
    outputs, width = weight.shape
    rows = list(np.ndindex(x.shape[:-1]))
    x_grad, weight_grad, bias_grad = np.zeros(x.shape), np.zeros(weight.shape), np.zeros(outputs)
    for row in rows:
        for d in range(width):
            x_grad[(*row, d)] = math.fsum(grad[(*row, o)] * weight[o, d] for o in range(outputs))
    for o in range(outputs):
        bias_grad[o] = math.fsum(grad[(*row, o)] for row in rows)
        for d in range(width):
            weight_grad[o, d] = math.fsum(grad[(*row, o)] * x[(*row, d)] for row in rows)
    return x_grad, weight_grad, bias_grad


def layer_norm(x, gain, bias, eps):
    y = np.zeros(x.shape)
    for row in np.ndindex(x.shape[:-1]):
        for d, normal in enumerate(_standardised(list(x[row]), eps)):
            y[(*row, d)] = math.fsum([gain[d] * normal, bias[d]])
    return y


def layer_norm_vjp(x, gain, eps, grad):
    """The Jacobian entry by entry: (δ_ij - 1/D - x̂_i x̂_j / D) / r."""
    width, rows = x.shape[-1], list(np.ndindex(x.shape[:-1]))
    x_grad, gain_terms = np.zeros(x.shape), [[] for _ in range(width)]
    for row in rows:
        normals, size = _standardised(list(x[row]), eps), _deviation(list(x[row]), eps)
        inner = [gain[d] * grad[(*row, d)] for d in range(width)]
        for d, slope in enumerate(_through_norm(normals, inner, size)):
            x_grad[(*row, d)] = slope
            gain_terms[d].append(grad[(*row, d)] * normals[d])
    bias_grad = [math.fsum(grad[(*row, d)] for row in rows) for d in range(width)]
    return x_grad, np.array([math.fsum(terms) for terms in gain_terms]), np.array(bias_grad)


def _through_norm(normals, inner, size):
    n = len(normals)
    average = math.fsum(inner) / n
    along = math.fsum(g * x for g, x in zip(inner, normals, strict=True)) / n
    pairs = zip(inner, normals, strict=True)
    return [math.fsum((g, -average, -x * along)) / size for g, x in pairs]


def _deviation(numbers, eps):
    mean = math.fsum(numbers) / len(numbers)
    return _root_mean_square([number - mean for number in numbers], eps)


def rms_norm(x, gain, eps):
    y = np.zeros(x.shape)
    for row in np.ndindex(x.shape[:-1]):
        size = _root_mean_square(x[row], eps)
        for d, entry in enumerate(x[row]):
            y[(*row, d)] = gain[d] * entry / size
    return y


def rms_norm_vjp(x, gain, eps, grad):
    """With the length of the vector: the sum of products over D r³."""
    width, rows = x.shape[-1], list(np.ndindex(x.shape[:-1]))
    x_grad, gain_terms = np.zeros(x.shape), [[] for _ in range(width)]
    for row in rows:
        size = _root_mean_square(x[row], eps)
        inner = [gain[d] * grad[(*row, d)] for d in range(width)]
        pull = math.fsum(g * v for g, v in zip(inner, x[row], strict=True)) / (width * size * size)
        for d in range(width):
            x_grad[(*row, d)] = math.fsum((inner[d], -x[(*row, d)] * pull)) / size
            gain_terms[d].append(grad[(*row, d)] * x[(*row, d)] / size)
    return x_grad, np.array([math.fsum(terms) for terms in gain_terms])


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


def group_norm_vjp(x, gain, groups, eps, grad):
    x_grad = np.zeros(x.shape)
    samples, channels, height, width = x.shape
    together = channels // groups
    gain_terms, bias_terms = [[] for _ in range(channels)], [[] for _ in range(channels)]
    for b in range(samples):
        for first in range(0, channels, together):
            places = [
                (b, c, i, j)
                for c in range(first, first + together)
                for i in range(height)
                for j in range(width)
            ]
            numbers = [x[place] for place in places]
            normals, size = _standardised(numbers, eps), _deviation(numbers, eps)
            inner = [gain[place[1]] * grad[place] for place in places]
            slopes = _through_norm(normals, inner, size)
            for place, normal, slope in zip(places, normals, slopes, strict=True):
                x_grad[place] = slope
                gain_terms[place[1]].append(grad[place] * normal)
                bias_terms[place[1]].append(grad[place])
    return (
        x_grad,
        np.array(list(map(math.fsum, gain_terms))),
        np.array(list(map(math.fsum, bias_terms))),
    )


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


def softmax_vjp(z, grad):
    """Differences of pairs: p_i Σ_j p_j (g_i - g_j)."""
    p, z_grad = softmax(z), np.zeros(z.shape)
    for row in np.ndindex(z.shape[:-1]):
        for k, g in enumerate(grad[row]):
            pairs = zip(p[row], grad[row], strict=True)
            z_grad[(*row, k)] = p[(*row, k)] * math.fsum(q * (g - other) for q, other in pairs)
    return z_grad


def log_softmax(z):
    result = np.zeros(z.shape)
    for row in np.ndindex(z.shape[:-1]):
        top = max(range(z.shape[-1]), key=lambda k, row=row: z[(*row, k)])
        for k in range(z.shape[-1]):
            result[(*row, k)] = -_surprise(z[row], top, k)
    return result


def log_softmax_vjp(z, grad):
    p, z_grad = softmax(z), np.zeros(z.shape)
    for row in np.ndindex(z.shape[:-1]):
        for k in range(z.shape[-1]):
            shares = [-p[(*row, k)] * g for g in grad[row]]
            z_grad[(*row, k)] = math.fsum((grad[(*row, k)], *shares))
    return z_grad


def cross_entropy(logits, labels):
    surprises = []
    for row, label in zip(logits, labels, strict=True):
        top = max(range(len(row)), key=lambda k, row=row: row[k])
        surprises.append(_surprise(row, top, label))
    return np.array(math.fsum(surprises) / len(surprises))


def cross_entropy_vjp(logits, labels, grad):
    """The label's entry is minus the sum of all others."""
    N, K = logits.shape
    logits_grad = np.zeros((N, K))
    for n, label in enumerate(labels):
        p = softmax(logits[n])
        others = [k for k in range(K) if k != label]
        for k in others:
            logits_grad[n, k] = float(grad) * p[k] / N
        logits_grad[n, label] = -float(grad) * math.fsum(p[k] for k in others) / N
    return logits_grad


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


def sigmoid_vjp(z, grad):
    z_grad = np.zeros(z.shape)
    for place in np.ndindex(z.shape):
        z_grad[place] = grad[place] * _logistic(z[place]) * _logistic(-z[place])
    return z_grad


def _logistic(z):
    return 1 / (1 + math.exp(-z)) if z > -700 else math.exp(z)


def gelu(x):
    y = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        y[place] = x[place] * math.erfc(-x[place] / math.sqrt(2)) / 2
    return y


def gelu_vjp(x, grad):
    x_grad = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        v = x[place]
        density = math.exp(-v * v / 2) / math.sqrt(2 * math.pi)
        x_grad[place] = grad[place] * math.fsum((math.erfc(-v / math.sqrt(2)) / 2, v * density))
    return x_grad


def gelu_tanh(x):
    y = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        v = x[place]
        y[place] = v * _logistic(math.sqrt(8 / math.pi) * v * (1 + 0.044715 * v * v))
    return y


def gelu_tanh_vjp(x, grad):
    x_grad = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        v, k = x[place], math.sqrt(8 / math.pi)
        gate, other = (_logistic(sign * k * v * (1 + 0.044715 * v * v)) for sign in (1, -1))
        steep = k * (v + 0.134145 * v**3)
        x_grad[place] = grad[place] * math.fsum((gate, gate * other * steep))
    return x_grad


def quick_gelu(x):
    y = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        y[place] = x[place] * _logistic(1.702 * x[place])
    return y


def quick_gelu_vjp(x, grad):
    return silu_vjp(1.702 * x, grad)


def silu(x):
    y = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        y[place] = x[place] * _logistic(x[place])
    return y


def silu_vjp(x, grad):
    x_grad = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        gate, other = _logistic(x[place]), _logistic(-x[place])
        x_grad[place] = grad[place] * math.fsum((gate, x[place] * gate * other))
    return x_grad


def l2_normalize(x):
    u = np.zeros(x.shape)
    for row in np.ndindex(x.shape[:-1]):
        length = math.hypot(*x[row])
        for d, entry in enumerate(x[row]):
            u[(*row, d)] = entry / length if length else 0.0
    return u


def l2_normalize_vjp(x, grad):
    """Differences of pairs: Σ_j x_j (g_i x_j - g_j x_i) over the length cubed."""
    x_grad = np.zeros(x.shape)
    for row in np.ndindex(x.shape[:-1]):
        length = math.hypot(*x[row])
        for d, g in enumerate(grad[row]):
            unit = [entry / length if length else 0.0 for entry in x[row]]
            pairs = zip(unit, grad[row], strict=True)
            across = math.fsum(u * (g * u - other * unit[d]) for u, other in pairs)
            x_grad[(*row, d)] = across / length if length else g
    return x_grad
