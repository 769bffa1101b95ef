"""Counts that the lectures print and that nothing else here computes: parameters of GPTs."""

from __future__ import annotations


def block_parameters(width: int, hidden: int = 0) -> int:
    """A Transformer block: two normalisations, four projections with biases, two dense layers.

    >>> block_parameters(768)
    7087872
    """
    hidden = hidden or 4 * width
    attention = 4 * width * width + 4 * width
    dense = 2 * width * hidden + hidden + width
    return attention + dense + 4 * width


def gpt_parameters(layers: int, width: int, context: int, vocabulary: int, last: bool) -> int:
    """A GPT whose output shares the token table; `last` says whether a normalisation ends it.

    >>> gpt_parameters(12, 768, 1024, 50257, last=True)
    124439808
    """
    tables = (vocabulary + context) * width
    return tables + layers * block_parameters(width) + (2 * width if last else 0)


def small_gpt_parameters() -> int:
    """The lecture notebook's GPT: 2 heads of 256 in a width of 256, one block, its own output.

    >>> small_gpt_parameters()
    5809168
    """
    attention = 3 * (256 * 512 + 512) + 512 * 256 + 256
    dense = 2 * (256 * 256 + 256)
    return (80 + 10_000) * 256 + attention + dense + 2 * 512 + 256 * 10_000 + 10_000
