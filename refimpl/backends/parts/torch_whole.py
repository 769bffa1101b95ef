"""Whole models of PyTorch's own layers."""

from __future__ import annotations

import torch

from refimpl.backends import hooks
from refimpl.backends.parts import torch_adm, torch_glide, torch_translator
from refimpl.models.adm import AdmClassifier
from refimpl.models.glide import Glide
from refimpl.models.translator import Translator

BUILDERS = {
    Translator: torch_translator.record,
    AdmClassifier: torch_adm.record,
    Glide: torch_glide.record,
}


def record(config, seed):
    """The model of this configuration's sizes, with random weights."""
    torch.manual_seed(seed)
    return hooks.builder(BUILDERS, config)(config, seed)
