"""What is known about halves_from_pairs and pairs_from_halves: laws, probes and mistakes."""

import numpy as np

from refimpl.op import Edit, Law, Op, Probe, values
from refimpl.ops.common import sines
from refimpl.ops.positions import reference as text

FIRST = "(x[..., 0::2], x[..., 1::2])"
LAST = "(x[..., :half], x[..., half:])"


def undone_by(other):
    def law(f, x):
        yield other(f(x)), x
        yield f(other(x)), x

    return law


def ends_stay(f, x):
    if x.shape[-1]:
        yield f(x)[..., 0], x[..., 0]
        yield f(x)[..., -1], x[..., -1]


def same_numbers(f, x):
    yield np.sort(values(f(x)), axis=-1), np.sort(values(x), axis=-1)


def inner_products(f, x):
    other = x[..., ::-1]
    yield np.sum(f(x) * f(other), axis=-1), np.sum(x * other, axis=-1)


def from_the_other_end(f, x):
    yield f(x[..., ::-1]), f(x)[..., ::-1]


def sorted_apart(f, x):
    place = 0 * values(x) + np.arange(x.shape[-1])
    half = x.shape[-1] // 2
    yield f(place)[..., :half] % 2, 0 * place[..., :half]


def partners_beside(f, x):
    place = 0 * values(x) + np.arange(x.shape[-1])
    half = x.shape[-1] // 2
    yield f(place)[..., 1::2] - f(place)[..., 0::2], 0 * place[..., :half] + half


COMMON = (
    Law("the first and the last number stay", ends_stay),
    Law("is a permutation of the entries", same_numbers),
    Law("inner products are preserved", inner_products),
    Law("reversing the input reverses the result", from_the_other_end),
)
PROBES = (
    Probe("eight sines", lambda: {"x": sines(8)}),
    Probe("three tokens of width 6", lambda: {"x": sines(3, 6)}),
)


def converter(function, law, other, old, edits):
    name = function.__name__
    undone = Law(f"is undone by {other.__name__}", undone_by(other))
    return Op(
        function,
        laws=(undone, law, *COMMON),
        probes=PROBES,
        mistakes=tuple(
            Edit(
                f"{name}/{edit}",
                says,
                old,
                new,
                effect="shapes fit, but the wrong entries are rotated together",
                invisible_when="there is one pair",
            )
            for edit, says, new in edits
        ),
    )


HALVES_FROM_PAIRS = converter(
    text.halves_from_pairs,
    Law("entries with even index come first", sorted_apart),
    text.pairs_from_halves,
    f"np.concatenate({FIRST}, axis=-1)",
    (
        ("the-way-back", "applies the inverse permutation", "pairs_from_halves(x)"),
        ("not-converted", "returns its argument", "1 * x"),
        (
            "second-first",
            "puts the second numbers first",
            "np.concatenate((x[..., 1::2], x[..., 0::2]), axis=-1)",
        ),
        (
            "halves-exchanged",
            "exchanges the two halves and leaves pairs together",
            "np.roll(x, x.shape[-1] // 2, axis=-1)",
        ),
        (
            "neighbours-exchanged",
            "exchanges the two entries of each pair",
            "np.reshape(np.stack((x[..., 1::2], x[..., 0::2]), axis=-1), x.shape)",
        ),
        (
            "second-half-backwards",
            "reads the second numbers from the end",
            "np.concatenate((x[..., 0::2], x[..., ::-2]), axis=-1)",
        ),
    ),
)
PAIRS_FROM_HALVES = converter(
    text.pairs_from_halves,
    Law("entry i of each half becomes a pair of neighbours", partners_beside),
    text.halves_from_pairs,
    f"np.stack({LAST}, axis=-1)",
    (
        ("the-way-back", "applies the inverse permutation", "halves_from_pairs(x)"),
        ("not-converted", "returns its argument", "1 * x"),
        (
            "second-first",
            "puts the second half first",
            "np.stack((x[..., half:], x[..., :half]), axis=-1)",
        ),
        ("other-axis", "stacks the halves one behind the other", f"np.stack({LAST}, axis=-2)"),
        (
            "second-half-backwards",
            "reads the second half from the end",
            "np.stack((x[..., :half], x[..., :half - 1:-1]), axis=-1)",
        ),
        ("halves-exchanged", "exchanges the halves only", "np.roll(x, half, axis=-1)"),
    ),
)
