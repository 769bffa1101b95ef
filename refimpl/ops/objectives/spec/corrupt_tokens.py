"""What is known about corrupt_tokens: laws, probes and mistakes."""

import numpy as np

from refimpl.op import Law, Op, Probe
from refimpl.ops.common import FLOATS, mistakes_of
from refimpl.ops.objectives import reference as text

MASK = 103  # BERT's


def nothing_selected(f, ids, selected, uniforms, words, mask, hidden, changed):
    yield f(ids, 0 * selected, uniforms, words, mask, hidden, changed), ids


def all_hidden(f, ids, selected, uniforms, words, mask, hidden, changed):
    read = f(ids, selected, uniforms, words, mask, 1.0, 1.0)
    yield read, np.where(selected > 0, mask, ids)


def all_exchanged(f, ids, selected, uniforms, words, mask, hidden, changed):
    read = f(ids, selected, uniforms, words, mask, 0.0, 1.0)
    yield read, np.where(selected > 0, words, ids)


def all_kept(f, ids, selected, uniforms, words, mask, hidden, changed):
    yield f(ids, selected, uniforms, words, mask, 0.0, 0.0), ids


def place_by_place(f, ids, selected, uniforms, words, mask, hidden, changed):
    given = (x[:, ::-1] for x in (ids, selected, uniforms, words))
    yield (
        f(*given, mask, hidden, changed),
        f(ids, selected, uniforms, words, mask, hidden, changed)[:, ::-1],
    )


def drawn_words_alone(f, ids, selected, uniforms, words, mask, hidden, changed):
    """Where the drawn word is the text's own, only hiding is seen."""
    read = f(ids, selected, uniforms, ids, mask, hidden, changed)
    yield read, f(ids, selected, uniforms, ids, mask, hidden, hidden)


def draw_words(source, sizes):
    return np.floor(source.uniform((sizes["B"], sizes["N"]), 200, 250)).astype(np.int64)


def draw_selected(source, sizes):
    return (source.uniform((sizes["B"], sizes["N"]), 0, 1) < 0.7).astype(np.int64)


wrong = mistakes_of("corrupt_tokens")
READ = "np.where(uniforms < hidden, mask, exchanged)"
EXCHANGED = "np.where(uniforms < changed, words, ids)"
CORRUPT_TOKENS = Op(
    text.corrupt_tokens,
    laws=(
        Law("words that are not selected stay", nothing_selected),
        Law("a hidden share of 1 hides all selected words", all_hidden),
        Law("a replaced share of 1 replaces all selected words", all_exchanged),
        Law("shares of 0 change nothing", all_kept),
        Law("each place is treated by itself", place_by_place),
        Law("replaced words come from the drawn words", drawn_words_alone),
    ),
    probes=(
        Probe(
            "BERT's shares, numbers beside their edges",
            lambda: {
                "ids": np.arange(8.0).astype(np.int64)[None] + 1,
                "selected": np.array([[1, 1, 1, 1, 1, 1, 0, 0]]),
                "uniforms": np.array([[0.0, 0.75, 0.8125, 0.875, 0.9375, 0.5, 0.25, 0.84375]]),
                "words": np.arange(8.0).astype(np.int64)[None] + 11,
                "mask": MASK,
                "hidden": 0.8,
                "changed": 0.9,
            },
        ),
        Probe(
            "a number at each edge",
            lambda: {
                "ids": np.array([[5, 6, 7]]),
                "selected": np.array([[1, 1, 1]]),
                "uniforms": np.array([[0.5, 0.75, 0.25]]),
                "words": np.array([[15, 16, 17]]),
                "mask": MASK,
                "hidden": 0.5,
                "changed": 0.75,
            },
        ),
    ),
    mistakes=(
        wrong(
            "always-hidden",
            "hides every selected word",
            READ,
            "np.where(uniforms < 2, mask, exchanged)",
            "the model never learns about words that it sees",
            "each number is below the hidden share",
        ),
        wrong(
            "selection-ignored",
            "corrupts words that are not selected, too",
            "np.where(selected > 0, read, ids)",
            "read + 0 * selected",
            "most of the text is hidden, but not scored",
            "all words are selected",
        ),
        wrong(
            "selection-inverted",
            "corrupts what is not selected",
            "selected > 0",
            "selected < 1",
            "all words to be predicted are visible",
            "",
        ),
        wrong(
            "never-exchanged",
            "hides or keeps, but never replaces by a random word",
            EXCHANGED,
            "ids + 0 * words",
            "a visible word is always right",
            "no number lies between the shares",
        ),
        wrong(
            "never-left",
            "replaces every word that it does not hide",
            EXCHANGED,
            "words + 0 * ids",
            "a visible word is always wrong",
            "no number lies above the shares",
        ),
        wrong(
            "shares-exchanged",
            "exchanges the shares that are hidden and replaced",
            f"exchanged = {EXCHANGED}  # B N\n    read = {READ}",
            "exchanged = np.where(uniforms < changed, mask, ids)\n"
            "    read = np.where(uniforms < hidden, words, exchanged)",
            "most of the selected words are noise",
            "",
        ),
        wrong(
            "inclusive",
            "hides also where the number equals the share",
            "uniforms < hidden",
            "uniforms <= hidden",
            "a share of 0 hides a word now and then",
            "no number is equal to the share",
        ),
    ),
    precisions=FLOATS,
    values={
        "ids": draw_words,
        "words": draw_words,
        "selected": draw_selected,
        "mask": lambda source, sizes: source.choice([MASK, 4]),
        "hidden": lambda source, sizes: source.choice([0.8, 0.5]),
        "changed": lambda source, sizes: source.choice([0.9, 0.75]),
    },
)
