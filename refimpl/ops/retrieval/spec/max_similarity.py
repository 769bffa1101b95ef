"""What is known about max_similarity: laws, probes, mistakes and a dialect."""

import numpy as np

from refimpl.op import Edit, Law, Op, Probe, values
from refimpl.ops.common import cosines, sines
from refimpl.ops.retrieval import reference as text

SEEN = "np.where(seen, products, -np.inf)"
LAST = "np.sum(np.where(queries_keep[:, None] > 0, best, 0), axis=-1)"
PADDING_WINS = "https://github.com/stanford-futuredata/ColBERT/issues/62"


def padding_unseen(f, queries, queries_keep, documents, documents_keep):
    others = (
        np.where(queries_keep[..., None] > 0, queries, 3),
        np.where(documents_keep[..., None] > 0, documents, 3),
    )
    found = f(others[0], queries_keep, others[1], documents_keep)
    yield found, f(queries, queries_keep, documents, documents_keep)


def any_order(f, queries, queries_keep, documents, documents_keep):
    given = queries[:, ::-1], queries_keep[:, ::-1], documents[:, ::-1], documents_keep[:, ::-1]
    yield f(*given), f(queries, queries_keep, documents, documents_keep)


def one_document_after_another(f, queries, queries_keep, documents, documents_keep):
    found = f(queries, queries_keep, documents[::-1], documents_keep[::-1])
    yield found, f(queries, queries_keep, documents, documents_keep)[:, ::-1]


def single_words(f, queries, queries_keep, documents, documents_keep):
    found = f(
        queries[:, :1], 0 * queries_keep[:, :1] + 1, documents[:, :1], 1 + 0 * documents_keep[:, :1]
    )
    yield found, queries[:, 0] @ documents[:, 0].T


def repeated_words(f, queries, queries_keep, documents, documents_keep):
    twice = np.concatenate((documents, documents), axis=1)
    twice_keep = np.concatenate((documents_keep, documents_keep), axis=1)
    found = f(queries, queries_keep, twice, twice_keep)
    yield found, f(queries, queries_keep, documents, documents_keep)


def a_query_said_twice(f, queries, queries_keep, documents, documents_keep):
    twice = np.concatenate((queries, queries), axis=1)
    twice_keep = np.concatenate((queries_keep, queries_keep), axis=1)
    once = f(queries, queries_keep, documents, documents_keep)
    if np.all(np.isfinite(values(once))):
        yield f(twice, twice_keep, documents, documents_keep), 2 * once


def shown(shift):
    def probe():
        return {
            "queries": sines(2, 3, 4) + shift,
            "queries_keep": np.array([[1, 1, 0], [1, 1, 1]]),
            "documents": 2 * cosines(3, 5, 4) - shift,
            "documents_keep": np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [1, 0, 0, 0, 0]]),
        }

    return probe


MAX_SIMILARITY = Op(
    text.max_similarity,
    between=("B", "Q", "N", "M"),
    laws=(
        Law("the values of padding change nothing", padding_unseen),
        Law("the order of words does not matter", any_order),
        Law("each document is scored by itself", one_document_after_another),
        Law("for single words it is their inner product", single_words),
        Law("repeating a document changes nothing", repeated_words),
        Law("repeating a query doubles the score", a_query_said_twice),
    ),
    probes=(
        Probe("two queries, three documents", shown(0.0)),
        Probe("products that are all negative", shown(1.5)),
    ),
    mistakes=(
        Edit(
            "max_similarity/padding-wins",
            "counts padding of a document as zero instead of hiding it",
            SEEN,
            "np.where(seen, products, 0)",
            effect="padding beats words whose products are negative",
            source=PADDING_WINS,
            invisible_when="each query word has a positive product",
        ),
        Edit(
            "max_similarity/padding-seen",
            "includes a document's padding in the maximum",
            SEEN,
            "products",
            effect="scores depend on the batch",
            invisible_when="documents have no padding",
        ),
        Edit(
            "max_similarity/padded-query",
            "includes the query's padding in the sum",
            LAST,
            "np.sum(best, axis=-1)",
            effect="scores depend on the batch",
            invisible_when="queries have no padding",
        ),
        Edit(
            "max_similarity/mean-over-words",
            "takes the mean over a document's words instead of the best",
            f"np.max({SEEN}, axis=-1)",
            "np.sum(np.where(seen, products, 0), axis=-1) / np.maximum(np.sum(seen, axis=-1), 1)",
            effect="long documents lose",
            invisible_when="documents have one word",
        ),
        Edit(
            "max_similarity/other-way-round",
            "takes for each document word the maximum over the query",
            f"best = np.max({SEEN}, axis=-1)  # B Q N\n    return {LAST}",
            "best = np.max(np.where(queries_keep[:, None, :, None] > 0, products, -np.inf), axis=2)"
            "\n    return np.sum(np.where(documents_keep[None] > 0, best, 0), axis=-1)",
            effect="long documents win",
        ),
        Edit(
            "max_similarity/best-pair",
            "takes the maximum over all pairs of words",
            LAST,
            "np.max(np.where(queries_keep[:, None] > 0, best, -np.inf), axis=-1)",
            effect="one word decides",
            invisible_when="queries have one word",
        ),
    ),
    dialects=(
        Edit(
            "max_similarity/mean-over-query",
            "divides by the number of query words: BGE-M3",
            LAST,
            f"{LAST} / np.maximum(np.sum(queries_keep, axis=1), 1)[:, None]",
            effect="the same order of documents",
            source="https://github.com/FlagOpen/FlagEmbedding/issues/515",
            invisible_when="queries have one word",
        ),
    ),
)
