"""Compiled twins of the blocks of U-Nets: same names, same arguments, same steps.

A block is its operations, one after the other, each by its own twin.
"""

import numpy as np

from refimpl.axes import AxesError
from refimpl.compiled.threads import contiguous
from refimpl.ops.attention.fast import attention
from refimpl.ops.convolution.fast import conv2d_of
from refimpl.ops.convolution.fast_bands import activated, plain
from refimpl.ops.gates.fast import geglu
from refimpl.ops.layers.fast import group_norm, layer_norm, linear
from refimpl.ops.layers.fast_activations import silu
from refimpl.ops.patch_embedding.fast import timestep_embedding


def time_mlp(emb, in_weight, in_bias, out_weight, out_bias):
    return linear(silu(linear(emb, in_weight, in_bias)), out_weight, out_bias)


def micro_conditions(sizes, half):
    return timestep_embedding(sizes.reshape(-1), half).reshape(len(sizes), 12 * half)


def _past(op, x, channels, weight, bias):
    """What goes past a block, for the convolution to add, and the bias that this has."""
    if weight is None and x.shape[1] != channels:
        raise AxesError(
            f"{op}: skip_weight is None for {x.shape[1]} channels in and {channels} out, "
            "expected as many out as in, or a weight"
        )
    return {"past": x, "skip": weight}, 0 if weight is None or bias is None else bias


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
    past, more = _past("residual_block", x, len(conv2_weight), skip_weight, skip_bias)
    told = conv1_bias + linear(silu(emb), emb_weight, emb_bias)  # B G*O
    normal = activated(x, norm1_gain, norm1_bias, groups, eps)
    h = conv2d_of(normal, conv1_weight, told, 1, 1, 1)  # B G*O height width
    normal = activated(h, norm2_gain, norm2_bias, groups, eps)
    return conv2d_of(normal, conv2_weight, conv2_bias + more, 1, 1, 1, **past, into=h)


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
    outputs = len(conv2_weight)
    past, more = _past("residual_block_scale_shift", x, outputs, skip_weight, skip_bias)
    normal = activated(x, norm1_gain, norm1_bias, groups, eps)
    h = conv2d_of(normal, conv1_weight, conv1_bias, 1, 1, 1)  # B G*O height width
    told = linear(silu(emb), emb_weight, emb_bias)[:, :, None, None]  # B 2*G*O 1 1
    h = group_norm(h, norm2_gain, norm2_bias, groups, eps)
    h *= h.dtype.type(1) + told[:, :outputs]
    h += told[:, outputs:]
    return conv2d_of(plain(silu(h)), conv2_weight, conv2_bias + more, 1, 1, 1, **past)


def _check_divides(op, name, number, channels):
    if channels % number:
        raise AxesError(f"{op}: {name} is {number}, expected a divisor of channels={channels}")


def _pixels(x):
    B, channels, height, width = x.shape
    return contiguous(x.reshape(B, channels, height * width).swapaxes(1, 2))


def _image(tokens, shape):
    return contiguous(tokens.swapaxes(1, 2)).reshape(shape)


def _heads(x, heads):
    """The numbers of each head: B H N E."""
    B, N, channels = x.shape
    return contiguous(x.reshape(B, N, heads, channels // heads).swapaxes(1, 2))


def _attend(parts, heads, bias):
    """Attention of tokens B N channels, each head by itself."""
    query, key, value = (_heads(x, heads) for x in parts)
    mixed = attention(query, key, value, bias)  # B H N E
    return contiguous(mixed.swapaxes(1, 2)).reshape(parts[0].shape)


def spatial_attention(
    x, norm_gain, norm_bias, in_weight, in_bias, out_weight, out_bias, heads, groups, eps
):
    channels = x.shape[1]
    _check_divides("spatial_attention", "heads", heads, channels)
    _check_divides("spatial_attention", "groups", groups, channels)
    tokens = _pixels(group_norm(x, norm_gain, norm_bias, groups, eps))  # B N channels
    projected = linear(tokens, in_weight, in_bias)  # B N 3*channels
    mixed = _attend(np.split(projected, 3, axis=-1), heads, None)
    return x + _image(linear(mixed, out_weight, out_bias), x.shape)


def cross_attention(x, memory, query_weight, memory_weight, out_weight, out_bias, heads, bias):
    _check_divides("cross_attention", "heads", heads, x.shape[2])
    both = linear(memory, memory_weight, None)  # B M 2*channels
    mixed = _attend([linear(x, query_weight, None), *np.split(both, 2, axis=-1)], heads, bias)
    return linear(mixed, out_weight, out_bias)


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
    channels = x.shape[2]
    _check_divides("transformer_block", "heads", heads, channels)
    projected = linear(layer_norm(x, norm1_gain, norm1_bias, eps), self_weight, None)
    mixed = _attend(np.split(projected, 3, axis=-1), heads, None)
    x = x + linear(mixed, self_out_weight, self_out_bias)
    normal = layer_norm(x, norm2_gain, norm2_bias, eps)
    reads = query_weight, memory_weight, cross_out_weight, cross_out_bias
    x = x + cross_attention(normal, memory, *reads, heads, bias)
    wide = linear(layer_norm(x, norm3_gain, norm3_bias, eps), in_weight, in_bias)
    up, gate = (contiguous(z) for z in np.split(wide, 2, axis=-1))  # B N hidden each
    return x + linear(geglu(gate, up), out_weight, out_bias)


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
    channels = x.shape[1]
    _check_divides("spatial_transformer", "heads", heads, channels)
    _check_divides("spatial_transformer", "groups", groups, channels)
    tokens = _pixels(group_norm(x, norm_gain, norm_bias, groups, eps))
    tokens = linear(tokens, enter_weight, enter_bias)  # B N channels
    attend = norm1_gain, norm1_bias, self_weight, self_out_weight, self_out_bias
    read = norm2_gain, norm2_bias, query_weight, memory_weight, cross_out_weight, cross_out_bias
    think = norm3_gain, norm3_bias, in_weight, in_bias, out_weight, out_bias
    tokens = transformer_block(tokens, memory, *attend, *read, *think, heads, bias, block_eps)
    return x + _image(linear(tokens, leave_weight, leave_bias), x.shape)
