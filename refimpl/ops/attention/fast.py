"""Compiled twins of attention: same names, same arguments, same steps."""

import numpy as np
from numba import njit

from refimpl.compiled.arithmetic import read_only
from refimpl.compiled.threads import contiguous, multiply
from refimpl.ops.attention.fast_blocks import attention
from refimpl.ops.attention.fast_gradients import attention_grads, attention_vjp  # noqa: F401  by name
from refimpl.ops.layers.fast import linear


def multi_head_attention(x, memory, in_weight, in_bias, out_weight, out_bias, heads, bias):
    D = x.shape[2]
    if in_bias is None:
        in_bias = np.zeros(3 * D, x.dtype)
    query = _split_heads(linear(x, in_weight[:D], in_bias[:D]), heads)  # B H N E
    key = _split_heads(linear(memory, in_weight[D : 2 * D], in_bias[D : 2 * D]), heads)  # B H M E
    value = _split_heads(linear(memory, in_weight[2 * D :], in_bias[2 * D :]), heads)  # B H M E
    mixed = attention(query, key, value, bias)  # B H N E
    mixed = contiguous(np.swapaxes(mixed, 1, 2)).reshape(x.shape)  # B N D
    return linear(mixed, out_weight, out_bias)


def multi_head_attention_vjp(x, memory, in_weight, in_bias, out_weight, heads, bias, grad):
    D = x.shape[2]
    in_bias = np.zeros(3 * D, x.dtype) if in_bias is None else in_bias
    parts = slice(D), slice(D, 2 * D), slice(2 * D, 3 * D)
    query, key, value = (
        _split_heads(linear(tokens, in_weight[part], in_bias[part]), heads)
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
    return contiguous(np.swapaxes(x, 1, 2)).reshape(B, N, heads * E)


def _split_heads(x, heads):
    B, N, D = x.shape
    x = np.swapaxes(x.reshape(B, N, heads, D // heads), 1, 2)  # B H N E
    return read_only(contiguous(x))


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
