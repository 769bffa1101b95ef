"""What is known about the tokens of the prior and of the decoder: laws, probes, mistakes."""

import numpy as np

from refimpl.gradients import LINEAR_IN_GRAD
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


def words_get_theirs(f, grad):
    yield f(grad)[0], grad[:, :-4]


def each_gets_its_token(f, grad):
    for place, found in zip((-4, -3, -2), f(grad)[1:4], strict=True):
        yield found, grad[:, place]


def query_gets_all(f, grad):
    yield f(grad)[4], np.sum(grad[:, -1], axis=0)


def same_product(f, grad):
    """What tokens have to do with grad, the parts of which they are made have with theirs."""
    B, width, D = grad.shape
    parts = sines(B, width - 4, D), cosines(B, D), 2 * sines(B, D), 3 * cosines(B, D), sines(D)
    both = (np.sum(part * found) for part, found in zip(parts, f(grad), strict=True))
    yield sum(both), np.sum(text.prior_tokens(*parts) * grad)


wrong_back = mistakes_of("prior_tokens_vjp")

PRIOR_TOKENS_VJP = Op(
    text.prior_tokens_vjp,
    outputs=("text_grad", "text_embedding_grad", "time_grad", "noised_grad", "query_grad"),
    laws=(
        Law("the words get the gradients in front", words_get_theirs),
        Law(
            "text embedding, time and noised embedding get that of their token", each_gets_its_token
        ),
        Law("the query gets the sum over samples", query_gets_all),
        Law("parts and their gradients have the product of tokens and grad", same_product),
        LINEAR_IN_GRAD,
    ),
    probes=(
        Probe("two texts of three words", lambda: {"grad": 2 + sines(2, 7, 4)}),
        Probe("no words", lambda: {"grad": 2 + sines(3, 4, 2)}),
    ),
    mistakes=(
        wrong_back(
            "query-of-one-sample",
            "takes the query's gradient of the first sample alone",
            "np.sum(grad[:, -1], axis=0)",
            "grad[0, -1]",
            "the query learns from one sample",
            "there is one sample",
        ),
        wrong_back(
            "query-averaged",
            "averages the gradient of the query over samples",
            "np.sum(grad[:, -1], axis=0)",
            "np.mean(grad[:, -1], axis=0)",
            "too small by the batch size",
            "there is one sample",
        ),
        wrong_back(
            "time-first",
            "exchanges the gradients of text embedding and time",
            "grad[:, -4], grad[:, -3]",
            "grad[:, -3], grad[:, -4]",
            "both learn from the other",
            "the two are equal",
        ),
        wrong_back(
            "noised-reads-the-query",
            "gives the noised embedding the gradient of the query",
            "grad[:, -2], query_grad",
            "grad[:, -1], query_grad",
            "the noised embedding gets another's gradient",
            "the two are equal",
        ),
        wrong_back(
            "words-last",
            "takes the words to be the last tokens",
            "return grad[:, :-4]",
            "return grad[:, 4:]",
            "words get the gradients of later tokens",
            "there is no word",
        ),
    ),
)


def there_and_back(f, grad):
    yield text.context_tokens(f(grad), grad.shape[1]), grad


def one_goes_back(f, grad):
    yield f(grad[:, :1]), grad[:, 0]


def neighbours_go_back(f, grad):
    yield f(grad)[:, : grad.shape[1]], grad[:, :, 0]


def all_goes_back(f, grad):
    yield np.sum(f(grad), axis=1), np.sum(grad, axis=(1, 2))


wrong_columns = mistakes_of("context_tokens_vjp")
TURNED = "np.swapaxes(grad, 1, 2)"

CONTEXT_TOKENS_VJP = Op(
    text.context_tokens_vjp,
    outputs=("projection_grad",),
    laws=(
        Law("context_tokens undoes it", there_and_back),
        Law("of one token it is that token", one_goes_back),
        Law("the first numbers of all tokens are neighbours", neighbours_go_back),
        Law("the sum of a sample stays", all_goes_back),
        LINEAR_IN_GRAD,
    ),
    probes=(
        Probe("two tokens of three", lambda: {"grad": sines(2, 2, 3)}),
        Probe("four tokens of two", lambda: {"grad": sines(1, 4, 2)}),
    ),
    mistakes=(
        wrong_columns(
            "from-the-end",
            "reverses the tokens",
            TURNED,
            f"{TURNED}[..., ::-1]",
            "tokens get each other's gradients",
            "there is one token",
        ),
        wrong_columns(
            "numbers-from-the-end",
            "reverses the numbers of each token",
            TURNED,
            f"{TURNED}[:, ::-1]",
            "rows of the weights get each other's gradients",
            "tokens have one number",
        ),
        wrong_columns(
            "batch-mixed",
            "puts tokens before samples",
            TURNED,
            "np.swapaxes(np.swapaxes(grad, 0, 1), 1, 2)",
            "samples are mixed",
            "there is one sample",
        ),
        wrong_columns(
            "first-token-alone",
            "gives all tokens the gradient of the first",
            TURNED,
            "np.swapaxes(grad[:, :1] + 0 * grad, 1, 2)",
            "the projection learns from one token",
            "there is one token",
        ),
        wrong_columns(
            "shifted",
            "rotates the tokens by one",
            TURNED,
            "np.swapaxes(np.roll(grad, 1, axis=1), 1, 2)",
            "tokens get each other's gradients",
            "there is one token",
        ),
    ),
    dialects=(
        wrong_columns(
            "token-after-token",
            "lays tokens one after another, as lucidrains and Kandinsky 2.1 do",
            TURNED,
            "grad",
            "equal after a permutation of the rows of the dense layer",
            "there is one token, or tokens have one component",
        ),
    ),
)
