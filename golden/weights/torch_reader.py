"""The reader in PyTorch, as it is trained: a Q-Former, a projector, a decoder of a few words."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_models import HEAD, SelfAttention, Transformer


class CrossAttention(nn.Module):
    """Queries of x, keys and values of a memory; three matrices one above the other."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.in_proj_weight = nn.Parameter(torch.randn(3 * width, width) * width**-0.5)
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        weights, biases = self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3)
        parts = (functional.linear(*part) for part in zip((x, memory, memory), weights, biases))
        query, key, value = (y.unflatten(-1, (-1, HEAD)).transpose(1, 2) for y in parts)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        return self.out_proj(mixed.transpose(1, 2).flatten(2))


class QueryLayer(nn.Module):
    """A layer of BERT, normalised after adding; every other one asks the picture as well."""

    def __init__(self, width: int, asks: bool) -> None:
        super().__init__()
        self.attn = SelfAttention(width)
        self.ln_1 = nn.LayerNorm(width, eps=1e-12)
        self.cross = CrossAttention(width) if asks else None
        self.ln_cross = nn.LayerNorm(width, eps=1e-12) if asks else None
        self.mlp = nn.Sequential(
            OrderedDict(
                c_fc=nn.Linear(width, 4 * width),
                gelu=nn.GELU(),
                c_proj=nn.Linear(4 * width, width),
            )
        )
        self.ln_2 = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x: Tensor, image: Tensor) -> Tensor:
        x = self.ln_1(x + self.attn(x, causal=False))
        if self.cross is not None and self.ln_cross is not None:
            x = self.ln_cross(x + self.cross(x, image))
        return self.ln_2(x + self.mlp(x))


class QFormer(nn.Module):
    """Learned queries that ask the tokens of a picture."""

    def __init__(self, queries: int, width: int, layers: int) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(queries, width) * 0.5)
        self.ln_image = nn.LayerNorm(width)
        self.ln_queries = nn.LayerNorm(width, eps=1e-12)
        self.layers = nn.ModuleList(QueryLayer(width, i % 2 == 0) for i in range(layers))
        self.projector = nn.Linear(width, width)

    def forward(self, image: Tensor) -> Tensor:
        image = self.ln_image(image)
        x = self.ln_queries(self.queries).expand(len(image), -1, -1)
        for layer in self.layers:
            x = layer(x, image)
        return self.projector(x)


class Decoder(nn.Module):
    """A causal Transformer over vectors of words; its table of words is its head as well."""

    def __init__(self, vocabulary: int, context: int, width: int, layers: int) -> None:
        super().__init__()
        self.wte = nn.Embedding(vocabulary, width)
        self.wpe = nn.Embedding(context, width)
        self.transformer = Transformer(width, layers)
        self.ln_f = nn.LayerNorm(width)
        nn.init.normal_(self.wte.weight, std=0.05)
        nn.init.normal_(self.wpe.weight, std=0.02)

    def forward(self, vectors: Tensor) -> Tensor:
        x = vectors + self.wpe.weight[: vectors.shape[1]]
        return self.ln_f(self.transformer(x, causal=True)) @ self.wte.weight.T
