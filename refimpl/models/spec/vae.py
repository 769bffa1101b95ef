"""The record of the autoencoders of Stable Diffusion and Flux."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from refimpl.models.autoencoder import Autoencoder, autoencoder
from refimpl.models.diffusers_names import ENTERING, MODULES
from refimpl.models.ldm_names import CODER_LAYOUTS
from refimpl.models.mistakes_maps import VAE_MISTAKES
from refimpl.models.model import Choice, Model


def inputs(config: Autoencoder, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Two small images, wider than tall, and the noise of their latents."""
    rows, cols = 2, 3
    images = rng.uniform(-1, 1, (2, config.channels, rows * config.step, cols * config.step))
    noise = rng.normal(size=(2, config.latent, rows, cols))
    return {"images": images.astype(np.float32), "noise": noise.astype(np.float32)}


SD = Autoencoder((128, 256, 512, 512), 2, 4)
FLUX = replace(SD, latent=16, scale=0.3611, shift=0.1159, quant=False)
TESTING = Autoencoder((8, 16), 1, 4, groups=4)
MODEL = Model(
    name="vae",
    text=autoencoder,
    config=Autoencoder,
    inputs=inputs,
    sizes={
        "vae-testing": TESTING,
        "vae-16-testing": replace(TESTING, latent=6, scale=0.3611, shift=0.1159, quant=False),
        "sd-vae": SD,
        "sdxl-vae": replace(SD, scale=0.13025),
        "sd3-vae": replace(FLUX, scale=1.5305, shift=0.0609),
        "flux-vae": FLUX,
    },
    choices=(Choice("eps", (1e-6, 1e-5), "an epsilon of "),),
    mistakes=VAE_MISTAKES,
    layouts=CODER_LAYOUTS,
    modules=MODULES,
    entering=ENTERING,
    sign="post_quant_conv.weight",
    says="AutoencoderKL",
)
