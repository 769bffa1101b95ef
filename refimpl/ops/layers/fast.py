"""Compiled twins of the layers: same names, same arguments, same steps.

Kernels take the range `first` to `last` of rows, or of numbers, which several threads share.
`contract` lets a product and a sum round once; `reassoc`, in functions that only add, lets a sum
run in several lanes. Both leave NaN and infinities alone.
"""

import math

import numpy as np
from numba import njit

from refimpl.compiled.arithmetic import (
    dot,
    is_finite,
    power_of,
    some_products,
    sum_of,
    sum_of_squares,
)
from refimpl.compiled.memory import empty
from refimpl.compiled.threads import fill, multiply, one_blas_thread, parts, share
from refimpl.ops.layers.fast_activations import (  # noqa: F401  found here by their names
    gelu,
    gelu_tanh,
    gelu_tanh_vjp,
    gelu_vjp,
    quick_gelu,
    quick_gelu_vjp,
    sigmoid,
    sigmoid_vjp,
    silu,
    silu_vjp,
)
from refimpl.ops.layers.fast_groups import (  # noqa: F401
    group_norm,
    group_norm_silu,
    group_norm_vjp,
)
from refimpl.ops.layers.fast_softmax import (  # noqa: F401
    cross_entropy,
    cross_entropy_vjp,
    log_softmax,
    log_softmax_vjp,
    softmax,
    softmax_vjp,
)

FEW = 4  # rows for which the weights are read once, and a product would copy them


def linear(x, weight, bias):
    *rest, D = x.shape
    rows = x.reshape(math.prod(rest), D)
    y = empty((*rest, len(weight)), x.dtype)
    linear_into(rows, weight, bias, y.reshape(len(rows), len(weight)))
    return y


def linear_into(rows, weight, bias, y):
    """The layer of rows on all threads: of few, each takes outputs; else of the longer side."""
    if len(rows) <= FEW:
        share(_linear_of_few, len(weight), rows.size, rows, weight, bias, y)
        return
    axis = int(y.shape[1] > y.shape[0])
    size = y.shape[axis]
    block = max(-(-size // parts(size)), 1)
    with one_blas_thread():
        each = block * y.size // max(size, 1) * rows.shape[1] // 16
        fill(some_linear, -(-size // block), each, block, axis, rows, weight, bias, y)


def some_linear(first, last, block, axis, x, weight, bias, y):
    """Blocks of the rows, axis 0, or of the outputs, axis 1."""
    ends = [[0, size] for size in y.shape]
    ends[axis] = [first * block, min(last * block, y.shape[axis])]
    (top, bottom), (left, right) = ends
    np.matmul(x[top:bottom], weight[left:right].T, out=y[top:bottom, left:right])
    return bias is not None and _add_bias(top, bottom, left, right, bias, y)


@njit(cache=True, nogil=True)
def _add_bias(top, bottom, left, right, bias, y):
    power, own = power_of(y.dtype.type(0)), bias[left:right]
    for row in range(top, bottom):
        line = y[row, left:right]  # counted from 0, or the loop does not run wide
        for o in range(line.size):
            line[o] += own[o]
            power = max(power, power_of(line[o]))
    return is_finite(power)


@njit(cache=True, nogil=True)
def _linear_of_few(first, last, x, weight, bias, y):
    some_products(first, last, weight, x, y)
    if bias is not None:
        for row in range(len(x)):
            for o in range(first, last):
                y[row, o] += bias[o]


def linear_vjp(x, weight, grad):
    inputs = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])  # rows D
    outputs_grad = grad.reshape(len(inputs), grad.shape[-1])  # rows O
    x_grad = multiply(outputs_grad, weight)
    return x_grad.reshape(x.shape), multiply(outputs_grad.T, inputs), _sum_of_rows(outputs_grad)


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
    y = empty(x.shape, x.dtype)
    rows = x.reshape(math.prod(x.shape[:-1]), D)
    fill(_layer_norm, len(rows), D, rows, gain, bias, x.dtype.type(eps), y.reshape(rows.shape))
    return y


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _layer_norm(first, last, x, gain, bias, eps, y):
    D, power = x.shape[1], power_of(x.dtype.type(0))
    size = x.dtype.type(D)
    for row in range(first, last):
        mean = sum_of(x[row]) / size
        variance = sum_of_squares(x[row], mean) / size
        share = x.dtype.type(1) / np.sqrt(variance + eps)
        for d in range(D):
            y[row, d] = gain[d] * ((x[row, d] - mean) * share) + bias[d]
            power = max(power, power_of(y[row, d]))
    return is_finite(power)


def layer_norm_vjp(x, gain, eps, grad):
    D = x.shape[-1]
    rows = (math.prod(x.shape[:-1]), D)
    x_grad = empty(x.shape, x.dtype)
    gain_grad, bias_grad = np.zeros_like(gain), np.zeros_like(gain)
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


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _layer_norm_vjp(x, gain, eps, grad, x_grad, gain_grad, bias_grad):
    rows, D = x.shape
    size = x.dtype.type(D)
    for row in range(rows):
        mean = sum_of(x[row]) / size
        variance = sum_of_squares(x[row], mean) / size
        share = x.dtype.type(1) / np.sqrt(variance + eps)
        average, along = _averages(x[row], mean, share, gain, grad[row])
        for d in range(D):
            normal, inner = (x[row, d] - mean) * share, gain[d] * grad[row, d]
            gain_grad[d] += grad[row, d] * normal
            bias_grad[d] += grad[row, d]
            x_grad[row, d] = (inner - average - normal * along) * share


@njit(cache=True, error_model="numpy", fastmath={"reassoc", "contract"})
def _averages(x, mean, share, gain, grad):
    """Of the gradient behind the gain, and of that times the normalised numbers."""
    total, along = x.dtype.type(0), x.dtype.type(0)
    for d in range(x.size):
        inner = gain[d] * grad[d]
        total += inner
        along += inner * ((x[d] - mean) * share)
    return total / x.dtype.type(x.size), along / x.dtype.type(x.size)


def rms_norm(x, gain, eps):
    D = x.shape[-1]
    y = empty(x.shape, x.dtype)
    rows = x.reshape(math.prod(x.shape[:-1]), D)
    fill(_rms_norm, len(rows), D, rows, gain, x.dtype.type(eps), y.reshape(rows.shape))
    return y


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _rms_norm(first, last, x, gain, eps, y):
    D, power = x.shape[1], power_of(x.dtype.type(0))
    for row in range(first, last):
        mean_square = dot(x[row], x[row]) / x.dtype.type(D)
        share = x.dtype.type(1) / np.sqrt(mean_square + eps)
        for d in range(D):
            y[row, d] = gain[d] * (x[row, d] * share)
            power = max(power, power_of(y[row, d]))
    return is_finite(power)


def rms_norm_vjp(x, gain, eps, grad):
    rows = (math.prod(x.shape[:-1]), x.shape[-1])
    x_grad, gain_grad = empty(x.shape, x.dtype), np.zeros_like(gain)
    flat = x.reshape(rows), gain, x.dtype.type(eps), grad.reshape(rows), x_grad.reshape(rows)
    _rms_norm_vjp(*flat, gain_grad)
    return x_grad, gain_grad


@njit(cache=True, error_model="numpy")
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


def l2_normalize(x):
    D = x.shape[-1]
    u = empty(x.shape, x.dtype)
    _l2_normalize(x.reshape(-1, D), u.reshape(-1, D))
    return u


@njit(cache=True, error_model="numpy")
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
    x_grad = empty(x.shape, x.dtype)
    _l2_normalize_vjp(x.reshape(rows), grad.reshape(rows), x_grad.reshape(rows))
    return x_grad


@njit(cache=True, error_model="numpy")
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
