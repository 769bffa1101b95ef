"""JAX's Pallas paged attention for GPUs, interpreted on the CPU: keys in pages, in any order."""

from __future__ import annotations

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.pallas.ops.gpu import paged_attention as _paged

VERSION = f"{jax.__version__}, Pallas interpreted"
PRECISIONS = ("float32",)
ONLY = ("no empty batches", "no bias")
PAGE, SPLITS = 16, 2  # keys of a page, and parts of the pages that are joined at the end


def _stored(x, places, pages, wide):
    """Keys or values as pages, each where the table says: G, all pages, PAGE, E."""
    batch, groups, m, width = x.shape
    x = np.pad(x, ((0, 0), (0, 0), (0, pages * PAGE - m), (0, wide - width)))
    whole = np.moveaxis(x.reshape(batch, groups, pages, PAGE, wide), 0, 1)
    memory = np.empty((groups, batch * pages, PAGE, wide), np.float32)
    memory[:, places] = whole.reshape(groups, batch * pages, PAGE, wide)
    return jnp.asarray(memory)


def attention(query, key, value, bias):
    """jax.experimental.pallas.ops.gpu.paged_attention, which is given scaled queries"""
    batch, heads, n, width = query.shape
    m, values = key.shape[2], value.shape[3]
    wide, pages = max(width, values), -(-m // (PAGE * SPLITS)) * SPLITS
    places = np.arange(batch * pages)[::-1]  # the last page of the last sequence lies first
    scaled = np.pad(query / np.float32(np.sqrt(width)), ((0, 0),) * 3 + ((0, wide - width),))
    out = _paged.paged_attention(
        jnp.asarray(np.swapaxes(scaled, 1, 2).reshape(batch * n, heads, wide)),
        *(_stored(x, places, pages, wide) for x in (key, value)),
        jnp.asarray(np.repeat(places.reshape(batch, pages), n, axis=0), jnp.int32),
        jnp.full(batch * n, m, jnp.int32),
        pages_per_compute_block=1,
        k_splits=SPLITS,
        interpret=True,
    )
    return np.swapaxes(np.asarray(out).reshape(batch, n, heads, wide), 1, 2)[..., :values]
