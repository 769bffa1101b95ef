"""Samplers: from noise to a clean sample, one visible step at a time.

A sampler is a generator; it yields every sample it passes through and draws no random numbers.
What varies is passed as a function:

    denoiser(x_t, t) -> eps                     the noise that a network predicts
    gradient(x_t, t) -> array like x_t          of log p(y | x_t), in nats per unit of x_t
    steer(mean, variance, x_t, t) -> mean       guidance of the mean, in `ddpm`
    change(x_start) -> x_start                  a clip, or another threshold, of the clean sample

Their times t are B zero-based indices into the whole chain, also where the sampler visits only some
of them. Guidance in the score and classifier-free guidance turn one denoiser into another, so they
compose with each other and serve both samplers.

`ops` is where the operations come from: `refimpl` checks every argument, `refimpl.fast` compiles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

import refimpl
from refimpl.axes import AxesError

Denoiser = Callable[[np.ndarray, np.ndarray], np.ndarray]
Gradient = Callable[[np.ndarray, np.ndarray], np.ndarray]
Steer = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]
Change = Callable[[np.ndarray], np.ndarray]


class Step(NamedTuple):
    """Where a sampler stands after one step."""

    t: int  # the time of x, -1 for a clean sample
    x: np.ndarray  # B ..., the samples at time t
    x_start: np.ndarray  # B ..., the clean samples predicted on the way here


def ddpm(
    denoiser: Denoiser,
    x: np.ndarray,
    noise: np.ndarray,
    betas: np.ndarray,
    timesteps: np.ndarray,
    log_variance: Callable[[np.ndarray], np.ndarray],
    clip: float,
    steer: Steer | None = None,
    ops: Any = refimpl,
) -> Iterator[Step]:
    r"""The sampler of DDPM: the reverse chain with random steps.

    $$x_{k-1} = \tilde\mu_k(\hat x_0, x_k) + [k > 0]\,e^{\frac12 \log \Sigma_k}\,z, \quad
    \hat x_0 = \min(\max(x_0(x_k, \epsilon), -c), c)$$

    Implements algorithm 2 of Ho, Jain, Abbeel 2020, on the chain shortened to the kept times; with
    `steer=steered(...)`, algorithm 1 of Dhariwal, Nichol 2021.

    denoiser: predicts the noise in a batch, given times in the whole chain.
    x: B ..., standard normal numbers, the samples at the last kept time.
    noise: K B ..., standard normal numbers, a layer for each step in the order of the walk; the
        last layer is not used.
    betas: T, variances in (0, 1] of the whole chain, indexed by the zero-based time.
    timesteps: K, the kept times, zero-based and increasing, at least 2; `np.arange(T)` for all.
    log_variance: makes the table of log variances from the K variances of the shortened chain:
        `ops.fixed_small_log_variance` or `ops.fixed_large_log_variance`.
    clip: c, a positive limit for the predicted clean sample; 1 for pixels, inf for none.
    steer: moves the mean of each step, the last one included; None leaves it.
    ops: where the operations come from.

    Yields K steps, from the second last kept time down to the clean samples at -1.

    Raises AxesError for times that do not increase or noise that is not a layer a step, and what
    the operations raise.

    >>> predicts_nothing = lambda x_t, t: np.zeros_like(x_t)
    >>> for step in ddpm(predicts_nothing, np.ones((1, 1)), np.zeros((2, 1, 1)), np.full(2, 0.75),
    ...                  np.arange(2), refimpl.fixed_small_log_variance, np.inf):
    ...     print(step.t, step.x.round(3), step.x_start.round(3))
    0 [[2.]] [[4.]]
    -1 [[4.]] [[4.]]
    """
    x = np.asarray(x)
    _check("ddpm", noise, x, timesteps)
    kept_betas = ops.respaced_betas(betas, timesteps)  # K
    kept_share = ops.alpha_bar(kept_betas)  # K
    table = log_variance(kept_betas)  # K
    for z, (k, t, t_prev) in zip(noise, _walk(timesteps), strict=True):
        at_k, at_t = _times(k, x), _times(t, x)  # B
        eps = denoiser(x, at_t)
        x_start = np.minimum(np.maximum(ops.x0_from_eps(x, at_k, eps, kept_share), -clip), clip)
        moved = ops.p_sample(x, at_k, eps, z, kept_betas, table[k : k + 1], clip)
        if steer is not None:  # moving the mean moves the sample, whatever its noise
            moved = steer(moved, np.broadcast_to(np.exp(table[k]), x.shape), x, at_t)
        x = moved
        yield Step(t_prev, x, x_start)


def ddim(
    denoiser: Denoiser,
    x: np.ndarray,
    noise: np.ndarray,
    betas: np.ndarray,
    timesteps: np.ndarray,
    eta: float,
    ops: Any = refimpl,
) -> Iterator[Step]:
    r"""The sampler of DDIM over kept times, deterministic if eta is 0.

    $$x_p = \sqrt{\bar\alpha_p}\,\hat x_0 + \sqrt{1 - \bar\alpha_p - \sigma^2}\,\epsilon
    + \sigma z, \quad p = \tau_{k-1},\ \tau_{-1} = -1$$

    Implements equation 12 of Song, Meng, Ermon 2021; with a denoiser that is
    `guided_by_classifier(...)`, algorithm 2 of Dhariwal, Nichol 2021. A clip of the clean sample
    is a denoiser too: `with_clean_sample`.

    denoiser: predicts the noise in a batch, given times in the whole chain.
    x: B ..., standard normal numbers, the samples at the last kept time.
    noise: K B ..., standard normal numbers, a layer for each step in the order of the walk; unused
        where eta is 0, and in the last step.
    betas: T, variances in (0, 1] of the whole chain, indexed by the zero-based time.
    timesteps: K, the kept times, zero-based and increasing; `np.arange(T)` for all.
    eta: in [0, 1]; 0 is deterministic, 1 has the variance of the reverse chain.
    ops: where the operations come from.

    Yields K steps, from the second last kept time down to the clean samples at -1.

    Raises AxesError for times that do not increase or noise that is not a layer a step, and what
    the operations raise.

    >>> predicts_nothing = lambda x_t, t: np.zeros_like(x_t)
    >>> for step in ddim(predicts_nothing, np.ones((1, 1)), np.zeros((2, 1, 1)), np.full(2, 0.75),
    ...                  np.arange(2), 0.0):
    ...     print(step.t, step.x.round(3), step.x_start.round(3))
    0 [[2.]] [[4.]]
    -1 [[4.]] [[4.]]
    """
    x = np.asarray(x)
    _check("ddim", noise, x, timesteps)
    share = ops.alpha_bar(betas)  # T
    for z, (_, t, t_prev) in zip(noise, _walk(timesteps), strict=True):
        at_t, at_prev = _times(t, x), _times(t_prev, x)  # B
        eps = denoiser(x, at_t)
        x_start = ops.x0_from_eps(x, at_t, eps, share)
        x = ops.ddim_step(x, at_t, at_prev, eps, z, share, eta)
        yield Step(t_prev, x, x_start)


def steered(gradient: Gradient, scale: float, ops: Any = refimpl) -> Steer:
    r"""Classifier guidance in the form of the mean, for `ddpm`.

    $$\hat\mu = \mu + s\,\Sigma\,\nabla_{x_t} \log p(y \mid x_t)$$

    Implements the step of algorithm 1 of Dhariwal, Nichol 2021. The gradient is asked at x_t and
    at the time of x_t, as in their code.

    >>> towards_right = steered(lambda x_t, t: np.ones_like(x_t), 2.0)
    >>> towards_right(np.zeros((1, 1)), np.full((1, 1), 0.25), np.zeros((1, 1)), np.array([0]))
    array([[0.5]])
    """

    def steer(mean, variance, x_t, t):
        return ops.classifier_guidance(mean, variance, gradient(x_t, t), scale)

    return steer


def guided_by_classifier(
    denoiser: Denoiser, gradient: Gradient, betas: np.ndarray, scale: float, ops: Any = refimpl
) -> Denoiser:
    r"""Classifier guidance in the form of the score, a denoiser made from a denoiser.

    $$\hat\epsilon = \epsilon - \sqrt{1 - \bar\alpha_t}\; s\,\nabla_{x_t} \log p(y \mid x_t)$$

    Implements the step of algorithm 2 of Dhariwal, Nichol 2021. `betas` are those of the whole
    chain.

    >>> predicts_nothing = lambda x_t, t: np.zeros_like(x_t)
    >>> rising = lambda x_t, t: np.ones_like(x_t)
    >>> guided = guided_by_classifier(predicts_nothing, rising, np.array([0.25]), 2.0)
    >>> guided(np.zeros((1, 1)), np.array([0]))
    array([[-1.]])
    """
    share = ops.alpha_bar(betas)  # T

    def guided(x_t, t):
        return ops.classifier_guidance_score(denoiser(x_t, t), gradient(x_t, t), t, share, scale)

    return guided


def guided_without_classifier(
    unconditional: Denoiser, conditional: Denoiser, scale: float, ops: Any = refimpl
) -> Denoiser:
    r"""Classifier-free guidance, a denoiser made from two.

    $$\hat\epsilon = \epsilon_u + s\,(\epsilon_c - \epsilon_u)$$

    Implements the step of algorithm 2 of Ho, Salimans 2022, with s = 1 + w. A single network
    answers both calls, once with the condition left out.

    >>> none, some = lambda x_t, t: 0 * x_t, lambda x_t, t: 0 * x_t + 1
    >>> guided_without_classifier(none, some, 3.0)(np.zeros((1, 1)), np.array([0]))
    array([[3.]])
    """

    def guided(x_t, t):
        return ops.classifier_free_guidance(unconditional(x_t, t), conditional(x_t, t), scale)

    return guided


def with_clean_sample(
    denoiser: Denoiser, change: Change, betas: np.ndarray, ops: Any = refimpl
) -> Denoiser:
    r"""Change the clean sample that a denoiser predicts, and derive its noise again.

    $$\hat\epsilon = \epsilon\left(x_t, g(x_0(x_t, \epsilon))\right)$$

    `change` is g, a clip or `dynamic_threshold`. Implements what guided-diffusion does before a
    step of DDIM; there guidance by a classifier comes after the clip, so it goes around this:
    `guided_by_classifier(with_clean_sample(...), ...)`.

    >>> predicts_nothing = lambda x_t, t: np.zeros_like(x_t)
    >>> bounded = with_clean_sample(predicts_nothing, lambda x: np.minimum(x, 1), np.array([0.36]))
    >>> bounded(np.array([[2.0]]), np.array([0]))  # the clean sample would be 2.5
    array([[2.]])
    """
    share = ops.alpha_bar(betas)  # T

    def changed(x_t, t):
        x_start = change(ops.x0_from_eps(x_t, t, denoiser(x_t, t), share))
        return ops.eps_from_x0(x_t, t, x_start, share)

    return changed


def _walk(timesteps: np.ndarray) -> Iterator[tuple[int, int, int]]:
    """Place in the shortened chain, time, and earlier time of each step, the last time first."""
    earlier = [-1, *timesteps[:-1]]
    for k in reversed(range(len(timesteps))):
        yield k, int(timesteps[k]), int(earlier[k])


def _times(t: int, x: np.ndarray) -> np.ndarray:
    """The same time for every sample of a batch."""
    return np.full(len(x), t, dtype=np.int64)  # B


def _check(sampler: str, noise: np.ndarray, x: np.ndarray, timesteps: np.ndarray) -> None:
    """Times that increase, and a layer of noise for each."""
    times = np.asarray(timesteps)
    if times.ndim != 1 or not len(times) or times.dtype.kind not in "iu":
        raise AxesError(
            f"{sampler}: timesteps is {times.dtype} of shape {times.shape}, expected at least one "
            f"integer on the axis (K)"
        )
    if times[0] < 0 or np.any(np.diff(times) <= 0):
        raise AxesError(f"{sampler}: timesteps is {times}, expected increasing times from 0 on")
    expected = (len(times), *x.shape)
    if np.shape(noise) != expected:
        raise AxesError(
            f"{sampler}: noise has shape {np.shape(noise)}, expected (K B ...)={expected}"
        )
