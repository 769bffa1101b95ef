"""Generation: how logits become the next word."""

import numpy as np

from refimpl.axes import Array, Deviation, Float, Fraction, Gain, Index, Mask, Total, Uniform
from refimpl.ops.layers.reference import softmax


def temperature_softmax(
    logits: Float[Array, "B V"],
    temperature: Deviation[float, ""],
) -> Float[Array, "B V"]:
    r"""The probabilities of the next word at a temperature: flatter above 1, sharper below.

    $$p_v = \frac{e^{z_v / T}}{\sum_w e^{z_w / T}} = \frac{q_v^{1/T}}{\sum_w q_w^{1/T}}, \qquad
      q = \operatorname{softmax}(z)$$

    logits: B V, in nats.
    temperature: T, above 0; 1 changes nothing, towards 0 the largest logit takes all.

    Returns B V, probabilities; the order of the words is that of the logits.

    Raises AxesError for a temperature of 0 or less; use `greedy_index` instead of 0.

    Elsewhere: powers of probabilities are equal on paper, but lose words that underflow. Hugging
    Face divides by T after the penalties and before top-k, llama.cpp after the filters.

    Paper: Hinton et al. 2015, "Distilling the knowledge in a neural network", equation 1.

    >>> temperature_softmax(np.array([[4.1, 3.9, 2.7]]), 0.5).round(4)
    array([[0.5777, 0.3872, 0.0351]])
    """
    return softmax(logits / temperature)


def penalize_repetition(
    logits: Float[Array, "B V"],
    seen: Mask[Array, "B V"],
    penalty: Deviation[float, ""],
) -> Float[Array, "B V"]:
    r"""Make words that occurred before less likely.

    $$y_v = \begin{cases} z_v / \theta & v \text{ seen}, z_v > 0 \\
      z_v\, \theta & v \text{ seen}, z_v \le 0 \\ z_v & \text{else} \end{cases}$$

    logits: B V, in nats.
    seen: B V, 1 for words that occur before, once or often; padding does not count.
    penalty: θ, above 0; 1 changes nothing, 1.2 in the paper.

    Returns B V, logits.

    Raises AxesError for a penalty of 0 or less.

    Elsewhere: Hugging Face and vLLM count the prompt, llama.cpp the last words alone. It depends
    on where the logits' zero is, so on log probabilities it is another operation.

    Paper: Keskar et al. 2019, "CTRL: a conditional Transformer language model for controllable
    generation", section 4.1.

    >>> penalize_repetition(np.array([[3.0, -1.0, 2.0]]), np.array([[1, 1, 0]]), 2.0)
    array([[ 1.5, -2. ,  2. ]])
    """
    penalized = np.where(logits > 0, logits / penalty, logits * penalty)  # B V
    return np.where(seen > 0, penalized, logits)


def keep_top_k(
    logits: Float[Array, "B V"],
    k: Total[int, ""],
) -> Float[Array, "B V"]:
    r"""Keep the k likeliest words and forbid all others.

    $$y_v = \begin{cases} z_v & z_v \ge z_{(k)} \\ -\infty & \text{else} \end{cases}$$

    logits: B V, in nats.
    k: at least 1; the number of words or more keeps all.

    Returns B V, logits, -inf for forbidden words; all words equal to the k-th are kept.

    Raises DomainError for k = 0.

    Elsewhere: GPT-2's code and Hugging Face keep ties as here. sglang keeps the k first of a stable
    sort.

    Paper: Fan et al. 2018, "Hierarchical neural story generation", section 5.

    >>> keep_top_k(np.array([[3.0, 2.0, 2.0, 1.0]]), 2)
    array([[  3.,   2.,   2., -inf]])
    """
    if k < 1:
        raise ValueError("k is 0, expected at least 1")
    V = logits.shape[-1]
    least = np.sort(logits, axis=-1)[:, V - min(k, V)]  # B
    return np.where(logits >= least[:, None], logits, -np.inf)


def keep_top_p(
    logits: Float[Array, "B V"],
    mass: Fraction[float, ""],
) -> Float[Array, "B V"]:
    r"""Keep the fewest likeliest words whose probabilities reach a mass, and forbid all others.

    $$y_v = \begin{cases} z_v & \sum_{w \text{ before } v} p_w < m \\ -\infty & \text{else}
      \end{cases}$$

    logits: B V, in nats; of equal ones the lower index comes first.
    mass: m, above 0, at most 1; 1 keeps all. The word that reaches it is kept.

    Returns B V, logits, -inf for forbidden words; the likeliest is always kept.

    Raises AxesError for a mass outside [0, 1]; DomainError for 0.

    Elsewhere: Hugging Face sorts upwards, so that of equal words the higher index is kept. After
    top-k the probabilities are those of the kept words.

    Paper: Holtzman et al. 2020, "The curious case of neural text degeneration", section 3.1.

    >>> keep_top_p(np.log(np.array([[0.5, 0.125, 0.25, 0.125]])), 0.6).round(2)
    array([[-0.69,  -inf, -1.39,  -inf]])
    """
    if mass <= 0:
        raise ValueError("mass is 0, expected above 0")
    order = np.argsort(-logits, axis=-1, kind="stable")  # B V
    place = np.argsort(order, axis=-1)  # B V
    reached = np.cumsum(np.take_along_axis(softmax(logits), order, axis=-1), axis=-1)  # B V
    before = np.concatenate((0 * reached[:, :1], reached[:, :-1]), axis=-1)  # B V
    told = np.take_along_axis(before, place, axis=-1)  # B V
    return np.where((told < mass) | (mass >= 1), logits, -np.inf)


def keep_min_p(
    logits: Float[Array, "B V"],
    share: Fraction[float, ""],
) -> Float[Array, "B V"]:
    r"""Keep words whose probability is at least a share of the largest, and forbid all others.

    $$y_v = \begin{cases} z_v & z_v \ge \max_w z_w + \log s \\ -\infty & \text{else} \end{cases}$$

    logits: B V, in nats.
    share: s, above 0, at most 1; 1 keeps the likeliest alone, 0.05 to 0.1 are in use.

    Returns B V, logits, -inf for forbidden words; the likeliest is always kept.

    Raises AxesError for a share outside [0, 1]; DomainError for 0.

    Elsewhere: written with probabilities, p ≥ s max p, which is the same. Where a temperature
    follows, s of the tempered distribution is s to the power of 1 / T.

    Paper: Nguyen et al. 2025, "Turning up the heat: min-p sampling for creative and coherent LLM
    outputs", section 3.

    >>> keep_min_p(np.log(np.array([[0.5, 0.3, 0.2]])), 0.5).round(2)
    array([[-0.69, -1.2 ,  -inf]])
    """
    least = np.max(logits, axis=-1, keepdims=True) + np.log(share)  # B 1
    return np.where(logits >= least, logits, -np.inf)


def sample_index(
    probabilities: Gain[Array, "B V"],
    uniforms: Uniform[Array, "B"],
) -> Index[Array, "B"]:
    r"""Draw a word: the first whose cumulative probability exceeds a uniform number.

    $$i_b = \min\left\{v : \sum_{w \le v} p_{bw} > u_b \sum_w p_{bw}\right\}$$

    probabilities: B V, not negative, not all zero; they need not add up to one.
    uniforms: B, numbers from 0 to below 1, one for each draw.

    Returns B, zero-based words; none whose probability is zero.

    Raises AxesError for a negative probability or a uniform number outside [0, 1).

    Elsewhere: torch.multinomial and jax.random.categorical draw their own random numbers,
    the second by adding Gumbel noise to logits: the same distribution, but other words.

    Paper: Devroye 1986, "Non-uniform random variate generation", section III.2.

    >>> sample_index(np.array([[0.0, 0.5, 0.25, 0.25]] * 3), np.array([0.0, 0.5, 0.75]))
    array([1, 2, 3])
    """
    reached = np.cumsum(probabilities, axis=-1)  # B V
    return np.argmax(reached > uniforms[:, None] * reached[:, -1:], axis=-1)


def greedy_index(logits: Float[Array, "B V"]) -> Index[Array, "B"]:
    r"""Take the likeliest word; of equal ones the first.

    $$i_b = \min\{v : z_{bv} = \max_w z_{bw}\}$$

    logits: B V, in nats, or probabilities: the order is the same.

    Returns B, zero-based words.

    Raises AxesError for other axes.

    Elsewhere: a temperature towards 0 tends to it where one logit is the largest. torch says
    nothing about ties; libraries that sort upwards and take the last one have the higher index.

    Paper: Sutskever et al. 2014, "Sequence to sequence learning with neural networks", section 3.2,
    a beam of one.

    >>> greedy_index(np.array([[0.5, 2.0, 2.0]]))
    array([1])
    """
    return np.argmax(logits, axis=-1)  # B
