"""What language models are trained for and judged by, in PyTorch's primitives."""

from __future__ import annotations

import torch

from refimpl.backends.tensors import on_tensors as _on_tensors

F = torch.nn.functional
WIDE = torch.float64  # where no array says the precision


# Objectives


@_on_tensors
def shift_right(labels, start, ignore, pad):
    """torch.nn.functional.pad"""
    words = labels.masked_fill(labels == ignore, pad)
    return F.pad(words[:, :-1], (1, 0), value=start)


@_on_tensors
def token_log_probs(logits, labels):
    """torch.nn.functional.log_softmax, torch.gather"""
    return F.log_softmax(logits, dim=-1).gather(-1, labels[..., None])[..., 0]


def _kept_cross_entropy(logits, labels, keep, smoothing=0.0):
    words = torch.where(keep > 0, labels, -100).flatten()
    return F.cross_entropy(logits.flatten(0, -2), words, label_smoothing=smoothing)


@_on_tensors
def masked_cross_entropy(logits, labels, keep):
    """torch.nn.functional.cross_entropy(ignore_index=-100)"""
    return _kept_cross_entropy(logits, labels, keep)


@_on_tensors
def next_token_loss(logits, ids, keep):
    """torch.nn.functional.cross_entropy(ignore_index=-100)"""
    return _kept_cross_entropy(logits[:, :-1], ids[:, 1:], keep[:, 1:])


@_on_tensors
def smoothed_cross_entropy(logits, labels, keep, smoothing):
    """torch.nn.functional.cross_entropy(label_smoothing)"""
    return _kept_cross_entropy(logits, labels, keep, smoothing)


@_on_tensors
def perplexity(nats, keep):
    """torch.exp, torch.mean"""
    return nats[keep > 0].mean().exp()


# Preferences


@_on_tensors
def preference_loss(chosen, rejected):
    """torch.nn.functional.logsigmoid"""
    return -F.logsigmoid(chosen - rejected).mean()


@_on_tensors
def kl_positive(log_probs, reference):
    """torch.expm1"""
    delta = reference - log_probs
    return torch.expm1(delta) - delta


@_on_tensors
def whiten(x, keep, eps):
    """torch.var, torch.rsqrt"""
    kept = x[keep > 0]
    scale = torch.rsqrt(kept.var(correction=0) + eps)
    return torch.where(keep > 0, (x - kept.mean()) * scale, 0)


@_on_tensors
def group_advantage(rewards, eps):
    """torch.std"""
    apart = rewards - rewards.mean(dim=-1, keepdim=True)
    return apart / (rewards.std(dim=-1, keepdim=True) + eps)


@_on_tensors
def ppo_loss(log_probs, old, advantages, keep, clip):
    """torch.exp, torch.clamp, torch.minimum"""
    ratio = (log_probs - old).exp()
    gains = torch.minimum(advantages * ratio, advantages * ratio.clamp(1 - clip, 1 + clip))
    return -gains[keep > 0].mean()


@_on_tensors
def value_loss(values, old, returns, keep, clip):
    """torch.clamp, torch.nn.functional.mse_loss"""
    near = values.clamp(old - clip, old + clip)
    errors = (F.mse_loss(x, returns, reduction="none") for x in (values, near))
    return torch.maximum(*errors)[keep > 0].mean() / 2


def _margin(chosen, rejected, chosen_reference, rejected_reference):
    return (chosen - rejected) - (chosen_reference - rejected_reference)


@_on_tensors
def dpo_loss(chosen, rejected, chosen_reference, rejected_reference, beta, smoothing):
    """torch.nn.functional.logsigmoid"""
    scaled = beta * _margin(chosen, rejected, chosen_reference, rejected_reference)
    losses = (1 - smoothing) * F.logsigmoid(scaled) + smoothing * F.logsigmoid(-scaled)
    return -losses.mean()


@_on_tensors
def ipo_loss(chosen, rejected, chosen_reference, rejected_reference, beta):
    """torch.square"""
    margin = _margin(chosen, rejected, chosen_reference, rejected_reference)
    return (margin - 1 / (2 * beta)).square().mean()


# Retrieval


@_on_tensors
def mean_pool(x, keep):
    """torch.sum"""
    counts = keep.to(x.dtype)[..., None]  # texts N 1
    return (x * counts).sum(dim=1) / counts.sum(dim=1)


@_on_tensors
def max_similarity(queries, queries_keep, documents, documents_keep):
    """torch.einsum, torch.amax"""
    products = torch.einsum("bnd,qmd->bqnm", queries, documents)
    best = products.masked_fill(documents_keep[None, :, None] == 0, -torch.inf).amax(dim=-1)
    return best.masked_fill(queries_keep[:, None] == 0, 0).sum(dim=-1)


# Generation


@_on_tensors
def temperature_softmax(logits, temperature):
    """torch.nn.functional.softmax"""
    return F.softmax(logits / temperature, dim=-1)


@_on_tensors
def keep_top_k(logits, k):
    """torch.topk"""
    least = logits.topk(min(k, logits.shape[-1]), dim=-1).values[:, -1:]
    return logits.masked_fill(logits < least, -torch.inf)


@_on_tensors
def sample_index(probabilities, uniforms):
    """torch.cumsum, torch.searchsorted"""
    reached = probabilities.cumsum(dim=-1)
    return torch.searchsorted(reached, uniforms[:, None] * reached[:, -1:], right=True)[:, 0]
