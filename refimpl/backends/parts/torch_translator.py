"""The first Transformer by PyTorch's nn.Transformer, recorded layer by layer."""

from __future__ import annotations

import math
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import nn

from refimpl.backends import hooks
from refimpl.models.names import rename
from refimpl.models.spec.translator import RUACCENT, TORCH
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
    module, says = Whole(config), torch.__version__
    if config == RUACCENT:
        module.load_state_dict(trained())
        says = f"{says}, trained: ruaccent-predictor {version('ruaccent-predictor')}"
    return hooks.record(module, config, names, seed=seed, version=says)


def trained():
    """The weights inside the package ruaccent-predictor, which itself need not be imported."""
    spec = find_spec("ruaccent")
    if spec is None or not spec.submodule_search_locations:
        raise NotImplementedError("needs the package ruaccent-predictor")
    place = Path(spec.submodule_search_locations[0]) / "model" / "acc_model.pt"
    state = torch.load(place, map_location="cpu", weights_only=True)
    ours = ((r"^embed\.char_embed\.", "words."), (r"^output_proj\.", "output."))
    found = {rename(name, ours): value.float() for name, value in state.items()}
    return {name: value for name, value in found.items() if name != "embed.pos_encoding"}
