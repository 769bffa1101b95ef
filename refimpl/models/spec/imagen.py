"""The record of Imagen's U-Nets, in the sizes of DeepFloyd's IF."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from refimpl.models.imagen import Imagen, imagen
from refimpl.models.mistakes_imagen import IMAGEN
from refimpl.models.model import Choice, Model
from refimpl.models.spec import adm

TOKENS = 5  # words that are read
DIFFUSERS = (  # what of the names of diffusers is none of ADM's
    (r"^add_embedding\.norm([12])\.", r"pooled.ln_\1."),
    (r"^add_embedding\.", "pooled."),
    (r"^encoder_hid_proj\.", "words."),
    (r"\.norm_cross\.", ".norm_words."),
    (r"\.add_([kv])_proj\.", r".encoder_\1."),
)


def inputs(config: Imagen, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Two small noisy images, wider than tall, their times, words of random features."""
    step = 2 ** (len(config.multiples) - 1)
    shape = (2, 3, 2 * step, 3 * step)
    given = {
        "x_t": rng.normal(size=shape),
        "t": np.array([421.0, 7.0]),
        "words": rng.normal(size=(2, TOKENS, config.words)),
    }
    if config.enlarges:
        given |= {"small": rng.normal(size=shape), "level": np.array([75.0, 250.0])}
    return {name: np.asarray(value, np.float32) for name, value in given.items()}


IF_XL = Imagen(704, (1, 2, 3, 4), 3, (1, 2, 3))
TESTING = Imagen(
    8, (1, 2), 1, (1,), head=8, groups=4, words=12, memory=32, pool_heads=3, word_groups=32
)
MODEL = Model(
    name="imagen",
    text=imagen,
    config=Imagen,
    inputs=inputs,
    sizes={
        "imagen-testing": TESTING,
        "imagen-enlarging-testing": replace(TESTING, channels=6, enlarges=True),
        "if-i-xl": IF_XL,
    },
    choices=(
        Choice("act", ("gelu", "silu", "gelu_tanh"), "the activation "),
        Choice("eps", (1e-5, 1e-6), "an epsilon of "),
    ),
    mistakes=IMAGEN,
    modules=(*adm.MODULES, (r"\.norm_words$", ".norm_words|grid")),
    entering=adm.ENTERING,
    says="UNet2DConditionModel that reads words beside pixels",
)
