"""VQGAN+CLIP, small: codes of a picture are changed until CLIP finds that the picture is its text.

The gradient of CLIP comes back through cutouts, the decoder and the nearest codes, all of it by
hand. CLIP is the small one for noisy images, and the cutouts get noise, as those of the paper do.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np

import refimpl
from refimpl import fast
from refimpl.models import compiled, recorder, weights
from refimpl.models.autoencoder import decode
from refimpl.models.clip import clip_image
from refimpl.models.coder_gradients import convolve_vjp, decode_vjp
from refimpl.models.feature_maps import convolve
from refimpl.models.generate import standard_normal
from refimpl.models.gradients import clip_image_vjp
from refimpl.models.philox import uniforms
from refimpl.models.sampling import Step
from refimpl.models.shipped import BETAS, folder, small_clip
from refimpl.models.systems import System
from refimpl.models.systems.stable_diffusion import FRAME
from refimpl.models.vqgan import Vqgan, quantized

SIDE = 4  # of the map of codes
CUTS, SIZES = 6, (26, 32)  # how many, and their sides in pixels
NOISE = (0, 300)  # times of the diffusion whose noise cutouts get
CODES = Vqgan((16, 32, 64, 64), 1, latent=8, channels=1, groups=8, codes=64, code=8)
MOMENTS, GUARD = (0.9, 0.999), 1e-8  # of Adam


@functools.cache
def small_codes() -> dict[str, np.ndarray]:
    """The arrays of the autoencoder by codes."""
    params = weights.load(folder() / "codes.safetensors")
    weights.check(params, CODES)
    return params


class Adam:
    r"""Steps against a gradient, each number by its own scale.

    $$m' = \beta_1 m + (1 - \beta_1)\, g, \quad v' = \beta_2 v + (1 - \beta_2)\, g^2, \quad
    x' = x - \eta\, \frac{m' / (1 - \beta_1^k)}{\sqrt{v' / (1 - \beta_2^k)} + \epsilon}$$

    Paper: Kingma, Ba 2015, "Adam: a method for stochastic optimization", algorithm 1.
    """

    def __init__(self, rate: float) -> None:
        self.rate, self.steps = rate, 0
        self.mean: Any = 0.0
        self.square: Any = 0.0

    def step(self, x: np.ndarray, grad: np.ndarray) -> np.ndarray:
        """Where to go on from."""
        (first, second), self.steps = MOMENTS, self.steps + 1
        self.mean = first * self.mean + (1 - first) * grad
        self.square = second * self.square + (1 - second) * grad**2
        mean = self.mean / (1 - first**self.steps)
        return x - self.rate * mean / (np.sqrt(self.square / (1 - second**self.steps)) + GUARD)


class Cuts:
    """Squares of framed pictures as CLIP sees them, with noise, and the way back."""

    def __init__(self, seed: int, step: int, count: int) -> None:
        u = uniforms(seed, 1000 + step, 4 * CUTS).reshape(4, CUTS)
        low, high = SIZES
        size = np.floor(low + (high + 1 - low) * u[0]).astype(np.int64)
        room = high + 1 - size
        self.where = {
            "top": np.floor(room * u[1]).astype(np.int64),
            "left": np.floor(room * u[2]).astype(np.int64),
            "size": size,
            "side": 28,
        }
        times = np.floor(NOISE[0] + (NOISE[1] - NOISE[0]) * u[3]).astype(np.int64)
        self.times = np.repeat(times, count)  # cuts*B, as the cutouts stand
        each = [
            standard_normal(seed, 10_000 * (i + 1) + step, CUTS * 28 * 28) for i in range(count)
        ]
        noise = np.stack([z.reshape(CUTS, 1, 28, 28) for z in each], axis=1)
        self.noise = noise.reshape(CUTS * count, 1, 28, 28)
        self.shares = refimpl.alpha_bar(BETAS)

    def seen(self, framed: np.ndarray) -> np.ndarray:
        """Cutouts with noise, cuts*B 1 28 28."""
        clean = fast.cutouts(framed, **self.where)
        return fast.q_sample(clean, self.times, self.noise, self.shares).astype(np.float32)

    def back(self, framed: np.ndarray, grad: np.ndarray) -> np.ndarray:
        """The gradient of the framed pictures."""
        kept = np.sqrt(self.shares[self.times])[:, None, None, None]
        return fast.cutouts_vjp(framed, **self.where, grad=(kept * grad).astype(np.float32))


def distance_vjp(seen: np.ndarray, text: np.ndarray) -> np.ndarray:
    """The gradient of the mean spherical distance of all cutouts of a picture to a text."""
    model, ops = small_clip("noised_clip"), compiled.Remembering()
    kept: dict[str, np.ndarray] = {}
    features = clip_image(seen, model.params, model.config, ops, recorder(kept))  # cuts*B embed
    share = np.full((len(seen), len(text)), 1 / CUTS, np.float32)
    grad = fast.spherical_distance_vjp(features, text, share)[0]
    return clip_image_vjp(seen, model.params, model.config, grad, ops, kept=kept)


def drawn(z: np.ndarray, kept: dict[str, np.ndarray]) -> np.ndarray:
    """Framed pictures of latents, through their nearest codes: B D rows cols -> B 1 32 32."""
    params = small_codes()
    codes = quantized(z, params["quantize.embedding.weight"], fast)
    kept["z"] = convolve(codes, params, "post_quant_conv", fast)
    return decode(kept["z"], params, CODES, fast, recorder(kept))


def drawn_vjp(grad: np.ndarray, kept: dict[str, np.ndarray]) -> np.ndarray:
    """Back to the latents; the nearest codes hand the gradient straight through."""
    params = small_codes()
    grad = decode_vjp(kept["z"], params, CODES, grad, fast, kept=kept)
    return convolve_vjp(params, "post_quant_conv", grad, fast)


def start(seed: int, count: int) -> np.ndarray:
    """Random codes of the book, B D rows cols."""
    book = small_codes()["quantize.embedding.weight"]
    u = np.stack([uniforms(seed, i, SIDE * SIDE) for i in range(count)])  # B rows*cols
    codes = book[np.floor(len(book) * u).astype(np.int64)]  # B rows*cols D
    return np.swapaxes(codes, 1, 2).reshape(count, -1, SIDE, SIDE).astype(np.float32)


def walk(
    text: str, guidance: str, scale: float, steps: int, sampler: str, seed: int, count: int
) -> Iterator[Step]:
    """Codes changed step by step; `t` counts the steps that remain, -1 when none does.

    scale: the rate of Adam.

    Paper: Crowson et al. 2022, "VQGAN-CLIP: Open domain image generation and editing with natural
    language guidance", section 3.
    """
    said = small_clip("noised_clip").text_features([text], fast)  # 1 embed
    book = small_codes()["quantize.embedding.weight"]
    low, high = (ends(book, axis=0)[:, None, None] for ends in (np.min, np.max))  # D 1 1
    z, adam = start(seed, count), Adam(scale)
    for step in range(steps):
        kept: dict[str, np.ndarray] = {}
        framed = drawn(z, kept)
        limited, cuts = np.clip(framed, -1, 1), Cuts(seed, step, count)
        grad = cuts.back(limited, distance_vjp(cuts.seen(limited), said))
        z = adam.step(z, drawn_vjp(fast.inward_gradient(framed, grad, -1.0, 1.0), kept))
        z = np.clip(z, low, high).astype(np.float32)
        seen = drawn(z, {}) if step == steps - 1 else limited
        seen = np.clip(seen, -1, 1)[:, :, FRAME:-FRAME, FRAME:-FRAME]
        yield Step(steps - step - 2, seen, seen)


SYSTEM = System(walk, {"clip": 0.1}, ("adam",), steps=60, most=1000)
