"""Guidance: how a sampler is pulled towards what is wanted."""

import numpy as np

from refimpl.axes import AlphaBar, Array, Float, Fraction, Index, Scale, Variance
from refimpl.ops.diffusion.reference import at
from refimpl.ops.layers.reference import l2_normalize, l2_normalize_vjp


def classifier_guidance(
    mean: Float[Array, "B ..."],
    variance: Variance[Array, "B ..."],
    gradient: Float[Array, "B ..."],
    scale: Scale[float, ""],
) -> Float[Array, "B ..."]:
    r"""Move the mean of a reverse step along the gradient of a classifier's log probability.

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
    r"""Guide predicted noise by a classifier, whose gradient is added to the score.

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
    r"""Classifier-free guidance: extrapolate from the unconditional to the conditional prediction.

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
    r"""Dynamic thresholding: clip a predicted clean sample at a quantile, and rescale to [-1, 1].

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


def cosine_distance(
    image_features: Float[Array, "N D"],
    text_features: Float[Array, "M D"],
) -> Float[Array, "N M"]:
    r"""The cosine distance of every image from every text: one minus the cosine.

    $$d_{ij} = 1 - \left\langle \frac{I_i}{\lVert I_i \rVert},\,
    \frac{T_j}{\lVert T_j \rVert} \right\rangle$$

    image_features: N D, one vector for each image or cutout, of any length.
    text_features: M D, one vector for each prompt, of any length.

    Returns N M, from 0, the same direction, to 2, the opposite one; 1 for a zero vector.

    Raises AxesError for features of different widths.

    Elsewhere: minus the cosine, without the one, has the same gradient. SciPy's `cosine` is this
    distance and NaN for a zero vector. Half the squared chord is this distance too, but rounded
    lengths count twice there between opposite directions.

    Paper: Crowson et al. 2022, "VQGAN-CLIP: open domain image generation and editing with natural
    language guidance", section 3, which prefers the distance along the sphere.

    >>> texts = np.array([[2.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    >>> cosine_distance(np.array([[3.0, 0.0]]), texts)
    array([[0., 1., 2.]])
    """
    return 1 - l2_normalize(image_features) @ l2_normalize(text_features).T


def cosine_distance_vjp(
    image_features: Float[Array, "N D"],
    text_features: Float[Array, "M D"],
    grad: Float[Array, "N M"],
) -> tuple[Float[Array, "N D"], Float[Array, "M D"]]:
    r"""The gradients of a loss that follows the distances between images and texts.

    $$\bar I_i = -\frac{1}{\lVert I_i \rVert} \sum_j \bar d_{ij}
    \left(v_j - u_i \langle u_i, v_j \rangle\right), \qquad
    u_i = \frac{I_i}{\lVert I_i \rVert}, \quad v_j = \frac{T_j}{\lVert T_j \rVert}$$

    and for the texts with both sides exchanged.

    image_features: N D, one vector for each image or cutout, of any length.
    text_features: M D, one vector for each prompt, of any length.
    grad: N M, the gradient of the distances.

    Returns N D, the gradient of the images, each orthogonal to its feature; and M D, of the texts.
    It points uphill: guidance subtracts it. A zero vector is differentiated as if divided by one.

    Raises AxesError for features of different widths, or a grad of another shape.

    Elsewhere: guidance may add the gradient of the cosine instead, which has the other sign.

    Paper: Crowson et al. 2022, "VQGAN-CLIP: open domain image generation and editing with natural
    language guidance", section 3.

    >>> images, texts = np.array([[2.0, 0.0]]), np.array([[0.0, 5.0]])
    >>> cosine_distance_vjp(images, texts, np.array([[1.0]]))
    (array([[-0. , -0.5]]), array([[-0.2, -0. ]]))
    """
    images, texts = l2_normalize(image_features), l2_normalize(text_features)
    images_grad, texts_grad = -(grad @ texts), -(grad.T @ images)  # N D, M D
    return (
        l2_normalize_vjp(image_features, images_grad),
        l2_normalize_vjp(text_features, texts_grad),
    )


def spherical_distance(
    image_features: Float[Array, "N D"],
    text_features: Float[Array, "M D"],
) -> Float[Array, "N M"]:
    r"""The spherical distance of every image from every text: half the squared angle.

    $$d_{ij} = 2 \arcsin^2 \frac{\lVert u_i - v_j \rVert}{2} = \frac{\theta_{ij}^2}{2}, \qquad
    u_i = \frac{I_i}{\lVert I_i \rVert}, \quad v_j = \frac{T_j}{\lVert T_j \rVert}$$

    image_features: N D, one vector for each image or cutout, of any length.
    text_features: M D, one vector for each prompt, of any length.

    Returns N M, from 0 to π²/2; the angle θ is in radians. A zero vector stays zero.

    Raises AxesError for features of different widths.

    Elsewhere: half a chord that is rounded to more than 1 gives NaN in the published code. An
    angle from the inverse cosine loses half its digits between neighbours; twice the inverse
    tangent of the lengths of difference and sum keeps them everywhere.

    Paper: Crowson et al. 2022, "VQGAN-CLIP: open domain image generation and editing with natural
    language guidance", section 3.

    >>> texts = np.array([[2.0, 0.0], [1.0, 1.0], [0.0, 3.0]])
    >>> spherical_distance(np.array([[1.0, 0.0]]), texts).round(4)
    array([[0.    , 0.3084, 1.2337]])
    """
    images, texts = l2_normalize(image_features), l2_normalize(text_features)
    apart = images[:, None, :] - texts  # N M D
    chord = np.sqrt(np.sum(apart * apart, axis=-1))  # N M
    half_angle = np.arcsin(np.minimum(chord / 2, 1))
    return 2 * (half_angle * half_angle)


def spherical_distance_vjp(
    image_features: Float[Array, "N D"],
    text_features: Float[Array, "M D"],
    grad: Float[Array, "N M"],
) -> tuple[Float[Array, "N D"], Float[Array, "M D"]]:
    r"""The gradients of a loss that follows distances along the sphere.

    $$\bar I_i = -\frac{1}{\lVert I_i \rVert} \sum_j \bar d_{ij}\,
    \frac{\theta_{ij}}{\sin \theta_{ij}} \left(v_j - u_i \cos \theta_{ij}\right), \qquad
    \cos \theta_{ij} = \langle u_i, v_j \rangle$$

    and for the texts with both sides exchanged.

    image_features: N D, one vector for each image or cutout, of any length.
    text_features: M D, one vector for each prompt, of any length.
    grad: N M, the gradient of the distances.

    Returns N D, the gradient of the images, each orthogonal to its feature and as long as the angle
    where grad and length are 1; and M D, of the texts. It points uphill: guidance subtracts it.
    The gradient between equal directions is zero.

    Opposite directions have no shortest path: one of the many is returned.

    Raises AxesError for features of different widths, or a grad of another shape.

    Elsewhere: automatic differentiation of the chord's length gives NaN between equal directions
    in JAX, 0 in torch.

    Paper: Crowson et al. 2022, "VQGAN-CLIP: open domain image generation and editing with natural
    language guidance", section 3.

    >>> images, texts = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])
    >>> images_grad, texts_grad = spherical_distance_vjp(images, texts, np.array([[1.0]]))
    >>> images_grad.round(4), texts_grad.round(4)
    (array([[ 0.    , -1.5708]]), array([[-1.5708,  0.    ]]))
    """
    images, texts = l2_normalize(image_features), l2_normalize(text_features)
    apart = images[:, None, :] - texts  # N M D
    sine = np.sqrt(np.sum(apart * apart, axis=-1)) / 2  # N M, of half the angle
    sine = np.minimum(np.maximum(sine, 1e-30), 1)  # of equal directions, too small to matter
    cosine = np.sqrt(np.maximum(1 - sine * sine, 1e-16))  # N M; 1e-8 for opposite directions
    ratio = np.arcsin(sine) / sine / cosine  # θ / sin θ, N M
    pull = (grad * ratio)[..., None] * apart  # N M D
    return (
        l2_normalize_vjp(image_features, np.sum(pull, axis=1)),
        l2_normalize_vjp(text_features, -np.sum(pull, axis=0)),
    )


def clip_guidance_loss(
    distances: Float[Array, "B N M"],
    weights: Float[Array, "M"],
) -> Float[Array, ""]:
    r"""The loss of CLIP guidance: distances summed over prompts, averaged over cutouts.

    $$L = \sum_b \frac1N \sum_{nm} w_m\, d_{bnm}$$

    distances: B N M, how far each of the N cutouts of each sample is from each of the M prompts.
    weights: M, one for each prompt; negative where it is to be avoided.

    Returns a scalar. Samples are added up, so that the gradient of each is its own.

    Raises AxesError for weights of another number than the prompts; DomainError for no cutouts.

    Elsewhere: VQGAN-CLIP averages over cutouts and samples alike. Disco Diffusion divides the
    weights by their sum first.

    Paper: Crowson et al. 2022, "VQGAN-CLIP: open domain image generation and editing with natural
    language guidance", section 3.

    >>> distances = np.array([[[1.0, 0.5], [2.0, 0.5]]])  # two cutouts, two prompts
    >>> float(clip_guidance_loss(distances, np.array([1.0, -1.0])))
    1.0
    """
    return np.sum(np.mean(distances * weights, axis=1))


def clip_guidance_loss_vjp(
    distances: Float[Array, "B N M"],
    weights: Float[Array, "M"],
    grad: Float[Array, ""],
) -> tuple[Float[Array, "B N M"], Float[Array, "M"]]:
    r"""The gradients of the loss of CLIP guidance, by distances and weights.

    $$\bar d_{bnm} = \bar L\, \frac{w_m}{N}, \qquad
    \bar w_m = \bar L \sum_b \frac1N \sum_n d_{bnm}$$

    distances: B N M, how far each of the N cutouts of each sample is from each of the M prompts.
    weights: M, one for each prompt; negative where it is to be avoided.
    grad: scalar, the gradient of the loss; minus the guidance scale where a sampler wants the
        gradient of a log probability.

    Returns B N M, the gradient of the distances; and M, of the weights.

    Raises AxesError for weights of another number than the prompts; DomainError for no cutouts.

    Elsewhere: VQGAN-CLIP divides by the number of samples as well.

    Paper: Crowson et al. 2022, "VQGAN-CLIP: open domain image generation and editing with natural
    language guidance", section 3 differentiated.

    >>> distances, weights = np.array([[[1.0, 0.5], [2.0, 0.5]]]), np.array([1.0, -1.0])
    >>> clip_guidance_loss_vjp(distances, weights, np.array(-10.0))
    (array([[[-5.,  5.],
            [-5.,  5.]]]), array([-15.,  -5.]))
    """
    share = grad / distances.shape[1]
    distances_grad = np.broadcast_to(share * weights, distances.shape)  # B N M
    return distances_grad, share * np.sum(distances, axis=(0, 1))


def classifier_guidance_velocity(
    v: Float[Array, "B ..."],
    gradient: Float[Array, "B ..."],
    t: Index[Array, "B", "T"],
    alpha_bar: AlphaBar[Array, "T"],
    scale: Scale[float, ""],
) -> Float[Array, "B ..."]:
    r"""Guide a predicted velocity by a classifier or CLIP, whose gradient is added to the score.

    $$\hat v = v - \sqrt{\frac{1 - \bar\alpha_t}{\bar\alpha_t}}\; s\,
    \nabla_{x_t} \log p(y \mid x_t)$$

    v: B ..., predicted velocity.
    gradient: B ..., gradient of the log probability, in nats; minus that of a loss.
    t: B, diffusion times, zero-based indices into alpha_bar.
    alpha_bar: T, share of signal at each time, in [0, 1].
    scale: guidance scale; 0 leaves the prediction as it is.

    Returns B ..., the guided velocity: the noise that it implies has moved by the same amount as
    `classifier_guidance_score` moves it. Where the share is 0 the velocity stays as it is, since
    there is nothing in pure noise to ask a classifier about.

    Raises AxesError for shapes that differ, a time outside the table or a share outside [0, 1].

    Elsewhere: v-diffusion writes it with sigma / alpha and skips the first step alike. It starts
    from x_t's gradient through the network; some take that of the predicted clean sample instead.

    Paper: Salimans, Ho 2022, "Progressive distillation for fast sampling of diffusion models",
    appendix D, for the velocity; Dhariwal, Nichol 2021, "Diffusion models beat GANs on image
    synthesis", algorithm 2, for the guidance.

    >>> v, gradient = np.array([[1.0]]), np.array([[0.5]])
    >>> classifier_guidance_velocity(v, gradient, np.array([0]), np.array([0.36]), 2.0).round(4)
    array([[-0.3333]])
    """
    share = at(alpha_bar, t, v)  # B 1 ...
    ratio = np.where(share > 0, np.sqrt((1 - share) / np.where(share > 0, share, 1)), 0)
    return v - ratio * (scale * gradient)
