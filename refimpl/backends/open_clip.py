"""open_clip: its CLIP of a given size, with a Vision Transformer or a ResNet; its operations."""

from __future__ import annotations

import torch

from refimpl.backends import hooks
from refimpl.backends.tensors import on_tensors as _on_tensors
from refimpl.models.configs import Clip, ResNet, Vit
from refimpl.models.spec.clip import OPENAI

hooks.allow_broken_torchvision()

import open_clip  # noqa: E402  after the definition

F = torch.nn.functional
VERSION = open_clip.__version__
PRECISIONS = ("float64", "float32", "bfloat16", "float16")
LAYERS = ((r"\.mlp\.gelu\.$", ".mlp.activation."),)


def record(config, seed):
    """The model of this configuration's sizes; activation and epsilon are the library's own."""
    torch.manual_seed(seed)
    return hooks.builder({Clip: _clip}, config)(config, seed)


def _clip(config, seed):
    vision, text = config.vision, config.text
    if vision.channels != 3:
        raise NotImplementedError("takes images of three channels")
    sizes = SIZES[type(vision)](vision)
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

    return hooks.record(model, config, (*OPENAI, *LAYERS), run, seed, VERSION)


SIZES = {
    Vit: lambda vision: {
        "layers": vision.layers,
        "width": vision.width,
        "patch_size": vision.patch,
        "head_width": vision.width // vision.heads,
        "mlp_ratio": vision.hidden / vision.width,
    },
    ResNet: lambda vision: {"layers": list(vision.blocks), "width": vision.width},
}


# Operations


@_on_tensors
def layer_norm(x, gain, bias, eps):
    """open_clip.transformer.LayerNorm"""
    layer = open_clip.transformer.LayerNorm(len(gain), eps=eps).to(x.dtype)
    layer.load_state_dict({"weight": gain, "bias": bias})
    return layer(x)


@_on_tensors
def quick_gelu(x):
    """open_clip.transformer.QuickGELU"""
    return open_clip.transformer.QuickGELU()(x)


def _scale(log_scale, like):
    return torch.tensor(log_scale, dtype=like.dtype).exp()


def _normalized(*features):
    return [F.normalize(x, dim=-1) for x in features]  # as the models do before the loss


@_on_tensors
def clip_loss(image_features, text_features, log_scale):
    """open_clip.loss.ClipLoss"""
    images, texts = _normalized(image_features, text_features)
    return open_clip.loss.ClipLoss()(images, texts, _scale(log_scale, images))


@_on_tensors
def siglip_loss(image_features, text_features, log_scale, bias):
    """open_clip.loss.SigLipLoss"""
    images, texts = _normalized(image_features, text_features)
    return open_clip.loss.SigLipLoss()(images, texts, _scale(log_scale, images), bias)
