"""JAX's Pallas flash attention for TPUs, interpreted on the CPU, on whole tiles of 128."""

from __future__ import annotations

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.pallas import tpu as _tpu
from jax.experimental.pallas.ops.tpu import flash_attention as _flash

VERSION = f"{jax.__version__}, Pallas interpreted for TPUs"
PRECISIONS = ("float32",)
ONLY = ("no empty batches", "no grouped heads")
TILE = 128


def _tiles(n):
    return -(-n // TILE) * TILE


def _padded(x, rows, columns):
    """The last two axes filled up with zeros."""
    return jnp.asarray(
        np.pad(x, ((0, 0),) * 2 + ((0, rows - x.shape[2]), (0, columns - x.shape[3])))
    )


def attention(query, key, value, bias):
    """jax.experimental.pallas.ops.tpu.flash_attention.flash_attention, padding set apart"""
    batch, heads, n, width = query.shape
    m, values = key.shape[2], value.shape[3]
    wide, tall, long = _tiles(max(width, values)), _tiles(n), _tiles(m)
    given = [_padded(query, tall, wide), _padded(key, long, wide), _padded(value, long, wide)]
    if bias is not None:
        bias = _padded(np.broadcast_to(bias, (batch, heads, n, m)), tall, long)
    keys = np.broadcast_to(np.arange(long) >= m, (batch, long)).astype(np.int32)
    segments = _flash.SegmentIds(jnp.zeros((batch, tall), jnp.int32), jnp.asarray(keys))
    with _tpu.force_tpu_interpret_mode():
        out = _flash.flash_attention(*given, bias, segments, sm_scale=float(width**-0.5))
    return out[:, :, :n, :values]
