"""Cascades: a prior that turns texts into image vectors, and networks that paint in stages."""

import numpy as np

from refimpl.axes import (
    AlphaBar,
    Array,
    Deviation,
    Float,
    Fraction,
    Index,
    Level,
    Mask,
    Size,
    Uniform,
)
from refimpl.constants import constant, pi
from refimpl.ops.diffusion.reference import q_sample, q_sample_vjp
from refimpl.ops.layers.reference import sigmoid
from refimpl.ops.patch_embedding.reference import timestep_embedding


def standardize_embedding(
    embedding: Float[Array, "B D"], mean: Float[Array, "D"], std: Deviation[Array, "D"]
) -> Float[Array, "B D"]:
    r"""Standardise image embeddings, each component by its mean and deviation.

    $$y_{bd} = \frac{x_{bd} - \mu_d}{\sigma_d}$$

    embedding: B D, image vectors of CLIP.
    mean: D, μ, over many images.
    std: D, σ, above 0.

    Returns B D.

    Raises AxesError for a deviation that is not positive.

    Elsewhere: lucidrains gives each vector the length √D instead.

    Paper: Ramesh et al. 2022, "Hierarchical text-conditional image generation with CLIP latents",
    section 2.2; the statistics are Karlo's.

    >>> standardize_embedding(np.array([[3.0, 1.0]]), np.array([1.0, 1.0]), np.array([2.0, 4.0]))
    array([[1., 0.]])
    """
    return (embedding - mean) / std


def standardize_embedding_vjp(
    embedding: Float[Array, "B D"],
    mean: Float[Array, "D"],
    std: Deviation[Array, "D"],
    grad: Float[Array, "B D"],
) -> tuple[Float[Array, "B D"], Float[Array, "D"], Float[Array, "D"]]:
    r"""The gradients of a loss that follows `standardize_embedding`.

    $$\bar x_{bd} = \bar y_{bd} / \sigma_d, \qquad \bar\mu_d = -\sum_b \bar x_{bd}, \qquad
    \bar\sigma_d = -\sum_b \bar x_{bd}\, y_{bd}$$

    embedding: B D, image vectors of CLIP.
    mean: D, μ, over many images.
    std: D, σ, above 0.
    grad: B D, the gradient by the result.

    Returns B D, D and D: the gradients by vectors, mean and deviation.

    Raises AxesError for a deviation that is not positive.

    Elsewhere: statistics are held constant.

    Paper: Ramesh et al. 2022, "Hierarchical text-conditional image generation with CLIP latents",
    section 2.2, differentiated.

    >>> one = np.array([2.0])
    >>> standardize_embedding_vjp(np.array([[4.0]]), one, one, np.array([[6.0]]))
    (array([[3.]]), array([-3.]), array([-3.]))
    """
    embedding_grad = grad / std  # B D
    standard = (embedding - mean) / std  # B D
    std_grad = -np.sum(embedding_grad * standard, axis=0)  # D
    return embedding_grad, -np.sum(embedding_grad, axis=0), std_grad


def augment_embedding(
    embedding: Float[Array, "B 2*E"],
    mean: Float[Array, "2*E"],
    std: Deviation[Array, "2*E"],
    level: Index[Array, "B", "T"],
    noise: Float[Array, "B 2*E"],
    alpha_bar: AlphaBar[Array, "T"],
) -> Float[Array, "B 4*E"]:
    r"""Add noise to standardised image embeddings, and append the embedded noise level.

    $$y_b = \left[\mu + \sigma \left(\sqrt{\bar\alpha_{l_b}}\, \frac{x_b - \mu}{\sigma}
    + \sqrt{1 - \bar\alpha_{l_b}}\, \epsilon_b\right),\; \mathrm{TE}_{l_b}\right]$$

    embedding: B 2*E, image vectors of CLIP.
    mean: 2*E, μ, over many images.
    std: 2*E, σ, above 0.
    level: B, l, the noise level of each, zero-based, below T; 0 for hardly any.
    noise: B 2*E, standard normal numbers.
    alpha_bar: T, shares of signal.

    Returns B 4*E: the noised vectors, then `timestep_embedding` of their levels.

    Raises AxesError for a level that is not in the table.

    Elsewhere: a decoder without the level would take the noise for part of the image.

    Paper: the decoder of Rombach et al.'s Stable Diffusion 2.1 unCLIP, after Ramesh et al. 2022,
    "Hierarchical text-conditional image generation with CLIP latents", section 2.1.

    >>> x, one = np.array([[3.0, 1.0]]), np.ones(2)
    >>> augment_embedding(x, one, 2 * one, np.array([0]), 0 * x, np.array([0.25]))
    array([[2., 1., 1., 0.]])
    """
    half = embedding.shape[1] // 2
    standard = standardize_embedding(embedding, mean, std)  # B 2*E
    noised = q_sample(standard, level, noise, alpha_bar) * std + mean  # B 2*E
    told = timestep_embedding(constant(1, embedding) * level, half)  # B 2*E
    return np.concatenate((noised, told), axis=1)  # B 4*E


def augment_embedding_vjp(
    embedding: Float[Array, "B 2*E"],
    mean: Float[Array, "2*E"],
    std: Deviation[Array, "2*E"],
    level: Index[Array, "B", "T"],
    noise: Float[Array, "B 2*E"],
    alpha_bar: AlphaBar[Array, "T"],
    grad: Float[Array, "B 4*E"],
) -> tuple[Float[Array, "B 2*E"], Float[Array, "2*E"], Float[Array, "2*E"], Float[Array, "B 2*E"]]:
    r"""The gradients of a loss that follows `augment_embedding`; those of the level are dropped.

    $$\bar x_b = \sqrt{\bar\alpha_{l_b}}\, \bar y_b, \qquad
    \bar\mu = \sum_b \left(1 - \sqrt{\bar\alpha_{l_b}}\right) \bar y_b, \qquad
    \bar\sigma = \sum_b \sqrt{1 - \bar\alpha_{l_b}}\, \epsilon_b\, \bar y_b, \qquad
    \bar\epsilon_b = \sqrt{1 - \bar\alpha_{l_b}}\, \sigma\, \bar y_b$$

    embedding: B 2*E, x, vectors of images.
    mean: 2*E, μ, of each component.
    std: 2*E, σ, above 0.
    level: B, l, the noise level of each, zero-based, below T.
    noise: B 2*E, ε, standard normal numbers.
    alpha_bar: T, shares of signal.
    grad: B 4*E, the gradient by the result; its second half belongs to the level alone.

    Returns the gradients by embedding, mean, deviation and noise.

    Raises AxesError for a level that is not in the table.

    Elsewhere: the two uses of mean and deviation are differentiated one after another, as here; on
    paper the deviation cancels by the embedding. Statistics are constant in practice.

    Paper: Ramesh et al. 2022, "Hierarchical text-conditional image generation with CLIP latents",
    section 2.1, differentiated.

    >>> one, grad = np.ones((1, 2)), np.array([[4.0, 8.0, 5.0, 5.0]])
    >>> augment_embedding_vjp(one, one[0], one[0], np.array([0]), one, np.array([0.25]), grad)[:2]
    (array([[2., 4.]]), array([2., 4.]))
    """
    given = grad[:, : noise.shape[1]]  # B 2*E
    standard = standardize_embedding(embedding, mean, std)
    noised = q_sample(standard, level, noise, alpha_bar)  # B 2*E
    through, noise_grad = q_sample_vjp(level, alpha_bar, given * std)  # B 2*E each
    x_grad, mean_part, std_part = standardize_embedding_vjp(embedding, mean, std, through)
    mean_grad = np.sum(given, axis=0) + mean_part  # 2*E
    std_grad = np.sum(given * noised, axis=0) + std_part
    return x_grad, mean_grad, std_grad, noise_grad


def prior_tokens(
    text: Float[Array, "B N D"],
    text_embedding: Float[Array, "B D"],
    time: Float[Array, "B D"],
    noised: Float[Array, "B D"],
    query: Float[Array, "D"],
) -> Float[Array, "B N+4 D"]:
    r"""The tokens of the prior: words, text embedding, time, noised image embedding, query.

    $$[t_1, \dots, t_N, e, \tau, z_\tau, q]$$

    text: B N D, t, the words behind the text tower.
    text_embedding: B D, e, the vector of the whole text.
    time: B D, τ, the embedded time.
    noised: B D, z, the noised image vector.
    query: D, q, a learned vector; the last layer's output there is the image embedding.

    Returns B N+4 D; positions are added by the model.

    Raises AxesError for widths that differ.

    Elsewhere: the same order in lucidrains and diffusers; the paper has it without positions.

    Paper: Ramesh et al. 2022, "Hierarchical text-conditional image generation with CLIP latents",
    section 2.2.

    >>> one = np.ones((1, 1))
    >>> prior_tokens(one[None], 2 * one, 3 * one, 4 * one, np.array([5.0])).ravel()
    array([1., 2., 3., 4., 5.])
    """
    single = (text_embedding, time, noised, query + 0 * noised)  # B D each
    return np.concatenate((text, np.stack(single, axis=1)), axis=1)  # B N+4 D


def prior_tokens_vjp(
    grad: Float[Array, "B N+4 D"],
) -> tuple[
    Float[Array, "B N D"],
    Float[Array, "B D"],
    Float[Array, "B D"],
    Float[Array, "B D"],
    Float[Array, "D"],
]:
    r"""The gradients of a loss that follows `prior_tokens`: each token's goes where it came from.

    $$\bar t_{bn} = \bar y_{bn}, \quad \bar e_b = \bar y_{b,N+1}, \quad
    \bar\tau_b = \bar y_{b,N+2}, \quad \bar z_b = \bar y_{b,N+3}, \quad
    \bar q = \sum_b \bar y_{b,N+4}$$

    grad: B N+4 D, the gradient by the tokens.

    Returns the gradients by words, text embedding, time, noised embedding and query.

    Raises AxesError for fewer than four tokens.

    Elsewhere: the text tower is frozen, and the first two are not computed.

    Paper: Ramesh et al. 2022, "Hierarchical text-conditional image generation with CLIP latents",
    section 2.2, differentiated.

    >>> grads = prior_tokens_vjp(np.arange(1.0, 6)[None, :, None])
    >>> [float(x.sum()) for x in grads]
    [1.0, 2.0, 3.0, 4.0, 5.0]
    """
    query_grad = np.sum(grad[:, -1], axis=0)  # D
    return grad[:, :-4], grad[:, -4], grad[:, -3], grad[:, -2], query_grad


def prior_bias(keep: Mask[Array, "B N"]) -> Float[Array, "B 1 N+4 N+4"]:
    r"""The mask of the prior: each token sees the tokens before it, but no padding.

    $$A_{b1ij} = \begin{cases} 0 & j \le i \text{ and } (j \ge N \text{ or } k_{bj} = 1) \\
    -\infty & \text{else} \end{cases}$$

    keep: B N, k, 1 for words and 0 for padding.

    Returns B 1 N+4 N+4, a bias for attention: the four tokens after the text are no padding.

    Raises AxesError for another number than 0 and 1.

    Elsewhere: diffusers fills with -10000 and is causal only where a mask of the text is given.
    Padding with nothing but padding before it sees nothing.

    Paper: Ramesh et al. 2022, "Hierarchical text-conditional image generation with CLIP latents",
    section 2.2.

    >>> prior_bias(np.array([[1, 0]]))[0, 0, -1]
    array([  0., -inf,   0.,   0.,   0.,   0.])
    """
    B, N = keep.shape
    seen = np.concatenate((keep, np.ones((B, 4), dtype=int)), axis=1)  # B N+4
    i, j = np.arange(N + 4)[:, None], np.arange(N + 4)
    return np.where((j <= i) & (seen[:, None, None] == 1), 0.0, -np.inf)  # B 1 N+4 N+4


def context_tokens(
    projection: Float[Array, "B D*N"], tokens: Size[int, "N"]
) -> Float[Array, "B N D"]:
    r"""Split a projected image embedding into tokens that the decoder attends to.

    $$y_{bnd} = p_{b,\; d N + n}$$

    projection: B D*N, the image vector behind a dense layer.
    tokens: N, how many; 4 in DALL·E 2.

    Returns B N D.

    Raises AxesError for a width that is no multiple of N.

    Elsewhere: lucidrains and Kandinsky 2.1 read token after token, which is another order of the
    rows of the dense layer.

    Paper: Ramesh et al. 2022, "Hierarchical text-conditional image generation with CLIP latents",
    section 2.1; the order is that of diffusers.

    >>> context_tokens(np.arange(6.0)[None], 2)
    array([[[0., 2., 4.],
            [1., 3., 5.]]])
    """
    B, width = projection.shape
    columns = np.reshape(projection, (B, width // tokens, tokens))  # B D N
    return np.swapaxes(columns, 1, 2)  # B N D


def context_tokens_vjp(grad: Float[Array, "B N D"]) -> Float[Array, "B D*N"]:
    r"""The gradient of a loss that follows `context_tokens`: the tokens go back into one vector.

    $$\bar p_{b,\; d N + n} = \bar y_{bnd}$$

    grad: B N D, the gradient by the tokens.

    Returns B D*N, the gradient by the projection.

    Raises AxesError for a grad that has not three axes.

    Elsewhere: where tokens are read one after another it is a reshape alone.

    Paper: Ramesh et al. 2022, "Hierarchical text-conditional image generation with CLIP latents",
    section 2.1, differentiated.

    >>> context_tokens_vjp(np.array([[[0.0, 2.0, 4.0], [1.0, 3.0, 5.0]]]))
    array([[0., 1., 2., 3., 4., 5.]])
    """
    B, N, D = grad.shape
    return np.reshape(np.swapaxes(grad, 1, 2), (B, D * N))  # B D*N


def null_condition(
    x: Float[Array, "B N D"], null: Float[Array, "N D"], keep: Mask[Array, "B"]
) -> Float[Array, "B N D"]:
    r"""Replace the condition of some samples by a learned vector, for classifier-free guidance.

    $$y_b = \begin{cases} x_b & k_b = 1 \\ \varnothing & k_b = 0 \end{cases}$$

    x: B N D, tokens of a text or an image.
    null: N D, ∅, learned.
    keep: B, k, drawn for each sample; that of the image and that of the text independently.

    Returns B N D.

    Raises AxesError for another number than 0 and 1.

    Elsewhere: GLIDE and Stable Diffusion encode an empty text; zeros stand in for an image.

    Paper: Ho and Salimans 2022, "Classifier-free diffusion guidance", algorithm 1; Ramesh et al.
    2022, section 2.1, drop images in 10 and texts in 50 of 100 cases.

    >>> null_condition(np.array([[[1.0]], [[2.0]]]), np.array([[9.0]]), np.array([1, 0])).ravel()
    array([1., 9.])
    """
    return np.where(keep[:, None, None] == 1, x, null)  # B N D


def null_condition_vjp(
    keep: Mask[Array, "B"], grad: Float[Array, "B N D"]
) -> tuple[Float[Array, "B N D"], Float[Array, "N D"]]:
    r"""The gradients of a loss that follows `null_condition`, by conditions and learned vector.

    $$\bar x_b = k_b\, \bar y_b, \qquad \bar\varnothing = \sum_b (1 - k_b)\, \bar y_b$$

    keep: B, k, 1 where the sample's own condition was kept.
    grad: B N D, the gradient by the result.

    Returns B N D, the gradient by the conditions, and N D, by the vector in their place.

    Raises AxesError for another number than 0 and 1.

    Elsewhere: the same.

    Paper: Ho and Salimans 2022, "Classifier-free diffusion guidance", algorithm 1, differentiated.

    >>> x_grad, null_grad = null_condition_vjp(np.array([1, 0]), np.array([[[3.0]], [[4.0]]]))
    >>> x_grad.ravel(), null_grad.ravel()
    (array([3., 0.]), array([4.]))
    """
    kept = keep[:, None, None] == 1  # B 1 1
    return np.where(kept, grad, 0), np.sum(np.where(kept, 0, grad), axis=0)


def pad_text(
    embedding: Float[Array, "B N D"], padding: Float[Array, "N D"], keep: Mask[Array, "B N"]
) -> Float[Array, "B N D"]:
    r"""Replace padding by a learned vector for each position, as GLIDE does.

    $$y_{bn} = \begin{cases} x_{bn} & k_{bn} = 1 \\ p_n & k_{bn} = 0 \end{cases}$$

    embedding: B N D, words with their positions.
    padding: N D, p, learned for each place.
    keep: B N, k, 1 for words and 0 for padding.

    Returns B N D. Nothing is hidden from attention afterwards.

    Raises AxesError for another number than 0 and 1.

    Elsewhere: CLIP leaves padding to the causal mask; Imagen sets it to zero.

    Paper: Nichol et al. 2021, "GLIDE: towards photorealistic image generation and editing with
    text-guided diffusion models"; the rule is that of its code.

    >>> pad_text(np.array([[[1.0], [2.0]]]), np.array([[8.0], [9.0]]), np.array([[1, 0]])).ravel()
    array([1., 9.])
    """
    return np.where(keep[:, :, None] == 1, embedding, padding)  # B N D


def pad_text_vjp(
    keep: Mask[Array, "B N"], grad: Float[Array, "B N D"]
) -> tuple[Float[Array, "B N D"], Float[Array, "N D"]]:
    r"""The gradients of a loss that follows `pad_text`, by words and padding vectors.

    $$\bar x_{bn} = k_{bn}\, \bar y_{bn}, \qquad
    \bar p_n = \sum_b (1 - k_{bn})\, \bar y_{bn}$$

    keep: B N, k, 1 for words and 0 for padding.
    grad: B N D, the gradient by the result.

    Returns B N D, the gradient by the words, and N D, by the padding.

    Raises AxesError for another number than 0 and 1.

    Elsewhere: the same.

    Paper: Nichol et al. 2021, "GLIDE", differentiated.

    >>> words_grad, padding_grad = pad_text_vjp(np.array([[1, 0]]), np.array([[[3.0], [4.0]]]))
    >>> words_grad.ravel(), padding_grad.ravel()
    (array([3., 0.]), array([0., 4.]))
    """
    kept = keep[:, :, None] == 1  # B N 1
    return np.where(kept, grad, 0), np.sum(np.where(kept, 0, grad), axis=0)


def log_snr_cosine(t: Uniform[Array, "B"], offset: Level[float, ""]) -> Float[Array, "B"]:
    r"""The log signal-to-noise ratio of the cosine schedule, at continuous times.

    $$\lambda_t = -\ln \max\left(\tan^2\left(\frac{t + s}{1 + s}\, \frac{\pi}{2}\right),
    10^{-5}\right)$$

    t: B, times from 0, the image, to 1, noise alone, which is left out: there it is minus infinity.
    offset: s, 0.008 in imagen-pytorch.

    Returns B, in nats: ᾱ is the logistic function of it.

    Raises AxesError for a time outside [0, 1).

    Elsewhere: imagen-pytorch writes cos⁻² - 1 for tan², which loses digits near 0, and comes to
    -74.66 at t = 1 by a rounding of π.

    Paper: Kingma et al. 2021, "Variational diffusion models", section 3.2, with the schedule of
    Nichol and Dhariwal 2021; the bound is imagen-pytorch's.

    >>> log_snr_cosine(np.array([0.0, 0.2, 0.5]), 0.008).round(6)
    array([ 8.769295,  2.181395, -0.024934])
    """
    angle = (t + offset) / (1 + offset) * pi(t) / 2  # B
    tangent = np.sin(angle) / np.cos(angle)  # B
    return -np.log(np.maximum(tangent * tangent, constant(1, t) / 100000))  # B


def log_snr_linear(t: Fraction[Array, "B"]) -> Float[Array, "B"]:
    r"""The log signal-to-noise ratio of the linear schedule, at continuous times.

    $$\lambda_t = -\ln\left(e^{10^{-4} + 10 t^2} - 1\right)$$

    t: B, times from 0, the image, to 1, hardly more than noise.

    Returns B, in nats: ᾱ is the logistic function of it.

    Raises AxesError for a time outside [0, 1].

    Elsewhere: a thousand steps of the linear schedule come close. The exponential minus one
    loses digits near 0 unless computed by expm1.

    Paper: Kingma et al. 2021, "Variational diffusion models", section 3.2; the constants are
    imagen-pytorch's, for the schedule of Ho et al. 2020.

    >>> log_snr_linear(np.array([0.0, 0.2, 0.5, 1.0])).round(6)
    array([  9.21029 ,   0.70933 ,  -2.414458, -10.000055])
    """
    return -np.log(np.expm1(constant(1, t) / 10000 + 10 * t * t))  # B


def continuous_posterior(
    x_t: Float[Array, "B ..."],
    x_start: Float[Array, "B ..."],
    log_snr: Float[Array, "B"],
    previous: Float[Array, "B"],
) -> tuple[Float[Array, "B ..."], Float[Array, "B"]]:
    r"""Mean and variance of a cleaner sample, given this one and the clean one, at any two times.

    $$c = 1 - e^{\lambda_t - \lambda_s}, \qquad
    \mu = \alpha_s \left(\frac{(1 - c)\, x_t}{\alpha_t} + c\, x_0\right), \qquad
    \sigma^2 = \sigma_s^2\, c$$

    x_t: B ..., samples at time t.
    x_start: B ..., clean samples, known or predicted.
    log_snr: B, λ_t, logarithms of signal to noise at time t.
    previous: B, λ_s, those at the earlier time s, not below λ_t.

    Returns B ..., the mean, and B, the variance; α² and σ² are the logistic functions of λ and -λ.

    Raises AxesError for shapes that differ.

    Elsewhere: `q_posterior` is the same between neighbours of a table.

    Paper: Kingma et al. 2021, "Variational diffusion models", equation 32; Saharia et al. 2022,
    "Photorealistic text-to-image diffusion models with deep language understanding", appendix.

    >>> one = np.ones((1, 1))
    >>> mean, variance = continuous_posterior(one, one, np.zeros(1), np.log([3.0]))
    >>> mean.round(4), variance.round(4)
    (array([[0.9856]]), array([0.1667]))
    """
    share = np.sqrt(sigmoid(previous))  # B
    kept = np.exp(log_snr - previous)  # B
    from_x_t = share * kept / np.sqrt(sigmoid(log_snr))  # B
    removed = -np.expm1(log_snr - previous)  # B
    wide = (-1,) + (1,) * (x_t.ndim - 1)
    mean = np.reshape(from_x_t, wide) * x_t + np.reshape(share * removed, wide) * x_start
    return mean, sigmoid(-previous) * removed
