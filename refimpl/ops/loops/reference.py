"""Loops of samplers, judged whole: which times are visited, in which order, and where they end.

The network is data: at each time, or level, it answers with a straight line in the sample, another
one at another time. So an answer asked at the wrong time, a step to the wrong one and a time left
out each lead to another end.
"""

import numpy as np

from refimpl.axes import AlphaBar, Array, Float, Fraction, Kept, Positive
from refimpl.ops.diffusion.reference import ddim_step
from refimpl.ops.flow.reference import flow_euler_step
from refimpl.ops.samplers.reference import euler_step


def ddim_loop(
    x: Float[Array, "B ..."],
    timesteps: Kept[Array, "K", "T"],
    alpha_bar: AlphaBar[Array, "T"],
    slope: Float[Array, "T"],
    offset: Float[Array, "T"],
) -> Float[Array, "B ..."]:
    r"""The DDIM sampler: from noise to clean samples over kept times, without fresh noise.

    $$x \leftarrow \mathrm{ddim}(x, \tau_k, \tau_{k-1}, \epsilon(x, \tau_k)), \quad
    k = K - 1, \dots, 0, \quad \tau_{-1} = -1, \qquad \epsilon(x, t) = a_t\,x + b_t$$

    x: B ..., standard normal numbers, the samples at the last kept time.
    timesteps: K, the kept times, zero-based and increasing.
    alpha_bar: T, shares of signal ᾱ in (0, 1], indexed by the zero-based time.
    slope: T, a, of the noise that the network predicts, indexed by the time of the whole chain.
    offset: T, b, its prediction where the sample is 0.

    Returns B ..., clean samples: the last step is to time -1, whose share of signal is 1.

    Raises AxesError for times that do not increase or are not below T.

    Elsewhere: Stable Diffusion's samplers end at the share of time 0 (set_alpha_to_one=False).
    diffusers steps T // K down, whatever the list of times says.

    Paper: Song, Meng, Ermon 2021, "Denoising diffusion implicit models", section 4.2.

    >>> share, nothing = np.array([0.64, 0.36, 0.16]), np.zeros(3)
    >>> ddim_loop(np.array([2.0]), np.array([0, 2]), share, nothing, nothing)
    array([5.])
    """
    for k in range(len(timesteps) - 1, -1, -1):
        t = timesteps[k]
        t_prev = timesteps[k - 1] if k else -1
        eps = slope[t] * x + offset[t]
        times, earlier = np.full(len(x), t), np.full(len(x), t_prev)  # B
        x = ddim_step(x, times, earlier, eps, 0 * x, alpha_bar, 0)
    return x


def euler_loop(
    noise: Float[Array, "..."],
    sigmas: Positive[Array, "levels"],
    slope: Float[Array, "levels"],
    offset: Float[Array, "levels"],
) -> Float[Array, "..."]:
    r"""The Euler sampler: down a list of noise levels and on to 0.

    $$x_0 = \sigma_0\,z, \qquad x_{i+1} = \mathrm{euler}(x_i, D(x_i, \sigma_i), \sigma_i,
    \sigma_{i+1}), \quad \sigma_n = 0, \qquad D(x, \sigma_i) = a_i\,x + b_i$$

    noise: ..., z, standard normal numbers.
    sigmas: levels, falling, above 0; the 0 at the end is not among them.
    slope: levels, a, of the clean sample that the network guesses at each level.
    offset: levels, b, its guess where the sample is 0.

    Returns ..., clean samples.

    Raises AxesError for a level that is not above 0 or lists of other lengths.

    Elsewhere: with "leading" times diffusers starts at √(σ₀² + 1).

    Paper: Karras, Aittala, Aila, Laine 2022, "Elucidating the design space of diffusion-based
    generative models", algorithm 1 without its second order.

    >>> euler_loop(np.array([1.0]), np.array([4.0, 1.0]), np.array([0.5, 0.5]), np.zeros(2))
    array([1.25])
    """
    x = sigmas[0] * noise
    for i in range(len(sigmas)):
        sigma_next = sigmas[i + 1] if i + 1 < len(sigmas) else 0 * sigmas[i]
        denoised = slope[i] * x + offset[i]
        x = euler_step(x, denoised, sigmas[i], sigma_next)
    return x


def flow_loop(
    noise: Float[Array, "..."],
    times: Fraction[Array, "levels"],
    slope: Float[Array, "levels"],
    offset: Float[Array, "levels"],
) -> Float[Array, "..."]:
    r"""The flow-matching sampler: from noise to data, over falling times and on to 0.

    $$x_0 = z, \qquad x_{i+1} = x_i + (t_{i+1} - t_i)\,v(x_i, t_i), \quad t_n = 0, \qquad
    v(x, t_i) = a_i\,x + b_i$$

    noise: ..., z, standard normal numbers.
    times: levels, falling from 1; the 0 at the end is not among them.
    slope: levels, a, of the velocity that the network predicts at each time.
    offset: levels, b, its velocity where the sample is 0.

    Returns ..., clean samples.

    Raises AxesError for a time outside [0, 1] or lists of other lengths.

    Elsewhere: where the data is at time 1, times rise and the velocity points to the data.

    Paper: Liu, Gong, Liu 2023, "Flow straight and fast", section 2.1.

    >>> flow_loop(np.array([2.0]), np.array([1.0, 0.5]), np.zeros(2), np.array([4.0, 2.0]))
    array([-1.])
    """
    x = noise
    for i in range(len(times)):
        t_next = times[i + 1] if i + 1 < len(times) else 0 * times[i]
        velocity = slope[i] * x + offset[i]
        x = flow_euler_step(x, velocity, times[i], t_next)
    return x
