"""Attention and its masks, one number at a time."""

import math

import numpy as np


def attention(query, key, value, bias):
    B, heads, N, E = query.shape
    groups, M, F = value.shape[1:]
    out = np.zeros((B, heads, N, F))
    for b, h, n in np.ndindex(B, heads, N):
        g = h * groups // heads
        asked = query[b, h, n].tolist()
        scores = []
        for m in range(M):
            told = key[b, g, m].tolist()
            score = math.fsum(asked[e] * told[e] for e in range(E)) / math.sqrt(E)
            scores.append(score + broadcast(bias, (b, h, n, m)))
        largest = max(scores)
        if largest == -math.inf:
            continue
        weights = [math.exp(score - largest) for score in scores]
        for f in range(F):
            column = value[b, g, :, f].tolist()
            mixed = math.fsum(weight * v for weight, v in zip(weights, column))
            out[b, h, n, f] = mixed / math.fsum(weights)
    return out


def broadcast(bias, index):
    if bias is None:
        return 0.0
    index = index[len(index) - bias.ndim :]
    return float(bias[tuple(i if size > 1 else 0 for i, size in zip(index, bias.shape))])


def multi_head_attention(x, memory, in_weight, in_bias, out_weight, out_bias, heads, bias):
    (B, N, D), M = x.shape, memory.shape[1]
    E = D // heads

    def project(tokens, count, block):
        head = np.zeros((B, heads, count, E))
        for b, h, n, e in np.ndindex(*head.shape):
            row = block * D + h * E + e
            terms = dot(in_weight[row], tokens[b, n])
            if in_bias is not None:
                terms.append(float(in_bias[row]))
            head[b, h, n, e] = math.fsum(terms)
        return head

    query, key, value = project(x, N, 0), project(memory, M, 1), project(memory, M, 2)
    mixed = attention(query, key, value, bias)
    out = np.zeros((B, N, D))
    for b, n, o in np.ndindex(B, N, D):
        terms = [] if out_bias is None else [float(out_bias[o])]
        for h in range(heads):
            terms += dot(out_weight[o, h * E : (h + 1) * E], mixed[b, h, n])
        out[b, n, o] = math.fsum(terms)
    return out


def dot(a, b):
    return [p * q for p, q in zip(a.tolist(), b.tolist())]


def causal_bias(queries, keys):
    return mask((queries, keys), lambda i, j: i - j >= 0)


def causal_bias_lower_right(queries, keys):
    return mask((queries, keys), lambda i, j: (queries - 1 - i) <= (keys - 1 - j))


def padding_bias(lengths, keys):
    return mask((len(lengths), 1, 1, keys), lambda b, one, uno, j: lengths[b] - j > 0)


def prefix_bias(prefix, tokens):
    return mask((tokens, tokens), lambda i, j: max(i + 1, prefix) > j)


def block_diagonal_bias(segments):
    return mask((len(segments),) * 2, lambda i, j: segments[i] - segments[j] == 0)


def mask(shape, sees):
    bias = np.zeros(shape)
    for index in np.ndindex(*shape):
        if not sees(*index):
            bias[index] = -math.inf
    return bias
