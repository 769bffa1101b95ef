"""What is known about greedy_index: laws, probes, mistakes and a dialect."""

import numpy as np

from refimpl.op import Edit, Law, Op, Probe, values
from refimpl.ops.common import mistakes_of, sines, whole
from refimpl.ops.generation import reference as text


def is_the_largest(f, logits):
    found = whole(f(values(logits)))
    yield values(logits)[np.arange(len(logits)), found], np.max(values(logits), axis=-1)


def half_of_it(f, logits):
    yield f(values(logits) / 2), f(values(logits))


def only_one_allowed(f, logits):
    """A word is taken wherever it stands, if all others are forbidden."""
    V = logits.shape[-1]
    for v in range(V):
        one = np.where(np.arange(V) == v, 0.0, -np.inf) + np.zeros((len(logits), 1))
        yield f(one), np.full(len(logits), v)


def first_of_equals(f, logits):
    yield f(0 * values(logits)), np.zeros(len(logits))


def a_worse_word_behind(f, logits):
    worse = np.min(values(logits), axis=-1, keepdims=True) - 1
    yield f(np.concatenate((values(logits), worse), axis=-1)), f(values(logits))


wrong = mistakes_of("greedy_index")
BEST = "np.argmax(logits, axis=-1)"
GREEDY_INDEX = Op(
    text.greedy_index,
    laws=(
        Law("no logit is larger than the chosen one", is_the_largest),
        Law("a temperature changes nothing", half_of_it),
        Law("the only word that is allowed is taken", only_one_allowed),
        Law("of equal words the first is taken", first_of_equals),
        Law("a worse word at the end changes nothing", a_worse_word_behind),
    ),
    probes=(
        Probe(
            "ties in three places",
            lambda: {
                "logits": np.array([[0.5, 2.0, 2.0, -1.0], [3.0, 3.0, 3.0, 3.0], [-4, -2, -3, -2]])
            },
        ),
        Probe("the largest in absolute value is negative", lambda: {"logits": sines(3, 6) - 0.5}),
    ),
    mistakes=(
        wrong(
            "least-likely",
            "takes the least likely word",
            BEST,
            "np.argmin(logits, axis=-1)",
            "the text is nonsense",
            "all words are equal",
        ),
        wrong(
            "counted-from-one",
            "counts words from one",
            BEST,
            f"{BEST} + 1",
            "each index is off by one",
            "",
        ),
        wrong(
            "whole-batch",
            "takes the argmax over the whole batch",
            BEST,
            "np.argmax(np.reshape(logits, (1, -1)), axis=-1) + 0 * np.argmax(logits, axis=-1)",
            "one word for all texts, or an index beyond the vocabulary",
            "the batch is one",
        ),
        wrong(
            "largest-magnitude",
            "takes the largest in magnitude",
            BEST,
            "np.argmax(np.abs(logits), axis=-1)",
            "forbidden words win, as |-inf| is the largest",
            "the largest in magnitude is positive",
        ),
        wrong(
            "padding-skipped",
            "leaves out word 0 without adding one to the index",
            BEST,
            "np.argmax(np.concatenate((logits[:, 1:], logits[:, 1:2]), axis=-1), axis=-1)",
            "each index is off by one",
            "",
        ),
        wrong(
            "first-text-for-all",
            "takes the word of the first text for each",
            BEST,
            "np.argmax(logits[:1] + 0 * logits, axis=-1)",
            "all texts continue with the same word",
            "the batch is one",
        ),
    ),
    dialects=(
        Edit(
            "greedy_index/last-of-equals",
            "takes the last of equal words, as the end of an ascending sort",
            BEST,
            "logits.shape[-1] - 1 - np.argmax(logits[:, ::-1], axis=-1)",
            effect="another word where logits are equal, as after half formats",
            invisible_when="no two largest logits are equal",
        ),
    ),
)
