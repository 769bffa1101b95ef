"""Compiled twins of the positions: same names, same arguments, same steps."""

import numpy as np
from numba import njit

from refimpl.compiled.memory import empty
from refimpl.compiled.threads import share
from refimpl.ops.images import fast as images


def embed_tokens(ids, table):
    return np.take(table, ids, axis=0)


def embed_tokens_vjp(ids, table, grad):
    table_grad = np.zeros(table.shape, table.dtype)
    _add_rows(ids.reshape(-1), grad.reshape(-1, table.shape[1]), table_grad)
    return table_grad


@njit(cache=True)
def _add_rows(places, rows, table):
    for n in range(len(places)):
        into = table[places[n]]
        for d in range(table.shape[1]):
            into[d] += rows[n, d]


def rotary_angles(positions, half, base):
    number = positions.dtype.type
    frequencies = np.exp(-np.log(number(base)) * np.arange(half, dtype=number) / number(half))
    return positions[:, None] * frequencies  # N E


def rotary_embedding(x, angles):
    B, H, N, width = x.shape
    y = empty(x.shape, x.dtype)
    rows = x.reshape(B * H, N, width), y.reshape(B * H, N, width)
    share(_turn, B * H, 4 * N * width, *rows, np.cos(angles), np.sin(angles))
    return y


@njit(cache=True, nogil=True)
def _turn(first, last, x, y, cosine, sine):
    half = cosine.shape[1]
    for k in range(first, last):
        for n in range(x.shape[1]):
            for i in range(half):
                a, b = x[k, n, i], x[k, n, half + i]
                y[k, n, i] = a * cosine[n, i] - b * sine[n, i]
                y[k, n, half + i] = a * sine[n, i] + b * cosine[n, i]


def rotary_embedding_vjp(x, angles, grad):
    B, H, N, width = x.shape
    cosine, sine = np.cos(angles), np.sin(angles)  # N E
    x_grad = empty(x.shape, x.dtype)
    rows = (array.reshape(B * H, N, width) for array in (x, grad, x_grad))
    x_rows, rows_grad, turned = rows
    share(_turn, B * H, 4 * N * width, rows_grad, turned, cosine, -sine)
    angles_grad = np.zeros(angles.shape, angles.dtype)
    _add_angles(x_rows, rows_grad, cosine, sine, angles_grad)
    return x_grad, angles_grad


@njit(cache=True)
def _add_angles(x, grad, cosine, sine, total):
    half = cosine.shape[1]
    for k in range(x.shape[0]):
        for n in range(x.shape[1]):
            for i in range(half):
                a, b = x[k, n, i], x[k, n, half + i]
                up, down = grad[k, n, i], grad[k, n, half + i]
                along, across = up * a + down * b, down * a - up * b
                total[n, i] += cosine[n, i] * across - sine[n, i] * along


def halves_from_pairs(x):
    half = x.shape[-1] // 2
    y = empty(x.shape, x.dtype)
    y[..., :half], y[..., half:] = x[..., 0::2], x[..., 1::2]
    return y


def pairs_from_halves(x):
    half = x.shape[-1] // 2
    y = empty(x.shape, x.dtype)
    y[..., 0::2], y[..., 1::2] = x[..., :half], x[..., half:]
    return y


def alibi_bias(query_positions, key_positions, heads):
    bias = empty((heads, len(query_positions), len(key_positions)), key_positions.dtype)
    _alibi(query_positions, key_positions, bias)
    return bias


@njit(cache=True)
def _alibi(query_positions, key_positions, bias):
    heads = bias.shape[0]
    power = 1
    while 2 * power <= heads:
        power *= 2
    for h in range(heads):
        exponent = 8 * (h + 1) / power if h < power else 8 * (h - power + 0.5) / power
        slope = bias.dtype.type(2.0**-exponent)
        for n in range(len(query_positions)):
            for m in range(len(key_positions)):
                bias[h, n, m] = -slope * abs(query_positions[n] - key_positions[m])


def relative_buckets(query_positions, key_positions, buckets, max_distance):
    half = buckets // 2
    found = np.empty((len(query_positions), len(key_positions)), np.int64)
    _buckets(query_positions, key_positions, half, _edges(half, max_distance), half, found)
    return found


def relative_buckets_causal(query_positions, key_positions, buckets, max_distance):
    found = np.empty((len(query_positions), len(key_positions)), np.int64)
    _buckets(query_positions, key_positions, buckets, _edges(buckets, max_distance), 0, found)
    return found


def _edges(buckets, max_distance):
    """The first distance of each far bucket, decided in whole numbers."""
    exact = buckets // 2
    steps = buckets - exact
    edges = np.empty(steps, np.int64)
    distance = exact
    for k in range(steps):
        while distance**steps * exact**k < max_distance**k * exact**steps:
            distance += 1
        edges[k] = distance
    return edges


@njit(cache=True)
def _buckets(query_positions, key_positions, buckets, edges, offset, found):
    exact = buckets // 2
    for n in range(len(query_positions)):
        for m in range(len(key_positions)):
            ahead = key_positions[m] - query_positions[n]
            distance = -ahead if ahead < 0 or offset == 0 else ahead
            bucket = max(distance, 0)
            if distance >= exact:
                bucket = exact + np.searchsorted(edges, distance, side="right") - 1
            found[n, m] = bucket + (offset if ahead > 0 else 0)


def relative_bias(table, buckets):
    return np.ascontiguousarray(np.moveaxis(table[buckets], -1, 0))  # H N M


def relative_bias_vjp(table, buckets, grad):
    table_grad = np.zeros(table.shape, table.dtype)
    H = table.shape[1]
    _add_rows(buckets.reshape(-1), grad.reshape(H, buckets.size).T, table_grad)
    return table_grad


def _as_grid(positions, rows, cols):
    return np.ascontiguousarray(positions[1:].T).reshape(1, -1, rows, cols)


def _as_table(first, grid):
    patches = grid.reshape(grid.shape[1], -1).T
    return np.concatenate((first, patches))


def resize_positions(positions, rows, cols, tall, wide):
    grid = _as_grid(positions, rows, cols)
    return _as_table(positions[:1], images.resize_bicubic(grid, tall, wide))


def resize_positions_vjp(positions, rows, cols, tall, wide, grad):
    grid, arrived = _as_grid(positions, rows, cols), _as_grid(grad, tall, wide)
    return _as_table(grad[:1], images.resize_bicubic_vjp(grid, tall, wide, arrived))
