"""What kernels do to groups of entries, as functions that an edited text may call.

A block that is longer than a group runs on into the next one, or over zeros; memory is cut into
pieces in another order of axes; a group is made of samples. They move entries about and take means,
so that they run on arrays of any arithmetic.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def running_on(x: Any, axis: int, length: int, since: int) -> Any:
    """Each group along an axis as long as a block: what follows it in memory, then zeros.

    Groups follow one another along the axes from `since` on.

    >>> running_on(np.arange(4.0).reshape(2, 2), 1, 3, 0)
    array([[0., 1., 2.],
           [2., 3., 0.]])
    """
    axis, since = axis % x.ndim, since % x.ndim
    before, after = x.shape[:since], x.shape[axis + 1 :]
    flat = np.reshape(x, (*before, math.prod(x.shape[since : axis + 1]), *after))
    filled = np.concatenate((flat, np.zeros((*before, length, *after))), axis=since)
    places = np.arange(0, flat.shape[since], x.shape[axis])[:, None] + np.arange(length)
    return np.reshape(np.take(filled, places, axis=since), (*x.shape[:axis], length, *after))


def filled_up(x: Any, axis: int, length: int) -> Any:
    """Each group along an axis as long as a block: zeros behind it.

    >>> filled_up(np.ones((1, 2)), 1, 3)
    array([[1., 1., 0.]])
    """
    axis = axis % x.ndim
    shape = (*x.shape[:axis], length - x.shape[axis], *x.shape[axis + 1 :])
    return np.concatenate((x, np.zeros(shape)), axis=axis)


def mean_of_pieces(x: Any, order: tuple[int, ...]) -> Any:
    """The mean of the piece that an entry is in, where memory is cut in another order of axes.

    As many pieces are made of each sample as there are groups along axis 1.
    """
    moved = np.transpose(x, order)
    pieces = np.reshape(moved, (*x.shape[:2], math.prod(x.shape[2:])))
    mean = np.mean(pieces, axis=-1, keepdims=True)
    spread = np.reshape(np.broadcast_to(mean, pieces.shape), moved.shape)
    return np.transpose(spread, tuple(int(i) for i in np.argsort(order)))


def mean_of_samples(x: Any) -> Any:
    """The mean over the samples that share a group, with all that is in them."""
    count, groups = x.shape[:2]
    labels = np.arange(count) // -(-count // groups)
    same = labels[:, None] == labels
    means = np.mean(x, axis=tuple(range(1, x.ndim)))[:, None]
    shares = same / np.sum(same, axis=1, keepdims=True)
    return np.reshape(shares @ means, (count,) + (1,) * (x.ndim - 1))


def last_given(x: Any, axis: int) -> Any:
    """Of several contributions along an axis the last that is not zero, as where they overwrite.

    >>> last_given(np.array([[1.0, 2.0], [3.0, 0.0]]), 0)
    array([3., 2.])
    """
    moved = np.moveaxis(x, axis, 0)
    kept: Any = np.zeros(moved.shape[1:])
    for part in moved:
        nothing = np.asarray(getattr(part, "value", part)) == 0  # whatever its error
        kept = np.where(nothing, kept, part)
    return kept


FUNCTIONS = {
    function.__name__: function
    for function in (running_on, filled_up, mean_of_pieces, mean_of_samples, last_given)
}
