"""What is known about ndcg: laws, probes, mistakes and a dialect."""

import numpy as np

from refimpl.constants import constant
from refimpl.op import Edit, Law, Op, Probe, values
from refimpl.ops.retrieval import reference as text
from refimpl.ops.retrieval.spec.rankings import FROM_HITS, draw_k

DISCOUNT = "https://github.com/OpenAgentHQ/openagent-eval/issues/223"
IDEAL = "https://github.com/run-llama/llama_index/issues/17070"


def draw_gains(axis):
    def draw(source, sizes):
        return np.floor(source.uniform((sizes["texts"], sizes[axis]), 0, 4))

    return draw


def best_ranking(f, gains, judged, k):
    best = -np.sort(-values(judged), axis=1)
    some = (np.max(best, axis=1) > 0) * 1.0
    yield f(best, judged, k), some


def judged_in_any_order(f, gains, judged, k):
    yield f(gains, judged[:, ::-1], k), f(gains, judged, k)


def scaled_gains(f, gains, judged, k):
    yield f(4 * gains, 4 * judged, k), f(gains, judged, k)


def without_gains(f, gains, judged, k):
    yield f(gains, 0 * judged, k) * 0, np.zeros(len(gains))
    yield f(0 * gains, judged, k), np.zeros(len(gains))


def second_rank(f, gains, judged, k):
    alone = np.array([[0.0, 1.0, 0.0]])
    yield f(alone, alone, 3), np.log(constant(2, gains)) / np.log(constant(3, gains))


def nothing_judged_behind(f, gains, judged, k):
    more = np.pad(gains, ((0, 0), (0, 2)))
    yield f(more, judged, k), f(gains, judged, k)


NDCG = Op(
    text.ndcg,
    laws=(
        Law("the ideal ranking has 1", best_ranking),
        Law("the order of the judged gains does not matter", judged_in_any_order),
        Law("a factor of all gains changes nothing", scaled_gains),
        Law("a ranking without gains has 0", without_gains),
        Law("a single gain at rank 2 has log 2 / log 3", second_rank),
        Law("documents without gain at the end change nothing", nothing_judged_behind),
    ),
    probes=(
        Probe(
            "six documents",
            lambda: {
                "gains": np.array([[3.0, 2.0, 3.0, 0.0, 1.0, 2.0]]),
                "judged": np.array([[3.0, 2.0, 3.0, 0.0, 1.0, 2.0]]),
                "k": 6,
            },
        ),
        Probe(
            "some not retrieved, k = 3",
            lambda: {
                "gains": np.array([[1.0, 3.0, 0.0, 2.0], [0.0, 1.0, 2.0, 0.0]]),
                "judged": np.array([[1.0, 3.0, 2.0, 2.0, 3.0], [2.0, 1.0, 2.0, 0.0, 1.0]]),
                "k": 3,
            },
        ),
    ),
    mistakes=(
        Edit(
            "ndcg/second-rank-not-discounted",
            "discounts by the logarithm of the rank instead of rank + 1",
            "np.arange(2, k + 2)",
            "np.maximum(np.arange(1, k + 1), 2)",
            effect="a single gain at rank 2 scores 1",
            source=DISCOUNT,
            invisible_when="gains are alike",
        ),
        Edit(
            "ndcg/ideal-from-hits",
            "sorts only the retrieved gains for the ideal",
            "-np.sort(-judged, axis=1)",
            "-np.sort(-gains, axis=1)",
            also=(("", "discounts[: judged.shape[1]]", "discounts[: gains.shape[1]]"),),
            effect="missing documents cost nothing",
            source=FROM_HITS,
            invisible_when="all relevant documents were retrieved",
        ),
        Edit(
            "ndcg/ideal-not-cut",
            "sums all judged gains for the ideal instead of the k best",
            "best = -np.sort(-judged, axis=1)[:, :k]",
            "k = max(k, judged.shape[1])\n    discounts = np.log(constant(1, gains) * "
            "np.arange(2, k + 2)) / np.log(constant(2, gains))\n"
            "    best = -np.sort(-judged, axis=1)",
            also=(("", "gains[:, :k] /", "(gains * (np.arange(gains.shape[1]) < len(places))) /"),),
            effect="no ranking reaches 1 for small k",
            source=IDEAL,
            invisible_when="k covers all ranks",
        ),
        Edit(
            "ndcg/ideal-in-order",
            "does not sort the judged gains for the ideal",
            "-np.sort(-judged, axis=1)[:, :k]",
            "judged[:, :k]",
            effect="values exceed one",
            invisible_when="the judged gains are sorted already",
        ),
        Edit(
            "ndcg/not-discounted",
            "forgets the discount",
            "discounts = np.log(places) / np.log(constant(2, gains))",
            "discounts = places / places",
            effect="the order does not matter",
            invisible_when="k is 1",
        ),
        Edit(
            "ndcg/ascending",
            "sorts the ideal in ascending order",
            "-np.sort(-judged, axis=1)",
            "np.sort(judged, axis=1)",
            effect="values exceed one",
            invisible_when="gains are alike",
        ),
    ),
    dialects=(
        Edit(
            "ndcg/exponential",
            "uses 2^g - 1 as gain: Burges, LETOR",
            "gains[:, :k] /",
            "(np.exp2(gains[:, :k]) - 1) /",
            also=(("", "best /", "(np.exp2(best) - 1) /"),),
            effect="high gains count more",
            invisible_when="gains are 0 and 1",
        ),
    ),
    values={"gains": draw_gains("N"), "judged": draw_gains("M"), "k": draw_k},
)
