"""One new token through a Transformer block: every weight is read once, and the cache once.

The parameters of a block come in the order of `kernels.PARTS`. Threads share the rows of a matrix
and the heads; what stands around the matrices is small, and each thread makes it for itself.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from refimpl.compiled.arithmetic import (
    exponential,
    four_dots,
    some_products,
    sum_of,
    sum_of_squares,
)
from refimpl.compiled.native import ask_for
from refimpl.compiled.threads import share
from refimpl.compiled.tiles import at, product, width_of
from refimpl.models.kernels import ACTIVATIONS, alone

PLACES = 8  # of the cache that are read for one head before the next, and asked for ahead


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
    ACTIVATIONS[activation][0](alone, hidden.reshape(-1), active.reshape(-1))
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
        share = x.dtype.type(1) / np.sqrt(sum_of_squares(x[b], mean) / size + eps)
        for d in range(D):
            normal[b, d] = gain[d] * ((x[b, d] - mean) * share) + bias[d]
    some_products(first, last, weight, normal, y)
    for b in range(B):
        for o in range(first, last):
            y[b, o] += weight_bias[o]


@njit(cache=True, nogil=True)
def _leave(first, last, x, weight, bias, scale, stream, y):
    """A matrix, scaled and added to the tokens."""
    some_products(first, last, weight, x, y)
    for b in range(x.shape[0]):
        for o in range(first, last):
            y[b, o] = stream[b, o] + scale[o] * (y[b, o] + bias[o])


@njit(cache=True, nogil=True, error_model="numpy")
def _attend_one(first, last, joint, key, value, M, heads, mixed):
    """Some heads; those of one text are neighbours, and PLACES are read for all of them."""
    D, number = mixed.shape[1], mixed.dtype.type
    E, steps = D // heads, D * np.arange(PLACES)
    for b in range(first // heads, -(-last // heads)):
        begin, end = max(first - b * heads, 0) * E, min(last - b * heads, heads) * E
        weights = np.empty(((end - begin) // E, M + -M % 4), mixed.dtype)
        _scores(joint[b, begin:end] * (number(1) / np.sqrt(number(E))), key[b, :M], begin, weights)
        for h in range(len(weights)):
            _normalize(weights[h, :M])
        _mix(weights, value[b, :M], begin, steps, mixed[b, begin:end])


@njit(cache=True)
def _ask(rows, m, left, numbers):
    """Have these columns fetched of the PLACES behind those from m on."""
    M, D = rows.shape
    for k in range(m + PLACES, min(m + 2 * PLACES, M)):
        ask_for(rows, k * D + left, numbers)


@njit(cache=True)
def _scores(query, key, begin, scores):
    """The inner products of each head's query and its keys, which begin in this column."""
    heads, M = len(scores), len(key)
    E = query.size // heads
    for m in range(0, M, PLACES):
        for h in range(heads):
            left, right = begin + h * E, begin + h * E + E
            own = query[h * E : h * E + E]
            _ask(key, m, left, E)
            for k in range(m, min(m + PLACES, M), 4):
                a, b = key[k, left:right], key[min(k + 1, M - 1), left:right]
                c, d = key[min(k + 2, M - 1), left:right], key[min(k + 3, M - 1), left:right]
                four = four_dots(a, b, c, d, own)
                scores[h, k], scores[h, k + 1], scores[h, k + 2], scores[h, k + 3] = four


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def _normalize(scores):
    """The softmax of scores, below their top."""
    top = scores[0]
    for m in range(1, scores.size):
        top = max(top, scores[m])
    for m in range(scores.size):
        scores[m] = exponential(scores[m] - top)
    share = scores.dtype.type(1) / sum_of(scores)
    for m in range(scores.size):
        scores[m] *= share


@njit(cache=True, fastmath={"reassoc", "contract"})
def _mix(weights, value, begin, steps, mixed):
    """The sum of each head's values, which begin in this column, times their weights.

    steps: from one row of values to the next ones.
    """
    heads, (M, D), (_, pitch) = len(weights), value.shape, weights.shape
    E, n = mixed.size // heads, width_of(at(mixed, 0)) // 2
    whole = E // n * n
    for m in range(0, M, PLACES):
        depth = min(PLACES, M - m)
        for h in range(heads):
            left, own, into = begin + h * E, at(weights, h * pitch + m), at(mixed, h * E)
            _ask(value, m, left, E)
            product(1, 1, own, 0, at(value, m * D + left), steps[:depth], into, E, whole, m > 0)
    for h in range(heads):
        for e in range(h * E + whole, h * E + E):
            total = mixed.dtype.type(0)
            for m in range(M):
                total += weights[h, m] * value[m, begin + e]
            mixed[e] = total
