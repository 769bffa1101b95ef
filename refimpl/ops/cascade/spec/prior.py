"""What is known about the tokens of the prior and of the decoder: laws, probes, mistakes."""

import numpy as np

from refimpl.op import Law, Op, Probe
from refimpl.ops.attention.reference import causal_bias
from refimpl.ops.cascade import reference as text
from refimpl.ops.common import FLOATS, cosines, mistakes_of, sines

NAMES = ("text_embedding", "time", "noised", "query")


def words_first(f, text, **rest):
    yield f(text, **rest)[:, : text.shape[1]], text


def then(number):
    def law(f, text, **rest):
        found = f(text, **rest)[:, text.shape[1] + number]
        yield found, rest[NAMES[number]] + 0 * found

    return law


wrong = mistakes_of("prior_tokens")
LINE = "(text_embedding, time, noised, query + 0 * noised)"


def reordered(name, says, places, effect):
    parts = ("text_embedding", "time", "noised", "query + 0 * noised")
    new = f"({', '.join(parts[i] for i in places)})"
    return wrong(name, says, LINE, new, effect, "the two are equal")


PRIOR_TOKENS = Op(
    text.prior_tokens,
    laws=(
        Law("the words come first", words_first),
        Law("then the text embedding", then(0)),
        Law("then the time", then(1)),
        Law("then the noised embedding", then(2)),
        Law("then the query, the same for all samples", then(3)),
    ),
    probes=(
        Probe(
            "two texts of three words",
            lambda: {
                "text": sines(2, 3, 4),
                "text_embedding": cosines(2, 4),
                "time": 2 * sines(2, 4),
                "noised": 3 * cosines(2, 4),
                "query": sines(4) - 2,
            },
        ),
    ),
    mistakes=(
        reordered(
            "time-first",
            "puts the time before the text embedding",
            (1, 0, 2, 3),
            "both get wrong positions",
        ),
        reordered(
            "noised-before-time",
            "puts the noised embedding before the time",
            (0, 2, 1, 3),
            "the noised embedding cannot attend to the time",
        ),
        reordered(
            "question-before-noised",
            "puts the query before the noised embedding",
            (0, 1, 3, 2),
            "the output is read at the noised embedding",
        ),
        wrong(
            "words-last",
            "puts the words last",
            "(text, np.stack(single, axis=1))",
            "(np.stack(single, axis=1), text)",
            "the query cannot attend to the text",
            "there is no word",
        ),
        wrong(
            "question-is-noised",
            "adds the noised embedding to the query",
            "query + 0 * noised",
            "query + noised",
            "noise enters the output directly",
            "the noised embedding is 0",
        ),
    ),
)


def causal(f, keep):
    B, N = keep.shape
    yield f(0 * keep + 1), np.broadcast_to(causal_bias(N + 4, N + 4), (B, 1, N + 4, N + 4))


def padding_unseen(f, keep):
    N = keep.shape[1]
    columns = np.exp(f(keep)[..., :N])
    yield columns * (1 - keep)[:, None, None], 0 * columns


def last_sees(f, keep):
    """The question sees all words and the four tokens."""
    seen = np.sum(np.exp(f(keep)[:, 0, -1]), axis=-1)
    yield seen, np.sum(keep, axis=1) + 4.0


def samples_apart(f, keep):
    yield f(keep[:1]), f(keep)[:1]


wrong_bias = mistakes_of("prior_bias")


PRIOR_BIAS = Op(
    text.prior_bias,
    laws=(
        Law("without padding it is causal", causal),
        Law("padding is hidden", padding_unseen),
        Law("the query sees the words and the last four tokens", last_sees),
        Law("each sample is treated by itself", samples_apart),
    ),
    probes=(
        Probe("two texts", lambda: {"keep": np.array([[1, 1, 0], [1, 1, 1]])}),
        Probe("a text of one word", lambda: {"keep": np.array([[1, 0, 0, 0]])}),
    ),
    mistakes=(
        wrong_bias(
            "padding-seen",
            "ignores the padding",
            "(j <= i) & (seen[:, None, None] == 1)",
            "(j <= i) & (seen[:, None, None] >= 0)",
            "padding changes the result",
            "there is no padding",
        ),
        wrong_bias(
            "padding-alone",
            "is not causal, as in diffusers without a text mask",
            "(j <= i) & (seen",
            "(j == j) & (i == i) & (seen",
            "words see the noised embedding",
            "never",
        ),
        wrong_bias(
            "not-itself",
            "hides each token from itself",
            "j <= i",
            "j < i",
            "the first token sees nothing",
            "never",
        ),
        wrong_bias(
            "tokens-in-front",
            "takes the four tokens to come before the text",
            "(keep, np.ones((B, 4), dtype=int))",
            "(np.ones((B, 4), dtype=int), keep)",
            "padding is visible, and the query is not",
            "there is no padding",
        ),
        wrong_bias(
            "mask-inverted",
            "hides the words and shows the padding",
            "seen[:, None, None] == 1",
            "seen[:, None, None] == 0",
            "the query cannot attend to the text",
            "never",
        ),
        wrong_bias(
            "padded-to-nothing",
            "hides the four last tokens as well",
            "np.ones((B, 4)",
            "np.zeros((B, 4)",
            "the query sees the words alone",
            "never",
        ),
    ),
    precisions=FLOATS,
)


def one_token(f, projection, tokens):
    yield f(projection, 1)[:, 0], projection


def a_number_each(f, projection, tokens):
    yield f(projection, projection.shape[1])[:, :, 0], projection


def neighbours(f, projection, tokens):
    found = f(projection, tokens)
    yield np.swapaxes(found, 1, 2)[:, 0], projection[:, :tokens]


def same_numbers(f, projection, tokens):
    yield np.sum(f(projection, tokens), axis=(1, 2)), np.sum(projection, axis=1)


wrong_context = mistakes_of("context_tokens")
COLUMNS = "np.reshape(projection, (B, width // tokens, tokens))"

CONTEXT_TOKENS = Op(
    text.context_tokens,
    laws=(
        Law("with one token it is the vector", one_token),
        Law("with as many tokens as components each has one", a_number_each),
        Law("neighbouring components go to different tokens", neighbours),
        Law("the sum of all components stays", same_numbers),
    ),
    probes=(
        Probe("two tokens of three", lambda: {"projection": sines(2, 6), "tokens": 2}),
        Probe("four tokens of two", lambda: {"projection": sines(1, 8), "tokens": 4}),
    ),
    mistakes=(
        wrong_context(
            "batch-mixed",
            "reshapes to (tokens, B) instead of (B, tokens)",
            COLUMNS,
            "np.reshape(np.swapaxes(projection, 0, 1), (B, width // tokens, tokens))",
            "samples are mixed",
            "there is one sample",
        ),
        wrong_context(
            "from-the-end",
            "reverses the tokens",
            "np.swapaxes(columns, 1, 2)",
            "np.swapaxes(columns, 1, 2)[:, ::-1]",
            "the tokens are in reverse order",
            "there is one token",
        ),
        wrong_context(
            "numbers-from-the-end",
            "reverses the components of each token",
            "np.swapaxes(columns, 1, 2)",
            "np.swapaxes(columns, 1, 2)[..., ::-1]",
            "weights multiply other components",
            "tokens have one number",
        ),
        wrong_context(
            "one-token-for-all",
            "repeats the first token instead of using all",
            "np.swapaxes(columns, 1, 2)",
            "np.swapaxes(columns[:, :, :1] + 0 * columns, 1, 2)",
            "the image has one token",
            "there is one token",
        ),
        wrong_context(
            "shifted",
            "rotates the tokens by one",
            "np.swapaxes(columns, 1, 2)",
            "np.roll(np.swapaxes(columns, 1, 2), -1, axis=1)",
            "tokens get other positions",
            "there is one token",
        ),
    ),
    dialects=(
        wrong_context(
            "token-after-token",
            "reshapes to (tokens, width) directly, as lucidrains and Kandinsky 2.1 do",
            COLUMNS,
            "np.swapaxes(np.reshape(projection, (B, tokens, width // tokens)), 1, 2)",
            "equal after a permutation of the rows of the dense layer",
            "there is one token, or tokens have one component",
        ),
    ),
)
