"""CLIP: images and texts in one space, and the losses that put them there."""

import numpy as np

from refimpl.axes import Array, Float, LogScale
from refimpl.ops.layers.reference import (
    cross_entropy,
    l2_normalize,
    l2_normalize_vjp,
    sigmoid,
    softmax,
)


def clip_logits(
    image_features: Float[Array, "N D"],
    text_features: Float[Array, "M D"],
    log_scale: LogScale[float, ""],
) -> Float[Array, "N M"]:
    r"""Score every image against every text: the cosine of their features, times a scale.

    $$\ell_{ij} = e^{s} \left\langle \frac{I_i}{\lVert I_i \rVert},\,
    \frac{T_j}{\lVert T_j \rVert} \right\rangle$$

    image_features: N D, one vector for each image, of any length; a zero vector scores 0.
    text_features: M D, one vector for each text, of any length; a zero vector scores 0.
    log_scale: s, the natural logarithm of the inverse temperature; CLIP starts training at
    log(1 / 0.07) and ends near log(100).

    Returns N M, logits in [-exp(s), exp(s)]; rows are images, columns texts.

    Raises AxesError for features of different widths.

    Elsewhere: CLIP divides 0 by 0 for a zero vector, open_clip divides by at least 1e-12, and
    big_vision adds 1e-8 to the norm. Training clamps s to [0, log(100)], the released model does
    not.

    Paper: Radford et al. 2021, "Learning Transferable Visual Models From Natural Language
    Supervision", figure 3.

    >>> images, texts = np.array([[2.0, 0.0]]), np.array([[3.0, 0.0], [0.0, 1.0], [-0.5, 0.0]])
    >>> clip_logits(images, texts, log_scale=np.log(10.0)).round(4)
    array([[ 10.,   0., -10.]])
    """
    cosines = l2_normalize(image_features) @ l2_normalize(text_features).T  # N M
    return np.exp(log_scale) * cosines


def clip_logits_vjp(
    image_features: Float[Array, "N D"],
    text_features: Float[Array, "M D"],
    log_scale: LogScale[float, ""],
    grad: Float[Array, "N M"],
) -> tuple[Float[Array, "N D"], Float[Array, "M D"], Float[Array, ""]]:
    r"""The gradients of a loss that follows the scores of all images against all texts.

    $$\bar I_i = \frac{e^s}{\lVert I_i \rVert} \sum_j \bar\ell_{ij}
    \left(v_j - u_i \langle u_i, v_j \rangle\right), \qquad
    \bar s = \sum_{ij} \bar\ell_{ij}\, \ell_{ij}, \qquad
    u_i = \frac{I_i}{\lVert I_i \rVert}, \quad v_j = \frac{T_j}{\lVert T_j \rVert}$$

    and for the texts with both sides exchanged.

    image_features: N D, one vector for each image, of any length.
    text_features: M D, one vector for each text, of any length.
    log_scale: s, the natural logarithm of the inverse temperature.
    grad: N M, the gradient of the logits.

    Returns N D, the gradient of the images, each orthogonal to its feature; M D, of the texts; a
    scalar, of log_scale. A zero vector has no derivative: its gradient is as though its length,
    0, were 1 and did not change.

    Raises AxesError for features of different widths, or a grad of another shape than the logits.

    Elsewhere: the gradient of a scale that is no logarithm is that of log_scale over the scale.
    Where the scale is clamped inside the loss, log_scale gets no gradient beyond the limit; where
    it is clamped after each step, as in CLIP, it gets one.

    Paper: Radford et al. 2021, "Learning Transferable Visual Models From Natural Language
    Supervision", figure 3 differentiated.

    >>> images, texts = np.array([[2.0, 0.0]]), np.array([[0.0, 5.0]])
    >>> of_images, of_texts, of_scale = clip_logits_vjp(images, texts, 0.0, np.array([[1.0]]))
    >>> of_images, of_texts, float(of_scale)
    (array([[0. , 0.5]]), array([[0.2, 0. ]]), 0.0)
    """
    images, texts = l2_normalize(image_features), l2_normalize(text_features)
    scale = np.exp(log_scale)
    images_grad, texts_grad = scale * (grad @ texts), scale * (grad.T @ images)  # N D, M D
    return (
        l2_normalize_vjp(image_features, images_grad),
        l2_normalize_vjp(text_features, texts_grad),
        np.sum(grad * (scale * (images @ texts.T))),
    )


def clip_loss(
    image_features: Float[Array, "N D"],
    text_features: Float[Array, "N D"],
    log_scale: LogScale[float, ""],
) -> Float[Array, ""]:
    r"""The contrastive loss: each image should pick its text, and each text its image.

    $$L = -\frac{1}{2N} \sum_i \left( \log \frac{e^{\ell_{ii}}}{\sum_j e^{\ell_{ij}}}
    + \log \frac{e^{\ell_{ii}}}{\sum_j e^{\ell_{ji}}} \right)$$

    image_features: N D, one vector for each image, of any length.
    text_features: N D, text i belongs to image i.
    log_scale: s, the natural logarithm of the inverse temperature.

    Returns a scalar, the loss in nats, not negative; log(N) where all logits are equal.

    Raises AxesError for different numbers of images and texts; ValueError for no pairs at all.

    Elsewhere: ALIGN adds the two directions without halving. Across processes, features are
    gathered first and the labels of a process start at its own first pair.

    Paper: Radford et al. 2021, "Learning Transferable Visual Models From Natural Language
    Supervision", figure 3.

    >>> float(clip_loss(np.eye(3), np.eye(3), log_scale=0.0).round(4))
    0.5514
    """
    logits = clip_logits(image_features, text_features, log_scale)  # N N
    labels = np.arange(len(logits))
    return (cross_entropy(logits, labels) + cross_entropy(logits.T, labels)) / 2


def clip_loss_vjp(
    image_features: Float[Array, "N D"],
    text_features: Float[Array, "N D"],
    log_scale: LogScale[float, ""],
    grad: Float[Array, ""],
) -> tuple[Float[Array, "N D"], Float[Array, "N D"], Float[Array, ""]]:
    r"""The gradients of the contrastive loss: pairs are pulled together, all others pushed apart.

    $$\bar\ell_{ij} = \frac{\bar L}{2N} \left(\frac{e^{\ell_{ij}}}{\sum_k e^{\ell_{ik}}}
    + \frac{e^{\ell_{ij}}}{\sum_k e^{\ell_{kj}}} - 2\, [i = j]\right)$$

    and from there as `clip_logits_vjp` has it.

    image_features: N D, one vector for each image, of any length.
    text_features: N D, text i belongs to image i.
    log_scale: s, the natural logarithm of the inverse temperature.
    grad: scalar, the gradient of the loss, 1 where it is the loss itself.

    Returns N D, the gradient of the images; N D, of the texts; and a scalar, of log_scale.

    Raises AxesError for different numbers of images and texts; DomainError for no pairs at all.

    Elsewhere: across processes a gradient reaches the features of other processes only if they
    were gathered with one; open_clip has it optional, and its local loss divides by the pairs of
    one process.

    Paper: Radford et al. 2021, "Learning Transferable Visual Models From Natural Language
    Supervision", figure 3 differentiated.

    >>> images_grad, _, of_scale = clip_loss_vjp(np.eye(2), np.eye(2), 0.0, np.array(1.0))
    >>> images_grad.round(4), float(of_scale.round(4))
    (array([[0.    , 0.1345],
           [0.1345, 0.    ]]), -0.2689)
    """
    logits = clip_logits(image_features, text_features, log_scale)  # N N
    N = len(logits)
    by_image, by_text = softmax(logits), softmax(logits.T).T  # N N
    logits_grad = grad / (2 * N) * (by_image + by_text - 2 * np.eye(N))
    return clip_logits_vjp(image_features, text_features, log_scale, logits_grad)


def siglip_loss(
    image_features: Float[Array, "N D"],
    text_features: Float[Array, "N D"],
    log_scale: LogScale[float, ""],
    bias: Float[float, ""],
) -> Float[Array, ""]:
    r"""The sigmoid loss: for every image and text, decide by itself whether they belong together.

    $$L = -\frac1N \sum_{ij} \log \sigma(z_{ij} (\ell_{ij} + b)), \qquad
    z_{ij} = \begin{cases} 1 & i = j \\ -1 & i \ne j \end{cases}$$

    image_features: N D, one vector for each image, of any length.
    text_features: N D, text i belongs to image i.
    log_scale: the natural logarithm of the inverse temperature; SigLIP starts at log(10).
    bias: b, added to every logit; SigLIP starts at -10, since most pairs do not belong together.

    Returns a scalar, the loss in nats, not negative: a sum over pairs, a mean over images.

    Raises AxesError for different numbers of images and texts; DomainError for no pairs at all.

    Elsewhere: big_vision and open_clip divide by the number of images as well; across processes
    only a process's own chunk of texts has pairs that belong together.

    Paper: Zhai et al. 2023, "Sigmoid Loss for Language Image Pre-Training", algorithm 1.

    >>> float(siglip_loss(np.eye(2), np.eye(2), log_scale=0.0, bias=0.0).round(4))
    1.0064
    """
    logits = clip_logits(image_features, text_features, log_scale) + bias  # N N
    N = len(logits)
    signed = (2 * np.eye(N) - 1) * logits  # N N
    log_sigmoid = np.minimum(signed, 0) - np.log1p(np.exp(-np.abs(signed)))
    return -np.sum(log_sigmoid) / N


def siglip_loss_vjp(
    image_features: Float[Array, "N D"],
    text_features: Float[Array, "N D"],
    log_scale: LogScale[float, ""],
    bias: Float[float, ""],
    grad: Float[Array, ""],
) -> tuple[Float[Array, "N D"], Float[Array, "N D"], Float[Array, ""], Float[Array, ""]]:
    r"""The gradients of the sigmoid loss, which decides for every image and text by itself.

    $$\bar\ell_{ij} = -\frac{\bar L}{N}\, z_{ij}\, \sigma(-z_{ij} (\ell_{ij} + b)), \qquad
    \bar b = \sum_{ij} \bar\ell_{ij}, \qquad
    z_{ij} = \begin{cases} 1 & i = j \\ -1 & i \ne j \end{cases}$$

    and for features and scale as `clip_logits_vjp` has it.

    image_features: N D, one vector for each image, of any length.
    text_features: N D, text i belongs to image i.
    log_scale: the natural logarithm of the inverse temperature.
    bias: b, added to every logit.
    grad: scalar, the gradient of the loss, 1 where it is the loss itself.

    Returns N D, the gradient of the images; N D, of the texts; and two scalars, of log_scale and
    of the bias.

    Raises AxesError for different numbers of images and texts; DomainError for no pairs at all.

    Elsewhere: big_vision and open_clip divide by the number of images as well; across processes
    the gradients of a text add up over all processes that saw it.

    Paper: Zhai et al. 2023, "Sigmoid Loss for Language Image Pre-Training", algorithm 1
    differentiated.

    >>> grads = siglip_loss_vjp(np.eye(2), np.eye(2), 0.0, 0.0, np.array(1.0))
    >>> grads[0].round(4), [float(x.round(4)) for x in grads[2:]]
    (array([[0.  , 0.25],
           [0.25, 0.  ]]), [-0.2689, 0.2311])
    """
    logits = clip_logits(image_features, text_features, log_scale) + bias  # N N
    N = len(logits)
    signs = 2 * np.eye(N) - 1  # N N
    logits_grad = -grad / N * (signs * sigmoid(-signs * logits))
    features_and_scale = clip_logits_vjp(image_features, text_features, log_scale, logits_grad)
    return *features_and_scale, np.sum(logits_grad)
