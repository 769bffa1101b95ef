"""Scaling laws: how the loss falls with parameters, texts and computing."""

import numpy as np

from refimpl.axes import Array, Deviation


def power_law_loss(
    sizes: Deviation[Array, "N"],
    scale: Deviation[float, ""],
    exponent: Deviation[float, ""],
) -> Deviation[Array, "N"]:
    r"""The loss as a power law of model size or data, where the other is not a limit.

    $$L(n) = \left(\frac{n_c}{n}\right)^{\alpha}, \qquad \log L = \alpha (\log n_c - \log n)$$

    sizes: N, parameters without embeddings, or tokens of text; above 0.
    scale: n_c, the size at which the loss would be 1: 8.8e13 parameters, 5.4e13 tokens.
    exponent: α, 0.076 for parameters, 0.095 for tokens.

    Returns N, the losses in nats of a word.

    Raises AxesError for a size, scale or exponent of 0 or less.

    Elsewhere: such a law is a straight line in log-log axes. A loss that falls by
    the same amount for each factor of ten is another law.

    Paper: Kaplan et al. 2020, "Scaling laws for neural language models", equations 1.1 and 1.2.

    >>> power_law_loss(np.array([1e9]), 8.8e13, 0.076).round(6)
    array([2.37564])
    """
    return np.power(scale / sizes, exponent)


def chinchilla_loss(
    parameters: Deviation[Array, "N"],
    tokens: Deviation[Array, "N"],
    entropy: Deviation[float, ""],
    width: Deviation[float, ""],
    alpha: Deviation[float, ""],
    length: Deviation[float, ""],
    beta: Deviation[float, ""],
) -> Deviation[Array, "N"]:
    r"""The loss as a sum of an irreducible entropy, a term of the size and one of the tokens.

    $$L(n, d) = E + \frac{A}{n^\alpha} + \frac{B}{d^\beta}$$

    parameters: N, n, the sizes of models; above 0.
    tokens: N, d, how many each was trained on; above 0.
    entropy: E, in nats of a word, 1.69.
    width: A, 406.4.
    alpha: α, 0.34.
    length: B, 410.7.
    beta: β, 0.28.

    Returns N, the losses in nats of a word, above E.

    Raises AxesError for a number of 0 or less.

    Elsewhere: Besiroglu et al. fit the same data with 1.8172, 482.01, 0.3478, 2085.43 and 0.3658.

    Paper: Hoffmann et al. 2022, "Training compute-optimal large language models", equation 10.

    >>> fit = (1.69, 406.4, 0.34, 410.7, 0.28)
    >>> chinchilla_loss(np.array([70e9]), np.array([1.4e12]), *fit).round(5)
    array([1.93665])
    """
    return entropy + width / parameters**alpha + length / tokens**beta


def chinchilla_optimum(
    compute: Deviation[Array, "N"],
    width: Deviation[float, ""],
    alpha: Deviation[float, ""],
    length: Deviation[float, ""],
    beta: Deviation[float, ""],
) -> tuple[Deviation[Array, "N"], Deviation[Array, "N"]]:
    r"""The numbers of parameters and tokens that reach the lowest loss for a compute budget.

    $$n = G \left(\frac{C}{6}\right)^{\frac{\beta}{\alpha + \beta}}, \qquad
      d = \frac{1}{G} \left(\frac{C}{6}\right)^{\frac{\alpha}{\alpha + \beta}}, \qquad
      G = \left(\frac{\alpha A}{\beta B}\right)^{\frac{1}{\alpha + \beta}}$$

    compute: N, C, in operations; training takes 6 for each parameter and token.
    width: A, 406.4.
    alpha: α, 0.34.
    length: B, 410.7.
    beta: β, 0.28.

    Returns the numbers of parameters and of tokens, each N; six times their product is C.

    Raises AxesError for a number of 0 or less.

    Elsewhere: twenty tokens a parameter is what the paper's other two approaches give; the rounded
    constants of the third give 93 at its own budget of 5.76e23.

    Paper: Hoffmann et al. 2022, "Training compute-optimal large language models", equation 4.

    >>> size, words = chinchilla_optimum(np.array([5.76e23]), 406.4, 0.34, 410.7, 0.28)
    >>> (size / 1e9).round(2), (words / 1e12).round(3)
    (array([32.19]), array([2.982]))
    """
    balance = (alpha * width / (beta * length)) ** (1 / (alpha + beta))
    pairs = compute / 6  # N
    parameters = balance * pairs ** (beta / (alpha + beta))  # N
    return parameters, pairs ** (alpha / (alpha + beta)) / balance


def training_flops(
    parameters: Deviation[Array, "N"],
    tokens: Deviation[Array, "N"],
    layers: Deviation[Array, "N"],
    width: Deviation[Array, "N"],
    context: Deviation[Array, "N"],
) -> Deviation[Array, "N"]:
    r"""The operations that training takes: six for each parameter and token, plus attention.

    $$C = d\,(6 n + 12\, L\, w\, c)$$

    parameters: N, n, without embeddings of words and positions, which multiply nothing.
    tokens: N, d, how many each is trained on.
    layers: N, L, the blocks.
    width: N, w, of the tokens.
    context: N, c, how many tokens a token attends to.

    Returns N, operations, a multiplication and an addition being two.

    Raises AxesError for a number of 0 or less.

    Elsewhere: 6 n d alone leaves out attention, which is small where c is less than 12 w. A causal
    kernel does half of attention's work; by custom it is counted in full.

    Paper: Chowdhery et al. 2022, "PaLM: scaling language modeling with pathways", appendix B;
    Kaplan et al. 2020, "Scaling laws for neural language models", section 2.1.

    >>> sizes = (np.array([x]) for x in (175e9, 300e9, 96.0, 12288.0, 2048.0))
    >>> (training_flops(*sizes) / 1e23).round(3)
    array([3.237])
    """
    return tokens * (6 * parameters + 12 * layers * width * context)


def gpt_parameters(
    width: Deviation[Array, "N"],
    layers: Deviation[Array, "N"],
    vocabulary: Deviation[Array, "N"],
    context: Deviation[Array, "N"],
) -> Deviation[Array, "N"]:
    r"""The parameters of a decoder like GPT-2: biases, layer norms, a tied output layer.

    $$n = (V + c)\, w + L\,(12 w^2 + 13 w) + 2 w$$

    width: N, w, of the tokens; the feed-forward layer is four times as wide.
    layers: N, L, the blocks.
    vocabulary: N, V, words of the table, which is the output layer as well.
    context: N, c, rows of the table of positions.

    Returns N, parameters.

    Raises AxesError for a number of 0 or less.

    Elsewhere: 12 L w² is the rule of thumb, without tables, biases and norms. GPT-1 lacks the last
    norm.

    Paper: Radford et al. 2019, "Language models are unsupervised multitask learners", table 2,
    whose counts differ: they were corrected later.

    >>> sizes = (np.array([x]) for x in (768.0, 12.0, 50257.0, 1024.0))
    >>> int(gpt_parameters(*sizes)[0])
    124439808
    """
    blocks = layers * (12 * width * width + 13 * width)  # N
    return (vocabulary + context) * width + blocks + 2 * width


def llama_parameters(
    width: Deviation[Array, "N"],
    layers: Deviation[Array, "N"],
    hidden: Deviation[Array, "N"],
    shared: Deviation[Array, "N"],
    vocabulary: Deviation[Array, "N"],
) -> Deviation[Array, "N"]:
    r"""The parameters of a decoder like Llama: no biases, a gate, a separate output layer.

    $$n = 2 V w + L\,(2 w^2 + 2 w s + 3 w h + 2 w) + w$$

    width: N, w, of the tokens.
    layers: N, L, the blocks.
    hidden: N, h, of the feed-forward layer, which has three matrices.
    shared: N, s, the width of all keys together; w where no heads share them.
    vocabulary: N, V, words of the table and of the output layer.

    Returns N, parameters.

    Raises AxesError for a number of 0 or less.

    Elsewhere: Qwen2 adds w + 2 s biases in each block, and ties the output of small sizes, which
    leaves out one V w.

    Paper: Touvron et al. 2023, "Llama 2: open foundation and fine-tuned chat models", section 2.2.

    >>> sizes = (np.array([x]) for x in (4096.0, 32.0, 11008.0, 4096.0, 32000.0))
    >>> int(llama_parameters(*sizes)[0])
    6738415616
    """
    attention = 2 * width * width + 2 * width * shared  # N
    blocks = layers * (attention + 3 * width * hidden + 2 * width)  # N
    return 2 * vocabulary * width + blocks + width


def bert_parameters(
    width: Deviation[Array, "N"],
    layers: Deviation[Array, "N"],
    vocabulary: Deviation[Array, "N"],
    context: Deviation[Array, "N"],
) -> Deviation[Array, "N"]:
    r"""The parameters of BERT, with two segments and the pooler, without output layers.

    $$n = (V + c + 2)\, w + 2 w + L\,(12 w^2 + 13 w) + w^2 + w$$

    width: N, w, of the tokens; the feed-forward layer is four times as wide.
    layers: N, L, the blocks.
    vocabulary: N, V, words of the table.
    context: N, c, rows of the table of positions.

    Returns N, parameters.

    Raises AxesError for a number of 0 or less.

    Elsewhere: the head for hidden words adds w² + 3 w + V, that for the next sentence 2 w + 2. The
    paper's 110 and 340 millions are rounded.

    Paper: Devlin et al. 2019, "BERT: Pre-training of Deep Bidirectional Transformers for Language
    Understanding", section 3.

    >>> sizes = (np.array([x]) for x in (768.0, 12.0, 30522.0, 512.0))
    >>> int(bert_parameters(*sizes)[0])
    109482240
    """
    blocks = layers * (12 * width * width + 13 * width)  # N
    tables = (vocabulary + context + 2) * width + 2 * width  # N
    return tables + blocks + width * width + width


def t5_parameters(
    width: Deviation[Array, "N"],
    layers: Deviation[Array, "N"],
    hidden: Deviation[Array, "N"],
    inner: Deviation[Array, "N"],
    heads: Deviation[Array, "N"],
    vocabulary: Deviation[Array, "N"],
) -> Deviation[Array, "N"]:
    r"""The parameters of T5 1.0: encoder and decoder of equally many blocks, one table of words.

    $$n = V w + 64 H + L\,(12 w i + 4 w h + 5 w) + 2 w$$

    width: N, w, of the tokens.
    layers: N, L, the blocks of the encoder; the decoder has as many, with two attentions each.
    hidden: N, h, of the feed-forward layer.
    inner: N, i, the width of all heads together.
    heads: N, H, each with 32 relative positions in the encoder and as many in the decoder.
    vocabulary: N, V, words of the table, which is the output layer as well.

    Returns N, parameters.

    Raises AxesError for a number of 0 or less.

    Elsewhere: T5 1.1 has a gate, 2 L w h more, and a separate output layer, V w more.

    Paper: Raffel et al. 2020, "Exploring the limits of transfer learning with a unified
    text-to-text Transformer", section 2.1.

    >>> sizes = (np.array([x]) for x in (512.0, 6.0, 2048.0, 512.0, 8.0, 32128.0))
    >>> int(t5_parameters(*sizes)[0])
    60506624
    """
    blocks = layers * (12 * width * inner + 4 * width * hidden + 5 * width)  # N
    return vocabulary * width + 64 * heads + blocks + 2 * width
