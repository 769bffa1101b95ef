"""The record of unCLIP's decoder, in the sizes of Kandinsky 2.2."""

from __future__ import annotations

import numpy as np

from refimpl.models.mistakes_imagen import UNCLIP
from refimpl.models.model import Choice, Model
from refimpl.models.spec import adm
from refimpl.models.unclip import Unclip, unclip

DIFFUSERS = (  # what of the names of diffusers is none of ADM's
    (r"^add_embedding\.image_(proj|norm)\.", r"image_\1."),
    (r"^encoder_hid_proj\.image_embeds\.", "image_tokens.proj."),
    (r"^encoder_hid_proj\.norm\.", "image_tokens.ln."),
    (r"\.add_([kv])_proj\.", r".encoder_\1."),
)


def inputs(config: Unclip, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Two small noisy latents, wider than tall, their times, and vectors of images."""
    step = 2 ** (len(config.multiples) - 1)
    given = {
        "x_t": rng.normal(size=(2, config.channels, 2 * step, 3 * step)),
        "t": np.array([421.0, 7.0]),
        "image_embedding": rng.normal(size=(2, config.clip)),
    }
    return {name: np.asarray(value, np.float32) for name, value in given.items()}


MODEL = Model(
    name="unclip",
    text=unclip,
    config=Unclip,
    inputs=inputs,
    sizes={
        "unclip-testing": Unclip(
            8, (1, 2), 1, (1,), head=8, groups=4, clip=10, tokens=32, memory=12
        ),
        "kandinsky-2.2-decoder": Unclip(384, (1, 2, 3, 4), 3, (1, 2, 3)),
    },
    choices=(
        Choice("act", ("gelu", "silu", "gelu_tanh"), "the activation "),
        Choice("eps", (1e-5, 1e-6), "an epsilon of "),
    ),
    mistakes=UNCLIP,
    modules=adm.MODULES,
    entering=adm.ENTERING,
    says="UNet2DConditionModel that reads the vector of an image",
)
