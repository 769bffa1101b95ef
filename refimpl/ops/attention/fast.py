"""Compiled twins of attention: same names, same arguments, same steps.

Attention never holds all its scores: a block of queries meets one block of keys after another, and
what was summed below a smaller top is scaled down when a larger one comes (online softmax). The
gradient makes the weights again from the top and the total of each row. Threads share the blocks,
each with one thread for its matrix products; `contract` lets a product and a sum round once,
`reassoc` lets a sum run in several lanes.
"""

import numpy as np
from numba import njit

from refimpl.threads import one_blas_thread, share

QUERIES, KEYS = 256, 512  # sides of a block of scores


def attention(query, key, value, bias):
    return _attention(query, key, value, bias)[0]


def _attention(query, key, value, bias):
    """What attention returns, with the top and the total that each row of weights came from."""
    B, heads, N, _ = query.shape
    mixed = np.empty((B, heads, N, value.shape[3]), query.dtype)  # B H N F
    tops, totals = np.empty((2, B, heads, N), query.dtype)  # B H N, B H N
    tasks = B * heads * -(-N // QUERIES)
    given = query, key, value, _four_axes(bias, query), mixed, tops, totals
    with one_blas_thread():
        share(_attend, tasks, min(QUERIES, N) * key.shape[2], *given)
    return mixed, tops, totals


def _four_axes(bias, query):
    """An axis of 1 serves all; no bias is a single 0."""
    if bias is None:
        bias = _read_only(np.zeros(1, query.dtype))
    return bias.reshape((1,) * (4 - bias.ndim) + bias.shape)


def _attend(first, last, query, key, value, bias, mixed, tops, totals):
    N, M = query.shape[2], key.shape[2]
    scores = np.empty(min(QUERIES, N) * min(KEYS, M), query.dtype)
    bits = scores.view(np.int32 if query.dtype == np.float32 else np.int64)
    _attend_blocks(first, last, query, key, value, bias, mixed, tops, totals, scores, bits)


@njit(cache=True, nogil=True)
def _attend_blocks(first, last, query, key, value, bias, mixed, tops, totals, scores, bits):
    heads, N, M, F = query.shape[1], query.shape[2], key.shape[2], value.shape[3]
    zero, one = query.dtype.type(0), query.dtype.type(1)
    shared = heads // key.shape[1]  # query heads 0 .. R-1 look at key head 0, and so on
    blocks = -(-N // QUERIES)
    partial = np.empty(min(QUERIES, N) * F, query.dtype)
    for task in range(first, last):
        b, h, start = task // blocks // heads, task // blocks % heads, task % blocks * QUERIES
        g, end = h // shared, min(start + QUERIES, N)
        own, top, total = mixed[b, h, start:end], tops[b, h, start:end], totals[b, h, start:end]
        own[:], top[:], total[:] = zero, -np.inf, zero
        for left in range(0, M, KEYS):
            right = min(left + KEYS, M)
            tile = scores[: (end - start) * (right - left)].reshape(end - start, right - left)
            _scores(query[b, h], key[b, g], bias, b, h, start, left, tile)
            for n in range(end - start):
                row = tile[n]
                size = row.size
                before, new = top[n], _top(bits[n * size : (n + 1) * size])
                new = new if not new <= before else before
                shift = zero if new == -np.inf else new  # so far the row saw no key
                for m in range(size):
                    row[m] = _exp(row[m] - shift)
                scale = np.exp(before - shift)
                top[n], total[n] = new, total[n] * scale + _sum(row)
                for f in range(F):
                    own[n, f] *= scale
            added = partial[: (end - start) * F].reshape(end - start, F)
            np.dot(tile, value[b, g, left:right], added)  # N F
            for n in range(end - start):
                for f in range(F):
                    own[n, f] += added[n, f]
        for n in range(end - start):
            top[n] = zero if top[n] == -np.inf else top[n]
            total[n] = one if total[n] < one else total[n]  # a row of -inf alone has weights 0
            for f in range(F):
                own[n, f] /= total[n]


@njit(cache=True)
def _scores(query, key, bias, b, h, start, left, tile):
    """A tile of the scores: the queries from `start` on, the keys from `left` on."""
    rows, columns = tile.shape
    np.dot(query[start : start + rows], key[left : left + columns].T, tile)  # N M
    root = np.sqrt(query.dtype.type(query.shape[1]))
    for n in range(rows):
        row = tile[n]
        seen = bias[b % bias.shape[0], h % bias.shape[1], (start + n) % bias.shape[2]]
        if seen.size == 1:
            for m in range(columns):
                row[m] = row[m] / root + seen[0]
        else:
            seen = seen[left : left + columns]
            for m in range(columns):
                row[m] = row[m] / root + seen[m]


@njit(cache=True)
def _top(bits):
    """The largest number of a row from its bits: integers compare in wide registers, NaN or not.

    The bits of floats rise with their size, as integers: upwards from 0, downwards below.
    """
    most, least = bits[0], bits[0]
    for k in range(1, bits.size):
        most = bits[k] if bits[k] > most else most
        least = bits[k] if bits[k] < least else least
    top = most if most >= 0 else least
    if isinstance(top, np.int32):
        return np.int32(top).view(np.float32)
    else:
        return np.int64(top).view(np.float64)


@njit(cache=True, fastmath={"reassoc", "contract"})
def _sum(x):
    total = x.dtype.type(0)
    for k in range(x.size):
        total += x[k]
    return total


@njit(cache=True, forceinline=True, fastmath={"contract"})
def _exp(x):
    """The exponential without a call: 2^n e^r with |r| ≤ ln 2 / 2, so that a loop of it runs wide.

    Adding 1.5·2^23 (or ^52) rounds x / ln 2 to the integer n, which then stands in the low bits;
    ln 2 is subtracted in two parts, and 2^n multiplied in two, for results that are subnormal.
    """
    if isinstance(x, np.float32):
        number = np.float32
        x = number(-104) if x < number(-104) else x
        x = number(89) if x > number(89) else x
        shifted = x * number(1.4426950408889634) + number(12582912)
        n = shifted - number(12582912)
        r = x - n * number(0.693145751953125) - n * number(1.4286068203094172e-06)
        p = number(0.001381443214) * r + number(0.008368783612)
        p = (p * r + number(0.04166839494)) * r + number(0.1666652007)
        p = (p * r + number(0.4999999341)) * r * r + r + number(1)
        whole = np.int32(number(shifted).view(np.int32) - 0x4B400000)
        half = np.int32(whole >> 1)
        low = np.int32((half + 127) << 23)
        high = np.int32((whole - half + 127) << 23)
        return p * np.int32(low).view(np.float32) * np.int32(high).view(np.float32)
    else:
        x = -746.0 if x < -746.0 else x
        x = 710.0 if x > 710.0 else x
        shifted = x * 1.4426950408889634 + 6755399441055744.0
        n = shifted - 6755399441055744.0
        r = x - n * 0.6931471803691238 - n * 1.9082149292705877e-10
        p = 2.082651476458843893e-9 * r + 2.511214729101388474e-8
        p = (p * r + 2.755758288436365965e-7) * r + 2.755723454965092949e-6
        p = (p * r + 2.480158692446705386e-5) * r + 0.0001984126989669158898
        p = (p * r + 0.001388888888911736259) * r + 0.008333333333316911899
        p = (p * r + 0.0416666666666660888) * r + 0.1666666666666668358
        p = (p * r + 0.5) * r * r + r + 1.0
        whole = np.float64(shifted).view(np.int64) - 0x4338000000000000
        half = whole >> 1
        low = np.int64((half + 1023) << 52)
        high = np.int64((whole - half + 1023) << 52)
        return p * np.int64(low).view(np.float64) * np.int64(high).view(np.float64)


def attention_vjp(query, key, value, bias, grad):
    scores_grad = np.empty((*query.shape[:3], key.shape[2]), query.dtype)  # B H N M
    return *attention_grads(query, key, value, bias, grad, scores_grad), scores_grad


def attention_grads(query, key, value, bias, grad, scores_grad=None):
    """The gradients of query, key and value alone; those of the scores are written where given."""
    B, G = key.shape[:2]
    if scores_grad is None:
        scores_grad = np.empty((0, 0, 0, 0), query.dtype)
    made = _attention(query, key, value, bias)
    grads = np.zeros_like(query), np.zeros_like(key), np.zeros_like(value)
    given = query, key, value, _four_axes(bias, query), grad, *made, *grads, scores_grad
    with one_blas_thread():
        share(_attention_vjp, B * G, query.shape[1] // G * query.shape[2] * key.shape[2], *given)
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
    heads, N, E = query.shape[1:]
    G, M, F = value.shape[1:]
    shared = heads // G  # query heads 0 .. R-1 look at key head 0, and so on
    root = np.sqrt(query.dtype.type(E))
    side, wide = min(QUERIES, N), min(KEYS, M)
    memory = np.empty((2, side * wide), query.dtype)
    partial = np.empty(max(side, wide) * max(E, F), query.dtype)
    for task in range(first, last):
        b, g = task // G, task % G
        for h in range(g * shared, (g + 1) * shared):
            for start in range(0, N, QUERIES):
                end = min(start + QUERIES, N)
                rows = end - start
                own = grad[b, h, start:end]  # N F
                for left in range(0, M, KEYS):
                    right = min(left + KEYS, M)
                    columns = right - left
                    weights = memory[0, : rows * columns].reshape(rows, columns)
                    slopes = memory[1, : rows * columns].reshape(rows, columns)
                    _scores(query[b, h], key[b, g], bias, b, h, start, left, weights)
                    np.dot(own, value[b, g, left:right].T, slopes)  # N M
                    for n in range(rows):
                        average = _dot(own[n], mixed[b, h, start + n])
                        top, total = tops[b, h, start + n], totals[b, h, start + n]
                        row, slope = weights[n], slopes[n]
                        for m in range(columns):
                            row[m] = _exp(row[m] - top) / total
                            slope[m] = row[m] * (slope[m] - average)
                    if scores_grad.size:
                        scores_grad[b, h, start:end, left:right] = slopes
                    added = partial[: columns * F].reshape(columns, F)
                    np.dot(weights.T, own, added)
                    _add(value_grad[b, g, left:right], added)  # M F
                    added = partial[: rows * E].reshape(rows, E)
                    np.dot(slopes, key[b, g, left:right], added)
                    _add_over(query_grad[b, h, start:end], added, root)  # N E
                    added = partial[: columns * E].reshape(columns, E)
                    np.dot(slopes.T, query[b, h, start:end], added)
                    _add_over(key_grad[b, g, left:right], added, root)  # M E


@njit(cache=True)
def _add(total, added):
    for n in range(len(total)):
        for d in range(total.shape[1]):
            total[n, d] += added[n, d]


@njit(cache=True, error_model="numpy")
def _add_over(total, added, root):
    for n in range(len(total)):
        for d in range(total.shape[1]):
            total[n, d] += added[n, d] / root


@njit(cache=True, fastmath={"reassoc", "contract"})
def _dot(x, y):
    total = x.dtype.type(0)
    for k in range(x.size):
        total += x[k] * y[k]
    return total


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
    weight_grad = rows.T @ x.reshape(B * N, D)  # O D
    return (rows @ weight).reshape(x.shape), weight_grad, np.sum(rows, axis=0)


def _join_heads(x):
    B, heads, N, E = x.shape
    return np.ascontiguousarray(np.swapaxes(x, 1, 2)).reshape(B, N, heads * E)


def _linear(x, weight, bias):
    B, N, D = x.shape
    return (x.reshape(B * N, D) @ weight.T + bias).reshape(B, N, weight.shape[0])


def _split_heads(x, heads):
    B, N, D = x.shape
    x = np.swapaxes(x.reshape(B, N, heads, D // heads), 1, 2)  # B H N E
    return _read_only(np.ascontiguousarray(x))


def _read_only(x):  # as all arguments are, so that a kernel is compiled once
    x.flags.writeable = False
    return x


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
