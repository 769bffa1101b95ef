"""timm: its Vision Transformer of a given size, with its own initialisation."""

from __future__ import annotations

import torch

from refimpl.backends import hooks
from refimpl.models.configs import Vit
from refimpl.models.weights import TIMM

hooks.allow_broken_torchvision()

import timm  # noqa: E402  after the definition

LAYERS = ((r"\.mlp\.act\.$", ".mlp.activation."),)


def record(config, seed):
    """The model of this configuration's sizes; activation and epsilon are the library's own."""
    torch.manual_seed(seed)
    if not isinstance(config, Vit) or config.embed:
        raise NotImplementedError("has no CLIP")
    model = timm.models.vision_transformer.VisionTransformer(
        img_size=config.image,
        patch_size=config.patch,
        in_chans=config.channels,
        num_classes=config.classes,
        global_pool="token" if config.class_token else "avg",
        embed_dim=config.width,
        depth=config.layers,
        num_heads=config.heads,
        mlp_ratio=config.hidden / config.width,
        init_values=0.1 if config.layer_scale else None,
        class_token=config.class_token,
        pre_norm=config.pre_norm,
        fc_norm=False,
    )

    def run(images):
        return {"logits" if config.classes else "pooled": model(images)}

    return hooks.record(model, run, config, seed, (*TIMM, *LAYERS), timm.__version__)
