"""What stands between an image tower and a language model, in PyTorch's primitives."""

from __future__ import annotations

import torch
from torch.nn import functional

from refimpl.backends.tensors import on_tensors as _on_tensors


@_on_tensors
def qformer_embed(queries, words, positions, gain, shift, eps):
    """torch.nn.functional.layer_norm"""
    alike = queries.expand(len(words), -1, -1)
    tokens = torch.cat((alike, words + positions), dim=1)
    return functional.layer_norm(tokens, tokens.shape[-1:], gain, shift, eps)


@_on_tensors
def itc_similarity(images, texts):
    """torch.nn.functional.normalize, torch.einsum, torch.amax"""
    images, texts = (functional.normalize(x, dim=-1) for x in (images, texts))
    return torch.einsum("qld,td->qlt", images, texts).amax(dim=1)


@_on_tensors
def itc_loss(similarity, temperature, smoothing):
    """torch.nn.functional.cross_entropy(label_smoothing=…), both ways"""
    logits, labels = similarity / temperature, torch.arange(len(similarity))
    ways = (logits, logits.T)
    losses = [functional.cross_entropy(x, labels, label_smoothing=smoothing) for x in ways]
    return sum(losses) / 2


@_on_tensors
def hard_negative_weights(similarity, temperature):
    """torch.Tensor.fill_diagonal_, torch.softmax"""
    if len(similarity) < 2:
        raise ValueError("there is no other pair")
    return (similarity / temperature).fill_diagonal_(-torch.inf).softmax(dim=1)


@_on_tensors
def splice_tokens(words, ids, image_id, images):
    """torch.Tensor.masked_scatter"""
    room = (ids == image_id)[..., None].expand_as(words)
    return words.masked_scatter(room, images)


@_on_tensors
def vqa_score(answers, matches):
    """torch.clamp"""
    kept = (answers - matches) * (matches / 3).clamp(max=1)
    return (kept + matches * ((matches - 1) / 3).clamp(max=1)) / answers
