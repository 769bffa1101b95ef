"""Solvers: ways from noise to a clean sample for a network that predicts the noise.

Each is a generator over `steps` steps without fresh noise. The network is asked as it was trained,
`eps(x, t)` for samples scaled as by `q_sample` and a time of the whole chain, a fraction where a
solver stops between two. The levels of the chain are σ = √((1 - ᾱ) / ᾱ).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import refimpl
from refimpl.models.sampling import Step, ddim

Eps = Callable[[np.ndarray, float], np.ndarray]
RHO = 7.0  # of the levels, as Karras et al. 2022 have it


class Levels:
    """Samples x = x₀ + σε, for a network that knows the times of a chain."""

    def __init__(self, eps: Eps, betas: np.ndarray, ops: Any = refimpl) -> None:
        self.eps, self.sigmas = eps, ops.sigmas_from_alpha_bar(ops.alpha_bar(betas))  # T

    def time(self, sigma: float) -> float:
        """The time of a level: between two, in the ratio of logarithms."""
        return float(np.interp(np.log(sigma), np.log(self.sigmas), np.arange(len(self.sigmas))))

    def noise(self, x: np.ndarray, sigma: float) -> np.ndarray:
        """The noise that the network sees in such samples."""
        return self.eps(x / np.sqrt(1 + sigma**2), self.time(sigma))

    def denoised(self, x: np.ndarray, sigma: float) -> np.ndarray:
        """What the samples are without it."""
        return x - sigma * self.noise(x, sigma)

    def karras(self, steps: int, ops: Any = refimpl) -> list[float]:
        """The levels of a walk, and the 0 behind them."""
        found = ops.karras_sigmas(steps, self.sigmas[0], self.sigmas[-1], RHO)  # steps
        return [*map(float, found), 0.0]

    def step(self, x: np.ndarray, sigma: float, clean: np.ndarray) -> Step:
        """Where a solver stands."""
        t = round(self.time(sigma)) if sigma else -1
        return Step(t, x / np.sqrt(1 + sigma**2), clean)


def ddim_solver(
    eps: Eps, x: np.ndarray, betas: np.ndarray, steps: int, ops: Any = refimpl
) -> Iterator[Step]:
    """DDIM without noise, on evenly spaced times.

    Paper: Song, Meng, Ermon 2021, "Denoising diffusion implicit models", equation 12.
    """
    unused = np.broadcast_to(0.0, (steps, *x.shape))
    times = _even(betas, steps, ops)
    return ddim(lambda x, t: eps(x, float(t[0])), x, unused, betas, times, 0.0, ops)


def plms_solver(
    eps: Eps, x: np.ndarray, betas: np.ndarray, steps: int, ops: Any = refimpl
) -> Iterator[Step]:
    """Four predictions of noise combined, on evenly spaced times.

    The first step predicts twice, and the last one, to the clean samples, is DDIM's.

    Paper: Liu, Ren, Lin, Zhao 2022, "Pseudo numerical methods for diffusion models on manifolds",
    equation 12, as latent diffusion begins it.
    """
    share, times = ops.alpha_bar(betas), _even(betas, steps, ops)  # T, K
    newest: list[np.ndarray] = []
    for t, before in zip(times[::-1], [*times[-2::-1], -1], strict=True):
        at, then = np.full(len(x), t), np.full(len(x), before)  # B

        def moved(noise: np.ndarray, x: np.ndarray = x, at: Any = at, then: Any = then) -> Any:
            return ops.ddim_step(x, at, then, noise, np.zeros_like(x), share, 0.0)

        newest = [eps(x, float(t)), *newest[:3]]
        even = newest if before >= 0 else newest[:1]  # the last step is shorter than the others
        combined = ops.plms_eps(np.stack(even))
        if len(newest) == 1 and before >= 0:
            combined = (combined + eps(moved(combined), float(before))) / 2
        clean, x = ops.x0_from_eps(x, at, combined, share), moved(combined)
        yield Step(int(before), x, clean)


def euler_solver(
    eps: Eps, x: np.ndarray, betas: np.ndarray, steps: int, ops: Any = refimpl
) -> Iterator[Step]:
    """Euler's steps down the levels of Karras.

    Paper: Karras, Aittala, Aila, Laine 2022, "Elucidating the design space of diffusion-based
    generative models", algorithm 1 without its second order.
    """
    levels = Levels(eps, betas, ops)
    walk = levels.karras(steps, ops)
    x = x * np.sqrt(1 + walk[0] ** 2)
    for sigma, after in itertools.pairwise(walk):
        clean = levels.denoised(x, sigma)
        x = ops.euler_step(x, clean, sigma, after)
        yield levels.step(x, after, clean)


def heun_solver(
    eps: Eps, x: np.ndarray, betas: np.ndarray, steps: int, ops: Any = refimpl
) -> Iterator[Step]:
    """Heun's steps, which ask the network twice, down the levels of Karras; the last is Euler's.

    Paper: Karras, Aittala, Aila, Laine 2022, "Elucidating the design space of diffusion-based
    generative models", algorithm 1.
    """
    levels = Levels(eps, betas, ops)
    walk = levels.karras(steps, ops)
    x = x * np.sqrt(1 + walk[0] ** 2)
    for sigma, after in itertools.pairwise(walk):
        clean = levels.denoised(x, sigma)
        ahead = ops.euler_step(x, clean, sigma, after)
        if after:
            ahead = ops.heun_step(x, clean, levels.denoised(ahead, after), sigma, after)
        x = ahead
        yield levels.step(x, after, clean)


def dpm_solver(
    eps: Eps, x: np.ndarray, betas: np.ndarray, steps: int, ops: Any = refimpl
) -> Iterator[Step]:
    """DPM-Solver++ (2M) down the levels of Karras; its first and its last step are Euler's.

    Paper: Lu, Zhou, Bao, Chen, Li, Zhu 2022, "DPM-Solver++: fast solver for guided sampling of
    diffusion probabilistic models", algorithm 2.
    """
    levels = Levels(eps, betas, ops)
    walk = levels.karras(steps, ops)
    x, before, last = x * np.sqrt(1 + walk[0] ** 2), None, 0.0
    for sigma, after in itertools.pairwise(walk):
        clean = levels.denoised(x, sigma)
        if before is None or not after:
            x = ops.euler_step(x, clean, sigma, after)
        else:
            x = ops.dpm_solver_step(x, clean, before, last, sigma, after)
        before, last = clean, sigma
        yield levels.step(x, after, clean)


def flow_solver(
    eps: Eps, x: np.ndarray, betas: np.ndarray, steps: int, ops: Any = refimpl
) -> Iterator[Step]:
    r"""Euler's steps along straight lines, $x_\tau = (1 - \tau)\, x_0 + \tau\, \epsilon$.

    The level of τ is σ = τ / (1 - τ); the walk begins at the highest of the chain.

    Paper: Esser et al. 2024, "Scaling rectified flow transformers for high-resolution image
    synthesis", equation 13.
    """
    levels = Levels(eps, betas, ops)
    top = levels.sigmas[-1]
    walk = np.linspace(top / (1 + top), 0, steps + 1)
    x = x * np.sqrt(1 + top**2) / (1 + top)
    for now, then in itertools.pairwise(walk):
        sigma, after = now / (1 - now), then / (1 - then)
        noise = levels.noise(x * (1 + sigma), sigma)
        clean = x * (1 + sigma) - sigma * noise
        x = ops.flow_euler_step(x, noise - clean, float(now), float(then))
        yield levels.step(x * (1 + after), after, clean)


def _even(betas: np.ndarray, steps: int, ops: Any) -> np.ndarray:
    """So many times of the chain, rising, the first and the last among them."""
    return ops.respaced_timesteps(len(betas), np.array([steps])).astype(np.int64)


SOLVERS = {
    "plms": plms_solver,
    "ddim": ddim_solver,
    "euler": euler_solver,
    "heun": heun_solver,
    "dpm++": dpm_solver,
    "flow": flow_solver,
}
