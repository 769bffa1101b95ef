"""Layers with gates in PyTorch, as they are trained: a decoder sees the pictures of its text."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_models import HEAD
from torch_reader import Decoder


def heads(x: Tensor) -> Tensor:
    """Heads side by side, each given an axis entry of its own."""
    return x.unflatten(-1, (-1, HEAD)).transpose(1, 2)


class Unbiased(nn.Module):
    """Attention without biases, of tokens to a memory."""

    def __init__(self, width: int) -> None:
        super().__init__()
        for name in ("query_weight", "key_weight", "value_weight", "out_weight"):
            setattr(self, name, nn.Parameter(torch.randn(width, width) * width**-0.5))

    def forward(self, x: Tensor, memory: Tensor, seen: Tensor | None = None) -> Tensor:
        query, key = heads(x @ self.query_weight.T), heads(memory @ self.key_weight.T)
        value = heads(memory @ self.value_weight.T)
        mixed = functional.scaled_dot_product_attention(query, key, value, seen)
        return mixed.transpose(1, 2).flatten(2) @ self.out_weight.T


class Resampler(nn.Module):
    """A few learned vectors for each picture, which ask its tokens and each other."""

    def __init__(self, latents: int, width: int) -> None:
        super().__init__()
        self.latents = nn.Parameter(torch.randn(latents, width) * 0.5)
        self.ln_media, self.ln_latents = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = Unbiased(width)
        self.ln_mlp, self.ln_post = nn.LayerNorm(width), nn.LayerNorm(width)
        self.c_fc = nn.Linear(width, width, bias=False)
        self.c_proj = nn.Linear(width, width, bias=False)

    def forward(self, media: Tensor) -> Tensor:
        x = self.latents.expand(len(media), -1, -1)
        asking = self.ln_latents(x)
        x = x + self.attn(asking, torch.cat((self.ln_media(media), asking), dim=1))
        x = x + self.c_proj(functional.gelu(self.c_fc(self.ln_mlp(x))))
        return self.ln_post(x)


class Gated(nn.Module):
    """What stands before a block of the decoder: words ask a picture, through gates."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = Unbiased(width)
        self.c_fc = nn.Linear(width, width, bias=False)
        self.c_proj = nn.Linear(width, width, bias=False)
        self.attn_gate, self.mlp_gate = (nn.Parameter(torch.zeros(())) for _ in range(2))

    def forward(self, x: Tensor, latents: Tensor, seen: Tensor) -> Tensor:
        x = x + self.attn_gate.tanh() * self.attn(self.ln_1(x), latents, seen)
        dense = self.c_proj(functional.gelu(self.c_fc(self.ln_2(x))))
        return x + self.mlp_gate.tanh() * dense


class Flamingo(nn.Module):
    """A resampler, and a gated layer before each block of a decoder, which is frozen."""

    def __init__(self, latents: int, width: int, layers: int) -> None:
        super().__init__()
        self.resampler = Resampler(latents, width)
        self.gated = nn.ModuleList(Gated(width) for _ in range(layers))

    def forward(self, decoder: Decoder, ids: Tensor, media: Tensor, image: int) -> Tensor:
        """Logits B N V of texts B N with as many pictures each, media B M tokens width."""
        B, M = media.shape[:2]
        latents = self.resampler(media.flatten(0, 1)).view(B, -1, media.shape[-1])
        times = ids.eq(image).cumsum(1)  # B N
        which = torch.arange(1, M + 1).repeat_interleave(latents.shape[1] // M)
        seen = times[:, None, :, None].eq(which)  # B 1 N M*latents
        x = decoder.wte(ids) + decoder.wpe.weight[: ids.shape[1]]
        for gated, block in zip(self.gated, decoder.transformer.resblocks, strict=True):
            x = block(gated(x, latents, seen), causal=True)
        return decoder.ln_f(x) @ decoder.wte.weight.T
