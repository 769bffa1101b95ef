"""What is known about shift_right: laws, probes, mistakes and a dialect."""

import numpy as np

from refimpl.op import Edit, Law, Op, Probe, values
from refimpl.ops.objectives import reference as text

WORDS = "np.where(labels == ignore, pad, labels)"
JOINED = "np.concatenate((first, words[:, :-1]), axis=1)"


def first_word(f, labels, start, ignore, pad):
    yield f(labels, start, ignore, pad)[:, 0], start


def nothing_is_ignored(f, labels, start, ignore, pad):
    found = f(labels, start, ignore, pad)[:, 1:]
    yield found, np.where(labels == ignore, pad, labels)[:, :-1]


def last_label_unread(f, labels, start, ignore, pad):
    last = np.arange(labels.shape[1]) == labels.shape[1] - 1
    yield f(labels + last, start, ignore, pad), f(labels, start, ignore, pad)


def either_order(f, labels, start, ignore, pad):
    replaced = np.where(labels == ignore, pad, labels)
    yield f(labels, start, ignore, pad), f(replaced, start, ignore, pad)


def twice(f, labels, start, ignore, pad):
    once = values(f(labels, start, ignore, pad)).astype(int)
    yield f(once, start, ignore, pad)[:, 2:], once[:, 1:-1]


def draw_labels(source, sizes):
    shape = sizes["B"], sizes["N"]
    words = np.floor(source.uniform(shape, 3, 12)).astype(np.int64)
    return np.where(source.uniform(shape, 0, 1) < 0.25, -100, words)


SHIFT_RIGHT = Op(
    text.shift_right,
    laws=(
        Law("begins with the start word", first_word),
        Law("goes on with the labels, with padding where a label is ignored", nothing_is_ignored),
        Law("never reads the last label", last_label_unread),
        Law("padding before or after the shift gives the same", either_order),
        Law("applying it twice shifts by two places", twice),
    ),
    probes=(
        Probe(
            "BART: start and end are word 2, padding is 1",
            lambda: {
                "labels": np.array([[0, 31, 7, 2], [0, 9, 2, -100]]),
                "start": 2,
                "ignore": -100,
                "pad": 1,
            },
        ),
        Probe(
            "T5: start and padding are word 0",
            lambda: {
                "labels": np.array([[8, 5, 1, -100, -100]]),
                "start": 0,
                "ignore": -100,
                "pad": 0,
            },
        ),
    ),
    mistakes=(
        Edit(
            "shift_right/left",
            "shifts to the left instead of to the right",
            JOINED,
            "np.concatenate((words[:, 1:], first), axis=1)",
            effect="the decoder reads the word it should predict",
        ),
        Edit(
            "shift_right/not-shifted",
            "feeds the labels themselves",
            JOINED,
            "words",
            effect="the decoder learns to copy, and the loss falls to zero",
            source="https://github.com/huggingface/transformers/pull/404",
        ),
        Edit(
            "shift_right/without-start",
            "starts with the first label instead of the start word",
            "np.full_like(words[:, :1], start)",
            "words[:, :1]",
            effect="the first word is never learned",
            source="https://github.com/huggingface/transformers/issues/5987",
            invisible_when="labels begin with the start word",
        ),
        Edit(
            "shift_right/ignored-label-read",
            "leaves the ignored label -100 among the words",
            WORDS,
            "labels + 0 * pad",
            effect="a lookup of word -100: an error, or a row from the end of the table",
            source="https://github.com/huggingface/transformers/pull/9134",
            invisible_when="every label is scored",
        ),
        Edit(
            "shift_right/starts-with-padding",
            "starts with the padding word, as T5 does",
            "start)",
            "pad)",
            effect="wrong for a model with another start word",
            source="https://github.com/huggingface/transformers/issues/20842",
            invisible_when="start and padding are one word",
        ),
        Edit(
            "shift_right/two-places",
            "shifts by two",
            JOINED,
            "np.concatenate((first, first, words[:, :-2]), axis=1)[:, :labels.shape[1]]",
            effect="each word is predicted without the one before it",
            source="https://github.com/huggingface/transformers/issues/47394",
            invisible_when="the text has one word",
        ),
    ),
    dialects=(
        Edit(
            "shift_right/last-to-front",
            "starts with the last label: mBART, where that is the language",
            "np.full_like(words[:, :1], start)",
            "words[:, -1:]",
            effect="the start word has no effect",
            invisible_when="the text ends with the start word",
        ),
    ),
    precisions=("float64", "float32"),
    values={
        "labels": draw_labels,
        "start": lambda source, sizes: source.choice([0, 2]),
        "ignore": lambda source, sizes: -100,
        "pad": lambda source, sizes: source.choice([0, 1]),
    },
)
