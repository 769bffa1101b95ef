"""Diffusion: how noise is added, and the steps that take it away again.

Times are zero-based: t = 0 is the first noise level, and the share of signal before it is 1.
"""

import numpy as np

from refimpl.axes import (
    AlphaBar,
    Array,
    AxesError,
    Betas,
    Count,
    Float,
    Fraction,
    Index,
    Kept,
    Limit,
    LogVariance,
    Previous,
    Size,
)
from refimpl.constants import constant, pi


def linear_schedule(
    steps: Size[int, "T"],
    beta_start: Fraction[float, ""],
    beta_end: Fraction[float, ""],
) -> Float[Array, "T"]:
    r"""Noise variances that grow by equal steps from the first to the last.

    $$\beta_t = \beta_{\mathrm{start}}
    + \frac{t}{T-1} (\beta_{\mathrm{end}} - \beta_{\mathrm{start}})$$

    steps: T, the number of diffusion steps; a single one has the first variance.
    beta_start: a variance in [0, 1], at t = 0.
    beta_end: a variance in [0, 1], at t = T-1.

    Returns T, variances in [0, 1], indexed by the zero-based time.

    Raises AxesError for a variance outside [0, 1] or a number of steps below zero.

    Elsewhere: 1e-4 and 0.02 at T = 1000; guided-diffusion multiplies both by 1000/T for other T,
    diffusers does not. Latent diffusion calls this schedule "sqrt_linear".

    Paper: Ho, Jain, Abbeel 2020, "Denoising diffusion probabilistic models", section 4.

    >>> linear_schedule(5, 0.1, 0.5)
    array([0.1, 0.2, 0.3, 0.4, 0.5])
    """
    return np.linspace(beta_start, beta_end, steps)  # T


def scaled_linear_schedule(
    steps: Size[int, "T"],
    beta_start: Fraction[float, ""],
    beta_end: Fraction[float, ""],
) -> Float[Array, "T"]:
    r"""Noise variances whose square roots grow by equal steps.

    $$\sqrt{\beta_t} = \sqrt{\beta_{\mathrm{start}}}
    + \frac{t}{T-1} (\sqrt{\beta_{\mathrm{end}}} - \sqrt{\beta_{\mathrm{start}}})$$

    steps: T, the number of diffusion steps; a single one has the first variance.
    beta_start: a variance in [0, 1], at t = 0.
    beta_end: a variance in [0, 1], at t = T-1.

    Returns T, variances in [0, 1], indexed by the zero-based time.

    Raises AxesError for a variance outside [0, 1] or a number of steps below zero.

    Elsewhere: Stable Diffusion takes 8.5e-4 and 0.012. The name differs: "scaled_linear" in
    diffusers, "linear" in latent diffusion, "quad" in the code of Ho et al.

    Paper: Rombach, Blattmann, Lorenz, Esser, Ommer 2022, "High-resolution image synthesis with
    latent diffusion models", in its code.

    >>> scaled_linear_schedule(3, 0.01, 0.25).round(4)
    array([0.01, 0.09, 0.25])
    """
    return np.linspace(np.sqrt(beta_start), np.sqrt(beta_end), steps) ** 2  # T


def cosine_schedule(
    steps: Size[int, "T"],
    offset: Fraction[float, ""],
    beta_max: Fraction[float, ""],
) -> Float[Array, "T"]:
    r"""Noise variances for which ᾱ falls along a squared cosine.

    $$\beta_t = \min\left(1 - \frac{f(t+1)}{f(t)}, \beta_{\max}\right), \quad
    f(t) = \cos^2\left(\frac{\pi}{2} \cdot \frac{t/T + s}{1 + s}\right)$$

    steps: T, the number of diffusion steps, at least 1.
    offset: s in [0, 1], in units of the whole chain; keeps the first variances above zero.
    beta_max: a cap on the variances in [0, 1]; it acts on the last steps.

    Returns T, variances in [0, 1], indexed by the zero-based time.

    Raises AxesError for an offset or a cap outside [0, 1] or a number of steps below zero.

    Elsewhere: offset 0.008 and cap 0.999. ᾱ is the product of 1 minus the capped variances;
    f(t+1)/f(0) is another number at the last step. Latent diffusion divides f by f(0) first.

    Paper: Nichol, Dhariwal 2021, "Improved denoising diffusion probabilistic models",
    equation 17.

    >>> cosine_schedule(4, 0.008, 0.999).round(3)
    array([0.153, 0.417, 0.708, 0.999])
    """
    share = (np.arange(steps + 1) / constant(steps, offset) + offset) / (1 + offset)  # T+1
    f = np.cos(pi(share) / 2 * share) ** 2  # T+1
    return np.minimum(1 - f[1:] / f[:-1], beta_max)  # T


def alpha_bar(betas: Betas[Array, "T"]) -> Float[Array, "T"]:
    r"""The share ᾱ of the signal's variance that is left after each step.

    $$\bar\alpha_t = \prod_{s=0}^{t} (1 - \beta_s)$$

    betas: T, variances in (0, 1], indexed by the zero-based time.

    Returns T, shares in [0, 1), falling, indexed by the zero-based time; the share before the
    first step, 1, is not among them.

    Raises AxesError for variances outside (0, 1].

    Elsewhere: "alphas_cumprod". Some write a table of T+1 entries that starts with the 1 of the
    clean image, and then count times from one.

    Paper: Ho, Jain, Abbeel 2020, "Denoising diffusion probabilistic models", above equation 4.

    >>> alpha_bar(np.array([0.5, 0.5, 0.2])).round(3)
    array([0.5 , 0.25, 0.2 ])
    """
    return np.cumprod(1 - betas)  # T


def zero_terminal_snr(betas: Betas[Array, "T"]) -> Float[Array, "T"]:
    r"""Variances rescaled so that the last step leaves no signal and the first ᾱ stays.

    $$r_t = \left(\sqrt{\bar\alpha_t} - \sqrt{\bar\alpha_{T-1}}\right)
    \frac{\sqrt{\bar\alpha_0}}{\sqrt{\bar\alpha_0} - \sqrt{\bar\alpha_{T-1}}}, \quad
    \beta'_t = 1 - \frac{r_t^2}{r_{t-1}^2}, \quad r_{-1} = 1$$

    betas: T, variances in (0, 1], indexed by the zero-based time; T is at least 2.

    Returns T, variances in (0, 1], the last of them 1.

    Raises AxesError for variances outside (0, 1]; DomainError for T = 1 and where a variance
    before the last step is 1, as the signal is gone too early.

    Elsewhere: diffusers and ComfyUI keep the last ᾱ a little above zero (2^-24 and 4.9e-8),
    because noise cannot be predicted where no signal is left.

    Paper: Lin, Liu, Li, Yang 2024, "Common diffusion noise schedules and sample steps are
    flawed", algorithm 1.

    >>> zero_terminal_snr(np.array([0.1, 0.2, 0.3])).round(3)
    array([0.1  , 0.663, 1.   ])
    """
    root = np.sqrt(alpha_bar(betas))  # T
    root = (root - root[-1]) * (root[0] / (root[0] - root[-1]))
    return betas_from_alpha_bar(root * root)  # T


def betas_from_alpha_bar(alpha_bar: AlphaBar[Array, "T"]) -> Float[Array, "T"]:
    r"""The variances that lead to given shares of signal: one minus the ratio of neighbours."""
    return 1 - alpha_bar / before(alpha_bar)  # T


def before(alpha_bar: AlphaBar[Array, "T"]) -> Float[Array, "T"]:
    r"""The share of signal one step earlier, 1 before the first."""
    return np.concatenate((np.ones(1), alpha_bar[:-1]))  # T


def at(table: Float[Array, "T"], t: Index[Array, "B", "T"], like: Float[Array, "B ..."]) -> Array:
    r"""The table's value at each sample's time, shaped to meet a batch like `like`."""
    return np.reshape(table[t], (-1,) + (1,) * (like.ndim - 1))  # B 1 ...


def q_sample(
    x_start: Float[Array, "B ..."],
    t: Index[Array, "B", "T"],
    noise: Float[Array, "B ..."],
    alpha_bar: AlphaBar[Array, "T"],
) -> Float[Array, "B ..."]:
    r"""The forward process in one step: a clean sample, noised to time t.

    $$x_t = \sqrt{\bar\alpha_t}\,x_0 + \sqrt{1 - \bar\alpha_t}\,\epsilon$$

    x_start: B ..., clean samples, customarily in [-1, 1].
    t: B, zero-based times below T, one for each sample.
    noise: B ..., standard normal numbers.
    alpha_bar: T, shares of signal ᾱ in [0, 1], indexed by the zero-based time.

    Returns B ..., noised samples.

    Raises AxesError for shapes that differ, a time outside the table or a share outside [0, 1].

    Elsewhere: "add_noise" in diffusers. Samplers that scale by sigma write x_0 + sigma epsilon,
    which is this divided by the root of the share.

    Paper: Ho, Jain, Abbeel 2020, "Denoising diffusion probabilistic models", equation 4.

    >>> q_sample(np.array([[1.0]]), np.array([0]), np.array([[2.0]]), np.array([0.64])).round(3)
    array([[2.]])
    """
    share = at(alpha_bar, t, x_start)  # B 1 ...
    return np.sqrt(share) * x_start + np.sqrt(1 - share) * noise


def q_sample_vjp(
    t: Index[Array, "B", "T"],
    alpha_bar: AlphaBar[Array, "T"],
    grad: Float[Array, "B ..."],
) -> tuple[Float[Array, "B ..."], Float[Array, "B ..."]]:
    r"""The gradients of a loss that follows `q_sample`.

    $$\bar x_0 = \sqrt{\bar\alpha_t}\,\bar x_t, \qquad
    \bar\epsilon = \sqrt{1 - \bar\alpha_t}\,\bar x_t$$

    where a bar over a sample is its gradient.

    t: B, zero-based times below T, one for each sample.
    alpha_bar: T, shares of signal ᾱ in [0, 1], indexed by the zero-based time.
    grad: B ..., the gradient with respect to the noised samples.

    Returns B ..., the gradient of the clean samples; and B ..., of the noise.

    Raises AxesError for shapes that differ, a time outside the table or a share outside [0, 1].

    Elsewhere: with x_0 + sigma epsilon the factors are 1 and sigma.

    Paper: Ho, Jain, Abbeel 2020, "Denoising diffusion probabilistic models", equation 4
    differentiated.

    >>> x_start_grad, noise_grad = q_sample_vjp(np.array([0]), np.array([0.64]), np.array([[2.0]]))
    >>> x_start_grad.round(3), noise_grad.round(3)
    (array([[1.6]]), array([[1.2]]))
    """
    share = at(alpha_bar, t, grad)  # B 1 ...
    return np.sqrt(share) * grad, np.sqrt(1 - share) * grad


def q_step(
    x_prev: Float[Array, "B ..."],
    t: Index[Array, "B", "T"],
    noise: Float[Array, "B ..."],
    betas: Betas[Array, "T"],
) -> Float[Array, "B ..."]:
    r"""One step of the forward process.

    $$x_t = \sqrt{1 - \beta_t}\,x_{t-1} + \sqrt{\beta_t}\,\epsilon$$

    x_prev: B ..., samples one step cleaner; the clean samples themselves for t = 0.
    t: B, zero-based times below T, one for each sample.
    noise: B ..., standard normal numbers.
    betas: T, variances in (0, 1], indexed by the zero-based time.

    Returns B ..., samples at time t.

    Raises AxesError for shapes that differ, a time outside the table or a variance outside
    (0, 1].

    Elsewhere: papers count the same steps from one, so that their x_1 is the result at t = 0.

    Paper: Ho, Jain, Abbeel 2020, "Denoising diffusion probabilistic models", equation 2.

    >>> q_step(np.array([[1.0]]), np.array([0]), np.array([[2.0]]), np.array([0.36])).round(3)
    array([[2.]])
    """
    beta = at(betas, t, x_prev)  # B 1 ...
    return np.sqrt(1 - beta) * x_prev + np.sqrt(beta) * noise


def posterior_variance(betas: Betas[Array, "T"]) -> Float[Array, "T"]:
    r"""Variances of the posterior, 0 at t = 0, where the sample itself is known."""
    share = alpha_bar(betas)  # T
    return betas * (1 - before(share)) / (1 - share)  # T


def q_posterior(
    x_start: Float[Array, "B ..."],
    x_t: Float[Array, "B ..."],
    t: Index[Array, "B", "T"],
    betas: Betas[Array, "T"],
) -> tuple[Float[Array, "B ..."], Float[Array, "B ..."], Float[Array, "B ..."]]:
    r"""Mean and variance of the sample one step cleaner, given the clean and the noised one.

    $$\tilde\mu_t = \frac{\sqrt{\bar\alpha_{t-1}}\,\beta_t}{1 - \bar\alpha_t} x_0
    + \frac{\sqrt{1 - \beta_t}\,(1 - \bar\alpha_{t-1})}{1 - \bar\alpha_t} x_t, \quad
    \tilde\beta_t = \frac{1 - \bar\alpha_{t-1}}{1 - \bar\alpha_t} \beta_t$$

    x_start: B ..., clean samples, known or predicted.
    x_t: B ..., samples at time t.
    t: B, zero-based times below T, one for each sample.
    betas: T, variances in (0, 1], indexed by the zero-based time; T is at least 2.

    Returns B ..., the mean; B ..., the variance, 0 at t = 0; and B ..., its logarithm, which at
    t = 0 is that of t = 1.

    Raises AxesError for shapes that differ, a time outside the table, a variance outside (0, 1]
    or T = 1.

    Elsewhere: diffusers, latent diffusion and lucidrains clamp the variance at 1e-20 before the
    logarithm, which is then -46.05 at t = 0.

    Paper: Ho, Jain, Abbeel 2020, "Denoising diffusion probabilistic models", equations 6 and 7.

    >>> x = np.array([[1.0]])
    >>> mean, variance, _ = q_posterior(x, x, np.array([1]), np.array([0.5, 0.5]))
    >>> mean.round(3), variance.round(3)
    (array([[0.943]]), array([[0.333]]))
    """
    share = alpha_bar(betas)  # T
    from_start = betas * np.sqrt(before(share)) / (1 - share)  # T
    from_x_t = (1 - before(share)) * np.sqrt(1 - betas) / (1 - share)  # T
    mean = at(from_start, t, x_t) * x_start + at(from_x_t, t, x_t) * x_t
    variance = at(posterior_variance(betas), t, x_t)  # B 1 ...
    log_variance = at(fixed_small_log_variance(betas), t, x_t)  # B 1 ...
    shape = x_t.shape
    return mean, np.broadcast_to(variance, shape), np.broadcast_to(log_variance, shape)


def fixed_small_log_variance(betas: Betas[Array, "T"]) -> Float[Array, "T"]:
    r"""Log variances of the posterior, the lower of the two fixed choices.

    $$\ell_t = \log \tilde\beta_{\max(t, 1)}, \quad
    \tilde\beta_t = \frac{1 - \bar\alpha_{t-1}}{1 - \bar\alpha_t} \beta_t$$

    betas: T, variances in (0, 1], indexed by the zero-based time; T is at least 2.

    Returns T, log variances in nats; the posterior is certain at t = 0, and its entry is that
    of t = 1.

    Raises AxesError for variances outside (0, 1] or T = 1.

    Elsewhere: diffusers, latent diffusion and lucidrains clamp the variance at 1e-20 instead,
    -46.05 at t = 0.

    Paper: Ho, Jain, Abbeel 2020, "Denoising diffusion probabilistic models", section 3.2.

    >>> np.exp(fixed_small_log_variance(np.array([0.5, 0.5, 0.2]))).round(4)
    array([0.3333, 0.3333, 0.1875])
    """
    if len(betas) < 2:
        raise AxesError(f"fixed_small_log_variance: betas has T={len(betas)}, expected at least 2")
    variance = posterior_variance(betas)  # T
    return np.log(np.concatenate((variance[1:2], variance[1:])))  # T


def fixed_large_log_variance(betas: Betas[Array, "T"]) -> Float[Array, "T"]:
    r"""Log variances of the forward steps, the upper of the two fixed choices.

    $$\ell_t = \log \beta_t \text{ for } t \ge 1, \quad \ell_0 = \log \tilde\beta_1$$

    betas: T, variances in (0, 1], indexed by the zero-based time; T is at least 2.

    Returns T, log variances in nats; the entry at t = 0 is the posterior's of t = 1, which gives
    a better decoder likelihood than that of the forward step.

    Raises AxesError for variances outside (0, 1] or T = 1.

    Elsewhere: diffusers keeps log beta at t = 0. Ho et al. use this table for the logarithm alone
    and beta for the variance.

    Paper: Ho, Jain, Abbeel 2020, "Denoising diffusion probabilistic models", section 3.2.

    >>> np.exp(fixed_large_log_variance(np.array([0.5, 0.5, 0.2]))).round(4)
    array([0.3333, 0.5   , 0.2   ])
    """
    if len(betas) < 2:
        raise AxesError(f"fixed_large_log_variance: betas has T={len(betas)}, expected at least 2")
    return np.log(np.concatenate((posterior_variance(betas)[1:2], betas[1:])))  # T


def learned_range_log_variance(
    v: Float[Array, "B ..."],
    t: Index[Array, "B", "T"],
    betas: Betas[Array, "T"],
) -> Float[Array, "B ..."]:
    r"""A log variance that a network interpolates between the two fixed choices.

    $$\log \Sigma_t = \frac{1 + v}{2} \log \beta_t + \frac{1 - v}{2} \log \tilde\beta_{\max(t, 1)}$$

    v: B ..., a network's output, -1 for the posterior's variance and 1 for the forward step's;
        it may lie outside.
    t: B, zero-based times below T, one for each sample.
    betas: T, variances in (0, 1], indexed by the zero-based time; T is at least 2.

    Returns B ..., log variances in nats.

    Raises AxesError for shapes that differ, a time outside the table, a variance outside (0, 1]
    or T = 1.

    Elsewhere: the paper's v is our (v + 1)/2. Some bound v by a tanh or clamp it to [-1, 1].

    Paper: Nichol, Dhariwal 2021, "Improved denoising diffusion probabilistic models",
    equation 15.

    >>> v = np.array([[-1.0, 0.0, 1.0]])
    >>> np.exp(learned_range_log_variance(v, np.array([1]), np.array([0.5, 0.5]))).round(3)
    array([[0.333, 0.408, 0.5  ]])
    """
    share = (v + 1) / 2
    small = at(fixed_small_log_variance(betas), t, v)  # B 1 ...
    large = at(np.log(betas), t, v)  # B 1 ...
    return share * large + (1 - share) * small


def x0_from_eps(
    x_t: Float[Array, "B ..."],
    t: Index[Array, "B", "T"],
    eps: Float[Array, "B ..."],
    alpha_bar: AlphaBar[Array, "T"],
) -> Float[Array, "B ..."]:
    r"""The clean sample that the predicted noise implies.

    $$x_0 = \frac{x_t - \sqrt{1 - \bar\alpha_t}\,\epsilon}{\sqrt{\bar\alpha_t}}$$

    x_t: B ..., samples at time t.
    t: B, zero-based times below T, one for each sample.
    eps: B ..., predicted noise.
    alpha_bar: T, shares of signal ᾱ in (0, 1], indexed by the zero-based time.

    Returns B ..., clean samples, not clipped.

    Raises AxesError for shapes that differ, a time outside the table or a share outside [0, 1];
    DomainError where the share is 0, as noise alone says nothing about the signal.

    Elsewhere: guided-diffusion writes sqrt(1/share) x_t - sqrt(1/share - 1) eps. Samplers clip
    the result to [-1, 1] for pixels, and do not for latents.

    Paper: Ho, Jain, Abbeel 2020, "Denoising diffusion probabilistic models", equation 15.

    >>> x0_from_eps(np.array([[2.0]]), np.array([0]), np.array([[2.0]]), np.array([0.64])).round(3)
    array([[1.]])
    """
    share = at(alpha_bar, t, x_t)  # B 1 ...
    return (x_t - np.sqrt(1 - share) * eps) / np.sqrt(share)


def x0_from_eps_vjp(
    t: Index[Array, "B", "T"],
    alpha_bar: AlphaBar[Array, "T"],
    grad: Float[Array, "B ..."],
) -> tuple[Float[Array, "B ..."], Float[Array, "B ..."]]:
    r"""The gradients of a loss on the predicted clean sample, as guidance needs them.

    $$\bar x_t = \frac{\bar x_0}{\sqrt{\bar\alpha_t}}, \qquad
    \bar\epsilon = -\frac{\sqrt{1 - \bar\alpha_t}}{\sqrt{\bar\alpha_t}}\,\bar x_0$$

    where a bar over a sample is its gradient. The noise is predicted from the noised sample: the
    whole gradient of x_t adds what the network makes of the second.

    t: B, zero-based times below T, one for each sample.
    alpha_bar: T, shares of signal ᾱ in (0, 1], indexed by the zero-based time.
    grad: B ..., the gradient with respect to the clean samples.

    Returns B ..., the gradient of the noised samples with the noise held fixed; and B ..., of the
    predicted noise.

    Raises AxesError for shapes that differ, a time outside the table or a share outside [0, 1];
    DomainError where the share is 0.

    Elsewhere: guidance "without the network's Jacobian" keeps the first and drops the second.

    Paper: Ho, Jain, Abbeel 2020, "Denoising diffusion probabilistic models", equation 15
    differentiated.

    >>> x_t_grad, eps_grad = x0_from_eps_vjp(np.array([0]), np.array([0.64]), np.array([[2.0]]))
    >>> x_t_grad.round(3), eps_grad.round(3)
    (array([[2.5]]), array([[-1.5]]))
    """
    share = at(alpha_bar, t, grad)  # B 1 ...
    x_t_grad = grad / np.sqrt(share)
    return x_t_grad, -np.sqrt(1 - share) * x_t_grad


def eps_from_x0(
    x_t: Float[Array, "B ..."],
    t: Index[Array, "B", "T"],
    x_start: Float[Array, "B ..."],
    alpha_bar: AlphaBar[Array, "T"],
) -> Float[Array, "B ..."]:
    r"""The noise that a predicted clean sample implies.

    $$\epsilon = \frac{x_t - \sqrt{\bar\alpha_t}\,x_0}{\sqrt{1 - \bar\alpha_t}}$$

    x_t: B ..., samples at time t.
    t: B, zero-based times below T, one for each sample.
    x_start: B ..., predicted clean samples.
    alpha_bar: T, shares of signal ᾱ in [0, 1), indexed by the zero-based time.

    Returns B ..., noise.

    Raises AxesError for shapes that differ, a time outside the table or a share outside [0, 1];
    DomainError where the share is 1, as there is no noise.

    Elsewhere: guided-diffusion writes (sqrt(1/share) x_t - x_0) / sqrt(1/share - 1), which fails
    where the share is 0.

    Paper: Ho, Jain, Abbeel 2020, "Denoising diffusion probabilistic models", equation 4 solved
    for the noise.

    >>> eps_from_x0(np.array([[2.0]]), np.array([0]), np.array([[1.0]]), np.array([0.64])).round(3)
    array([[2.]])
    """
    share = at(alpha_bar, t, x_t)  # B 1 ...
    return (x_t - np.sqrt(share) * x_start) / np.sqrt(1 - share)


def velocity(
    x_start: Float[Array, "B ..."],
    t: Index[Array, "B", "T"],
    noise: Float[Array, "B ..."],
    alpha_bar: AlphaBar[Array, "T"],
) -> Float[Array, "B ..."]:
    r"""The velocity: a training target between the noise and minus the clean sample.

    $$v = \sqrt{\bar\alpha_t}\,\epsilon - \sqrt{1 - \bar\alpha_t}\,x_0$$

    x_start: B ..., clean samples.
    t: B, zero-based times below T, one for each sample.
    noise: B ..., the noise that went into x_t.
    alpha_bar: T, shares of signal ᾱ in [0, 1], indexed by the zero-based time.

    Returns B ..., velocities; with x_t they are the clean sample and the noise, rotated.

    Raises AxesError for shapes that differ, a time outside the table or a share outside [0, 1].

    Elsewhere: the sign is a convention that must match x0_from_v. k-diffusion carries it in its
    output factor; flow matching calls a difference without the roots a velocity.

    Paper: Salimans, Ho 2022, "Progressive distillation for fast sampling of diffusion models",
    section 4.

    >>> velocity(np.array([[1.0]]), np.array([0]), np.array([[2.0]]), np.array([0.64])).round(3)
    array([[1.]])
    """
    share = at(alpha_bar, t, x_start)  # B 1 ...
    return np.sqrt(share) * noise - np.sqrt(1 - share) * x_start


def x0_from_v(
    x_t: Float[Array, "B ..."],
    t: Index[Array, "B", "T"],
    v: Float[Array, "B ..."],
    alpha_bar: AlphaBar[Array, "T"],
) -> Float[Array, "B ..."]:
    r"""The clean sample that a predicted velocity implies.

    $$x_0 = \sqrt{\bar\alpha_t}\,x_t - \sqrt{1 - \bar\alpha_t}\,v$$

    x_t: B ..., samples at time t.
    t: B, zero-based times below T, one for each sample.
    v: B ..., predicted velocities.
    alpha_bar: T, shares of signal ᾱ in [0, 1], indexed by the zero-based time.

    Returns B ..., clean samples, not clipped; a share of 0 is no difficulty.

    Raises AxesError for shapes that differ, a time outside the table or a share outside [0, 1].

    Elsewhere: samplers that scale by sigma hold x_t divided by the root of the share, and then
    subtract sigma v / sqrt(1 + sigma^2) from x_t / (1 + sigma^2).

    Paper: Salimans, Ho 2022, "Progressive distillation for fast sampling of diffusion models",
    section 4.

    >>> x0_from_v(np.array([[2.0]]), np.array([0]), np.array([[1.0]]), np.array([0.64])).round(3)
    array([[1.]])
    """
    share = at(alpha_bar, t, x_t)  # B 1 ...
    return np.sqrt(share) * x_t - np.sqrt(1 - share) * v


def eps_from_v(
    x_t: Float[Array, "B ..."],
    t: Index[Array, "B", "T"],
    v: Float[Array, "B ..."],
    alpha_bar: AlphaBar[Array, "T"],
) -> Float[Array, "B ..."]:
    r"""The noise that a predicted velocity implies.

    $$\epsilon = \sqrt{1 - \bar\alpha_t}\,x_t + \sqrt{\bar\alpha_t}\,v$$

    x_t: B ..., samples at time t.
    t: B, zero-based times below T, one for each sample.
    v: B ..., predicted velocities.
    alpha_bar: T, shares of signal ᾱ in [0, 1], indexed by the zero-based time.

    Returns B ..., noise; a share of 0 or 1 is no difficulty.

    Raises AxesError for shapes that differ, a time outside the table or a share outside [0, 1].

    Elsewhere: a sampler that combines several predictions must first convert each with its own
    time and sample.

    Paper: Salimans, Ho 2022, "Progressive distillation for fast sampling of diffusion models",
    appendix D.

    >>> eps_from_v(np.array([[2.0]]), np.array([0]), np.array([[1.0]]), np.array([0.64])).round(3)
    array([[2.]])
    """
    share = at(alpha_bar, t, x_t)  # B 1 ...
    return np.sqrt(1 - share) * x_t + np.sqrt(share) * v


def score_from_eps(
    eps: Float[Array, "B ..."],
    t: Index[Array, "B", "T"],
    alpha_bar: AlphaBar[Array, "T"],
) -> Float[Array, "B ..."]:
    r"""The gradient of the log density that predicted noise implies.

    $$\nabla_{x_t} \log p(x_t) = -\frac{\epsilon}{\sqrt{1 - \bar\alpha_t}}$$

    eps: B ..., predicted noise.
    t: B, zero-based times below T, one for each sample.
    alpha_bar: T, shares of signal ᾱ in [0, 1), indexed by the zero-based time.

    Returns B ..., scores, in nats per unit of x_t.

    Raises AxesError for shapes that differ, a time outside the table or a share outside [0, 1];
    DomainError where the share is 1, as a density without noise has no gradient.

    Elsewhere: some networks predict the score itself; variance-exploding ones divide by sigma
    inside or outside the network.

    Paper: Dhariwal, Nichol 2021, "Diffusion models beat GANs on image synthesis", equation 11.

    >>> score_from_eps(np.array([[0.5, -1.0]]), np.array([0]), np.array([0.75])).round(3)
    array([[-1.,  2.]])
    """
    return -eps / np.sqrt(1 - at(alpha_bar, t, eps))


def eps_from_score(
    score: Float[Array, "B ..."],
    t: Index[Array, "B", "T"],
    alpha_bar: AlphaBar[Array, "T"],
) -> Float[Array, "B ..."]:
    r"""The noise that a gradient of the log density implies.

    $$\epsilon = -\sqrt{1 - \bar\alpha_t}\,\nabla_{x_t} \log p(x_t)$$

    score: B ..., gradients of the log density with respect to x_t, in nats per unit.
    t: B, zero-based times below T, one for each sample.
    alpha_bar: T, shares of signal ᾱ in [0, 1], indexed by the zero-based time.

    Returns B ..., noise.

    Raises AxesError for shapes that differ, a time outside the table or a share outside [0, 1].

    Elsewhere: classifier guidance in DDIM subtracts the same product, with the classifier's
    gradient as the score, from the predicted noise.

    Paper: Dhariwal, Nichol 2021, "Diffusion models beat GANs on image synthesis", equation 11.

    >>> eps_from_score(np.array([[-1.0, 2.0]]), np.array([0]), np.array([0.75])).round(3)
    array([[ 0.5, -1. ]])
    """
    return -np.sqrt(1 - at(alpha_bar, t, score)) * score


def p_sample(
    x_t: Float[Array, "B ..."],
    t: Index[Array, "B", "T"],
    eps: Float[Array, "B ..."],
    noise: Float[Array, "B ..."],
    betas: Betas[Array, "T"],
    log_variance: LogVariance[Array, "broadcastable B ..."],
    clip: Limit[float, ""],
) -> Float[Array, "B ..."]:
    r"""One step of the reverse process: predict x_0, clip, take the posterior's mean, add noise.

    $$\hat x_0 = \frac{x_t - \sqrt{1 - \bar\alpha_t}\,\epsilon}{\sqrt{\bar\alpha_t}}, \quad
    x_{t-1} = \tilde\mu_t\left(\min(\max(\hat x_0, -c), c), x_t\right)
    + [t > 0]\,e^{\frac12 \log \Sigma}\,z$$

    x_t: B ..., samples at time t.
    t: B, zero-based times below T, one for each sample.
    eps: B ..., predicted noise.
    noise: B ..., z, standard normal numbers; unused where t = 0.
    betas: T, variances in (0, 1], indexed by the zero-based time; T is at least 2.
    log_variance: broadcastable to B ..., log variances in nats, fixed or learned.
    clip: c, a positive limit for the predicted clean sample; 1 for pixels, inf for none.

    Returns B ..., samples one step cleaner; the mean itself where t = 0.

    Raises AxesError for shapes that differ, a time outside the table, a variance outside (0, 1],
    a limit not above 0 or T = 1; DomainError where the share of signal is 0.

    Elsewhere: the paper's form, (x_t - beta / sqrt(1 - share) eps) / sqrt(1 - beta), is the same
    without clipping and differs as soon as the clip acts.

    Paper: Ho, Jain, Abbeel 2020, "Denoising diffusion probabilistic models", algorithm 2 and
    equations 7 and 15.

    >>> x, z, log_variance = np.array([[1.0]]), np.array([[0.5]]), np.zeros((1, 1))
    >>> p_sample(x, np.array([1]), 0 * x, z, np.array([0.5, 0.5]), log_variance, 1.0).round(3)
    array([[1.443]])
    """
    x_start = x0_from_eps(x_t, t, eps, alpha_bar(betas))
    x_start = np.minimum(np.maximum(x_start, -clip), clip)
    mean, _, _ = q_posterior(x_start, x_t, t, betas)
    noisy = at(np.arange(len(betas)) > 0, t, x_t)  # B 1 ...
    return mean + noisy * np.exp(log_variance / 2) * noise


def ddim_step(
    x_t: Float[Array, "B ..."],
    t: Index[Array, "B", "T"],
    t_prev: Previous[Array, "B", "T"],
    eps: Float[Array, "B ..."],
    noise: Float[Array, "B ..."],
    alpha_bar: AlphaBar[Array, "T"],
    eta: Fraction[float, ""],
) -> Float[Array, "B ..."]:
    r"""One step of DDIM, to any earlier time.

    $$\sigma = \eta \sqrt{\frac{1 - \bar\alpha_p}{1 - \bar\alpha_t}}
    \sqrt{1 - \frac{\bar\alpha_t}{\bar\alpha_p}}, \quad
    \hat x_0 = \frac{x_t - \sqrt{1 - \bar\alpha_t}\,\epsilon}{\sqrt{\bar\alpha_t}}, \quad
    x_p = \sqrt{\bar\alpha_p}\,\hat x_0 + \sqrt{1 - \bar\alpha_p - \sigma^2}\,\epsilon
    + \sigma z, \quad \bar\alpha_{-1} = 1$$

    x_t: B ..., samples at time t.
    t: B, zero-based times below T, one for each sample.
    t_prev: B, earlier times p, zero-based; -1 for the clean sample.
    eps: B ..., predicted noise.
    noise: B ..., z, standard normal numbers; unused where eta = 0 or p = -1.
    alpha_bar: T, shares of signal in (0, 1), falling, indexed by the zero-based time.
    eta: in [0, 1]; 0 is deterministic, 1 has the variance of the reverse chain.

    Returns B ..., samples at the earlier time.

    Raises AxesError for shapes that differ, times outside the table or a share outside [0, 1];
    DomainError where the share at t is 0 or 1, or grows with time.

    Elsewhere: guided-diffusion clips the predicted clean sample and derives the noise from it
    again; do both before this step. Stable Diffusion ends with the first share in place of 1.

    Paper: Song, Meng, Ermon 2021, "Denoising diffusion implicit models", equations 12 and 16.

    >>> x, z = np.array([[1.0]]), np.array([[0.0]])
    >>> ddim_step(x, np.array([1]), np.array([0]), x, z, np.array([0.64, 0.36]), 0.0).round(3)
    array([[0.867]])
    """
    shares = np.concatenate((alpha_bar, np.ones(1)))  # index -1 finds the 1 before the first step
    share, share_prev = at(shares, t, x_t), at(shares, t_prev, x_t)  # B 1 ...
    sigma = eta * np.sqrt((1 - share_prev) / (1 - share)) * np.sqrt(1 - share / share_prev)
    x_start = (x_t - np.sqrt(1 - share) * eps) / np.sqrt(share)
    rest = np.maximum(1 - share_prev - sigma**2, 0)  # rounding may leave less than nothing
    direction = np.sqrt(rest) * eps
    return np.sqrt(share_prev) * x_start + direction + sigma * noise


def respaced_timesteps(
    steps: Size[int, "T"],
    counts: Count[Array, "S", "T"],
) -> Float[Array, "K"]:
    r"""The times that a shortened chain keeps: some of each section, evenly spaced.

    $$\tau_{s,i} = o_s + \mathrm{round}\left(i\,\frac{L_s - 1}{\max(n_s - 1, 1)}\right),
    \quad i = 0, \dots, n_s - 1$$

    steps: T, the number of diffusion steps.
    counts: S, for each section s the number n_s of times to keep, from 0 to its length L_s; the
        chain is cut into S sections whose lengths differ by one at most, the longer ones first,
        and o_s is a section's first time.

    Returns K, the kept times, zero-based and increasing; both ends of a section are among them,
    its first alone where the count is 1. Halves are rounded to even.

    Raises AxesError for no section at all or a count above the length of its section.

    Elsewhere: guided-diffusion adds the stride up and rounds the sum. "ddimN" there takes the
    first whole stride that gives N times; diffusers has "leading", "trailing" and "linspace".

    Paper: Nichol, Dhariwal 2021, "Improved denoising diffusion probabilistic models", section 4.

    >>> respaced_timesteps(10, np.array([3, 2]))
    array([0, 2, 4, 5, 9])
    """
    if not len(counts):
        raise AxesError("respaced_timesteps: counts has S=0, expected at least one section")
    kept = []
    for section, count in zip(np.array_split(np.arange(steps), len(counts)), counts, strict=True):
        if count > len(section):
            raise AxesError(
                f"respaced_timesteps: counts has {count}, expected at most {len(section)}, "
                f"the size of its section ({len(counts)} sections of T={steps})"
            )
        places = np.arange(count) * (len(section) - 1) / max(count - 1, 1)
        kept.append(section[np.round(places).astype(int)])  # half to even
    return np.concatenate(kept)  # K


def respaced_betas(
    betas: Betas[Array, "T"],
    timesteps: Kept[Array, "K", "T"],
) -> Float[Array, "K"]:
    r"""Variances of a shortened chain, which keeps ᾱ at the times it visits.

    $$\beta'_k = 1 - \frac{\bar\alpha_{\tau_k}}{\bar\alpha_{\tau_{k-1}}}, \quad
    \bar\alpha_{\tau_{-1}} = 1$$

    betas: T, variances in (0, 1] of the whole chain, indexed by the zero-based time.
    timesteps: K, the kept times, zero-based and strictly increasing.

    Returns K, variances in (0, 1], indexed by the place in the shortened chain; the network is
    still asked about the kept time.

    Raises AxesError for variances outside (0, 1] or times outside the table or not increasing;
    DomainError where the share of signal is 0 before the last kept time.

    Elsewhere: diffusers keeps the whole table and looks up the share of the previous kept time.

    Paper: Nichol, Dhariwal 2021, "Improved denoising diffusion probabilistic models", section 4.

    >>> respaced_betas(np.array([0.5, 0.5, 0.2]), np.array([1, 2])).round(3)
    array([0.75, 0.2 ])
    """
    return betas_from_alpha_bar(alpha_bar(betas)[timesteps])  # K
