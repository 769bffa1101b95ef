"""The gradient of attention: the weights are made again from the top and the total of each row."""

import numpy as np
from numba import njit

from refimpl.compiled.arithmetic import dot, exponential
from refimpl.compiled.memory import empty, zeros
from refimpl.compiled.threads import share
from refimpl.compiled.tiles import ahead, at, height, pack, pack_panels, product, run_wide, width_of
from refimpl.ops.attention.fast_blocks import (
    KEYS,
    SHORT,
    _attention,
    _four_axes,
    _lay_out,
    _row,
    _scale,
    _widen,
)


def attention_vjp(query, key, value, bias, grad):
    scores_grad = empty((*query.shape[:3], key.shape[2]), query.dtype)  # B H N M
    return *attention_grads(query, key, value, bias, grad, scores_grad), scores_grad


def attention_grads(query, key, value, bias, grad, scores_grad=None):
    """The gradients of query, key and value alone; those of the scores are written where given."""
    B, G, M, E = key.shape
    heads, N = query.shape[1:3]
    if scores_grad is None:
        scores_grad = np.empty((0, 0, 0, 0), query.dtype)
    mixed, tops, totals = _attention(query, key, value, bias)
    grads = empty(query.shape, query.dtype), *(zeros(x.shape, x.dtype) for x in (key, value))
    given = query, key, value, _four_axes(bias, query), grad, mixed, tops, totals
    each = heads // max(G, 1) * N * M * (E + value.shape[3]) // 16
    share(_attention_vjp, B * G, each, *given, *grads, scores_grad)
    return grads


@njit(cache=True, nogil=True)
def _attention_vjp(
    first,
    last,
    query,
    key,
    value,
    bias,
    grad,
    mixed,
    tops,
    totals,
    query_grad,
    key_grad,
    value_grad,
    scores_grad,
):
    """The gradients for some heads of keys: key_grad and value_grad are added to.

    Weights and slopes, the gradients of scores, stand key by key as the scores do: they are the
    panel of what queries get. Turned, they are those of what keys and values get.
    """
    heads, N, E = query.shape[1:]
    G, M, F = value.shape[1:]
    n, tall = width_of(at(query, 0)) // 2, height(M)
    block, shared, blocks = max(KEYS // tall, 1) * tall, heads // G, -(-N // SHORT)
    wide, wide_values = -(-E // n) * n, -(-F // n) * n
    factor = query.dtype.type(1) / np.sqrt(query.dtype.type(E))
    hides = bias.size > 1 or bias[0, 0, 0, 0] != 0
    kind, pitch = query.dtype, -(-block // n) * n
    asked, given = np.empty(blocks * E * SHORT + n, kind), np.empty(blocks * F * SHORT + n, kind)
    queries, above = np.empty((N, wide), kind), np.empty((N, wide_values), kind)
    own, state = np.empty((N, wide), kind), np.zeros((3, blocks * SHORT), kind)
    keys, values = np.empty(block * E + n, kind), np.empty(block * F + n, kind)
    lines, of_keys = np.empty((block, wide), kind), np.empty((block, wide), kind)
    of_values = np.empty((block, wide_values), kind)
    memory = np.empty((3, block * SHORT + n), kind)
    turned = np.empty((2, SHORT * pitch + n), kind)
    by_key, places = np.arange(max(E, F)) * SHORT, np.arange(max(block, SHORT))
    by_line, by_value = places * wide, places * wide_values
    for task in range(first, last):
        b, g = task // G, task % G
        for h in range(g * shared, (g + 1) * shared):
            _widen(_row(query, b, h, 0), N, E, at(queries, 0), wide)
            _widen(_row(grad, b, h, 0), N, F, at(above, 0), wide_values)
            own[:] = 0
            for k in range(blocks):
                count = min(SHORT, N - k * SHORT)
                into = at(asked, k * E * SHORT)
                pack(_row(query, b, h, k * SHORT), E, count, E, into, SHORT)
                into = at(given, k * F * SHORT)
                pack(_row(grad, b, h, k * SHORT), F, count, F, into, SHORT)
            for r in range(N):
                state[0, r], state[1, r] = tops[b, h, r], kind.type(1) / totals[b, h, r]
                state[2, r] = dot(grad[b, h, r], mixed[b, h, r])
            for left in range(0, M, block):
                size = min(block, M - left)
                pack_panels(_row(key, b, g, left), E, size, tall, E, at(keys, 0))
                pack_panels(_row(value, b, g, left), F, size, tall, F, at(values, 0))
                _widen(_row(key, b, g, left), size, E, at(lines, 0), wide)
                of_keys[:] = 0
                of_values[:] = 0
                for k in range(blocks):
                    start = k * SHORT
                    rows = min(SHORT, N - start)
                    across = -(-rows // n) * n
                    scores, slopes, seen = at(memory[0], 0), at(memory[1], 0), at(memory[2], 0)
                    weights_by_row, slopes_by_row = at(turned[0], 0), at(turned[1], 0)
                    if hides:
                        every = bias[b % bias.shape[0], h % bias.shape[1]]
                        _lay_out(every, start, rows, left, size, seen)
                    one, two, how = at(asked, k * E * SHORT), at(given, k * F * SHORT), (size, tall)
                    to = SHORT, across, False
                    product(*how, at(keys, 0), 0, one, by_key[:E], scores, *to)
                    product(*how, at(values, 0), 0, two, by_key[:F], slopes, *to)
                    _scale(scores, size, across, factor, hides, seen)
                    _lead_back(scores, slopes, size, across, state[:, start : start + SHORT])
                    pack(scores, SHORT, size, rows, weights_by_row, pitch)
                    pack(slopes, SHORT, size, rows, slopes_by_row, pitch)
                    if scores_grad.size:
                        into = ahead(_row(scores_grad, b, h, start), left)
                        _copy(slopes_by_row, pitch, rows, size, into, M)
                    add = wide_values, wide_values, True
                    seen, sums = at(above[start], 0), at(of_values, 0)
                    product(*how, weights_by_row, pitch, seen, by_value[:rows], sums, *add)
                    add = wide, wide, True
                    seen, sums = at(queries[start], 0), at(of_keys, 0)
                    product(*how, slopes_by_row, pitch, seen, by_line[:rows], sums, *add)
                    few, sums = (rows, height(rows)), at(own[start], 0)
                    product(*few, slopes, SHORT, at(lines, 0), by_line[:size], sums, *add)
                _add_rows(of_keys, factor, size, key_grad[b, g, left:])
                _add_rows(of_values, kind.type(1), size, value_grad[b, g, left:])
            query_grad[b, h] = 0
            _add_rows(own, factor, N, query_grad[b, h])


@njit(cache=True, nogil=True)
def _lead_back(scores, slopes, size, across, state):
    """Turn scores into weights, and the gradients of weights into those of scores."""
    run_wide()
    top, share, average = at(state[0], 0), at(state[1], 0), at(state[2], 0)
    for m in range(size):
        weights, slope = ahead(scores, m * SHORT), ahead(slopes, m * SHORT)
        for r in range(across):
            weights[r] = exponential(weights[r] - top[r]) * share[r]
            slope[r] = weights[r] * (slope[r] - average[r])


@njit(cache=True, nogil=True)
def _add_rows(sums, factor, rows, into):
    for r in range(rows):
        for e in range(into.shape[1]):
            into[r, e] += sums[r, e] * factor


@njit(cache=True, nogil=True)
def _copy(slopes, pitch, rows, size, scores_grad, apart):
    for r in range(rows):
        for m in range(size):
            scores_grad[r * apart + m] = slopes[r * pitch + m]
