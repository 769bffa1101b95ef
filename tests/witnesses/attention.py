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


def attention_vjp(query, key, value, bias, grad):
    """By the Jacobian of the softmax, entry for entry."""
    B, heads, N, E = query.shape
    groups, M, F = value.shape[1:]
    pieces = [np.zeros(a.shape, dtype=object) for a in (query, key, value)]
    for piece in pieces:
        for index in np.ndindex(*piece.shape):
            piece[index] = []
    query_terms, key_terms, value_terms = pieces
    scores_grad = np.zeros((B, heads, N, M))
    for b, h, n in np.ndindex(B, heads, N):
        g = h * groups // heads
        scores = [
            math.fsum(dot(query[b, h, n], key[b, g, m])) / math.sqrt(E)
            + broadcast(bias, (b, h, n, m))
            for m in range(M)
        ]
        largest = max(scores)
        if largest == -math.inf:
            continue
        weights = [math.exp(score - largest) for score in scores]
        total = math.fsum(weights)
        weights = [weight / total for weight in weights]
        towards = [math.fsum(dot(grad[b, h, n], value[b, g, m])) for m in range(M)]
        for m in range(M):
            others = [weights[k] * (towards[m] - towards[k]) for k in range(M) if k != m]
            slope = weights[m] * math.fsum(others)
            scores_grad[b, h, n, m] = slope
            for f in range(F):
                value_terms[b, g, m, f].append(weights[m] * float(grad[b, h, n, f]))
            for e in range(E):
                query_terms[b, h, n, e].append(slope * float(key[b, g, m, e]))
                key_terms[b, g, m, e].append(slope * float(query[b, h, n, e]))
    return (
        added(query_terms, math.sqrt(E)),
        added(key_terms, math.sqrt(E)),
        added(value_terms, 1.0),
        scores_grad,
    )


def added(terms, divisor):
    total = np.zeros(terms.shape)
    for index in np.ndindex(*terms.shape):
        total[index] = math.fsum(terms[index]) / divisor
    return total


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


def multi_head_attention_vjp(x, memory, in_weight, in_bias, out_weight, heads, bias, grad):
    (B, N, D), M = x.shape, memory.shape[1]
    E = D // heads
    blocks = []
    for block, tokens in enumerate((x, memory, memory)):
        head = np.zeros((B, heads, tokens.shape[1], E))
        for b, h, n, e in np.ndindex(*head.shape):
            row = block * D + h * E + e
            own = [] if in_bias is None else [float(in_bias[row])]
            head[b, h, n, e] = math.fsum(dot(in_weight[row], tokens[b, n]) + own)
        blocks.append(head)
    mixed = attention(*blocks, bias)
    mixed_grad = np.zeros((B, heads, N, E))
    for b, h, n, e in np.ndindex(*mixed_grad.shape):
        mixed_grad[b, h, n, e] = math.fsum(dot(out_weight[:, h * E + e], grad[b, n]))
    inner = attention_vjp(*blocks, bias, mixed_grad)[:3]
    in_weight_grad, in_bias_grad = np.zeros((3 * D, D)), np.zeros(3 * D)
    for row in range(3 * D):
        block, h, e = row // D, row % D // E, row % E
        tokens, slopes = (x, memory, memory)[block], inner[block][:, h, :, e].ravel()
        in_bias_grad[row] = math.fsum(slopes.tolist())
        for d in range(D):
            in_weight_grad[row, d] = math.fsum(dot(slopes, tokens[:, :, d].ravel()))
    out_weight_grad, out_bias_grad = np.zeros((D, D)), np.zeros(D)
    for o in range(D):
        out_bias_grad[o] = math.fsum(grad[:, :, o].ravel().tolist())
        for d in range(D):
            told = mixed[:, d // E, :, d % E].ravel()
            out_weight_grad[o, d] = math.fsum(dot(grad[:, :, o].ravel(), told))
    x_grad, memory_grad = np.zeros((B, N, D)), np.zeros((B, M, D))
    for token_grad, used in ((x_grad, (0,)), (memory_grad, (1, 2))):
        for b, n, d in np.ndindex(*token_grad.shape):
            terms = []
            for block in used:
                weight = in_weight[block * D : (block + 1) * D, d]
                terms += dot(weight, inner[block][b, :, n].ravel())
            token_grad[b, n, d] = math.fsum(terms)
    return x_grad, memory_grad, in_weight_grad, in_bias_grad, out_weight_grad, out_bias_grad


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


def sliding_window_bias(queries, keys, window):
    def sees(i, j):
        behind = (keys - 1 - j) - (queries - 1 - i)
        return 0 <= behind < window

    return mask((queries, keys), sees)


def cached_causal_bias(lengths, queries, keys):
    def sees(b, one, i, j):
        return queries - 1 - i <= lengths[b] - 1 - j

    return mask((len(lengths), 1, queries, keys), sees)


def mask(shape, sees):
    bias = np.zeros(shape)
    for index in np.ndindex(*shape):
        if not sees(*index):
            bias[index] = -math.inf
    return bias
