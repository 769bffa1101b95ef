"""Compiled twins of attention: same names, same arguments, same steps."""

import numpy as np
from numba import njit


def attention(query, key, value, bias):
    B, heads, N, _ = query.shape
    mixed = np.empty((B, heads, N, value.shape[3]), query.dtype)  # B H N F
    if bias is None:
        bias = _read_only(np.zeros(1, query.dtype))
    bias = bias.reshape((1,) * (4 - bias.ndim) + bias.shape)  # an axis of 1 serves all
    _attention(query, key, value, bias, mixed)
    return mixed


@njit(cache=True)
def _attention(query, key, value, bias, mixed):
    B, heads, N, E = query.shape
    M = key.shape[2]
    shared = heads // key.shape[1]  # query heads 0 .. R-1 look at key head 0, and so on
    root = np.sqrt(query.dtype.type(E))
    for b in range(B):
        for h in range(heads):
            scores = np.dot(query[b, h], key[b, h // shared].T)  # N M
            for n in range(N):
                seen = bias[b % bias.shape[0], h % bias.shape[1], n % bias.shape[2]]
                for m in range(M):
                    scores[n, m] = scores[n, m] / root + seen[m % bias.shape[3]]
                _softmax(scores[n])
            mixed[b, h] = np.dot(scores, value[b, h // shared])  # N F


@njit(cache=True)
def _softmax(z):
    top = z.dtype.type(-np.inf)
    for k in range(z.size):
        top = max(top, z[k])
    if top == -np.inf:  # a row of -inf alone has weights 0
        top = z.dtype.type(0)
    total = z.dtype.type(0)
    for k in range(z.size):
        z[k] = np.exp(z[k] - top)
        total += z[k]
    total = max(total, z.dtype.type(1))
    for k in range(z.size):
        z[k] /= total


def attention_vjp(query, key, value, bias, grad):
    B, heads, N, _ = query.shape
    scores_grad = np.empty((B, heads, N, key.shape[2]), query.dtype)  # B H N M
    return *_attention_grads(query, key, value, bias, grad, scores_grad), scores_grad


def _attention_grads(query, key, value, bias, grad, scores_grad):
    if bias is None:
        bias = _read_only(np.zeros(1, query.dtype))
    bias = bias.reshape((1,) * (4 - bias.ndim) + bias.shape)  # an axis of 1 serves all
    query_grad = np.empty(query.shape, query.dtype)
    key_grad, value_grad = np.zeros(key.shape, key.dtype), np.zeros(value.shape, value.dtype)
    _attention_vjp(query, key, value, bias, grad, query_grad, key_grad, value_grad, scores_grad)
    return query_grad, key_grad, value_grad


@njit(cache=True)
def _attention_vjp(query, key, value, bias, grad, query_grad, key_grad, value_grad, scores_grad):
    B, heads, N, E = query.shape
    M, F = value.shape[2], value.shape[3]
    shared = heads // key.shape[1]  # query heads 0 .. R-1 look at key head 0, and so on
    root = np.sqrt(query.dtype.type(E))
    for b in range(B):
        for h in range(heads):
            g = h // shared
            weights = np.dot(query[b, h], key[b, g].T)  # N M
            for n in range(N):
                seen = bias[b % bias.shape[0], h % bias.shape[1], n % bias.shape[2]]
                for m in range(M):
                    weights[n, m] = weights[n, m] / root + seen[m % bias.shape[3]]
                _softmax(weights[n])
            mixed = np.dot(weights, value[b, g])  # N F
            value_grad[b, g] += np.dot(weights.T, grad[b, h])  # M F
            own = scores_grad[b % scores_grad.shape[0], h % scores_grad.shape[1]]  # N M
            np.dot(grad[b, h], value[b, g].T, own)
            for n in range(N):
                average = query.dtype.type(0)
                for f in range(F):
                    average += grad[b, h, n, f] * mixed[n, f]
                for m in range(M):
                    own[n, m] = weights[n, m] * (own[n, m] - average)
            query_grad[b, h] = np.dot(own, key[b, g]) / root  # N E
            key_grad[b, g] += np.dot(own.T, query[b, h]) / root  # M E


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
    N, D = x.shape[1:]
    in_bias = np.zeros(3 * D, x.dtype) if in_bias is None else in_bias
    parts = slice(D), slice(D, 2 * D), slice(2 * D, 3 * D)
    query, key, value = (
        _split_heads(_linear(tokens, in_weight[part], in_bias[part]), heads)
        for tokens, part in zip((x, memory, memory), parts)
    )  # B H N E, B H M E twice
    mixed = _join_heads(attention(query, key, value, bias))  # B N D
    mixed_grad, out_weight_grad, out_bias_grad = _linear_vjp(mixed, out_weight, grad)
    one_head = np.empty((1, 1, N, memory.shape[1]), x.dtype)  # of the scores, used again and again
    inner = _attention_grads(query, key, value, bias, _split_heads(mixed_grad, heads), one_head)
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
