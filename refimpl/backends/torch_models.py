"""The models in PyTorch's own functions, on the parameters of `refimpl.models`, to race against."""

from __future__ import annotations

import math
from typing import Any

import torch

from refimpl.models.configs import Clip, Vit
from refimpl.models.denoiser import Denoiser
from refimpl.models.gpt2 import Gpt2

F = torch.nn.functional
ACTIVATIONS = {
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
}
Params = dict[str, torch.Tensor]


def as_tensors(params: dict[str, Any]) -> Params:
    """The same arrays, as tensors."""
    return {name: torch.as_tensor(value) for name, value in params.items()}


def norm(x: torch.Tensor, params: Params, name: str, eps: float) -> torch.Tensor:
    """The layer norm of this name."""
    return F.layer_norm(x, x.shape[-1:], params[f"{name}.weight"], params[f"{name}.bias"], eps)


def dense(x: torch.Tensor, params: Params, name: str) -> torch.Tensor:
    """The linear layer of this name."""
    return F.linear(x, params[f"{name}.weight"], params[f"{name}.bias"])


def block(
    x: torch.Tensor,
    params: Params,
    name: str,
    config: Vit | Gpt2,
    causal: bool = False,
    cache: torch.Tensor | None = None,
) -> torch.Tensor:
    """One pre-norm Transformer block.

    A cache, 2 B H M E, holds the keys and values of all tokens, those of the last N written here.
    """
    B, N, D = x.shape
    y, at = norm(x, params, f"{name}.ln_1", config.eps), f"{name}.attn"
    joint = F.linear(y, params[f"{at}.in_proj_weight"], params[f"{at}.in_proj_bias"])  # B N 3*D
    parts = joint.view(B, N, 3, config.heads, D // config.heads).permute(2, 0, 3, 1, 4)
    if cache is None:
        cache = parts[1:]
    else:
        cache[:, :, :, -N:] = parts[1:]
    mixed = F.scaled_dot_product_attention(parts[0], *cache, is_causal=causal)  # B H N E
    x = x + dense(mixed.transpose(1, 2).reshape(B, N, D), params, f"{at}.out_proj")
    y = dense(norm(x, params, f"{name}.ln_2", config.eps), params, f"{name}.mlp.c_fc")
    return x + dense(ACTIVATIONS[config.activation](y), params, f"{name}.mlp.c_proj")


def patches(images: torch.Tensor, params: Params, at: str, config: Vit) -> torch.Tensor:
    """The patch embedding: B channels image image -> B N D."""
    kernel, bias = params[f"{at}conv1.weight"], params.get(f"{at}conv1.bias")
    return F.conv2d(images, kernel, bias, stride=config.patch).flatten(2).transpose(1, 2)


def blocks(x: torch.Tensor, params: Params, at: str, config: Vit) -> torch.Tensor:
    """All blocks and the last layer norm."""
    for i in range(config.layers):
        x = block(x, params, f"{at}transformer.resblocks.{i}", config)
    return norm(x, params, f"{at}ln_post", config.eps)


def vit(images: torch.Tensor, params: Params, config: Vit, at: str = "") -> torch.Tensor:
    """The Vision Transformer with a class token, up to its pooled vector: B D."""
    x = patches(images, params, at, config)
    token = params[f"{at}class_embedding"].expand(len(x), 1, -1)
    x = torch.cat((token, x), dim=1) + params[f"{at}positional_embedding"]
    if config.pre_norm:
        x = norm(x, params, f"{at}ln_pre", config.eps)
    return blocks(x, params, at, config)[:, 0]


def gpt2(
    ids: torch.Tensor, params: Params, config: Gpt2, cache: torch.Tensor | None = None
) -> torch.Tensor:
    """The scores of the next word behind every word of a text; or behind one more than is cached.

    A cache, layers 2 B H M E, holds the keys and values of all words, that of the last to be made.
    """
    N = ids.shape[1]
    first = 0 if cache is None else cache.shape[4] - N
    x = params["wte.weight"][ids] + params["wpe.weight"][first : first + N]
    for i in range(config.layers):
        own = None if cache is None else cache[i]
        x = block(x, params, f"transformer.resblocks.{i}", config, cache is None, own)
    return F.linear(norm(x, params, "ln_f", config.eps), params["wte.weight"])


def clip_image(images: torch.Tensor, params: Params, config: Clip) -> torch.Tensor:
    """The image tower: B embed."""
    assert isinstance(config.vision, Vit)
    return vit(images, params, config.vision, "visual.") @ params["visual.proj"]


def denoise(
    x_t: torch.Tensor, t: torch.Tensor, condition: torch.Tensor, params: Params, config: Denoiser
) -> torch.Tensor:
    """The clean images, as the denoiser sees them."""
    trunk, half = config.trunk, config.trunk.width // 2
    frequencies = torch.exp(-math.log(10000.0) * torch.arange(half) / half)
    angles = t[:, None].float() * frequencies  # B D/2
    time = torch.cat((angles.cos(), angles.sin()), dim=1)  # B D
    time = dense(F.silu(dense(time, params, "time_mlp.c_fc")), params, "time_mlp.c_proj")
    c = (time + condition)[:, None]  # B 1 D
    x = patches(x_t, params, "", trunk) + params["positional_embedding"] + c
    x = blocks(torch.cat((c, x), dim=1), params, "", trunk)[:, 1:]  # B N D
    x, P = dense(x, params, "head"), trunk.patch
    return F.fold(x.transpose(1, 2), (trunk.image, trunk.image), P, stride=P)
