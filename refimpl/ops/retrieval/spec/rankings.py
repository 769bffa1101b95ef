"""What is known about ranks, and measures of rankings: laws, probes, mistakes, dialects."""

import numpy as np

from refimpl.op import Edit, Law, Op, Probe, values
from refimpl.ops.retrieval import reference as text

RECALL = "https://github.com/jina-ai/serve/issues/1123"
FROM_HITS = "https://github.com/o19s/quepid/issues/836"


def draw_relevance(source, sizes):
    shape = sizes["texts"], sizes["N"]
    return (source.uniform(shape, 0, 1) < source.choice([0.3, 0.6])).astype(np.float64)


def draw_relevant(source, sizes):
    """At least as many as can be found, so that no share is above one."""
    return np.full(sizes["texts"], sizes["N"]) + source.integer(0, 3)


def draw_k(source, sizes):
    return source.integer(1, 6)


def monotone(f, scores, positive):
    yield f(2 * scores, positive), f(scores, positive)


def one_more(f, scores, positive):
    better = np.max(values(scores), axis=1, keepdims=True) + 1
    more = np.concatenate((values(scores), better), axis=1)
    yield f(more, positive), f(scores, positive) + 1


def best_is_first(f, scores, positive):
    yield f(scores, np.argmax(values(scores), axis=1)), np.ones(len(scores))


def all_ranks(f, scores, positive):
    M = scores.shape[1]
    found = sum(f(scores, 0 * positive + m) for m in range(M))
    yield found, np.full(len(scores), M * (M + 1) // 2)


def equal_scores(f, scores, positive):
    yield f(0 * values(scores), positive), positive + 1


RANKS = Op(
    text.ranks,
    laws=(
        Law("a factor in the scores changes nothing", monotone),
        Law("a better document moves all others down by one", one_more),
        Law("the best document has rank 1", best_is_first),
        Law("each rank is taken once", all_ranks),
        Law("equal scores are ranked by index", equal_scores),
    ),
    probes=(
        Probe(
            "ties before and behind",
            lambda: {
                "scores": np.array([[0.25, 0.75, 0.25, 0.5, 0.25], [0.5, 0.5, 1.0, 0.0, 0.5]]),
                "positive": np.array([2, 1]),
            },
        ),
    ),
    mistakes=(
        Edit(
            "ranks/from-zero",
            "counts ranks from zero",
            "return 1 + np.sum",
            "return np.sum",
            effect="the reciprocal rank divides by zero",
        ),
        Edit(
            "ranks/ascending",
            "takes lower scores as better",
            "scores > own",
            "scores < own",
            effect="the best document comes last, as if scores were distances",
            source="https://github.com/cocoindex-io/cocoindex/pull/44",
            invisible_when="there is one document",
        ),
        Edit(
            "ranks/pessimistic",
            "ranks all documents of equal score before it",
            "(scores == own) & earlier",
            "(scores == own) & (np.arange(scores.shape[1]) != positive[:, None])",
            effect="a constant model is judged the worst",
            invisible_when="no scores are equal",
        ),
        Edit(
            "ranks/optimistic",
            "ranks no document of equal score before it",
            "(scores > own) | ((scores == own) & earlier)",
            "scores > own",
            effect="a constant model is judged perfect",
            invisible_when="no scores are equal",
        ),
        Edit(
            "ranks/index",
            "returns the document at each rank instead of the rank of each document",
            "return 1 + np.sum",
            "return 1 + 0 * np.max(scores) + positive + 0 * np.sum",
            effect="the inverse permutation",
            invisible_when="scores fall with the index",
        ),
    ),
    dialects=(
        Edit(
            "ranks/higher-index-first",
            "puts the higher index first: faiss",
            "< positive[:, None]",
            "> positive[:, None]",
            effect="another order of equal scores",
            source="https://github.com/facebookresearch/faiss/issues/808",
            invisible_when="no scores are equal",
        ),
    ),
)


def more_is_more(f, relevance, relevant, k):
    yield np.maximum(f(relevance, relevant, k) - f(relevance, relevant, k + 1), 0), 0 * relevant


def all_of_them(f, relevance, relevant, k):
    N = relevance.shape[1]
    yield f(relevance, relevant, N) * np.maximum(relevant, 1), np.sum(relevance, axis=1)


def none_relevant(f, relevance, relevant, **k):
    yield f(0 * relevance, 0 * relevant, **k), 0 * relevant


def behind_k(f, relevance, relevant, k):
    rest = np.where(np.arange(relevance.shape[1]) < k, relevance, 0)
    yield f(rest, relevant, k), f(relevance, relevant, k)


def irrelevant_behind(f, relevance, relevant, **k):
    longer = np.pad(relevance, ((0, 0), (0, 2)))
    yield f(longer, relevant, **k), f(relevance, relevant, **k)


RELEVANCE = np.array([[1.0, 0.0, 1.0, 1.0, 0.0], [0.0, 0.0, 1.0, 0.0, 1.0]])
RECALL_AT_K = Op(
    text.recall_at_k,
    laws=(
        Law("never falls with k", more_is_more),
        Law("over the whole list it is the share that was retrieved", all_of_them),
        Law("is zero without relevant documents", none_relevant),
        Law("documents after rank k change nothing", behind_k),
        Law("irrelevant documents at the end change nothing", irrelevant_behind),
    ),
    probes=(
        Probe(
            "two queries, k = 2",
            lambda: {"relevance": RELEVANCE, "relevant": np.array([5, 3]), "k": 2},
        ),
        Probe(
            "k beyond the end of the list",
            lambda: {"relevance": RELEVANCE, "relevant": np.array([4, 2]), "k": 9},
        ),
    ),
    mistakes=(
        Edit(
            "recall_at_k/precision",
            "divides by k: computes the precision",
            "/ np.maximum(relevant, 1)",
            "/ max(k, 1) + 0 * relevant",
            effect="falls as k grows",
            source=RECALL,
            invisible_when="k documents are relevant",
        ),
        Edit(
            "recall_at_k/of-the-found",
            "divides by the relevant documents that were retrieved",
            "/ np.maximum(relevant, 1)",
            "/ np.maximum(np.sum(relevance, axis=1), 1)",
            effect="missing documents cost nothing",
            source=FROM_HITS,
            invisible_when="all relevant documents are in the list",
        ),
        Edit(
            "recall_at_k/hit",
            "returns 1 if any relevant document is found",
            "np.sum(relevance[:, :k], axis=1) / np.maximum(relevant, 1)",
            "np.minimum(np.sum(relevance[:, :k], axis=1), 1) + 0 * relevant",
            effect="more hits do not count",
            invisible_when="one document is relevant",
        ),
        Edit(
            "recall_at_k/one-more",
            "uses the first k + 1 documents",
            "relevance[:, :k]",
            "relevance[:, : k + 1]",
            effect="the score is too high",
            invisible_when="the next document is not relevant",
        ),
        Edit(
            "recall_at_k/from-the-end",
            "uses the last k documents",
            "relevance[:, :k]",
            "relevance[:, ::-1][:, :k]",
            effect="as if scores were distances",
            invisible_when="k is the number of documents",
        ),
    ),
    dialects=(
        Edit(
            "recall_at_k/capped",
            "divides by the smaller of k and the number of relevant documents: metric learning",
            "np.maximum(relevant, 1)",
            "np.maximum(np.minimum(relevant, k), 1)",
            effect="a perfect list has 1 for every k",
            invisible_when="at most k documents are relevant",
        ),
    ),
    values={"relevance": draw_relevance, "relevant": draw_relevant, "k": draw_k},
)


def relevant_first(f, relevance, relevant):
    first = -np.sort(-values(relevance), axis=1)
    found = np.sum(first, axis=1)
    yield f(first, relevant) * np.maximum(relevant, 1), found


def one_relevant(f, relevance, relevant):
    alone = 0 * values(relevance)
    alone[:, -1] = 1
    yield f(alone, 0 * relevant + 1), text.reciprocal_rank(relevance * 0 + alone)


def never_above_one(f, relevance, relevant):
    yield np.maximum(f(relevance, relevant) - 1, 0), 0 * relevant


AVERAGE_PRECISION = Op(
    text.average_precision,
    laws=(
        Law("with all hits first it is the recall", relevant_first),
        Law("with one relevant document it is the reciprocal rank", one_relevant),
        Law("is never above one", never_above_one),
        Law("is zero without relevant documents", none_relevant),
        Law("irrelevant documents at the end change nothing", irrelevant_behind),
    ),
    probes=(
        Probe(
            "three and two of five, one not found",
            lambda: {"relevance": RELEVANCE, "relevant": np.array([3, 3])},
        ),
    ),
    mistakes=(
        Edit(
            "average_precision/of-the-found",
            "divides by the relevant documents that were retrieved",
            "np.maximum(relevant, 1)",
            "np.maximum(np.sum(relevance, axis=1), 1)",
            effect="missing documents cost nothing",
            source=FROM_HITS,
            invisible_when="all relevant documents are in the list",
        ),
        Edit(
            "average_precision/all-places",
            "averages the precision at every rank, not at the hits alone",
            "np.sum(relevance * precisions, axis=1) / np.maximum(relevant, 1)",
            "np.mean(precisions, axis=1) + 0 * relevant",
            effect="irrelevant documents at the end lower it",
        ),
        Edit(
            "average_precision/places-from-zero",
            "counts ranks from zero, but the first as one",
            "np.arange(1, relevance.shape[1] + 1)",
            "np.maximum(np.arange(relevance.shape[1]), 1)",
            effect="values exceed one",
            invisible_when="only the first document is relevant",
        ),
        Edit(
            "average_precision/reciprocal-ranks",
            "averages reciprocal ranks instead of precisions",
            "np.cumsum(relevance, axis=1) / places",
            "relevance / places",
            effect="a perfect list scores below one",
            source="https://github.com/maciejkula/spotlight/issues/91",
            invisible_when="one document is relevant",
        ),
        Edit(
            "average_precision/hit-not-counted",
            "does not count the relevant document itself as a hit",
            "np.cumsum(relevance, axis=1) / places",
            "(np.cumsum(relevance, axis=1) - relevance) / places",
            effect="a single relevant document scores zero",
        ),
    ),
    values={"relevance": draw_relevance, "relevant": draw_relevant},
)


def first_of_all(f, relevance):
    first = np.concatenate((np.ones((len(relevance), 1)), values(relevance)), axis=1)
    yield f(first), np.ones(len(relevance))


def nothing_behind_the_first(f, relevance):
    told = values(relevance)
    alone = told * (np.cumsum(told, axis=1) == 1)
    yield f(alone), f(relevance)


def one_place_down(f, relevance):
    lower = np.pad(values(relevance), ((0, 0), (1, 0)))
    higher, found = f(relevance), f(lower)
    yield found * (1 + higher), higher


def none_found(f, relevance):
    yield f(0 * relevance), np.zeros(len(relevance))


RECIPROCAL_RANK = Op(
    text.reciprocal_rank,
    laws=(
        Law("a relevant document at rank 1 gives one", first_of_all),
        Law("documents after the first relevant one change nothing", nothing_behind_the_first),
        Law("one rank lower adds one to the reciprocal", one_place_down),
        Law("is zero where no document is relevant", none_found),
    ),
    probes=(Probe("first and third of five", lambda: {"relevance": RELEVANCE}),),
    mistakes=(
        Edit(
            "reciprocal_rank/averaged",
            "averages over all relevant documents",
            "np.max(relevance / np.arange(1, relevance.shape[1] + 1), axis=1)",
            "np.sum(relevance / np.arange(1, relevance.shape[1] + 1), axis=1)"
            " / np.maximum(np.sum(relevance, axis=1), 1)",
            effect="a perfect list scores below one",
            source="https://github.com/maciejkula/spotlight/issues/91",
            invisible_when="one document is relevant",
        ),
        Edit(
            "reciprocal_rank/last",
            "takes the last relevant document",
            "np.max(relevance / np.arange(1, relevance.shape[1] + 1), axis=1)",
            "np.sum(relevance * (np.cumsum(relevance[:, ::-1], axis=1)[:, ::-1] == 1)"
            " / np.arange(1, relevance.shape[1] + 1), axis=1)",
            effect="more relevant documents lower the score",
            invisible_when="one document is relevant",
        ),
        Edit(
            "reciprocal_rank/from-zero",
            "counts ranks from zero, but the first as one",
            "np.arange(1, relevance.shape[1] + 1)",
            "np.maximum(np.arange(relevance.shape[1]), 1)",
            effect="the second rank scores like the first",
            invisible_when="the first document is relevant",
        ),
        Edit(
            "reciprocal_rank/rank",
            "returns the share of documents from the first relevant one on",
            "relevance / np.arange(1, relevance.shape[1] + 1)",
            "relevance * (1 - np.arange(relevance.shape[1]) / relevance.shape[1])",
            effect="falls too slowly with the rank",
            invisible_when="the first document is relevant",
        ),
        Edit(
            "reciprocal_rank/summed",
            "sums over all relevant documents",
            "np.max(",
            "np.sum(",
            effect="values exceed one",
            invisible_when="one document is relevant",
        ),
    ),
    values={"relevance": draw_relevance},
)
