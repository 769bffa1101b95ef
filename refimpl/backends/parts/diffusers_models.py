"""Whole models of diffusers: its autoencoders and U-Nets, with random weights."""

from __future__ import annotations

from unittest import mock

import torch

from refimpl.backends import hooks
from refimpl.models.autoencoder import Autoencoder

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


BUILDERS = {Autoencoder: _autoencoder}
