"""What is known about temperature_softmax and sample_index: laws, probes, mistakes."""

import numpy as np

from refimpl.op import Edit, Law, Op, Probe, values
from refimpl.ops.common import sines
from refimpl.ops.generation import reference as text
from refimpl.ops.layers import reference as layers

TEMPERED = "softmax(logits / temperature)"


def as_learned(f, logits, temperature):
    yield f(logits, 1.0), layers.softmax(logits)


def adds_up(f, logits, temperature):
    yield np.sum(f(logits, temperature), axis=-1), np.ones(len(logits))


def as_powers(f, logits, temperature):
    power = layers.softmax(logits / 4) ** 2
    yield f(logits / 4, 0.5), power / np.sum(power, axis=-1, keepdims=True)


def twice_the_logits(f, logits, temperature):
    yield f(2 * logits, 2 * temperature), f(logits, temperature)


def shifted(f, logits, temperature):
    yield f(logits + np.arange(len(logits))[:, None], temperature), f(logits, temperature)


TEMPERATURE_SOFTMAX = Op(
    text.temperature_softmax,
    laws=(
        Law("a temperature of one is softmax", as_learned),
        Law("sums to one", adds_up),
        Law("half the temperature squares the probabilities", as_powers),
        Law("twice the logits at twice the temperature are the same", twice_the_logits),
        Law("a constant added to a row changes nothing", shifted),
    ),
    probes=(
        Probe(
            "three words at one half",
            lambda: {"logits": np.array([[4.1, 3.9, 2.7]]), "temperature": 0.5},
        ),
        Probe(
            "three words at one and a half",
            lambda: {"logits": np.array([[4.1, 3.9, 2.7]]), "temperature": 1.5},
        ),
        Probe("logits of 200", lambda: {"logits": 200 * sines(2, 4), "temperature": 0.5}),
    ),
    mistakes=(
        Edit(
            "temperature_softmax/multiplied",
            "multiplies by the temperature",
            "logits / temperature",
            "logits * temperature",
            effect="a high temperature acts as a low one",
            invisible_when="the temperature is 1",
        ),
        Edit(
            "temperature_softmax/after-softmax",
            "divides the probabilities instead of the logits",
            TEMPERED,
            "softmax(logits) / temperature / np.sum(softmax(logits) / temperature, axis=-1, "
            "keepdims=True)",
            effect="the temperature has no effect",
            invisible_when="the temperature is 1",
        ),
        Edit(
            "temperature_softmax/ignored",
            "forgets the temperature",
            TEMPERED,
            "softmax(logits + 0 * temperature)",
            effect="the temperature has no effect",
            invisible_when="the temperature is 1",
        ),
        Edit(
            "temperature_softmax/not-normalised",
            "raises the probabilities to a power and forgets to normalise",
            TEMPERED,
            "softmax(logits) ** (1 / temperature)",
            effect="the probabilities do not sum to one",
            source="https://github.com/PrimeIntellect-ai/prime-rl/pull/697",
            invisible_when="the temperature is 1",
        ),
        Edit(
            "temperature_softmax/softmax-of-softmax",
            "divides probabilities and takes softmax again",
            TEMPERED,
            "softmax(softmax(logits) / temperature)",
            effect="almost uniform",
        ),
        Edit(
            "temperature_softmax/squared",
            "divides twice",
            TEMPERED,
            "softmax(logits / temperature / temperature)",
            effect="too flat or too sharp",
            invisible_when="the temperature is 1",
        ),
    ),
    values={"temperature": lambda source, sizes: source.choice([0.5, 1.5, 2.0, 0.7, 1.0])},
)


def draw_probabilities(source, sizes):
    """Eighths that need not add up to one, some zero, the last one not."""
    shape = sizes["B"], sizes["V"]
    some = np.floor(source.uniform(shape, 0, 9)) / 8
    few = np.where(source.uniform(shape, 0, 1) < source.choice([0.0, 0.4]), 0.0, some)
    return np.where(np.arange(sizes["V"]) == sizes["V"] - 1, few + 0.125, few)


def draw_uniforms(source, sizes):
    return np.floor(source.uniform((sizes["B"],), 0, 64)) / 64


def drawn(f, probabilities, uniforms):
    """The words, as plain indices."""
    return values(f(probabilities, uniforms)).astype(int)


def never_a_zero(f, probabilities, uniforms):
    words = drawn(f, probabilities, 0 * uniforms)
    chosen = np.take_along_axis(values(probabilities), words[:, None], axis=-1)[:, 0]
    yield (chosen > 0) * 1, np.ones(len(words))


def one_word(f, probabilities, uniforms):
    V = probabilities.shape[-1]
    alone = 0 * values(probabilities) + np.eye(V)[V // 2]
    yield drawn(f, alone, uniforms), np.full(len(alone), V // 2)


def as_often_as_likely(f, probabilities, uniforms):
    grid = np.arange(64) / 64 + 1 / 128
    wanted = np.array([[0.25, 0.0, 0.5, 0.125, 0.125]])
    words = drawn(f, np.repeat(wanted, 64, axis=0), grid)
    yield np.bincount(words, minlength=5) / 64, wanted[0]


def grows_with_the_number(f, probabilities, uniforms):
    few, many = (
        drawn(f, probabilities, 0 * uniforms),
        drawn(f, probabilities, 0 * uniforms + 0.96875),
    )
    yield np.minimum(many - few, 0), 0 * few


def any_scale(f, probabilities, uniforms):
    yield drawn(f, 4 * probabilities, uniforms), drawn(f, probabilities, uniforms)


COMPARED = "reached > uniforms[:, None] * reached[:, -1:]"
SAMPLE_INDEX = Op(
    text.sample_index,
    laws=(
        Law("a word of probability 0 is never drawn, not even by the number 0", never_a_zero),
        Law("a word of probability 1 is always drawn", one_word),
        Law("each word is drawn with its probability", as_often_as_likely),
        Law("a larger number draws the same or a later word", grows_with_the_number),
        Law("the scale of the probabilities does not matter", any_scale),
    ),
    probes=(
        Probe(
            "numbers beside every edge",
            lambda: {
                "probabilities": np.repeat(np.array([[0.0, 0.5, 0.25, 0.0, 0.25]]), 6, axis=0),
                "uniforms": np.array([0.0, 0.4375, 0.5625, 0.6875, 0.8125, 0.984375]),
            },
        ),
        Probe(
            "weights that add up to four",
            lambda: {
                "probabilities": np.array([[1.0, 2.0, 1.0], [0.5, 0.5, 3.0]]),
                "uniforms": np.array([0.5, 0.125]),
            },
        ),
    ),
    mistakes=(
        Edit(
            "sample_index/inclusive",
            "takes the first word whose cumulative sum is at least the number, instead of above it",
            "reached > uniforms",
            "reached >= uniforms",
            effect="the number 0 may draw a word of probability 0",
            invisible_when="no number is equal to a sum",
        ),
        Edit(
            "sample_index/likeliest",
            "takes the likeliest word, whatever the number is",
            f"np.argmax({COMPARED}, axis=-1)",
            "np.argmax(probabilities + 0 * uniforms[:, None], axis=-1)",
            effect="temperature and filters have no effect",
            source="https://github.com/EricLBuehler/mistral.rs/pull/2424",
        ),
        Edit(
            "sample_index/not-normalised",
            "compares the cumulative sum with the number itself, without multiplying by the total",
            "uniforms[:, None] * reached[:, -1:]",
            "uniforms[:, None]",
            effect="after a filter the probabilities are wrong",
            invisible_when="the probabilities add up to one",
        ),
        Edit(
            "sample_index/one-further",
            "is off by one: takes the next word",
            f"np.argmax({COMPARED}, axis=-1)",
            f"np.minimum(np.argmax({COMPARED}, axis=-1) + 1, probabilities.shape[-1] - 1)",
            effect="the first word is never drawn",
            invisible_when="the last word is drawn",
        ),
        Edit(
            "sample_index/one-number",
            "draws all rows by the first number",
            "uniforms[:, None]",
            "uniforms[:1, None]",
            effect="samples of a batch are alike",
            invisible_when="there is one row",
        ),
        Edit(
            "sample_index/from-the-end",
            "sums from the last word",
            "np.cumsum(probabilities, axis=-1)",
            "np.cumsum(probabilities[:, ::-1], axis=-1)",
            effect="other words are drawn for the same numbers",
            invisible_when="all words are alike",
        ),
    ),
    values={"probabilities": draw_probabilities, "uniforms": draw_uniforms},
)
