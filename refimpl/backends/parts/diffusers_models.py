"""Whole models of diffusers: its autoencoders and U-Nets, with random weights."""

from __future__ import annotations

from unittest import mock

import torch

from refimpl.backends import hooks
from refimpl.models.autoencoder import Autoencoder
from refimpl.models.ddpm_unet import DdpmUnet
from refimpl.models.sd_unet import SdUnet

hooks.allow_broken_torchvision()

import diffusers  # noqa: E402  after the definition
from diffusers.models.autoencoders import vae as _vae  # noqa: E402

VERSION = diffusers.__version__


def record(config, seed):
    """The model of this configuration's sizes; epsilon is the library's own."""
    torch.manual_seed(seed)
    return hooks.builder(BUILDERS, config)(config, seed)


def _autoencoder(config, seed):
    if config.attention:
        raise NotImplementedError("has no AutoencoderKL with attention beside that of the middle")
    levels = len(config.widths)
    model = diffusers.AutoencoderKL(
        in_channels=config.channels,
        out_channels=config.channels,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=config.widths,
        layers_per_block=config.layers,
        latent_channels=config.latent,
        norm_num_groups=config.groups,
        scaling_factor=config.scale,
        shift_factor=config.shift,
        use_quant_conv=config.quant,
        use_post_quant_conv=config.quant,
    )

    def run(images, noise):
        with mock.patch.object(_vae, "randn_tensor", return_value=noise):
            z = model.encode(images).latent_dist.sample()
        scale, shift = model.config.scaling_factor, model.config.shift_factor
        latent = (z - shift) * scale  # as its pipelines do
        unscaled = latent / scale + shift
        model.decode(unscaled)
        return {"z": z, "latent": latent, "unscaled": unscaled}

    return hooks.record(model, config, (), run, seed, VERSION)


def _ddpm_unet(config, seed):
    if config.around not in PADDINGS:
        raise NotImplementedError("has no such zeros around a map that is halved")
    kinds = ["Attn" * (i in config.attention) for i in range(len(config.widths))]
    model = diffusers.UNet2DModel(
        in_channels=config.channels,
        out_channels=config.outputs,
        down_block_types=[f"{kind}DownBlock2D" for kind in kinds],
        up_block_types=[f"{kind}UpBlock2D" for kind in kinds[::-1]],
        block_out_channels=config.widths,
        layers_per_block=config.layers,
        norm_num_groups=config.groups,
        norm_eps=config.eps,
        downsample_padding=PADDINGS[config.around],
        attention_head_dim=config.head or None,
        flip_sin_to_cos=False,
        freq_shift=1,
    )
    return hooks.record(model, config, (), lambda x_t, t: _said(model(x_t, t)), seed, VERSION)


def _sd_unet(config, seed):
    if config.around not in PADDINGS:
        raise NotImplementedError("has no such zeros around a map that is halved")
    if config.gate != "geglu" or config.map_eps != SdUnet.map_eps:
        raise NotImplementedError("has no other gate, nor epsilon before words are read")
    reads = ["CrossAttn" * bool(depth) for depth in config.depths]
    sizes = {
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": config.waves,
        "projection_class_embeddings_input_dim": config.pooled + config.sizes * config.waves,
    }
    model = diffusers.UNet2DConditionModel(
        in_channels=config.channels,
        out_channels=config.outputs,
        down_block_types=[f"{kind}DownBlock2D" for kind in reads],
        up_block_types=[f"{kind}UpBlock2D" for kind in reads[::-1]],
        block_out_channels=config.widths,
        layers_per_block=config.layers,
        norm_num_groups=config.groups,
        norm_eps=config.eps,
        downsample_padding=PADDINGS[config.around],
        attention_head_dim=config.heads,  # which it takes for their number
        transformer_layers_per_block=[*(depth or 1 for depth in config.depths[:-1]), config.middle],
        cross_attention_dim=config.words,
        use_linear_projection=config.linear,
        **(sizes if config.pooled else {}),
    )

    def run(x_t, t, words, pooled=None, sizes=None):
        more = {"text_embeds": pooled, "time_ids": sizes} if config.pooled else None
        return _said(model(x_t, t, words, added_cond_kwargs=more))

    return hooks.record(model, config, (), run, seed, VERSION)


def _said(output):
    return {"conv_out": output.sample}


PADDINGS = {(0, 1): 0, (1, 1): 1}
BUILDERS = {Autoencoder: _autoencoder, DdpmUnet: _ddpm_unet, SdUnet: _sd_unet}
