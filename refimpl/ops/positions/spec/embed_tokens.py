"""What is known about embed_tokens and its gradient: laws, probes and mistakes."""

import numpy as np

from refimpl.gradients import LINEAR_IN_GRAD
from refimpl.op import Edit, Law, Op, Probe
from refimpl.ops.common import sines
from refimpl.ops.positions import reference as text

ROWS_OF_GRADIENT = "places.T @ grad.reshape(-1, D)"
REPEATED = np.array([[3, 0, 3, 1], [3, 3, 2, 0]])


def renamed(f, ids, table):
    yield f(len(table) - 1 - ids, table[::-1]), f(ids, table)


def one_hot_product(f, ids, table):
    yield f(ids, table), np.eye(len(table))[ids] @ table


def word_by_word(f, ids, table):
    yield f(ids[:, ::-1], table), f(ids, table)[:, ::-1]


def linear_in_table(f, ids, table):
    yield f(ids, 2 * table), 2 * f(ids, table)


def whole_table(f, ids, table):
    yield f(np.arange(len(table))[None], table)[0], table


EMBED_TOKENS = Op(
    text.embed_tokens,
    laws=(
        Law("renaming the words changes nothing", renamed),
        Law("equals the product with one-hot rows", one_hot_product),
        Law("each word is looked up by itself", word_by_word),
        Law("is linear in the table", linear_in_table),
        Law("all words in their order give the table", whole_table),
    ),
    probes=(
        Probe("words that repeat", lambda: {"ids": REPEATED, "table": 1 + sines(5, 3)}),
        Probe(
            "the first and the last word", lambda: {"ids": np.array([[0, 6]]), "table": sines(7, 2)}
        ),
    ),
    mistakes=(
        Edit(
            "embed_tokens/one-based",
            "reads the ids as one-based",
            "table[ids]",
            "table[ids - 1]",
            effect="each word gets the vector of the previous id, id 0 that of the last",
            invisible_when="the rows of the table are equal",
        ),
        Edit(
            "embed_tokens/scaled",
            "multiplies by the root of the width where the model does not",
            "table[ids]",
            "table[ids] * table.shape[1] ** 0.5",
            effect="the positions added afterwards are too small",
            source="https://github.com/OpenNMT/OpenNMT-py/issues/1722",
            invisible_when="the width is one, or a layer norm follows",
        ),
        Edit(
            "embed_tokens/padding-row",
            "returns zeros for id 0, as if it were padding",
            "table[ids]",
            "table[ids] * (ids != 0)[..., None]",
            effect="a word is lost where padding has another id",
            invisible_when="word 0 does not occur",
        ),
        Edit(
            "embed_tokens/last-word-unknown",
            "clips the ids one word too early",
            "table[ids]",
            "table[np.minimum(ids, len(table) - 2)]",
            effect="the last word, often the end of the text, is taken for the one before",
            invisible_when="the last word does not occur",
        ),
        Edit(
            "embed_tokens/normalised",
            "divides each vector by its length",
            "table[ids]",
            "table[ids] / np.sqrt(np.sum(table[ids] * table[ids], axis=-1, keepdims=True))",
            effect="the lengths of the vectors are lost",
            invisible_when="the rows of the table have length one",
        ),
        Edit(
            "embed_tokens/right-to-left",
            "reads the text from its end",
            "table[ids]",
            "table[ids[:, ::-1]]",
            effect="words get the positions of others",
            invisible_when="a text reads the same both ways",
        ),
    ),
)


def adjoint(f, ids, table, grad):
    other = np.eye(*np.shape(table)) + 1
    both = np.sum(text.embed_tokens(ids, other) * grad)
    yield np.sum(f(ids, table, grad) * other), both


def gradient_renamed(f, ids, table, grad):
    yield f(len(table) - 1 - ids, table, grad), f(ids, table, grad)[::-1]


def order_of_places(f, ids, table, grad):
    yield f(ids[:, ::-1], table, grad[:, ::-1]), f(ids, table, grad)


def one_word_gets_all(f, ids, table, grad):
    total = np.sum(grad, axis=(0, 1))
    yield f(0 * ids, table, grad)[0], total
    yield np.sum(f(ids, table, grad), axis=0), total


def table_does_not_count(f, ids, table, grad):
    yield f(ids, 1 - table, grad), f(ids, table, grad)


EMBED_TOKENS_VJP = Op(
    text.embed_tokens_vjp,
    laws=(
        LINEAR_IN_GRAD,
        Law("is the transpose of the lookup", adjoint),
        Law("renaming the words renames the rows", gradient_renamed),
        Law("the order of the places does not matter", order_of_places),
        Law("the sum of grad is preserved", one_word_gets_all),
        Law("does not depend on the table", table_does_not_count),
    ),
    probes=(
        Probe(
            "words that repeat",
            lambda: {"ids": REPEATED, "table": np.ones((5, 3)), "grad": 1 + sines(2, 4, 3) / 2},
        ),
    ),
    mistakes=(
        Edit(
            "embed_tokens_vjp/last-one-counts",
            "assigns instead of adding, so that only a word's last occurrence counts",
            ROWS_OF_GRADIENT,
            "(places * (np.cumsum(places[::-1], axis=0)[::-1] == 1)).T @ grad.reshape(-1, D)",
            effect="frequent words learn as slowly as rare ones",
            invisible_when="no word repeats",
        ),
        Edit(
            "embed_tokens_vjp/averaged",
            "divides by how often a word occurs",
            ROWS_OF_GRADIENT,
            ROWS_OF_GRADIENT + " / np.maximum(places.sum(axis=0), 1)[:, None]",
            effect="frequent words learn as slowly as rare ones",
            invisible_when="no word repeats",
        ),
        Edit(
            "embed_tokens_vjp/padding-row",
            "leaves the gradient of word 0 at zero, taken for padding",
            ROWS_OF_GRADIENT,
            ROWS_OF_GRADIENT + " * (np.arange(V) > 0)[:, None]",
            effect="word 0 never learns",
            invisible_when="word 0 does not occur",
        ),
        Edit(
            "embed_tokens_vjp/one-based",
            "reads the ids as one-based",
            "np.eye(V)[ids]",
            "np.eye(V)[ids - 1]",
            effect="each id gets the gradient of the next",
            invisible_when="there is one word",
        ),
        Edit(
            "embed_tokens_vjp/batch-mean",
            "averages over the samples",
            ROWS_OF_GRADIENT,
            ROWS_OF_GRADIENT + " / len(ids)",
            effect="the table learns more slowly than all else",
            invisible_when="there is one sample",
        ),
        Edit(
            "embed_tokens_vjp/scaled",
            "multiplies by the root of the width, which the forward pass does not",
            ROWS_OF_GRADIENT,
            ROWS_OF_GRADIENT + " * D ** 0.5",
            effect="the table learns faster than all else",
            invisible_when="the width is one",
        ),
    ),
    outputs=("table_grad",),
)
