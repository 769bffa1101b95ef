"""timm: its Vision Transformer of a given size, with its own initialisation; its layers."""

from __future__ import annotations

import torch

from refimpl.backends import hooks
from refimpl.backends.tensors import on_tensors as _on_tensors
from refimpl.models.configs import Vit
from refimpl.models.spec.vit import TIMM

hooks.allow_broken_torchvision()

import timm  # noqa: E402  after the definition

VERSION = timm.__version__
PRECISIONS = ("float64", "float32", "bfloat16", "float16")
SUPPORTS = {"resize_bicubic": ("float32",)}  # whatever comes in
LAYERS = ((r"\.mlp\.act\.$", ".mlp.activation."),)


def record(config, seed):
    """The model of this configuration's sizes; activation and epsilon are the library's own."""
    torch.manual_seed(seed)
    return hooks.builder(BUILDERS, config)(config, seed)


def _vit(config, seed):
    if config.embed:
        raise NotImplementedError("has no projection behind a Vision Transformer")
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

    return hooks.record(model, config, (*TIMM, *LAYERS), seed=seed, version=timm.__version__)


BUILDERS = {Vit: _vit}


# Operations


def _with(layer, **state):
    """A layer with these parameters, in their dtype."""
    layer = layer.to(state["weight"].dtype)
    layer.load_state_dict(state)
    return layer


@_on_tensors
def layer_norm(x, gain, bias, eps):
    """timm.layers.LayerNorm"""
    return _with(timm.layers.LayerNorm(len(gain), eps=eps), weight=gain, bias=bias)(x)


@_on_tensors
def rms_norm(x, gain, eps):
    """timm.layers.RmsNorm"""
    return _with(timm.layers.RmsNorm(len(gain), eps=eps), weight=gain)(x)


@_on_tensors
def group_norm(x, gain, bias, groups, eps):
    """timm.layers.GroupNorm"""
    layer = timm.layers.GroupNorm(len(gain), num_groups=groups, eps=eps)
    return _with(layer, weight=gain, bias=bias)(x)


@_on_tensors
def gelu_tanh(x):
    """timm.layers.GELUTanh"""
    return timm.layers.GELUTanh()(x)


@_on_tensors
def quick_gelu(x):
    """timm.layers.QuickGELU"""
    return timm.layers.QuickGELU()(x)


@_on_tensors
def silu(x):
    """timm.layers.Swish"""
    return timm.layers.Swish()(x)


@_on_tensors
def patch_embed(images, weight, bias):
    """timm.layers.PatchEmbed"""
    D, channels, patch, _ = weight.shape
    layer = timm.layers.PatchEmbed(images.shape[2:], patch, channels, D, bias=bias is not None)
    layer = layer.to(weight.dtype)
    state = {"proj.weight": weight} | ({} if bias is None else {"proj.bias": bias})
    layer.load_state_dict(state)
    return layer(images)  # B N D


@_on_tensors
def resize_bicubic(images, tall, wide):
    """timm.layers.resample_abs_pos_embed"""
    B, channels, height, width = images.shape
    places = images.permute(2, 3, 0, 1).reshape(1, height * width, B * channels)  # 1 N D
    resized = timm.layers.resample_abs_pos_embed(
        places, [tall, wide], old_size=[height, width], num_prefix_tokens=0
    )
    return resized.reshape(tall, wide, B, channels).permute(2, 3, 0, 1)


@_on_tensors
def rotary_embedding(x, angles):
    """timm.layers.apply_rot_embed_cat(half=True)"""
    waves = torch.cat((angles.sin(), angles.sin(), angles.cos(), angles.cos()), dim=-1)
    return timm.layers.apply_rot_embed_cat(x, waves, half=True)
