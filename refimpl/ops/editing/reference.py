"""Editing: pictures that are noised in part or kept in part, two wishes, and weighted losses."""

import numpy as np

from refimpl.axes import (
    AlphaBar,
    Array,
    Betas,
    Float,
    Fraction,
    Index,
    LogVariance,
    Pixel,
    Positive,
    Scale,
    Stride,
    Total,
)
from refimpl.constants import constant, log_ndtr
from refimpl.ops.diffusion.reference import q_posterior


def img2img_start(levels: Stride[int, ""], strength: Fraction[float, ""]) -> Total[Array, ""]:
    r"""Where to start on a list of noise levels when a picture is to be changed, not made.

    $$i = n - \lfloor n s \rfloor = \left|\{k \in 1, \dots, n : k > n s\}\right|$$

    levels: n, the number of steps of the whole list.
    strength: s, the share of the steps that are made; 1 starts from noise alone.

    Returns i, the zero-based step to start with; the picture gets the noise of its level. The
    product is one of floats: where it is rounded to or from a whole number, one step more or less
    is as right. Of 100 steps a strength of 0.29 makes 28.

    Raises AxesError for a strength outside [0, 1]; DomainError where no step is left, n s < 1.

    Elsewhere: Stable Diffusion 3 and Flux start at `img2img_start_flow`. Samplers of diffusers that
    call the network twice a step have two entries for each level.

    Paper: Meng et al. 2022, "SDEdit: Guided image synthesis and editing with stochastic
    differential equations", section 3; the rule is that of Stable Diffusion's code.

    >>> img2img_start(50, 0.75)
    np.int64(13)
    """
    made = levels * strength
    if made < 1:
        raise ValueError(f"no step is left: {levels} steps at a strength of {strength}")
    return np.sum(np.arange(1, levels + 1) > made)


def img2img_start_flow(levels: Stride[int, ""], strength: Fraction[float, ""]) -> Total[Array, ""]:
    r"""Where flow models start when a picture is to be changed: a step that is begun is made.

    $$i = \lfloor n - n s \rfloor = \left|\{k \in 1, \dots, n : k \le n - n s\}\right|$$

    levels: n, the number of steps of the whole list.
    strength: s, above 0, the share of the steps that are made; 1 starts from noise alone.

    Returns i, the zero-based step to start with; the picture gets the noise of its level. The
    difference is one of floats: where it is rounded to or from a whole number, one step more or
    less is as right.

    Raises AxesError for a strength outside [0, 1]; DomainError for 0.

    Elsewhere: Stable Diffusion and SDXL start at `img2img_start`, one step later unless n s is a
    whole number.

    Paper: Meng et al. 2022, "SDEdit: Guided image synthesis and editing with stochastic
    differential equations", section 3; the rule is that of Stable Diffusion 3 in diffusers.

    >>> img2img_start_flow(50, 0.75)
    np.int64(12)
    """
    if strength <= 0:
        raise ValueError("strength is 0, expected above 0")
    skipped = levels - levels * strength
    return np.sum(np.arange(1, levels + 1) <= skipped)


def inpaint_blend(
    sample: Float[Array, "B channels height width"],
    known: Float[Array, "B channels height width"],
    mask: Fraction[Array, "broadcastable B channels height width"],
) -> Float[Array, "B channels height width"]:
    r"""Inpainting: put the known part of an image back after each step.

    $$x = m\,x_\mathrm{sample} + (1 - m)\,x_\mathrm{known}$$

    sample: B channels height width, what the step gave.
    known: B channels height width, the picture, with the noise of the level that the step reached;
        clean after the last step.
    mask: broadcastable to the picture, in [0, 1]; 1 where it is repainted.

    Returns B channels height width.

    Raises AxesError for shapes that differ or a mask outside [0, 1].

    Elsewhere: some masks are 1 where the picture is kept. Noise that is added to the known part
    must be that of the level reached, not of the level left.

    Paper: Lugmayr et al. 2022, "RePaint: Inpainting using denoising diffusion probabilistic
    models", equation 8.

    >>> mask = np.array([[[[0.0, 0.5, 1.0]]]])
    >>> inpaint_blend(np.full((1, 1, 1, 3), 8.0), np.full((1, 1, 1, 3), 2.0), mask)
    array([[[[2., 5., 8.]]]])
    """
    return mask * sample + (1 - mask) * known


def guidance_two(
    eps_none: Float[Array, "..."],
    eps_image: Float[Array, "..."],
    eps_both: Float[Array, "..."],
    image_scale: Scale[float, ""],
    text_scale: Scale[float, ""],
) -> Float[Array, "..."]:
    r"""Guidance by an image and a text at once, each with its own scale.

    $$\hat\epsilon = \epsilon(\varnothing, \varnothing) + s_I\,\Delta_I + s_T\,\Delta_T, \qquad
    \Delta_I = \epsilon(I, \varnothing) - \epsilon(\varnothing, \varnothing), \qquad
    \Delta_T = \epsilon(I, T) - \epsilon(I, \varnothing)$$

    eps_none: ..., predicted with neither.
    eps_image: ..., predicted with the picture alone.
    eps_both: ..., predicted with the picture and the text.
    image_scale: s_I, 1.5 in the paper.
    text_scale: s_T, 7.5 in the paper.

    Returns ..., the guided prediction.

    Raises AxesError for shapes that differ.

    Elsewhere: diffusers stacks the batch as both, picture, neither.

    Paper: Brooks, Holynski, Efros 2023, "InstructPix2Pix: Learning to follow image editing
    instructions", equation 3.

    >>> guidance_two(np.array([0.5]), np.array([0.7]), np.array([1.0]), 1.5, 7.5).round(12)
    array([3.05])
    """
    of_image = image_scale * (eps_image - eps_none)
    return eps_none + of_image + text_scale * (eps_both - eps_image)


def min_snr_weights(
    alpha_bar: AlphaBar[Array, "T"],
    t: Index[Array, "B", "T"],
    gamma: Positive[float, ""],
) -> tuple[Float[Array, "B"], Float[Array, "B"], Float[Array, "B"]]:
    r"""The weight of a squared error at each time: the signal-to-noise ratio, capped at gamma.

    $$w_{x_0} = \min(\mathrm{snr}, \gamma), \qquad w_\epsilon = \frac{w_{x_0}}{\mathrm{snr}}, \qquad
    w_v = \frac{w_{x_0}}{\mathrm{snr} + 1}, \qquad
    \mathrm{snr} = \frac{\bar\alpha_t}{1 - \bar\alpha_t}$$

    alpha_bar: T, shares of signal ᾱ in [0, 1], indexed by the zero-based time.
    t: B, zero-based times.
    gamma: γ, the cap of the ratio, above 0; 5 in the paper.

    Returns B each: the weights of an error of the noise, of v and of the clean sample.

    Raises AxesError for a share outside [0, 1] or a gamma that is not above 0.

    Elsewhere: the weights are written in shares here, so that noise alone is no quotient by 0: the
    weight of the noise is 1 there, those of v and of the sample 0.

    Paper: Hang et al. 2023, "Efficient diffusion training via Min-SNR weighting strategy", section
    3.4; for v, with the ratio of Salimans and Ho 2022, "Progressive distillation", appendix D.

    >>> eps, v, x0 = min_snr_weights(np.array([0.9, 0.5, 0.0]), np.arange(3), 5.0)
    >>> eps.round(3), v.round(3), x0.round(3)
    (array([0.556, 1.   , 1.   ]), array([0.5, 0.5, 0. ]), array([5., 1., 0.]))
    """
    share = alpha_bar[t]  # B
    rest = 1 - share  # B
    of_eps = gamma * rest / np.maximum(share, gamma * rest)
    of_v = np.minimum(share, gamma * rest)
    of_start = share / np.maximum(rest, share / gamma)
    return of_eps, of_v, of_start


def guidance_rescale(
    guided: Float[Array, "B D+1"], conditional: Float[Array, "B D+1"], share: Fraction[float, ""]
) -> Float[Array, "B D+1"]:
    r"""Rescale a guided prediction towards the deviation of the conditional one.

    $$y = \phi\, g\, \frac{\operatorname{std}(c)}{\operatorname{std}(g)} + (1 - \phi)\, g$$

    guided: B D+1, g, the prediction after guidance, all numbers of a sample in a row,
        at least two.
    conditional: B D+1, c, the prediction with the prompt and without guidance.
    share: φ, from 0, no rescaling, to 1; 0.7 in the paper.

    Returns B D+1, the prediction to go on with.

    Raises AxesError for shapes that differ; DomainError where all numbers of a guided sample are
    equal.

    Elsewhere: whether the deviations divide by n or n - 1 does not count, since they do so alike.

    Paper: Lin, Liu, Li, Yang 2024, "Common diffusion noise schedules and sample steps are flawed",
    section 3.4.

    >>> guidance_rescale(np.array([[4.0, -4.0]]), np.array([[1.0, -1.0]]), 0.5)
    array([[ 2.5, -2.5]])
    """
    spread = [z - np.mean(z, axis=1, keepdims=True) for z in (conditional, guided)]
    squares = [np.sum(z * z, axis=1, keepdims=True) for z in spread]  # B 1 each
    factor = np.sqrt(squares[0] / squares[1])  # B 1
    return share * (guided * factor) + (1 - share) * guided


def gaussian_kl(
    q_mean: Float[Array, "..."],
    q_log_variance: LogVariance[Array, "..."],
    p_mean: Float[Array, "..."],
    p_log_variance: LogVariance[Array, "..."],
) -> Float[Array, "..."]:
    r"""The KL divergence between two normal distributions for each number, in nats.

    $$\mathrm{KL}(q \,\|\, p) = \tfrac12 \left( (\mu_q - \mu_p)^2 e^{-\ell_p}
    + e^{\ell_q - \ell_p} - 1 - (\ell_q - \ell_p) \right)$$

    q_mean: ..., μ of q, over which the mean is taken: the posterior, in diffusion.
    q_log_variance: ..., ℓ of q, natural logarithms of its variances.
    p_mean: ..., μ of p: the model's, in diffusion.
    p_log_variance: ..., ℓ of p.

    Returns ..., 0 or more, number by number: nothing is summed.

    Raises AxesError for shapes that differ.

    Elsewhere: PyTorch's `kl_divergence` takes deviations. `posterior_kl` is the sum over a sample
    for p standard normal.

    Paper: Ho, Jain, Abbeel 2020, "Denoising diffusion probabilistic models", equation 5, whose
    terms are such divergences.

    >>> q, p = (np.array([0.1]), np.array([-0.5])), (np.array([0.3]), np.array([0.2]))
    >>> gaussian_kl(*q, *p).round(6)
    array([0.114667])
    """
    between = q_log_variance - p_log_variance
    apart = q_mean - p_mean
    return (apart * apart * np.exp(-p_log_variance) + np.exp(between) - 1 - between) / 2


def discretized_gaussian_nll(
    x: Pixel[Array, "..."],
    mean: Float[Array, "..."],
    log_variance: LogVariance[Array, "..."],
) -> Float[Array, "..."]:
    r"""The negative log likelihood of 8-bit pixels under a normal distribution cut into bins.

    $$-\ln\left(\Phi\left(\frac{x + \frac{1}{255} - \mu}{\sigma}\right)
    - \Phi\left(\frac{x - \frac{1}{255} - \mu}{\sigma}\right)\right), \quad
    \sigma = e^{\ell / 2}$$

    x: ..., pixels in [-1, 1]; a bin is 2/255 wide, the first and the last have no outer end.
    mean: ..., μ of the normal distribution.
    log_variance: ..., ℓ, natural logarithms of its variances.

    Returns ..., 0 or more, in nats. Both ends of a bin are mirrored into the lower tail, where
    logarithms of Φ keep their digits: log(a - b) = log a + log(1 - exp(log b - log a)).

    Raises AxesError for shapes that differ or a pixel outside [-1, 1]; DomainError where a bin is
    so narrow beside σ that both ends have one logarithm.

    Elsewhere: Ho's code, improved and guided diffusion approximate Φ by a tanh, up to 1.8e-4 off,
    and take no probability below 1e-12: no more than 27.6 nats. Latents have no bins.

    Paper: Ho, Jain, Abbeel 2020, "Denoising diffusion probabilistic models", equation 13.

    >>> log_variance = 2 * np.log(np.array([0.1]))
    >>> discretized_gaussian_nll(np.array([2 * 128 / 255 - 1]), np.array([0.02]), log_variance)
    array([3.47764526])
    """
    half, rate = 1 / constant(255, x), np.exp(-log_variance / 2)
    above, below = (x + half - mean) * rate, (x - half - mean) * rate
    near = log_ndtr(np.minimum(above, -below))
    far = log_ndtr(np.minimum(below, -above))
    inside = near + np.log(-np.expm1(far - near))
    outside = np.where(x < 0, log_ndtr(above), log_ndtr(-below))
    return -np.where(np.abs(x) < 1, inside, outside)


def vlb_bits(
    x_start: Pixel[Array, "B ..."],
    x_t: Float[Array, "B ..."],
    t: Index[Array, "B", "T"],
    mean: Float[Array, "B ..."],
    log_variance: LogVariance[Array, "B ..."],
    betas: Betas[Array, "T"],
) -> Float[Array, "B"]:
    r"""One term of the variational bound of diffusion, in bits of a number of the sample.

    $$L_t = \frac{1}{D \ln 2} \sum_d \begin{cases} -\ln p(x_{0,d} \mid x_t) & t = 0 \\
    \mathrm{KL}\left(q(x_{t-1,d} \mid x_t, x_0) \,\|\, p(x_{t-1,d} \mid x_t)\right) & t > 0
    \end{cases}$$

    x_start: B ..., clean samples, pixels in [-1, 1].
    x_t: B ..., samples at time t.
    t: B, zero-based times below T, one for each sample.
    mean: B ..., μ of the model's reverse step at time t.
    log_variance: B ..., its ℓ, natural logarithms of variances.
    betas: T, variances in (0, 1], indexed by the zero-based time; T is at least 2.

    Returns B, 0 or more: `discretized_gaussian_nll` at t = 0, `gaussian_kl` from `q_posterior`
    later, each a mean over the numbers of a sample, in bits. Their sum over t, with the divergence
    of the last x_t from standard normal noise, bounds the bits that a number takes.

    Raises AxesError for shapes that differ, a pixel outside [-1, 1], a time outside the table, a
    variance outside (0, 1] or T = 1.

    Elsewhere: improved diffusion weighs it with T / 1000 in the loss that trains the variance, and
    lets no gradient through the mean there.

    Paper: Nichol, Dhariwal 2021, "Improved denoising diffusion probabilistic models", equations 4
    to 7.

    >>> x, t, betas = np.array([[1.0], [-1.0]]), np.array([1, 0]), np.array([0.5, 0.5])
    >>> vlb_bits(x, 0 * x, t, x, 0 * x, betas).round(4)
    array([0.5131, 0.9955])
    """
    true_mean, _, true_log_variance = q_posterior(x_start, x_t, t, betas)
    divergence = gaussian_kl(true_mean, true_log_variance, mean, log_variance)
    surprise = discretized_gaussian_nll(x_start, mean, log_variance)
    rest = tuple(range(1, x_t.ndim))
    nats = [np.mean(each, axis=rest) for each in (surprise, divergence)]  # B each
    return np.where(t == 0, *nats) / np.log(constant(2, mean))
