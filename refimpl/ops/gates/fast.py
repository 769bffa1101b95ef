"""Compiled twins of the gates: same names, same arguments, same steps."""

import numpy as np
from numba import njit

from refimpl.compiled.arithmetic import is_finite, power_of
from refimpl.compiled.memory import empty
from refimpl.compiled.threads import fill, share
from refimpl.ops.layers.fast_activations import (
    _gated,
    _gated_vjp,
    _gelu,
    _gelu_tanh,
    _gelu_tanh_vjp,
    _gelu_vjp,
)


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
    _gated(first, last, gate, gate.dtype.type(1), y)
    return _scale(first, last, y, up)


@njit(cache=True, nogil=True)
def _swiglu_vjp(first, last, gate, up, grad, gate_grad, up_grad):
    one = gate.dtype.type(1)
    _multiply(first, last, grad, up, gate_grad)
    _gated_vjp(first, last, gate, one, gate_grad, gate_grad)
    _gated(first, last, gate, one, up_grad)
    _scale(first, last, up_grad, grad)


@njit(cache=True, nogil=True)
def _geglu(first, last, gate, up, y):
    _gelu(first, last, gate, y)
    return _scale(first, last, y, up)


@njit(cache=True, nogil=True)
def _geglu_vjp(first, last, gate, up, grad, gate_grad, up_grad):
    _multiply(first, last, grad, up, gate_grad)
    _gelu_vjp(first, last, gate, gate_grad, gate_grad)
    _gelu(first, last, gate, up_grad)
    _scale(first, last, up_grad, grad)


@njit(cache=True, nogil=True)
def _geglu_tanh(first, last, gate, up, y):
    _gelu_tanh(first, last, gate, y)
    return _scale(first, last, y, up)


@njit(cache=True, nogil=True)
def _geglu_tanh_vjp(first, last, gate, up, grad, gate_grad, up_grad):
    _multiply(first, last, grad, up, gate_grad)
    _gelu_tanh_vjp(first, last, gate, gate_grad, gate_grad)
    _gelu_tanh(first, last, gate, up_grad)
    _scale(first, last, up_grad, grad)


@njit(cache=True, nogil=True)
def _scale(first, last, y, factor):
    return _multiply(first, last, y, factor, y)


@njit(cache=True, nogil=True)
def _multiply(first, last, left, right, product):
    left, right, product = left[first:last], right[first:last], product[first:last]
    power = power_of(product.dtype.type(0))
    for i in range(product.size):
        product[i] = left[i] * right[i]
        power = max(power, power_of(product[i]))
    return is_finite(power)
