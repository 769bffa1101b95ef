"""Images within a text, in PyTorch's primitives."""

from __future__ import annotations

import torch
from torch.nn import functional

from refimpl.backends.tensors import on_tensors as _on_tensors


@_on_tensors
def text_times(media):
    """torch.cumsum"""
    return media.cumsum(dim=1)


def _bias(seen, latents):
    hidden = ~seen.repeat_interleave(latents, dim=-1)[:, None]
    return torch.zeros(hidden.shape, dtype=torch.float64).masked_fill(hidden, -torch.inf)


@_on_tensors
def media_bias(times, media, latents):
    """torch.eq, torch.repeat_interleave"""
    return _bias(times[..., None] == torch.arange(1, media + 1), latents)


@_on_tensors
def media_bias_all(times, media, latents):
    """torch.ge, torch.repeat_interleave"""
    return _bias(times[..., None] >= torch.arange(1, media + 1), latents)


@_on_tensors
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
    """torch.nn.functional.layer_norm, torch.nn.functional.scaled_dot_product_attention"""
    width = media.shape[-1:]
    asking = functional.layer_norm(latents, width, latents_gain, latents_shift, eps)
    seen = torch.cat(
        (functional.layer_norm(media, width, media_gain, media_shift, eps), asking), dim=1
    )

    def split(x, weight):
        return (
            functional.linear(x, weight)
            .unflatten(-1, (heads, len(weight) // heads))
            .transpose(1, 2)
        )

    mixed = functional.scaled_dot_product_attention(
        split(asking, query_weight), split(seen, key_weight), split(seen, value_weight)
    )
    return latents + functional.linear(mixed.transpose(1, 2).flatten(2), out_weight)


@_on_tensors
def gated_residual(x, branch, gate):
    """torch.addcmul, torch.tanh"""
    return torch.addcmul(x, gate.tanh(), branch)
