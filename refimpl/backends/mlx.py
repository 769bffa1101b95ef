"""MLX on the CPU: its fast kernels and layers; it has no float64 products beyond its CPU's.

Every function takes the arguments of the operation of the same name as NumPy arrays and returns
NumPy arrays.
"""

from __future__ import annotations

import functools

import mlx.core as mx
import mlx.nn as nn
import numpy as np

VERSION = mx.__version__
PRECISIONS = ("float32", "bfloat16", "float16")

mx.set_default_device(mx.cpu)


def _read(value):
    if not isinstance(value, np.ndarray):
        return value
    if value.dtype.name == "bfloat16":
        return mx.array(value.astype(np.float32)).astype(mx.bfloat16)
    return mx.array(np.ascontiguousarray(value))  # it takes no negative strides


def _write(array):
    if array.dtype == mx.bfloat16:
        import ml_dtypes

        return np.array(array.astype(mx.float32)).astype(ml_dtypes.bfloat16)  # exact
    return np.array(array)


def _on_arrays(function):
    """NumPy arrays outside, MLX arrays inside."""

    @functools.wraps(function)
    def call(**inputs):
        return _write(function(**{name: _read(value) for name, value in inputs.items()}))

    return call


@_on_arrays
def linear(x, weight, bias):
    """mlx.core.matmul"""
    y = x @ weight.T
    return y if bias is None else y + bias


@_on_arrays
def layer_norm(x, gain, bias, eps):
    """mlx.core.fast.layer_norm"""
    return mx.fast.layer_norm(x, gain, bias, eps)


@_on_arrays
def rms_norm(x, gain, eps):
    """mlx.core.fast.rms_norm"""
    return mx.fast.rms_norm(x, gain, eps)


@_on_arrays
def softmax(z):
    """mlx.core.softmax"""
    return mx.softmax(z, axis=-1)


@_on_arrays
def log_softmax(z):
    """mlx.core.logsumexp"""
    return z - mx.logsumexp(z, axis=-1, keepdims=True)


@_on_arrays
def cross_entropy(logits, labels):
    """mlx.nn.losses.cross_entropy"""
    return nn.losses.cross_entropy(logits, labels, reduction="mean")


@_on_arrays
def sigmoid(z):
    """mlx.core.sigmoid"""
    return mx.sigmoid(z)


@_on_arrays
def gelu(x):
    """mlx.nn.gelu"""
    return nn.gelu(x)


@_on_arrays
def gelu_tanh(x):
    """mlx.nn.gelu_approx"""
    return nn.gelu_approx(x)


@_on_arrays
def silu(x):
    """mlx.nn.silu"""
    return nn.silu(x)


@_on_arrays
def patch_embed(images, weight, bias):
    """mlx.core.conv2d"""
    image, kernel = images.transpose(0, 2, 3, 1), weight.transpose(0, 2, 3, 1)
    grid = mx.conv2d(image, kernel, stride=tuple(weight.shape[2:]))  # B rows cols D
    tokens = grid.reshape(grid.shape[0], -1, grid.shape[3])
    return tokens if bias is None else tokens + bias


@_on_arrays
def attention(query, key, value, bias):
    """mlx.core.fast.scaled_dot_product_attention"""
    scale = query.shape[-1] ** -0.5
    return mx.fast.scaled_dot_product_attention(query, key, value, scale=scale, mask=bias)
