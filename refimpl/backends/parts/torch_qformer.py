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


def _attended(asked, told, heads, bias, out_weight, out_bias):
    query, key, value = (
        x.reshape(*x.shape[:2], heads, x.shape[-1] // heads).transpose(1, 2)
        for x in (asked, *told.chunk(2, dim=-1))
    )
    mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
    return functional.linear(mixed.transpose(1, 2).flatten(2), out_weight, out_bias)


@_on_tensors
def qformer_layer(
    x,
    image,
    self_weight,
    self_bias,
    self_out_weight,
    self_out_bias,
    self_norm_gain,
    self_norm_bias,
    query_weight,
    query_bias,
    image_weight,
    image_bias,
    image_out_weight,
    image_out_bias,
    image_norm_gain,
    image_norm_bias,
    queries_in_weight,
    queries_in_bias,
    queries_out_weight,
    queries_out_bias,
    queries_norm_gain,
    queries_norm_bias,
    words_in_weight,
    words_in_bias,
    words_out_weight,
    words_out_bias,
    words_norm_gain,
    words_norm_bias,
    queries,
    heads,
    bias,
    eps,
):
    """torch.nn.functional: scaled_dot_product_attention, layer_norm, linear, gelu"""
    B, N, D = x.shape
    bias = None if bias is None else bias.expand(B, 1, N, N)

    def added(x, y, gain, shift):
        return functional.layer_norm(x + y, (D,), gain, shift, eps)

    def think(x, in_weight, in_bias, out_weight, out_bias, gain, shift):
        hidden = functional.gelu(functional.linear(x, in_weight, in_bias))
        return added(x, functional.linear(hidden, out_weight, out_bias), gain, shift)

    asked, told = functional.linear(x, self_weight, self_bias).split((D, 2 * D), dim=-1)
    told = _attended(asked, told, heads, bias, self_out_weight, self_out_bias)
    x = added(x, told, self_norm_gain, self_norm_bias)
    asking, words = x[:, :queries], x[:, queries:]
    if image is not None:
        asked = functional.linear(asking, query_weight, query_bias)
        told = functional.linear(image, image_weight, image_bias)
        told = _attended(asked, told, heads, None, image_out_weight, image_out_bias)
        asking = added(asking, told, image_norm_gain, image_norm_bias)
    of_queries = queries_in_weight, queries_in_bias, queries_out_weight, queries_out_bias
    asking = think(asking, *of_queries, queries_norm_gain, queries_norm_bias)
    of_words = words_in_weight, words_in_bias, words_out_weight, words_out_bias
    words = think(words, *of_words, words_norm_gain, words_norm_bias)
    return torch.cat((asking, words), dim=1)


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
