"""The names that the files of latent diffusion and VQGAN have, turned into those of diffusers.

Their decoder counts levels from the finest one, and their U-Net blocks in one row, whatever level
they are on; both are put in place when all names are known.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from refimpl.models.names import Layout, Rules, numbers

Params = dict[str, np.ndarray]
ATTENTION = (
    (r"\.(attn_1|attn\.\d+)\.norm\.", r".\1.group_norm."),
    (r"\.(attn_1|attn\.\d+)\.([qkv])\.", r".\1.to_\2."),
    (r"\.(attn_1|attn\.\d+)\.proj_out\.", r".\1.to_out.0."),
)
CODER: Rules = (
    (r"^first_stage_model\.", ""),
    (r"^(model_ema\.|loss\.).*", "|drop"),
    *ATTENTION,
    (r"\.mid\.block_1\.", ".mid_block.resnets.0."),
    (r"\.mid\.attn_1\.", ".mid_block.attentions.0."),
    (r"\.mid\.block_2\.", ".mid_block.resnets.1."),
    (r"\.(down|up)\.(\d+)\.block\.", r".\1_blocks.\2.resnets."),
    (r"\.(down|up)\.(\d+)\.attn\.", r".\1_blocks.\2.attentions."),
    (r"\.(down|up)\.(\d+)\.(down|up)sample\.", r".\1_blocks.\2.\3samplers.0."),
    (r"\.nin_shortcut\.", ".conv_shortcut."),
    (r"coder\.norm_out\.", "coder.conv_norm_out."),
)
OLD_DIFFUSERS: Rules = (
    (r"\.query\.", ".to_q."),
    (r"\.key\.", ".to_k."),
    (r"\.value\.", ".to_v."),
    (r"\.proj_attn\.", ".to_out.0."),
)
UNET: Rules = (
    (r"^model\.diffusion_model\.", ""),
    (r"^time_embed\.0\.", "time_embedding.linear_1."),
    (r"^time_embed\.2\.", "time_embedding.linear_2."),
    (r"^label_emb\.0\.0\.", "add_embedding.linear_1."),
    (r"^label_emb\.0\.2\.", "add_embedding.linear_2."),
    (r"^out\.0\.", "conv_norm_out."),
    (r"^out\.2\.", "conv_out."),
    (r"^input_blocks\.0\.0\.", "conv_in."),
    (r"^middle_block\.1\.", "mid_block.attentions.0."),
    (r"^middle_block\.0\.", "mid_block.resnets.0."),
    (r"^middle_block\.2\.", "mid_block.resnets.1."),
    (r"\.in_layers\.0\.", ".norm1."),
    (r"\.in_layers\.2\.", ".conv1."),
    (r"\.emb_layers\.1\.", ".time_emb_proj."),
    (r"\.out_layers\.0\.", ".norm2."),
    (r"\.out_layers\.3\.", ".conv2."),
    (r"\.skip_connection\.", ".conv_shortcut."),
)


def coder_in_place(params: Params) -> Params:
    """Levels of the decoder from the coarsest one, matrices of attention as matrices."""
    last = numbers(params, "decoder.up_blocks.") - 1
    found = {}
    for name, value in params.items():
        name = re.sub(
            r"^decoder\.up_blocks\.(\d+)", lambda m: f"decoder.up_blocks.{last - int(m[1])}", name
        )
        of_one_pixel = re.search(r"\.attentions\.\d+\.to_\w+(\.0)?\.weight$", name)
        found[name] = value.reshape(value.shape[:2]) if of_one_pixel else value
    return found


def unet_in_place(params: Params) -> Params:
    """Blocks of one row as blocks of levels."""
    places = _row(params, "input_blocks", 1, "down") | _row(params, "output_blocks", 0, "up")
    return {_placed(name, places): value for name, value in params.items()}


def _row(params: Mapping[str, np.ndarray], row: str, first: int, way: str) -> dict[str, str]:
    """What the parts of each block are called: `output_blocks.2.1.` and where it stands."""
    places, level, block = {}, 0, 0
    for k in range(first, first + numbers(params, f"{row}.")):
        inside = {name for name in params if name.startswith(f"{row}.{k}.")}
        ends = {re.sub(rf"^{row}\.{k}\.(\d+)\..*", r"\1", n) for n in inside if _resizes(n)}
        for part, kind in (("0", "resnets"), ("1", "attentions")):
            places[f"{row}.{k}.{part}."] = f"{way}_blocks.{level}.{kind}.{block}."
        block += 1
        for part in ends:
            places[f"{row}.{k}.{part}."] = f"{way}_blocks.{level}.{way}samplers.0."
            level, block = level + 1, 0
    return places


def _resizes(name: str) -> bool:
    return bool(re.search(r"^\w+\.\d+\.\d\.(op|conv)\.(weight|bias)$", name))


def _placed(name: str, places: Mapping[str, str]) -> str:
    start = re.match(r"(in|out)put_blocks\.\d+\.\d+\.", name)
    if not start or start[0] not in places:
        return name
    return places[start[0]] + name.removeprefix(start[0]).replace("op.", "conv.", 1)


CODER_LAYOUTS = (
    Layout(r"(first_stage_model\.)?(en|de)coder\.(down|up|mid)\.", CODER, coder_in_place),
    Layout(r"(en|de)coder\.mid_block\.attentions\.0\.query\.", OLD_DIFFUSERS),
)
UNET_LAYOUT = Layout(r"model\.diffusion_model\.", UNET, unet_in_place)
