"""Blocks of U-Nets, one number at a time: lists of lists, and sums of one term after the other."""

import math

import numpy as np


def _silu(v):
    return v / (1 + math.exp(-v)) if v >= 0 else v * math.exp(v) / (1 + math.exp(v))


def _gelu(v):
    return v * math.erfc(-v / math.sqrt(2)) / 2


def _of_each(function, x):
    y = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        y[place] = function(x[place])
    return y


def _dense(vector, weight, bias):
    """One vector through a layer."""
    sums = [math.fsum(w * v for w, v in zip(row, vector)) for row in weight]
    return np.array(sums) if bias is None else np.array([s + b for s, b in zip(sums, bias)])


def _dense_rows(x, weight, bias):
    y = np.zeros((*x.shape[:-1], len(weight)))
    for place in np.ndindex(x.shape[:-1]):
        y[place] = _dense(x[place], weight, bias)
    return y


def _standard(numbers, eps):
    """Numbers less their mean, divided by their deviation."""
    flat = list(numbers.ravel())
    mean = math.fsum(flat) / len(flat)
    variance = math.fsum((v - mean) ** 2 for v in flat) / len(flat)
    root = math.sqrt(variance + eps)
    return _of_each(lambda v: (v - mean) / root, numbers)


def _group_norm(x, gain, shift, groups, eps):
    y = np.zeros(x.shape)
    each = x.shape[1] // groups
    for b in range(len(x)):
        for g in range(groups):
            own = slice(g * each, (g + 1) * each)
            normal = _standard(x[b, own], eps)
            for c in range(each):
                place = g * each + c
                y[b, place] = normal[c] * gain[place] + shift[place]
    return y


def _layer_norm(x, gain, shift, eps):
    y = np.zeros(x.shape)
    for place in np.ndindex(x.shape[:-1]):
        normal = _standard(x[place], eps)
        y[place] = [n * g + s for n, g, s in zip(normal, gain, shift)]
    return y


def _conv(x, weight, bias):
    """Kernels of odd sides, the middle tap on the pixel itself."""
    B, channels, height, width = x.shape
    reach = weight.shape[2] // 2
    y = np.zeros((B, len(weight), height, width))
    for b, o, row, column in np.ndindex(y.shape):
        terms = [0.0 if bias is None else bias[o]]
        for c in range(channels):
            for i in range(-reach, reach + 1):
                for j in range(-reach, reach + 1):
                    if 0 <= row + i < height and 0 <= column + j < width:
                        tap = weight[o, c, i + reach, j + reach]
                        terms.append(tap * x[b, c, row + i, column + j])
        y[b, o, row, column] = math.fsum(terms)
    return y


def _reading(queries, keys, values, heads, bias):
    """For one sample: every query's mean of the values, a head after the other."""
    N, channels = queries.shape
    width = channels // heads
    y = np.zeros((N, channels))
    for n in range(N):
        for h in range(heads):
            own = range(h * width, (h + 1) * width)
            scores = [
                math.fsum(queries[n, e] * keys[m, e] for e in own) / math.sqrt(width) + bias[n, m]
                for m in range(len(keys))
            ]
            top = max(scores, default=-math.inf)
            if top == -math.inf:
                continue
            shares = [math.exp(score - top) for score in scores]
            total = math.fsum(shares)
            for e in own:
                y[n, e] = math.fsum(s * values[m, e] for m, s in enumerate(shares)) / total
    return y


def time_mlp(emb, in_weight, in_bias, out_weight, out_bias):
    hidden = _of_each(_silu, _dense_rows(emb, in_weight, in_bias))
    return _dense_rows(hidden, out_weight, out_bias)


def micro_conditions(sizes, half):
    rows = []
    for picture in sizes:
        row = []
        for size in picture:
            angles = [size * 10000 ** (-i / half) for i in range(half)]
            row += [math.cos(angle) for angle in angles] + [math.sin(angle) for angle in angles]
        rows.append(row)
    return np.array(rows).reshape(len(sizes), 12 * half)


def _past(x, skip_weight, skip_bias):
    return x if skip_weight is None else _conv(x, skip_weight, skip_bias)


def _normal(x, p, number):
    gain, shift = p[f"norm{number}_gain"], p[f"norm{number}_bias"]
    return _group_norm(x, gain, shift, p["groups"], p["eps"])


def _convolved(x, p, number):
    return _conv(_of_each(_silu, x), p[f"conv{number}_weight"], p[f"conv{number}_bias"])


def _heard(p):
    return _dense_rows(_of_each(_silu, p["emb"]), p["emb_weight"], p["emb_bias"])


def residual_block(**p):
    h = _convolved(_normal(p["x"], p, 1), p, 1)
    heard = _heard(p)
    for b, o in np.ndindex(heard.shape):
        h[b, o] += heard[b, o]
    h = _convolved(_normal(h, p, 2), p, 2)
    return _past(p["x"], p["skip_weight"], p["skip_bias"]) + h


def residual_block_scale_shift(**p):
    h = _normal(_convolved(_normal(p["x"], p, 1), p, 1), p, 2)
    heard = _heard(p)
    outputs = heard.shape[1] // 2
    for b in range(len(h)):
        for o in range(outputs):
            h[b, o] = h[b, o] * (1 + heard[b, o]) + heard[b, outputs + o]
    return _past(p["x"], p["skip_weight"], p["skip_bias"]) + _convolved(h, p, 2)


def _pixels(picture):
    channels, height, width = picture.shape
    return np.array([picture[:, i, j] for i in range(height) for j in range(width)]).reshape(
        height * width, channels
    )


def _add_pixels(picture, told):
    _, height, width = picture.shape
    y = np.zeros(picture.shape)
    for i in range(height):
        for j in range(width):
            y[:, i, j] = picture[:, i, j] + told[i * width + j]
    return y


def spatial_attention(
    x, norm_gain, norm_bias, in_weight, in_bias, out_weight, out_bias, heads, groups, eps
):
    y = np.zeros(x.shape)
    channels = x.shape[1]
    normal = _group_norm(x, norm_gain, norm_bias, groups, eps)
    for b in range(len(x)):
        tokens = _pixels(normal[b])
        rows = [slice(i * channels, (i + 1) * channels) for i in range(3)]
        asked, keys, values = (_dense_rows(tokens, in_weight[r], in_bias[r]) for r in rows)
        read = _reading(asked, keys, values, heads, np.zeros((len(tokens),) * 2))
        y[b] = _add_pixels(x[b], _dense_rows(read, out_weight, out_bias))
    return y


def cross_attention(x, memory, query_weight, memory_weight, out_weight, out_bias, heads, bias):
    channels = x.shape[2]
    y = np.zeros(x.shape)
    for b in range(len(x)):
        asked = _dense_rows(x[b], query_weight, None)
        keys = _dense_rows(memory[b], memory_weight[:channels], None)
        values = _dense_rows(memory[b], memory_weight[channels:], None)
        added = np.zeros((len(x), 1, x.shape[1], len(keys))) + (0.0 if bias is None else bias)
        read = _reading(asked, keys, values, heads, added[b, 0])
        y[b] = _dense_rows(read, out_weight, out_bias)
    return y


def transformer_block(x, memory, heads, bias, eps, **p):
    channels, hidden = x.shape[2], p["out_weight"].shape[1]
    normal = _layer_norm(x, p["norm1_gain"], p["norm1_bias"], eps)
    own = p["self_weight"][:channels], p["self_weight"][channels:]
    behind = p["self_out_weight"], p["self_out_bias"]
    x = x + cross_attention(normal, normal, *own, *behind, heads, None)
    normal = _layer_norm(x, p["norm2_gain"], p["norm2_bias"], eps)
    behind = p["cross_out_weight"], p["cross_out_bias"]
    reads = p["query_weight"], p["memory_weight"], *behind
    x = x + cross_attention(normal, memory, *reads, heads, bias)
    normal = _layer_norm(x, p["norm3_gain"], p["norm3_bias"], eps)
    both = _dense_rows(normal, p["in_weight"], p["in_bias"])
    gated = both[..., :hidden] * _of_each(_gelu, both[..., hidden:])
    return x + _dense_rows(gated, p["out_weight"], p["out_bias"])


def spatial_transformer(x, memory, groups, eps, block_eps, **p):
    B, channels, height, width = x.shape
    normal = _group_norm(x, p.pop("norm_gain"), p.pop("norm_bias"), groups, eps)
    tokens = np.array([_pixels(picture) for picture in normal])
    tokens = tokens.reshape(B, height * width, channels)
    tokens = _dense_rows(tokens, p.pop("enter_weight"), p.pop("enter_bias"))
    leave = p.pop("leave_weight"), p.pop("leave_bias")
    told = _dense_rows(transformer_block(tokens, memory, eps=block_eps, **p), *leave)
    pictures = [_add_pixels(picture, row) for picture, row in zip(x, told)]
    return np.array(pictures).reshape(x.shape)
