"""What is known about prefix_bias: laws, probes, mistakes and dialects."""

import numpy as np

from refimpl.op import Edit, Law, Op, Probe
from refimpl.ops.attention import reference as text
from refimpl.ops.attention.spec.shared import MASK
from refimpl.ops.common import FLOATS


def prefix_equation(f, prefix, tokens):
    tri = np.tri(tokens)
    tri[:, :prefix] = 1
    yield f(prefix, tokens), np.where(tri > 0, 0.0, -np.inf)


def prefix_of_none(f, prefix, tokens):
    yield f(0, tokens), text.causal_bias(tokens, tokens)


def prefix_of_one(f, prefix, tokens):
    if tokens:
        yield f(1, tokens), f(0, tokens)  # the first token is seen by all as it is


def prefix_of_all(f, prefix, tokens):
    yield f(tokens, tokens), np.zeros((tokens, tokens))


def prefix_counts(f, prefix, tokens):
    seen = np.sum(np.exp(f(prefix, tokens)), axis=-1)
    yield seen, np.maximum(np.arange(tokens) + 1, prefix)


def prefix_parts(f, prefix, tokens):
    mask = f(prefix, tokens)
    rest = tokens - prefix
    yield mask[:prefix, :prefix], np.zeros((prefix, prefix))
    yield np.exp(mask[:prefix, prefix:]), np.zeros((prefix, rest))
    yield mask[prefix:, :prefix], np.zeros((rest, prefix))
    yield mask[prefix:, prefix:], text.causal_bias(rest, rest)


PREFIX_BIAS = Op(
    text.prefix_bias,
    laws=(
        Law("is a lower triangle and the columns of the prefix", prefix_equation),
        Law("without a prefix it is the causal mask", prefix_of_none),
        Law("a prefix of one token changes nothing", prefix_of_one),
        Law("a prefix of all tokens hides nothing", prefix_of_all),
        Law("a token sees the prefix and all before it", prefix_counts),
        Law("consists of four blocks", prefix_parts),
    ),
    probes=(
        Probe("two of five tokens", lambda: {"prefix": 2, "tokens": 5}),
        Probe("no prefix", lambda: {"prefix": 0, "tokens": 4}),
        Probe("all tokens", lambda: {"prefix": 4, "tokens": 4}),
    ),
    mistakes=(
        Edit(
            "prefix_bias/causal",
            "masks the prefix causally as well",
            "(j < prefix) | (j <= i)",
            "j <= i",
            effect="the tokens of the prefix do not see each other's future",
            invisible_when="the prefix is one token or none",
        ),
        Edit(
            "prefix_bias/rest-sees-all",
            "lets the later tokens see the future",
            "(j < prefix) | (j <= i)",
            "(j < prefix) | (i >= prefix)",
            effect="the tokens to be predicted are seen",
            invisible_when="at most one token follows the prefix",
        ),
        Edit(
            "prefix_bias/rest-blind-to-prefix",
            "hides the prefix from the later tokens",
            "(j < prefix) | (j <= i)",
            "((j < prefix) == (i < prefix)) & ((j < prefix) | (j <= i))",
            effect="prefix and rest do not see each other",
            invisible_when="the prefix is none or all",
        ),
        Edit(
            "prefix_bias/prefix-sees-rest",
            "lets the prefix see the later tokens",
            "(j < prefix) |",
            "(i < prefix) | (j < prefix) |",
            effect="the future leaks through the prefix",
            invisible_when="the prefix is none or all",
        ),
        Edit(
            "prefix_bias/one-too-many",
            "counts one token more to the prefix",
            "j < prefix",
            "j <= prefix",
            effect="the first token to be predicted is seen",
            invisible_when="the prefix is none or all",
        ),
        Edit(
            "prefix_bias/no-diagonal",
            "hides a later token from itself",
            "j <= i",
            "j < i",
            effect="later tokens do not see themselves",
            invisible_when="the prefix is all",
        ),
        Edit(
            "prefix_bias/inverted",
            "hides what should be seen and shows what should be hidden",
            MASK,
            "-np.inf, 0.0)",
            effect="the last token sees nothing",
            source="https://github.com/pytorch/pytorch/pull/170404",
        ),
    ),
    dialects=(
        Edit(
            "prefix_bias/ten-thousand",
            "hides by -10000: BERT, LAVIS",
            MASK,
            "0.0, -1e4)",
            effect="a score of 10000 shines through",
            source="https://github.com/huggingface/transformers/issues/10484",
        ),
    ),
    precisions=FLOATS,
)
