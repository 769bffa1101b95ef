"""The record of the U-Nets of Stable Diffusion."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from refimpl.models.diffusers_names import ENTERING, MODULES
from refimpl.models.ldm_names import UNET_LAYOUT
from refimpl.models.mistakes_sd_unet import SD_MISTAKES
from refimpl.models.model import Choice, Model
from refimpl.models.sd_unet import SdUnet, sd_unet

TOKENS = 7  # words that are read


def inputs(config: SdUnet, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Two small noisy latents, wider than tall, their times, and words of random features."""
    step = 2 ** (len(config.widths) - 1)
    given = {
        "x_t": rng.normal(size=(2, config.channels, 2 * step, 3 * step)),
        "t": np.array([421.0, 7.0]),
        "words": rng.normal(size=(2, TOKENS, config.words)),
    }
    if config.pooled:
        given["pooled"] = rng.normal(size=(2, config.pooled))
        sizes = np.array([[512.0, 640, 0, 24, 96, 128], [1024, 768, 8, 0, 1024, 1024]])
        given["sizes"] = sizes[:, : config.sizes]
    return {name: np.asarray(value, np.float32) for name, value in given.items()}


SD_1 = SdUnet((320, 640, 1280, 1280), 2, heads=(8, 8, 8, 8), depths=(1, 1, 1, 0))
SD_2 = replace(SD_1, heads=(5, 10, 20, 20), words=1024, linear=True)
XL = SdUnet(
    (320, 640, 1280),
    2,
    heads=(5, 10, 20),
    depths=(0, 2, 10),
    middle=10,
    words=2048,
    linear=True,
    pooled=1280,
)
REFINER = replace(
    XL,
    widths=(384, 768, 1536, 1536),
    heads=(6, 12, 24, 24),
    depths=(0, 4, 4, 0),
    middle=4,
    words=1280,
    sizes=5,
)
TESTING = SdUnet((8, 16), 1, groups=4, heads=(2, 4), depths=(1, 0), words=12)
MODEL = Model(
    name="sd-unet",
    text=sd_unet,
    config=SdUnet,
    inputs=inputs,
    sizes={
        "sd-unet-testing": TESTING,
        "sdxl-unet-testing": replace(
            TESTING, heads=(1, 2), depths=(0, 2), middle=2, linear=True, pooled=10, waves=8
        ),
        "sd-1.5-unet": SD_1,
        "sd-1.5-inpainting-unet": replace(SD_1, channels=9),
        "sd-2.1-unet": SD_2,
        "sdxl-unet": XL,
        "sdxl-refiner-unet": REFINER,
    },
    choices=(
        Choice("eps", (1e-5, 1e-6), "an epsilon of "),
        Choice("gate", ("geglu", "geglu_tanh"), "a gate by "),
        Choice("map_eps", (1e-6, 1e-5), "before words are read an epsilon of "),
    ),
    mistakes=SD_MISTAKES,
    layouts=(UNET_LAYOUT,),
    modules=MODULES,
    entering=ENTERING,
    says="UNet2DConditionModel",
)
