"""What is known about relative_bias and its gradient: laws, probes and mistakes."""

import numpy as np

from refimpl.gradients import LINEAR_IN_GRAD
from refimpl.op import Edit, Law, Op, Probe
from refimpl.ops.common import sines
from refimpl.ops.positions import reference as text

SQUARE = np.array([[0, 1, 2], [3, 0, 1], [4, 3, 0]])
LOOKUP = "np.moveaxis(table[buckets], -1, 0)"
SUMS = "places.T @ grad.reshape(H, -1).T"


def renamed(f, table, buckets):
    yield f(table[::-1], len(table) - 1 - buckets), f(table, buckets)


def one_hot_product(f, table, buckets):
    by_head = np.eye(len(table))[buckets] @ table
    yield np.moveaxis(f(table, buckets), 0, -1), by_head


def head_by_head(f, table, buckets):
    yield f(table[:, ::-1], buckets), f(table, buckets)[::-1]


def transposed(f, table, buckets):
    yield f(table, buckets.T), np.swapaxes(f(table, buckets), 1, 2)


def linear_in_table(f, table, buckets):
    yield f(2 * table, buckets), 2 * f(table, buckets)


def a_constant_more(f, table, buckets):
    yield f(table + 1, buckets), f(table, buckets) + 1


RELATIVE_BIAS = Op(
    text.relative_bias,
    laws=(
        Law("renaming the buckets changes nothing", renamed),
        Law("equals the product with one-hot rows", one_hot_product),
        Law("each head has its own column", head_by_head),
        Law("queries and keys may change places", transposed),
        Law("is linear in the table", linear_in_table),
        Law("a constant in the table is a constant in the bias", a_constant_more),
    ),
    probes=(
        Probe("three tokens, two heads", lambda: {"table": 1 + sines(5, 2), "buckets": SQUARE}),
    ),
    mistakes=(
        Edit(
            "relative_bias/keys-for-queries",
            "exchanges queries and keys",
            LOOKUP,
            "np.moveaxis(table[buckets.T], -1, 0)",
            effect="what stands before counts as behind",
            invisible_when="the buckets are symmetric",
        ),
        Edit(
            "relative_bias/first-head",
            "gives all heads the bias of the first",
            LOOKUP,
            "np.moveaxis(table[buckets][..., :1] + 0 * table[buckets], -1, 0)",
            effect="heads cannot differ",
            invisible_when="there is one head",
        ),
        Edit(
            "relative_bias/scaled",
            "divides the bias, with the scores, by a root",
            LOOKUP,
            LOOKUP + " / table.shape[1] ** 0.5",
            effect="positions count too little",
            invisible_when="there is one head",
        ),
        Edit(
            "relative_bias/first-row",
            "gives every query the biases of the first, as though it stood at position 0",
            LOOKUP,
            "np.moveaxis(table[buckets[:1] + 0 * buckets], -1, 0)",
            effect="a decoder that keeps a cache measures distances from the wrong end",
            source="https://github.com/huggingface/transformers/pull/8518",
            invisible_when="there is one query",
        ),
        Edit(
            "relative_bias/subtracted",
            "gives the bias with the other sign",
            LOOKUP,
            "-" + LOOKUP,
            effect="what should be near is far",
            invisible_when="the table is 0",
        ),
        Edit(
            "relative_bias/exponential",
            "gives factors where addends are expected",
            LOOKUP,
            f"np.exp({LOOKUP})",
            effect="every key gets about one more",
        ),
    ),
)


def adjoint(f, table, buckets, grad):
    other = np.eye(*np.shape(table)) + 1
    both = np.sum(text.relative_bias(other, buckets) * grad)
    yield np.sum(f(table, buckets, grad) * other), both


def gradient_renamed(f, table, buckets, grad):
    yield f(table, len(table) - 1 - buckets, grad), f(table, buckets, grad)[::-1]


def gradient_transposed(f, table, buckets, grad):
    yield f(table, buckets.T, np.swapaxes(grad, 1, 2)), f(table, buckets, grad)


def all_is_handed_on(f, table, buckets, grad):
    yield np.sum(f(table, buckets, grad), axis=0), np.sum(grad, axis=(1, 2))


def table_does_not_count(f, table, buckets, grad):
    yield f(1 - table, buckets, grad), f(table, buckets, grad)


RELATIVE_BIAS_VJP = Op(
    text.relative_bias_vjp,
    laws=(
        LINEAR_IN_GRAD,
        Law("is the transpose of the lookup", adjoint),
        Law("renaming the buckets renames the rows", gradient_renamed),
        Law("queries and keys may change places", gradient_transposed),
        Law("all that arrives is handed on", all_is_handed_on),
        Law("does not depend on the table", table_does_not_count),
    ),
    probes=(
        Probe(
            "three tokens, two heads",
            lambda: {"table": np.ones((5, 2)), "buckets": SQUARE, "grad": 1 + sines(2, 3, 3) / 2},
        ),
    ),
    mistakes=(
        Edit(
            "relative_bias_vjp/last-one-counts",
            "assigns instead of adding, so that the last place of a bucket counts",
            SUMS,
            "(places * (np.cumsum(places[::-1], axis=0)[::-1] == 1)).T @ grad.reshape(H, -1).T",
            effect="full buckets learn as slowly as those with one place",
            invisible_when="no bucket repeats",
        ),
        Edit(
            "relative_bias_vjp/averaged",
            "divides by the number of places of a bucket",
            SUMS,
            SUMS + " / np.maximum(places.sum(axis=0), 1)[:, None]",
            effect="full buckets learn as slowly as those with one place",
            invisible_when="no bucket repeats",
        ),
        Edit(
            "relative_bias_vjp/keys-for-queries",
            "exchanges queries and keys",
            "np.eye(K)[buckets]",
            "np.eye(K)[buckets.T]",
            effect="what stands before learns what stands behind should",
            invisible_when="the buckets are symmetric",
        ),
        Edit(
            "relative_bias_vjp/summed-over-heads",
            "gives each head what all of them get together",
            SUMS,
            "places.T @ (grad.reshape(H, -1).T @ np.ones((H, H)))",
            effect="heads cannot differ",
            invisible_when="there is one head",
        ),
        Edit(
            "relative_bias_vjp/mean-over-queries",
            "averages over the queries",
            SUMS,
            SUMS + " / len(buckets)",
            effect="the table learns more slowly in longer texts",
            invisible_when="there is one query",
        ),
        Edit(
            "relative_bias_vjp/bucket-zero-dropped",
            "leaves the first bucket without a gradient",
            SUMS,
            SUMS + " * (np.arange(K) > 0)[:, None]",
            effect="the bias of a token for itself is never learned",
            invisible_when="the first bucket is empty",
        ),
    ),
    outputs=("table_grad",),
)
