"""Compiled twins of the gates: same names, same arguments, same steps."""

import numpy as np
from numba import njit

from refimpl.compiled.arithmetic import is_finite, power_of
from refimpl.compiled.memory import empty
from refimpl.compiled.threads import fill, share
from refimpl.compiled.tiles import run_wide
from refimpl.ops.layers.fast_activations import (
    _gated,
    _gated_vjp,
    _gelu,
    _gelu_tanh,
    _gelu_tanh_vjp,
    _gelu_vjp,
    _logistic,
    _probability,
    _probability_by_tanh,
)

BLOCK = 1 << 11  # numbers between two loops, in the first cache; a loop in place would not run wide


def relu(x):
    return np.maximum(x, x.dtype.type(0))


def relu_vjp(x, grad):
    return np.where(x > 0, grad, grad.dtype.type(0))


def swiglu(gate, up):
    return _products(_swiglu, gate, up)


def swiglu_vjp(gate, up, grad):
    return _gradients(_swiglu_vjp, gate, up, grad)


def geglu(gate, up):
    return _products(_geglu, gate, up)


def geglu_vjp(gate, up, grad):
    return _gradients(_geglu_vjp, gate, up, grad)


def geglu_tanh(gate, up):
    return _products(_geglu_tanh, gate, up)


def geglu_tanh_vjp(gate, up, grad):
    return _gradients(_geglu_tanh_vjp, gate, up, grad)


def _products(kernel, gate, up):
    y = empty(gate.shape, gate.dtype)
    fill(kernel, gate.size, 1, gate.reshape(-1), up.reshape(-1), y.reshape(-1))
    return y


def _gradients(kernel, gate, up, grad):
    gate_grad, up_grad = empty(gate.shape, gate.dtype), empty(gate.shape, gate.dtype)
    arrays = (x.reshape(-1) for x in (gate, up, grad, gate_grad, up_grad))
    share(kernel, gate.size, 1, *arrays)
    return gate_grad, up_grad


@njit(cache=True, nogil=True)
def _swiglu(first, last, gate, up, y):
    run_wide()
    one = gate.dtype.type(1)
    gate, up, y = gate[first:last], up[first:last], y[first:last]
    power = power_of(y.dtype.type(0))
    for i in range(y.size):
        y[i] = gate[i] * _logistic(gate[i], one) * up[i]
        power = max(power, power_of(y[i]))
    return is_finite(power)


@njit(cache=True, nogil=True)
def _swiglu_vjp(first, last, gate, up, grad, gate_grad, up_grad):
    room = np.empty(BLOCK, grad.dtype)
    for start in range(first, last, BLOCK):
        end = min(start + BLOCK, last)
        _multiply(grad[start:end], up[start:end], room)
        _gated_vjp(0, end - start, gate[start:end], gate.dtype.type(1), room, gate_grad[start:end])
        _gated(0, end - start, gate[start:end], gate.dtype.type(1), room)
        _multiply(grad[start:end], room, up_grad[start:end])


@njit(cache=True, nogil=True)
def _geglu(first, last, gate, up, y):
    run_wide()
    gate, up, y = gate[first:last], up[first:last], y[first:last]
    power = power_of(y.dtype.type(0))
    for i in range(y.size):
        y[i] = gate[i] * _probability(gate[i]) * up[i]
        power = max(power, power_of(y[i]))
    return is_finite(power)


@njit(cache=True, nogil=True)
def _geglu_vjp(first, last, gate, up, grad, gate_grad, up_grad):
    room = np.empty(BLOCK, grad.dtype)
    for start in range(first, last, BLOCK):
        end = min(start + BLOCK, last)
        _multiply(grad[start:end], up[start:end], room)
        _gelu_vjp(0, end - start, gate[start:end], room, gate_grad[start:end])
        _gelu(0, end - start, gate[start:end], room)
        _multiply(grad[start:end], room, up_grad[start:end])


@njit(cache=True, nogil=True)
def _geglu_tanh(first, last, gate, up, y):
    run_wide()
    gate, up, y = gate[first:last], up[first:last], y[first:last]
    power = power_of(y.dtype.type(0))
    for i in range(y.size):
        y[i] = gate[i] * _probability_by_tanh(gate[i]) * up[i]
        power = max(power, power_of(y[i]))
    return is_finite(power)


@njit(cache=True, nogil=True)
def _geglu_tanh_vjp(first, last, gate, up, grad, gate_grad, up_grad):
    room = np.empty(BLOCK, grad.dtype)
    for start in range(first, last, BLOCK):
        end = min(start + BLOCK, last)
        _multiply(grad[start:end], up[start:end], room)
        _gelu_tanh_vjp(0, end - start, gate[start:end], room, gate_grad[start:end])
        _gelu_tanh(0, end - start, gate[start:end], room)
        _multiply(grad[start:end], room, up_grad[start:end])


@njit(cache=True, nogil=True)
def _multiply(left, right, product):
    """As many products as there are left factors."""
    for i in range(left.size):
        product[i] = left[i] * right[i]
