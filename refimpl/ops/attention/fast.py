"""Compiled twins of attention: same names, same arguments, same steps.

Attention never holds all its scores: a block of queries meets one block of keys after another, and
what was summed below a smaller top is scaled down when a larger one comes (online softmax). The
gradient makes the weights again from the top and the total of each row. A block of scores is so
small that it stays in the second cache and that OpenBLAS multiplies without copying its factors,
fastest where the second one lies row by row: keys are turned once for many queries. Threads share
the blocks, each with one thread for its matrix products; `contract` lets a product and a sum round
once, `reassoc` lets a sum run in several lanes.
"""

import numpy as np
from numba import njit

from refimpl.compiled.arithmetic import add, as_bits, dot, exponential, largest, read_only
from refimpl.compiled.memory import empty, zeros
from refimpl.compiled.threads import multiply, one_blas_thread, share

SHORT = 64  # queries in a block of scores, or keys in one of their gradients
ROWS = 1024  # queries that a thread takes at a time
PRODUCT = 10**6  # multiplications up to which OpenBLAS packs nothing


def attention(query, key, value, bias):
    return _attention(query, key, value, bias)[0]


def _attention(query, key, value, bias):
    """What attention returns, with the top and the total that each row of weights came from."""
    B, heads, N, E = query.shape
    M, F = value.shape[2:]
    mixed = zeros((B, heads, N, F), query.dtype)  # B H N F
    tops = np.full((B, heads, N), -np.inf, query.dtype)  # B H N
    totals = np.zeros((B, heads, N), query.dtype)  # B H N
    given = query, key, value, _four_axes(bias, query), mixed, tops, totals
    with one_blas_thread():
        tasks, each = B * heads * -(-N // ROWS), min(ROWS, N) * M * (E + F) // 16
        share(_attend, tasks, each, *given, _long(M, E, F))
    return mixed, tops, totals


def _long(N, E, F):
    """The longer side of a block: N in equal parts, each a whole number of registers."""
    most = min(max(PRODUCT // (SHORT * max(E, F, 1)), SHORT), 512) // 16 * 16
    parts = max(-(-N // most), 1)
    return max(-(-N // (16 * parts)) * 16, 1)


def _four_axes(bias, query):
    """An axis of 1 serves all; no bias is a single 0."""
    if bias is None:
        bias = read_only(np.zeros(1, query.dtype))
    return bias.reshape((1,) * (4 - bias.ndim) + bias.shape)


def _attend(first, last, query, key, value, bias, mixed, tops, totals, keys):
    scores = np.empty(SHORT * keys, query.dtype)
    given = query, key, value, bias, mixed, tops, totals, keys
    _attend_blocks(first, last, *given, scores, as_bits(scores))


@njit(cache=True, nogil=True)
def _attend_blocks(first, last, query, key, value, bias, mixed, tops, totals, keys, scores, bits):
    heads, N, E = query.shape[1:]
    M, F = value.shape[2:]
    zero, one = query.dtype.type(0), query.dtype.type(1)
    shared = heads // key.shape[1]  # query heads 0 .. R-1 look at key head 0, and so on
    blocks = -(-N // ROWS)
    factor = one / np.sqrt(query.dtype.type(E))
    turned, partial = np.empty(E * keys, query.dtype), np.empty(SHORT * F, query.dtype)
    for task in range(first, last):
        b, h, begin = task // blocks // heads, task // blocks % heads, task % blocks * ROWS
        g, end = h // shared, min(begin + ROWS, N)
        for left in range(0, M, keys):
            size = min(keys, M - left)
            across = turned[: E * size].reshape(E, size)
            _transpose(key[b, g, left : left + size], factor, across)
            for start in range(begin, end, SHORT):
                rows = min(SHORT, end - start)
                tile = scores[: rows * size].reshape(rows, size)
                added = partial[: rows * F].reshape(rows, F)
                own = mixed[b, h, start : start + rows]
                np.dot(query[b, h, start : start + rows], across, tile)  # N M
                _add_bias(bias, b, h, start, left, tile)
                for n in range(rows):
                    top, new = tops[b, h, start + n], largest(bits[n * size : (n + 1) * size])
                    if not new <= top:
                        scale = np.exp(top - new)
                        tops[b, h, start + n] = top = new
                        totals[b, h, start + n] *= scale
                        for f in range(F):
                            own[n, f] *= scale
                    if top == -np.inf:  # so far the row saw no key
                        top = zero
                    totals[b, h, start + n] += _exp_of_row(tile[n], top)
                np.dot(tile, value[b, g, left : left + size], added)  # N F
                add(own, added)
        for n in range(begin, end):
            if tops[b, h, n] == -np.inf:
                tops[b, h, n] = zero
            if totals[b, h, n] < one:  # a row of -inf alone has weights 0
                totals[b, h, n] = one
            share = one / totals[b, h, n]
            for f in range(F):
                mixed[b, h, n, f] *= share


@njit(cache=True)
def _transpose(x, factor, turned):
    for m in range(x.shape[0]):
        for e in range(x.shape[1]):
            turned[e, m] = x[m, e] * factor


@njit(cache=True)
def _add_bias(bias, b, h, start, left, tile):
    """Add to a tile of the scores: the queries from `start` on, the keys from `left` on."""
    rows, columns = tile.shape
    if bias.size == 1 and bias[0, 0, 0, 0] == 0:
        return
    for n in range(rows):
        row = tile[n]
        seen = bias[b % bias.shape[0], h % bias.shape[1], (start + n) % bias.shape[2]]
        if seen.size == 1:
            for m in range(columns):
                row[m] = row[m] + seen[0]
        else:
            seen = seen[left : left + columns]
            for m in range(columns):
                row[m] = row[m] + seen[m]


@njit(cache=True, fastmath={"reassoc", "contract"})
def _exp_of_row(row, top):
    """Replace a row by its exponentials below the top; returns their sum."""
    total = row.dtype.type(0)
    for m in range(row.size):
        row[m] = exponential(row[m] - top)
        total += row[m]
    return total


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
    grads = tuple(zeros(x.shape, x.dtype) for x in (query, key, value))
    given = query, key, value, _four_axes(bias, query), grad, mixed, tops, totals
    with one_blas_thread():
        each = heads // max(G, 1) * N * M * (E + value.shape[3]) // 16
        rows = _long(N, E, value.shape[3])
        share(_attention_vjp, B * G, each, *given, *grads, scores_grad, rows)
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
    most,
):
    heads, N, E = query.shape[1:]
    G, M, F = value.shape[1:]
    number = query.dtype.type
    shared = heads // G  # query heads 0 .. R-1 look at key head 0, and so on
    factor = number(1) / np.sqrt(number(E))
    memory = np.empty((2, most * SHORT), query.dtype)
    turned = np.empty((2, max(E, F) * SHORT), query.dtype)
    partial = np.empty(max(most, SHORT) * max(E, F), query.dtype)
    averages = np.empty(N, query.dtype)
    for task in range(first, last):
        b, g = task // G, task % G
        for h in range(g * shared, (g + 1) * shared):
            for n in range(N):
                averages[n] = dot(grad[b, h, n], mixed[b, h, n])
            for left in range(0, M, SHORT):
                columns = min(SHORT, M - left)
                right = left + columns
                keys = turned[0, : E * columns].reshape(E, columns)
                values = turned[1, : F * columns].reshape(F, columns)
                _transpose(key[b, g, left:right], factor, keys)
                _transpose(value[b, g, left:right], number(1), values)
                for start in range(0, N, most):
                    end = min(start + most, N)
                    rows = end - start
                    own, asked = grad[b, h, start:end], query[b, h, start:end]  # N F, N E
                    weights = memory[0, : rows * columns].reshape(rows, columns)
                    slopes = memory[1, : rows * columns].reshape(rows, columns)
                    np.dot(asked, keys, weights)  # N M
                    _add_bias(bias, b, h, start, left, weights)
                    np.dot(own, values, slopes)  # N M
                    for n in range(rows):
                        of_row = tops[b, h, start + n], totals[b, h, start + n], averages[start + n]
                        _slopes_of_row(weights[n], slopes[n], of_row)
                    if scores_grad.size:
                        _copy(slopes, scores_grad[b, h, start:end], left)
                    added = partial[: columns * F].reshape(columns, F)
                    np.dot(weights.T, own, added)
                    add(value_grad[b, g, left:right], added)  # M F
                    added = partial[: columns * E].reshape(columns, E)
                    np.dot(slopes.T, asked, added)
                    add(key_grad[b, g, left:right], added)  # M E
                    added = partial[: rows * E].reshape(rows, E)
                    np.dot(slopes, key[b, g, left:right], added)
                    add(query_grad[b, h, start:end], added)  # N E
            _multiply(query_grad[b, h], factor)
        _multiply(key_grad[b, g], factor)


@njit(cache=True)
def _copy(slopes, scores_grad, left):  # what a slice does, compiled in a tenth of the time
    for n in range(slopes.shape[0]):
        for m in range(slopes.shape[1]):
            scores_grad[n, left + m] = slopes[n, m]


@njit(cache=True)
def _multiply(x, factor):
    for n in range(len(x)):
        for e in range(x.shape[1]):
            x[n, e] *= factor


@njit(cache=True)
def _slopes_of_row(weights, slopes, of_row):
    """Turn scores into weights, and the gradients of weights into those of scores."""
    top, total, average = of_row
    share = weights.dtype.type(1) / total
    for m in range(weights.size):
        weights[m] = exponential(weights[m] - top) * share
        slopes[m] = weights[m] * (slopes[m] - average)


def multi_head_attention(x, memory, in_weight, in_bias, out_weight, out_bias, heads, bias):
    D = x.shape[2]
    if in_bias is None:
        in_bias = np.zeros(3 * D, x.dtype)
    query = _split_heads(_linear(x, in_weight[:D], in_bias[:D]), heads)  # B H N E
    key = _split_heads(_linear(memory, in_weight[D : 2 * D], in_bias[D : 2 * D]), heads)  # B H M E
    value = _split_heads(_linear(memory, in_weight[2 * D :], in_bias[2 * D :]), heads)  # B H M E
    mixed = attention(query, key, value, bias)  # B H N E
    mixed = np.ascontiguousarray(np.swapaxes(mixed, 1, 2)).reshape(x.shape)  # B N D
    return _linear(mixed, out_weight, np.zeros(D, x.dtype) if out_bias is None else out_bias)


def multi_head_attention_vjp(x, memory, in_weight, in_bias, out_weight, heads, bias, grad):
    D = x.shape[2]
    in_bias = np.zeros(3 * D, x.dtype) if in_bias is None else in_bias
    parts = slice(D), slice(D, 2 * D), slice(2 * D, 3 * D)
    query, key, value = (
        _split_heads(_linear(tokens, in_weight[part], in_bias[part]), heads)
        for tokens, part in zip((x, memory, memory), parts)
    )  # B H N E, B H M E twice
    mixed = _join_heads(attention(query, key, value, bias))  # B N D
    mixed_grad, out_weight_grad, out_bias_grad = _linear_vjp(mixed, out_weight, grad)
    inner = attention_grads(query, key, value, bias, _split_heads(mixed_grad, heads))
    query_grad, key_grad, value_grad = (_join_heads(head_grad) for head_grad in inner)
    x_grad, w_q_grad, b_q_grad = _linear_vjp(x, in_weight[parts[0]], query_grad)
    by_keys, w_k_grad, b_k_grad = _linear_vjp(memory, in_weight[parts[1]], key_grad)
    by_values, w_v_grad, b_v_grad = _linear_vjp(memory, in_weight[parts[2]], value_grad)
    in_weight_grad = np.concatenate([w_q_grad, w_k_grad, w_v_grad])  # 3*D D
    in_bias_grad = np.concatenate([b_q_grad, b_k_grad, b_v_grad])  # 3*D
    memory_grad = by_keys + by_values  # B M D
    return x_grad, memory_grad, in_weight_grad, in_bias_grad, out_weight_grad, out_bias_grad


def _linear_vjp(x, weight, grad):
    B, N, D = x.shape
    rows = grad.reshape(B * N, weight.shape[0])
    weight_grad = multiply(rows.T, x.reshape(B * N, D))  # O D
    return multiply(rows, weight).reshape(x.shape), weight_grad, np.sum(rows, axis=0)


def _join_heads(x):
    B, heads, N, E = x.shape
    return np.ascontiguousarray(np.swapaxes(x, 1, 2)).reshape(B, N, heads * E)


def _linear(x, weight, bias):
    B, N, D = x.shape
    return (multiply(x.reshape(B * N, D), weight.T) + bias).reshape(B, N, weight.shape[0])


def _split_heads(x, heads):
    B, N, D = x.shape
    x = np.swapaxes(x.reshape(B, N, heads, D // heads), 1, 2)  # B H N E
    return read_only(np.ascontiguousarray(x))


def causal_bias(queries, keys):
    bias = np.zeros((queries, keys))  # N M
    _hide_after(bias, 1)
    return bias


def causal_bias_lower_right(queries, keys):
    bias = np.zeros((queries, keys))  # N M
    _hide_after(bias, keys - queries + 1)
    return bias


@njit(cache=True)
def _hide_after(bias, seen):
    queries, keys = bias.shape
    for i in range(queries):
        for j in range(max(i + seen, 0), keys):
            bias[i, j] = -np.inf


def padding_bias(lengths, keys):
    bias = np.zeros((lengths.size, keys))  # B M
    _hide_padding(lengths, bias)
    return bias[:, None, None, :]  # B 1 1 M


@njit(cache=True)
def _hide_padding(lengths, bias):
    B, keys = bias.shape
    for b in range(B):
        for j in range(lengths[b], keys):
            bias[b, j] = -np.inf


def prefix_bias(prefix, tokens):
    bias = np.zeros((tokens, tokens))  # N N
    _hide_after(bias, 1)
    bias[:prefix, :prefix] = 0
    return bias


def block_diagonal_bias(segments):
    bias = np.zeros((segments.size, segments.size))  # N N
    _hide_others(segments, bias)
    return bias


@njit(cache=True)
def _hide_others(segments, bias):
    N = segments.size
    for i in range(N):
        for j in range(N):
            if segments[i] != segments[j]:
                bias[i, j] = -np.inf


def sliding_window_bias(queries, keys, window):
    bias = np.full((queries, keys), -np.inf)  # N M
    for i in range(queries):
        own = i + keys - queries
        bias[i, max(own - window + 1, 0) : max(own + 1, 0)] = 0
    return bias


def cached_causal_bias(lengths, queries, keys):
    bias = np.zeros((lengths.size, queries, keys))  # B N M
    _hide_behind(lengths, bias)
    return bias[:, None]  # B 1 N M


@njit(cache=True)
def _hide_behind(lengths, bias):
    B, queries, keys = bias.shape
    for b in range(B):
        for i in range(queries):
            for j in range(max(lengths[b] - queries + i + 1, 0), keys):
                bias[b, i, j] = -np.inf
