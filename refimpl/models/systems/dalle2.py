"""DALL·E 2, small: a prior turns the vector of a text into one of an image, a decoder paints it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

import refimpl
from refimpl import fast
from refimpl.models import compiled, recorder, sampling
from refimpl.models.denoiser import denoise, image_condition
from refimpl.models.generate import SHAPE, standard_normal
from refimpl.models.prior import prior as predict_vectors
from refimpl.models.shipped import BETAS, TIMES, small_clip, small_unclip
from refimpl.models.systems import Asked, System

PRIOR_STEPS, PRIOR_SCALE = 20, 1.5  # of the prior's walk
LEVEL = 20  # time of the noise that the prior's vector is given before the decoder sees it


def stretched(vectors: np.ndarray) -> np.ndarray:
    """Vectors whose squares have mean 1, B E, as prior and decoder know them."""
    return fast.l2_normalize(vectors) * np.float32(math.sqrt(vectors.shape[1]))


def noises(seed: int, count: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where the decoder and the prior begin, and the noise between them, for each sample."""
    size = math.prod(SHAPE)
    each = np.stack([standard_normal(seed, i, size + 2 * width) for i in range(count)])
    pictures = each[:, :size].reshape(count, *SHAPE)
    return pictures, each[:, size : size + width], each[:, size + width :]


@dataclass(frozen=True)
class Drawn:
    """The vector of a text, 1 E, and those that the prior made of it, B E."""

    text: np.ndarray
    vectors: np.ndarray


def prior(
    text: str, start: np.ndarray, steps: int = PRIOR_STEPS, scale: float = PRIOR_SCALE
) -> Drawn:
    """What the prior takes for the vectors of images of a text, from noise, B E."""
    (config, params, null_text), _ = small_unclip()
    words, keep, vector = small_clip().words_of([text], fast)
    only_first = keep * (np.arange(keep.shape[1]) == 0)  # 1 N
    shares = refimpl.alpha_bar(BETAS)

    def predicts(keep, vector):
        def eps(x_t, t):
            B, low = len(x_t), x_t.astype(np.float32)
            time = t.astype(np.float32)
            read, seen, said = (np.repeat(x, B, axis=0) for x in (words, keep, vector))
            kept: dict[str, np.ndarray] = {}  # standardised vectors, before they are brought back
            predict_vectors(low, time, said, read, seen, params, config, fast, recorder(kept))
            return fast.eps_from_x0(x_t, t, kept["predicted"].astype(x_t.dtype), shares)

        return eps

    said = stretched(vector)
    guided = sampling.guided_without_classifier(
        predicts(only_first, null_text[None]), predicts(keep, said), scale, fast
    )
    *_, last = walk_down(guided, start, steps)
    return Drawn(said, last.x * params["clip_std"] + params["clip_mean"])


def drawn(text: str, seed: int, count: int) -> Drawn:
    """The vectors of the samples of a seed."""
    (config, *_), _ = small_unclip()
    return prior(text, noises(seed, count, config.clip)[1])


def paint(vectors: np.ndarray, noise: np.ndarray, start: np.ndarray, steps: int, scale: float):
    """Pictures with these vectors, B E; every step of the decoder's walk is yielded."""
    _, (config, params) = small_unclip()
    shares, level = refimpl.alpha_bar(BETAS), np.full(len(vectors), LEVEL)
    said = image_condition(vectors, level, noise, params, shares, fast).astype(np.float32)

    def predicts(condition):
        def eps(x_t, t):
            low, time = x_t.astype(np.float32), t.astype(np.float32)
            x_start = denoise(low, time, condition, params, config, compiled)
            return fast.eps_from_x0(x_t, t, np.clip(x_start, -1, 1).astype(x_t.dtype), shares)

        return eps

    nothing = np.broadcast_to(params["null_image"], said.shape)
    guided = sampling.guided_without_classifier(predicts(nothing), predicts(said), scale, fast)
    return walk_down(guided, start, steps)


def walk_down(
    denoiser: sampling.Denoiser, start: np.ndarray, steps: int
) -> Iterator[sampling.Step]:
    """The deterministic walk by evenly spaced times, from noise; every step."""
    timesteps = refimpl.respaced_timesteps(TIMES, np.array([steps])).astype(np.int64)
    unused = np.broadcast_to(0.0, (steps, *start.shape))
    return sampling.ddim(denoiser, start, unused, BETAS, timesteps, 0.0, fast)


def walk(
    text: str, guidance: str, scale: float, steps: int, sampler: str, seed: int, count: int
) -> Iterator[sampling.Step]:
    """The decoder's steps, behind those of the prior."""
    (config, *_), _ = small_unclip()
    pictures, start, noise = noises(seed, count, config.clip)
    return paint(prior(text, start).vectors, noise, pictures, steps, scale)


def explain(what: Asked, pictures: np.ndarray, words: str) -> str:
    """A page with the vectors of the text and of the pictures, B height width, among others."""
    from refimpl.models.plane import page

    return page(what.text, drawn(what.text, what.seed, what.count), pictures, words)


SYSTEM = System(walk, {"cfg": 2.0}, ("ddim",), steps=50, most=TIMES, explain=explain)
