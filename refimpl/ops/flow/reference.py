"""Flows: straight lines from the data, at time 0, to noise, at time 1."""

import numpy as np

from refimpl.axes import Array, Float, Fraction, Positive
from refimpl.constants import constant, pi


def along(t, like):
    """A time for each sample, beside all the numbers of the sample."""
    return np.reshape(t, (len(t), *(1 for _ in like.shape[1:])))


def flow_sample(
    x_start: Float[Array, "B ..."],
    t: Fraction[Array, "B"],
    noise: Float[Array, "B ..."],
) -> tuple[Float[Array, "B ..."], Float[Array, "B ..."]]:
    r"""A sample on the straight line from data to noise, and the velocity along that line.

    $$x_t = (1 - t)\,x_0 + t\,\epsilon, \qquad v = \epsilon - x_0$$

    x_start: B ..., clean samples x₀.
    t: B, times in [0, 1]; 0 is clean, 1 is noise alone.
    noise: B ..., ε, standard normal numbers.

    Returns B ... each: the noisy samples, and the velocity that a network learns to predict.

    Raises AxesError for shapes that differ or a time outside [0, 1].

    Elsewhere: Stable Diffusion 3 and Flux have this direction; the first papers, and torchcfm, have
    the data at time 1 and the velocity turned round.

    Paper: Liu, Gong, Liu 2023, "Flow straight and fast", equation 1; Esser et al. 2024, "Scaling
    rectified flow transformers", equation 13.

    >>> x, v = flow_sample(np.array([4.0]), np.array([0.25]), np.array([-2.0]))
    >>> x, v
    (array([2.5]), array([-6.]))
    """
    t = along(t, x_start)
    return (1 - t) * x_start + t * noise, noise - x_start


def flow_parts(
    x_t: Float[Array, "B ..."],
    t: Fraction[Array, "B"],
    velocity: Float[Array, "B ..."],
) -> tuple[Float[Array, "B ..."], Float[Array, "B ..."]]:
    r"""The clean sample and the noise that a noisy sample and its velocity imply.

    $$\hat x_0 = x_t - t\,v, \qquad \hat\epsilon = x_t + (1 - t)\,v$$

    x_t: B ..., noisy samples.
    t: B, times in [0, 1].
    velocity: B ..., v, as predicted at x_t.

    Returns B ... each: the clean samples and the noise.

    Raises AxesError for shapes that differ or a time outside [0, 1].

    Elsewhere: where the data is at time 1, x₀ is x + (1 - t) v.

    Paper: Esser et al. 2024, "Scaling rectified flow transformers", section 2.

    >>> flow_parts(np.array([2.5]), np.array([0.25]), np.array([-6.0]))
    (array([4.]), array([-2.]))
    """
    t = along(t, x_t)
    return x_t - t * velocity, x_t + (1 - t) * velocity


def flow_euler_step(
    x: Float[Array, "..."],
    velocity: Float[Array, "..."],
    t: Fraction[float, ""],
    t_next: Fraction[float, ""],
) -> Float[Array, "..."]:
    r"""One Euler step along the velocity, from one time to another.

    $$x' = x + (t' - t)\,v$$

    x: ..., samples at time t.
    velocity: ..., v, as predicted at x.
    t: the time of x, in [0, 1].
    t_next: t', the time to reach; earlier when sampling, later when a picture is inverted.

    Returns ..., samples at time t'.

    Raises AxesError for shapes that differ or a time outside [0, 1].

    Elsewhere: diffusers calls the times sigmas and tells the network 1000 t.

    Paper: Liu, Gong, Liu 2023, "Flow straight and fast", section 2.1.

    >>> flow_euler_step(np.array([2.5]), np.array([-6.0]), 0.25, 0.0)
    array([4.])
    """
    return x + (t_next - t) * velocity


def flow_ancestral_step(
    x: Float[Array, "..."],
    x_start: Float[Array, "..."],
    noise: Float[Array, "..."],
    t: Fraction[float, ""],
    t_next: Fraction[float, ""],
    eta: Fraction[float, ""],
) -> Float[Array, "..."]:
    r"""A step to before the next time, then rescaled and mixed with fresh noise.

    $$t_\downarrow = t'\,\bigl(1 - \eta\,(1 - t'/t)\bigr), \quad
    y = \tfrac{t_\downarrow}{t}\,x + \bigl(1 - \tfrac{t_\downarrow}{t}\bigr)\,\hat x_0, \quad
    c = \frac{1 - t'}{1 - t_\downarrow}, \quad
    x' = c\,y + \sqrt{t'^2 - c^2 t_\downarrow^2}\; z$$

    x: ..., samples at time t.
    x_start: ..., x̂₀, the guess of the clean samples.
    noise: ..., z, standard normal numbers; unused where eta or t' is 0.
    t: the time of x, above 0.
    t_next: t', the time to reach, below 1 and not after t.
    eta: in [0, 1]; 0 is Euler's step.

    Returns ..., samples at time t'.

    Raises AxesError for shapes that differ or a time outside [0, 1]; DomainError for t = 0, t' = 1
    or a t' after t.

    Elsewhere: without the factor c, as in samplers that let the variance grow, the signal is left
    too strong. The difference under the root is a product here, which keeps its digits.

    Paper: Esser et al. 2024, "Scaling rectified flow transformers", section 2, for the line; the
    step is the ancestral one of Song, Meng, Ermon 2021, "Denoising diffusion implicit models".

    >>> x, guess, z = np.array([2.0]), np.array([4.0]), np.array([1.0])
    >>> flow_ancestral_step(x, guess, z, 0.8, 0.4, 1.0).round(3)
    array([2.996])
    """
    drop = eta * t_next * (1 - t_next / t)
    down = t_next - drop
    kept = down / t
    ahead = kept * x + (1 - kept) * x_start
    fresh = np.sqrt(drop * (t_next + down - 2 * t_next * down)) / (1 - down)
    return (1 - t_next) / (1 - down) * ahead + fresh * noise


def flow_shift(t: Fraction[Array, "levels"], shift: Positive[float, ""]) -> Float[Array, "levels"]:
    r"""Shift times towards noise, as images with more pixels need.

    $$t_k = \frac{k\,t}{1 + (k - 1)\,t}, \qquad
    \operatorname{logit} t_k = \operatorname{logit} t + \ln k$$

    t: levels, times in [0, 1].
    shift: k, above 0; 1 leaves the times, 3 is Stable Diffusion 3's.

    Returns levels, times in [0, 1]; 0 and 1 stay.

    Raises AxesError for a time outside [0, 1] or a shift that is not above 0.

    Elsewhere: Flux gives the logarithm μ = ln k, linear in the number of tokens: 0.5 at 256, 1.15
    at 4096. diffusers shifts the ends of its own list twice.

    Paper: Esser et al. 2024, "Scaling rectified flow transformers", equation 23.

    >>> flow_shift(np.array([0.0, 0.25, 0.5, 0.75, 1.0]), 3.0)
    array([0.  , 0.5 , 0.75, 0.9 , 1.  ])
    """
    return shift * t / (1 + (shift - 1) * t)  # levels


def flow_shift_exponential(
    t: Fraction[Array, "levels"], mu: Float[float, ""]
) -> Float[Array, "levels"]:
    r"""Shift times towards noise by a factor that is given as its logarithm.

    $$t_\mu = \frac{e^\mu\,t}{1 + (e^\mu - 1)\,t}, \qquad
    \operatorname{logit} t_\mu = \operatorname{logit} t + \mu$$

    t: levels, times in [0, 1].
    mu: μ, the logarithm of the shift; 0 leaves the times.

    Returns levels, times in [0, 1]; 0 and 1 stay.

    Raises AxesError for a time outside [0, 1].

    Elsewhere: Flux takes μ linear in the number of tokens, 0.5 at 256 and 1.15 at 4096, and writes
    the same as a quotient by 1/t - 1, which has no value at 0. diffusers' time_shift_type "linear"
    has μ itself for the factor.

    Paper: Esser et al. 2024, "Scaling rectified flow transformers", equation 23.

    >>> flow_shift_exponential(np.array([0.0, 0.25, 0.5, 1.0]), np.log(3.0)).round(6)
    array([0.  , 0.5 , 0.75, 1.  ])
    """
    shift = np.exp(mu)
    return shift * t / (1 + (shift - 1) * t)  # levels


def logit_normal_density(
    t: Fraction[Array, "B"], mean: Float[float, ""], std: Positive[float, ""]
) -> Float[Array, "B"]:
    r"""The density of training times whose logit is normally distributed.

    $$\pi(t) = \frac{1}{s\sqrt{2\pi}}\,\frac{1}{t(1 - t)}
    \exp\left(-\frac{(\operatorname{logit} t - m)^2}{2 s^2}\right)$$

    t: B, times in [0, 1].
    mean: m, of the logit; above 0 for more noise.
    std: s, of the logit, above 0.

    Returns B, a density over [0, 1], 0 at both ends.

    Raises AxesError for a time outside [0, 1] or a deviation that is not above 0.

    Elsewhere: times are drawn from it, or drawn uniformly and the loss is weighted by it; never
    both.

    Paper: Esser et al. 2024, "Scaling rectified flow transformers", equation 19.

    >>> logit_normal_density(np.array([0.0, 0.1, 0.5, 0.9]), 0.0, 1.0).round(4)
    array([0.    , 0.3966, 1.5958, 0.3966])
    """
    ends = (t == 0) | (t == 1)
    inside = np.where(ends, 0.5, t)  # B
    apart = (np.log(inside) - np.log(1 - inside) - mean) / std  # B
    scale = np.sqrt(2 * pi(t)) * std
    density = np.exp(-apart * apart / constant(2, t)) / (scale * inside * (1 - inside))
    return np.where(ends, 0, density)  # B


def cosmap_density(t: Fraction[Array, "B"]) -> Float[Array, "B"]:
    r"""The density of training times at which the levels of a cosine schedule are drawn evenly.

    $$\pi(t) = \frac{2}{\pi\,(1 - 2t + 2t^2)}
    = \frac{\mathrm{d}}{\mathrm{d}t}\,\frac{2}{\pi}\arctan\frac{t}{1 - t}$$

    t: B, times in [0, 1].

    Returns B, a density over [0, 1], twice as large in the middle as at both ends.

    Raises AxesError for a time outside [0, 1].

    Elsewhere: times are drawn from it, or drawn uniformly and the loss is weighted by it; never
    both. diffusers weights by it, weighting_scheme "cosmap".

    Paper: Esser et al. 2024, "Scaling rectified flow transformers", equation 22.

    >>> cosmap_density(np.array([0.0, 0.3, 0.5, 1.0])).round(4)
    array([0.6366, 1.0976, 1.2732, 0.6366])
    """
    return 2 / (pi(t) * ((1 - t) * (1 - t) + t * t))  # B


def mode_time(u: Fraction[Array, "B"], scale: Float[float, ""]) -> Float[Array, "B"]:
    r"""Training times with a mode in the middle or at the ends, from uniform numbers.

    $$t = 1 - u - s\left(\cos^2\frac{\pi u}{2} - 1 + u\right)$$

    u: B, uniform numbers in [0, 1].
    scale: s, above 0 for more times in the middle, below 0 for more at the ends, 0 for even ones;
        times fall as u grows for -1 to 2/(π - 2).

    Returns B, times: 1 for u = 0, 0 for u = 1.

    Raises AxesError for a number outside [0, 1].

    Elsewhere: diffusers' weighting_scheme "mode", with 1.29 for the scale.

    Paper: Esser et al. 2024, "Scaling rectified flow transformers", equation 20.

    >>> mode_time(np.array([0.0, 0.25, 0.5, 0.75]), 1.29).round(4)
    array([1.    , 0.6164, 0.5   , 0.3836])
    """
    cosine = np.cos(pi(u) * u / 2)  # B
    return 1 - u - scale * (cosine * cosine - (1 - u))  # B
