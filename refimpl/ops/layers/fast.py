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


def linear_vjp(x, weight, grad):
    inputs = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])  # rows D
    outputs_grad = grad.reshape(len(inputs), grad.shape[-1])  # rows O
    x_grad = outputs_grad @ weight
    return x_grad.reshape(x.shape), outputs_grad.T @ inputs, _sum_of_rows(outputs_grad)


def _sum_of_rows(rows):
    total = np.zeros(rows.shape[1], rows.dtype)
    _add_rows(rows, total)
    return total


@njit(cache=True)
def _add_rows(rows, total):
    for row in range(rows.shape[0]):
        for d in range(rows.shape[1]):
            total[d] += rows[row, d]


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


def layer_norm_vjp(x, gain, eps, grad):
    D = x.shape[-1]
    rows = (math.prod(x.shape[:-1]), D)
    x_grad, gain_grad, bias_grad = (
        np.empty(x.shape, x.dtype),
        np.zeros_like(gain),
        np.zeros_like(gain),
    )
    _layer_norm_vjp(
        x.reshape(rows),
        gain,
        x.dtype.type(eps),
        grad.reshape(rows),
        x_grad.reshape(rows),
        gain_grad,
        bias_grad,
    )
    return x_grad, gain_grad, bias_grad


@njit(cache=True)
def _layer_norm_vjp(x, gain, eps, grad, x_grad, gain_grad, bias_grad):
    rows, D = x.shape
    size, zero = x.dtype.type(D), x.dtype.type(0)
    for row in range(rows):
        mean = zero
        for d in range(D):
            mean += x[row, d]
        mean /= size
        variance = zero
        for d in range(D):
            centred = x[row, d] - mean
            variance += centred * centred
        root = np.sqrt(variance / size + eps)
        average, along = zero, zero
        for d in range(D):
            normal, inner = (x[row, d] - mean) / root, gain[d] * grad[row, d]
            average += inner
            along += inner * normal
            gain_grad[d] += grad[row, d] * normal
            bias_grad[d] += grad[row, d]
        average /= size
        along /= size
        for d in range(D):
            normal, inner = (x[row, d] - mean) / root, gain[d] * grad[row, d]
            x_grad[row, d] = (inner - average - normal * along) / root


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


def rms_norm_vjp(x, gain, eps, grad):
    rows = (math.prod(x.shape[:-1]), x.shape[-1])
    x_grad, gain_grad = np.empty(x.shape, x.dtype), np.zeros_like(gain)
    flat = x.reshape(rows), gain, x.dtype.type(eps), grad.reshape(rows), x_grad.reshape(rows)
    _rms_norm_vjp(*flat, gain_grad)
    return x_grad, gain_grad


@njit(cache=True)
def _rms_norm_vjp(x, gain, eps, grad, x_grad, gain_grad):
    rows, D = x.shape
    size, zero = x.dtype.type(D), x.dtype.type(0)
    for row in range(rows):
        mean_square = zero
        for d in range(D):
            mean_square += x[row, d] * x[row, d]
        root = np.sqrt(mean_square / size + eps)
        along = zero
        for d in range(D):
            normal = x[row, d] / root
            along += gain[d] * grad[row, d] * normal
            gain_grad[d] += grad[row, d] * normal
        along /= size
        for d in range(D):
            x_grad[row, d] = (gain[d] * grad[row, d] - x[row, d] / root * along) / root


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


def group_norm_vjp(x, gain, groups, eps, grad):
    B, channels, height, width = x.shape
    grouped = (B, groups, channels // groups, height * width)  # B G C pixels
    x_grad, gain_grad, bias_grad = (
        np.empty(x.shape, x.dtype),
        np.zeros_like(gain),
        np.zeros_like(gain),
    )
    _group_norm_vjp(
        x.reshape(grouped),
        gain,
        x.dtype.type(eps),
        grad.reshape(grouped),
        x_grad.reshape(grouped),
        gain_grad,
        bias_grad,
    )
    return x_grad, gain_grad, bias_grad


@njit(cache=True)
def _group_norm_vjp(x, gain, eps, grad, x_grad, gain_grad, bias_grad):
    B, G, C, pixels = x.shape
    size, zero = x.dtype.type(C * pixels), x.dtype.type(0)
    for b in range(B):
        for g in range(G):
            mean = zero
            for c in range(C):
                for i in range(pixels):
                    mean += x[b, g, c, i]
            mean /= size
            variance = zero
            for c in range(C):
                for i in range(pixels):
                    centred = x[b, g, c, i] - mean
                    variance += centred * centred
            root = np.sqrt(variance / size + eps)
            average, along = zero, zero
            for c in range(C):
                channel = g * C + c
                for i in range(pixels):
                    normal = (x[b, g, c, i] - mean) / root
                    inner = gain[channel] * grad[b, g, c, i]
                    average += inner
                    along += inner * normal
                    gain_grad[channel] += grad[b, g, c, i] * normal
                    bias_grad[channel] += grad[b, g, c, i]
            average /= size
            along /= size
            for c in range(C):
                channel = g * C + c
                for i in range(pixels):
                    normal = (x[b, g, c, i] - mean) / root
                    inner = gain[channel] * grad[b, g, c, i]
                    x_grad[b, g, c, i] = (inner - average - normal * along) / root


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


def softmax_vjp(z, grad):
    weights = softmax(z)
    z_grad = np.empty(z.shape, z.dtype)
    rows = (math.prod(z.shape[:-1]), z.shape[-1])
    _softmax_vjp(weights.reshape(rows), grad.reshape(rows), z_grad.reshape(rows))
    return z_grad


@njit(cache=True)
def _softmax_vjp(weights, grad, z_grad):
    rows, K = weights.shape
    for row in range(rows):
        average = weights.dtype.type(0)
        for k in range(K):
            average += grad[row, k] * weights[row, k]
        for k in range(K):
            z_grad[row, k] = weights[row, k] * (grad[row, k] - average)


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


def log_softmax_vjp(z, grad):
    log_probs = log_softmax(z)
    z_grad = np.empty(z.shape, z.dtype)
    rows = (math.prod(z.shape[:-1]), z.shape[-1])
    _log_softmax_vjp(log_probs.reshape(rows), grad.reshape(rows), z_grad.reshape(rows))
    return z_grad


@njit(cache=True)
def _log_softmax_vjp(log_probs, grad, z_grad):
    rows, K = log_probs.shape
    for row in range(rows):
        total = log_probs.dtype.type(0)
        for k in range(K):
            total += grad[row, k]
        for k in range(K):
            z_grad[row, k] = grad[row, k] - np.exp(log_probs[row, k]) * total


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


def cross_entropy_vjp(logits, labels, grad):
    log_probs = np.empty(logits.shape, logits.dtype)
    _log_softmax(logits, log_probs)
    logits_grad = np.empty(logits.shape, logits.dtype)
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


def sigmoid_vjp(z, grad):
    z_grad = np.empty(z.shape, z.dtype)
    _sigmoid_vjp(z.reshape(-1), grad.reshape(-1), z_grad.reshape(-1))
    return z_grad


@njit(cache=True)
def _sigmoid_vjp(z, grad, z_grad):
    zero, one = z.dtype.type(0), z.dtype.type(1)
    for i in range(z.size):
        p = _logistic(z[i], zero, one)
        z_grad[i] = grad[i] * (p * (one - p))


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


def gelu_vjp(x, grad):
    x_grad = np.empty(x.shape, x.dtype)
    _gelu_vjp(x.reshape(-1), grad.reshape(-1), x_grad.reshape(-1))
    return x_grad


@njit(cache=True)
def _gelu_vjp(x, grad, x_grad):
    one, two = x.dtype.type(1), x.dtype.type(2)
    root, peak = np.sqrt(two), x.dtype.type(math.sqrt(2 * math.pi))
    for i in range(x.size):
        probability = (one + x.dtype.type(math.erf(x[i] / root))) / two
        density = np.exp(-(x[i] * x[i]) / two) / peak
        x_grad[i] = grad[i] * (probability + x[i] * density)


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


def gelu_tanh_vjp(x, grad):
    x_grad = np.empty(x.shape, x.dtype)
    _gelu_tanh_vjp(x.reshape(-1), grad.reshape(-1), x_grad.reshape(-1))
    return x_grad


@njit(cache=True)
def _gelu_tanh_vjp(x, grad, x_grad):
    one, two = x.dtype.type(1), x.dtype.type(2)
    slope, cubic = x.dtype.type(math.sqrt(2 / math.pi)), x.dtype.type(0.044715)
    steeper = x.dtype.type(3 * 0.044715)
    for i in range(x.size):
        square = x[i] * x[i]
        h = np.tanh(slope * (x[i] + cubic * (square * x[i])))
        inner = slope * (one + steeper * square)
        x_grad[i] = grad[i] / two * (one + h + x[i] * (one - h * h) * inner)


def quick_gelu(x):
    y = np.empty(x.shape, x.dtype)
    _gated(x.reshape(-1), x.dtype.type(1.702), y.reshape(-1))
    return y


def quick_gelu_vjp(x, grad):
    x_grad = np.empty(x.shape, x.dtype)
    _gated_vjp(x.reshape(-1), x.dtype.type(1.702), grad.reshape(-1), x_grad.reshape(-1))
    return x_grad


def silu(x):
    y = np.empty(x.shape, x.dtype)
    _gated(x.reshape(-1), x.dtype.type(1), y.reshape(-1))
    return y


def silu_vjp(x, grad):
    x_grad = np.empty(x.shape, x.dtype)
    _gated_vjp(x.reshape(-1), x.dtype.type(1), grad.reshape(-1), x_grad.reshape(-1))
    return x_grad


@njit(cache=True)
def _gated(x, slope, y):
    zero, one = x.dtype.type(0), x.dtype.type(1)
    for i in range(x.size):
        y[i] = x[i] * _logistic(slope * x[i], zero, one)


@njit(cache=True)
def _gated_vjp(x, slope, grad, x_grad):
    zero, one = x.dtype.type(0), x.dtype.type(1)
    for i in range(x.size):
        gate = _logistic(slope * x[i], zero, one)
        x_grad[i] = grad[i] * (gate + slope * x[i] * (gate * (one - gate)))


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


def l2_normalize_vjp(x, grad):
    rows = (math.prod(x.shape[:-1]), x.shape[-1])
    x_grad = np.empty(x.shape, x.dtype)
    _l2_normalize_vjp(x.reshape(rows), grad.reshape(rows), x_grad.reshape(rows))
    return x_grad


@njit(cache=True)
def _l2_normalize_vjp(x, grad, x_grad):
    rows, D = x.shape
    for row in range(rows):
        total = x.dtype.type(0)
        for d in range(D):
            total += x[row, d] * x[row, d]
        norm = np.sqrt(total)
        if norm == 0:  # the zero vector passes grad on
            norm = x.dtype.type(1)
        along = x.dtype.type(0)
        for d in range(D):
            along += x[row, d] / norm * grad[row, d]
        for d in range(D):
            x_grad[row, d] = (grad[row, d] - x[row, d] / norm * along) / norm
