"""Samplers: how a sample with noise goes down through falling noise levels.

A sample is x = x₀ + σε: the clean sample and noise of level σ, unscaled. The network's answer
arrives as the denoised sample D, its guess of x₀. No step draws numbers, noise is an argument.
"""

import numpy as np

from refimpl.axes import (
    AlphaBar,
    Array,
    AxesError,
    Float,
    Fraction,
    Index,
    Level,
    Positive,
    Previous,
)
from refimpl.constants import constant
from refimpl.ops.diffusion.reference import at


def euler_step(
    x: Float[Array, "..."],
    denoised: Float[Array, "..."],
    sigma: Positive[float, ""],
    sigma_next: Level[float, ""],
) -> Float[Array, "..."]:
    r"""One Euler step along the line from a sample to its denoised guess.

    $$x' = x + \frac{x - D}{\sigma}\,(\sigma' - \sigma)$$

    x: ..., samples x₀ + σε.
    denoised: ..., D, the guess of the clean samples at sigma.
    sigma: σ, the noise level of x, above 0.
    sigma_next: σ', the level to reach, 0 or more; 0 gives D itself.

    Returns ..., samples at the next level.

    Raises AxesError for shapes that differ, a level of 0 to start from or one below 0.

    Elsewhere: k-diffusion's sample_euler, diffusers' EulerDiscreteScheduler. Divided by √(1 + σ²)
    it is the step of DDIM without noise. The first sample is σ times noise, not noise.

    Paper: Karras, Aittala, Aila, Laine 2022, "Elucidating the design space of diffusion-based
    generative models", algorithm 1 without its second order.

    >>> euler_step(np.array([4.0]), np.array([1.0]), 3.0, 1.0)
    array([2.])
    """
    slope = (x - denoised) / sigma
    return x + slope * (sigma_next - sigma)


def euler_ancestral_step(
    x: Float[Array, "..."],
    denoised: Float[Array, "..."],
    noise: Float[Array, "..."],
    sigma: Positive[float, ""],
    sigma_next: Level[float, ""],
    eta: Fraction[float, ""],
) -> Float[Array, "..."]:
    r"""An Euler step to below the next level, and fresh noise to make up for it.

    $$\sigma_\uparrow = \eta\,\sigma' \sqrt{1 - \sigma'^2 / \sigma^2}, \quad
    \sigma_\downarrow = \sqrt{\sigma'^2 - \sigma_\uparrow^2}, \quad
    x' = x + \frac{x - D}{\sigma}\,(\sigma_\downarrow - \sigma) + \sigma_\uparrow z$$

    x: ..., samples x₀ + σε.
    denoised: ..., D, the guess of the clean samples at sigma.
    noise: ..., z, standard normal numbers; unused where eta or the next level is 0.
    sigma: σ, the noise level of x, above 0.
    sigma_next: σ', the level to reach, from 0 to sigma.
    eta: in [0, 1]; 0 is the deterministic step, 1 has the variance of the reverse chain.

    Returns ..., samples at the next level.

    Raises AxesError for shapes that differ, a level of 0 to start from or one below 0; DomainError
    for a next level above sigma.

    Elsewhere: k-diffusion's sample_euler_ancestral; diffusers' scheduler of this name has eta 1.

    Paper: Song, Meng, Ermon 2021, "Denoising diffusion implicit models", equation 16, with noise
    unscaled.

    >>> x, z = np.array([4.0]), np.array([1.0])
    >>> euler_ancestral_step(x, np.array([1.0]), z, 3.0, 1.0, 1.0).round(3)
    array([2.276])
    """
    up = eta * sigma_next * np.sqrt(1 - (sigma_next / sigma) ** 2)
    down = np.sqrt(np.maximum(sigma_next**2 - up**2, 0))  # rounding may leave less than nothing
    slope = (x - denoised) / sigma
    return x + slope * (down - sigma) + up * noise


def heun_step(
    x: Float[Array, "..."],
    denoised: Float[Array, "..."],
    denoised_next: Float[Array, "..."],
    sigma: Positive[float, ""],
    sigma_next: Positive[float, ""],
) -> Float[Array, "..."]:
    r"""A Heun step: along the mean of the slopes at both ends.

    $$\hat x = x + (\sigma' - \sigma)\,d, \quad d = \frac{x - D}{\sigma}, \quad
    d' = \frac{\hat x - D'}{\sigma'}, \quad
    x' = x + (\sigma' - \sigma)\,\frac{d + d'}{2}$$

    x: ..., samples x₀ + σε.
    denoised: ..., D, the guess of the clean samples at sigma.
    denoised_next: ..., D', the guess for the Euler step's result, asked at sigma_next.
    sigma: σ, the noise level of x, above 0.
    sigma_next: σ', the level to reach, above 0; the step to 0 is Euler's.

    Returns ..., samples at the next level.

    Raises AxesError for shapes that differ or a level that is not above 0.

    Elsewhere: diffusers' HeunDiscreteScheduler makes two steps of it and lists each inner level
    twice.

    Paper: Karras, Aittala, Aila, Laine 2022, "Elucidating the design space of diffusion-based
    generative models", algorithm 1.

    >>> heun_step(np.array([4.0]), np.array([1.0]), np.array([1.5]), 3.0, 1.0)
    array([2.5])
    """
    slope = (x - denoised) / sigma
    ahead = x + slope * (sigma_next - sigma)
    slope_next = (ahead - denoised_next) / sigma_next
    return x + (slope + slope_next) / 2 * (sigma_next - sigma)


def churn(
    x: Float[Array, "..."],
    noise: Float[Array, "..."],
    sigma: Positive[float, ""],
    amount: Level[float, ""],
    low: Level[float, ""],
    high: Level[float, ""],
) -> tuple[Float[Array, "..."], Float[Array, ""]]:
    r"""Noise added before a step, so that the step starts from a higher level.

    $$\gamma = \min(a, \sqrt 2 - 1) \text{ where } l \le \sigma \le h, \text{ else } 0, \quad
    \hat\sigma = (1 + \gamma)\,\sigma, \quad
    \hat x = x + \sqrt{\hat\sigma^2 - \sigma^2}\,z$$

    x: ..., samples x₀ + σε.
    noise: ..., z, standard normal numbers, or a little larger ones as the paper advises.
    sigma: σ, the noise level of x, above 0.
    amount: a, at least 0; the paper's S_churn divided by the number of steps.
    low: l, the level below which nothing is added.
    high: h, the level above which nothing is added.

    Returns ..., samples at the higher level; and that level.

    Raises AxesError for shapes that differ or a level out of range.

    Elsewhere: k-diffusion and diffusers have s_churn, s_tmin, s_tmax, and s_noise, which multiplies
    the noise.

    Paper: Karras, Aittala, Aila, Laine 2022, "Elucidating the design space of diffusion-based
    generative models", algorithm 2.

    >>> churn(np.array([1.0]), np.array([2.0]), 3.0, 0.25, 0.0, 50.0)
    (array([5.5]), np.float64(3.75))
    """
    inside = (sigma >= low) & (sigma <= high)
    cap = np.sqrt(constant(2, sigma)) - 1  # the variance doubles at most
    gamma = np.where(inside, np.minimum(amount, cap), 0.0)
    sigma_hat = (1 + gamma) * sigma
    return x + np.sqrt(sigma_hat**2 - sigma**2) * noise, sigma_hat


def dpm_solver_step(
    x: Float[Array, "..."],
    denoised: Float[Array, "..."],
    denoised_before: Float[Array, "..."],
    sigma_before: Positive[float, ""],
    sigma: Positive[float, ""],
    sigma_next: Positive[float, ""],
) -> Float[Array, "..."]:
    r"""A step of DPM-Solver++ (2M), which extrapolates from this guess and the previous one.

    $$h = \ln\frac{\sigma}{\sigma'}, \quad r = \frac{1}{h} \ln\frac{\sigma_{-1}}{\sigma}, \quad
    \tilde D = \left(1 + \frac{1}{2r}\right) D - \frac{1}{2r} D_{-1}, \quad
    x' = e^{-h} x + (1 - e^{-h})\,\tilde D$$

    x: ..., samples x₀ + σε.
    denoised: ..., D, the guess of the clean samples at sigma.
    denoised_before: ..., D₋₁, the guess of the step before, at sigma_before.
    sigma_before: σ₋₁, the level of the step before, above sigma.
    sigma: σ, the noise level of x.
    sigma_next: σ', the level to reach, above 0 and below sigma. The first step has no step before,
        and the one to 0 no finite h: both are `euler_step`.

    Returns ..., samples at the next level.

    Raises AxesError for shapes that differ or a level that is not above 0; DomainError for two
    equal levels.

    Elsewhere: diffusers' DPMSolverMultistepScheduler works on x / √(1 + σ²), with the same result.
    Its option lower_order_final takes Euler's step at the end of short schedules.

    Paper: Lu, Zhou, Bao, Chen, Li, Zhu 2022, "DPM-Solver++: fast solver for guided sampling of
    diffusion probabilistic models", algorithm 2.

    >>> guess, before = np.array([1.0]), np.array([0.0])
    >>> dpm_solver_step(np.array([4.0]), guess, before, 4.0, 2.0, 1.0)
    array([2.75])
    """
    h = np.log(sigma / sigma_next)
    r = np.log(sigma_before / sigma) / h
    ahead = (1 + 1 / (2 * r)) * denoised - 1 / (2 * r) * denoised_before
    return np.exp(-h) * x - np.expm1(-h) * ahead


def plms_eps(history: Float[Array, "K B ..."]) -> Float[Array, "B ..."]:
    r"""The noise that a linear multistep sampler uses: a weighted sum of the last predictions.

    $$\epsilon' = \epsilon_0, \quad \frac{3\epsilon_0 - \epsilon_1}{2}, \quad
    \frac{23\epsilon_0 - 16\epsilon_1 + 5\epsilon_2}{12}, \quad
    \frac{55\epsilon_0 - 59\epsilon_1 + 37\epsilon_2 - 9\epsilon_3}{24}$$

    history: K B ..., the last one to four predictions of noise, the newest first.

    Returns B ..., the noise for `ddim_step` with eta 0.

    Raises AxesError for no prediction or more than four.

    Elsewhere: "PLMS" in latent diffusion, which predicts twice at the first step; diffusers'
    PNDMScheduler, which starts with Runge-Kutta steps unless skip_prk_steps is set. Velocities are
    turned into noise first, each with its own time.

    Paper: Liu, Ren, Lin, Zhao 2022, "Pseudo numerical methods for diffusion models on manifolds",
    equation 12.

    >>> plms_eps(np.array([[[3.0]], [[1.0]]]))
    array([[4.]])
    """
    K = len(history)
    if not 1 <= K <= 4:
        raise AxesError(f"plms_eps: history has K={K}, expected one to four predictions")
    table = ((1, 1), (2, 3, -1), (12, 23, -16, 5), (24, 55, -59, 37, -9))
    divisor, *weights = table[K - 1]
    each = np.reshape(np.array(weights), (K,) + (1,) * (history.ndim - 1))  # K 1 ...
    return np.sum(each * history, axis=0) / divisor  # B ...


def ddim_inversion(
    x: Float[Array, "B ..."],
    t_next: Index[Array, "B", "T"],
    t: Previous[Array, "B", "T"],
    eps: Float[Array, "B ..."],
    alpha_bar: AlphaBar[Array, "T"],
) -> Float[Array, "B ..."]:
    r"""DDIM inversion: a deterministic step towards noise, to any later time.

    $$\hat x_0 = \frac{x_t - \sqrt{1 - \bar\alpha_t}\,\epsilon}{\sqrt{\bar\alpha_t}}, \quad
    x_n = \sqrt{\bar\alpha_n}\,\hat x_0 + \sqrt{1 - \bar\alpha_n}\,\epsilon, \quad
    \bar\alpha_{-1} = 1$$

    x: B ..., samples at time t, scaled as by `q_sample`.
    t_next: B, later times n, zero-based, below T.
    t: B, the times of x, zero-based; -1 for clean samples.
    eps: B ..., the noise predicted for x.
    alpha_bar: T, shares of signal in (0, 1], falling, indexed by the zero-based time.

    Returns B ..., samples at the later time.

    Raises AxesError for shapes that differ, times outside the table or a share outside [0, 1];
    DomainError where the share at t is 0.

    Elsewhere: diffusers' DDIMInverseScheduler asks the network about the later time. Edict and
    null-text inversion correct for the difference between the two predictions.

    Paper: Dhariwal, Nichol 2021, "Diffusion models beat GANs on image synthesis", appendix F.

    >>> x, eps, share = np.array([[0.8]]), np.array([[1.0]]), np.array([0.64])
    >>> ddim_inversion(x, np.array([0]), np.array([-1]), eps, share).round(3)
    array([[1.24]])
    """
    shares = np.concatenate((alpha_bar, np.ones(1)))  # index -1 finds the 1 of the clean sample
    share, share_next = at(shares, t, x), at(shares, t_next, x)  # B 1 ...
    x_start = (x - np.sqrt(1 - share) * eps) / np.sqrt(share)
    return np.sqrt(share_next) * x_start + np.sqrt(1 - share_next) * eps
