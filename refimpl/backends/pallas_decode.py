"""JAX's Pallas attention for decoding on GPUs, interpreted on the CPU: one query at a time."""

from __future__ import annotations

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.pallas.ops.gpu import decode_attention as _decode

VERSION = f"{jax.__version__}, Pallas interpreted"
PRECISIONS = ("float32",)
ONLY = ("no empty batches", "no bias")
SPLITS, BLOCK = 2, 16  # parts of the keys that are joined at the end, and keys that a part reads


def _padded(x, rows, columns):
    """The last two axes filled up with zeros."""
    wide = ((0, 0), (0, 0), (0, rows - x.shape[2]), (0, columns - x.shape[3]))
    return np.pad(x, wide)


def _per_query(x, rows, columns, times):
    """Keys or values for each query by itself: B N, M, G, E."""
    return jnp.asarray(np.repeat(np.swapaxes(_padded(x, rows, columns), 1, 2), times, axis=0))


def attention(query, key, value, bias):
    """jax.experimental.pallas.ops.gpu.decode_attention.gqa, each query a sequence of its own"""
    batch, heads, n, width = query.shape
    m, values = key.shape[2], value.shape[3]
    wide, long = max(width, values), -(-m // (SPLITS * BLOCK)) * SPLITS * BLOCK
    queries = np.swapaxes(_padded(query, n, wide), 1, 2).reshape(batch * n, heads, wide)
    given = (_per_query(x, long, wide, n) for x in (key, value))
    out = _decode.gqa(
        jnp.asarray(queries),
        *given,
        kv_seq_len=m,
        sm_scale=float(width**-0.5),
        block_k=BLOCK,
        k_splits=SPLITS,
        interpret=True,
    )
    return np.swapaxes(np.asarray(out).reshape(batch, n, heads, wide), 1, 2)[..., :values]
