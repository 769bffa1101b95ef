"""Scaling laws: how the loss falls with parameters, texts and computing."""

import numpy as np

from refimpl.axes import Array, Deviation


def power_law_loss(
    sizes: Deviation[Array, "N"],
    scale: Deviation[float, ""],
    exponent: Deviation[float, ""],
) -> Deviation[Array, "N"]:
    r"""The loss as a power of one quantity, where there is enough of all others.

    $$L(n) = \left(\frac{n_c}{n}\right)^{\alpha}, \qquad \log L = \alpha (\log n_c - \log n)$$

    sizes: N, of parameters without tables of words, or of words of text; above 0.
    scale: n_c, the size at which the loss would be 1: 8.8e13 parameters, 5.4e13 words.
    exponent: α, 0.076 for parameters, 0.095 for words.

    Returns N, the losses in nats of a word.

    Raises AxesError for a size, scale or exponent of 0 or less.

    Elsewhere: such a law is a straight line where both axes are logarithmic. A loss that falls by
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
    r"""The loss of a model by its size and its text: a floor, and two terms that shrink.

    $$L(n, d) = E + \frac{A}{n^\alpha} + \frac{B}{d^\beta}$$

    parameters: N, n, the sizes of models; above 0.
    tokens: N, d, the words each was trained on; above 0.
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
    r"""The size and the number of words with which given computing reaches the lowest loss.

    $$n = G \left(\frac{C}{6}\right)^{\frac{\beta}{\alpha + \beta}}, \qquad
      d = \frac{1}{G} \left(\frac{C}{6}\right)^{\frac{\alpha}{\alpha + \beta}}, \qquad
      G = \left(\frac{\alpha A}{\beta B}\right)^{\frac{1}{\alpha + \beta}}$$

    compute: N, C, in operations; training takes 6 for each parameter and word.
    width: A, 406.4.
    alpha: α, 0.34.
    length: B, 410.7.
    beta: β, 0.28.

    Returns the numbers of parameters and of words, each N; six times their product is C.

    Raises AxesError for a number of 0 or less.

    Elsewhere: twenty words a parameter is what the paper's other two approaches give; the rounded
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
