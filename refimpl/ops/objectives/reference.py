"""Objectives: how many nats a text costs a model, and which of its words count."""

import numpy as np

from refimpl.axes import Array, Float, Fraction, Index, Label, Mask, Uniform
from refimpl.ops.layers.reference import log_softmax


def shift_right(
    labels: Label[Array, "B N"],
    start: Label[int, ""],
    ignore: Label[int, ""],
    pad: Label[int, ""],
) -> Label[Array, "B N"]:
    r"""The input of a decoder in training: the labels, shifted right by one place.

    $$x_{b0} = s, \qquad x_{bn} = \begin{cases} p & y_{b,n-1} = i \\ y_{b,n-1} & \text{else}
      \end{cases}$$

    labels: B N, the words to predict, and `ignore` where none is scored.
    start: s, the word that begins every text; 0 in T5, 2 in BART.
    ignore: i, the label that is not scored, -100 by custom.
    pad: p, the word that replaces it; 0 in T5, 1 in BART.

    Returns B N, the input words; the last label is not among them.

    Raises AxesError for labels that are no integers.

    Elsewhere: a decoder without an encoder reads the text itself and scores the next word, see
    `next_token_loss`. mBART moves the last word, a language, to the front.

    Paper: Sutskever et al. 2014, "Sequence to sequence learning with neural networks", section 2.

    >>> shift_right(np.array([[7, 8, 1, -100]]), start=0, ignore=-100, pad=0)
    array([[0, 7, 8, 1]])
    """
    words = np.where(labels == ignore, pad, labels)  # B N
    first = np.full_like(words[:, :1], start)  # B 1
    return np.concatenate((first, words[:, :-1]), axis=1)  # B N


def token_log_probs(
    logits: Float[Array, "B N V"],
    labels: Index[Array, "B N", "V"],
) -> Float[Array, "B N"]:
    r"""The log probability that a model gives to each word of a text.

    $$\ell_{bn} = z_{bn y_{bn}} - \log \sum_v e^{z_{bnv}}$$

    logits: B N V, in nats, for the word that the label beside them names.
    labels: B N, the words, zero-based, below V.

    Returns B N, in nats, at most 0; -inf where the logit of the label is -inf.

    Raises AxesError for a label below 0 or not below V; DomainError for a logit +inf.

    Elsewhere: verl and trl call it logprobs_from_logits and selective_log_softmax. A temperature
    divides the logits; dividing the log probabilities gives no distribution.

    Paper: Bengio et al. 2003, "A neural probabilistic language model", section 2.

    >>> logits = np.array([[[0.0, np.log(3.0)], [0.0, 0.0]]])
    >>> token_log_probs(logits, np.array([[1, 0]])).round(4)
    array([[-0.2877, -0.6931]])
    """
    log_probs = log_softmax(logits)  # B N V
    return np.take_along_axis(log_probs, labels[..., None], axis=-1)[..., 0]  # B N


def token_log_probs_vjp(
    logits: Float[Array, "B N V"],
    labels: Index[Array, "B N", "V"],
    grad: Float[Array, "B N"],
) -> Float[Array, "B N V"]:
    r"""The gradient of a loss that follows the log probabilities of words.

    $$\bar z_{bnv} = \bar\ell_{bn} \left([v = y_{bn}] - p_{bnv}\right)$$

    logits: B N V, in nats.
    labels: B N, the words, zero-based, below V.
    grad: B N, the gradient with respect to the log probabilities.

    Returns B N V, the gradient of the logits; each row sums to zero.

    Raises AxesError for a label below 0 or not below V; DomainError for a logit +inf.

    Elsewhere: kernels that never hold all logits compute the probabilities a second time.

    Paper: Bridle 1990, "Training stochastic model recognition algorithms as networks can lead to
    maximum mutual information estimation of parameters".

    >>> logits = np.array([[[0.0, np.log(3.0)]]])
    >>> token_log_probs_vjp(logits, np.array([[1]]), np.array([[4.0]])).round(3)
    array([[[-1.,  1.]]])
    """
    probs = np.exp(log_softmax(logits))  # B N V
    one_hot = np.eye(logits.shape[-1])[labels]  # B N V
    return grad[..., None] * (one_hot - probs)


def masked_cross_entropy(
    logits: Float[Array, "texts N V"],
    labels: Index[Array, "texts N", "V"],
    keep: Mask[Array, "texts N"],
) -> Float[Array, ""]:
    r"""The mean negative log probability of the labels that count, in nats.

    $$L = -\frac{\sum_{bn} k_{bn}\, \ell_{bn}}{\sum_{bn} k_{bn}}$$

    logits: texts N V, in nats.
    labels: texts N, the right words, zero-based, below V; anything where keep is 0.
    keep: texts N, 1 where a label counts, 0 where not.

    Returns a scalar, the loss in nats of a word, at least 0.

    Raises AxesError for a label not below V or a keep that is neither 0 nor 1; DomainError where
    no label counts.

    Elsewhere: torch marks labels that do not count by -100 and gives NaN where none counts. The
    loss of BERT's masked words, of T5 and BART, and of answers in supervised fine-tuning.

    Paper: Devlin et al. 2019, "BERT: pre-training of deep bidirectional Transformers for language
    understanding", section 3.1.

    >>> logits = np.array([[[0.0, np.log(3.0)], [5.0, 0.0]]])
    >>> float(masked_cross_entropy(logits, np.array([[1, 1]]), np.array([[1, 0]])).round(4))
    0.2877
    """
    nats = -token_log_probs(logits, labels)  # texts N
    return np.sum(np.where(keep > 0, nats, 0)) / np.sum(keep)


def masked_cross_entropy_vjp(
    logits: Float[Array, "texts N V"],
    labels: Index[Array, "texts N", "V"],
    keep: Mask[Array, "texts N"],
    grad: Float[Array, ""],
) -> Float[Array, "texts N V"]:
    r"""The gradient of the mean cross-entropy over the labels that count.

    $$\bar z_{bnv} = \bar L\, \frac{k_{bn}}{\sum k} \left(p_{bnv} - [v = y_{bn}]\right)$$

    logits: texts N V, in nats.
    labels: texts N, the right words, zero-based, below V.
    keep: texts N, 1 where a label counts, 0 where not.
    grad: a scalar, the gradient with respect to the loss, 1 for the loss itself.

    Returns texts N V, the gradient of the logits; zero where keep is 0.

    Raises AxesError as the loss does; DomainError where no label counts.

    Elsewhere: micro-batches whose gradients are averaged give another one, unless equally many
    labels count in each.

    Paper: Devlin et al. 2019, "BERT: pre-training of deep bidirectional Transformers for language
    understanding", section 3.1, differentiated.

    >>> logits = np.array([[[0.0, 0.0], [5.0, 0.0]]])
    >>> keep = np.array([[1, 0]])
    >>> masked_cross_entropy_vjp(logits, np.array([[1, 1]]), keep, np.array(1.0)) + 0
    array([[[ 0.5, -0.5],
            [ 0. ,  0. ]]])
    """
    shares = grad * keep / np.sum(keep)  # texts N
    return token_log_probs_vjp(logits, labels, -shares)


def next_token_loss(
    logits: Float[Array, "texts N+1 V"],
    ids: Index[Array, "texts N+1", "V"],
    keep: Mask[Array, "texts N+1"],
) -> Float[Array, ""]:
    r"""The mean negative log probability of each word of a text, given the words before it.

    $$L = -\frac{\sum_{bn} k_{b,n+1}\, \log p(i_{b,n+1} \mid z_{bn})}{\sum_{bn} k_{b,n+1}}$$

    logits: texts N+1 V, in nats; those at a place predict the next word, the last ones none.
    ids: texts N+1, the words, zero-based, below V.
    keep: texts N+1, 1 where a word is scored, 0 for padding; that of the first word does not count.

    Returns a scalar, the loss in nats of a word, at least 0.

    Raises AxesError for a word not below V; DomainError where no word is scored.

    Elsewhere: Hugging Face shifts within the loss, so its labels are the text itself; data loaders
    that shift give labels to `masked_cross_entropy`. To do both is a known mistake.

    Paper: Radford et al. 2018, "Improving language understanding by generative pre-training",
    equation 1.

    >>> logits = np.array([[[0.0, np.log(3.0)], [9.0, 0.0]]])
    >>> float(next_token_loss(logits, np.array([[0, 1]]), np.array([[1, 1]])).round(4))
    0.2877
    """
    return masked_cross_entropy(logits[:, :-1], ids[:, 1:], keep[:, 1:])


def next_token_loss_vjp(
    logits: Float[Array, "texts N+1 V"],
    ids: Index[Array, "texts N+1", "V"],
    keep: Mask[Array, "texts N+1"],
    grad: Float[Array, ""],
) -> Float[Array, "texts N+1 V"]:
    r"""The gradient of the next-token loss; the last logits have none.

    $$\bar z_{bnv} = \bar L\, \frac{k_{b,n+1}}{\sum k} \left(p_{bnv} - [v = i_{b,n+1}]\right)$$

    logits: texts N+1 V, in nats.
    ids: texts N+1, the words, zero-based, below V.
    keep: texts N+1, 1 where a word is scored, 0 for padding.
    grad: a scalar, the gradient with respect to the loss, 1 for the loss itself.

    Returns texts N+1 V, the gradient of the logits; zero at the last place of each text.

    Raises AxesError for a word not below V; DomainError where no word is scored.

    Elsewhere: models that compute no logits at the last place have one row fewer.

    Paper: Radford et al. 2018, "Improving language understanding by generative pre-training",
    equation 1, differentiated.

    >>> ids, keep = np.array([[0, 1]]), np.array([[1, 1]])
    >>> next_token_loss_vjp(np.zeros((1, 2, 2)), ids, keep, np.array(1.0))
    array([[[ 0.5, -0.5],
            [ 0. ,  0. ]]])
    """
    told = masked_cross_entropy_vjp(logits[:, :-1], ids[:, 1:], keep[:, 1:], grad)  # texts N V
    return np.pad(told, ((0, 0), (0, 1), (0, 0)))  # texts N+1 V


def smoothed_cross_entropy(
    logits: Float[Array, "texts N V"],
    labels: Index[Array, "texts N", "V"],
    keep: Mask[Array, "texts N"],
    smoothing: Fraction[float, ""],
) -> Float[Array, ""]:
    r"""Cross-entropy with label smoothing: a share of each target is spread over all words.

    $$L = \frac{1}{\sum k} \sum_{bn} k_{bn} \left((1 - \epsilon)(-\ell_{bn y}) +
      \frac{\epsilon}{V} \sum_v (-\ell_{bnv})\right)$$

    logits: texts N V, in nats, finite.
    labels: texts N, the right words, zero-based, below V; anything where keep is 0.
    keep: texts N, 1 where a label counts, 0 where not.
    smoothing: ε, the share that is spread, in [0, 1]; 0.1 in the first Transformer.

    Returns a scalar, the loss in nats of a word; above zero even for a perfect model.

    Raises AxesError for a smoothing outside [0, 1]; DomainError where no label counts.

    Elsewhere: torch and Hugging Face spread over all V words as here, fairseq over the V - 1
    others. TensorFlow's first tensor2tensor subtracts the loss of a perfect model.

    Paper: Szegedy et al. 2016, "Rethinking the Inception architecture for computer vision",
    section 7.

    >>> logits = np.array([[[0.0, np.log(3.0)]]])
    >>> labels, keep = np.array([[1]]), np.array([[1]])
    >>> float(smoothed_cross_entropy(logits, labels, keep, 0.5).round(4))
    0.5623
    """
    log_probs = log_softmax(logits)  # texts N V
    told = np.take_along_axis(log_probs, labels[..., None], axis=-1)[..., 0]  # texts N
    spread = np.mean(log_probs, axis=-1)  # texts N
    nats = -((1 - smoothing) * told + smoothing * spread)  # texts N
    return np.sum(np.where(keep > 0, nats, 0)) / np.sum(keep)


def smoothed_cross_entropy_vjp(
    logits: Float[Array, "texts N V"],
    labels: Index[Array, "texts N", "V"],
    keep: Mask[Array, "texts N"],
    smoothing: Fraction[float, ""],
    grad: Float[Array, ""],
) -> Float[Array, "texts N V"]:
    r"""The gradient of the loss with smoothed targets: probabilities minus targets.

    $$\bar z_{bnv} = \bar L\, \frac{k_{bn}}{\sum k} \left(p_{bnv} - (1 - \epsilon)[v = y_{bn}] -
      \frac{\epsilon}{V}\right)$$

    logits: texts N V, in nats, finite.
    labels: texts N, the right words, zero-based, below V.
    keep: texts N, 1 where a label counts, 0 where not.
    smoothing: ε, the share that is spread, in [0, 1].
    grad: a scalar, the gradient with respect to the loss, 1 for the loss itself.

    Returns texts N V, the gradient of the logits; each row sums to zero.

    Raises AxesError for a smoothing outside [0, 1]; DomainError where no label counts.

    Elsewhere: spread over the other words alone, the right word keeps a target of 1 - ε.

    Paper: Szegedy et al. 2016, "Rethinking the Inception architecture for computer vision",
    section 7, differentiated.

    >>> labels, keep, grad = np.array([[1]]), np.array([[1]]), np.array(1.0)
    >>> smoothed_cross_entropy_vjp(np.zeros((1, 1, 2)), labels, keep, 0.5, grad)
    array([[[ 0.25, -0.25]]])
    """
    V = logits.shape[-1]
    shares = grad * keep / np.sum(keep)  # texts N
    targets = (1 - smoothing) * np.eye(V)[labels] + smoothing / V  # texts N V
    return shares[..., None] * (np.exp(log_softmax(logits)) - targets)


def perplexity(
    nats: Float[Array, "texts N"],
    keep: Mask[Array, "texts N"],
) -> Float[Array, ""]:
    r"""Perplexity, the exponential of the mean loss: among how many words a model hesitates.

    $$P = \exp\left(\frac{\sum_{bn} k_{bn}\, s_{bn}}{\sum_{bn} k_{bn}}\right)$$

    nats: texts N, for each word minus the logarithm of its probability.
    keep: texts N, 1 where a word is scored, 0 for padding and for context alone.

    Returns a scalar, at least 1 for nats that are not negative; inf above 709 nats of a word.

    Raises AxesError for a keep that is neither 0 nor 1; DomainError where no word is scored.

    Elsewhere: for losses in bits it is a power of two. Perplexities compare only where the same
    words are scored with the same vocabulary.

    Paper: Jelinek et al. 1977, "Perplexity: a measure of the difficulty of speech recognition
    tasks".

    >>> nats = np.log(np.array([[2.0, 8.0, 99.0]]))
    >>> float(perplexity(nats, np.array([[1, 1, 0]])).round(6))
    4.0
    """
    return np.exp(np.sum(np.where(keep > 0, nats, 0)) / np.sum(keep))


def corrupt_tokens(
    ids: Label[Array, "B N"],
    selected: Mask[Array, "B N"],
    uniforms: Uniform[Array, "B N"],
    words: Label[Array, "B N"],
    mask: Label[int, ""],
    hidden: Fraction[float, ""],
    changed: Fraction[float, ""],
) -> Label[Array, "B N"]:
    r"""The input of a masked language model: selected words hidden, replaced or left.

    $$x_{bn} = \begin{cases} m & s_{bn} = 1,\ u_{bn} < h \\
      w_{bn} & s_{bn} = 1,\ h \le u_{bn} < c \\ y_{bn} & \text{else} \end{cases}$$

    ids: B N, the words of the text.
    selected: B N, 1 where a word is predicted, 15 % of them in BERT; never a marker or padding.
    uniforms: B N, numbers from 0 to below 1, one for each place.
    words: B N, drawn words, one for each place.
    mask: m, the word that hides.
    hidden: h, the number below which a word is hidden; 0.8.
    changed: c, the number below which it is replaced, at least h; 0.9.

    Returns B N, the input words. All selected words are scored, unchanged ones too.

    Raises AxesError for words that are no integers and a share outside [0, 1].

    Elsewhere: Hugging Face draws twice, 0.8 first, then one half of the rest. RoBERTa draws anew in
    each epoch.

    Paper: Devlin et al. 2019, "BERT: Pre-training of Deep Bidirectional Transformers for Language
    Understanding", section 3.1 and appendix A.1.

    >>> drawn = np.array([[0.1, 0.85, 0.95, 0.1]])
    >>> ids, words = np.array([[5, 6, 7, 8]]), np.array([[1, 2, 3, 4]])
    >>> corrupt_tokens(ids, np.array([[1, 1, 1, 0]]), drawn, words, 103, 0.8, 0.9)
    array([[103,   2,   7,   8]])
    """
    exchanged = np.where(uniforms < changed, words, ids)  # B N
    read = np.where(uniforms < hidden, mask, exchanged)  # B N
    return np.where(selected > 0, read, ids)
