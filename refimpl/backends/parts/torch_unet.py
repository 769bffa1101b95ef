"""The blocks of U-Nets, in PyTorch's functions."""

from __future__ import annotations

import math

import torch

from refimpl.backends.tensors import on_tensors as _on_tensors

F = torch.nn.functional


@_on_tensors
def time_mlp(emb, in_weight, in_bias, out_weight, out_bias):
    """torch.nn.functional.linear, torch.nn.functional.silu"""
    return F.linear(F.silu(F.linear(emb, in_weight, in_bias)), out_weight, out_bias)


def _embedded(t, half):
    places = torch.arange(half, dtype=t.dtype)
    angles = torch.outer(t, torch.exp(-math.log(10000) * places / half))
    return torch.cat((angles.cos(), angles.sin()), dim=-1)  # B 2*E


@_on_tensors
def timestep_embedding(t, half):
    """torch.exp, torch.outer, torch.cos, torch.sin"""
    return _embedded(t, half)


@_on_tensors
def micro_conditions(sizes, half):
    """torch.exp, torch.outer, torch.cos, torch.sin"""
    return _embedded(sizes.flatten(), half).reshape(len(sizes), 12 * half)


def _half(x, gain, shift, weight, bias, groups, eps):
    normal = torch.group_norm(x, groups, gain, shift, eps)
    return F.conv2d(F.silu(normal), weight, bias, padding=1)


def _past(x, weight, bias):
    return x if weight is None else F.conv2d(x, weight, bias)


@_on_tensors
def residual_block(
    x,
    emb,
    norm1_gain,
    norm1_bias,
    conv1_weight,
    conv1_bias,
    emb_weight,
    emb_bias,
    norm2_gain,
    norm2_bias,
    conv2_weight,
    conv2_bias,
    skip_weight,
    skip_bias,
    groups,
    eps,
):
    """torch.group_norm, torch.nn.functional.silu, conv2d and linear"""
    h = _half(x, norm1_gain, norm1_bias, conv1_weight, conv1_bias, groups, eps)
    h = h + F.linear(F.silu(emb), emb_weight, emb_bias)[:, :, None, None]
    h = _half(h, norm2_gain, norm2_bias, conv2_weight, conv2_bias, groups, eps)
    return _past(x, skip_weight, skip_bias) + h


@_on_tensors
def residual_block_scale_shift(
    x,
    emb,
    norm1_gain,
    norm1_bias,
    conv1_weight,
    conv1_bias,
    emb_weight,
    emb_bias,
    norm2_gain,
    norm2_bias,
    conv2_weight,
    conv2_bias,
    skip_weight,
    skip_bias,
    groups,
    eps,
):
    """torch.group_norm, torch.nn.functional.silu, conv2d and linear"""
    h = _half(x, norm1_gain, norm1_bias, conv1_weight, conv1_bias, groups, eps)
    told = F.linear(F.silu(emb), emb_weight, emb_bias)[:, :, None, None]
    scale, shift = told.chunk(2, dim=1)
    h = torch.group_norm(h, groups, norm2_gain, norm2_bias, eps) * (1 + scale) + shift
    h = F.conv2d(F.silu(h), conv2_weight, conv2_bias, padding=1)
    return _past(x, skip_weight, skip_bias) + h


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


def _own(x, weights, heads, eps):
    gain, shift, weight, out_weight, out_bias = weights
    normal = F.layer_norm(x, x.shape[-1:], gain, shift, eps)
    return F.linear(
        _read(F.linear(normal, weight).chunk(3, dim=-1), heads, None), out_weight, out_bias
    )


def _think(x, weights, eps):
    gain, shift, in_weight, in_bias, out_weight, out_bias = weights
    normal = F.layer_norm(x, x.shape[-1:], gain, shift, eps)
    up, gate = F.linear(normal, in_weight, in_bias).chunk(2, dim=-1)
    return F.linear(up * F.gelu(gate), out_weight, out_bias)


def _block(x, memory, attend, read, think, heads, bias, eps):
    x = x + _own(x, attend, heads, eps)
    gain, shift, query, words, out_weight, out_bias = read
    normal = F.layer_norm(x, x.shape[-1:], gain, shift, eps)
    x = x + _cross(normal, memory, query, words, out_weight, out_bias, heads, bias)
    return x + _think(x, think, eps)


@_on_tensors
def transformer_block(
    x,
    memory,
    norm1_gain,
    norm1_bias,
    self_weight,
    self_out_weight,
    self_out_bias,
    norm2_gain,
    norm2_bias,
    query_weight,
    memory_weight,
    cross_out_weight,
    cross_out_bias,
    norm3_gain,
    norm3_bias,
    in_weight,
    in_bias,
    out_weight,
    out_bias,
    heads,
    bias,
    eps,
):
    """torch.nn.functional.layer_norm, linear, scaled_dot_product_attention and gelu"""
    attend = norm1_gain, norm1_bias, self_weight, self_out_weight, self_out_bias
    read = norm2_gain, norm2_bias, query_weight, memory_weight, cross_out_weight, cross_out_bias
    think = norm3_gain, norm3_bias, in_weight, in_bias, out_weight, out_bias
    return _block(x, memory, attend, read, think, heads, bias, eps)


@_on_tensors
def spatial_transformer(
    x,
    memory,
    norm_gain,
    norm_bias,
    enter_weight,
    enter_bias,
    norm1_gain,
    norm1_bias,
    self_weight,
    self_out_weight,
    self_out_bias,
    norm2_gain,
    norm2_bias,
    query_weight,
    memory_weight,
    cross_out_weight,
    cross_out_bias,
    norm3_gain,
    norm3_bias,
    in_weight,
    in_bias,
    out_weight,
    out_bias,
    leave_weight,
    leave_bias,
    heads,
    groups,
    bias,
    eps,
    block_eps,
):
    """torch.group_norm, torch.nn.functional.linear, scaled_dot_product_attention and more"""
    normal = torch.group_norm(x, groups, norm_gain, norm_bias, eps)
    tokens = F.linear(normal.flatten(2).transpose(1, 2), enter_weight, enter_bias)
    attend = norm1_gain, norm1_bias, self_weight, self_out_weight, self_out_bias
    read = norm2_gain, norm2_bias, query_weight, memory_weight, cross_out_weight, cross_out_bias
    think = norm3_gain, norm3_bias, in_weight, in_bias, out_weight, out_bias
    tokens = _block(tokens, memory, attend, read, think, heads, bias, block_eps)
    return x + F.linear(tokens, leave_weight, leave_bias).transpose(1, 2).reshape(x.shape)
