"""What is known about attention: laws, probes, mistakes and dialects."""

import numpy as np

from refimpl.constants import constant
from refimpl.op import Edit, Law, Op, Probe, values
from refimpl.ops.attention import reference as text
from refimpl.ops.attention.spec.shared import (
    ROOT,
    SOFTMAX_END,
    SOFTMAX_TOTAL,
    UNSHIFTED_BARE,
    UNSHIFTED_END,
    UNSHIFTED_HIDDEN,
    full_bias,
    visible,
)
from refimpl.ops.common import cosines, sines


def attention_equation(f, query, key, value, bias):
    B, heads, N, E = query.shape
    G, M, F = value.shape[1:]
    grouped = np.reshape(query, (B, G, heads // G, N, E))  # B G R N E
    scores = grouped @ np.swapaxes(key, -1, -2)[:, :, None]  # B G R N M
    scores = np.reshape(scores, (B, heads, N, M)) / np.sqrt(constant(E, query))
    scores = scores + full_bias(query, key, bias)
    if np.max(np.where(values(scores) > -np.inf, np.abs(values(scores)), 0), initial=0) > 80:
        return  # the quotient as it stands overflows
    weights = np.exp(scores)
    total = np.sum(weights, axis=-1, keepdims=True)  # B H N 1
    grouped = np.reshape(weights, (B, G, heads // G, N, M)) @ value[:, :, None]  # B G R N F
    mixed = np.reshape(grouped, (B, heads, N, F))
    yield f(query, key, value, bias), mixed / np.where(values(total) > 0, total, 1)


def attention_repeated_heads(f, query, key, value, bias):
    shared = query.shape[1] // key.shape[1]
    every = np.repeat(key, shared, axis=1), np.repeat(value, shared, axis=1)
    yield f(query, *every, bias), f(query, key, value, bias)


def attention_of_constant_values(f, query, key, value, bias):
    seen = visible(full_bias(query, key, bias))  # B H N
    yield f(query, key, 0 * value + 1, bias), seen[..., None]


def attention_keys_in_any_order(f, query, key, value, bias):
    turned = full_bias(query, key, bias)[..., ::-1]
    yield f(query, key[:, :, ::-1], value[:, :, ::-1], turned), f(query, key, value, bias)


def attention_queries_in_any_order(f, query, key, value, bias):
    turned = full_bias(query, key, bias)[:, :, ::-1]
    yield f(query[:, :, ::-1], key, value, turned), f(query, key, value, bias)[:, :, ::-1]


def attention_one_query_at_a_time(f, query, key, value, bias):
    rows = full_bias(query, key, bias)
    at_once = f(query, key, value, bias)
    for n in range(query.shape[2]):
        row = slice(n, n + 1)
        yield f(query[:, :, row], key, value, rows[:, :, row]), at_once[:, :, row]


def attention_hidden_key(f, query, key, value, bias):
    more = [np.concatenate([x, 3 * x[:, :, :1] + 5], axis=2) for x in (key, value)]
    old = full_bias(query, key, bias)
    hidden = np.concatenate([old, np.full((*old.shape[:3], 1), -np.inf)], axis=3)
    yield f(query, *more, hidden), f(query, key, value, bias)


def attention_doubled_keys(f, query, key, value, bias):
    twice = [np.concatenate([x, x], axis=2) for x in (key, value)]
    old = full_bias(query, key, bias)
    yield f(query, *twice, np.concatenate([old, old], axis=3)), f(query, key, value, bias)


def attention_shifted_keys(f, query, key, value, bias):
    yield f(query, key + 0.25, value, bias), f(query, key, value, bias)


def attention_shifted_bias(f, query, key, value, bias):
    yield f(query, key, value, full_bias(query, key, bias) + 3), f(query, key, value, bias)


def attention_wider_heads(f, query, key, value, bias):
    wide = [np.concatenate([x, 0 * x, 0 * x, 0 * x], axis=3) for x in (2 * query, key)]
    yield f(*wide, value, bias), f(query, key, value, bias)


def attention_of_zero_queries(f, query, key, value, bias):
    mean = np.mean(value, axis=2, keepdims=True)  # B G 1 F
    mean = np.repeat(mean, query.shape[1] // key.shape[1], axis=1)  # B H 1 F
    yield f(0 * query, key, value, None), np.repeat(mean, query.shape[2], axis=2)


def separated():
    """Four queries, four keys and a score of about ten where they match."""
    return {
        "query": 20 * np.eye(4)[None, None] + cosines(1, 2, 4, 4),
        "key": np.eye(4)[None, None] + sines(1, 2, 4, 4),
        "value": 4 * sines(1, 2, 4, 4)[:, :, ::-1],
    }


def grouped_heads():
    return {
        "query": 3 * sines(2, 6, 3, 5),
        "key": 2 * cosines(2, 3, 4, 5),
        "value": sines(2, 3, 4, 2),
        "bias": None,
    }


def samples_as_many_as_heads():
    return {
        "query": sines(2, 2, 3, 4),
        "key": cosines(2, 1, 3, 4),
        "value": sines(2, 1, 3, 4)[:, :, ::-1],
        "bias": text.padding_bias(np.array([3, 1]), 3),
    }


def large_scores():
    return {
        "query": np.full((1, 1, 1, 4), 64.0),
        "key": np.array([[[[8.0] * 4, [7.75] * 4, [-8.0] * 4]]]),
        "value": np.array([[[[1.0, 2.0], [-3.0, 4.0], [5.0, -6.0]]]]),
        "bias": None,
    }


def one_key():
    return {
        "query": np.ones((1, 1, 1, 4)),
        "key": np.zeros((1, 1, 1, 4)),
        "value": np.ones((1, 1, 1, 3)),
        "bias": None,
    }


def masked_rows():
    bias = np.array([[0.0, -np.inf, 0.0, 0.0], [-np.inf] * 4, [-np.inf, -np.inf, 0.0, -np.inf]])
    return separated() | {"query": separated()["query"][:, :, :3], "bias": bias}


def poisoned_key():
    """A hidden key whose score exceeds the others by far more than ten thousand."""
    key = sines(1, 1, 3, 4)
    key[0, 0, 2] = 1e4
    return {
        "query": np.ones((1, 1, 2, 4)),
        "key": key,
        "value": cosines(1, 1, 3, 2),
        "bias": np.array([0.0, 0.0, -np.inf]),
    }


def low_scores():
    """Rows whose best visible scores are -200 and -20000, beside a hidden key of score 0."""
    return {
        "query": np.array([[[[-20.0, 0.0, 0.0, 0.0], [-2000.0, 0.0, 0.0, 0.0]]]]),
        "key": np.array([[[[20.0, 0.0, 0.0, 0.0], [25.0, 0.0, 0.0, 0.0], [0.0] * 4]]]),
        "value": np.array([[[[1.0, 2.0], [-3.0, 4.0], [5.0, -6.0]]]]),
        "bias": np.array([0.0, 0.0, -np.inf]),
    }


def lowest_scores():
    """The same at -100000: below every finite number that stands for minus infinity in use."""
    return low_scores() | {
        "query": np.array([[[[-500.0, 0.0, 0.0, 0.0]]]]),
        "key": np.array([[[[400.0, 0.0, 0.0, 0.0], [500.0, 0.0, 0.0, 0.0], [0.0] * 4]]]),
    }


SCALED_SCORES = (
    " / np.sqrt(constant(E, query))  # B H N M\n"
    "    if bias is not None:\n"
    "        scores = scores + bias\n"
    "    return softmax(scores) @ value"
)

SCALED_WEIGHTS = SCALED_SCORES.replace(" / np.sqrt(constant(E, query))", "").replace(
    "softmax(scores)", "softmax(scores) / np.sqrt(constant(E, query))"
)

GROUPS = "key, value = np.repeat(key, shared, axis=1), np.repeat(value, shared, axis=1)"

ATTENTION = Op(
    text.attention,
    laws=(
        Law("equals the quotient of exponentials over groups of heads", attention_equation),
        Law("shared key heads are repeated key heads", attention_repeated_heads),
        Law(
            "weights sum to one, or to zero for a query without keys", attention_of_constant_values
        ),
        Law("permuting keys with their values changes nothing", attention_keys_in_any_order),
        Law("permuting queries permutes the outputs", attention_queries_in_any_order),
        Law("queries do not see each other", attention_one_query_at_a_time),
        Law("removing a hidden key changes nothing", attention_hidden_key),
        Law("giving every key twice changes nothing", attention_doubled_keys),
        Law("a vector added to every key changes nothing", attention_shifted_keys),
        Law("a constant added to every score changes nothing", attention_shifted_bias),
        Law("four times wider heads of zeros halve the scores", attention_wider_heads),
        Law("a query of zeros gives the mean of the values", attention_of_zero_queries),
    ),
    probes=(
        Probe("distinct scores", lambda: separated() | {"bias": None}),
        Probe(
            "distinct scores under a causal mask",
            lambda: separated() | {"bias": text.causal_bias(4, 4)},
        ),
        Probe("hidden keys and a query that sees none", masked_rows),
        Probe("two query heads to each of three key heads", grouped_heads),
        Probe("as many samples as heads, padded", samples_as_many_as_heads),
        Probe("scores of 1000", large_scores),
        Probe("a single key of score 0", one_key),
        Probe("a hidden key of score 20000", poisoned_key),
        Probe("best visible scores of -200 and -20000 beside a hidden key", low_scores),
        Probe("a best visible score of -100000 beside a hidden key", lowest_scores),
    ),
    mistakes=(
        Edit(
            "attention/scale-by-model-width",
            "divides the scores by the root of the model's width, not of the head's",
            "constant(E, query)",
            "constant(E * heads, query)",
            effect="weights too flat, outputs drift towards the mean of the values",
            source="https://github.com/lucidrains/vit-pytorch/issues/65",
            invisible_when="there is one head, one key, or all scores of a row are equal",
        ),
        Edit(
            "attention/scale-by-number-of-heads",
            "divides the scores by the root of the number of heads",
            "constant(E, query)",
            "constant(heads, query)",
            effect="weights too sharp or too flat; the best match often stays the same",
            source="https://github.com/tenstorrent/tt-metal/pull/56789",
            invisible_when="there are as many heads as a head is wide",
        ),
        Edit(
            "attention/scale-of-another-width",
            "divides the scores by 8, the root of a head width of 64",
            "constant(E, query)",
            "constant(64, query)",
            effect="weights too flat for narrow heads, too sharp for wide ones",
            invisible_when="heads are 64 wide",
        ),
        Edit(
            "attention/no-scale",
            "does not divide the scores by the root of the head width",
            ROOT,
            "",
            effect="weights too sharp; T5 does so on purpose",
            invisible_when="heads are 1 wide",
        ),
        Edit(
            "attention/scale-twice",
            "divides the scores by the head width: scaled twice, or the root forgotten",
            "np.sqrt(constant(E, query))",
            "constant(E, query)",
            effect="weights too flat",
            invisible_when="heads are 1 wide",
        ),
        Edit(
            "attention/scale-weights",
            "divides the weights by the root of the head width, not the scores",
            SCALED_SCORES,
            SCALED_WEIGHTS,
            effect="weights too sharp that sum to less than one",
            invisible_when="heads are 1 wide",
        ),
        Edit(
            "attention/softmax-over-queries",
            "normalises over the queries instead of the keys",
            "softmax(scores) @ value",
            "np.swapaxes(softmax(np.swapaxes(scores, -1, -2)), -1, -2) @ value",
            effect="the weights of a key sum to one, those of a query do not",
            source="https://github.com/labmlai/annotated_deep_learning_paper_implementations/"
            "issues/146",
            invisible_when="all scores are equal and there are as many queries as keys",
        ),
        Edit(
            "attention/softmax-over-batch",
            "normalises over the batch instead of the keys",
            "softmax(scores) @ value",
            "np.moveaxis(softmax(np.moveaxis(scores, 0, -1)), -1, 0) @ value",
            effect="samples depend on each other; a batch of one adds up all values",
            source="https://github.com/PetrochukM/PyTorch-NLP/issues/2",
        ),
        Edit(
            "attention/softmax-over-heads",
            "normalises over the heads instead of the keys",
            "softmax(scores) @ value",
            "np.moveaxis(softmax(np.moveaxis(scores, 1, -1)), -1, 1) @ value",
            effect="heads compete for a key",
        ),
        Edit(
            "attention/tiled-key-heads",
            "tiles the key heads where each should be repeated",
            GROUPS,
            "key, value = np.tile(key, (1, shared, 1, 1)), np.tile(value, (1, shared, 1, 1))",
            effect="query heads look at the wrong key heads",
            invisible_when="there is one key head, or one for each query head",
        ),
        Edit(
            "attention/first-key-head-for-all",
            "lets every query head look at key head 0",
            GROUPS,
            "key, value = (np.repeat(x[:, :1], heads, axis=1) for x in (key, value))",
            effect="all but the first group of heads are wrong",
            source="https://github.com/BobMcDear/attorch/issues/14",
            invisible_when="there is one key head",
        ),
        Edit(
            "attention/query-key-swapped",
            "exchanges queries and keys",
            "query @ np.swapaxes(key, -1, -2)",
            "key @ np.swapaxes(query, -1, -2)",
            effect="the scores are transposed",
            invisible_when="scores are symmetric; other numbers of queries and keys fail",
        ),
        Edit(
            "attention/mixes-keys",
            "mixes the keys instead of the values",
            "softmax(scores) @ value",
            "softmax(scores) @ key",
            effect="the values are never read",
            invisible_when="keys and values are the same",
        ),
        Edit(
            "attention/mask-ignored",
            "takes the bias and does not use it",
            "scores + bias",
            "scores",
            effect="padding and the future leak",
            source="https://github.com/sgl-project/sglang/pull/14364",
            invisible_when="nothing is masked",
        ),
        Edit(
            "attention/mask-after-softmax",
            "zeroes hidden weights after the softmax and does not normalise again",
            "scores = scores + bias\n    return softmax(scores) @ value",
            "keep = bias > -np.inf\n"
            "        return (softmax(scores + np.where(keep, bias, 0)) * keep) @ value\n"
            "    return softmax(scores) @ value",
            effect="weights sum to less than one",
            source="https://github.com/huggingface/pytorch-image-models/pull/2236",
            invisible_when="nothing is hidden; dividing by the new sum would make it right",
        ),
        Edit(
            "attention/mask-multiplied",
            "multiplies the scores by 1 and 0 instead of adding 0 and -inf",
            "scores + bias",
            "scores * (bias > -np.inf)",
            effect="a hidden key has score 0 and keeps a weight",
            source="https://github.com/georg-wolflein/good-features/pull/1",
            invisible_when="nothing is hidden",
        ),
        Edit(
            "attention/mask-of-ones-added",
            "adds 1 for a visible and 0 for a hidden key to the scores",
            "scores + bias",
            "scores + (bias > -np.inf)",
            effect="visible keys are favoured by a factor e, nothing is hidden",
            source="https://github.com/mlverse/torch/pull/1208",
            invisible_when="nothing is hidden",
        ),
        Edit(
            "attention/mask-subtracted",
            "subtracts the bias: hidden keys get +inf",
            "scores + bias",
            "scores - bias",
            effect="NaN wherever something is hidden",
            source="https://github.com/lucidrains/memory-compressed-attention/issues/2",
            invisible_when="there is no bias",
        ),
        Edit(
            "attention/mask-fill-tiny",
            "hides keys by -1e-9 where -1e9 was meant",
            "scores + bias",
            "scores + np.where(bias > -np.inf, bias, -1e-9)",
            effect="nothing is hidden",
            source="https://github.com/Shujun-He/RibonanzaNet/issues/5",
            invisible_when="nothing is masked",
        ),
        Edit(
            "attention/mask-before-scale",
            "adds the bias before the scores are divided by the root",
            "scores + bias",
            "scores + bias" + ROOT,
            effect="a finite bias is too weak",
            invisible_when="the bias is 0 and -inf alone",
        ),
        Edit(
            "attention/mask-transposed",
            "reads the bias as keys by queries",
            "scores + bias",
            "scores + np.swapaxes(np.broadcast_to(bias, scores.shape), -1, -2)",
            effect="a causal mask shows the future and hides the past",
            source="https://github.com/hyunwoongko/transformer/pull/40",
            invisible_when="the bias is symmetric; other numbers of queries and keys fail",
        ),
        Edit(
            "attention/mask-of-samples-on-heads",
            "lines the samples of the bias up with the heads",
            "scores + bias",
            "scores + np.swapaxes(np.broadcast_to(bias, scores.shape), 0, 1)",
            effect="a head of every sample gets the padding of one sample",
            source="https://github.com/ml-explore/mlx-lm/pull/1903",
            invisible_when="the batch is one; other numbers of samples and heads fail",
        ),
        Edit(
            "attention/clipped-scores",
            "clips the scores to ±10 before the softmax",
            "softmax(scores) @ value",
            "softmax(np.where(scores > -np.inf, np.clip(scores, -10, 10), scores)) @ value",
            effect="large scores cannot be told apart",
            invisible_when="scores are moderate",
        ),
        Edit(
            "attention/no-max-subtraction",
            "does not subtract the largest score before the exponential",
            SOFTMAX_END,
            UNSHIFTED_END,
            where="layers.softmax",
            effect="inf / inf = NaN once a score exceeds 88.7 in float32",
            source="https://github.com/pytorch/executorch/pull/18407",
            invisible_when="scores are moderate",
            otherwise=(UNSHIFTED_HIDDEN, UNSHIFTED_BARE),
        ),
        Edit(
            "attention/guarded-sum",
            "adds 1e-6 to the sum of the exponentials",
            SOFTMAX_TOTAL,
            SOFTMAX_TOTAL.replace("), 1)", ") + 1e-6, 1)"),
            where="layers.softmax",
            effect="weights sum to less than one",
        ),
    ),
    dialects=(
        Edit(
            "attention/mean-without-keys",
            "hides keys by the most negative finite number: JAX, Hugging Face eager",
            "scores + bias",
            "np.where(np.max(bias, axis=-1, keepdims=True) > -np.inf, scores + bias, 0)",
            effect="a query that sees no key gets the mean of all values, not zeros",
            source="https://github.com/microsoft/onnxruntime/pull/28958",
            invisible_when="every query sees a key",
        ),
        Edit(
            "attention/mask-of-ten-thousand",
            "hides keys by -10000: BERT, LAVIS, the prior of diffusers",
            "scores + bias",
            "scores + np.where(bias > -np.inf, bias, -1e4)",
            effect="a query that sees no key sees all; a score of 10000 shines through",
            source="https://github.com/huggingface/transformers/issues/10484",
            invisible_when="every query sees a key and scores are moderate",
        ),
        Edit(
            "attention/nan-without-keys",
            "divides by the sum as it is: a plain softmax",
            SOFTMAX_TOTAL,
            "np.sum(weights, axis=-1, keepdims=True)",
            where="layers.softmax",
            effect="a query that sees no key gets 0 / 0 = NaN",
            source="https://github.com/pytorch/pytorch/issues/103749",
            invisible_when="every query sees a key",
        ),
        Edit(
            "attention/extra-key-of-zeros",
            "gives every query one more key and value of zeros: `add_zero_attn` in torch",
            SOFTMAX_TOTAL,
            "np.sum(weights, axis=-1, keepdims=True) + np.exp(-top)",
            where="layers.softmax",
            effect="weights sum to less than one",
        ),
        Edit(
            "attention/soft-capped",
            "squashes the scores into ±50 by tanh: Gemma 2",
            "query @ np.swapaxes(key, -1, -2)" + ROOT,
            "50 * np.tanh(query @ np.swapaxes(key, -1, -2)" + ROOT + " / 50)",
            effect="large scores are closer together",
            source="https://github.com/onnx/onnx/pull/7867",
            invisible_when="scores are small",
        ),
    ),
)
