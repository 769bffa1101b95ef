"""Between an image tower and a language model: queries, pairs and negatives, spliced tokens."""

import numpy as np

from refimpl.axes import (
    Array,
    AxesError,
    Bias,
    Count,
    Epsilon,
    Fixed,
    Float,
    Fraction,
    Gain,
    Label,
    Positive,
    Stride,
    Weight,
)
from refimpl.ops.attention.reference import (
    attention,
    join_heads,
    multi_head_attention,
    split_heads,
)
from refimpl.ops.layers.reference import (
    gelu,
    l2_normalize,
    l2_normalize_vjp,
    layer_norm,
    layer_norm_vjp,
    linear,
    log_softmax,
    softmax,
)
from refimpl.ops.unet.reference import check_divides


def qformer_embed(
    queries: Float[Array, "latents D"],
    words: Float[Array, "B N D"],
    positions: Float[Array, "N D"],
    gain: Float[Array, "D"],
    shift: Float[Array, "D"],
    eps: Epsilon[float, ""],
) -> Float[Array, "B M D"]:
    r"""The input of a Q-Former: learned queries, then words with positions, after a layer norm.

    $$x_b = \mathrm{LN}\left([q_1, \dots, q_L, w_{b1} + p_1, \dots, w_{bN} + p_N]\right)$$

    queries: latents D, q, learned; they have no position.
    words: B N D, w, vectors of the words.
    positions: N D, p, learned.
    gain: D, of the layer norm.
    shift: D, its bias.
    eps: ε, 1e-12 as in BERT.

    Returns B M D with M = latents + N.

    Raises AxesError for widths that differ.

    Elsewhere: the same; BERT adds a vector of the segment, which is absent here.

    Paper: Li et al. 2023, "BLIP-2: bootstrapping language-image pre-training with frozen image
    encoders and large language models", section 3.1.

    >>> queries, words = np.array([[3.0, 1.0]]), np.array([[[1.0, 2.0]]])
    >>> places, one = np.array([[0.0, 3.0]]), np.ones(2)
    >>> qformer_embed(queries, words, places, one, 0 * one, 0.0)
    array([[[ 1., -1.],
            [-1.,  1.]]])
    """
    alike = queries + np.zeros((len(words), 1, 1))  # B latents D
    tokens = np.concatenate((alike, words + positions), axis=1)  # B M D
    return layer_norm(tokens, gain, shift, eps)


def qformer_embed_vjp(
    queries: Float[Array, "latents D"],
    words: Float[Array, "B N D"],
    positions: Float[Array, "N D"],
    gain: Float[Array, "D"],
    eps: Epsilon[float, ""],
    grad: Float[Array, "B M D"],
) -> tuple[
    Float[Array, "latents D"],
    Float[Array, "B N D"],
    Float[Array, "N D"],
    Float[Array, "D"],
    Float[Array, "D"],
]:
    r"""The gradients of a loss that follows `qformer_embed`: what all texts share gets sums.

    $$\bar q_l = \sum_b \bar z_{bl}, \qquad \bar w_{bn} = \bar z_{b,L+n}, \qquad
    \bar p_n = \sum_b \bar z_{b,L+n}$$

    with z the gradient by what the layer norm read, as `layer_norm_vjp` gives it.

    queries: latents D, q, learned.
    words: B N D, w, vectors of the words.
    positions: N D, p, learned.
    gain: D, of the layer norm.
    eps: ε, as in the forward pass.
    grad: B M D, the gradient by the result, M = L + N.

    Returns the gradients by queries, words, positions, gain and shift.

    Raises AxesError for widths that differ, and for a grad of another number of tokens.

    Elsewhere: the same.

    Paper: Li et al. 2023, "BLIP-2: bootstrapping language-image pre-training with frozen image
    encoders and large language models", section 3.1, differentiated.

    >>> queries, words = np.array([[3.0, 1.0]]), np.array([[[1.0, 2.0]]])
    >>> grad = np.array([[[5.0, 3.0], [2.0, 4.0]]])
    >>> qformer_embed_vjp(queries, words, np.zeros((1, 2)), np.ones(2), 0.0, grad)[3:]
    (array([3., 1.]), array([7., 7.]))
    """
    L, M = len(queries), grad.shape[1]
    if L + words.shape[1] != M:
        raise AxesError(f"qformer_embed_vjp: grad has {M} tokens, expected {L + words.shape[1]}")
    alike = queries + np.zeros((len(words), 1, 1))  # B latents D
    tokens = np.concatenate((alike, words + positions), axis=1)  # B M D
    tokens_grad, gain_grad, shift_grad = layer_norm_vjp(tokens, gain, eps, grad)
    shared = np.sum(tokens_grad, axis=0)  # M D
    return shared[:L], tokens_grad[:, L:], shared[L:], gain_grad, shift_grad


def image_attention(
    x, image, query_weight, query_bias, image_weight, image_bias, out_weight, out_bias, heads
):
    """Attention of queries to the tokens of an image, which have a width of their own."""
    query = split_heads(linear(x, query_weight, query_bias), heads)  # B H latents E
    both = np.split(linear(image, image_weight, image_bias), 2, axis=-1)  # B patches channels each
    key, value = (split_heads(z, heads) for z in both)  # B H patches E each
    return linear(join_heads(attention(query, key, value, None)), out_weight, out_bias)


def feed_forward(x, in_weight, in_bias, out_weight, out_bias, gain, bias, eps):
    """Two dense layers that are added to the tokens, then a layer norm."""
    hidden = gelu(linear(x, in_weight, in_bias))  # B N hidden
    return layer_norm(x + linear(hidden, out_weight, out_bias), gain, bias, eps)


def qformer_layer(
    x: Float[Array, "B N channels"],
    image: Float[Array, "B patches D"] | None,
    self_weight: Weight[Array, "3*channels channels"],
    self_bias: Weight[Array, "3*channels"],
    self_out_weight: Weight[Array, "channels channels"],
    self_out_bias: Weight[Array, "channels"],
    self_norm_gain: Weight[Array, "channels"],
    self_norm_bias: Weight[Array, "channels"],
    query_weight: Weight[Array, "channels channels"],
    query_bias: Weight[Array, "channels"],
    image_weight: Weight[Array, "2*channels D"],
    image_bias: Weight[Array, "2*channels"],
    image_out_weight: Weight[Array, "channels channels"],
    image_out_bias: Weight[Array, "channels"],
    image_norm_gain: Weight[Array, "channels"],
    image_norm_bias: Weight[Array, "channels"],
    queries_in_weight: Weight[Array, "hidden channels"],
    queries_in_bias: Weight[Array, "hidden"],
    queries_out_weight: Weight[Array, "channels hidden"],
    queries_out_bias: Weight[Array, "channels"],
    queries_norm_gain: Weight[Array, "channels"],
    queries_norm_bias: Weight[Array, "channels"],
    words_in_weight: Weight[Array, "hidden channels"],
    words_in_bias: Weight[Array, "hidden"],
    words_out_weight: Weight[Array, "channels hidden"],
    words_out_bias: Weight[Array, "channels"],
    words_norm_gain: Weight[Array, "channels"],
    words_norm_bias: Weight[Array, "channels"],
    queries: Count[int, "", "N"],
    heads: Stride[int, ""],
    bias: Bias[Array, "broadcastable B 1 N N"] | None,
    eps: Epsilon[float, ""],
) -> Float[Array, "B N channels"]:
    r"""A layer of a Q-Former: queries and words attend together, queries alone to the image.

    $$\begin{aligned}
    (q;\, w) &= \mathrm{LN}_s(x + \mathrm{SelfAttention}(x)) \\
    q' &= \mathrm{LN}_i(q + \mathrm{CrossAttention}(q,\, m)) \\
    y &= (\mathrm{LN}_q(q' + \mathrm{FFN}_q(q'));\; \mathrm{LN}_w(w + \mathrm{FFN}_w(w))),
    \qquad \mathrm{FFN}(z) = W_2 \operatorname{GELU}(W_1 z + b_1) + b_2
    \end{aligned}$$

    x: B N channels, the tokens: queries first, then words.
    image: B patches D, m, tokens of the image; None in a layer that reads no image, q' = q.
    self_weight: 3*channels channels, rows of all queries, all keys, all values of self-attention.
    self_bias: 3*channels, in the same order.
    self_out_weight: channels channels, behind the heads.
    self_out_bias: channels, behind the heads.
    self_norm_gain: channels, behind self-attention.
    self_norm_bias: channels, behind self-attention.
    query_weight: channels channels, of what the queries ask the image.
    query_bias: channels, of the same.
    image_weight: 2*channels D, rows of all keys, then all values of the image.
    image_bias: 2*channels, in the same order.
    image_out_weight: channels channels, behind the heads.
    image_out_bias: channels, behind the heads.
    image_norm_gain: channels, behind attention to the image.
    image_norm_bias: channels, behind attention to the image.
    queries_in_weight: hidden channels, of the queries' feed-forward layers.
    queries_in_bias: hidden, of the same.
    queries_out_weight: channels hidden, back to the tokens.
    queries_out_bias: channels, back to the tokens.
    queries_norm_gain: channels, behind them.
    queries_norm_bias: channels, behind them.
    words_in_weight: hidden channels, of the words' feed-forward layers.
    words_in_bias: hidden, of the same.
    words_out_weight: channels hidden, back to the tokens.
    words_out_bias: channels, back to the tokens.
    words_norm_gain: channels, behind them.
    words_norm_bias: channels, behind them.
    queries: how many of the tokens are queries, 0 to N.
    heads: of both attentions, a divisor of the channels, contiguous slices of them.
    bias: broadcastable to B 1 N N, added to the scores among tokens in nats; None hides nothing.
    eps: scalar ≥ 0, of all four normalisations, 1e-12.

    Returns B N channels, queries first.

    Raises AxesError for more queries than tokens, and for heads that do not divide the channels.

    Elsewhere: LAVIS reads the image in every other layer, from the first on; without a text it has
    no feed-forward layers for words. transformers keeps the matrices of queries, keys and values
    apart.

    Paper: Li et al. 2023, "BLIP-2: bootstrapping language-image pre-training with frozen image
    encoders and large language models", section 3.1 and figure 2.

    >>> one, none, eye, no = np.ones(2), np.zeros(2), np.eye(2), np.zeros((2, 2))
    >>> norm, attend = (one, none), (np.zeros((6, 2)), np.zeros(6), no, none)
    >>> ask = no, none, np.concatenate((no, eye)), np.zeros(4), 2 * eye, none
    >>> layer = *attend, *norm, *ask, *norm, *(no, none, no, none, *norm) * 2
    >>> x, image = np.array([[[3.0, 1.0], [3.0, 1.0]]]), np.array([[[0.0, 3.0]]])
    >>> qformer_layer(x, image, *layer, 1, 1, None, 0.0)
    array([[[-1.,  1.],
            [ 1., -1.]]])
    """
    check_divides("qformer_layer", "heads", heads, x.shape[-1])
    own = self_weight, self_bias, self_out_weight, self_out_bias
    x = x + multi_head_attention(x, x, *own, heads, bias)
    x = layer_norm(x, self_norm_gain, self_norm_bias, eps)
    asking, words = x[:, :queries], x[:, queries:]  # B latents channels, the others

    if image is not None:
        reads = query_weight, query_bias, image_weight, image_bias, image_out_weight, image_out_bias
        asking = asking + image_attention(asking, image, *reads, heads)
        asking = layer_norm(asking, image_norm_gain, image_norm_bias, eps)

    of_queries = queries_in_weight, queries_in_bias, queries_out_weight, queries_out_bias
    asking = feed_forward(asking, *of_queries, queries_norm_gain, queries_norm_bias, eps)
    of_words = words_in_weight, words_in_bias, words_out_weight, words_out_bias
    words = feed_forward(words, *of_words, words_norm_gain, words_norm_bias, eps)
    return np.concatenate((asking, words), axis=1)  # B N channels


def itc_similarity(
    images: Float[Array, "Q latents D"], texts: Float[Array, "texts D"]
) -> Float[Array, "Q texts"]:
    r"""The similarity of images and texts: the largest cosine over an image's query outputs.

    $$s_{nm} = \max_q \frac{u_{nq} \cdot t_m}{|u_{nq}|\,|t_m|}$$

    images: Q latents D, u, the query outputs for each image, projected.
    texts: texts D, t, a vector of each text, projected.

    Returns Q texts, cosines, not divided by a temperature.

    Raises AxesError for widths that differ; DomainError for images without vectors.

    Elsewhere: LAVIS divides by a learned temperature that begins at 0.07, transformers does not.

    Paper: Li et al. 2023, "BLIP-2: bootstrapping language-image pre-training with frozen image
    encoders and large language models", section 3.1.

    >>> itc_similarity(np.array([[[2.0, 0.0], [0.0, 3.0]]]), np.array([[0.0, 4.0], [-1.0, 0.0]]))
    array([[1., 0.]])
    """
    cosines = l2_normalize(images) @ l2_normalize(texts).T  # Q latents texts
    return np.max(cosines, axis=1)  # Q texts


def itc_similarity_vjp(
    images: Fixed[Array, "Q latents D"],
    texts: Fixed[Array, "texts D"],
    grad: Float[Array, "Q texts"],
) -> tuple[Float[Array, "Q latents D"], Float[Array, "texts D"]]:
    r"""The gradients of a loss that follows `itc_similarity`: only the best query has one.

    $$\bar u_{nq} = \sum_m [q = q^\ast_{nm}]\, \bar s_{nm}
    \frac{\hat t_m - s_{nm}\, \hat u_{nq}}{|u_{nq}|}, \qquad
    \bar t_m = \sum_n \bar s_{nm} \frac{\hat u_{n q^\ast} - s_{nm}\, \hat t_m}{|t_m|}, \qquad
    q^\ast_{nm} = \arg\max_q \hat u_{nq} \cdot \hat t_m$$

    images: Q latents D, u, the query outputs for each image, projected.
    texts: texts D, t, a vector of each text, projected.
    grad: Q texts, the gradient by the similarities.

    Returns Q latents D, the gradient by the images, and texts D, by the texts.

    Raises AxesError for widths that differ; DomainError for images without vectors.

    Elsewhere: of queries that are equally similar the first gets all; torch's amax shares it among
    them, its max gives it to one. A zero vector passes grad on, torch's normalize multiplies by
    1e12 there.

    Paper: Li et al. 2023, "BLIP-2: bootstrapping language-image pre-training with frozen image
    encoders and large language models", section 3.1, differentiated.

    >>> images, texts = np.array([[[2.0, 0.0], [0.0, 4.0]]]), np.array([[0.6, 0.8]])
    >>> itc_similarity_vjp(images, texts, np.ones((1, 1)))[0].round(2)
    array([[[0.  , 0.  ],
            [0.15, 0.  ]]])
    """
    unit, asked = l2_normalize(images), l2_normalize(texts)
    cosines = unit @ asked.T  # Q latents texts
    best = np.argmax(cosines, axis=1)  # Q texts
    is_best = np.arange(images.shape[1])[:, None] == best[:, None]  # Q latents texts
    passed = np.where(is_best, grad[:, None], 0.0)  # Q latents texts
    images_grad = l2_normalize_vjp(images, passed @ asked)
    told = np.sum(np.swapaxes(passed, 1, 2) @ unit, axis=0)  # texts D
    return images_grad, l2_normalize_vjp(texts, told)


def itc_loss(
    similarity: Float[Array, "N N"],
    temperature: Positive[float, ""],
    smoothing: Fraction[float, ""],
) -> Float[Array, ""]:
    r"""The contrastive loss of images and texts with label smoothing.

    $$L = -\tfrac{1}{2N} \sum_{nm} y_{nm} \left(\log \mathrm{softmax}_m \tfrac{s_{nm}}{\tau}
    + \log \mathrm{softmax}_n \tfrac{s_{nm}}{\tau}\right), \qquad
    y = (1 - \epsilon) I + \tfrac{\epsilon}{N}$$

    similarity: N N, images by texts; pairs on the diagonal.
    temperature: τ, above 0; it divides. 0.07 at first.
    smoothing: ε, the share of a label that all have; 0.1.

    Returns the loss in nats.

    Raises AxesError for a temperature that is not above 0; DomainError where there is no pair.

    Elsewhere: CLIP multiplies by the exponential of a learned number and smooths nothing.

    Paper: Li et al. 2021, "Align before fuse", equations 1 and 2; the smoothing is LAVIS's.

    >>> itc_loss(np.array([[1.0, 0.0], [0.0, 1.0]]), 1.0, 0.0).round(4)
    np.float64(0.3133)
    """
    N = len(similarity)
    logits = similarity / temperature  # N N
    labels = (1 - smoothing) * np.eye(N) + smoothing / N  # N N
    both = log_softmax(logits) + log_softmax(logits.T).T  # N N
    return -np.sum(labels * both) / (2 * N)


def itc_loss_vjp(
    similarity: Float[Array, "N N"],
    temperature: Positive[float, ""],
    smoothing: Fraction[float, ""],
    grad: Float[Array, ""],
) -> Float[Array, "N N"]:
    r"""The gradient of a loss that follows `itc_loss`.

    $$\bar s_{nm} = \frac{\bar L}{2 N \tau} \left(\mathrm{softmax}_m \tfrac{s_{nm}}{\tau}
    + \mathrm{softmax}_n \tfrac{s_{nm}}{\tau} - 2 y_{nm}\right)$$

    similarity: N N, images by texts; pairs on the diagonal.
    temperature: τ, above 0.
    smoothing: ε, the share of a label that all have.
    grad: the gradient by the loss.

    Returns N N, the gradient by the similarities.

    Raises AxesError for a temperature that is not above 0; DomainError where there is no pair.

    Elsewhere: the temperature is learned, too.

    Paper: Li et al. 2021, "Align before fuse", equations 1 and 2, differentiated.

    >>> itc_loss_vjp(np.zeros((2, 2)), 1.0, 0.0, np.array(1.0))
    array([[-0.25,  0.25],
           [ 0.25, -0.25]])
    """
    N = len(similarity)
    logits = similarity / temperature  # N N
    labels = (1 - smoothing) * np.eye(N) + smoothing / N  # N N
    apart = softmax(logits) + softmax(logits.T).T - 2 * labels  # N N
    return grad * apart / (2 * N * temperature)


def hard_negative_weights(
    similarity: Float[Array, "N N"], temperature: Positive[float, ""]
) -> Float[Array, "N N"]:
    r"""The probability of drawing each other text as a negative: more similar ones are likelier.

    $$w_{nm} = \frac{[m \ne n]\, e^{s_{nm} / \tau}}{\sum_{k \ne n} e^{s_{nk} / \tau}}$$

    similarity: N N, images by texts; pairs on the diagonal.
    temperature: τ, above 0; that of the contrast.

    Returns N N, probabilities of each row; 0 on the diagonal. `sample_index` draws from them.

    Raises AxesError for a single pair, which has no other.

    Elsewhere: LAVIS fills the diagonal with -10000, ALBEF sets it to 0. Two pairs with one
    image count as negatives of each other, here as there.

    Paper: Li et al. 2021, "Align before fuse", section 3.2.

    >>> hard_negative_weights(np.array([[9.0, 1.0, 1.0], [0.0, 9.0, 0.0], [0.0, 0.0, 9.0]]), 1.0)
    array([[0. , 0.5, 0.5],
           [0.5, 0. , 0.5],
           [0.5, 0.5, 0. ]])
    """
    N = len(similarity)
    if N < 2:
        raise AxesError(f"hard_negative_weights: similarity has N={N}, expected another pair")
    own = np.where(np.eye(N) == 1, -np.inf, 0.0)  # N N
    return softmax(similarity / temperature + own)


def splice_tokens(
    words: Float[Array, "B N D"],
    ids: Label[Array, "B N"],
    image_id: Label[int, ""],
    images: Float[Array, "B latents D"],
) -> Float[Array, "B N D"]:
    r"""Replace the placeholders in a text by the tokens of an image, in order.

    $$y_{bn} = \begin{cases} u_{b,k(n)} & i_{bn} = i^\ast \\ w_{bn} & \text{else} \end{cases},
    \qquad k(n) = \left|\{m < n : i_{bm} = i^\ast\}\right|$$

    words: B N D, w, vectors of the words.
    ids: B N, i, what stands at each place.
    image_id: i*, the word that is the placeholder.
    images: B latents D, u, projected tokens of the image: continuous, the words of no vocabulary.

    Returns B N D.

    Raises AxesError where a text has more or fewer placeholders than the image has tokens.

    Elsewhere: the first LLaVA puts all tokens in the place of one word, so that the text grows.

    Paper: Liu et al. 2023, "Visual instruction tuning", section 4.1; Li et al. 2023, "BLIP-2",
    section 3.2, call them soft visual prompts.

    >>> words, image = np.zeros((1, 3, 1)), np.array([[[5.0], [6.0]]])
    >>> splice_tokens(words, np.array([[9, 1, 9]]), 9, image).ravel()
    array([5., 0., 6.])
    """
    B, K, _ = images.shape
    room = ids == image_id  # B N
    if np.any(np.sum(room, axis=1) != K):
        raise AxesError(f"splice_tokens: ids keep room for {np.sum(room, axis=1)}, expected {K}")
    which = np.maximum(np.cumsum(room, axis=1) - 1, 0)  # B N
    taken = images[np.arange(B)[:, None], which]  # B N D
    return np.where(room[:, :, None], taken, words)


def splice_tokens_vjp(
    ids: Label[Array, "B N"],
    image_id: Label[int, ""],
    images: Float[Array, "B latents D"],
    grad: Float[Array, "B N D"],
) -> tuple[Float[Array, "B N D"], Float[Array, "B latents D"]]:
    r"""The gradients of a loss that follows `splice_tokens`, by words and image tokens.

    $$\bar w_{bn} = [i_{bn} \ne i^\ast]\, \bar y_{bn}, \qquad
    \bar u_{bk} = \bar y_{b,\, n(k)}$$

    ids: B N, i, what stands at each place.
    image_id: i*, the word that is the placeholder.
    images: B latents D, of which only the shape counts.
    grad: B N D, the gradient by the result.

    Returns B N D, the gradient by the words, and B latents D, by the tokens of the image.

    Raises AxesError where a text has more or fewer placeholders than the image has tokens.

    Elsewhere: with a frozen language model only the second goes on.

    Paper: Liu et al. 2023, "Visual instruction tuning", section 4.1, differentiated.

    >>> grad = np.array([[[1.0], [2.0], [3.0]]])
    >>> words, image = splice_tokens_vjp(np.array([[9, 1, 9]]), 9, np.zeros((1, 2, 1)), grad)
    >>> words.ravel(), image.ravel()
    (array([0., 2., 0.]), array([1., 3.]))
    """
    B, K, _ = images.shape
    room = ids == image_id  # B N
    if np.any(np.sum(room, axis=1) != K):
        raise AxesError(f"splice_tokens_vjp: ids keep room for {np.sum(room, axis=1)}, not {K}")
    first = np.argsort(~room, axis=1, kind="stable")[:, :K]  # B latents
    images_grad = grad[np.arange(B)[:, None], first]  # B latents D
    return np.where(room[:, :, None], 0, grad), images_grad


def vqa_score(answers: Stride[int, ""], matches: Gain[Array, "B"]) -> Float[Array, "B"]:
    r"""The accuracy of an answer to a visual question, by how many people gave the same answer.

    $$a = \frac{n}{A} \min\left(\frac{n - 1}{3}, 1\right)
    + \frac{A - n}{A} \min\left(\frac n3, 1\right)$$

    answers: A, how many people were asked; 10.
    matches: B, n, how many of them gave the answer, 0 to A.

    Returns B, in [0, 1]: the mean, over leaving out each person, of a third for each match of the
    others, at most 1.

    Raises AxesError for a negative number, or more matches than answers.

    Elsewhere: training targets are min(n / 3, 1), up to 0.1 more. Answers are normalised first:
    articles, digits, punctuation.

    Paper: Antol et al. 2015, "VQA: visual question answering", section 3; the mean is that of its
    code.

    >>> vqa_score(10, np.array([0.0, 1.0, 2.0, 3.0, 4.0, 10.0]))
    array([0. , 0.3, 0.6, 0.9, 1. , 1. ])
    """
    if np.any(matches > answers):
        raise AxesError(f"vqa_score: matches has {matches}, expected at most {answers}")
    kept = (answers - matches) * np.minimum(matches / 3, 1)  # B
    left_out = matches * np.minimum((matches - 1) / 3, 1)  # B
    return (kept + left_out) / answers
