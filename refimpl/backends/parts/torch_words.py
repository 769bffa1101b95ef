"""Masks of caches, the words that are hidden and taken, and rankings, in PyTorch's primitives."""

from __future__ import annotations

import math

import torch

from refimpl.backends.tensors import on_tensors as _on_tensors


def _additive(keep):
    return torch.zeros(keep.shape, dtype=torch.float64).masked_fill(~keep, -math.inf)


@_on_tensors
def sliding_window_bias(queries, keys, window):
    """torch.tril, torch.triu"""
    last = keys - queries
    seen = torch.ones(queries, keys, dtype=torch.bool).tril(last)
    return _additive(seen.triu(last - window + 1))  # N M


@_on_tensors
def cached_causal_bias(lengths, queries, keys):
    """torch.le, torch.masked_fill"""
    own = torch.arange(queries) - queries + lengths[:, None]  # B N
    return _additive(torch.le(torch.arange(keys), own[..., None]))[:, None]  # B 1 N M


@_on_tensors
def resize_positions(positions, rows, cols, tall, wide):
    """torch.nn.functional.interpolate, antialiased"""
    grid = positions[1:].T.reshape(1, -1, rows, cols)
    if wide == 1:  # a result of one column repeats its first row: it is made as one row
        return torch.cat((positions[:1], _resized(grid.mT, (1, tall)).mT[0].flatten(1).T))
    return torch.cat((positions[:1], _resized(grid, (tall, wide))[0].flatten(1).T))


def _resized(grid, shape):
    return torch.nn.functional.interpolate(grid, shape, mode="bicubic", antialias=True)


@_on_tensors
def greedy_index(logits):
    """torch.argmax"""
    return logits.argmax(dim=-1)


@_on_tensors
def corrupt_tokens(ids, selected, uniforms, words, mask, hidden, changed):
    """torch.where, torch.masked_fill"""
    chosen = selected > 0
    read = torch.where(chosen & (uniforms < changed), words, ids)
    return read.masked_fill(chosen & (uniforms < hidden), mask)


@_on_tensors
def ranking(scores):
    """torch.sort"""
    return scores.sort(dim=-1, descending=True, stable=True).indices


@_on_tensors
def precision_at_k(relevance, k):
    """torch.sum"""
    return relevance[:, :k].sum(dim=1) / k
