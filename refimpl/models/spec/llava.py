"""The record of LLaVA."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from refimpl.models.configs import Vit
from refimpl.models.llama import Llama
from refimpl.models.llava import Llava, llava
from refimpl.models.media_names import ENTERING, MODULES, TOWER
from refimpl.models.mistakes_llava import LLAVA
from refimpl.models.model import Choice, Model
from refimpl.models.names import Layout
from refimpl.models.spec.llama import TRANSFORMERS as LLAMA
from refimpl.models.spec.vit import images

BEFORE, BEHIND = 2, 3  # words around an image
TRANSFORMERS = (
    (r"^(model\.)?vision_tower\.(vision_model\.)?", "visual."),
    *TOWER,
    (r"^(model\.)?multi_modal_projector\.linear_1\.", "projector.0."),
    (r"^(model\.)?multi_modal_projector\.act\.", "projector.1."),
    (r"^(model\.)?multi_modal_projector\.linear_2\.", "projector.2."),
    (r"^(model\.)?language_model\.", ""),
    *LLAMA,
)


def inputs(config: Llava, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Noise and an image of zeros, each in a text of random words."""
    given = images(config.vision, rng)
    many, room = config.vision.tokens - 1, config.image_id
    words = rng.integers(0, room, (2, BEFORE + many + BEHIND))
    words[:, BEFORE : BEFORE + many] = room
    return {**given, "ids": words}


CLIP_L = Vit(
    14, 1024, 24, 16, 4096, 336, activation="quick_gelu", eps=1e-5, patch_bias=False, pre_norm=True
)
VICUNA = Llama(4096, 32, 32, 32, 11008, 4096, 32064)
MODEL = Model(
    name="llava",
    text=llava,
    config=Llava,
    inputs=inputs,
    sizes={
        "llava-testing": Llava(
            Vit(
                7,
                12,
                3,
                2,
                20,
                image=14,
                activation="quick_gelu",
                eps=1e-5,
                patch_bias=False,
                pre_norm=True,
            ),
            Llama(16, 1, 4, 2, 24, 20, 30),
            image_id=29,
        ),
        "llava-1.5-7b": Llava(CLIP_L, VICUNA),
        "llava-1.5-13b": Llava(
            CLIP_L, replace(VICUNA, width=5120, layers=40, heads=40, groups=40, hidden=13824)
        ),
    },
    choices=(
        Choice("activation", ("gelu", "gelu_tanh", "quick_gelu")),
        Choice("projector", ("gelu", "gelu_tanh", "quick_gelu"), "in the projector "),
        Choice("eps", (1e-5, 1e-6), "an epsilon of "),
        Choice("gate", ("swiglu", "geglu", "geglu_tanh"), "a gate by "),
    ),
    mistakes=LLAVA,
    layouts=(Layout(r"(model\.)?multi_modal_projector\.", TRANSFORMERS),),
    modules=(*MODULES, (r"\.attn\.out_proj$", ".attn")),
    entering=(*ENTERING, (r"^layers\.0\.ln_1$", "tokens")),
    says="LLaVA",
)
