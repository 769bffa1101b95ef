"""Gradients of layers and steps, honestly rewritten."""

from __future__ import annotations

import numpy as np

from refimpl.constants import constant, erf, pi
from refimpl.op import values
from refimpl.ops.diffusion import reference as diffusion_page
from refimpl.ops.layers import reference as layers
from tests.audit.rewrites_of_shares import log_softmax_shifted, sigmoid_plain, softmax_online

at = diffusion_page.at


def layer_norm_vjp_two_moments(x, gain, eps, grad):
    """As torch: a factor times x plus a constant, from sums of grad and of grad times x."""
    D, rows = x.shape[-1], tuple(range(x.ndim - 1))
    mean = np.mean(x, axis=-1, keepdims=True)
    variance = np.mean((x - mean) * (x - mean), axis=-1, keepdims=True)
    inverse, inner = 1 / np.sqrt(variance + eps), grad * gain
    total = np.sum(inner, axis=-1, keepdims=True)
    product = np.sum(inner * x, axis=-1, keepdims=True)
    pull = (total * mean - product) * inverse * inverse * inverse / D
    x_grad = inverse * inner + pull * x - (pull * mean + total * inverse / D)
    normal = x * inverse - mean * inverse
    return x_grad, np.sum(grad * normal, axis=rows), np.sum(grad, axis=rows)


def layer_norm_vjp_backwards(x, gain, eps, grad):
    """Step by step through the text, as automatic differentiation goes."""
    D, rows = x.shape[-1], tuple(range(x.ndim - 1))
    centred = x - np.mean(x, axis=-1, keepdims=True)
    root = np.sqrt(np.mean(centred * centred, axis=-1, keepdims=True) + eps)
    inner = gain * grad
    root_grad = -np.sum(inner * centred / (root * root), axis=-1, keepdims=True)
    square_grad = root_grad / (2 * root) / D
    centred_grad = inner / root + square_grad * centred + square_grad * centred
    x_grad = centred_grad - np.sum(centred_grad, axis=-1, keepdims=True) / D
    return x_grad, np.sum(grad * (centred / root), axis=rows), np.sum(grad, axis=rows)


def rms_norm_vjp_backwards(x, gain, eps, grad):
    root = np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps)
    inner = gain * grad
    inverse = 1 / root
    pull = np.sum(inner * x, axis=-1, keepdims=True) * (inverse * inverse * inverse)
    x_grad = inner * inverse - x * (pull / x.shape[-1])
    return x_grad, np.sum(grad * (x * inverse), axis=tuple(range(x.ndim - 1)))


def group_norm_vjp_two_moments(x, gain, groups, eps, grad):
    B, channels, height, width = x.shape
    shape = (B, groups, channels // groups * height * width)
    ones = np.ones(shape[-1])
    inner = np.reshape(gain[:, None, None] * grad, shape)
    x_grad, _, _ = layer_norm_vjp_two_moments(np.reshape(x, shape), ones, eps, inner)
    _, gain_grad, bias_grad = layers.group_norm_vjp(x, gain, groups, eps, grad)
    return np.reshape(x_grad, x.shape), gain_grad, bias_grad


def softmax_vjp_distributed(z, grad):
    weights = softmax_online(z)
    products = weights * grad
    return products - weights * np.sum(products, axis=-1, keepdims=True)


def log_softmax_vjp_from_weights(z, grad):
    return grad - layers.softmax(z) * np.sum(grad, axis=-1, keepdims=True)


def cross_entropy_vjp_fused(logits, labels, grad):
    one_hot = np.eye(logits.shape[-1])[labels]
    return (layers.softmax(logits) - one_hot) * grad / len(labels)


def cross_entropy_vjp_backwards(logits, labels, grad):
    N, K = logits.shape
    log_probs_grad = np.eye(K)[labels] * (-grad / N)
    total = np.sum(log_probs_grad, axis=-1, keepdims=True)
    return log_probs_grad - np.exp(log_softmax_shifted(logits)) * total


def sigmoid_vjp_both_events(z, grad):
    odds = np.exp(-np.abs(z))
    return grad * (1 / (1 + odds)) * (odds / (1 + odds))


def gelu_vjp_distributed(x, grad):
    root = np.sqrt(1 / constant(2, x))
    bell = np.exp(x * x * -0.5) * (1 / np.sqrt(2 * pi(x)))
    return grad * (0.5 * (1 + erf(x * root))) + grad * (x * bell)


def gelu_tanh_vjp_split(x, grad):
    """As torch: both factors and their derivatives one after the other."""
    slope = np.sqrt(2 / pi(x))
    h = np.tanh(slope * (x + 0.044715 * (x * x * x)))
    left, right = 0.5 * x, 1 + h
    steep = (1 - h * h) * (slope * (1 + 0.134145 * (x * x)))
    return grad * (0.5 * right + left * steep)


def quick_gelu_vjp_backwards(x, grad):
    gate = sigmoid_plain(1.702 * x)
    return grad * gate + 1.702 * (grad * x * (1 - gate) * gate)


def silu_vjp_factored(x, grad):
    gate = sigmoid_plain(x)
    return grad * (gate * (1 + x * (1 - gate)))


def l2_normalize_vjp_backwards(x, grad):
    squares = np.sum(x * x, axis=-1, keepdims=True)
    zero = values(squares) == 0
    norm = np.sqrt(np.where(zero, 1, squares))
    norm_grad = -np.sum(grad * (x / norm) / norm, axis=-1, keepdims=True)
    return grad / norm + norm_grad * (x / norm)


def linear_vjp_in_order(x, weight, grad):
    """The outputs one after the other, and the vectors of the batch likewise."""
    x_grad = grad[..., :1] * weight[0]
    for o in range(1, len(weight)):
        x_grad = x_grad + grad[..., o : o + 1] * weight[o]
    rows, rows_grad = np.reshape(x, (-1, x.shape[-1])), np.reshape(grad, (-1, grad.shape[-1]))
    weight_grad = 0 * weight
    for row in range(len(rows)):
        weight_grad = weight_grad + rows_grad[row][:, None] * rows[row]
    return x_grad, weight_grad, np.sum(grad, axis=tuple(range(grad.ndim - 1)))


def x0_from_eps_vjp_tables(t, alpha_bar, grad):
    share = at(values(alpha_bar).astype(np.float64), t, grad)
    return np.sqrt(1 / share) * grad, -np.sqrt(1 / share - 1) * grad
