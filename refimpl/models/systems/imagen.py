"""Imagen, small: a U-Net that reads words paints 14 by 14 pixels, another one makes 28 of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

import refimpl
from refimpl import fast
from refimpl.models import sampling
from refimpl.models.generate import SHAPE, standard_normal
from refimpl.models.sd_unet import sd_unet
from refimpl.models.shipped import BETAS, TIMES, small_clip, small_imagen
from refimpl.models.systems import System
from refimpl.models.systems.dalle2 import stretched, walk_down

SMALL, LARGE = (1, 14, 14), SHAPE
QUANTILE = 0.95  # of the dynamic threshold
LEVEL = 100  # time of the noise that the small picture is given before it is enlarged
THRESHOLDS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "cfg": lambda x: fast.dynamic_threshold(x, QUANTILE),
    "cfg-static": lambda x: np.clip(x, -1, 1),
}


def noises(seed: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where the two walks begin, and the noise between them, for each sample."""
    small, large = math.prod(SMALL), math.prod(LARGE)
    each = np.stack([standard_normal(seed, i, small + 2 * large) for i in range(count)])
    first, second, between = np.split(each, [small, small + large], axis=1)
    return (
        first.reshape(count, *SMALL),
        second.reshape(count, *LARGE),
        between.reshape(count, *LARGE),
    )


def base(
    text: str, scale: float, steps: int, start: np.ndarray, threshold: str
) -> Iterator[sampling.Step]:
    """Small pictures of a text, from noise; every step."""
    (config, params, null), _ = small_imagen()
    words, _, _ = small_clip().words_of([text], fast)

    def told(words):
        def velocity(x_t, t):
            many = np.repeat(words, len(x_t), axis=0)
            return sd_unet(x_t, t, many, params, config, fast)

        return by_velocity(velocity)

    guided = sampling.guided_without_classifier(told(null[None]), told(words), scale, fast)
    held = sampling.with_clean_sample(guided, THRESHOLDS[threshold], BETAS, fast)
    return walk_down(held, start, steps)


def enlarged(small: np.ndarray) -> np.ndarray:
    """Every pixel four times: B 1 14 14 -> B 1 28 28."""
    return fast.resize_nearest(small, *LARGE[1:])


def upscale(
    text: str, small: np.ndarray, steps: int, start: np.ndarray, noise: np.ndarray
) -> Iterator[sampling.Step]:
    """Large pictures from small ones that are noised first, so that their faults are forgiven."""
    _, (config, params, _) = small_imagen()
    words, _, vector = small_clip().words_of([text], fast)
    shares, level = refimpl.alpha_bar(BETAS), np.full(len(small), LEVEL)
    low = fast.q_sample(enlarged(small), level, noise, shares).astype(np.float32)
    many, said = (np.repeat(x, len(small), axis=0) for x in (words, stretched(vector)))
    told = said, level[:, None].astype(np.float32)

    def velocity(x_t, t):
        both = np.concatenate((x_t, low), axis=1)  # B 2 28 28
        return sd_unet(both, t, many, params, config, fast, pooled=told[0], sizes=told[1])

    held = sampling.with_clean_sample(by_velocity(velocity), THRESHOLDS["cfg-static"], BETAS, fast)
    return walk_down(held, start, steps)


def by_velocity(velocity: sampling.Denoiser) -> sampling.Denoiser:
    """The noise that follows from the velocity that a network predicts in float32."""
    shares = refimpl.alpha_bar(BETAS)

    def eps(x_t, t):
        v = velocity(x_t.astype(np.float32), t.astype(np.float32))
        return fast.eps_from_v(x_t, t, v.astype(x_t.dtype), shares)

    return eps


def walk(
    text: str, guidance: str, scale: float, steps: int, sampler: str, seed: int, count: int
) -> Iterator[sampling.Step]:
    """Two thirds of the steps paint small pictures, shown enlarged, the others the large ones."""
    first, second, between = noises(seed, count)
    later = max(2, steps // 3)
    small = first
    for step in base(text, scale, max(2, steps - later), first, guidance):
        yield step._replace(x=enlarged(step.x), x_start=enlarged(step.x_start))
        small = np.clip(step.x, -1, 1)
    yield from upscale(text, small, later, second, between)


SYSTEM = System(walk, {"cfg": 3.0, "cfg-static": 3.0}, ("ddim",), steps=45, most=TIMES)
