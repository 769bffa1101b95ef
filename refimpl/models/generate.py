"""Guided sampling with the shipped models: a text in, pictures out, every step visible."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence

import numpy as np

import refimpl
from refimpl import fast
from refimpl.models import compiled, recorder, sampling
from refimpl.models.clip import clip_image
from refimpl.models.denoiser import denoise, label_condition, text_condition
from refimpl.models.gradients import clip_image_vjp
from refimpl.models.philox import uniforms
from refimpl.models.shipped import BETAS, DIGITS, TIMES, small_clip, small_denoiser
from refimpl.op import DomainError

SHAPE = (1, 28, 28)
SCALES = {"clip": 6.0, "classifier": 20.0, "cfg": 2.0, "none": 0.0}  # where none is said
SAMPLERS = ("ddim", "ddpm")
MOST = 1000  # samples at once


def standard_normal(seed: int, sample: int, size: int) -> np.ndarray:
    r"""Standard normal numbers that are the same on every machine, a stream for each sample.

    $$z_{2i} = \sqrt{-2 \ln u_{2i}}\, \cos 2 \pi u_{2i+1}, \qquad
    z_{2i+1} = \sqrt{-2 \ln u_{2i}}\, \sin 2 \pi u_{2i+1}$$

    seed: from 0, below 2^64; sample: zero-based. u are `philox.uniforms(seed, sample, size)`.

    Paper: Box, Muller 1958, "A Note on the Generation of Random Normal Deviates".

    >>> standard_normal(0, 0, 3).round(4)
    array([ 0.1585,  2.9829, -1.9257])
    """
    u = uniforms(seed, sample, size + size % 2)
    radius, angle = np.sqrt(-2 * np.log(u[::2])), 2 * np.pi * u[1::2]
    return np.stack((radius * np.cos(angle), radius * np.sin(angle)), axis=-1).ravel()[:size]


def noise(seed: int, count: int, steps: int, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """The start and a layer for each step, 1+steps count channels height width."""
    size = (steps + 1) * math.prod(shape)
    each = [standard_normal(seed, i, size).reshape(steps + 1, *shape) for i in range(count)]
    return np.stack(each, axis=1)


def generate(
    text: str,
    guidance: str,
    scale: float,
    steps: int = 50,
    sampler: str = "ddim",
    seed: int = 0,
    count: int = 16,
) -> Iterator[sampling.Step]:
    """Sample pictures of a text; every step of the walk is yielded, the last one at t = -1.

    text: in words that the small models know.
    guidance: `clip`, the gradient of the similarity of image and text; `classifier`, that of the
        log probability of the digit in the text among all ten; `cfg`, classifier-free, by the
        features of the text; `none`.
    scale: what the gradient is multiplied by, or classifier-free guidance's s; not negative.
    steps: how many times are visited, from 2 to 1000.
    sampler: `ddim`, deterministic, or `ddpm`, with the smaller of the two variances.
    seed: from 0, below 2^64; a sample does not depend on how many others there are.
    count: number of pictures, from 1 to 1000.

    Raises DomainError for a choice or number outside these, TextError for an unknown word.
    """
    _check(guidance, scale, steps, sampler, seed, count)
    small_clip().rows([text])  # also where the text is not used
    timesteps = refimpl.respaced_timesteps(TIMES, np.array([steps])).astype(np.int64)
    denoiser, steer = without_condition(), None
    if guidance == "cfg":
        denoiser = sampling.guided_without_classifier(denoiser, told(text), scale, fast)
    elif guidance != "none":
        gradient = GRADIENTS[guidance](text)
        if sampler == "ddim":
            denoiser = sampling.guided_by_classifier(denoiser, gradient, BETAS, scale, fast)
        else:
            steer = sampling.steered(gradient, scale, fast)
    if sampler == "ddim":
        start = noise(seed, count, 0)[0]
        unused = np.broadcast_to(0.0, (steps, *start.shape))
        return sampling.ddim(denoiser, start, unused, BETAS, timesteps, 0.0, fast)
    layers, table = noise(seed, count, steps), fast.fixed_small_log_variance
    return sampling.ddpm(
        denoiser, layers[0], layers[1:], BETAS, timesteps, table, math.inf, steer, fast
    )


def _check(guidance: str, scale: float, steps: int, sampler: str, seed: int, count: int) -> None:
    wrong = ""
    if guidance not in SCALES:
        wrong = f"guidance is {guidance!r}, expected one of {', '.join(SCALES)}"
    elif sampler not in SAMPLERS:
        wrong = f"sampler is {sampler!r}, expected one of {', '.join(SAMPLERS)}"
    elif not 0 <= scale < math.inf:
        wrong = f"scale is {scale}, expected a finite number, at least 0"
    elif not 2 <= steps <= TIMES:
        wrong = f"steps is {steps}, expected 2 to {TIMES}"
    elif not 0 <= seed < 2**64:
        wrong = f"seed is {seed}, expected 0 to 2^64 - 1"
    elif not 1 <= count <= MOST:
        wrong = f"count is {count}, expected 1 to {MOST}"
    if wrong:
        raise DomainError(f"sample: {wrong}")


def predicts(condition: Callable[[int], np.ndarray]) -> sampling.Denoiser:
    """The denoiser under a condition that is made for B samples, its clean images clipped."""
    config, params = small_denoiser()
    shares = refimpl.alpha_bar(BETAS)

    def eps(x_t, t):
        low, time = x_t.astype(np.float32), t.astype(np.float32)
        x_start = denoise(low, time, condition(len(x_t)), params, config, compiled)
        return fast.eps_from_x0(x_t, t, np.clip(x_start, -1, 1), shares)

    return eps


def without_condition() -> sampling.Denoiser:
    """The denoiser without a condition."""
    config, params = small_denoiser()
    return predicts(lambda B: label_condition(np.full(B, config.labels), params))


def told(text: str) -> sampling.Denoiser:
    """The denoiser with a text as condition."""
    _, params = small_denoiser()
    said = text_condition(small_clip().text_features([text], fast), params, fast)  # 1 D
    return predicts(lambda B: np.broadcast_to(said, (B, said.shape[1])))


def gradient_of(
    texts: Sequence[str], pull: Callable[[np.ndarray], np.ndarray]
) -> sampling.Gradient:
    """Gradient by x_t of a function of the logits, B K, of noisy images and K texts.

    pull: the function's gradient by the logits. The rest of the chain is written by hand too.
    """
    model = small_clip("noised_clip")
    params, config = model.params, model.config
    text_features, log_scale = model.text_features(texts, fast), params["logit_scale"]

    def gradient(x_t, t):
        images, ops = x_t.astype(np.float32), compiled.Remembering()
        kept: dict[str, np.ndarray] = {}
        features = clip_image(images, params, config, ops, recorder(kept))  # B embed
        logits = fast.clip_logits(features, text_features, log_scale)  # B K
        grads = fast.clip_logits_vjp(features, text_features, log_scale, pull(logits))
        image_grad = clip_image_vjp(images, params, config, grads[0], ops, kept=kept)
        return image_grad.astype(x_t.dtype)

    return gradient


def towards(text: str) -> sampling.Gradient:
    r"""The gradient of the logit of noisy images and a text, $\nabla_{x_t} e^s \cos(I(x_t), T)$."""
    return gradient_of([text], np.ones_like)


def towards_digit(text: str) -> sampling.Gradient:
    """The gradient of the log probability of the digit in a text, among prompts for all ten.

    Raises DomainError for a text without a digit, or with two.
    """
    said = {DIGITS.index(word) for word in re.findall("|".join(DIGITS), text.lower())}
    said |= {int(sign) for sign in re.findall("[0-9]", text)}
    if len(said) != 1:
        raise DomainError(f"sample: classifier guidance needs one digit in the text, not {text!r}")
    asked = np.eye(len(DIGITS), dtype=np.float32)[said.pop()]
    prompts = [f"a handwritten {name}" for name in DIGITS]
    return gradient_of(prompts, lambda logits: asked - fast.softmax(logits))


GRADIENTS = {"clip": towards, "classifier": towards_digit}
