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
            effect="keys before the query count as after it",
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
            "divides the bias by the root of the number of heads",
            LOOKUP,
            LOOKUP + " / table.shape[1] ** 0.5",
            effect="positions have too little effect",
            invisible_when="there is one head",
        ),
        Edit(
            "relative_bias/first-row",
            "gives every query the biases of query 0",
            LOOKUP,
            "np.moveaxis(table[buckets[:1] + 0 * buckets], -1, 0)",
            effect="a decoder that keeps a cache measures distances from the wrong end",
            source="https://github.com/huggingface/transformers/pull/8518",
            invisible_when="there is one query",
        ),
        Edit(
            "relative_bias/subtracted",
            "changes the sign of the bias",
            LOOKUP,
            "-" + LOOKUP,
            effect="near keys are treated as distant ones",
            invisible_when="the table is 0",
        ),
        Edit(
            "relative_bias/exponential",
            "exponentiates the bias",
            LOOKUP,
            f"np.exp({LOOKUP})",
            effect="about one is added to every score",
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
        Law("the sum of grad is preserved", all_is_handed_on),
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
            "assigns instead of adding, so that only a bucket's last entry counts",
            SUMS,
            "(places * (np.cumsum(places[::-1], axis=0)[::-1] == 1)).T @ grad.reshape(H, -1).T",
            effect="frequent buckets learn as slowly as rare ones",
            invisible_when="no bucket repeats",
        ),
        Edit(
            "relative_bias_vjp/averaged",
            "divides by the number of places of a bucket",
            SUMS,
            SUMS + " / np.maximum(places.sum(axis=0), 1)[:, None]",
            effect="frequent buckets learn as slowly as rare ones",
            invisible_when="no bucket repeats",
        ),
        Edit(
            "relative_bias_vjp/keys-for-queries",
            "exchanges queries and keys",
            "np.eye(K)[buckets]",
            "np.eye(K)[buckets.T]",
            effect="keys before the query get the gradient of keys after it",
            invisible_when="the buckets are symmetric",
        ),
        Edit(
            "relative_bias_vjp/summed-over-heads",
            "gives every head the sum over all heads",
            SUMS,
            "places.T @ (grad.reshape(H, -1).T @ np.ones((H, H)))",
            effect="heads cannot differ",
            invisible_when="there is one head",
        ),
        Edit(
            "relative_bias_vjp/mean-over-queries",
            "averages over the queries instead of summing",
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
