"""Noise levels: the lists that samplers walk down, and what a network needs to know of a level.

A sample is x = x₀ + σε, the clean sample and noise of level σ, unscaled.
"""

import numpy as np

from refimpl.axes import AlphaBar, Array, AxesError, Float, Level, Positive, Size, Time, Total
from refimpl.constants import constant


def leading_timesteps(
    steps: Size[int, "T"],
    levels: Size[int, "levels", "T"],
    offset: Total[int, ""],
) -> Float[Array, "levels"]:
    r"""The times that a sampler visits, one whole stride apart, the least of them the offset.

    $$\tau_i = o + (n - 1 - i) \left\lfloor \frac{T}{n} \right\rfloor,
    \quad i = 0, \dots, n - 1$$

    steps: T, how many times the chain has.
    levels: n, how many of them are visited, at most T.
    offset: o, the least time, 0 or more; 1 for Stable Diffusion.

    Returns levels, whole zero-based times, falling by ⌊T/n⌋. The noisiest time T − 1 is among them
    only where the offset leads there.

    Raises AxesError for more levels than times, or an offset that leads out of the chain.

    Elsewhere: diffusers' "leading", with steps_offset, returns times beyond the chain as they are;
    its DPM-Solver lays out a level more and leaves out the least. latent-diffusion always adds 1,
    which leads out of the chain where all times are visited.

    Paper: Lin, Liu, Li, Yang 2024, "Common diffusion noise schedules and sample steps are flawed",
    table 2.

    >>> leading_timesteps(1000, 5, 1)
    array([801, 601, 401, 201,   1])
    """
    stride = steps // max(levels, 1)
    times = np.arange(levels)[::-1] * stride + offset  # levels
    if np.any(times >= steps):
        found = f"{offset}, which leads to the time {times[0]}"
        raise AxesError(f"leading_timesteps: offset has {found}, expected times below T={steps}")
    return times


def linspace_timesteps(
    steps: Positive[float, ""],
    levels: Size[int, "levels"],
) -> Float[Array, "levels"]:
    r"""The times that a sampler visits, from the last to 0 by equal steps, between whole times too.

    $$\tau_i = T - 1 - \frac{i\,(T - 1)}{n - 1}, \quad i = 0, \dots, n - 1$$

    steps: T, how many times the chain has, at least 1; a real number, as times are here.
    levels: n, how many times are visited; a single one is T − 1.

    Returns levels, falling; both ends of the chain are among them. They are whole where n − 1
    divides T − 1.

    Raises AxesError for less than one time.

    Elsewhere: diffusers' "linspace" has these times in samplers that walk down noise levels (Euler,
    Heun) and rounds them, halves to even, in others; a single one is 0 there. Its DPM-Solver lays
    out a level more, rounds, and leaves out the 0.

    Paper: Lin, Liu, Li, Yang 2024, "Common diffusion noise schedules and sample steps are flawed",
    table 2, without its rounding.

    >>> linspace_timesteps(1000, 5)
    array([999.  , 749.25, 499.5 , 249.75,   0.  ])
    """
    if steps < 1:
        raise AxesError(f"linspace_timesteps: steps has {steps}, expected at least 1")
    last = steps - 1
    return last - np.arange(levels) * last / max(levels - 1, 1)  # levels


def trailing_timesteps(
    steps: Size[int, "T"], levels: Size[int, "levels", "T"]
) -> Float[Array, "levels"]:
    r"""The times that a sampler visits, one stride apart from the last down, rounded.

    $$\tau_i = \mathrm{round}\left(\frac{(n - i)\,T}{n}\right) - 1, \quad i = 0, \dots, n - 1$$

    steps: T, how many times the chain has.
    levels: n, how many of them are visited, at most T.

    Returns levels, whole zero-based times, falling; the first is T − 1. Halves are rounded to even
    before the 1 is taken off.

    Raises AxesError for more levels than times.

    Elsewhere: diffusers' "trailing" takes T/n off again and again in floating point: some numbers
    of levels, 61 of 1000 times the least, come back as one more time, −1, and halves go either way.

    Paper: Lin, Liu, Li, Yang 2024, "Common diffusion noise schedules and sample steps are flawed",
    table 2.

    >>> trailing_timesteps(1000, 5)
    array([999, 799, 599, 399, 199])
    """
    ends = (levels - np.arange(levels)) * steps / max(levels, 1)  # levels
    return np.round(ends).astype(int) - 1  # half to even


def sigmas_from_alpha_bar(alpha_bar: AlphaBar[Array, "T"]) -> Float[Array, "T"]:
    r"""The noise levels σ of a schedule that is given as ᾱ.

    $$\sigma_t = \sqrt{\frac{1 - \bar\alpha_t}{\bar\alpha_t}}$$

    alpha_bar: T, shares of signal ᾱ in (0, 1], indexed by the zero-based time.

    Returns T, noise levels, 0 or more, rising where the shares fall.

    Raises AxesError for a share outside [0, 1]; DomainError for a share of 0, whose level has no
    end.

    Elsewhere: diffusers replaces an ᾱ of 0 by a tiny one. Stable Diffusion's levels go from
    0.0292 to 14.6146.

    Paper: Karras, Aittala, Aila, Laine 2022, "Elucidating the design space of diffusion-based
    generative models", appendix C.1.

    >>> sigmas_from_alpha_bar(np.array([0.8, 0.5, 0.2]))
    array([0.5, 1. , 2. ])
    """
    return np.sqrt((1 - alpha_bar) / alpha_bar)  # T


def rising(op: str, table: np.ndarray) -> np.ndarray:
    """The logarithms of levels, which must rise."""
    if len(table) < 2 or np.any(table[1:] <= table[:-1]):
        raise AxesError(f"{op}: table has {table}, expected two levels or more, rising")
    return np.log(table)  # T


def entry_below(sigma: np.ndarray, table: np.ndarray) -> np.ndarray:
    """The entry of a rising table at or below each level; of both ends the one within."""
    return np.clip(np.searchsorted(table, sigma, side="right") - 1, 0, len(table) - 2)  # B


def time_above(low: np.ndarray, sigma: np.ndarray, logs: np.ndarray) -> np.ndarray:
    """Where a level lies between two entries, whose logarithms are on a straight line."""
    part = (np.log(sigma) - logs[low]) / (logs[low + 1] - logs[low])  # B
    return low + np.minimum(np.maximum(part, 0), 1)  # B


def level_time(sigma: Positive[Array, "B"], table: Positive[Array, "T"]) -> Float[Array, "B"]:
    r"""The time that a network trained on a table of noise levels is told for any level.

    $$t = k + \frac{\ln \sigma - \ln \sigma_k}{\ln \sigma_{k+1} - \ln \sigma_k}, \quad
    \sigma_k \le \sigma \le \sigma_{k+1}$$

    sigma: B, noise levels above 0.
    table: T, at least two rising levels, indexed by the zero-based time, as
        `sigmas_from_alpha_bar` gives them.

    Returns B, times in [0, T − 1]: a level below the table has the time 0, one above it the last.

    Raises AxesError for a level that is not above 0, or a table that does not rise.

    Elsewhere: k-diffusion takes the time of the nearest entry if asked to (quantize). diffusers'
    DPM-Solver makes times whole, and two levels may come to one time.

    Paper: Karras, Aittala, Aila, Laine 2022, "Elucidating the design space of diffusion-based
    generative models", table 1, as c_noise of variance-preserving networks; the line between
    logarithms is k-diffusion's.

    >>> level_time(np.array([2.0, 4.0, 9.0]), np.array([1.0, 4.0, 8.0]))
    array([0.5, 1. , 2. ])
    """
    return time_above(entry_below(sigma, table), sigma, rising("level_time", table))


def sigma_at(t: Time[Array, "B"], table: Positive[Array, "T"]) -> Float[Array, "B"]:
    r"""The noise level at a time, between whole times on a straight line of logarithms.

    $$\ln \sigma = (1 - p) \ln \sigma_k + p \ln \sigma_{k+1}, \quad
    k = \lfloor t \rfloor, \quad p = t - k$$

    t: B, times from 0 on; one behind the table has its last level.
    table: T, at least two rising levels above 0, indexed by the zero-based time.

    Returns B, noise levels within the table; `level_time` is the inverse.

    Raises AxesError for a negative time, or a table that does not rise.

    Elsewhere: diffusers draws straight lines between the levels themselves, unless
    interpolation_type is log_linear. k-diffusion does as here.

    Paper: Karras, Aittala, Aila, Laine 2022, "Elucidating the design space of diffusion-based
    generative models", table 1, as c_noise of variance-preserving networks; the line between
    logarithms is k-diffusion's.

    >>> sigma_at(np.array([0.5, 1.0, 7.0]), np.array([1.0, 4.0, 8.0])).round(9)
    array([2., 4., 8.])
    """
    logs = rising("sigma_at", table)  # T
    low = entry_below(t, np.arange(len(table)))  # B
    part = np.minimum(t - low, 1)  # B
    return np.exp((1 - part) * logs[low] + part * logs[low + 1])


def karras_sigmas(
    levels: Size[int, "levels"],
    low: Positive[float, ""],
    high: Positive[float, ""],
    rho: Positive[float, ""],
) -> Float[Array, "levels"]:
    r"""Noise levels whose ρ-th roots fall by equal steps.

    $$\sigma_i = \left(\sigma_h^{1/\rho} + \frac{i}{n-1}
    \left(\sigma_l^{1/\rho} - \sigma_h^{1/\rho}\right)\right)^\rho$$

    levels: n, how many; a single one is the highest.
    low: σ_l, the last level, above 0.
    high: σ_h, the first level.
    rho: ρ, 7 in the paper; 1 makes equal steps, a large one equal ratios.

    Returns levels, falling; the 0 that ends a sampler's list is not among them.

    Raises AxesError for a level or rho that is not above 0.

    Elsewhere: k-diffusion and diffusers append the 0. diffusers takes the ends from its table of
    times unless sigma_min and sigma_max say otherwise.

    Paper: Karras, Aittala, Aila, Laine 2022, "Elucidating the design space of diffusion-based
    generative models", equation 5.

    >>> karras_sigmas(5, 0.002, 80.0, 7.0).round(3)
    array([8.0000e+01, 1.7528e+01, 2.5150e+00, 1.7000e-01, 2.0000e-03])
    """
    ramp = np.arange(levels) / constant(max(levels - 1, 1), high)  # levels
    top, bottom = np.exp(np.log(high) / rho), np.exp(np.log(low) / rho)
    return np.exp(rho * np.log((1 - ramp) * top + ramp * bottom))  # levels


def edm_coefficients(
    sigma: Positive[Array, "B"], sigma_data: Positive[float, ""]
) -> tuple[Float[Array, "B"], Float[Array, "B"], Float[Array, "B"], Float[Array, "B"]]:
    r"""The factors that keep a network's input and target at variance one at every noise level.

    $$c_\mathrm{skip} = \frac{s^2}{\sigma^2 + s^2}, \quad
    c_\mathrm{out} = \frac{\sigma s}{\sqrt{\sigma^2 + s^2}}, \quad
    c_\mathrm{in} = \frac{1}{\sqrt{\sigma^2 + s^2}}, \quad
    c_\mathrm{noise} = \frac{\ln \sigma}{4}$$

    so that the denoised sample is $c_\mathrm{skip}\,x + c_\mathrm{out}\,F(c_\mathrm{in}\,x,
    c_\mathrm{noise})$ for a network F.

    sigma: B, noise levels above 0.
    sigma_data: s, the standard deviation of the data; 0.5 in the paper.

    Returns B each: the factors of the sample, of the network's output and of its input, and the
    number that tells it the level.

    Raises AxesError for a level that is not above 0.

    Elsewhere: the loss of the paper is weighted by 1 / c_out². Latent consistency models multiply
    the time by ten first and have s = 0.5.

    Paper: Karras, Aittala, Aila, Laine 2022, "Elucidating the design space of diffusion-based
    generative models", table 1.

    >>> skip, out, into, noise = edm_coefficients(np.array([1.0]), 0.5)
    >>> skip.round(3), out.round(3), into.round(3), noise.round(3)
    (array([0.2]), array([0.447]), array([0.894]), array([0.]))
    """
    total = sigma**2 + sigma_data**2  # B
    root = np.sqrt(total)  # B
    return sigma_data**2 / total, sigma * sigma_data / root, 1 / root, np.log(sigma) / 4


def exponential_sigmas(
    levels: Size[int, "levels"],
    low: Positive[float, ""],
    high: Positive[float, ""],
) -> Float[Array, "levels"]:
    r"""Noise levels that fall by equal ratios.

    $$\sigma_i = \sigma_h \left(\frac{\sigma_l}{\sigma_h}\right)^{i / (n-1)}$$

    levels: n, how many; a single one is the highest.
    low: σ_l, the last level, above 0.
    high: σ_h, the first level.

    Returns levels, falling; the 0 that ends a sampler's list is not among them.

    Raises AxesError for a level that is not above 0.

    Elsewhere: k-diffusion and diffusers (use_exponential_sigmas) append the 0. It is what
    `karras_sigmas` tends to where rho grows.

    Paper: Karras, Aittala, Aila, Laine 2022, "Elucidating the design space of diffusion-based
    generative models", section 3.

    >>> exponential_sigmas(3, 0.125, 8.0).round(6)
    array([8.   , 1.   , 0.125])
    """
    ramp = np.arange(levels) / constant(max(levels - 1, 1), high)  # levels
    return np.exp((1 - ramp) * np.log(high) + ramp * np.log(low))  # levels


def edm_weights(sigma: Positive[Array, "B"], sigma_data: Positive[float, ""]) -> Float[Array, "B"]:
    r"""The weight of the denoising loss at each noise level, so that all levels count alike.

    $$\lambda = \frac{\sigma^2 + s^2}{(\sigma s)^2} = \frac{1}{c_\mathrm{out}^2}$$

    sigma: B, noise levels above 0.
    sigma_data: s, the standard deviation of the data; 0.5 in the paper.

    Returns B, the weights of squared errors of the denoised sample.

    Raises AxesError for a level that is not above 0.

    Elsewhere: the errors of the network's own output have the weight 1. Where the weights are
    those of another deviation than `edm_coefficients` has, they no longer cancel.

    Paper: Karras, Aittala, Aila, Laine 2022, "Elucidating the design space of diffusion-based
    generative models", table 1.

    >>> edm_weights(np.array([0.5, 1.0]), 0.5)
    array([8., 5.])
    """
    return (sigma**2 + sigma_data**2) / (sigma * sigma_data) ** 2


def like_samples(sigma: np.ndarray, x: np.ndarray) -> np.ndarray:
    """A level for each sample, shaped to meet a batch like `x`."""
    return np.reshape(sigma, (-1,) + (1,) * (x.ndim - 1))  # B 1 ...


def scale_input(x: Float[Array, "B ..."], sigma: Level[Array, "B"]) -> Float[Array, "B ..."]:
    r"""The sample as a network knows it that was trained on samples of variance one.

    $$x_t = \frac{x}{\sqrt{1 + \sigma^2}}
    = \sqrt{\bar\alpha}\,x_0 + \sqrt{1 - \bar\alpha}\,\epsilon$$

    x: B ..., samples x₀ + σε of a sampler that walks down noise levels.
    sigma: B, their noise levels, 0 or more.

    Returns B ..., scaled samples, the inputs of a variance-preserving network.

    Raises AxesError for a negative level.

    Elsewhere: k-diffusion and diffusers (scale_model_input) do the same. EDM's own networks have
    `edm_coefficients`, whose c_in is this factor where the data has deviation one.

    Paper: Karras, Aittala, Aila, Laine 2022, "Elucidating the design space of diffusion-based
    generative models", table 1, c_in of variance-preserving networks.

    >>> scale_input(np.array([[5.0, -10.0]]), np.array([0.75]))
    array([[ 4., -8.]])
    """
    level = like_samples(sigma, x)  # B 1 ...
    return x / np.sqrt(1 + level**2)


def denoised_from_v(
    x: Float[Array, "B ..."], v: Float[Array, "B ..."], sigma: Level[Array, "B"]
) -> Float[Array, "B ..."]:
    r"""The clean sample by the velocity that a network predicted, among unscaled samples.

    $$D = \frac{x}{1 + \sigma^2} - \frac{\sigma}{\sqrt{1 + \sigma^2}}\,v$$

    x: B ..., samples x₀ + σε, not scaled.
    v: B ..., predicted velocities √ᾱ ε − √(1 − ᾱ) x₀, of the scaled samples.
    sigma: B, noise levels, 0 or more.

    Returns B ..., predicted clean samples x₀.

    Raises AxesError for a negative level or different shapes.

    Elsewhere: among scaled samples it is `x0_from_v`, √ᾱ x − √(1 − ᾱ) v.

    Paper: Salimans, Ho 2022, "Progressive distillation for fast sampling of diffusion models",
    section 4, in the noise levels of Karras et al. 2022.

    >>> denoised_from_v(np.array([[2.0]]), np.array([[0.5]]), np.array([0.75])).round(9)
    array([[0.98]])
    """
    level = like_samples(sigma, x)  # B 1 ...
    total = 1 + level**2  # B 1 ...
    return x / total - level / np.sqrt(total) * v
