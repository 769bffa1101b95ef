"""Twins of images within a text: same names, same arguments, same steps."""

import numpy as np

from refimpl.compiled.threads import contiguous
from refimpl.ops.attention.fast import attention
from refimpl.ops.layers.fast import layer_norm, linear


def text_times(media):
    return np.add.accumulate(media, axis=1)


def media_bias(times, media, latents):
    bias = np.full((*times.shape, media, latents), -np.inf)
    b, n = np.nonzero((times > 0) & (times <= media))
    bias[b, n, times[b, n] - 1] = 0
    return bias.reshape(len(times), 1, times.shape[1], media * latents)


def media_bias_all(times, media, latents):
    hidden = np.arange(media) >= times[..., None]
    bias = np.where(np.repeat(hidden, latents, axis=-1), -np.inf, 0.0)
    return bias[:, None]


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
    B, N, _ = latents.shape
    asking = layer_norm(latents, latents_gain, latents_shift, eps)
    seen = np.concatenate((layer_norm(media, media_gain, media_shift, eps), asking), axis=1)

    def split(x, weight):
        y = linear(x, weight, None)
        y = y.reshape(*x.shape[:2], heads, len(weight) // heads)
        return contiguous(y.swapaxes(1, 2))

    mixed = attention(
        split(asking, query_weight), split(seen, key_weight), split(seen, value_weight), None
    )
    mixed = contiguous(mixed.swapaxes(1, 2)).reshape(B, N, out_weight.shape[1])
    return latents + linear(mixed, out_weight, None)


def gated_residual(x, branch, gate):
    return x + np.tanh(gate) * branch


def gated_residual_vjp(branch, gate, grad):
    number = grad.dtype.type
    odds = np.exp(number(-2) * np.abs(gate))
    slope = number(4) * odds / ((number(1) + odds) * (number(1) + odds))
    return grad.copy(), np.tanh(gate) * grad, slope * np.sum(grad * branch)
