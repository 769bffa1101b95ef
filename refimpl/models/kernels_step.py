"""One new token through a Transformer block: every weight is read once, and the cache once.

The parameters of a block come in the order of `kernels.PARTS`. Threads share the rows of a matrix
and the heads; what stands around the matrices is small, and each thread makes it for itself.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from refimpl.compiled.arithmetic import dot, exponential, sum_of
from refimpl.compiled.threads import share
from refimpl.models.kernels import ACTIVATIONS
from refimpl.ops.layers.fast import _sum_of_squares


def query_key_value(x: np.ndarray, layer: tuple, eps: np.floating) -> np.ndarray:
    """The first half of the block, up to attention: B D -> B 3*D."""
    gain, bias, weight, in_bias = layer[:4]
    joint = np.empty((len(x), len(weight)), x.dtype)
    share(_enter, len(weight), weight.shape[1], x, gain, bias, eps, weight, in_bias, joint)
    return joint


def attend(joint: np.ndarray, key: np.ndarray, value: np.ndarray, M: int, heads: int) -> np.ndarray:
    """The first M keys and values, of B room D, mixed for the queries in B 3*D: B D."""
    B, D = len(joint), key.shape[2]
    mixed = np.empty((B, D), joint.dtype)
    share(_attend_one, B * heads, 2 * M * D // heads, joint, key, value, M, heads, mixed)
    return mixed


def rest_of_block(
    x: np.ndarray, mixed: np.ndarray, layer: tuple, eps: np.floating, activation: str
) -> np.ndarray:
    """What the block gives, of its tokens and what attention mixed: B D."""
    out_weight, out_bias, scale_1, gain, bias, fc_weight, fc_bias = layer[4:11]
    proj_weight, proj_bias, scale_2 = layer[11:]
    (B, D), H = x.shape, len(fc_weight)
    middle, y, hidden = np.empty_like(x), np.empty_like(x), np.empty((B, H), x.dtype)
    share(_leave, D, D, mixed, out_weight, out_bias, scale_1, x, middle)
    share(_enter, H, D, middle, gain, bias, eps, fc_weight, fc_bias, hidden)
    active = np.empty_like(hidden)
    hidden.flags.writeable = False  # as an activation gets what it reads
    ACTIVATIONS[activation][0](hidden.reshape(-1), active.reshape(-1))
    share(_leave, D, H, active, proj_weight, proj_bias, scale_2, middle, y)
    return y


@njit(cache=True, nogil=True, error_model="numpy")
def _enter(first, last, x, gain, bias, eps, weight, weight_bias, y):
    """A layer norm, then a matrix: rows `first` to `last` of it."""
    B, D = x.shape
    size = x.dtype.type(D)
    normal = np.empty((B, D), x.dtype)
    for b in range(B):
        mean = sum_of(x[b]) / size
        share = x.dtype.type(1) / np.sqrt(_sum_of_squares(x[b], mean) / size + eps)
        for d in range(D):
            normal[b, d] = gain[d] * ((x[b, d] - mean) * share) + bias[d]
    for o in range(first, last):
        for b in range(B):
            y[b, o] = dot(weight[o], normal[b]) + weight_bias[o]


@njit(cache=True, nogil=True)
def _leave(first, last, x, weight, bias, scale, stream, y):
    """A matrix, scaled and added to the tokens."""
    for o in range(first, last):
        for b in range(x.shape[0]):
            y[b, o] = stream[b, o] + scale[o] * (dot(weight[o], x[b]) + bias[o])


@njit(cache=True, nogil=True, error_model="numpy")
def _attend_one(first, last, joint, key, value, M, heads, mixed):
    D = mixed.shape[1]
    E = D // heads
    scores, factor = np.empty(M, joint.dtype), joint.dtype.type(1) / np.sqrt(joint.dtype.type(E))
    query = np.empty(E, joint.dtype)
    for task in range(first, last):
        b, left = task // heads, task % heads * E
        for e in range(E):
            query[e] = joint[b, left + e] * factor
        top = joint.dtype.type(-np.inf)
        for m in range(M):
            scores[m] = dot(query, key[b, m, left : left + E])
            top = max(top, scores[m])
        _weights(scores, top)
        own = mixed[b, left : left + E]
        own[:] = 0
        for m in range(M):
            numbers, weight = value[b, m, left : left + E], scores[m]
            for e in range(E):
                own[e] += weight * numbers[e]


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def _weights(scores, top):
    """The softmax of scores below their top."""
    for m in range(scores.size):
        scores[m] = exponential(scores[m] - top)
    share = scores.dtype.type(1) / sum_of(scores)
    for m in range(scores.size):
        scores[m] *= share
