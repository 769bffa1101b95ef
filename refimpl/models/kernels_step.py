"""One new token through a Transformer block: every weight is read once, and the cache once.

The parameters of a block come in the order of `kernels.PARTS`. Threads share the rows of a matrix
and the heads; what stands around the matrices is small, and each thread makes it for itself. They
meet between two matrices without the interpreter's lock, which would take longer than the wait.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numba import njit

from refimpl.compiled.arithmetic import (
    exponential,
    four_dots,
    some_products,
    sum_of,
    sum_of_squares,
)
from refimpl.compiled.native import APART, ask_for, give, meet, take
from refimpl.compiled.threads import count, share
from refimpl.compiled.tiles import at, product, width_of
from refimpl.ops.layers.fast_activations import _gated, _gelu, _gelu_tanh

NAP = 1e-4  # seconds
PIECE = 1 << 16  # numbers of a matrix that a thread takes at once: long streams, and short waits
GELU, GELU_TANH = -1.0, -2.0  # the other activations are told by their slope
GATES = {"gelu": GELU, "gelu_tanh": GELU_TANH, "quick_gelu": 1.702, "silu": 1.0}

PLACES = 8  # of the cache that are read for one head before the next, and asked for ahead


def query_key_value(x: np.ndarray, layer: tuple, eps: np.floating) -> np.ndarray:
    """The first half of the block, up to attention: B D -> B 3*D."""
    gain, bias, weight, in_bias = layer[:4]
    joint = np.empty((len(x), len(weight)), x.dtype)
    share(_enter, len(weight), weight.shape[1], x, gain, bias, eps, weight, in_bias, joint)
    return joint


def rest_of_block(
    x: np.ndarray,
    joint: np.ndarray,
    past: tuple[np.ndarray, np.ndarray, int],
    heads: int,
    layer: tuple,
    eps: np.floating,
    activation: str,
) -> np.ndarray:
    """What the block gives, of its tokens and their queries, keys and values: B D.

    past: memories of keys and values, B room D, and how many places of them are filled.
    """
    (B, D), H, threads = x.shape, len(layer[9]), count()
    rows = (4 * max(PIECE // (4 * n), 1) for n in (D, D, H))
    pieces = np.array([max(-(-B * heads // threads), 1), *rows])
    cells, steps = np.zeros(APART * len(pieces), np.int64), D * np.arange(PLACES)
    weights = np.empty((B * heads, past[2] + -past[2] % 4), x.dtype)
    mixed, middle, y = np.empty((3, B, D), x.dtype)
    normal, hidden = np.empty((threads, B, D), x.dtype), np.empty((2, B, H), x.dtype)
    rooms = steps, weights, mixed, middle, normal, hidden
    each = (past[2] * 2 * B * D + D * (D + 2 * H)) // threads
    given = joint, *past, heads, x, layer[4:], eps, GATES[activation]
    share(_patient, threads, each, cells, pieces, *given, rooms, y)
    return y


def _patient(first: int, last: int, *args: Any) -> None:
    """The rest of a block, and sleep where the system holds up another thread."""
    while not _rest(first, last, *args):
        time.sleep(NAP)


@njit(cache=True, nogil=True, error_model="numpy")
def _rest(first, last, cells, pieces, joint, key, value, M, heads, x, layer, eps, gate, rooms, y):
    """Attention, and three matrices; threads take pieces of each, and meet before the next.

    pieces: how many heads or rows are in one. rooms: where all of them write; the normalised
    tokens are of each thread.

    Returns whether all is done; where another thread is late, to call again goes on from there.
    """
    out_weight, out_bias, scale_1, gain, bias, fc_weight, fc_bias = layer[:7]
    proj_weight, proj_bias, scale_2 = layer[7:]
    steps, weights, mixed, middle, normal, hidden = rooms
    sizes = len(x) * heads, len(out_weight), len(fc_weight), len(proj_weight)
    for phase in range(4):
        each, size = pieces[phase], sizes[phase]
        if phase == 2:
            _normalized(middle, gain, bias, eps, normal[first])
        start = take(cells, phase) * each
        while start < size:
            end = min(start + each, size)
            if phase == 0:
                _attend(start, end, joint, key, value, M, heads, steps, weights, mixed)
            elif phase == 1:
                _leave(start, end, mixed, out_weight, out_bias, scale_1, x, middle)
            elif phase == 2:
                _hide(start, end, normal[first], fc_weight, fc_bias, gate, hidden)
            else:
                _leave(start, end, hidden[1], proj_weight, proj_bias, scale_2, middle, y)
            give(cells, phase)
            start = take(cells, phase) * each
        if not meet(cells, phase, -(-size // each)):
            return False
    return True


@njit(cache=True, nogil=True, error_model="numpy")
def _enter(first, last, x, gain, bias, eps, weight, weight_bias, y):
    """A layer norm, then a matrix: rows `first` to `last` of it."""
    normal = np.empty_like(x)
    _normalized(x, gain, bias, eps, normal)
    some_products(first, last, weight, normal, y)
    for b in range(len(x)):
        for o in range(first, last):
            y[b, o] += weight_bias[o]


@njit(cache=True, error_model="numpy")
def _normalized(x, gain, bias, eps, y):
    """The layer norm."""
    B, D = x.shape
    size = x.dtype.type(D)
    for b in range(B):
        mean = sum_of(x[b]) / size
        share = x.dtype.type(1) / np.sqrt(sum_of_squares(x[b], mean) / size + eps)
        for d in range(D):
            y[b, d] = gain[d] * ((x[b, d] - mean) * share) + bias[d]


@njit(cache=True)
def _hide(first, last, x, weight, bias, gate, hidden):
    """Rows `first` to `last` of the first matrix of a perceptron, then the activation."""
    some_products(first, last, weight, x, hidden[0])
    for b in range(len(x)):
        for o in range(first, last):
            hidden[0, b, o] += bias[o]
        before, behind = hidden[0, b, first:last], hidden[1, b, first:last]
        if gate == GELU:
            _gelu(0, last - first, before, behind)
        elif gate == GELU_TANH:
            _gelu_tanh(0, last - first, before, behind)
        else:
            _gated(0, last - first, before, x.dtype.type(gate), behind)


@njit(cache=True)
def _leave(first, last, x, weight, bias, scale, stream, y):
    """A matrix, scaled and added to the tokens."""
    some_products(first, last, weight, x, y)
    for b in range(x.shape[0]):
        for o in range(first, last):
            y[b, o] = stream[b, o] + scale[o] * (y[b, o] + bias[o])


@njit(cache=True, error_model="numpy")
def _attend(first, last, joint, key, value, M, heads, steps, weights, mixed):
    """Some heads; those of one text are neighbours, and PLACES are read for all of them."""
    D, number = mixed.shape[1], mixed.dtype.type
    E = D // heads
    for b in range(first // heads, -(-last // heads)):
        here, there = max(first, b * heads), min(last, b * heads + heads)
        begin, end, own = (here - b * heads) * E, (there - b * heads) * E, weights[here:there]
        _scores(joint[b, begin:end], key[b, :M], begin, own)
        for h in range(len(own)):
            _normalize(own[h, :M], number(1) / np.sqrt(number(E)))
        _mix(own, value[b, :M], begin, steps, mixed[b, begin:end])


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
def _normalize(scores, scale):
    """The softmax of scores times their scale, below their top."""
    top = scores[0]
    for m in range(1, scores.size):
        top = max(top, scores[m])
    for m in range(scores.size):
        scores[m] = exponential(scale * (scores[m] - top))
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
