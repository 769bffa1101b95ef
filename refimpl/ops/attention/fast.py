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
