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
    Law("words that are left keep their logits", by_name(left_as_they_are)),
    Law("the likeliest word stays", by_name(likeliest_stays)),
    Law("a constant more changes nothing", by_name(moved)),
    Law("whatever is likelier than one that stays, stays", by_name(from_the_likeliest_down)),
)
LADDER = np.array([[1.0, 3.0, 0.0, 2.0, -1.0], [0.5, -2.0, 4.0, 0.25, 1.0]])


def as_many_as_asked(f, logits, k):
    apart = values(logits) + np.arange(logits.shape[-1]) / 1024
    yield np.sum(kept(f(apart, k)), axis=-1), np.full(len(logits), min(k, logits.shape[-1]))


KEPT_K = "np.where(logits >= least[:, None], logits, -np.inf)"
KEEP_TOP_K = Op(
    text.keep_top_k,
    laws=(Law("without ties k words stay", as_many_as_asked), *COMMON),
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
            effect="top-1 is not the likeliest word alone",
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
            "sets what is forbidden to zero",
            KEPT_K,
            "np.where(logits >= least[:, None], logits, 0)",
            effect="forbidden words are still drawn, and beat negative logits",
            invisible_when="all words are kept",
        ),
        Edit(
            "keep_top_k/the-unlikeliest",
            "keeps the k unlikeliest",
            "np.sort(logits, axis=-1)",
            "-np.sort(-logits, axis=-1)",
            effect="nonsense",
            invisible_when="half of the words are kept",
        ),
        Edit(
            "keep_top_k/other-row",
            "takes the k-th logit of the first row for all",
            "least[:, None]",
            "least[:1, None]",
            effect="a text depends on its batch",
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
        Law("what stays reaches the mass", reaches_the_mass),
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
            effect="which words stay depends on their names",
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
            "leaves the words at their places in the sorted list",
            "np.take_along_axis(before, place, axis=-1)",
            "np.take_along_axis(before, 0 * place + np.arange(logits.shape[-1]), axis=-1)",
            effect="random words",
            source=NOT_MAPPED,
            invisible_when="the words are sorted",
        ),
        Edit(
            "keep_top_p/mapped-forth-again",
            "maps the sorted list by its own order instead of the inverse",
            "np.argsort(order, axis=-1)",
            "order",
            effect="random words",
            source=NOT_MAPPED,
            invisible_when="the order is its own inverse",
        ),
        Edit(
            "keep_top_p/complement",
            "keeps what has the rest of the mass",
            "told < mass",
            "told < 1 - mass",
            effect="few words for a large mass",
            invisible_when="the mass is one half",
        ),
        Edit(
            "keep_top_p/zeroed",
            "sets what is forbidden to zero",
            f"np.where({TOLD}, logits, -np.inf)",
            f"np.where({TOLD}, logits, 0)",
            effect="forbidden words are still drawn, and beat negative logits",
            invisible_when="all words are kept",
        ),
        Edit(
            "keep_top_p/each-word",
            "asks of each word's own probability whether it is below the mass",
            "np.take_along_axis(before, place, axis=-1)",
            "softmax(logits) + 0 * np.take_along_axis(before, place, axis=-1)",
            effect="the likeliest words are forbidden",
            invisible_when="no word has more than the mass",
        ),
    ),
    dialects=(
        Edit(
            "keep_top_p/higher-index-first",
            "of equal words the higher index stays: Hugging Face, which sorts upwards, and where "
            "there are many not stably, so that any may stay",
            'np.argsort(-logits, axis=-1, kind="stable")',
            'np.argsort(logits, axis=-1, kind="stable")[:, ::-1]',
            effect="next to no mass does not keep the word that argmax gives",
            invisible_when="no words are equal at the edge",
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
            "asks for a share of all probability, not of the likeliest word's",
            f"least = np.max(logits, axis=-1, keepdims=True) + np.log(share)  # B 1\n"
            f"    return {KEPT_P}",
            "return np.where(softmax(logits) >= share, logits, -np.inf)",
            effect="where no word is likely none is left",
        ),
        Edit(
            "keep_min_p/on-logits",
            "compares logits as though they were probabilities",
            "np.max(logits, axis=-1, keepdims=True) + np.log(share)",
            "np.max(logits, axis=-1, keepdims=True) * share",
            effect="which words stay depends on where zero is",
            source=ON_LOGITS,
        ),
        Edit(
            "keep_min_p/first-word",
            "takes the first word for the likeliest",
            "np.max(logits, axis=-1, keepdims=True)",
            "logits[:, :1]",
            effect="which words stay depends on the order of the vocabulary",
            source=ON_LOGITS,
            invisible_when="the words are sorted",
        ),
        Edit(
            "keep_min_p/subtracted",
            "subtracts the logarithm",
            "+ np.log(share)",
            "- np.log(share)",
            effect="no word is left",
            invisible_when="the share is 1",
        ),
        Edit(
            "keep_min_p/without-logarithm",
            "subtracts the share itself",
            "+ np.log(share)",
            "- share",
            effect="words are left by another measure",
        ),
        Edit(
            "keep_min_p/zeroed",
            "sets what is forbidden to zero",
            KEPT_P,
            "np.where(logits >= least, logits, 0)",
            effect="forbidden words are still drawn, and beat negative logits",
            invisible_when="all words are kept",
        ),
    ),
    values={
        "logits": draw_logits,
        "share": lambda source, sizes: source.choice([0.1, 0.05, 0.5, 1.0]),
    },
)
