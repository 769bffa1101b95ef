"""Whole models of diffusers: its autoencoders and U-Nets, with random weights."""

from __future__ import annotations

from unittest import mock

import torch

from refimpl.backends import hooks
from refimpl.models.adm import Adm
from refimpl.models.autoencoder import Autoencoder
from refimpl.models.ddpm_unet import DdpmUnet
from refimpl.models.imagen import Imagen
from refimpl.models.prior import Prior
from refimpl.models.sd_unet import SdUnet
from refimpl.models.spec import imagen as imagen_names
from refimpl.models.spec import prior as prior_names
from refimpl.models.spec import unclip as unclip_names
from refimpl.models.unclip import Unclip
from refimpl.models.vqgan import Vqgan

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


def _kinds(config):
    """What the names of blocks begin with, level by level."""
    return ["Attn" * (i in config.attention) for i in range(len(config.widths))]


def _vqgan(config, seed):
    kinds = _kinds(config)
    model = diffusers.VQModel(
        in_channels=config.channels,
        out_channels=config.channels,
        down_block_types=[f"{kind}DownEncoderBlock2D" for kind in kinds],
        up_block_types=[f"{kind}UpDecoderBlock2D" for kind in kinds[::-1]],
        block_out_channels=config.widths,
        layers_per_block=config.layers,
        latent_channels=config.latent,
        num_vq_embeddings=config.codes,
        vq_embed_dim=config.code,
        norm_num_groups=config.groups,
    )
    book = model.quantize.embedding.weight
    torch.nn.init.normal_(book, std=0.3)  # or one code near zero would be nearest to all latents
    return hooks.record(
        model, config, (), lambda images: {"decoder.conv_out": model(images).sample}, seed, VERSION
    )


def _ddpm_unet(config, seed):
    if config.around not in PADDINGS:
        raise NotImplementedError("has no such zeros around a map that is halved")
    kinds = _kinds(config)
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


def _of_adm(config):
    """The settings that all networks of ADM's kind share."""
    if not config.resampling or not config.scale_shift or config.by_heads or not config.head:
        raise NotImplementedError("has ADM with blocks that resample, and heads of a width, alone")
    return {
        "in_channels": config.channels,
        "out_channels": config.outputs,
        "block_out_channels": [int(config.width * multiple) for multiple in config.multiples],
        "layers_per_block": config.layers,
        "norm_num_groups": config.groups,
        "norm_eps": config.eps,
        "attention_head_dim": config.head,
        "resnet_time_scale_shift": "scale_shift",
    }


def _adm(config, seed):
    kinds = ["Attn" if i in config.attention else "Resnet" for i in range(len(config.multiples))]
    ends = {"Attn": ("Down", "Up"), "Resnet": ("Downsample", "Upsample")}
    model = diffusers.UNet2DModel(
        **_of_adm(config),
        down_block_types=[f"{kind}{ends[kind][0]}Block2D" for kind in kinds],
        up_block_types=[f"{kind}{ends[kind][1]}Block2D" for kind in kinds[::-1]],
        attn_norm_num_groups=config.groups,
        num_class_embeds=config.classes or None,
        downsample_type="resnet",
        upsample_type="resnet",
    )

    def run(x_t, t, labels=None):
        return {"out.2": model(x_t, t, labels).sample}

    names = (*_places(config), *ADM_PARTS)
    return hooks.record(model, config, names, run, seed, VERSION, _as_kernels)


def _reading(config, **more):
    """An ADM whose pixels read, as diffusers has it."""
    kinds = ["SimpleCrossAttn" * (i in config.attention) for i in range(len(config.multiples))]
    ends = {"": ("ResnetDownsample", "ResnetUpsample")}
    down, up = zip(*(ends.get(kind, (f"{kind}Down", f"{kind}Up")) for kind in kinds), strict=True)
    return diffusers.UNet2DConditionModel(
        **_of_adm(config),
        down_block_types=[f"{kind}Block2D" for kind in down],
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        up_block_types=[f"{kind}Block2D" for kind in up[::-1]],
        act_fn=config.act,
        cross_attention_dim=config.memory,
        **more,
    )


def _imagen(config, seed):
    model = _reading(
        config,
        cross_attention_norm="group_norm",
        encoder_hid_dim=config.words,
        encoder_hid_dim_type="text_proj",
        addition_embed_type="text",
        addition_embed_type_num_heads=config.pool_heads,
        class_embed_type="timestep" if config.enlarges else None,
        resnet_skip_time_act=True,
        time_embedding_act_fn=config.act,
    )

    def run(x_t, t, words, small=None, level=None):
        x_t = torch.cat((x_t, small), dim=1) if config.enlarges else x_t
        return {"out.2": model(x_t, t, words, class_labels=level).sample}

    names = (*_places(config), *imagen_names.DIFFUSERS, *ADM_PARTS)
    turns = {"waves": ("waves", "level_waves")} if config.enlarges else {}
    return hooks.record(model, config, names, run, seed, VERSION, _as_kernels, turns)


def _unclip(config, seed):
    if config.tokens != KANDINSKY_TOKENS:
        raise NotImplementedError(f"has an image as {KANDINSKY_TOKENS} tokens alone")
    model = _reading(
        config,
        encoder_hid_dim=config.clip,
        encoder_hid_dim_type="image_proj",
        addition_embed_type="image",
    )

    def run(x_t, t, image_embedding):
        told = {"image_embeds": image_embedding}
        return {"out.2": model(x_t, t, None, added_cond_kwargs=told).sample}

    names = (*_places(config), *unclip_names.DIFFUSERS, *ADM_PARTS)
    return hooks.record(model, config, names, run, seed, VERSION, _as_kernels)


def _as_kernels(params):
    """Matrices of attention as convolutions of one token, as guided diffusion has them."""
    of_one = (".qkv.weight", ".proj_out.weight")
    return {n: x[..., None] if n.endswith(of_one) else x for n, x in params.items()}


def _places(config):
    """Where the blocks of levels stand in the flat rows of guided diffusion."""
    down, up, levels = 1, 0, len(config.multiples)
    for i in range(levels):
        for j in range(config.layers):
            yield rf"^down_blocks\.{i}\.resnets\.{j}\.", f"input_blocks.{down}.0."
            yield rf"^down_blocks\.{i}\.attentions\.{j}\.", f"input_blocks.{down}.1."
            down += 1
        yield rf"^down_blocks\.{i}\.downsamplers\.0\.", f"input_blocks.{down}.0."
        down += 1
        for j in range(config.layers + 1):
            yield rf"^up_blocks\.{i}\.resnets\.{j}\.", f"output_blocks.{up}.0."
            yield rf"^up_blocks\.{i}\.attentions\.{j}\.", f"output_blocks.{up}.1."
            up += 1
        behind = 1 + (levels - 1 - i in config.attention)
        yield rf"^up_blocks\.{i}\.upsamplers\.0\.", f"output_blocks.{up - 1}.{behind}."


ADM_PARTS = (
    (r"^conv_in\.", "input_blocks.0.0."),
    (r"^time_proj\.", "waves."),
    (r"^time_embedding\.linear_1\.", "time_embed.0."),
    (r"^time_embedding\.linear_2\.", "time_embed.2."),
    (r"^class_embedding\.", "label_emb."),
    (r"^mid_block\.resnets\.0\.", "middle_block.0."),
    (r"^mid_block\.attentions\.0\.", "middle_block.1."),
    (r"^mid_block\.resnets\.1\.", "middle_block.2."),
    (r"^conv_norm_out\.", "out.0."),
    (r"^conv_out\.", "out.2."),
    (r"\.norm1\.", ".in_layers.0."),
    (r"\.conv1\.", ".in_layers.2."),
    (r"\.time_emb_proj\.", ".emb_layers.1."),
    (r"\.norm2\.", ".out_layers.0."),
    (r"\.conv2\.", ".out_layers.3."),
    (r"\.conv_shortcut\.", ".skip_connection."),
    (r"\.group_norm\.", ".norm."),
    (r"\.to_([qkv])\.(weight|bias)$", r".qkv.\2|\1"),
    (r"\.to_q\.$", ".query."),
    (r"\.to_k\.$", ".key."),
    (r"\.to_v\.$", ".value."),
    (r"\.to_out\.0\.", ".proj_out."),
)


def _prior(config, seed):
    model = diffusers.PriorTransformer(
        num_attention_heads=config.heads,
        attention_head_dim=config.width // config.heads,
        num_layers=config.layers,
        embedding_dim=config.clip,
        num_embeddings=config.context,
    )

    def run(noised, t, text_embedding, words, keep):
        found = model(noised, t, text_embedding, words, keep.bool()).predicted_image_embedding
        return {"image_embedding": model.post_process_latents(found)}

    return hooks.record(model, config, prior_names.DIFFUSERS, run, seed, VERSION)


def _said(output):
    return {"conv_out": output.sample}


KANDINSKY_TOKENS = 32  # which the library does not let one choose
PADDINGS = {(0, 1): 0, (1, 1): 1}
BUILDERS = {
    Autoencoder: _autoencoder,
    Vqgan: _vqgan,
    DdpmUnet: _ddpm_unet,
    SdUnet: _sd_unet,
    Adm: _adm,
    Imagen: _imagen,
    Unclip: _unclip,
    Prior: _prior,
}
