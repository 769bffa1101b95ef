"""Autoencoders: latents that are drawn from a Gaussian, or looked up in a book of codes."""

import numpy as np

from refimpl.axes import Array, AxesError, Float, Index, LogVariance, Positive, Uniform
from refimpl.ops.layers.reference import softmax


def gaussian_moments(
    h: Float[Array, "B 2*C height width"],
) -> tuple[Float[Array, "B C height width"], Float[Array, "B C height width"]]:
    r"""Split the encoder's output into means and log variances, and clamp the latter.

    $$\mu = h_{< C}, \qquad \ell = \min(\max(h_{\ge C}, -30), 20)$$

    h: B 2*C height width, means in the first half of the channels.

    Returns B C height width each: means, and logarithms of variances in [-30, 20].

    Raises AxesError for an odd number of channels.

    Elsewhere: the mode of the posterior is the mean. Some networks give logarithms of deviations.

    Paper: Rombach et al. 2022, "High-resolution image synthesis with latent diffusion models",
    appendix G; the bounds are those of its code.

    >>> mean, log_variance = gaussian_moments(np.array([1.0, 40.0]).reshape(1, 2, 1, 1))
    >>> mean.ravel(), log_variance.ravel()
    (array([1.]), array([20.]))
    """
    mean, log_variance = np.split(h, 2, axis=1)  # B C height width
    return mean, np.minimum(np.maximum(log_variance, -30), 20)


def posterior_kl(
    mean: Float[Array, "B D"], log_variance: LogVariance[Array, "B D"]
) -> Float[Array, "B"]:
    r"""The KL divergence of each sample's posterior from a standard normal distribution, in nats.

    $$\mathrm{KL} = \tfrac12 \sum_d \left(\mu_d^2 + e^{\ell_d} - 1 - \ell_d\right)$$

    mean: B D, μ, all latent numbers of a sample in a row.
    log_variance: B D, ℓ, natural logarithms of their variances.

    Returns B, 0 or more: a sum over the latent numbers, not their mean.

    Raises AxesError for shapes that differ.

    Elsewhere: a mean over the latent numbers is smaller by their count, 16,384 for Stable
    Diffusion; it amounts to another weight of the loss.

    Paper: Kingma and Welling 2014, "Auto-encoding variational Bayes", appendix B.

    >>> posterior_kl(np.array([[0.5, -1.0]]), np.array([[0.2, -0.4]])).round(4)
    array([0.6709])
    """
    return np.sum(mean * mean + np.exp(log_variance) - 1 - log_variance, axis=1) / 2  # B


def posterior_kl_vjp(
    mean: Float[Array, "B D"], log_variance: LogVariance[Array, "B D"], grad: Float[Array, "B"]
) -> tuple[Float[Array, "B D"], Float[Array, "B D"]]:
    r"""The gradients of a loss that follows the KL divergence.

    $$\bar\mu_d = \bar k\,\mu_d, \qquad \bar\ell_d = \tfrac12\,\bar k\,(e^{\ell_d} - 1)$$

    mean: B D, μ, all latent numbers of a sample in a row.
    log_variance: B D, ℓ, natural logarithms of their variances.
    grad: B, the gradient by the divergence of each sample.

    Returns B D each: the gradients by the means and by the logarithms of the variances.

    Raises AxesError for shapes that differ.

    Elsewhere: where logarithms were cut off at a bound, their gradient is 0 beyond it.

    Paper: Kingma and Welling 2014, "Auto-encoding variational Bayes", appendix B, differentiated.

    >>> posterior_kl_vjp(np.array([[0.5]]), np.array([[0.0]]), np.array([2.0]))
    (array([[1.]]), array([[0.]]))
    """
    each = grad[:, None]  # B 1
    return each * mean, each * (np.exp(log_variance) - 1) / 2  # B D


def nearest_code(z: Float[Array, "N D"], codebook: Float[Array, "codes D"]) -> Index[Array, "N"]:
    r"""The index of the nearest codebook vector for each latent vector.

    $$i_n = \operatorname*{arg\,min}_k \sum_d (z_{nd} - e_{kd})^2$$

    z: N D, latent vectors.
    codebook: codes D, e, the codes, at least one.

    Returns N, zero-based rows of the codebook; the first of equally near codes.

    Raises AxesError for codes of another width; DomainError for a book without codes.

    Elsewhere: distances are expanded to |z|² - 2 z·e + |e|² for speed, which loses digits far from
    the origin and may choose another code among near ones. Cosine codebooks divide both by their
    length first.

    Paper: van den Oord, Vinyals, Kavukcuoglu 2017, "Neural discrete representation learning",
    equation 1.

    >>> nearest_code(np.array([[0.9, 0.1], [0.2, 0.9]]), np.array([[0.0, 1.0], [1.0, 0.0]]))
    array([1, 0])
    """
    apart = z[:, None] - codebook  # N codes D
    return np.argmin(np.sum(apart * apart, axis=-1), axis=-1)  # N


def vq_loss(
    z: Float[Array, "N D"],
    codebook: Float[Array, "codes D"],
    codes: Index[Array, "N", "codes"],
    beta: Positive[float, ""],
) -> Float[Array, ""]:
    r"""The loss of vector quantisation: one term moves the codes, one the encoder's vectors.

    $$L = \frac{1}{ND} \sum_{n,d} \left( (\mathrm{sg}[z_{nd}] - e_{i_n d})^2
    + \beta\,(z_{nd} - \mathrm{sg}[e_{i_n d}])^2 \right)$$

    z: N D, latent vectors.
    codebook: codes D, e, the codes.
    codes: N, i, the code of each vector.
    beta: β, the weight of the commitment term, 0.25 in the paper.

    Returns the loss, (1 + β) times the mean squared distance; sg stops gradients, see
    `vq_gradients`.

    Raises AxesError for a code that is not in the book; DomainError where there are no vectors.

    Elsewhere: some have β on the term of the codes, as the first release of VQGAN's code did.

    Paper: van den Oord, Vinyals, Kavukcuoglu 2017, "Neural discrete representation learning",
    equation 3.

    >>> vq_loss(np.array([[1.0, 2.0]]), np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([1]), 0.25)
    np.float64(0.625)
    """
    apart = z - codebook[codes]  # N D
    to_vectors = np.mean(apart * apart)
    return to_vectors + beta * to_vectors


def vq_gradients(
    z: Float[Array, "N D"],
    codebook: Float[Array, "codes D"],
    codes: Index[Array, "N", "codes"],
    beta: Positive[float, ""],
) -> tuple[Float[Array, "N D"], Float[Array, "codes D"]]:
    r"""The gradients of `vq_loss`: one term for the vectors, one for the codes.

    $$\bar z_{nd} = \frac{2\beta}{ND}\,(z_{nd} - e_{i_n d}), \qquad
    \bar e_{kd} = \frac{2}{ND} \sum_{n:\, i_n = k} (e_{kd} - z_{nd})$$

    z: N D, latent vectors.
    codebook: codes D, e, the codes.
    codes: N, i, the code of each vector.
    beta: β, the weight of the commitment term.

    Returns N D, the gradient by the vectors, and codes D, by the codes; 0 for unused codes.

    Raises AxesError for a code that is not in the book; DomainError where there are no vectors.

    Elsewhere: the decoder's gradient goes straight through to the vectors, and not to the
    codes. Codes that follow running averages have no gradient.

    Paper: van den Oord, Vinyals, Kavukcuoglu 2017, "Neural discrete representation learning",
    equation 3, differentiated as sg says.

    >>> book, code = np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([1])
    >>> vectors_grad, book_grad = vq_gradients(np.array([[2.0, 3.0]]), book, code, 0.25)
    >>> vectors_grad, book_grad[code]
    (array([[0.25, 0.5 ]]), array([[-1., -2.]]))
    """
    if not z.size:
        raise AxesError(f"vq_gradients: z has shape {z.shape}, expected vectors")
    apart = (z - codebook[codes]) / z.size  # N D
    chosen = (codes == np.arange(len(codebook))[:, None]) * np.ones(1)  # codes N
    return 2 * beta * apart, -2 * (chosen @ apart)


def inward_gradient(
    x: Float[Array, "..."],
    grad: Float[Array, "..."],
    low: Float[float, ""],
    high: Float[float, ""],
) -> Float[Array, "..."]:
    r"""The gradient that a clamp hands on where following it leads back within the limits.

    $$\bar x = \begin{cases} 0 & x < l \text{ and } g > 0, \text{ or } x > h \text{ and } g < 0 \\
    g & \text{otherwise} \end{cases}$$

    x: ..., what was clamped.
    grad: ..., g, the gradient of a loss by the clamped numbers; descent goes against it.
    low: l, the lower limit.
    high: h, the upper limit.

    Returns ..., the gradient by x. At a limit itself it passes.

    Raises AxesError for shapes that differ.

    Elsewhere: the clamps of PyTorch and JAX hand on nothing from outside, so that a number that
    left the limits never returns. VQGAN+CLIP asks whether g (x - clamp x) is at least 0, a product
    that may underflow.

    Paper: Crowson et al. 2022, "VQGAN-CLIP: open domain image generation and editing with natural
    language guidance", the function clamp_with_grad of its code.

    >>> inward_gradient(np.array([-0.5, 0.3, 1.4]), np.array([1.0, 1.0, 1.0]), 0.0, 1.0)
    array([0., 1., 1.])
    """
    outward = ((x < low) & (grad > 0)) | ((x > high) & (grad < 0))
    return np.where(outward, 0, grad)


def gumbel_softmax(
    logits: Float[Array, "... K"],
    uniforms: Uniform[Array, "... K"],
    temperature: Positive[float, ""],
) -> Float[Array, "... K"]:
    r"""A random, differentiable choice among codes: nearly one-hot at low temperature.

    $$y = \mathrm{softmax}\left(\frac{z - \ln(-\ln u)}{\tau}\right)$$

    logits: ... K, z, of the codes.
    uniforms: ... K, u, numbers in (0, 1).
    temperature: τ, above 0.

    Returns ... K, weights that sum to 1.

    Raises AxesError for a number outside [0, 1) or a temperature that is not above 0; DomainError
    for a uniform number of 0.

    Elsewhere: guards of 1e-10 or 1e-20 are added inside the logarithms.

    Paper: Jang, Gu, Poole 2017, "Categorical reparameterization with Gumbel-softmax", equation 2.

    >>> gumbel_softmax(np.array([0.0, 1.0]), np.array([0.5, 0.5]), 1.0).round(3)
    array([0.269, 0.731])
    """
    gumbel = -np.log(-np.log(uniforms))  # ... K
    return softmax((logits + gumbel) / temperature)


def posterior_sample(
    mean: Float[Array, "B ..."],
    log_variance: LogVariance[Array, "B ..."],
    noise: Float[Array, "B ..."],
) -> Float[Array, "B ..."]:
    r"""A latent drawn from its Gaussian posterior, with the noise as an argument.

    $$z = \mu + e^{\ell / 2}\, \epsilon$$

    mean: B ..., μ of each latent number.
    log_variance: B ..., ℓ, natural logarithms of variances.
    noise: B ..., ε, standard normal numbers.

    Returns B ..., latents.

    Raises AxesError for shapes that differ.

    Elsewhere: diffusers' `latent_dist.sample` draws the noise; its `mode` is the mean.

    Paper: Kingma and Welling 2014, "Auto-encoding variational Bayes", section 2.4.

    >>> posterior_sample(np.array([1.0]), np.array([0.0]), np.array([-0.5]))
    array([0.5])
    """
    return mean + np.exp(log_variance / 2) * noise


def scale_latents(
    z: Float[Array, "..."], shift: Float[float, ""], scale: Positive[float, ""]
) -> Float[Array, "..."]:
    r"""Shift and scale latents to mean zero and variance one, before noise is added.

    $$y = (z - m)\, s$$

    z: ..., latents as the encoder gives them.
    shift: m, their mean over many pictures; 0 where there is none.
    scale: s, one over their standard deviation, above 0.

    Returns ..., latents as the U-Net or Transformer sees them.

    Raises AxesError for a scale that is not above 0.

    Elsewhere: 0 and 0.18215 for Stable Diffusion 1 and 2, 0 and 0.13025 for SDXL, 0.0609 and
    1.5305 for Stable Diffusion 3, 0.1159 and 0.3611 for Flux.

    Paper: Rombach et al. 2022, "High-resolution image synthesis with latent diffusion models",
    appendix G; the shift is that of Esser et al. 2024, "Scaling rectified flow transformers".

    >>> scale_latents(np.array([3.0, 1.0]), 1.0, 0.25)
    array([0.5, 0. ])
    """
    return (z - shift) * scale


def unscale_latents(
    y: Float[Array, "..."], shift: Float[float, ""], scale: Positive[float, ""]
) -> Float[Array, "..."]:
    r"""Undo `scale_latents` before the decoder.

    $$z = \frac{y}{s} + m$$

    y: ..., latents as the U-Net or Transformer gives them.
    shift: m, as in `scale_latents`.
    scale: s, as in `scale_latents`.

    Returns ..., latents for the decoder.

    Raises AxesError for a scale that is not above 0.

    Elsewhere: pipelines write it out before the decoder; early ones left the shift out.

    Paper: Rombach et al. 2022, "High-resolution image synthesis with latent diffusion models",
    appendix G, inverted.

    >>> unscale_latents(np.array([0.5, 0.0]), 1.0, 0.25)
    array([3., 1.])
    """
    return y / scale + shift
