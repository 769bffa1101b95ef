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


def one_a_column(x: Any, place: int) -> Any:
    """The first or the last row that each column is true in, as where rows overwrite.

    >>> one_a_column(np.array([[True, False], [True, True]]), -1)
    array([[False, False],
           [ True,  True]])
    """
    rows = x if place == 0 else x[::-1]
    alone = rows & (np.cumsum(rows, axis=0) == 1)
    return alone if place == 0 else alone[::-1]


def one_for_all(x: Any, axis: int, place: int) -> Any:
    """One entry along an axis in the place of each; what is not given stays so.

    >>> one_for_all(np.array([[1.0, 2.0], [3.0, 4.0]]), 0, -1)
    array([[3., 4.],
           [3., 4.]])
    """
    if x is None:
        return None
    entry = slice(place, place + 1 or None)
    return np.broadcast_to(x[_along(x, axis, entry)], x.shape)


def reordered(x: Any, axis: int, how: str) -> Any:
    """The entries along an axis in another order.

    >>> reordered(np.arange(5), 0, "one late"), reordered(np.arange(5), 0, "even ones first")
    (array([4, 0, 1, 2, 3]), array([0, 2, 4, 1, 3]))
    """
    length = x.shape[axis]
    place = np.arange(length)
    order = {
        "one late": np.roll(place, 1),
        "one early": np.roll(place, -1),
        "backwards": place[::-1],
        "halves exchanged": np.roll(place, length // 2),
        "even ones first": np.argsort(place % 2, kind="stable"),
        "halves dealt out": np.argsort(np.argsort(place % 2, kind="stable")),
        "neighbours exchanged": np.where(place ^ 1 < length, place ^ 1, place),
    }[how]
    return x[(slice(None),) * (axis % x.ndim) + (order,)]


def first_of(x: Any, axis: int, count: int) -> Any:
    """The first entries along an axis; with a negative count, all but so many of the last."""
    return x[_along(x, axis, slice(count))]


def last_of(x: Any, axis: int, count: int) -> Any:
    """The last entries along an axis; with a negative count, all but so many of the first."""
    return x[_along(x, axis, slice(-count, None))]


def whole_blocks(x: Any, axis: int, block: int, least: int) -> Any:
    """The entries in whole blocks; those of a shorter axis than `least` are there all.

    >>> whole_blocks(np.arange(7.0), 0, 3, 0), whole_blocks(np.arange(2.0), 0, 3, 3)
    (array([0., 1., 2., 3., 4., 5.]), array([0., 1.]))
    """
    length = x.shape[axis]
    return first_of(x, axis, length if length < least else length // block * block)


def last_block(x: Any, axis: int, block: int) -> Any:
    """The entries in the last block, whole or not.

    >>> last_block(np.arange(7.0), 0, 3), last_block(np.arange(6.0), 0, 3)
    (array([6.]), array([3., 4., 5.]))
    """
    return x[_along(x, axis, slice(max(x.shape[axis] - 1, 0) // block * block, None))]


def zeros_after(part: Any, whole: Any, axis: int) -> Any:
    """Some of the entries along an axis, and zeros where the rest has been."""
    return filled_up(part, axis, whole.shape[axis])


def part_alone(made: Any, other: Any, axis: int, part: str) -> Any:
    """What was made for a part of the entries along an axis, another value for the rest.

    >>> part_alone(np.ones(4), 0, 0, "first half")
    array([1., 1., 0., 0.])
    """
    length = made.shape[axis]
    place = np.arange(length)
    inside = {
        "first": place == 0,
        "last": place == length - 1,
        "all but the first": place > 0,
        "all but the last": place < length - 1,
        "first half": place < length // 2,
        "last half": place >= length // 2,
    }[part]
    return np.where(
        np.reshape(inside, (-1,) + (1,) * (made.ndim - axis % made.ndim - 1)), made, other
    )


def running_max(x: Any, block: int) -> Any:
    """The largest entry along the last axis up to the end of each block; 0 where there is none.

    >>> running_max(np.array([1.0, 3.0, 2.0, 5.0]), 2)
    array([3., 3., 5., 5.])
    """
    so_far: Any = np.max(x[..., :block], axis=-1, keepdims=True)
    parts = []
    for start in range(0, x.shape[-1], block):
        part = x[..., start : start + block]
        so_far = np.maximum(so_far, np.max(part, axis=-1, keepdims=True))
        parts.append(np.broadcast_to(np.where(so_far > -np.inf, so_far, 0), part.shape))
    return np.concatenate(parts, axis=-1)


def _along(x: Any, axis: int, section: slice) -> tuple[slice, ...]:
    """A section of one axis, all of the others."""
    return (slice(None),) * (axis % x.ndim) + (section,)


FUNCTIONS = {
    function.__name__: function
    for function in (
        *(running_on, filled_up, mean_of_pieces, mean_of_samples, last_given, one_for_all),
        *(first_of, last_of, whole_blocks, zeros_after, part_alone, one_a_column),
        *(reordered, last_block, running_max),
    )
}
