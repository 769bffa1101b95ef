"""GLIDE's text path by PyTorch's nn.TransformerEncoder, recorded layer by layer."""

from __future__ import annotations

import torch
from torch import nn

from refimpl.backends import hooks
from refimpl.models.spec.glide import TORCH


class Whole(nn.Module):
    """nn.TransformerEncoder between tables of words, places and padding, and a projection."""

    def __init__(self, config):
        super().__init__()
        D = config.width
        self.token_embedding = nn.Embedding(config.vocabulary, D)
        self.positional_embedding = nn.Parameter(torch.randn(config.context, D))
        self.padding_embedding = nn.Parameter(torch.randn(config.context, D))
        layer = nn.TransformerEncoderLayer(
            D,
            config.heads,
            4 * D,
            activation=nn.GELU(),
            layer_norm_eps=config.eps,
            batch_first=True,
            norm_first=True,
        )
        last = nn.LayerNorm(D, eps=config.eps)
        self.encoder = nn.TransformerEncoder(
            layer, config.layers, norm=last, enable_nested_tensor=False
        )
        self.transformer_proj = nn.Linear(D, config.told)

    def forward(self, ids, keep):
        """What the last place says; padding is seen by all."""
        words = self.token_embedding(ids) + self.positional_embedding
        x = torch.where(keep[..., None].bool(), words, self.padding_embedding)
        return self.transformer_proj(self.encoder(x)[:, -1])


def record(config, seed):
    """The text path of this configuration's sizes."""
    if config.activation != "gelu":
        raise NotImplementedError("has GLIDE's text path with the exact GELU alone")
    return hooks.record(Whole(config), config, TORCH, seed=seed, version=torch.__version__)
