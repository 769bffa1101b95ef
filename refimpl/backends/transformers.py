"""Hugging Face transformers: CLIP, ViT and DINOv2 of a given size, with its own initialisation."""

from __future__ import annotations

import torch

from refimpl.backends import hooks
from refimpl.models.configs import Clip, Vit
from refimpl.models.weights import TRANSFORMERS_CLIP, TRANSFORMERS_VIT

hooks.allow_broken_torchvision()

import transformers  # noqa: E402  after the definition

LAYERS = (
    (r"\.self_attn\.$", ".attn."),
    (r"\.attention\.$", ".attn."),
    (r"\.mlp\.activation(_fn)?\.$", ".mlp.activation."),
)


def record(config, seed):
    """The model of this configuration's sizes; activation and epsilon are the library's own."""
    torch.manual_seed(seed)
    if isinstance(config, Clip):
        return _clip(config, seed)
    uneven = config.layer_scale and config.hidden % config.width
    if config.pre_norm or config.embed or not config.class_token or uneven:
        raise NotImplementedError("has no such Vision Transformer")
    sizes = {**_sizes(config), "image_size": config.image, "patch_size": config.patch}
    sizes["num_channels"] = config.channels
    if config.layer_scale:
        del sizes["intermediate_size"]
        sizes["mlp_ratio"] = config.hidden // config.width
        model = transformers.Dinov2Model(transformers.Dinov2Config(**sizes))
    elif config.classes:
        of = transformers.ViTConfig(**sizes, num_labels=config.classes)
        model = transformers.ViTForImageClassification(of)
    else:
        model = transformers.ViTModel(transformers.ViTConfig(**sizes), add_pooling_layer=False)

    def run(images):
        output = model(images)
        if config.classes:
            return {"logits": output.logits}
        return {"pooled": output.last_hidden_state[:, 0]}

    rules = (*TRANSFORMERS_VIT, *LAYERS)
    return hooks.record(model, run, config, seed, rules, transformers.__version__)


def _sizes(tower):
    return {
        "hidden_size": tower.width,
        "intermediate_size": tower.hidden,
        "num_hidden_layers": tower.layers,
        "num_attention_heads": tower.heads,
    }


def _clip(config, seed):
    vision, text = config.vision, config.text
    if not isinstance(vision, Vit):
        raise NotImplementedError("has no CLIP with a ResNet")
    embed = {"projection_dim": text.embed}
    images = {"image_size": vision.image, "patch_size": vision.patch}
    images["num_channels"] = vision.channels
    words = {
        "vocab_size": text.vocabulary,
        "max_position_embeddings": text.context,
        "bos_token_id": text.vocabulary - 2,
        "eos_token_id": text.vocabulary - 1,
        "pad_token_id": text.vocabulary - 1,
    }
    of = transformers.CLIPConfig(
        text_config={**_sizes(text), **words, **embed},
        vision_config={**_sizes(vision), **images, **embed},
        **embed,
    )
    model = transformers.CLIPModel(of)

    def run(images, ids):
        output = model(input_ids=ids, pixel_values=images)
        return {"logits": output.logits_per_image}

    rules = (
        *TRANSFORMERS_CLIP,
        *LAYERS,
        (r"^visual_projection\.$", "image_features"),
        (r"^text_projection\.$", "text_features"),
    )
    return hooks.record(model, run, config, seed, rules, transformers.__version__)
