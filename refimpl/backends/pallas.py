"""JAX's Pallas kernels for GPUs, interpreted on the CPU: attention, softmax and norms."""

from __future__ import annotations

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.pallas.ops.gpu import attention as _attention
from jax.experimental.pallas.ops.gpu import layer_norm as _layer_norm
from jax.experimental.pallas.ops.gpu import rms_norm as _rms_norm
from jax.experimental.pallas.ops.gpu import softmax as _softmax

VERSION = f"{jax.__version__}, Pallas interpreted"
PRECISIONS = ("float32",)
ONLY = {
    "": ("no empty batches",),
    "attention": ("no bias", "no grouped heads", "E = F"),
}
BLOCK = 64  # the longest block of queries or keys


def softmax(z):
    """jax.experimental.pallas.ops.gpu.softmax.softmax"""
    return _softmax.softmax(jnp.asarray(z), interpret=True)


def _vectors(x):
    """Vectors under the two axes that the norms map over."""
    return jnp.asarray(x).reshape(1, -1, x.shape[-1])


def layer_norm(x, gain, bias, eps):
    """jax.experimental.pallas.ops.gpu.layer_norm.layer_norm"""
    given = _vectors(x), jnp.asarray(gain), jnp.asarray(bias)
    return _layer_norm.layer_norm(*given, eps=eps, interpret=True).reshape(x.shape)


def layer_norm_vjp(x, gain, eps, grad):
    """jax.experimental.pallas.ops.gpu.layer_norm.layer_norm, differentiated"""
    w = jnp.asarray(gain)
    function = lambda a, g, b: _layer_norm.layer_norm(a, g, b, None, 3, eps, "triton", True)  # noqa: E731
    _, back = jax.vjp(function, _vectors(x), w, jnp.zeros_like(w))
    slopes = back(_vectors(grad))
    return slopes[0].reshape(x.shape), *slopes[1:]


def rms_norm(x, gain, eps):
    """jax.experimental.pallas.ops.gpu.rms_norm.rms_norm"""
    w = jnp.asarray(gain)
    normal = _rms_norm.rms_norm(_vectors(x), w, jnp.zeros_like(w), eps=eps, interpret=True)
    return normal.reshape(x.shape)


def rms_norm_vjp(x, gain, eps, grad):
    """jax.experimental.pallas.ops.gpu.rms_norm.rms_norm, differentiated"""
    w = jnp.asarray(gain)
    bias = jnp.zeros_like(w)
    function = lambda a, g: _rms_norm.rms_norm(a, g, bias, None, 3, eps, "triton", True)  # noqa: E731
    _, back = jax.vjp(function, _vectors(x), w)
    slopes = back(_vectors(grad))
    return slopes[0].reshape(x.shape), slopes[1]


def _block(n):
    """The longest block that divides a number of rows."""
    return max(b for b in range(1, BLOCK + 1) if n % b == 0)


def attention(query, key, value, bias):
    """jax.experimental.pallas.ops.gpu.attention.mha"""
    q, k, v = (jnp.swapaxes(jnp.asarray(x), 1, 2) for x in (query, key, value))  # B N H E
    sizes = _attention.BlockSizes(block_q=_block(q.shape[1]), block_k=_block(k.shape[1]))
    scale = 1 / np.sqrt(query.shape[-1])
    out = _attention.mha(q, k, v, None, sm_scale=scale, block_sizes=sizes, interpret=True)
    return jnp.swapaxes(out, 1, 2)
