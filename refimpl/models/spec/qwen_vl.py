"""The record of Qwen2.5-VL."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from refimpl.models import TEXT
from refimpl.models.llama import Llama
from refimpl.models.mistakes_qwen_vl import QWEN_VL
from refimpl.models.model import Choice, Model
from refimpl.models.names import Layout
from refimpl.models.qwen_vl import QwenTower, QwenVl, qwen_vl
from refimpl.models.spec.llama import QWEN, QWEN_7B
from refimpl.models.spec.llama import TRANSFORMERS as LLAMA

TRANSFORMERS = (
    (r"^model\.visual\.", "visual."),
    (r"^visual\.patch_embed\.proj\.", "visual.patches."),
    (r"^(visual\.blocks\.\d+)\.norm([12])\.", r"\1.ln_\2."),
    (r"^(visual\..*)\.attn\.qkv\.(weight|bias)$", r"\1.attn.in_proj_\2"),
    (r"^(visual\..*)\.attn\.proj\.", r"\1.attn.out_proj."),
    (r"^model\.language_model\.", "model."),
    *LLAMA,
)
GRIDS = ((1, 3, 3), (2, 1, 3))  # an image that windows do not tile, and a video
WORDS = (3, 2, 4)  # before, between and behind them


def inputs(config: QwenVl, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """A text of random words around an image and a video, whose last patch lasts a frame less."""
    ids, patches = [rng.integers(0, config.image_id, WORDS[0])], []
    for (time, rows, cols), words in zip(GRIDS, WORDS[1:], strict=True):
        ids += [
            np.full(time * rows * cols, config.image_id),
            rng.integers(0, config.image_id, words),
        ]
        patches.append(_patches(time, rows, cols, config.tower, rng))
    return {
        "ids": np.concatenate(ids)[None],
        "patches": np.concatenate(patches).astype(np.float32),
        "grids": np.array(GRIDS),
    }


def _patches(
    time: int, rows: int, cols: int, config: QwenTower, rng: np.random.Generator
) -> np.ndarray:
    side = config.merge * config.patch
    frames = time * config.together - 1  # the last one is repeated
    pixels = rng.normal(size=(frames, config.channels, rows * side, cols * side))
    return TEXT.patchify_video(pixels, config.patch, config.together, config.merge)


TOWER = QwenTower()
TESTING = QwenVl(
    QwenTower(16, 3, 2, 24, patch=3, window=2, whole=(1,)),
    Llama(48, 1, 4, 2, 40, 64, 30, 1e4, 1e-6, qkv_bias=True),
    sections=(3, 1, 2),
    image_id=29,
)
THREE = replace(QWEN, width=2048, layers=36, heads=16, hidden=11008, context=128000)
LARGE = Llama(8192, 80, 64, 8, 29568, 128000, 152064, 1e6, 1e-6, qkv_bias=True)
MODEL = Model(
    name="qwen-vl",
    text=qwen_vl,
    config=QwenVl,
    inputs=inputs,
    sizes={
        "qwen2.5-vl-testing": TESTING,
        "qwen2.5-vl-3b": QwenVl(TOWER, THREE),
        "qwen2.5-vl-7b": QwenVl(TOWER, replace(QWEN_7B, context=128000)),
        "qwen2.5-vl-72b": QwenVl(replace(TOWER, hidden=3456), LARGE),
    },
    choices=(
        Choice("gate", ("swiglu", "geglu", "geglu_tanh"), "a gate by "),
        Choice("activation", ("gelu", "gelu_tanh", "quick_gelu"), "in the merger "),
        Choice("eps", (1e-5, 1e-6), "an epsilon of "),
        Choice("base", (1e4, 1e6), "angles of base "),
    ),
    mistakes=QWEN_VL,
    layouts=(Layout(r"(model\.)?visual\.", TRANSFORMERS),),
    modules=(
        (r"^(visual\..+)\.attn\.out_proj$", r"\1.attn|text"),
        (r"\.attn\.out_proj$", ".attn"),
        (r"^(visual\..+)$", r"\1|text"),
    ),
    entering=(
        (r"\.ln_2$", ".middle"),
        (r"\.mlp\.down$", ".mlp.gated"),
        (r"^layers\.0\.ln_1$", "tokens"),
    ),
    sign="visual.merger.ln_q.weight",
    says="Qwen2.5-VL",
)
