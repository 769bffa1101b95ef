"""Keras on the CPU, on the backend that `KERAS_BACKEND` names, TensorFlow where it names none.

Every function takes the arguments of the operation of the same name as NumPy arrays and returns
NumPy arrays.
"""

from __future__ import annotations

import functools
import os

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before the import: TensorFlow greets on stderr

import keras
from keras import ops

VERSION = f"{keras.__version__} on {keras.config.backend()}"
PRECISIONS = ("float64", "float32", "bfloat16", "float16")


def _on_tensors(function):
    """NumPy arrays outside, tensors of the backend inside."""

    @functools.wraps(function)
    def call(**inputs):
        is_array = {n: isinstance(x, np.ndarray) for n, x in inputs.items()}
        tensors = {n: ops.convert_to_tensor(x) if is_array[n] else x for n, x in inputs.items()}
        return ops.convert_to_numpy(function(**tensors))

    return call


# Layers


@_on_tensors
def linear(x, weight, bias):
    """keras.ops.matmul"""
    y = ops.matmul(x, ops.transpose(weight))
    return y if bias is None else y + bias


@_on_tensors
def layer_norm(x, gain, bias, eps):
    """keras.ops.layer_normalization"""
    return ops.layer_normalization(x, gain, bias, axis=-1, epsilon=eps)


@_on_tensors
def rms_norm(x, gain, eps):
    """keras.ops.rms_normalization"""
    return ops.rms_normalization(x, gain, axis=-1, epsilon=eps)


@_on_tensors
def group_norm(x, gain, bias, groups, eps):
    """keras.layers.GroupNormalization"""
    layer = keras.layers.GroupNormalization(groups, axis=1, epsilon=eps, dtype=x.dtype)
    layer.build(x.shape)
    layer.gamma.assign(gain)
    layer.beta.assign(bias)
    return layer(x)


@_on_tensors
def softmax(z):
    """keras.ops.softmax"""
    return ops.softmax(z)


@_on_tensors
def log_softmax(z):
    """keras.ops.log_softmax"""
    return ops.log_softmax(z)


@_on_tensors
def cross_entropy(logits, labels):
    """keras.ops.sparse_categorical_crossentropy, keras.ops.mean"""
    return ops.mean(ops.sparse_categorical_crossentropy(labels, logits, from_logits=True))


@_on_tensors
def sigmoid(z):
    """keras.ops.sigmoid"""
    return ops.sigmoid(z)


@_on_tensors
def gelu(x):
    """keras.ops.gelu(approximate=False)"""
    return ops.gelu(x, approximate=False)


@_on_tensors
def gelu_tanh(x):
    """keras.ops.gelu"""
    return ops.gelu(x)


@_on_tensors
def silu(x):
    """keras.ops.silu"""
    return ops.silu(x)


@_on_tensors
def swiglu(gate, up):
    """keras.ops.silu"""
    return ops.silu(gate) * up


@_on_tensors
def geglu(gate, up):
    """keras.ops.gelu(approximate=False)"""
    return ops.gelu(gate, approximate=False) * up


@_on_tensors
def geglu_tanh(gate, up):
    """keras.ops.gelu"""
    return ops.gelu(gate) * up


@_on_tensors
def l2_normalize(x):
    """keras.ops.normalize"""
    return ops.normalize(x, axis=-1, order=2)


# Images


@_on_tensors
def patch_embed(images, weight, bias):
    """keras.ops.conv"""
    image, kernel = ops.transpose(images, (0, 2, 3, 1)), ops.transpose(weight, (2, 3, 1, 0))
    grid = ops.conv(image, kernel, strides=weight.shape[2:], data_format="channels_last")
    tokens = ops.reshape(grid, (grid.shape[0], grid.shape[1] * grid.shape[2], grid.shape[3]))
    return tokens if bias is None else tokens + bias  # B N D


@_on_tensors
def resize_bicubic(images, tall, wide):
    """keras.ops.image.resize(interpolation="bicubic", antialias=True)"""
    return ops.image.resize(
        images, (tall, wide), "bicubic", antialias=True, data_format="channels_first"
    )


# Attention


@_on_tensors
def attention(query, key, value, bias):
    """keras.ops.dot_product_attention"""
    if query.shape[1] != key.shape[1]:
        raise NotImplementedError("keras.ops.dot_product_attention takes as many key heads")
    query, key, value = (ops.swapaxes(x, 1, 2) for x in (query, key, value))  # B N heads E
    result = ops.dot_product_attention(query, key, value, bias, flash_attention=False)
    return ops.swapaxes(result, 1, 2)
