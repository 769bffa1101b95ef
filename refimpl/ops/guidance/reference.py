"""Guidance: how a sampler is pulled towards what is wanted."""

import numpy as np

from refimpl.axes import AlphaBar, Array, Float, Fraction, Index, Scale, Variance
from refimpl.ops.diffusion.reference import at


def classifier_guidance(
    mean: Float[Array, "B ..."],
    variance: Variance[Array, "B ..."],
    gradient: Float[Array, "B ..."],
    scale: Scale[float, ""],
) -> Float[Array, "B ..."]:
    r"""Move the mean of a reverse step towards the samples that a classifier likes.

    $$\hat\mu = \mu + s\,\Sigma\,\nabla_{x_t} \log p(y \mid x_t)$$

    mean: B ..., mean of the step before guidance.
    variance: B ..., variance of the step, at least 0; the diagonal of its covariance.
    gradient: B ..., gradient of the log probability, in nats, of each sample's own label.
    scale: guidance scale; 0 leaves the mean as it is.

    Returns B ..., the guided mean; the variance of the step stays.

    Raises AxesError for shapes that differ or a negative variance.

    Elsewhere: guided-diffusion asks the classifier at x_t, others at the mean. The gradient of a
    batch is that of the summed log probabilities: a mean over the batch would divide it by B.

    Paper: Dhariwal, Nichol 2021, "Diffusion models beat GANs on image synthesis", algorithm 1.

    >>> classifier_guidance(np.array([1.0]), np.array([0.5]), np.array([0.2]), 2.0)
    array([1.2])
    """
    return mean + scale * variance * gradient


def classifier_guidance_score(
    eps: Float[Array, "B ..."],
    gradient: Float[Array, "B ..."],
    t: Index[Array, "B", "T"],
    alpha_bar: AlphaBar[Array, "T"],
    scale: Scale[float, ""],
) -> Float[Array, "B ..."]:
    r"""Change the predicted noise by what a classifier adds to the score.

    $$\hat\epsilon = \epsilon - \sqrt{1 - \bar\alpha_t}\; s\,\nabla_{x_t} \log p(y \mid x_t)$$

    eps: B ..., predicted noise.
    gradient: B ..., gradient of the log probability, in nats, of each sample's own label.
    t: B, diffusion times, zero-based indices into alpha_bar.
    alpha_bar: T, share of signal at each time, in [0, 1].
    scale: guidance scale; 0 leaves the prediction as it is.

    Returns B ..., the guided noise: its score is that of eps plus scale times the gradient.

    Raises AxesError for shapes that differ, a time outside the table or a share outside [0, 1].

    Elsewhere: guided-diffusion takes eps from the clipped clean sample and does not clip again
    afterwards. Code with v predictions writes v - s (σ/α) gradient of the same score.

    Paper: Dhariwal, Nichol 2021, "Diffusion models beat GANs on image synthesis", algorithm 2.

    >>> eps, gradient = np.array([[1.0]]), np.array([[0.5]])
    >>> classifier_guidance_score(eps, gradient, np.array([0]), np.array([0.36]), 2.0)
    array([[0.2]])
    """
    return eps - np.sqrt(1 - at(alpha_bar, t, eps)) * (scale * gradient)


def classifier_free_guidance(
    eps_uncond: Float[Array, "B ..."],
    eps_cond: Float[Array, "B ..."],
    scale: Scale[float, ""],
) -> Float[Array, "B ..."]:
    r"""Go from the unconditional prediction towards, or past, the conditional one.

    $$\hat\epsilon = \epsilon_u + s\,(\epsilon_c - \epsilon_u)$$

    eps_uncond: B ..., prediction without a condition, or with the one to avoid.
    eps_cond: B ..., prediction with the condition.
    scale: guidance scale; 0 is the unconditional prediction, 1 the conditional one.

    Returns B ..., the guided prediction, in whatever space both predictions are.

    Raises AxesError for shapes that differ.

    Elsewhere: the paper's weight w counts from the conditional prediction, s = 1 + w. GLIDE, Imagen
    and Stable Diffusion use s; diffusers guides only if s > 1. DiT guides the first 3 channels.

    Paper: Ho, Salimans 2022, "Classifier-free diffusion guidance", equation 6.

    >>> classifier_free_guidance(np.array([1.0, 2.0]), np.array([2.0, 2.0]), 3.0)
    array([4., 2.])
    """
    return eps_uncond + scale * (eps_cond - eps_uncond)


def dynamic_threshold(
    x_start: Float[Array, "B ..."],
    quantile: Fraction[float, ""],
) -> Float[Array, "B ..."]:
    r"""Shrink a predicted clean sample that leaves [-1, 1], and clip its few largest values.

    $$s = \max(1, Q_p(|\hat x_0|)), \qquad
    \hat x_0 \leftarrow \frac{\min(\max(\hat x_0, -s), s)}{s}$$

    x_start: B ..., predicted clean samples, data in [-1, 1].
    quantile: p in [0, 1], the share of a sample's values that need not be clipped.

    Returns B ..., values in [-1, 1]. The quantile Q is taken over each sample alone and lies on
    the straight line between neighbouring values of the sorted sample.

    Raises AxesError for a quantile outside [0, 1].

    Elsewhere: Imagen has p = 0.995, its open reimplementations 0.95. In diffusers s is also at most
    `sample_max_value`, whose default 1 turns this into plain clipping.

    Paper: Saharia et al. 2022, "Photorealistic text-to-image diffusion models with deep language
    understanding", section 2.3.

    >>> dynamic_threshold(np.array([[-4.0, -1.0, 1.0, 2.0]]), 0.5)
    array([[-1.        , -0.66666667,  0.66666667,  1.        ]])
    """
    B, size = len(x_start), int(np.prod(x_start.shape[1:]))
    largest = np.quantile(np.reshape(np.abs(x_start), (B, size)), quantile, axis=-1)  # B
    limit = at(np.maximum(largest, 1), np.arange(B), x_start)  # B 1 ...
    return np.minimum(np.maximum(x_start, -limit), limit) / limit
