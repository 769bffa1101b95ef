"""Stable Diffusion, small: noise in latents becomes a picture, while words are read.

The autoencoder and the U-Net are shipped, and so is the text tower, that of the small CLIP. How
they were trained is told in golden/weights/README.md.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np

import refimpl
from refimpl import fast
from refimpl.models import recorder, weights
from refimpl.models.autoencoder import Autoencoder, decode
from refimpl.models.clip import clip_text
from refimpl.models.configured import walk as follow
from refimpl.models.feature_maps import convolve
from refimpl.models.generate import noise
from refimpl.models.sampling import Step
from refimpl.models.schedules import Schedule
from refimpl.models.sd_unet import SdUnet, sd_unet
from refimpl.models.shipped import folder, small_clip
from refimpl.models.solvers import SOLVERS, Eps
from refimpl.models.systems import Asked, System

TIMES = 1000
BETAS = refimpl.scaled_linear_schedule(TIMES, 0.00085, 0.012)  # T
LATENT = (4, 8, 8)
FRAME = 2  # black pixels around a digit, so that sides can be halved often
UNET = SdUnet((32, 64), 1, groups=8, heads=(2, 4), depths=(1, 1), words=128)


@functools.cache
def small_vae() -> tuple[Autoencoder, dict[str, np.ndarray]]:
    """The autoencoder: its configuration and its arrays."""
    params = weights.load(folder() / "vae.safetensors")
    scale = float(params.pop("latent_scale")[0])
    config = Autoencoder((16, 32, 64), 1, latent=4, channels=1, groups=8, scale=scale)
    weights.check(params, config)
    return config, params


@functools.cache
def small_unet() -> dict[str, np.ndarray]:
    """The arrays of the U-Net."""
    params = weights.load(folder() / "unet.safetensors")
    weights.check(params, UNET)
    return params


def words(texts: list[str]) -> np.ndarray:
    """What the text tower says of every token of each text, B N D."""
    clip, kept = small_clip(), dict[str, np.ndarray]()
    clip_text(clip.rows(texts), clip.params, clip.config, fast, recorder(kept))
    return kept["ln_final"].astype(np.float32)


def guided(text: str, scale: float) -> Eps:
    """The noise in latents: away from what the empty text gets, towards what the text gets."""
    params, said = small_unet(), words(["", text])  # 2 N D

    def eps(x: np.ndarray, t: float) -> np.ndarray:
        both = np.concatenate((x, x)).astype(np.float32)  # 2*B C rows cols
        read = np.repeat(said, len(x), axis=0)  # 2*B N D
        times = np.full(len(both), t, np.float32)
        found = sd_unet(both, times, read, params, UNET, fast)
        without, with_text = found.astype(np.float64).reshape(2, *x.shape)
        return fast.classifier_free_guidance(without, with_text, scale)

    return eps


def pictures(latents: np.ndarray) -> np.ndarray:
    """Scaled latents decoded, the frame cut off: B 4 8 8 -> B 1 28 28."""
    config, params = small_vae()
    z = fast.unscale_latents(latents.astype(np.float32), config.shift, config.scale)
    z = convolve(z, params, "post_quant_conv", fast)
    framed = decode(z, params, config, fast)  # B 1 32 32
    return framed[:, :, FRAME:-FRAME, FRAME:-FRAME]


def walk(
    text: str, guidance: str, scale: float, steps: int, sampler: str, seed: int, count: int
) -> Iterator[Step]:
    """Latents from noise to clean ones; what they are to become is decoded at every step.

    Paper: Rombach et al. 2022, "High-resolution image synthesis with latent diffusion models",
    section 3.3.
    """
    eps, start = guided(text, scale), noise(seed, count, 0, LATENT)[0]
    for step in SOLVERS[sampler](eps, start, BETAS, steps, fast):
        seen = pictures(step.x_start)
        yield Step(step.t, seen, seen)


def configured(asked: Asked, schedule: Schedule) -> Iterator[Step]:
    """The same as a configuration file of the sampler says; its last latents are decoded."""
    eps = guided(asked.text, asked.scale)
    start, *fresh = noise(asked.seed, asked.count, asked.steps, LATENT)
    for step in follow(schedule, eps, start, np.stack(fresh), BETAS, asked.steps):
        seen = pictures(step.x_start)
        yield Step(step.t, seen if step.t >= 0 else pictures(step.x), seen)


SYSTEM = System(walk, {"cfg": 3.0}, tuple(SOLVERS), steps=25, most=TIMES, configured=configured)
