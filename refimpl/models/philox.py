"""Random numbers that are the same on every machine: a counter, enciphered."""

from __future__ import annotations

import numpy as np


def uniforms(seed: int, stream: int, size: int) -> np.ndarray:
    r"""Uniform numbers between 0 and 1, both left out, a stream of their own for each sample.

    $$u_i = (\lfloor w_i / 2^{11} \rfloor + \tfrac12)\, 2^{-53}$$

    seed, stream: from 0, below 2^64. w_i are the words of Philox 4×64 with ten rounds and the key
    (seed, stream), its counter starting at 1, as `numpy.random.Philox` gives them.

    Paper: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3".

    >>> uniforms(0, 0, 2).round(4)
    array([0.0115, 0.2415])
    """
    words = np.random.Philox(key=[seed, stream]).random_raw(size)
    return ((words >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
