"""tinygrad on the CPU: lazy tensors, computed once they are asked for.

Every function takes the arguments of the operation of the same name as NumPy arrays and returns
NumPy arrays.
"""

from __future__ import annotations

import functools
import importlib.metadata
import os
import shutil

import numpy as np

# before the import, which looks for devices: kernels are C for clang, or run in Python
os.environ.setdefault("DEV", "CPU" if shutil.which("clang") else "PYTHON")

from tinygrad import Tensor, dtypes

VERSION = importlib.metadata.version("tinygrad")
PRECISIONS = ("float64", "float32", "bfloat16", "float16")


def _read(value):
    if not isinstance(value, np.ndarray):
        return value
    if value.dtype.name == "bfloat16":
        return Tensor(value.astype(np.float32)).cast(dtypes.bfloat16)
    return Tensor(np.array(value))


def _write(tensor):
    if tensor.dtype == dtypes.bfloat16:
        import ml_dtypes

        return tensor.cast(dtypes.float32).numpy().astype(ml_dtypes.bfloat16)  # exact
    return tensor.numpy()


def _on_tensors(function):
    """NumPy arrays outside, tinygrad tensors inside."""

    @functools.wraps(function)
    def call(**inputs):
        if any(isinstance(x, np.ndarray) and not x.size for x in inputs.values()):
            raise NotImplementedError("tinygrad computes nothing of empty arrays")
        return _write(function(**{name: _read(value) for name, value in inputs.items()}))

    return call


@_on_tensors
def linear(x, weight, bias):
    """Tensor.linear"""
    return x.linear(weight.T, bias)


@_on_tensors
def layer_norm(x, gain, bias, eps):
    """Tensor.layernorm"""
    return x.layernorm(eps=eps) * gain + bias


@_on_tensors
def softmax(z):
    """Tensor.softmax"""
    return z.softmax(-1)


@_on_tensors
def log_softmax(z):
    """Tensor.log_softmax"""
    return z.log_softmax(-1)


@_on_tensors
def cross_entropy(logits, labels):
    """Tensor.sparse_categorical_crossentropy"""
    return logits.sparse_categorical_crossentropy(labels)


@_on_tensors
def sigmoid(z):
    """Tensor.sigmoid"""
    return z.sigmoid()


@_on_tensors
def gelu_tanh(x):
    """Tensor.gelu"""
    return x.gelu()


@_on_tensors
def quick_gelu(x):
    """Tensor.quick_gelu"""
    return x.quick_gelu()


@_on_tensors
def silu(x):
    """Tensor.silu"""
    return x.silu()


@_on_tensors
def patch_embed(images, weight, bias):
    """Tensor.conv2d"""
    grid = images.conv2d(weight, stride=tuple(weight.shape[2:]))
    tokens = grid.flatten(2).transpose(1, 2)  # B N D
    return tokens if bias is None else tokens + bias


@_on_tensors
def attention(query, key, value, bias):
    """Tensor.scaled_dot_product_attention"""
    if query.shape[1] != key.shape[1]:
        raise NotImplementedError("judged with as many key heads as heads")
    return query.scaled_dot_product_attention(key, value, bias)
