"""What is known about mean_pool and its gradient: laws, probes and mistakes."""

import numpy as np

from refimpl.gradients import LINEAR_IN_GRAD
from refimpl.op import Edit, Law, Op, Probe, values
from refimpl.ops.common import cosines, sines
from refimpl.ops.retrieval import reference as text

TOTAL = "np.sum(np.where(keep[..., None] > 0, x, 0), axis=1)"
COUNT = "np.sum(keep, axis=1)[:, None]"
KEEP = np.array([[1, 0, 0, 1], [1, 1, 1, 0]])
POOLER = "https://github.com/skeskinen/bert.cpp/issues/11"


def draw_keep(source, sizes):
    kept = source.uniform((sizes["texts"], sizes["N"]), 0, 1) < source.choice([1.0, 0.5])
    return (kept | (np.arange(sizes["N"]) == sizes["N"] - 1)).astype(np.int64)


def padding_unseen(f, x, keep):
    yield f(np.where(keep[..., None] > 0, x, 9), keep), f(x, keep)


def of_all(f, x, keep):
    yield f(x, 0 * keep + 1), np.mean(x, axis=1)


def of_one(f, x, keep):
    last = 0 * keep + (np.arange(keep.shape[1]) == keep.shape[1] - 1)
    yield f(x, last), x[:, -1]


def any_order(f, x, keep):
    yield f(x[:, ::-1], keep[:, ::-1]), f(x, keep)


def moved(f, x, keep):
    yield f(x + 2, keep), f(x, keep) + 2


MEAN_POOL = Op(
    text.mean_pool,
    laws=(
        Law("the values of padding change nothing", padding_unseen),
        Law("is the mean where every word counts", of_all),
        Law("with one word it is that word", of_one),
        Law("the order of the words does not matter", any_order),
        Law("adding a constant to all words adds it to the mean", moved),
    ),
    probes=(
        Probe(
            "two texts, of which two and three words count",
            lambda: {"x": 1 + sines(2, 4, 3), "keep": KEEP},
        ),
    ),
    mistakes=(
        Edit(
            "mean_pool/padding-counted",
            "divides by all words, padding included",
            COUNT,
            "keep.shape[1]",
            effect="short texts in long batches get short vectors",
            invisible_when="there is no padding",
        ),
        Edit(
            "mean_pool/padding-pooled",
            "includes padding in the mean",
            f"total / {COUNT}",
            "np.mean(x, axis=1)",
            also=(("", TOTAL, "0"),),
            effect="a text's vector depends on its batch",
            invisible_when="there is no padding",
        ),
        Edit(
            "mean_pool/first-word",
            "takes the first word",
            TOTAL,
            f"x[:, 0] * {COUNT}",
            effect="the rest of the text is ignored",
            source=POOLER,
            invisible_when="all words are alike",
        ),
        Edit(
            "mean_pool/maximum",
            "takes the maximum over the words instead of the mean",
            TOTAL,
            f"np.max(np.where(keep[..., None] > 0, x, -np.inf), axis=1) * {COUNT}",
            effect="longer texts have larger entries",
            invisible_when="one word counts",
        ),
        Edit(
            "mean_pool/summed",
            "sums instead of averaging",
            f"total / {COUNT}",
            "1 * total",
            effect="long texts win unless vectors are normalised",
            invisible_when="one word counts",
        ),
        Edit(
            "mean_pool/square-root",
            "divides by the root of the number of words",
            COUNT,
            f"{COUNT} ** 0.5",
            effect="long texts win unless vectors are normalised",
            invisible_when="one word counts",
        ),
    ),
    values={"keep": draw_keep},
)


def all_handed_on(f, keep, grad):
    yield np.sum(f(keep, grad), axis=1), grad


def none_for_padding(f, keep, grad):
    found = f(keep, grad)
    yield np.where(keep[..., None] > 0, 0, found), 0 * values(found)


def alike(f, keep, grad):
    found, count = f(keep, grad), np.sum(keep, axis=1)[:, None]
    yield found * count[..., None], keep[..., None] * grad[:, None]


def transposed(f, keep, grad):
    x = sines(*keep.shape, grad.shape[1])
    yield np.sum(f(keep, grad) * x), np.sum(grad * text.mean_pool(grad[:, None] * 0 + x, keep))


MEAN_POOL_VJP = Op(
    text.mean_pool_vjp,
    laws=(
        LINEAR_IN_GRAD,
        Law("the sum of grad is preserved", all_handed_on),
        Law("padding has gradient zero", none_for_padding),
        Law("all words that count get the same gradient", alike),
        Law("is the transpose of the mean", transposed),
    ),
    probes=(
        Probe(
            "two texts, of which two and three words count",
            lambda: {"keep": KEEP, "grad": 1 + cosines(2, 3)},
        ),
    ),
    mistakes=(
        Edit(
            "mean_pool_vjp/not-divided",
            "gives each word the whole gradient",
            f"grad / {COUNT}",
            "1 * grad",
            effect="long texts learn faster",
            invisible_when="one word counts",
        ),
        Edit(
            "mean_pool_vjp/padding-counted",
            "divides by all words, padding included",
            COUNT,
            "keep.shape[1]",
            effect="short texts learn more slowly",
            invisible_when="there is no padding",
        ),
        Edit(
            "mean_pool_vjp/padding-learned",
            "gives padding a gradient, too",
            "keep[..., None] *",
            "(0 * keep[..., None] + 1) *",
            effect="padding is trained",
            invisible_when="there is no padding",
        ),
        Edit(
            "mean_pool_vjp/first-word",
            "gives the first word the whole gradient",
            "keep[..., None] * shares[:, None]",
            "(0 * keep + (np.arange(keep.shape[1]) == 0))[..., None]"
            f" * (shares * {COUNT})[:, None]",
            effect="the other words get no gradient",
            source=POOLER,
            invisible_when="there is one word",
        ),
        Edit(
            "mean_pool_vjp/square-root",
            "divides by the root of the number of words",
            COUNT,
            f"{COUNT} ** 0.5",
            effect="long texts learn faster",
            invisible_when="one word counts",
        ),
    ),
    outputs=("x_grad",),
    values={"keep": draw_keep},
)
