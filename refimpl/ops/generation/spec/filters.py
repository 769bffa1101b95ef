"""What is known about keep_top_k, keep_top_p and keep_min_p: laws, probes, mistakes, dialects."""

import numpy as np

from refimpl.op import Edit, Law, Op, Probe, values
from refimpl.ops.common import by_name
from refimpl.ops.generation import reference as text
from refimpl.ops.layers import reference as layers

UNSORTED = "https://github.com/dmlc/gluon-nlp/issues/1481"
ON_LOGITS = "https://github.com/state-spaces/mamba/pull/1010"
NOT_MAPPED = "https://github.com/Blaizzy/mlx-vlm/pull/1094"


def kept(filtered):
    """Which words are left."""
    return np.isfinite(values(filtered))


def draw_logits(source, sizes):
    """Eighths, far apart and with ties."""
    return np.round(8 * source.normal((sizes["B"], sizes["V"]))) / 8 * source.choice([1.0, 3.0])


def left_as_they_are(f, logits, *settings):
    found = f(logits, *settings)
    yield np.where(kept(found), found, 0), np.where(kept(found), logits, 0)


def likeliest_stays(f, logits, *settings):
    yield np.max(f(logits, *settings), axis=-1), np.max(logits, axis=-1)


def moved(f, logits, *settings):
    if np.array_equal(values(logits) + 1 - 1, values(logits)):  # else words become equal
        yield kept(f(logits + 1, *settings)) * 1, kept(f(logits, *settings)) * 1


def from_the_likeliest_down(f, logits, *settings):
    found = kept(f(logits, *settings))
    worst = np.min(np.where(found, values(logits), np.inf), axis=-1, keepdims=True)
    yield np.where(values(logits) > worst, 1 - found, 0), 0 * found


COMMON = (
    Law("kept words keep their logits", by_name(left_as_they_are)),
    Law("the likeliest word is kept", by_name(likeliest_stays)),
    Law("adding a constant changes nothing", by_name(moved)),
    Law("every word likelier than a kept one is kept", by_name(from_the_likeliest_down)),
)
LADDER = np.array([[1.0, 3.0, 0.0, 2.0, -1.0], [0.5, -2.0, 4.0, 0.25, 1.0]])


def as_many_as_asked(f, logits, k):
    apart = values(logits) + np.arange(logits.shape[-1]) / 1024
    yield np.sum(kept(f(apart, k)), axis=-1), np.full(len(logits), min(k, logits.shape[-1]))


KEPT_K = "np.where(logits >= least[:, None], logits, -np.inf)"
KEEP_TOP_K = Op(
    text.keep_top_k,
    laws=(Law("without ties k words are kept", as_many_as_asked), *COMMON),
    probes=(
        Probe("two of five", lambda: {"logits": LADDER, "k": 2}),
        Probe("a tie at the edge", lambda: {"logits": np.array([[3.0, 2.0, 2.0, 1.0]]), "k": 2}),
        Probe("more than there are", lambda: {"logits": LADDER, "k": 9}),
    ),
    mistakes=(
        Edit(
            "keep_top_k/one-more",
            "keeps one word more",
            "V - min(k, V)",
            "V - min(k + 1, V)",
            effect="top-1 keeps two words",
            invisible_when="all words are kept",
        ),
        Edit(
            "keep_top_k/ties-dropped",
            "keeps only what is likelier than the k-th",
            "logits >= least",
            "logits > least",
            effect="one word too few; with k = 1 none at all",
        ),
        Edit(
            "keep_top_k/zeroed",
            "sets the logits of forbidden words to 0 instead of -inf",
            KEPT_K,
            "np.where(logits >= least[:, None], logits, 0)",
            effect="forbidden words are still drawn",
            invisible_when="all words are kept",
        ),
        Edit(
            "keep_top_k/the-unlikeliest",
            "keeps the k unlikeliest",
            "np.sort(logits, axis=-1)",
            "-np.sort(-logits, axis=-1)",
            effect="unlikely words are drawn",
            invisible_when="half of the words are kept",
        ),
        Edit(
            "keep_top_k/other-row",
            "takes the k-th logit of the first row for all",
            "least[:, None]",
            "least[:1, None]",
            effect="a text depends on the other texts of the batch",
            source=NOT_MAPPED,
            invisible_when="there is one row",
        ),
    ),
    values={"logits": draw_logits, "k": lambda source, sizes: source.integer(1, 5)},
)


def whole_mass(f, logits, mass):
    yield f(logits, 1.0), logits


def more_mass_more_words(f, logits, mass):
    few, many = kept(f(logits, 0.25)), kept(f(logits, 0.75))
    yield np.where(few, 1 - many, 0), 0 * few


def reaches_the_mass(f, logits, mass):
    share = np.sum(np.where(kept(f(logits, 0.5)), values(layers.softmax(logits)), 0), axis=-1)
    yield np.minimum(share - 0.49, 0), 0 * share


TOLD = "(told < mass) | (mass >= 1)"
KEEP_TOP_P = Op(
    text.keep_top_p,
    laws=(
        Law("the whole mass keeps all words", whole_mass),
        Law("more mass keeps no word less", more_mass_more_words),
        Law("the kept words reach the mass", reaches_the_mass),
        *COMMON,
    ),
    probes=(
        Probe("half of the mass", lambda: {"logits": LADDER, "mass": 0.5}),
        Probe("nearly all", lambda: {"logits": LADDER, "mass": 0.95}),
        Probe("next to nothing", lambda: {"logits": LADDER, "mass": 0.01}),
        Probe("four equal words", lambda: {"logits": np.zeros((1, 4)), "mass": 0.4}),
    ),
    mistakes=(
        Edit(
            "keep_top_p/unsorted",
            "adds up in the order of the vocabulary",
            'np.argsort(-logits, axis=-1, kind="stable")',
            'np.argsort(0 * logits, axis=-1, kind="stable")',
            effect="which words are kept depends on their order in the vocabulary",
            source=UNSORTED,
            invisible_when="the words are sorted",
        ),
        Edit(
            "keep_top_p/last-word-dropped",
            "drops the word that reaches the mass",
            "np.take_along_axis(before, place, axis=-1)",
            "np.take_along_axis(reached, place, axis=-1)",
            effect="too few words; where one has more than the mass, none",
            invisible_when="the mass is 1",
        ),
        Edit(
            "keep_top_p/not-mapped-back",
            "applies the mask of the sorted words to the unsorted ones",
            "np.take_along_axis(before, place, axis=-1)",
            "np.take_along_axis(before, 0 * place + np.arange(logits.shape[-1]), axis=-1)",
            effect="random words are kept",
            source=NOT_MAPPED,
            invisible_when="the words are sorted",
        ),
        Edit(
            "keep_top_p/mapped-forth-again",
            "maps back by the order itself instead of its inverse",
            "np.argsort(order, axis=-1)",
            "order",
            effect="random words are kept",
            source=NOT_MAPPED,
            invisible_when="the order is its own inverse",
        ),
        Edit(
            "keep_top_p/complement",
            "keeps words up to the mass 1 - p",
            "told < mass",
            "told < 1 - mass",
            effect="few words are kept for a large mass",
            invisible_when="the mass is one half",
        ),
        Edit(
            "keep_top_p/zeroed",
            "sets the logits of forbidden words to 0 instead of -inf",
            f"np.where({TOLD}, logits, -np.inf)",
            f"np.where({TOLD}, logits, 0)",
            effect="forbidden words are still drawn",
            invisible_when="all words are kept",
        ),
        Edit(
            "keep_top_p/each-word",
            "compares each word's own probability with the mass",
            "np.take_along_axis(before, place, axis=-1)",
            "softmax(logits) + 0 * np.take_along_axis(before, place, axis=-1)",
            effect="the likeliest words are forbidden",
            invisible_when="no word has more than the mass",
        ),
    ),
    dialects=(
        Edit(
            "keep_top_p/higher-index-first",
            "keeps the higher index of equal words: Hugging Face, which sorts upwards",
            'np.argsort(-logits, axis=-1, kind="stable")',
            'np.argsort(logits, axis=-1, kind="stable")[:, ::-1]',
            effect="a tiny mass may keep another word than argmax gives",
            invisible_when="no words are equal at the threshold",
        ),
    ),
    values={
        "logits": draw_logits,
        "mass": lambda source, sizes: source.choice([0.9, 0.5, 0.1, 1.0]),
    },
)


def likeliest_alone(f, logits, share):
    top = np.max(values(logits), axis=-1, keepdims=True)
    yield kept(f(logits, 1.0)) * 1, (values(logits) == top) * 1


def by_probability(f, logits, share):
    p = values(layers.softmax(logits))
    far = p < 0.99 * share * np.max(p, axis=-1, keepdims=True)
    near = p > 1.01 * share * np.max(p, axis=-1, keepdims=True)
    found = kept(f(logits, share))
    yield np.where(far, found, 0), 0 * found
    yield np.where(near, 1 - found, 0), 0 * found


KEPT_P = "np.where(logits >= least, logits, -np.inf)"
KEEP_MIN_P = Op(
    text.keep_min_p,
    laws=(
        Law("a share of one keeps the likeliest alone", likeliest_alone),
        Law("is the comparison of probabilities", by_probability),
        *COMMON,
    ),
    probes=(
        Probe("a tenth of the likeliest", lambda: {"logits": LADDER, "share": 0.1}),
        Probe("half of the likeliest", lambda: {"logits": LADDER, "share": 0.5}),
    ),
    mistakes=(
        Edit(
            "keep_min_p/of-the-whole",
            "compares with the share itself, not with that share of the largest probability",
            f"least = np.max(logits, axis=-1, keepdims=True) + np.log(share)  # B 1\n"
            f"    return {KEPT_P}",
            "return np.where(softmax(logits) >= share, logits, -np.inf)",
            effect="if no word is likely, none is kept",
        ),
        Edit(
            "keep_min_p/on-logits",
            "compares logits as if they were probabilities",
            "np.max(logits, axis=-1, keepdims=True) + np.log(share)",
            "np.max(logits, axis=-1, keepdims=True) * share",
            effect="a constant added to the logits changes which words are kept",
            source=ON_LOGITS,
        ),
        Edit(
            "keep_min_p/first-word",
            "compares with the first word instead of the likeliest",
            "np.max(logits, axis=-1, keepdims=True)",
            "logits[:, :1]",
            effect="which words are kept depends on the order of the vocabulary",
            source=ON_LOGITS,
            invisible_when="the words are sorted",
        ),
        Edit(
            "keep_min_p/subtracted",
            "subtracts the logarithm of the share instead of adding it",
            "+ np.log(share)",
            "- np.log(share)",
            effect="no word is kept",
            invisible_when="the share is 1",
        ),
        Edit(
            "keep_min_p/without-logarithm",
            "subtracts the share instead of adding its logarithm",
            "+ np.log(share)",
            "- share",
            effect="other words are kept",
        ),
        Edit(
            "keep_min_p/zeroed",
            "sets the logits of forbidden words to 0 instead of -inf",
            KEPT_P,
            "np.where(logits >= least, logits, 0)",
            effect="forbidden words are still drawn",
            invisible_when="all words are kept",
        ),
    ),
    values={
        "logits": draw_logits,
        "share": lambda source, sizes: source.choice([0.1, 0.05, 0.5, 1.0]),
    },
)
