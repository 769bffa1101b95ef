"""The first Transformer by PyTorch's nn.Transformer, recorded layer by layer."""

from __future__ import annotations

import math

import torch
from torch import nn

from refimpl.backends import hooks
from refimpl.models.spec.translator import TORCH
from refimpl.models.translator import BASE


class Whole(nn.Module):
    """nn.Transformer between a table of words, sinusoids and a head."""

    def __init__(self, config):
        super().__init__()
        self.words = nn.Embedding(config.vocabulary, config.width)
        self.transformer = nn.Transformer(
            config.width,
            config.heads,
            config.layers,
            config.layers,
            config.hidden,
            activation=config.activation,
            layer_norm_eps=config.eps,
            batch_first=True,
        )
        self.transformer.encoder.enable_nested_tensor = False
        if not config.last_norms:
            self.transformer.encoder.norm = self.transformer.decoder.norm = None
        self.output = nn.Linear(config.width, config.vocabulary, bias=not config.tied)
        if config.tied:
            self.output.weight = self.words.weight

    def embed(self, ids, positions):
        """Words times the root of the width, and a sine and a cosine of every wavelength."""
        D = self.words.embedding_dim
        waves = torch.exp(torch.arange(0, D, 2) * (-math.log(BASE) / D))
        table = torch.zeros(len(positions), D)
        table[:, 0::2] = torch.sin(positions[:, None] * waves)
        table[:, 1::2] = torch.cos(positions[:, None] * waves)
        return self.words(ids) * math.sqrt(D) + table

    def forward(self, source, lengths, source_positions, ids, positions):
        """Scores of the next word, after each of those that are written."""
        padding = torch.arange(source.shape[1]) >= lengths[:, None]
        later = torch.ones(ids.shape[1], ids.shape[1], dtype=torch.bool).triu(1)
        x = self.transformer(
            self.embed(source, source_positions),
            self.embed(ids, positions),
            tgt_mask=later,
            src_key_padding_mask=padding,
            memory_key_padding_mask=padding,
        )
        return self.output(x)


def record(config, seed):
    """The first Transformer of this configuration's sizes."""
    if config.activation not in ("relu", "gelu"):
        raise NotImplementedError("has the first Transformer alone")
    names = (*TORCH, *(((r"^output\.weight$", "|drop"),) if config.tied else ()))
    return hooks.record(Whole(config), config, names, seed=seed, version=torch.__version__)
