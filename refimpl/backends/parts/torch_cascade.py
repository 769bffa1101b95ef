"""Cascades, in PyTorch's primitives."""

from __future__ import annotations

import math

import torch

from refimpl.backends.tensors import on_tensors as _on_tensors


@_on_tensors
def standardize_embedding(embedding, mean, std):
    """torch.sub, torch.div"""
    return (embedding - mean) / std


@_on_tensors
def augment_embedding(embedding, mean, std, level, noise, alpha_bar):
    """torch.addcmul, torch.cos, torch.sin"""
    share = alpha_bar[level][:, None].to(embedding.dtype)
    half = embedding.shape[1] // 2
    noised = share.sqrt() * (embedding - mean) / std + (1 - share).sqrt() * noise
    angles = torch.outer(
        level.to(embedding.dtype), 10000 ** (-torch.arange(half, dtype=embedding.dtype) / half)
    )
    return torch.cat((torch.addcmul(mean, noised, std), angles.cos(), angles.sin()), dim=1)


@_on_tensors
def prior_tokens(text, text_embedding, time, noised, query):
    """torch.cat"""
    single = (text_embedding, time, noised, query.expand_as(noised))
    return torch.cat((text, *(token[:, None] for token in single)), dim=1)


@_on_tensors
def prior_bias(keep):
    """torch.nn.functional.pad, torch.Tensor.masked_fill"""
    seen = torch.nn.functional.pad(keep, (0, 4), value=1).bool()[:, None, None]
    causal = torch.ones((seen.shape[-1],) * 2, dtype=torch.bool).tril()
    return torch.zeros((), dtype=torch.float64).masked_fill(~(seen & causal), -torch.inf)


@_on_tensors
def context_tokens(projection, tokens):
    """torch.Tensor.unflatten, torch.Tensor.mT"""
    return projection.unflatten(1, (-1, tokens)).mT


@_on_tensors
def null_condition(x, null, keep):
    """torch.where"""
    return torch.where(keep.bool()[:, None, None], x, null)


@_on_tensors
def pad_text(embedding, padding, keep):
    """torch.where"""
    return torch.where(keep.bool()[..., None], embedding, padding)


@_on_tensors
def log_snr_cosine(t, offset):
    """torch.tan, torch.clamp"""
    tangent = torch.tan((t + offset) / (1 + offset) * (math.pi / 2))
    return -tangent.square().clamp(min=1e-5).log()


@_on_tensors
def log_snr_linear(t):
    """torch.expm1"""
    return -torch.expm1(1e-4 + 10 * t.square()).log()


@_on_tensors
def continuous_posterior(x_t, x_start, log_snr, previous):
    """torch.sigmoid, torch.expm1"""
    wide = (-1,) + (1,) * (x_t.ndim - 1)
    removed = -torch.expm1(log_snr - previous)
    alpha_t, alpha_s = log_snr.sigmoid().sqrt(), previous.sigmoid().sqrt()
    from_x_t = alpha_s * torch.exp(log_snr - previous) / alpha_t
    mean = from_x_t.view(wide) * x_t + (alpha_s * removed).view(wide) * x_start
    return mean, torch.sigmoid(-previous) * removed
