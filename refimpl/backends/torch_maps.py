"""Blocks of U-Nets and autoencoders in PyTorch's own functions, to race against."""

from __future__ import annotations

import torch

from refimpl.backends.torch_models import Params, dense, norm
from refimpl.models.autoencoder import Coder
from refimpl.models.sd_unet import TOKEN_EPS, SdUnet

F = torch.nn.functional


def convolve(x: torch.Tensor, params: Params, name: str) -> torch.Tensor:
    """The convolution of this name, which keeps the size of the map."""
    weight = params[f"{name}.weight"]
    return F.conv2d(x, weight, params[f"{name}.bias"], padding=weight.shape[2] // 2)


def group_norm(x: torch.Tensor, params: Params, name: str, groups: int, eps: float) -> torch.Tensor:
    """The group norm of this name."""
    return F.group_norm(x, groups, params[f"{name}.weight"], params[f"{name}.bias"], eps)


def residual(
    x: torch.Tensor,
    params: Params,
    name: str,
    config: Coder | SdUnet,
    emb: torch.Tensor | None = None,
) -> torch.Tensor:
    """A residual block; with an embedding, all pixels are told."""
    how = config.groups, config.eps
    y = convolve(F.silu(group_norm(x, params, f"{name}.norm1", *how)), params, f"{name}.conv1")
    if emb is not None:
        y = y + dense(F.silu(emb), params, f"{name}.time_emb_proj")[:, :, None, None]
    y = convolve(F.silu(group_norm(y, params, f"{name}.norm2", *how)), params, f"{name}.conv2")
    if f"{name}.conv_shortcut.weight" in params:
        x = convolve(x, params, f"{name}.conv_shortcut")
    return x + y


def attend(
    x: torch.Tensor, memory: torch.Tensor, params: Params, name: str, heads: int
) -> torch.Tensor:
    """Attention of tokens to a memory, queries, keys and values of matrices of their own."""
    query, key, value = (
        F.linear(y, params[f"{name}.{part}.weight"], params.get(f"{name}.{part}.bias"))
        .unflatten(-1, (heads, -1))
        .transpose(1, 2)
        for part, y in (("to_q", x), ("to_k", memory), ("to_v", memory))
    )  # B H N E
    mixed = F.scaled_dot_product_attention(query, key, value)
    return dense(mixed.transpose(1, 2).flatten(2), params, f"{name}.to_out.0")


def read_words(
    x: torch.Tensor,
    words: torch.Tensor,
    params: Params,
    name: str,
    heads: int,
    config: SdUnet,
) -> torch.Tensor:
    """A Transformer block over pixels, with cross-attention to words, added to the map."""
    y = group_norm(x, params, f"{name}.norm", config.groups, config.map_eps)
    y, at = convolve(y, params, f"{name}.proj_in"), f"{name}.transformer_blocks.0"
    y = y.flatten(2).transpose(1, 2)  # B N D
    own = norm(y, params, f"{at}.norm1", TOKEN_EPS)
    y = y + attend(own, own, params, f"{at}.attn1", heads)
    asked = norm(y, params, f"{at}.norm2", TOKEN_EPS)
    y = y + attend(asked, words, params, f"{at}.attn2", heads)
    up, gate = dense(
        norm(y, params, f"{at}.norm3", TOKEN_EPS), params, f"{at}.ff.net.0.proj"
    ).chunk(2, dim=-1)
    y = y + dense(up * F.gelu(gate), params, f"{at}.ff.net.2")
    return x + convolve(y.transpose(1, 2).reshape(x.shape), params, f"{name}.proj_out")


def pixel_attention(x: torch.Tensor, params: Params, name: str, config: Coder) -> torch.Tensor:
    """Attention of one head between the pixels of a map, added to the map."""
    y = group_norm(x, params, f"{name}.group_norm", config.groups, config.eps)
    y = y.flatten(2).transpose(1, 2)  # B N C
    return x + attend(y, y, params, name, 1).transpose(1, 2).reshape(x.shape)


def decode(z: torch.Tensor, params: Params, config: Coder) -> torch.Tensor:
    """The decoder of an autoencoder, from latents to images."""
    x = convolve(convolve(z, params, "post_quant_conv"), params, "decoder.conv_in")
    x = residual(x, params, "decoder.mid_block.resnets.0", config)
    x = pixel_attention(x, params, "decoder.mid_block.attentions.0", config)
    x = residual(x, params, "decoder.mid_block.resnets.1", config)
    for i in range(len(config.widths)):
        at = f"decoder.up_blocks.{i}"
        for j in range(config.layers + 1):
            x = residual(x, params, f"{at}.resnets.{j}", config)
        if i < len(config.widths) - 1:
            x = F.interpolate(x, scale_factor=2, mode="nearest")
            x = convolve(x, params, f"{at}.upsamplers.0.conv")
    x = F.silu(group_norm(x, params, "decoder.conv_norm_out", config.groups, config.eps))
    return convolve(x, params, "decoder.conv_out")
