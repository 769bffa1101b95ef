"""JAX's Pallas splash attention for TPUs, interpreted on the CPU, on whole tiles of 128."""

from __future__ import annotations

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_kernel as _kernel
from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_mask as _mask

VERSION = f"{jax.__version__}, Pallas interpreted for TPUs"
PRECISIONS = ("float32",)
ONLY = ("no empty batches", "no grouped heads")
TILE = 128
SIZES = _kernel.BlockSizes(block_q=TILE, block_kv=TILE, block_kv_compute=TILE)


def _tiles(n):
    return -(-n // TILE) * TILE


def _padded(x, rows, columns):
    """The last two axes filled up with zeros."""
    return jnp.asarray(np.pad(x, ((0, 0), (0, rows - x.shape[1]), (0, columns - x.shape[2]))))


def _seen(bias, shape):
    """Which keys each query sees; a bias that is no mask is refused."""
    if bias is None:
        return np.ones(shape, dtype=bool)
    if not np.isin(bias, (0, -np.inf)).all():
        raise NotImplementedError("takes masks, no other bias")
    return np.broadcast_to(bias, shape) == 0


def attention(query, key, value, bias):
    """splash_attention.make_splash_mha; padding queries see all keys"""
    batch, heads, n, width = query.shape
    m, values = key.shape[2], value.shape[3]
    wide, tall, long = _tiles(max(width, values)), _tiles(n), _tiles(m)
    mask = np.zeros((batch, heads, tall, long), dtype=bool)
    mask[:, :, :n, :m], mask[:, :, n:, :m] = _seen(bias, (batch, heads, n, m)), True
    query = query / np.float32(np.sqrt(width))
    out = []
    for q, k, v, seen in zip(query, key, value, mask, strict=True):
        whole = _mask.MultiHeadMask([_mask.NumpyMask(head) for head in seen])
        attend = _kernel.make_splash_mha(
            whole, head_shards=1, q_seq_shards=1, interpret=True, block_sizes=SIZES
        )
        found = attend(_padded(q, tall, wide), _padded(k, long, wide), _padded(v, long, wide))
        out.append(found[:, :n, :values])
    return np.stack(out)
