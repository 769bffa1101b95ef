"""The gates, one number at a time."""

import math

import numpy as np


def _share_and_slope(kind, v):
    """The share that a gate lets through, and how fast it grows."""
    if kind == "gelu":
        density = math.exp(-v * v / 2) / math.sqrt(2 * math.pi)
        return math.erfc(-v / math.sqrt(2)) / 2, density
    k, cubic = (1.0, 0.0) if kind == "silu" else (math.sqrt(8 / math.pi), 0.044715)
    inner, steep = k * v * (1 + cubic * v * v), k * (1 + 3 * cubic * v * v)
    small = math.exp(-abs(inner))
    share = 1 / (1 + small) if inner >= 0 else small / (1 + small)
    return share, steep * small / (1 + small) ** 2


def _gate(kind, gate, up):
    y = np.zeros(gate.shape)
    for place in np.ndindex(gate.shape):
        y[place] = up[place] * gate[place] * _share_and_slope(kind, gate[place])[0]
    return y


def _gate_vjp(kind, gate, up, grad):
    gate_grad, up_grad = np.zeros(gate.shape), np.zeros(gate.shape)
    for place in np.ndindex(gate.shape):
        v = gate[place]
        share, slope = _share_and_slope(kind, v)
        gate_grad[place] = grad[place] * up[place] * math.fsum((share, v * slope))
        up_grad[place] = grad[place] * v * share
    return gate_grad, up_grad


def relu(x):
    y = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        if x[place] > 0:
            y[place] = x[place]
    return y


def relu_vjp(x, grad):
    x_grad = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        if x[place] > 0:
            x_grad[place] = grad[place]
    return x_grad


def swiglu(gate, up):
    return _gate("silu", gate, up)


def swiglu_vjp(gate, up, grad):
    return _gate_vjp("silu", gate, up, grad)


def geglu(gate, up):
    return _gate("gelu", gate, up)


def geglu_vjp(gate, up, grad):
    return _gate_vjp("gelu", gate, up, grad)


def geglu_tanh(gate, up):
    return _gate("tanh", gate, up)


def geglu_tanh_vjp(gate, up, grad):
    return _gate_vjp("tanh", gate, up, grad)
