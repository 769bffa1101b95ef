"""The positions, one number at a time."""

import math

import numpy as np

from tests.witnesses.images import resize_bicubic, resize_bicubic_vjp


def embed_tokens(ids, table):
    B, N = ids.shape
    x = np.zeros((B, N, table.shape[1]))
    for b, n, d in np.ndindex(x.shape):
        x[b, n, d] = table[int(ids[b, n]), d]
    return x


def _gathered(places, shape, grad):
    """For each row of a table the sum of what arrives at its places."""
    arrived = [[[] for _ in range(shape[1])] for _ in range(shape[0])]
    for place, values in zip(places, grad, strict=True):
        for d, value in enumerate(values):
            arrived[int(place)][d].append(value)
    return np.array([[math.fsum(values) for values in row] for row in arrived]).reshape(shape)


def embed_tokens_vjp(ids, table, grad):
    return _gathered(ids.ravel(), table.shape, grad.reshape(ids.size, table.shape[1]))


def rotary_angles(positions, half, base):
    angles = np.zeros((len(positions), half))
    for n, i in np.ndindex(angles.shape):
        angles[n, i] = positions[n] / base ** (i / half)
    return angles


def rotary_embedding(x, angles):
    y, half = np.zeros(x.shape), angles.shape[1]
    for b, h, n, i in np.ndindex(*x.shape[:3], half):
        turned = complex(x[b, h, n, i], x[b, h, n, i + half]) * _unit(angles[n, i])
        y[b, h, n, i], y[b, h, n, i + half] = turned.real, turned.imag
    return y


def _unit(angle):
    return complex(math.cos(angle), math.sin(angle))


def rotary_embedding_vjp(x, angles, grad):
    x_grad, half = np.zeros(x.shape), angles.shape[1]
    parts = {place: [] for place in np.ndindex(angles.shape)}
    for b, h, n, i in np.ndindex(*x.shape[:3], half):
        arrived = complex(grad[b, h, n, i], grad[b, h, n, i + half])
        back = arrived * _unit(angles[n, i]).conjugate()
        x_grad[b, h, n, i], x_grad[b, h, n, i + half] = back.real, back.imag
        parts[n, i] += [back.imag * x[b, h, n, i], -back.real * x[b, h, n, i + half]]
    angles_grad = np.zeros(angles.shape)
    for place, values in parts.items():
        angles_grad[place] = math.fsum(values)
    return x_grad, angles_grad


def halves_from_pairs(x):
    y = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        i = place[-1]
        y[*place[:-1], i // 2 + i % 2 * (x.shape[-1] // 2)] = x[place]
    return y


def pairs_from_halves(x):
    y, half = np.zeros(x.shape), x.shape[-1] // 2
    for place in np.ndindex(x.shape):
        i = place[-1]
        y[*place[:-1], 2 * i if i < half else 2 * (i - half) + 1] = x[place]
    return y


def _slopes(heads):
    """As the authors' code has it, by recursion."""
    if heads & (heads - 1) == 0:
        start = 2.0 ** (-8.0 / heads)
        return [start ** (h + 1) for h in range(heads)]
    power = 2 ** math.floor(math.log2(heads))
    return _slopes(power) + _slopes(2 * power)[0::2][: heads - power]


def alibi_bias(query_positions, key_positions, heads):
    bias = np.zeros((heads, len(query_positions), len(key_positions)))
    slopes = _slopes(heads)
    for h, n, m in np.ndindex(bias.shape):
        bias[h, n, m] = -slopes[h] * abs(query_positions[n] - key_positions[m])
    return bias


def _bucket(distance, buckets, max_distance):
    """The bucket of a distance, its logarithms compared as powers of whole numbers."""
    exact = buckets // 2
    if distance < exact:
        return distance
    steps = buckets - exact
    reached = [
        k for k in range(steps) if distance**steps * exact**k >= max_distance**k * exact**steps
    ]
    return exact + max(reached)


def relative_buckets(query_positions, key_positions, buckets, max_distance):
    found = np.zeros((len(query_positions), len(key_positions)), dtype=int)
    for n, m in np.ndindex(found.shape):
        ahead = int(key_positions[m]) - int(query_positions[n])
        found[n, m] = _bucket(abs(ahead), buckets // 2, max_distance)
        found[n, m] += buckets // 2 if ahead > 0 else 0
    return found


def relative_buckets_causal(query_positions, key_positions, buckets, max_distance):
    found = np.zeros((len(query_positions), len(key_positions)), dtype=int)
    for n, m in np.ndindex(found.shape):
        behind = int(query_positions[n]) - int(key_positions[m])
        found[n, m] = _bucket(max(behind, 0), buckets, max_distance)
    return found


def relative_bias(table, buckets):
    N, M = buckets.shape
    bias = np.zeros((table.shape[1], N, M))
    for h, n, m in np.ndindex(bias.shape):
        bias[h, n, m] = table[int(buckets[n, m]), h]
    return bias


def relative_bias_vjp(table, buckets, grad):
    by_place = [[grad[h][place] for h in range(len(grad))] for place in np.ndindex(buckets.shape)]
    return _gathered(buckets.ravel(), table.shape, by_place)


def resize_positions(positions, rows, cols, tall, wide):
    """The grid of each width, as an image of its own."""
    result = np.zeros((tall * wide + 1, positions.shape[1]))
    result[0] = positions[0]
    for d in range(positions.shape[1]):
        image = np.zeros((1, 1, rows, cols))
        for k, m in np.ndindex(rows, cols):
            image[0, 0, k, m] = positions[1 + k * cols + m, d]
        resized = resize_bicubic(image, tall, wide)
        for i, j in np.ndindex(tall, wide):
            result[1 + i * wide + j, d] = resized[0, 0, i, j]
    return result


def resize_positions_vjp(positions, rows, cols, tall, wide, grad):
    result = np.zeros((rows * cols + 1, grad.shape[1]))
    result[0] = grad[0]
    for d in range(grad.shape[1]):
        image = np.zeros((1, 1, tall, wide))
        for i, j in np.ndindex(tall, wide):
            image[0, 0, i, j] = grad[1 + i * wide + j, d]
        found = resize_bicubic_vjp(np.zeros((1, 1, rows, cols)), tall, wide, image)
        for k, m in np.ndindex(rows, cols):
            result[1 + k * cols + m, d] = found[0, 0, k, m]
    return result
