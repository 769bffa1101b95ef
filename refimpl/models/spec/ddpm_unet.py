"""The record of the U-Net of denoising diffusion."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from refimpl.models.ddpm_unet import DdpmUnet, ddpm_unet
from refimpl.models.diffusers_names import ENTERING, MODULES
from refimpl.models.mistakes_unet import DDPM_MISTAKES
from refimpl.models.model import Choice, Model


def inputs(config: DdpmUnet, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Two small noisy images, wider than tall, and their times."""
    step = 2 ** (len(config.widths) - 1)
    x_t = rng.normal(size=(2, config.channels, 2 * step, 3 * step))
    return {"x_t": x_t.astype(np.float32), "t": np.array([421.0, 7.0], np.float32)}


CIFAR = DdpmUnet((128, 256, 256, 256), 2, attention=(1,))
MODEL = Model(
    name="ddpm-unet",
    text=ddpm_unet,
    config=DdpmUnet,
    inputs=inputs,
    sizes={
        "ddpm-unet-testing": DdpmUnet((8, 16), 1, groups=4, attention=(1,)),
        "ddpm-cifar10": CIFAR,
        "ddpm-256": replace(CIFAR, widths=(128, 128, 256, 256, 512, 512), attention=(4,)),
    },
    choices=(
        Choice("eps", (1e-6, 1e-5), "an epsilon of "),
        Choice("around", ((0, 1), (1, 1)), "zeros before and behind a map that is halved: "),
        Choice("head", (0, 8), "channels of a head (0: all): "),
    ),
    mistakes=DDPM_MISTAKES,
    modules=MODULES,
    entering=ENTERING,
    says="UNet2DModel",
)
