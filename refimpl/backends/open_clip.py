"""open_clip: its CLIP of a given size, with a Vision Transformer or a ResNet."""

from __future__ import annotations

import torch

from refimpl.backends import hooks
from refimpl.models.configs import Clip, Vit
from refimpl.models.weights import OPENAI

hooks.allow_broken_torchvision()

import open_clip  # noqa: E402  after the definition

LAYERS = ((r"\.mlp\.gelu\.$", ".mlp.activation."),)


def record(config, seed):
    """The model of this configuration's sizes; activation and epsilon are the library's own."""
    torch.manual_seed(seed)
    if not isinstance(config, Clip):
        raise NotImplementedError("has no Vision Transformer alone")
    vision, text = config.vision, config.text
    if vision.channels != 3:
        raise NotImplementedError("takes images of three channels")
    if isinstance(vision, Vit):
        sizes: dict = {
            "layers": vision.layers,
            "width": vision.width,
            "patch_size": vision.patch,
            "head_width": vision.width // vision.heads,
            "mlp_ratio": vision.hidden / vision.width,
        }
    else:
        sizes = {"layers": list(vision.blocks), "width": vision.width}
    words = {
        "context_length": text.context,
        "vocab_size": text.vocabulary,
        "width": text.width,
        "heads": text.heads,
        "layers": text.layers,
        "mlp_ratio": text.hidden / text.width,
    }
    model = open_clip.model.CLIP(text.embed, {**sizes, "image_size": vision.image}, words)

    def run(images, ids):
        image_features, text_features = model.encode_image(images), model.encode_text(ids)
        logits, _ = model.get_logits(images, ids)
        return {
            "image_features": image_features,
            "text_features": text_features,
            "logits": logits,
        }

    rules = (*OPENAI, *LAYERS)
    return hooks.record(model, run, config, seed, rules, open_clip.__version__)
