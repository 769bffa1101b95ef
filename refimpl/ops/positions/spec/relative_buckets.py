"""What is known about relative_buckets in both forms: laws, probes and mistakes."""

import numpy as np

from refimpl.op import Edit, Law, Op, Probe
from refimpl.ops.positions import reference as text

QUOTIENT = "np.log(np.maximum(distance, exact) / exact)"
CAPS = {"half": ", half - 1)", "buckets": ", buckets - 1)"}


def draw_positions(axis):
    def draw(source, sizes):
        far = source.choice([20, 150, 2000])
        return np.floor(source.uniform((sizes[axis],), 0, far)).astype(np.int64)

    return draw


VALUES = {
    "query_positions": draw_positions("N"),
    "key_positions": draw_positions("M"),
    "buckets": lambda source, sizes: source.choice([32, 8, 16, 32]),
    "max_distance": lambda source, sizes: source.choice([128, 20, 64, 256]),
}


def distances_alone(f, query_positions, key_positions, buckets, max_distance):
    moved = f(query_positions + 9, key_positions + 9, buckets, max_distance)
    yield moved, f(query_positions, key_positions, buckets, max_distance)


def near_ones_exactly(parts):
    def law(f, query_positions, key_positions, buckets, max_distance):
        exact = buckets // parts // 2
        near = np.arange(exact)
        yield f(near[-1:], near, buckets, max_distance)[0], near[::-1]

    return law


def last_bucket(parts):
    def law(f, query_positions, key_positions, buckets, max_distance):
        far = np.array([max_distance, max_distance + 1, 50 * max_distance])
        found = f(far, np.array([0]), buckets, max_distance)[:, 0]
        yield found, 0 * far + buckets // parts - 1

    return law


def grows_with_distance(f, query_positions, key_positions, buckets, max_distance):
    far = np.arange(2 * max_distance)
    found = f(far, np.array([0]), buckets, max_distance)[:, 0]
    yield np.minimum(np.diff(found), 0), 0 * far[1:]


def powers(parts):
    """Distances e·2^i, whose logarithm is a whole part of that of d, begin a bucket."""

    def law(f, query_positions, key_positions, buckets, max_distance):
        n = buckets // parts
        exact, rest = n // 2, n - n // 2
        doublings = rest
        places = exact * 2 ** np.arange(doublings)
        found = f(places, np.array([0]), buckets, exact * 2**doublings)[:, 0]
        yield found, exact + np.arange(doublings)

    return law


def backwards(f, query_positions, key_positions, buckets, max_distance):
    there = f(query_positions, key_positions, buckets, max_distance)
    back = f(key_positions, query_positions, buckets, max_distance).T
    ahead = key_positions - query_positions[:, None]
    yield there - back, np.sign(ahead) * (buckets // 2)


def later_keys(f, query_positions, key_positions, buckets, max_distance):
    found = f(query_positions, key_positions, buckets, max_distance)
    yield np.where(key_positions >= query_positions[:, None], found, 0), 0 * found


def one_direction(f, query_positions, key_positions, buckets, max_distance):
    both = text.relative_buckets(query_positions, key_positions, 2 * buckets, max_distance)
    one = f(query_positions, key_positions, buckets, max_distance)
    yield one, np.where(key_positions <= query_positions[:, None], both, 0)


def bucketing(function, parts, per_side, own_laws, own_mistakes):
    """The record of one form; `per_side` is what the text calls the buckets of a direction."""
    name = function.__name__
    buckets = 16 * parts

    def probe(queries, keys):
        places = {"query_positions": np.array(queries), "key_positions": np.array(keys)}
        return {**places, "buckets": buckets, "max_distance": 128}

    return Op(
        function,
        laws=(
            Law("depends on differences of positions alone", distances_alone),
            Law("near distances have a bucket each", near_ones_exactly(parts)),
            Law("the last bucket begins at the largest distance", last_bucket(parts)),
            Law("never falls with the distance", grows_with_distance),
            Law("where buckets double in width, powers of two begin them", powers(parts)),
            *own_laws,
        ),
        probes=(
            Probe(
                "distances beside every edge",
                lambda: probe([1000], [1000 - d for d in (0, 7, 8, 11, 12, 15, 16, 23, 64, 91)]),
            ),
            Probe("keys before and behind", lambda: probe([40], [0, 20, 39, 40, 41, 60, 400])),
        ),
        mistakes=(
            *own_mistakes,
            Edit(
                f"{name}/not-capped",
                "does not clip at the last bucket",
                f"np.minimum(exact + np.floor(share * ({per_side} - exact)), {per_side} - 1)",
                f"(exact + np.floor(share * ({per_side} - exact)))",
                effect="distant keys get a bucket of the other direction, or an index out of range",
                source="https://github.com/huggingface/candle/pull/1312",
                invisible_when="all distances are below the largest",
            ),
            Edit(
                f"{name}/rounded",
                "rounds the logarithmic bucket to the nearest instead of down",
                "np.floor(share",
                "np.rint(share",
                effect="many distant keys are one bucket too far",
                invisible_when="all distances are near",
            ),
            Edit(
                f"{name}/base-two",
                "divides a base-2 logarithm by a natural one",
                "np.log(np.maximum",
                "np.log2(np.maximum",
                effect="distant keys reach the last bucket too early",
                invisible_when="all distances are near",
            ),
            Edit(
                f"{name}/linear",
                "spaces the distant buckets evenly instead of logarithmically",
                f"{QUOTIENT} / np.log(max_distance / exact)",
                "(np.maximum(distance, exact) - exact) / (max_distance - exact)",
                effect="distances beyond the near ones get the wrong bucket",
                invisible_when="all distances are near",
            ),
            Edit(
                f"{name}/inclusive",
                "uses the exact buckets for one distance too many",
                "distance < exact, distance",
                "distance < exact + 2, distance",
                effect="two distances are one bucket off",
                invisible_when="that distance does not occur",
            ),
        ),
        precisions=("float64", "float32"),
        values=VALUES,
    )


RELATIVE_BUCKETS = bucketing(
    text.relative_buckets,
    2,
    "half",
    (Law("keys after the query use the second half of the buckets", backwards),),
    (
        Edit(
            "relative_buckets/directions-exchanged",
            "gives the second half of the buckets to keys before the query",
            "ahead > 0",
            "ahead < 0",
            effect="each direction uses the biases of the other",
            invisible_when="the distance is 0",
        ),
        Edit(
            "relative_buckets/one-direction",
            "ignores whether a key stands before or after the query",
            "half * (ahead > 0) + ",
            "",
            effect="half of the table is never read",
            invisible_when="no key stands behind its query",
        ),
        Edit(
            "relative_buckets/distance-zero-behind",
            "counts distance 0 as a key after the query",
            "ahead > 0",
            "ahead >= 0",
            effect="each token gets another bias for itself",
            invisible_when="no distance is 0",
        ),
    ),
)
RELATIVE_BUCKETS_CAUSAL = bucketing(
    text.relative_buckets_causal,
    1,
    "buckets",
    (
        Law("keys after the query have bucket 0", later_keys),
        Law("equals one direction of the bidirectional buckets with twice as many", one_direction),
    ),
    (
        Edit(
            "relative_buckets_causal/wrong-way",
            "measures distances to keys after the query",
            "query_positions[:, None] - key_positions, 0)",
            "key_positions - query_positions[:, None], 0)",
            effect="all keys that a decoder can see share bucket 0",
            invisible_when="the distance is 0",
        ),
        Edit(
            "relative_buckets_causal/both-directions",
            "gives keys after the query the bucket of the same distance before it",
            "np.maximum(query_positions[:, None] - key_positions, 0)",
            "np.abs(query_positions[:, None] - key_positions)",
            effect="none behind a causal bias",
            invisible_when="no key stands behind its query",
        ),
        Edit(
            "relative_buckets_causal/half-of-them",
            "uses half of the buckets, as the encoder does for each direction",
            "exact = buckets // 2",
            "buckets = buckets // 2; exact = max(buckets // 2, 1)",
            effect="the far half of the table is never read",
            invisible_when="all distances are below a quarter of the buckets",
        ),
    ),
)
