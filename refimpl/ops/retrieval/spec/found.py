"""What is known about a ranking and the precision of its head: laws, probes, mistakes, dialects."""

import numpy as np

from refimpl.op import Edit, Law, Op, Probe, values
from refimpl.ops.common import mistakes_of, sines, whole
from refimpl.ops.retrieval import reference as text
from refimpl.ops.retrieval.spec.rankings import RELEVANCE, draw_k, draw_relevance


def never_rises(f, scores):
    ordered = np.take_along_axis(values(scores), whole(f(values(scores))), axis=-1)
    yield np.maximum(ordered[:, 1:] - ordered[:, :-1], 0), 0 * ordered[:, 1:]


def each_once(f, scores):
    M = scores.shape[1]
    yield np.sort(whole(f(scores)), axis=-1), np.broadcast_to(np.arange(M), scores.shape)


def equals_by_index(f, scores):
    yield f(0 * values(scores)), np.broadcast_to(np.arange(scores.shape[1]), scores.shape)


def a_factor(f, scores):
    yield f(2 * values(scores)), f(values(scores))


def ranks_of_it(f, scores):
    places = np.argsort(whole(f(values(scores))), axis=-1)
    for m in range(scores.shape[1]):
        asked = np.full(len(scores), m)
        yield places[:, m] + 1, text.ranks(values(scores), asked)


of_ranking = mistakes_of("ranking")
ORDER = 'np.argsort(-scores, axis=-1, kind="stable")'
RANKING = Op(
    text.ranking,
    laws=(
        Law("the sorted scores never increase", never_rises),
        Law("each document occurs once", each_once),
        Law("equal scores keep the order of their index", equals_by_index),
        Law("a factor in the scores changes nothing", a_factor),
        Law("the rank of a document is its place in the list", ranks_of_it),
    ),
    probes=(
        Probe(
            "ties before and behind",
            lambda: {
                "scores": np.array([[0.25, 0.75, 0.25, 0.5, 0.25], [0.5, 0.5, 1.0, 0.0, 0.5]])
            },
        ),
        Probe("the sines of 1 to 21", lambda: {"scores": sines(3, 7)}),
    ),
    mistakes=(
        of_ranking(
            "ascending",
            "puts the lowest score first",
            "-scores",
            "scores",
            "the worst documents come first, as if scores were distances",
            "all scores are equal",
        ),
        of_ranking(
            "ranks",
            "returns the rank of each document instead of the document at each rank",
            ORDER,
            f"np.argsort({ORDER}, axis=-1)",
            "the inverse permutation; right for one or two documents",
            "the order is its own inverse",
        ),
        of_ranking(
            "by-magnitude",
            "sorts by the absolute value",
            "-scores",
            "-np.abs(scores)",
            "the most dissimilar documents come early",
            "no score is negative",
        ),
        of_ranking(
            "first-query-for-all",
            "returns the order of the first query for each",
            "-scores",
            "-(scores[:1] + 0 * scores)",
            "all queries get the same result",
            "there is one query",
        ),
        of_ranking(
            "not-sorted",
            "does not sort",
            "-scores",
            "0 * scores",
            "the search always returns the first documents",
            "scores fall with the index",
        ),
    ),
    dialects=(
        Edit(
            "ranking/higher-index-first",
            "puts the higher index first among equals: faiss",
            ORDER,
            'scores.shape[1] - 1 - np.argsort(-scores[:, ::-1], axis=-1, kind="stable")',
            effect="another order of equal scores",
            source="https://github.com/facebookresearch/faiss/issues/808",
            invisible_when="no scores are equal",
        ),
    ),
)


def all_relevant(f, relevance, k):
    full = np.ones((len(relevance), k))
    yield f(full, k), np.ones(len(relevance))


def behind_k(f, relevance, k):
    rest = np.where(np.arange(relevance.shape[1]) < k, relevance, 0)
    yield f(rest, k), f(relevance, k)


def counts(f, relevance, k):
    yield k * f(relevance, k), np.sum(relevance[:, :k], axis=1)


def nothing_more(f, relevance, k):
    longer = np.pad(relevance, ((0, 0), (0, 3)))
    yield f(longer, k), f(relevance, k)


def with_recall(f, relevance, k):
    """Both count the same hits."""
    relevant = np.full(len(relevance), 2 * relevance.shape[1])
    yield k * f(relevance, k), relevant * text.recall_at_k(relevance, relevant, k)


wrong = mistakes_of("precision_at_k")
SHARE = "np.sum(relevance[:, :k], axis=1) / k"
PRECISION_AT_K = Op(
    text.precision_at_k,
    laws=(
        Law("is one where all are relevant", all_relevant),
        Law("documents after rank k change nothing", behind_k),
        Law("times k it is the number of hits", counts),
        Law("irrelevant documents after rank k change nothing", nothing_more),
        Law("k times it is recall times the relevant documents", with_recall),
    ),
    probes=(
        Probe("three of five", lambda: {"relevance": RELEVANCE, "k": 3}),
        Probe("more than there are", lambda: {"relevance": RELEVANCE, "k": 8}),
    ),
    mistakes=(
        wrong(
            "of-those-returned",
            "divides by the number of documents returned if that is below k",
            SHARE,
            "np.sum(relevance[:, :k], axis=1) / min(k, relevance.shape[1])",
            "a short list is rewarded",
            "k documents were returned",
        ),
        wrong(
            "of-all",
            "divides by all documents of the list",
            SHARE,
            "np.sum(relevance[:, :k], axis=1) / relevance.shape[1]",
            "depends on how long the list is",
            "the list has k documents",
        ),
        wrong(
            "recall",
            "divides by the relevant documents that were retrieved",
            SHARE,
            "np.sum(relevance[:, :k], axis=1) / np.maximum(np.sum(relevance, axis=1), 1)",
            "computes a recall, relative to the list alone",
            "as many are relevant as are looked at",
        ),
        wrong(
            "one-too-many",
            "uses the first k + 1 documents",
            "relevance[:, :k]",
            "relevance[:, :k + 1]",
            "precisions may exceed one",
            "the next document is not relevant",
        ),
        wrong(
            "hit-rate",
            "returns 1 if any document is relevant",
            SHARE,
            "np.max(relevance[:, :k], axis=1)",
            "one hit is as good as ten",
            "k is one",
        ),
        wrong(
            "worst-first",
            "uses the last k documents",
            "relevance[:, :k]",
            "relevance[:, ::-1][:, :k]",
            "the worst documents are judged",
            "k is the number of documents",
        ),
    ),
    values={"relevance": draw_relevance, "k": draw_k},
)
