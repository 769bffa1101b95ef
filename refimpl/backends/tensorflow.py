"""TensorFlow on the CPU: its own operation wherever it has one, eagerly.

Every function takes the arguments of the operation of the same name as NumPy arrays and returns
NumPy arrays. Gradients are those of `tf.GradientTape`.
"""

from __future__ import annotations

import functools
import os

import numpy as np

from refimpl.backends.parts.derived import gradients as _gradients

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before the import: it greets on stderr

import tensorflow as tf

VERSION = tf.__version__
PRECISIONS = ("float64", "float32", "bfloat16", "float16")


def _on_tensors(function):
    """NumPy arrays outside, TensorFlow tensors inside."""

    @functools.wraps(function)
    def call(**inputs):
        arrays = {n: tf.constant(x) if isinstance(x, np.ndarray) else x for n, x in inputs.items()}
        result = function(**arrays)
        return tuple(r.numpy() for r in result) if isinstance(result, tuple) else result.numpy()

    return call


# Layers


@_on_tensors
def linear(x, weight, bias):
    """tf.matmul, tf.nn.bias_add"""
    y = tf.matmul(tf.reshape(x, (-1, x.shape[-1])), weight, transpose_b=True)
    y = y if bias is None else tf.nn.bias_add(y, bias)
    return tf.reshape(y, (*x.shape[:-1], weight.shape[0]))


@_on_tensors
def layer_norm(x, gain, bias, eps):
    """tf.nn.moments, tf.nn.batch_normalization"""
    mean, variance = tf.nn.moments(x, -1, keepdims=True)  # ... 1
    return tf.nn.batch_normalization(x, mean, variance, bias, gain, eps)


@_on_tensors
def rms_norm(x, gain, eps):
    """tf.reduce_mean, tf.math.rsqrt"""
    mean_square = tf.reduce_mean(tf.square(x), axis=-1, keepdims=True)  # ... 1
    return x * tf.math.rsqrt(mean_square + eps) * gain


@_on_tensors
def softmax(z):
    """tf.nn.softmax"""
    return tf.nn.softmax(z)


@_on_tensors
def log_softmax(z):
    """tf.nn.log_softmax"""
    return tf.nn.log_softmax(z)


@_on_tensors
def cross_entropy(logits, labels):
    """tf.nn.sparse_softmax_cross_entropy_with_logits, tf.reduce_mean"""
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)  # N
    return tf.reduce_mean(losses)


@_on_tensors
def sigmoid(z):
    """tf.math.sigmoid"""
    return tf.math.sigmoid(z)


@_on_tensors
def gelu(x):
    """tf.nn.gelu"""
    return tf.nn.gelu(x)


@_on_tensors
def gelu_tanh(x):
    """tf.nn.gelu(approximate=True)"""
    return tf.nn.gelu(x, approximate=True)


@_on_tensors
def quick_gelu(x):
    """tf.nn.silu"""
    scale = tf.constant(1.702, x.dtype)
    return tf.nn.silu(scale * x) / scale


@_on_tensors
def silu(x):
    """tf.nn.silu"""
    return tf.nn.silu(x)


@_on_tensors
def swiglu(gate, up):
    """tf.nn.silu"""
    return tf.nn.silu(gate) * up


@_on_tensors
def geglu(gate, up):
    """tf.nn.gelu"""
    return tf.nn.gelu(gate) * up


@_on_tensors
def geglu_tanh(gate, up):
    """tf.nn.gelu(approximate=True)"""
    return tf.nn.gelu(gate, approximate=True) * up


@_on_tensors
def l2_normalize(x):
    """tf.math.l2_normalize"""
    return tf.math.l2_normalize(x, axis=-1)


# Images


@_on_tensors
def patchify(images, patch):
    """tf.nn.space_to_depth"""
    B, channels, _, _ = images.shape
    grid = tf.nn.space_to_depth(tf.transpose(images, (0, 2, 3, 1)), patch)  # B rows cols P*P*C
    tokens = tf.reshape(grid, (B, grid.shape[1] * grid.shape[2], patch, patch, channels))
    return tf.reshape(tf.transpose(tokens, (0, 1, 4, 2, 3)), (*tokens.shape[:2], grid.shape[3]))


@_on_tensors
def patch_embed(images, weight, bias):
    """tf.nn.conv2d"""
    image, kernel = tf.transpose(images, (0, 2, 3, 1)), tf.transpose(weight, (2, 3, 1, 0))
    grid = tf.nn.conv2d(image, kernel, weight.shape[2:], "VALID")  # B rows cols D
    tokens = tf.reshape(grid, (grid.shape[0], grid.shape[1] * grid.shape[2], grid.shape[3]))
    return tokens if bias is None else tokens + bias


@_on_tensors
def resize_bicubic(images, tall, wide):
    """tf.image.resize("bicubic", antialias=True)"""
    channels_last = tf.transpose(images, (0, 2, 3, 1))
    resized = tf.image.resize(channels_last, (tall, wide), "bicubic", antialias=True)  # float32
    return tf.transpose(resized, (0, 3, 1, 2))


# Masks


def _additive(keep):
    return tf.where(keep, tf.constant(0, tf.float64), tf.constant(-np.inf, tf.float64))


@_on_tensors
def causal_bias(queries, keys):
    """tf.linalg.band_part"""
    return _additive(tf.linalg.band_part(tf.ones((queries, keys), tf.bool), -1, 0))  # N M


@_on_tensors
def padding_bias(lengths, keys):
    """tf.sequence_mask"""
    return _additive(tf.sequence_mask(lengths, keys))[:, None, None, :]  # B 1 1 M


# CLIP


def _normalized(x):
    return tf.math.l2_normalize(x, axis=-1)


def _clip_logits(image_features, text_features, log_scale):
    cosines = tf.matmul(_normalized(image_features), _normalized(text_features), transpose_b=True)
    return tf.exp(log_scale) * cosines  # N M


@_on_tensors
def clip_logits(image_features, text_features, log_scale):
    """tf.math.l2_normalize, tf.matmul"""
    return _clip_logits(image_features, text_features, log_scale)


@_on_tensors
def clip_loss(image_features, text_features, log_scale):
    """tf.math.l2_normalize, tf.matmul, tf.nn.sparse_softmax_cross_entropy_with_logits"""
    logits = _clip_logits(image_features, text_features, log_scale)  # N N
    labels = tf.range(logits.shape[0])
    entropy = tf.nn.sparse_softmax_cross_entropy_with_logits
    both = entropy(labels, logits), entropy(labels, tf.transpose(logits))
    return sum(tf.reduce_mean(losses) for losses in both) / 2


# Gradients


def _pull(function, arguments, wanted, grad):
    """tf.GradientTape.gradient"""
    values = [arguments[name] for name in wanted]
    with tf.GradientTape() as tape:
        tape.watch(values)
        result = function(**arguments)
    return tape.gradient(result, values, tf.cast(grad, result.dtype), "zero")


globals().update(_gradients(globals(), _on_tensors, tf.zeros, _pull))
