"""The blocks of U-Nets, in PyTorch's functions."""

from __future__ import annotations

import torch

from refimpl.backends.tensors import on_tensors as _on_tensors

F = torch.nn.functional


@_on_tensors
def time_mlp(emb, in_weight, in_bias, out_weight, out_bias):
    """torch.nn.functional.linear, torch.nn.functional.silu"""
    return F.linear(F.silu(F.linear(emb, in_weight, in_bias)), out_weight, out_bias)


def _first(p):
    normal = torch.group_norm(p["x"], p["groups"], p["norm1_gain"], p["norm1_bias"], p["eps"])
    return F.conv2d(F.silu(normal), p["conv1_weight"], p["conv1_bias"], padding=1)


def _second(h, p):
    return torch.group_norm(h, p["groups"], p["norm2_gain"], p["norm2_bias"], p["eps"])


def _last(h, p):
    h = F.conv2d(F.silu(h), p["conv2_weight"], p["conv2_bias"], padding=1)
    if p["skip_weight"] is None:
        return p["x"] + h
    return F.conv2d(p["x"], p["skip_weight"], p["skip_bias"]) + h


def _told(p):
    return F.linear(F.silu(p["emb"]), p["emb_weight"], p["emb_bias"])[:, :, None, None]


@_on_tensors
def residual_block(**p):
    """torch.group_norm, torch.nn.functional.silu, conv2d and linear"""
    return _last(_second(_first(p) + _told(p), p), p)


@_on_tensors
def residual_block_scale_shift(**p):
    """torch.group_norm, torch.nn.functional.silu, conv2d and linear"""
    scale, shift = _told(p).chunk(2, dim=1)
    return _last(_second(_first(p), p) * (1 + scale) + shift, p)


def _heads(x, heads):
    return x.unflatten(-1, (heads, x.shape[-1] // heads)).transpose(1, 2)


def _read(parts, heads, bias):
    query, key, value = (_heads(x, heads) for x in parts)
    if bias is not None:
        bias = bias.expand(len(query), 1, query.shape[2], key.shape[2])
    return (
        F.scaled_dot_product_attention(query, key, value, attn_mask=bias).transpose(1, 2).flatten(2)
    )


@_on_tensors
def spatial_attention(
    x, norm_gain, norm_bias, in_weight, in_bias, out_weight, out_bias, heads, groups, eps
):
    """torch.group_norm, torch.nn.functional.linear and scaled_dot_product_attention"""
    tokens = torch.group_norm(x, groups, norm_gain, norm_bias, eps).flatten(2).transpose(1, 2)
    parts = F.linear(tokens, in_weight, in_bias).chunk(3, dim=-1)
    told = F.linear(_read(parts, heads, None), out_weight, out_bias)
    return x + told.transpose(1, 2).reshape(x.shape)


def _cross(x, memory, query_weight, memory_weight, out_weight, out_bias, heads, bias):
    query, both = F.linear(x, query_weight), F.linear(memory, memory_weight)
    return F.linear(_read((query, *both.chunk(2, dim=-1)), heads, bias), out_weight, out_bias)


@_on_tensors
def cross_attention(x, memory, query_weight, memory_weight, out_weight, out_bias, heads, bias):
    """torch.nn.functional.linear and scaled_dot_product_attention"""
    return _cross(x, memory, query_weight, memory_weight, out_weight, out_bias, heads, bias)


def _block(x, memory, heads, bias, eps, p):
    channels = x.shape[-1:]
    normal = F.layer_norm(x, channels, p["norm1_gain"], p["norm1_bias"], eps)
    parts = F.linear(normal, p["self_weight"]).chunk(3, dim=-1)
    x = x + F.linear(_read(parts, heads, None), p["self_out_weight"], p["self_out_bias"])
    normal = F.layer_norm(x, channels, p["norm2_gain"], p["norm2_bias"], eps)
    reads = p["query_weight"], p["memory_weight"], p["cross_out_weight"], p["cross_out_bias"]
    x = x + _cross(normal, memory, *reads, heads, bias)
    normal = F.layer_norm(x, channels, p["norm3_gain"], p["norm3_bias"], eps)
    up, gate = F.linear(normal, p["in_weight"], p["in_bias"]).chunk(2, dim=-1)
    return x + F.linear(up * F.gelu(gate), p["out_weight"], p["out_bias"])


@_on_tensors
def transformer_block(x, memory, heads, bias, eps, **p):
    """torch.nn.functional.layer_norm, linear, scaled_dot_product_attention and gelu"""
    return _block(x, memory, heads, bias, eps, p)


@_on_tensors
def spatial_transformer(x, memory, heads, groups, bias, eps, block_eps, **p):
    """torch.group_norm, torch.nn.functional.linear, scaled_dot_product_attention and more"""
    normal = torch.group_norm(x, groups, p["norm_gain"], p["norm_bias"], eps)
    tokens = F.linear(normal.flatten(2).transpose(1, 2), p["enter_weight"], p["enter_bias"])
    tokens = _block(tokens, memory, heads, bias, block_eps, p)
    told = F.linear(tokens, p["leave_weight"], p["leave_bias"])
    return x + told.transpose(1, 2).reshape(x.shape)
