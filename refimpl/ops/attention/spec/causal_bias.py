"""What is known about causal bias: laws, probes, mistakes and dialects."""

import numpy as np

from refimpl.op import Edit, Law, Op, Probe, values
from refimpl.ops.attention import reference as text
from refimpl.ops.attention.spec.shared import MASK, finite_mask
from refimpl.ops.common import FLOATS


def causal_equation(f, queries, keys):
    yield f(queries, keys), np.where(np.tri(queries, keys) > 0, 0.0, -np.inf)


def causal_counts(f, queries, keys):
    seen = np.sum(np.exp(f(queries, keys)), axis=-1)
    yield seen, np.minimum(np.arange(queries) + 1, keys)


def causal_grows(f, queries, keys):
    yield f(queries + 2, keys + 3)[:queries, :keys], f(queries, keys)


def causal_running_means(f, queries, keys):
    told = np.square(np.arange(1.0, keys + 1))[:, None]  # M 1
    nothing = np.zeros((1, 1, queries, 1)), np.zeros((1, 1, keys, 1))
    mixed = text.attention(*nothing, told[None, None], values(f(queries, keys)))
    i = np.minimum(np.arange(1, queries + 1), keys)
    yield np.round(6 * i * mixed[0, 0, :, 0]), i * (i + 1) * (2 * i + 1)


def causal_square(f, queries, keys):
    yield f(keys, keys), text.causal_bias_lower_right(keys, keys)


CAUSAL_BIAS = Op(
    text.causal_bias,
    laws=(
        Law("is 0 on and below the diagonal and -inf above", causal_equation),
        Law("query i sees i + 1 keys", causal_counts),
        Law("is the corner of a larger one", causal_grows),
        Law("attention with this mask to equal scores gives running means", causal_running_means),
        Law("both alignments agree for a square", causal_square),
    ),
    probes=(
        Probe("fewer queries than keys", lambda: {"queries": 3, "keys": 6}),
        Probe("fewer keys than queries", lambda: {"queries": 6, "keys": 3}),
        Probe("one query and a cache", lambda: {"queries": 1, "keys": 5}),
    ),
    mistakes=(
        Edit(
            "causal_bias/no-diagonal",
            "hides the token itself",
            "j <= i",
            "j < i",
            effect="query 0 sees no key",
            source="https://github.com/mlfoundations/open_clip/pull/550",
        ),
        Edit(
            "causal_bias/leaks-one",
            "shows the next token",
            "j <= i",
            "j <= i + 1",
            effect="the token to be predicted is seen",
            invisible_when="there is one key",
        ),
        Edit(
            "causal_bias/upside-down",
            "shows the future and hides the past",
            "j <= i",
            "j >= i",
            effect="later tokens leak, earlier ones are lost",
        ),
        Edit(
            "causal_bias/inverted",
            "hides what should be seen and shows what should be hidden",
            MASK,
            "-np.inf, 0.0)",
            effect="the last query of a square sees nothing",
            source="https://github.com/pytorch/pytorch/pull/170404",
        ),
        Edit(
            "causal_bias/dropped",
            "hides nothing",
            "j <= i",
            "j <= i + keys",
            effect="the future leaks and the loss is too good",
            source="https://github.com/keras-team/keras/issues/23038",
            invisible_when="there is one key",
        ),
        Edit(
            "causal_bias/ones-and-zeros",
            "returns 1 for visible and 0 for hidden, although the mask is added",
            MASK,
            "1.0, 0.0)",
            effect="visible keys are favoured by a factor e, nothing is hidden",
            source="https://github.com/mlverse/torch/pull/1208",
        ),
        Edit(
            "causal_bias/plus-infinity",
            "hides by +inf",
            MASK,
            "0.0, np.inf)",
            effect="NaN for every query that should not see something",
            source="https://github.com/lucidrains/memory-compressed-attention/issues/2",
        ),
        Edit(
            "causal_bias/tiny-fill",
            "hides by -1e-9 where -1e9 was meant",
            MASK,
            "0.0, -1e-9)",
            effect="nothing is hidden",
            source="https://github.com/Shujun-He/RibonanzaNet/issues/5",
        ),
    ),
    dialects=(
        Edit(
            "causal_bias/lower-right",
            "aligned at the bottom right: flash-attention, MLX",
            "j <= i",
            "j <= i + keys - queries",
            effect="other keys are seen",
            source="https://github.com/Dao-AILab/flash-attention/issues/517",
            invisible_when="there are as many queries as keys",
        ),
        finite_mask("causal_bias", "LDM, Flamingo, Hugging Face"),
        Edit(
            "causal_bias/ten-thousand",
            "hides by -10000: BERT, LAVIS, the prior of diffusers",
            MASK,
            "0.0, -1e4)",
            effect="a score of 10000 shines through",
            source="https://github.com/huggingface/transformers/issues/10484",
        ),
    ),
    precisions=FLOATS,
)


def lower_right_equation(f, queries, keys):
    tri = np.tri(queries, keys, keys - queries)
    yield f(queries, keys), np.where(tri > 0, 0.0, -np.inf)


def lower_right_turned(f, queries, keys):
    yield f(queries, keys)[::-1, ::-1], np.swapaxes(text.causal_bias(keys, queries), 0, 1)


def lower_right_last_query(f, queries, keys):
    if queries:
        yield f(queries, keys)[-1], np.zeros(keys)


def lower_right_cached(f, queries, keys):
    if queries <= keys:
        yield f(queries, keys), text.causal_bias(keys, keys)[keys - queries :]


def lower_right_counts(f, queries, keys):
    seen = np.sum(np.exp(f(queries, keys)), axis=-1)
    yield seen, np.maximum(np.arange(queries) + 1 + keys - queries, 0)


CAUSAL_BIAS_LOWER_RIGHT = Op(
    text.causal_bias_lower_right,
    laws=(
        Law("is 0 on and below the diagonal that ends in the corner", lower_right_equation),
        Law("turned by 180° it is a transposed causal mask", lower_right_turned),
        Law("the last query sees every key", lower_right_last_query),
        Law("is the last rows of the square mask", lower_right_cached),
        Law("a query sees one key more than the one before", lower_right_counts),
    ),
    probes=CAUSAL_BIAS.probes,
    mistakes=(
        Edit(
            "causal_bias_lower_right/upper-left",
            "aligned at the top left",
            "i + keys - queries",
            "i",
            effect="a decoding step sees key 0 alone",
            source="https://github.com/pytorch/pytorch/issues/103082",
            invisible_when="there are as many queries as keys",
        ),
        Edit(
            "causal_bias_lower_right/sign-of-offset",
            "moves the diagonal the wrong way",
            "keys - queries",
            "queries - keys",
            effect="a decoding step sees no key",
            source="https://github.com/ml-explore/mlx/pull/2967",
            invisible_when="there are as many queries as keys",
        ),
        Edit(
            "causal_bias_lower_right/no-diagonal",
            "hides the token itself",
            "j <= i",
            "j < i",
            effect="the last query does not see its own key",
        ),
        Edit(
            "causal_bias_lower_right/leaks-one",
            "shows the next token",
            "j <= i",
            "j <= i + 1",
            effect="the token to be predicted is seen",
            invisible_when="there is one query",
        ),
        Edit(
            "causal_bias_lower_right/never-empty",
            "keeps the diagonal at the top left when keys are fewer than queries",
            "i + keys - queries",
            "i + np.maximum(keys - queries, 0)",
            effect="queries before the first key see keys of their future",
            source="https://github.com/Dao-AILab/flash-attention/issues/1778",
            invisible_when="there are at least as many keys as queries",
        ),
        Edit(
            "causal_bias_lower_right/inverted",
            "hides what should be seen and shows what should be hidden",
            MASK,
            "-np.inf, 0.0)",
            effect="the last query sees nothing",
            source="https://github.com/pytorch/pytorch/pull/170404",
        ),
    ),
    dialects=(finite_mask("causal_bias_lower_right", "LDM, Flamingo, Hugging Face"),),
    precisions=FLOATS,
)
