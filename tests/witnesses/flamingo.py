"""Images within a text, one number at a time."""

import math

import numpy as np


def text_times(media):
    return np.array(
        [[int(sum(row[: n + 1])) for n in range(len(row))] for row in media], dtype=int
    ).reshape(media.shape)


def _bias(times, media, latents, sees):
    B, N = times.shape
    bias = np.full((B, 1, N, media * latents), -math.inf)
    for b, n, k in np.ndindex(B, N, media * latents):
        if sees(times[b, n], k // latents + 1):
            bias[b, 0, n, k] = 0
    return bias


def media_bias(times, media, latents):
    return _bias(times, media, latents, lambda time, image: time == image)


def media_bias_all(times, media, latents):
    return _bias(times, media, latents, lambda time, image: image <= time)


def _normed(x, gain, shift, eps):
    mean = math.fsum(x) / len(x)
    variance = math.fsum((v - mean) ** 2 for v in x) / len(x)
    return [
        g * (v - mean) / math.sqrt(variance + eps) + s
        for v, g, s in zip(x, gain, shift, strict=True)
    ]


def _dense(x, weight):
    return [math.fsum(w * v for w, v in zip(row, x, strict=True)) for row in weight]


def perceiver_attention(
    media,
    latents,
    media_gain,
    media_shift,
    latents_gain,
    latents_shift,
    eps,
    query_weight,
    key_weight,
    value_weight,
    out_weight,
    heads,
):
    result, E = np.zeros(latents.shape), len(query_weight) // heads
    for b in range(len(latents)):
        asking = [_normed(z, latents_gain, latents_shift, eps) for z in latents[b]]
        seen = [_normed(x, media_gain, media_shift, eps) for x in media[b]] + asking
        keys = [_dense(x, key_weight) for x in seen]
        told = [_dense(x, value_weight) for x in seen]
        for n, z in enumerate(asking):
            asked, mixed = _dense(z, query_weight), []
            for h in range(heads):
                part = range(h * E, (h + 1) * E)
                scores = [math.fsum(asked[e] * k[e] for e in part) / math.sqrt(E) for k in keys]
                weights = [math.exp(score - max(scores)) for score in scores]
                for e in part:
                    total = math.fsum(w * v[e] for w, v in zip(weights, told, strict=True))
                    mixed.append(total / math.fsum(weights))
            result[b, n] = latents[b, n] + _dense(mixed, out_weight)
    return result


def gated_residual(x, branch, gate):
    y, opened = np.zeros(x.shape), math.tanh(gate)
    for place in np.ndindex(x.shape):
        y[place] = x[place] + opened * branch[place]
    return y


def gated_residual_vjp(branch, gate, grad):
    branch_grad = np.zeros(grad.shape)
    for place in np.ndindex(grad.shape):
        branch_grad[place] = math.tanh(gate) * grad[place]
    total = math.fsum(g * f for g, f in zip(grad.ravel(), branch.ravel(), strict=True))
    return grad, branch_grad, np.array(total / math.cosh(gate) ** 2)
