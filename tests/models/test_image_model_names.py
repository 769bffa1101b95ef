"""The files of latent diffusion and VQGAN, and old ones of diffusers, are read by our names."""

from __future__ import annotations

import re

import numpy as np
import pytest

from refimpl.models.registry import find_model
from refimpl.models.weights import WeightsError, check, read, translate
from tests.small import random_params

LDM_CODER = (  # our names as those files have them; the decoder counts from the finest level
    (r"\.(down|up)_blocks\.(\d+)\.resnets\.", r".\1.\2.block."),
    (r"\.(down|up)_blocks\.(\d+)\.attentions\.", r".\1.\2.attn."),
    (r"\.(down|up)_blocks\.(\d+)\.(down|up)samplers\.0\.", r".\1.\2.\3sample."),
    (r"\.mid_block\.resnets\.0\.", ".mid.block_1."),
    (r"\.mid_block\.resnets\.1\.", ".mid.block_2."),
    (r"\.mid_block\.attentions\.0\.", ".mid.attn_1."),
    (r"\.group_norm\.", ".norm."),
    (r"\.to_([qkv])\.", r".\1."),
    (r"\.to_out\.0\.", ".proj_out."),
    (r"\.conv_shortcut\.", ".nin_shortcut."),
    (r"coder\.conv_norm_out\.", "coder.norm_out."),
)
ROWS = {  # where a U-Net of two levels with one block each keeps what
    "conv_in.": "input_blocks.0.0.",
    "down_blocks.0.resnets.0.": "input_blocks.1.0.",
    "down_blocks.0.attentions.0.": "input_blocks.1.1.",
    "down_blocks.0.downsamplers.0.conv.": "input_blocks.2.0.op.",
    "down_blocks.1.resnets.0.": "input_blocks.3.0.",
    "mid_block.resnets.0.": "middle_block.0.",
    "mid_block.attentions.0.": "middle_block.1.",
    "mid_block.resnets.1.": "middle_block.2.",
    "up_blocks.0.resnets.0.": "output_blocks.0.0.",
    "up_blocks.0.resnets.1.": "output_blocks.1.0.",
    "up_blocks.0.upsamplers.0.conv.": "output_blocks.1.1.conv.",
    "up_blocks.1.resnets.0.": "output_blocks.2.0.",
    "up_blocks.1.attentions.0.": "output_blocks.2.1.",
    "up_blocks.1.resnets.1.": "output_blocks.3.0.",
    "up_blocks.1.attentions.1.": "output_blocks.3.1.",
    "conv_norm_out.": "out.0.",
    "conv_out.": "out.2.",
    "time_embedding.linear_1.": "time_embed.0.",
    "time_embedding.linear_2.": "time_embed.2.",
}
PARTS = {
    "norm1.": "in_layers.0.",
    "conv1.": "in_layers.2.",
    "time_emb_proj.": "emb_layers.1.",
    "norm2.": "out_layers.0.",
    "conv2.": "out_layers.3.",
    "conv_shortcut.": "skip_connection.",
}


def same(found, params, config):
    check(found, config)
    assert found.keys() == params.keys()
    assert all(np.array_equal(found[name], value) for name, value in params.items())


@pytest.mark.parametrize("name", ["vae-testing", "vqgan-testing"])
def test_a_coder_of_latent_diffusion_is_read(name):
    config = find_model(name)
    params, theirs = random_params(config), {}
    for ours, value in params.items():
        other = re.sub(r"up_blocks\.([01])", lambda m: f"up_blocks.{1 - int(m[1])}", ours)
        for pattern, place in LDM_CODER:
            other = re.sub(pattern, place, other)
        kernel = ".to_" in ours and ours.endswith("weight")
        theirs[other] = value[:, :, None, None] if kernel else value
    same(translate(theirs | {"loss.logvar": np.zeros(())}), params, config)


def test_an_old_autoencoder_of_diffusers_is_read():
    config = find_model("vae-testing")
    params, theirs = random_params(config), {}
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    for name, value in params.items():
        for ours, other in old.items():
            name = name.replace(f".{ours}.", f".{other}.")
        theirs[name] = value
    same(translate(theirs), params, config)


def test_the_unet_of_a_file_of_stable_diffusion_is_read():
    config = find_model("sd-unet-testing")
    params, theirs = random_params(config), {}
    for name, value in params.items():
        start = next(place for place in ROWS if name.startswith(place))
        rest = name.removeprefix(start)
        part = next((p for p in PARTS if rest.startswith(p)), "") if ".resnets." in name else ""
        rest = PARTS.get(part, "") + rest.removeprefix(part)
        theirs[f"model.diffusion_model.{ROWS[start]}{rest}"] = value
    assert len(theirs) == len(params)
    same(translate(theirs), params, config)


@pytest.mark.parametrize("name", ["sd-unet-testing", "vae-testing", "adm-testing"])
def test_a_file_with_our_names_is_read_with_its_configuration(name, tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")
    config, path = find_model(name), tmp_path / "w.safetensors"
    params = random_params(config)
    safetensors.save_file(params, path)
    found, arrays = read(path, config)
    assert found is config
    same(arrays, params, config)
    with pytest.raises(WeightsError):
        read(path)
