"""Images within a text: which image a word sees, what it sees of it, and how much it takes."""

import numpy as np

from refimpl.axes import Array, Epsilon, Float, Mask, Size, Total, Weight
from refimpl.ops.attention.reference import attention, join_heads, split_heads
from refimpl.ops.layers.reference import layer_norm, linear


def text_times(media: Mask[Array, "B N"]) -> Total[Array, "B N"]:
    r"""The number of images so far, at each token of a text.

    $$\tau_{bn} = \sum_{m \le n} k_{bm}$$

    media: B N, k, 1 where an image stands in the text and 0 at words.

    Returns B N, counts that begin at 1 with the first image, its own token included; 0 before it.

    Raises AxesError for another number than 0 and 1.

    Elsewhere: with a cache, new words have the last count of the prompt.

    Paper: Alayrac et al. 2022, "Flamingo: a visual language model for few-shot learning",
    section 2.3 and figure 7.

    >>> text_times(np.array([[0, 1, 0, 1, 0]]))
    array([[0, 1, 1, 2, 2]])
    """
    return np.cumsum(media, axis=1)  # B N


def media_bias(
    times: Total[Array, "B N"], media: Size[int, "media"], latents: Size[int, "latents"]
) -> Float[Array, "B 1 N media*latents"]:
    r"""The mask of Flamingo's cross-attention: a word sees the last image before it, and no other.

    $$A_{b1n,\; k L + l} = \begin{cases} 0 & \tau_{bn} = k + 1 \\
    -\infty & \text{else} \end{cases}$$

    times: B N, τ, from `text_times`.
    media: images of a text.
    latents: L, tokens of an image, from the resampler.

    Returns B 1 N media*latents, a bias for attention. A word before the first image sees nothing,
    and attention gives it 0.

    Raises AxesError for counts that are negative or no integers.

    Elsewhere: OpenFlamingo and Idefics set the result of such a word to 0. Information from
    earlier images reaches a word through the self-attention of the text.

    Paper: Alayrac et al. 2022, "Flamingo: a visual language model for few-shot learning",
    section 2.3.

    >>> media_bias(np.array([[0, 1, 2]]), media=2, latents=1)[0, 0]
    array([[-inf, -inf],
           [  0., -inf],
           [-inf,   0.]])
    """
    image = np.repeat(np.arange(media), latents) + 1  # media*latents
    return np.where(times[:, None, :, None] == image, 0.0, -np.inf)  # B 1 N media*latents


def media_bias_all(
    times: Total[Array, "B N"], media: Size[int, "media"], latents: Size[int, "latents"]
) -> Float[Array, "B 1 N media*latents"]:
    r"""A variant of Flamingo's mask: a word sees all images before it.

    $$A_{b1n,\; k L + l} = \begin{cases} 0 & \tau_{bn} \ge k + 1 \\
    -\infty & \text{else} \end{cases}$$

    times: B N, τ, from `text_times`.
    media: images of a text.
    latents: L, tokens of an image, from the resampler.

    Returns B 1 N media*latents, a bias for attention. A word before the first image sees nothing,
    and attention gives it 0.

    Raises AxesError for counts that are negative or no integers.

    Elsewhere: OpenFlamingo in this mode fills with the most negative number, and a word before the
    first image gets the mean of all images, those to come as well.

    Paper: Alayrac et al. 2022, "Flamingo: a visual language model for few-shot learning", table 3:
    worse than the image before alone.

    >>> media_bias_all(np.array([[0, 1, 2]]), media=2, latents=1)[0, 0]
    array([[-inf, -inf],
           [  0., -inf],
           [  0.,   0.]])
    """
    image = np.repeat(np.arange(media), latents) + 1  # media*latents
    return np.where(times[:, None, :, None] >= image, 0.0, -np.inf)  # B 1 N media*latents


def perceiver_attention(
    media: Float[Array, "B M D"],
    latents: Float[Array, "B N D"],
    media_gain: Weight[Array, "D"],
    media_shift: Weight[Array, "D"],
    latents_gain: Weight[Array, "D"],
    latents_shift: Weight[Array, "D"],
    eps: Epsilon[float, ""],
    query_weight: Weight[Array, "H*E D"],
    key_weight: Weight[Array, "H*E D"],
    value_weight: Weight[Array, "H*E D"],
    out_weight: Weight[Array, "D H*E"],
    heads: Size[int, "H"],
) -> Float[Array, "B N D"]:
    r"""The Perceiver resampler: a few latents attend to the tokens of an image, and to each other.

    $$z' = z + W_o\, \mathrm{attention}\left(W_q \hat z,\; W_k [\hat x, \hat z],\;
    W_v [\hat x, \hat z]\right), \qquad \hat x = \mathrm{LN}(x), \; \hat z = \mathrm{LN}(z)$$

    media: B M D, x, tokens of the image, frames one after another.
    latents: B N D, z, the learned vectors, or the output of the layer before.
    media_gain: D, gain of the layer norm of the media.
    media_shift: D, its bias.
    latents_gain: D, gain of the layer norm of the latents.
    latents_shift: D, its bias.
    eps: ε of both layer norms, 1e-5.
    query_weight: H*E D, W_q.
    key_weight: H*E D, W_k.
    value_weight: H*E D, W_v.
    out_weight: D H*E, W_o.
    heads: H, contiguous slices of H*E.

    Returns B N D, the updated latents; a feed-forward layer follows.

    Raises AxesError for axes that disagree.

    Elsewhere: the first Perceiver attends to the media alone. Idefics may norm queries and keys
    once more, head by head.

    Paper: Alayrac et al. 2022, "Flamingo: a visual language model for few-shot learning",
    section 2.1 and figure 5.

    >>> one, eye = np.ones(2), np.eye(2)
    >>> x, z = np.array([[[3.0, 1.0]]]), np.array([[[2.0, 0.0]]])
    >>> perceiver_attention(x, z, one, 0 * one, one, 0 * one, 0.0, eye, eye, eye, eye, 1)
    array([[[ 3., -1.]]])
    """
    told = layer_norm(media, media_gain, media_shift, eps)  # B M D
    asking = layer_norm(latents, latents_gain, latents_shift, eps)  # B N D
    seen = np.concatenate((told, asking), axis=1)  # B M+N D
    query = split_heads(linear(asking, query_weight, None), heads)  # B H N E
    key = split_heads(linear(seen, key_weight, None), heads)  # B H M+N E
    value = split_heads(linear(seen, value_weight, None), heads)  # B H M+N E
    mixed = join_heads(attention(query, key, value, None))  # B N H*E
    return latents + linear(mixed, out_weight, None)  # B N D


def gated_residual(
    x: Float[Array, "..."], branch: Float[Array, "..."], gate: Float[Array, ""]
) -> Float[Array, "..."]:
    r"""Add a new branch to a pretrained network through a gate that starts at zero.

    $$y = x + \tanh(a)\, f$$

    x: ..., the output of the pretrained network.
    branch: ..., f, the output of the new layer.
    gate: a, one number for a layer, 0 at first.

    Returns ...; at a = 0 it is x, bit for bit.

    Raises AxesError for shapes that differ.

    Elsewhere: Idefics may have a gate for each feature. Both the attention and the dense layer
    behind it have gates.

    Paper: Alayrac et al. 2022, "Flamingo: a visual language model for few-shot learning",
    section 2.2.

    >>> gated_residual(np.array([1.0, 2.0]), np.array([3.0, 4.0]), np.array(0.0))
    array([1., 2.])
    """
    return x + np.tanh(gate) * branch


def gated_residual_vjp(
    branch: Float[Array, "..."], gate: Float[Array, ""], grad: Float[Array, "..."]
) -> tuple[Float[Array, "..."], Float[Array, "..."], Float[Array, ""]]:
    r"""The gradients of a loss that follows `gated_residual`.

    $$\bar x = \bar y, \qquad \bar f = \tanh(a)\, \bar y, \qquad
    \bar a = (1 - \tanh^2 a) \sum \bar y\, f$$

    branch: ..., f, the output of the new layer.
    gate: a, one number.
    grad: ..., the gradient by the result.

    Returns the gradients by x, ..., by the branch, ..., and by the gate, one number.

    Raises AxesError for shapes that differ.

    Elsewhere: the same; written with exponentials the slope keeps its digits where the gate is wide
    open. At gate 0 the branch has no gradient, but the gate has one.

    Paper: Alayrac et al. 2022, "Flamingo: a visual language model for few-shot learning",
    section 2.2, differentiated.

    >>> gated_residual_vjp(np.array([3.0, 4.0]), np.array(0.0), np.array([1.0, 2.0]))
    (array([1., 2.]), array([0., 0.]), np.float64(11.0))
    """
    opened = np.tanh(gate)
    return grad, opened * grad, (1 - opened * opened) * np.sum(grad * branch)
