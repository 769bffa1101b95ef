"""The record of Flamingo, in the parts of Idefics."""

from __future__ import annotations

import numpy as np

from refimpl.models.configs import Vit
from refimpl.models.flamingo import Flamingo, Resampler, flamingo
from refimpl.models.llama import Llama
from refimpl.models.media_names import ENTERING, MODULES, TOWER
from refimpl.models.mistakes_flamingo import FLAMINGO
from refimpl.models.model import Choice, Model
from refimpl.models.names import Layout
from refimpl.models.spec.llama import TRANSFORMERS as LLAMA

TEXTS = (  # a word is 0, an image 1: words before the first image, and two images in a row
    (0, 0, 1, 0, 0, 0, 1, 0),
    (1, 1, 0, 0, 0, 0, 0, 0),
)
TRANSFORMERS = (
    (r"^model\.", ""),
    (r"^vision_model\.", "visual."),
    *TOWER,
    (r"^perceiver_resampler\.layer_norm\.", "resampler.ln."),
    (r"^perceiver_resampler\.", "resampler."),
    (r"^(resampler\.blocks\.\d+)\.0\.context_layer_norm\.", r"\1.attn.ln_media."),
    (r"^(resampler\.blocks\.\d+)\.0\.latents_layer_norm\.", r"\1.attn.ln_latents."),
    (r"^(resampler\.blocks\.\d+)\.0\.([qk])_layer_norm\.", r"\1.attn.ln_\2."),
    (r"^(resampler\.blocks\.\d+)\.0\.output_proj\.", r"\1.attn.out_proj."),
    (r"^(resampler\.blocks\.\d+)\.0\.", r"\1.attn."),
    (r"^(resampler\.blocks\.\d+)\.1\.fc\.", r"\1.mlp.c_fc."),
    (r"^(resampler\.blocks\.\d+)\.1\.act\.", r"\1.mlp.activation."),
    (r"^(resampler\.blocks\.\d+)\.1\.", r"\1.mlp."),
    (r"^gated_cross_attn_layers\.", "gated."),
    (r"\.cross_attn\.o_proj\.", ".cross.out_proj."),
    (r"\.cross_attn\.([qk])_layer_norm\.", r".cross.ln_\1."),
    (r"\.cross_attn\.", ".cross."),
    (r"\.alpha_cross_attn$", ".alpha_cross"),
    (r"\.alpha_dense$", ".alpha_mlp"),
    *LLAMA,
    (r"\.rotary_emb\.inv_freq$", "|drop"),
    (r"^words\.additional_embedding\.", "words_more."),
    (r"^head\.additional_fc\.", "head_more."),
)


def as_one(params: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Words that were added stand behind the other ones, and a gate is a number."""
    for part in ("words", "head"):
        if f"{part}_more.weight" in params:
            tables = params[f"{part}.weight"], params.pop(f"{part}_more.weight")
            params[f"{part}.weight"] = np.concatenate(tables)
    return {n: np.reshape(x, ()) if ".alpha_" in n else x for n, x in params.items()}


def inputs(config: Flamingo, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Two texts with two images of noise each, one of which begins with words."""
    media = np.array(TEXTS)
    ids = np.where(media, config.media_id, rng.integers(3, config.media_id, media.shape))
    tower = config.vision
    shape = (*media.shape[:1], 2, tower.channels, tower.image, tower.image)
    return {"images": rng.normal(size=shape).astype(np.float32), "ids": ids}


VIT_H = Vit(14, 1280, 32, 16, 5120, activation="gelu", eps=1e-5, patch_bias=False, pre_norm=True)
MODEL = Model(
    name="flamingo",
    text=flamingo,
    config=Flamingo,
    inputs=inputs,
    sizes={
        "flamingo-testing": Flamingo(
            Vit(7, 12, 1, 2, 20, image=14, eps=1e-5, patch_bias=False, pre_norm=True),
            Resampler(3, 2, 2, 5),
            Llama(16, 2, 2, 2, 24, 20, 30, eps=1e-6),
            every=2,
            media_id=29,
        ),
        "open-flamingo-testing": Flamingo(
            Vit(7, 12, 1, 2, 20, image=14, eps=1e-5, patch_bias=False, pre_norm=True),
            Resampler(3, 1, 2, 5),
            Llama(16, 1, 2, 2, 24, 20, 30, eps=1e-6),
            every=1,
            media_id=29,
            normed=False,
        ),
        "idefics-9b": Flamingo(
            VIT_H, Resampler(), Llama(4096, 32, 32, 32, 11008, 2048, 32002, eps=1e-6)
        ),
    },
    choices=(
        Choice("activation", ("gelu", "gelu_tanh", "quick_gelu")),
        Choice("resampler_activation", ("relu", "gelu"), "in the resampler "),
        Choice("gate", ("swiglu", "geglu", "geglu_tanh"), "a gate by "),
        Choice("eps", (1e-5, 1e-6), "an epsilon of "),
    ),
    mistakes=FLAMINGO,
    layouts=(
        Layout(r"(model\.)?(perceiver_resampler|gated_cross_attn_layers)\.", TRANSFORMERS, as_one),
    ),
    modules=(*MODULES, (r"\.attn\.out_proj$", ".attn"), (r"^words$", "tokens")),
    entering=(*ENTERING, (r"\.mlp\.ln$", ".added")),
    says="Idefics",
)
