"""What is known about attention and its masks: laws, probes, mistakes and dialects."""

from dataclasses import replace

import numpy as np

from refimpl.constants import constant
from refimpl.op import Edit, Law, Op, Probe, values
from refimpl.ops.attention import reference as text
from refimpl.ops.layers.reference import linear, softmax

EXACT = ("float64", "float32")  # a mask holds nothing but 0 and -inf


def spread(bias, *shape):
    """A bias with all its axes, so that a law may cut it."""
    return np.zeros(shape) if bias is None else np.broadcast_to(bias, shape)


def full_bias(query, key, bias):
    return spread(bias, *query.shape[:3], key.shape[2])  # B H N M


def visible(bias):
    """1 for a query that sees a key, else 0."""
    return np.where(np.any(values(bias) > -np.inf, axis=-1), 1, 0)


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


def wave(*shape):
    return np.sin(np.arange(1.0, np.prod(shape) + 1)).reshape(shape)


def half_wave(*shape):
    return 0.5 * np.cos(np.arange(1.0, np.prod(shape) + 1)).reshape(shape)


def separated():
    """Four queries, four keys and a score of about ten where they match."""
    return {
        "query": 20 * np.eye(4)[None, None] + half_wave(1, 2, 4, 4),
        "key": np.eye(4)[None, None] + wave(1, 2, 4, 4),
        "value": 4 * wave(1, 2, 4, 4)[:, :, ::-1],
    }


def grouped_heads():
    return {
        "query": 3 * wave(2, 6, 3, 5),
        "key": 2 * half_wave(2, 3, 4, 5),
        "value": wave(2, 3, 4, 2),
        "bias": None,
    }


def samples_as_many_as_heads():
    return {
        "query": wave(2, 2, 3, 4),
        "key": half_wave(2, 1, 3, 4),
        "value": wave(2, 1, 3, 4)[:, :, ::-1],
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
    key = wave(1, 1, 3, 4)
    key[0, 0, 2] = 1e4
    return {
        "query": np.ones((1, 1, 2, 4)),
        "key": key,
        "value": half_wave(1, 1, 3, 2),
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


ROOT = " / np.sqrt(constant(E, query))"
SOFTMAX_TOP = "top = np.where(top > -np.inf, top, 0)"
SCALED_SCORES = (
    " / np.sqrt(constant(E, query))  # B H N M\n"
    "    if bias is not None:\n"
    "        scores = scores + bias\n"
    "    return softmax(scores) @ value"
)
SCALED_WEIGHTS = SCALED_SCORES.replace(" / np.sqrt(constant(E, query))", "").replace(
    "softmax(scores)", "softmax(scores) / np.sqrt(constant(E, query))"
)
SOFTMAX_END = (
    "weights = np.exp(z - top)\n"
    "    return weights / np.maximum(np.sum(weights, axis=-1, keepdims=True), 1)"
)
UNSHIFTED_END = (  # the sum may be less than one now, so that only an empty row needs a guard
    "weights = np.exp(z)\n"
    "    total = np.sum(weights, axis=-1, keepdims=True)\n"
    "    return weights / np.where(total > 0, total, 1)"
)
SOFTMAX_TOTAL = "np.maximum(np.sum(weights, axis=-1, keepdims=True), 1)"
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
        Law("a hidden key is as good as none", attention_hidden_key),
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
            "lets the keys ask and the queries answer",
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


def attention_vjp_equation(f, query, key, value, bias, grad):
    B, heads, _, E = query.shape
    shared = heads // key.shape[1]
    every = [np.repeat(x, shared, axis=1) for x in (key, value)]  # B H M E, F
    scores = query @ np.swapaxes(every[0], -1, -2) / np.sqrt(constant(E, query))
    weights = softmax(scores + full_bias(query, key, bias))  # B H N M
    towards = grad @ np.swapaxes(every[1], -1, -2)  # B H N M
    slopes = weights * towards
    slopes = slopes - weights * np.sum(slopes, axis=-1, keepdims=True)
    root = np.sqrt(constant(E, query))
    query_grad, key_grad, value_grad, scores_grad = f(query, key, value, bias, grad)
    yield scores_grad, slopes
    yield query_grad, slopes / root @ every[0]

    def of_groups(x):
        return np.sum(np.reshape(x, (B, heads // shared, shared, *x.shape[2:])), axis=2)

    yield key_grad, of_groups(np.swapaxes(slopes / root, -1, -2) @ query)
    yield value_grad, of_groups(np.swapaxes(weights, -1, -2) @ grad)


def attention_vjp_additive(f, query, key, value, bias, grad):
    other = grad[..., ::-1] / 4
    both = f(query, key, value, bias, grad + other)
    for whole, one, two in zip(
        both, f(query, key, value, bias, grad), f(query, key, value, bias, other), strict=True
    ):
        yield whole, one + two


def attention_vjp_of_shifted_scores(f, query, key, value, bias, grad):
    scores_grad = f(query, key, value, bias, grad)[3]
    yield np.sum(scores_grad, axis=-1), 0


def attention_vjp_of_shifted_keys(f, query, key, value, bias, grad):
    key_grad = f(query, key, value, bias, grad)[1]
    yield np.sum(key_grad, axis=2), 0


def attention_vjp_of_values(f, query, key, value, bias, grad):
    value_grad = f(query, key, value, bias, grad)[2]
    told = grad * text.attention(query, key, value, bias)
    yield np.sum(value * value_grad, axis=(1, 2, 3)), np.sum(told, axis=(1, 2, 3))


def attention_vjp_of_a_scale(f, query, key, value, bias, grad):
    query_grad, key_grad, _, _ = f(query, key, value, bias, grad)
    by_queries = np.sum(query * query_grad, axis=(1, 2, 3))
    yield by_queries, np.sum(key * key_grad, axis=(1, 2, 3))


def attention_vjp_repeated_heads(f, query, key, value, bias, grad):
    B, G, M, _ = key.shape
    shared = query.shape[1] // G
    every = np.repeat(key, shared, axis=1), np.repeat(value, shared, axis=1)
    apart, together = f(query, *every, bias, grad), f(query, key, value, bias, grad)
    for i in (1, 2):
        grouped = np.reshape(apart[i], (B, G, shared, M, apart[i].shape[3]))
        yield np.sum(grouped, axis=2), together[i]
    yield apart[0], together[0]


def attention_vjp_hidden_key(f, query, key, value, bias, grad):
    more = [np.concatenate([x, 3 * x[:, :, :1] + 5], axis=2) for x in (key, value)]
    old = full_bias(query, key, bias)
    hidden = np.concatenate([old, np.full((*old.shape[:3], 1), -np.inf)], axis=3)
    longer, shorter = f(query, *more, hidden, grad), f(query, key, value, bias, grad)
    yield longer[0], shorter[0]
    for i in (1, 2):
        yield longer[i][:, :, :-1], shorter[i]
        yield longer[i][:, :, -1], 0
    yield longer[3][..., -1], 0


def attention_vjp_keys_in_any_order(f, query, key, value, bias, grad):
    turned = full_bias(query, key, bias)[..., ::-1]
    there = f(query, key[:, :, ::-1], value[:, :, ::-1], turned, grad)
    back = f(query, key, value, bias, grad)
    yield there[0], back[0]
    yield there[1][:, :, ::-1], back[1]
    yield there[2][:, :, ::-1], back[2]
    yield there[3][..., ::-1], back[3]


def attention_vjp_one_query_at_a_time(f, query, key, value, bias, grad):
    rows = full_bias(query, key, bias)
    at_once = f(query, key, value, bias, grad)
    total = [0 * key, 0 * value]
    for n in range(query.shape[2]):
        row = slice(n, n + 1)
        one = f(query[:, :, row], key, value, rows[:, :, row], grad[:, :, row])
        yield one[0], at_once[0][:, :, row]
        yield one[3], at_once[3][:, :, row]
        total = [sum_ + part for sum_, part in zip(total, one[1:3], strict=True)]
    yield total[0], at_once[1]
    yield total[1], at_once[2]


def attention_vjp_of_equal_values(f, query, key, value, bias, grad):
    query_grad, key_grad, _, scores_grad = f(query, key, 0 * value + 3, bias, grad)
    yield query_grad, 0
    yield key_grad, 0
    yield scores_grad, 0


def with_more(probe, add):
    """The probe of an operation as one of its gradient."""
    return Probe(probe.says, lambda: add(probe.inputs()))


def with_grad(inputs):
    """The inputs of an attention with a gradient of its output that is like nothing in them."""
    shape = (*inputs["query"].shape[:3], inputs["value"].shape[3])
    return inputs | {"grad": (wave(*shape) + 2 * half_wave(*shape[::-1]).T)}


SCORES_GRAD = "weights * (weights_grad - average)"
KEY_GRAD = "np.sum(np.swapaxes(scores_grad, -1, -2) @ query, axis=2) / root"
SPREAD_BIAS = "np.reshape(np.broadcast_to(bias, (B, heads, N, M)), scores.shape)"

ATTENTION_VJP = Op(
    text.attention_vjp,
    laws=(
        Law("equals the Jacobian of the softmax applied by itself", attention_vjp_equation),
        Law("gradients of sums are sums of gradients", attention_vjp_additive),
        Law(
            "scores gain nothing by a common shift: rows sum to zero",
            attention_vjp_of_shifted_scores,
        ),
        Law("keys gain nothing by a common shift", attention_vjp_of_shifted_keys),
        Law("values times their gradient are the output times its own", attention_vjp_of_values),
        Law("queries and keys gain the same by growing", attention_vjp_of_a_scale),
        Law("shared key heads gain what repeated ones gain together", attention_vjp_repeated_heads),
        Law("a hidden key has gradient zero and disturbs nobody", attention_vjp_hidden_key),
        Law(
            "permuting keys with their values permutes their gradients",
            attention_vjp_keys_in_any_order,
        ),
        Law(
            "keys gain the sum over queries taken one at a time", attention_vjp_one_query_at_a_time
        ),
        Law("among equal values it does not matter who is seen", attention_vjp_of_equal_values),
    ),
    probes=tuple(with_more(probe, with_grad) for probe in ATTENTION.probes),
    mistakes=(
        Edit(
            "attention_vjp/no-average",
            "forgets to subtract the row's average, the δ of FlashAttention",
            SCORES_GRAD,
            "weights * weights_grad",
            effect="all scores of a row rise or fall together; training diverges slowly",
            invisible_when="the output is orthogonal to its gradient",
        ),
        Edit(
            "attention_vjp/plain-average",
            "subtracts the plain mean over the keys instead of the weighted one",
            SCORES_GRAD,
            "weights * (weights_grad - np.mean(weights_grad, axis=-1, keepdims=True))",
            effect="rows do not sum to zero",
            invisible_when="all weights are equal",
        ),
        Edit(
            "attention_vjp/average-over-the-head",
            "adds the averages of all queries of a head up",
            "axis=-1, keepdims=True)",
            "axis=(-2, -1), keepdims=True)",
            effect="queries see each other in the backward pass",
            invisible_when="there is one query",
        ),
        Edit(
            "attention_vjp/softmax-as-sigmoid",
            "takes only the diagonal of the softmax's Jacobian",
            SCORES_GRAD,
            "weights * (1 - weights) * weights_grad",
            effect="a key's score is not told what the others are worth",
        ),
        Edit(
            "attention_vjp/not-through-softmax",
            "hands the gradient of the weights to the scores as it is",
            SCORES_GRAD,
            "weights_grad - average",
            effect="hidden keys receive gradients",
        ),
        Edit(
            "attention_vjp/query-not-scaled",
            "forgets the root of the head width in the gradient of the queries",
            "scores_grad @ key / root",
            "scores_grad @ key",
            effect="queries learn faster than keys by the root of the head width",
            invisible_when="heads are 1 wide",
        ),
        Edit(
            "attention_vjp/key-not-scaled",
            "forgets the root of the head width in the gradient of the keys",
            KEY_GRAD,
            KEY_GRAD.removesuffix(" / root"),
            effect="keys learn faster than queries by the root of the head width",
            invisible_when="heads are 1 wide",
        ),
        Edit(
            "attention_vjp/key-scaled-twice",
            "multiplies scaled scores' gradient by the scaled query",
            KEY_GRAD,
            KEY_GRAD + " / root",
            effect="keys hardly learn",
            invisible_when="heads are 1 wide",
        ),
        Edit(
            "attention_vjp/bias-scaled-too",
            "returns the gradient of the scores before they are divided by the root",
            "np.reshape(scores_grad, (B, heads, N, M))",
            "np.reshape(scores_grad / root, (B, heads, N, M))",
            effect="a learned bias learns too slowly",
            invisible_when="heads are 1 wide, or the bias is not learned",
        ),
        Edit(
            "attention_vjp/key-not-transposed",
            "multiplies the queries by the scores' gradient without transposing it",
            KEY_GRAD,
            "np.sum(scores_grad @ query, axis=2) / root",
            effect="keys get the gradients of other keys",
            invisible_when="that gradient is symmetric; other numbers of queries and keys fail",
        ),
        Edit(
            "attention_vjp/value-not-transposed",
            "mixes the gradients as the values were mixed, without transposing the weights",
            "np.swapaxes(weights, -1, -2) @ grad",
            "weights @ grad",
            effect="values get the gradients of other values",
            invisible_when="weights are symmetric; other numbers of queries and keys fail",
        ),
        Edit(
            "attention_vjp/one-head-of-the-group",
            "keeps the keys' gradient of the group's last head instead of the sum",
            KEY_GRAD,
            "(np.swapaxes(scores_grad, -1, -2) @ query)[:, :, -1] / root",
            effect="heads overwrite each other's gradient of the keys they share",
            invisible_when="every query head has a key head of its own",
        ),
        Edit(
            "attention_vjp/mean-of-the-group",
            "averages the values' gradient over the heads that share them",
            "value_grad = np.sum",
            "value_grad = np.mean",
            effect="shared values learn too slowly",
            invisible_when="every query head has a key head of its own",
        ),
        Edit(
            "attention_vjp/tiled-key-heads",
            "lets query head h look at key head h modulo G",
            "query = np.reshape(query, (B, G, heads // G, N, E))",
            "query = np.swapaxes(np.reshape(query, (B, heads // G, G, N, E)), 1, 2)",
            effect="gradients go to the wrong key heads",
            invisible_when="there is one key head, or one for each query head",
        ),
        Edit(
            "attention_vjp/mask-ignored",
            "makes the weights again without the bias",
            "scores + " + SPREAD_BIAS,
            "scores",
            effect="gradients flow to padding and to the future",
            invisible_when="nothing is masked",
        ),
        Edit(
            "attention_vjp/value-by-scores",
            "sends the values the gradient of the scores' path",
            "np.swapaxes(weights, -1, -2) @ grad",
            "np.swapaxes(scores_grad, -1, -2) @ grad",
            effect="values learn nothing in the mean",
        ),
        Edit(
            "attention_vjp/saved-scores-without-maximum",
            "makes the weights again from exponentials without the row's maximum",
            SOFTMAX_END,
            UNSHIFTED_END,
            where="layers.softmax",
            effect="inf / inf = NaN once a score exceeds 88.7 in float32",
            source="https://github.com/pytorch/executorch/pull/18407",
            invisible_when="scores are moderate",
        ),
    ),
    dialects=(
        Edit(
            "attention_vjp/mean-without-keys",
            "adds the most negative finite number to hidden scores: Hugging Face eager",
            SOFTMAX_TOP,
            "z, top = np.where(top > -np.inf, z, 0), np.where(top > -np.inf, top, 0)",
            where="layers.softmax",
            effect="a query that sees no key passes gradients to all keys and values",
            source="https://github.com/microsoft/onnxruntime/pull/28958",
            invisible_when="every query sees a key",
        ),
        Edit(
            "attention_vjp/mean-and-no-score-without-keys",
            "puts the most negative finite number in place of hidden scores: JAX",
            SOFTMAX_TOP,
            "z, top = np.where(top > -np.inf, z, 0), np.where(top > -np.inf, top, 0)",
            where="layers.softmax",
            effect="a query that sees no key passes gradients to all values",
            source="https://github.com/jax-ml/jax/blob/main/jax/_src/nn/functions.py",
            invisible_when="every query sees a key",
            also=(
                (
                    "attention.attention_vjp",
                    "weights * (weights_grad - average)",
                    "np.where(scores > -np.inf, weights * (weights_grad - average), 0)",
                ),
            ),
        ),
        Edit(
            "attention_vjp/nan-without-keys",
            "divides by the sum as it is: a plain softmax",
            SOFTMAX_TOTAL,
            "np.sum(weights, axis=-1, keepdims=True)",
            where="layers.softmax",
            effect="one query that sees no key makes all gradients of its head NaN",
            source="https://github.com/pytorch/pytorch/issues/103749",
            invisible_when="every query sees a key",
        ),
    ),
    outputs=("query_grad", "key_grad", "value_grad", "bias_grad"),
)


def tokens_bias(x, memory, heads, bias):
    return spread(bias, x.shape[0], heads, x.shape[1], memory.shape[1])  # B H N M


def mha_equation(f, x, memory, in_weight, in_bias, out_weight, out_bias, heads, bias):
    D = x.shape[-1]
    E = D // heads
    rows = tokens_bias(x, memory, heads, bias)
    y = 0 * x if out_bias is None else 0 * x + out_bias  # B N D
    for h in range(heads):
        own = [slice(block * D + h * E, block * D + (h + 1) * E) for block in range(3)]
        projected = [
            linear(tokens, in_weight[part], None if in_bias is None else in_bias[part])
            for tokens, part in zip((x, memory, memory), own)
        ]
        head = text.attention(*(p[:, None] for p in projected), rows[:, h : h + 1])  # B 1 N E
        y = y + head[:, 0] @ out_weight[:, own[0]].T
    yield f(x, memory, in_weight, in_bias, out_weight, out_bias, heads, bias), y


def mha_heads_in_any_order(f, x, memory, in_weight, in_bias, out_weight, out_bias, heads, bias):
    D = x.shape[-1]
    order = np.arange(D).reshape(heads, D // heads)[::-1].ravel()
    packed = np.concatenate([order, D + order, 2 * D + order])
    turned = (
        in_weight[packed],
        None if in_bias is None else in_bias[packed],
        out_weight[:, order],
        out_bias,
        heads,
        tokens_bias(x, memory, heads, bias)[:, ::-1],
    )
    straight = f(x, memory, in_weight, in_bias, out_weight, out_bias, heads, bias)
    yield f(x, memory, *turned), straight


def mha_memory_in_any_order(f, x, memory, in_weight, in_bias, out_weight, out_bias, heads, bias):
    weights = in_weight, in_bias, out_weight, out_bias, heads
    turned = tokens_bias(x, memory, heads, bias)[..., ::-1]
    yield f(x, memory[:, ::-1], *weights, turned), f(x, memory, *weights, bias)


def mha_one_token_at_a_time(f, x, memory, in_weight, in_bias, out_weight, out_bias, heads, bias):
    weights = in_weight, in_bias, out_weight, out_bias, heads
    at_once = f(x, memory, *weights, bias)
    rows = tokens_bias(x, memory, heads, bias)
    for n in range(x.shape[1]):
        one = slice(n, n + 1)
        yield f(x[:, one], memory, *weights, rows[:, :, one]), at_once[:, one]


def mha_key_bias(f, x, memory, in_weight, in_bias, out_weight, out_bias, heads, bias):
    if in_bias is None:
        return
    b_q, b_k, b_v = np.split(in_bias, 3)
    without = np.concatenate([b_q, 0 * b_k, b_v])
    weights = out_weight, out_bias, heads, bias
    yield f(x, memory, in_weight, without, *weights), f(x, memory, in_weight, in_bias, *weights)


def mha_value_bias(f, x, memory, in_weight, in_bias, out_weight, out_bias, heads, bias):
    seen = visible(tokens_bias(x, memory, heads, bias))
    if in_bias is None or not np.all(seen):
        return
    b_q, b_k, b_v = np.split(in_bias, 3)
    without = np.concatenate([b_q, b_k, 0 * b_v])
    weights = out_weight, out_bias, heads, bias
    through = f(x, memory, in_weight, without, *weights) + linear(b_v[None], out_weight, None)
    yield f(x, memory, in_weight, in_bias, *weights), through


def mha_of_one_memory(f, x, memory, in_weight, in_bias, out_weight, out_bias, heads, bias):
    D = x.shape[-1]
    one = memory[:, :1]
    b_v = None if in_bias is None else in_bias[2 * D :]
    told = linear(linear(one, in_weight[2 * D :], b_v), out_weight, out_bias)  # B 1 D
    weights = in_weight, in_bias, out_weight, out_bias, heads
    yield f(x, one, *weights, None), np.repeat(told, x.shape[1], axis=1)


def mha_causal(f, x, memory, in_weight, in_bias, out_weight, out_bias, heads, bias):
    N = x.shape[1]
    weights = in_weight, in_bias, out_weight, out_bias, heads
    full = f(x, x, *weights, text.causal_bias(N, N))
    for n in range(1, N):
        yield f(x[:, :n], x[:, :n], *weights, text.causal_bias(n, n)), full[:, :n]
        cached = text.causal_bias_lower_right(N - n, N)
        yield f(x[:, n:], x, *weights, cached), full[:, n:]


def small_waves(**changes):
    """Three tokens, two heads of width two."""
    x = wave(1, 3, 4)
    return {
        "x": x,
        "memory": x,
        "in_weight": half_wave(12, 4),
        "in_bias": 0.1 * wave(12),
        "out_weight": half_wave(4, 4),
        "out_bias": 0.1 * wave(4),
        "heads": 2,
        "bias": None,
    } | changes


def two_samples():
    """As many queries as keys, six wide, three heads: every confusion of axes shows."""
    return {
        "x": 2 * wave(2, 5, 6),
        "memory": 2 * half_wave(2, 5, 6),
        "in_weight": wave(18, 6)[::-1],
        "in_bias": half_wave(18),
        "out_weight": wave(6, 6) + half_wave(6, 6).T,
        "out_bias": half_wave(6),
        "heads": 3,
        "bias": None,
    }


IN_SPLIT = (
    "b_q, b_k, b_v = (None,) * 3 if in_bias is None else np.split(in_bias, 3)\n"
    "    w_q, w_k, w_v = np.split"
)
MASK_DIALECTS = tuple(
    replace(
        edit,
        id=edit.id.replace("attention/", "multi_head_attention/"),
        where=edit.where or "attention",
    )
    for edit in ATTENTION.dialects[:4]
)

MULTI_HEAD_ATTENTION = Op(
    text.multi_head_attention,
    laws=(
        Law("is the sum of each head's own projection", mha_equation),
        Law("reordering the heads changes nothing", mha_heads_in_any_order),
        Law("permuting the memory changes nothing", mha_memory_in_any_order),
        Law("tokens that ask do not see each other", mha_one_token_at_a_time),
        Law("a bias of the keys changes nothing", mha_key_bias),
        Law("a bias of the values goes straight through", mha_value_bias),
        Law("a memory of one token tells every query the same", mha_of_one_memory),
        Law("causal: later tokens change nothing, cached tokens serve", mha_causal),
    ),
    probes=(
        Probe("three tokens, two heads", small_waves),
        Probe(
            "three tokens, two heads, causal",
            lambda: small_waves(bias=text.causal_bias(3, 3)),
        ),
        Probe("as many queries as keys, three heads", two_samples),
        Probe(
            "two samples, one padded and one that is nothing but padding",
            lambda: two_samples() | {"bias": text.padding_bias(np.array([3, 0]), 5)},
        ),
    ),
    mistakes=(
        Edit(
            "multi_head_attention/packed-kqv",
            "reads the packed projections as keys, queries, values",
            IN_SPLIT,
            IN_SPLIT.replace("b_q, b_k", "b_k, b_q").replace("w_q, w_k", "w_k, w_q"),
            effect="wrong with given weights; a model trained that way hides it",
            source="https://github.com/jsbaan/transformer-from-scratch/issues/1",
            invisible_when="queries and keys have the same weights, or scores are symmetric",
        ),
        Edit(
            "multi_head_attention/packed-qvk",
            "reads the packed projections as queries, values, keys",
            IN_SPLIT,
            IN_SPLIT.replace("b_k, b_v", "b_v, b_k").replace("w_k, w_v", "w_v, w_k"),
            effect="wrong with given weights",
            source="https://github.com/jsbaan/transformer-from-scratch/issues/1",
            invisible_when="keys and values have the same weights",
        ),
        Edit(
            "multi_head_attention/weights-not-transposed",
            "multiplies by the weights as stored, (out, in), without transposing",
            "y = x @ weight.T",
            "y = x @ weight",
            where="layers.linear",
            effect="wrong features; square weights raise nothing",
            source="https://github.com/mindspore-lab/mindone/pull/399",
            invisible_when="weights are symmetric",
        ),
        Edit(
            "multi_head_attention/out-weight-transposed",
            "transposes the output projection",
            "linear(mixed, out_weight, out_bias)",
            "linear(mixed, out_weight.T, out_bias)",
            effect="wrong mix of the heads",
            invisible_when="the output weights are symmetric",
        ),
        Edit(
            "multi_head_attention/no-out-projection",
            "returns the heads side by side, without the output projection",
            "linear(mixed, out_weight, out_bias)",
            "mixed",
            effect="heads are not mixed",
            invisible_when="the output weights are the identity and there is no output bias",
        ),
        Edit(
            "multi_head_attention/no-out-bias",
            "does not add the output bias",
            "linear(mixed, out_weight, out_bias)",
            "linear(mixed, out_weight, None)",
            effect="a constant offset of every token",
            invisible_when="the bias is None or 0",
        ),
        Edit(
            "multi_head_attention/no-in-bias",
            "does not add the biases of queries and values",
            "(None,) * 3 if in_bias is None else np.split(in_bias, 3)",
            "(None,) * 3",
            effect="wrong with given weights",
            invisible_when="the bias is None or 0, or belongs to the keys alone",
        ),
        Edit(
            "multi_head_attention/activation-after-projection",
            "applies a ReLU to the output",
            "linear(mixed, out_weight, out_bias)",
            "np.maximum(linear(mixed, out_weight, out_bias), 0)",
            effect="negative outputs are zero",
            source="https://github.com/Kyubyong/transformer/pull/17",
            invisible_when="all outputs are positive",
        ),
        Edit(
            "multi_head_attention/residual-inside",
            "adds the input to the output",
            "linear(mixed, out_weight, out_bias)",
            "linear(mixed, out_weight, out_bias) + x",
            effect="a block that adds the residual itself has it twice",
            invisible_when="the input is 0",
        ),
        Edit(
            "multi_head_attention/interleaved-heads",
            "deals the width out to the heads in turn: column j belongs to head j modulo H",
            "np.swapaxes(np.reshape(x, (B, N, heads, D // heads)), 1, 2)",
            "np.moveaxis(np.reshape(x, (B, N, D // heads, heads)), 3, 1)",
            where="split_heads",
            effect="the wrong features form a head",
            invisible_when="there is one head, or heads are 1 wide",
        ),
        Edit(
            "multi_head_attention/split-without-transposing",
            "reshapes straight to B H N E",
            "np.swapaxes(np.reshape(x, (B, N, heads, D // heads)), 1, 2)",
            "np.reshape(x, (B, heads, N, D // heads))",
            where="split_heads",
            effect="a head is a block of tokens",
            source="https://github.com/reczoo/FuxiCTR/issues/30",
            invisible_when="there is one head, or one token",
        ),
        Edit(
            "multi_head_attention/merged-without-transposing",
            "reshapes B H N E straight to B N D",
            "np.swapaxes(mixed, 1, 2)",
            "mixed",
            effect="a token gets pieces of other tokens",
            invisible_when="there is one head, or one token",
        ),
        Edit(
            "multi_head_attention/heads-and-width-swapped",
            "takes the number of heads for the width of a head",
            "(B, N, heads, D // heads)",
            "(B, N, D // heads, heads)",
            where="split_heads",
            effect="another number of heads, and another scale",
            source="https://github.com/huggingface/diffusers/issues/2011",
            invisible_when="there are as many heads as a head is wide",
        ),
        Edit(
            "multi_head_attention/one-head",
            "ignores the number of heads",
            "(B, N, heads, D // heads)",
            "(B, N, 1, D)",
            where="split_heads",
            effect="one set of weights for all features",
            invisible_when="there is one head",
        ),
        Edit(
            "multi_head_attention/over-the-batch",
            "takes the batch for the sequence: tokens look across samples",
            "attention(query, key, value, bias)",
            "attention(*(np.swapaxes(z, 0, 2) for z in (query, key, value)), None)\n"
            "    mixed = np.swapaxes(mixed, 0, 2)",
            effect="samples depend on each other; a batch of one gets its own values",
            source="https://github.com/om-ai-lab/OmDet/issues/19",
            invisible_when="the batch is one token of one sample",
        ),
        Edit(
            "multi_head_attention/memory-ignored",
            "takes keys and values from the queries' tokens",
            "D = x.shape[-1]",
            "D, memory = x.shape[-1], x",
            effect="cross-attention becomes self-attention",
            invisible_when="the memory is x",
        ),
        Edit(
            "multi_head_attention/values-from-queries",
            "takes the values from the queries' tokens",
            "linear(memory, w_v, b_v)",
            "linear(x, w_v, b_v)",
            effect="weights of one sequence mix another",
            invisible_when="the memory is x; other numbers of queries and keys fail",
        ),
        Edit(
            "multi_head_attention/mask-ignored",
            "takes the bias and does not use it",
            "attention(query, key, value, bias)",
            "attention(query, key, value, None)",
            effect="padding and the future leak",
            source="https://github.com/keras-team/keras/issues/23038",
            invisible_when="nothing is masked",
        ),
        Edit(
            "multi_head_attention/scale-by-model-width",
            "divides the scores by the root of the model's width, not of the head's",
            "constant(E, query)",
            "constant(E * heads, query)",
            where="attention",
            effect="weights too flat, outputs drift towards the mean of the values",
            source="https://github.com/lucidrains/vit-pytorch/issues/65",
            invisible_when="there is one head",
        ),
        Edit(
            "multi_head_attention/no-scale",
            "does not divide the scores by the root of the head width",
            ROOT,
            "",
            where="attention",
            effect="weights too sharp",
            invisible_when="heads are 1 wide",
        ),
        Edit(
            "multi_head_attention/scale-twice",
            "divides the scores by the head width: scaled twice, or the root forgotten",
            "np.sqrt(constant(E, query))",
            "constant(E, query)",
            where="attention",
            effect="weights too flat",
            invisible_when="heads are 1 wide",
        ),
        Edit(
            "multi_head_attention/softmax-over-queries",
            "normalises over the queries instead of the keys",
            "softmax(scores) @ value",
            "np.swapaxes(softmax(np.swapaxes(scores, -1, -2)), -1, -2) @ value",
            where="attention",
            effect="the weights of a key sum to one, those of a query do not",
            source="https://github.com/labmlai/annotated_deep_learning_paper_implementations/"
            "issues/146",
        ),
    ),
    dialects=(
        Edit(
            "multi_head_attention/packed-by-head",
            "reads the packed rows head by head, q, k and v of each: GPT-NeoX, BLOOM, ADM legacy",
            IN_SPLIT + "(in_weight, 3)",
            "own = np.swapaxes(np.arange(3 * D).reshape(heads, 3, D // heads), 0, 1).ravel()\n    "
            + IN_SPLIT.replace("in_bias, 3", "in_bias[own], 3")
            + "(in_weight[own], 3)",
            effect="q, k and v are mixed up with weights packed as q | k | v",
            source="https://github.com/vllm-project/vllm/issues/42803",
            invisible_when="there is one head",
        ),
        *MASK_DIALECTS,
    ),
)


def mha_vjp_equation(f, x, memory, in_weight, in_bias, out_weight, heads, bias, grad):
    D = x.shape[-1]
    E = D // heads
    rows = tokens_bias(x, memory, heads, bias)
    x_grad, memory_grad = 0 * x, 0 * memory
    pieces: list[list] = [[], [], []]
    out_weight_grads = []
    for h in range(heads):
        own = [slice(block * D + h * E, block * D + (h + 1) * E) for block in range(3)]
        projected = [
            linear(tokens, in_weight[part], None if in_bias is None else in_bias[part])[:, None]
            for tokens, part in zip((x, memory, memory), own)
        ]
        head = text.attention(*projected, rows[:, h : h + 1])[:, 0]  # B N E
        head_grad = grad @ out_weight[:, own[0]]  # B N E
        inner = text.attention_vjp(*projected, rows[:, h : h + 1], head_grad[:, None])
        slopes = [inner[i][:, 0] for i in range(3)]
        x_grad = x_grad + slopes[0] @ in_weight[own[0]]
        for i in (1, 2):
            memory_grad = memory_grad + slopes[i] @ in_weight[own[i]]
        for piece, slope, tokens in zip(pieces, slopes, (x, memory, memory)):
            piece.append(np.sum(np.swapaxes(slope, 1, 2) @ tokens, axis=0))
        out_weight_grads.append(np.sum(np.swapaxes(grad, 1, 2) @ head, axis=0))
    result = f(x, memory, in_weight, in_bias, out_weight, heads, bias, grad)
    yield result[0], x_grad
    yield result[1], memory_grad
    yield result[2], np.concatenate([part for piece in pieces for part in piece])
    yield result[4], np.concatenate(out_weight_grads, axis=1)
    yield result[5], np.sum(grad, axis=(0, 1))


def mha_vjp_additive(f, x, memory, in_weight, in_bias, out_weight, heads, bias, grad):
    weights = in_weight, in_bias, out_weight, heads, bias
    other = grad[:, ::-1] / 2
    whole = f(x, memory, *weights, grad + other)
    one, two = f(x, memory, *weights, grad), f(x, memory, *weights, other)
    for i in range(6):
        yield whole[i], one[i] + two[i]


def mha_vjp_key_bias(f, x, memory, in_weight, in_bias, out_weight, heads, bias, grad):
    D = x.shape[-1]
    in_bias_grad = f(x, memory, in_weight, in_bias, out_weight, heads, bias, grad)[3]
    yield in_bias_grad[D : 2 * D], 0


def mha_vjp_value_bias(f, x, memory, in_weight, in_bias, out_weight, heads, bias, grad):
    if np.all(visible(tokens_bias(x, memory, heads, bias))):
        D = x.shape[-1]
        in_bias_grad = f(x, memory, in_weight, in_bias, out_weight, heads, bias, grad)[3]
        yield in_bias_grad[2 * D :], np.sum(grad @ out_weight, axis=(0, 1))


def mha_vjp_of_values(f, x, memory, in_weight, in_bias, out_weight, heads, bias, grad):
    D = x.shape[-1]
    grads = f(x, memory, in_weight, in_bias, out_weight, heads, bias, grad)
    by_values = np.sum(in_weight[2 * D :] * grads[2][2 * D :])
    if in_bias is not None:
        by_values = by_values + np.sum(in_bias[2 * D :] * grads[3][2 * D :])
    yield by_values, np.sum(out_weight * grads[4])


def mha_vjp_heads_in_any_order(f, x, memory, in_weight, in_bias, out_weight, heads, bias, grad):
    D = x.shape[-1]
    order = np.arange(D).reshape(heads, D // heads)[::-1].ravel()
    packed = np.concatenate([order, D + order, 2 * D + order])
    rows = tokens_bias(x, memory, heads, bias)[:, ::-1]
    turned = None if in_bias is None else in_bias[packed]
    there = f(x, memory, in_weight[packed], turned, out_weight[:, order], heads, rows, grad)
    back = f(x, memory, in_weight, in_bias, out_weight, heads, bias, grad)
    yield there[0], back[0]
    yield there[1], back[1]
    yield there[2], back[2][packed]
    yield there[3], back[3][packed]
    yield there[4], back[4][:, order]


def mha_vjp_memory_in_any_order(f, x, memory, in_weight, in_bias, out_weight, heads, bias, grad):
    weights = in_weight, in_bias, out_weight, heads
    turned = tokens_bias(x, memory, heads, bias)[..., ::-1]
    there = f(x, memory[:, ::-1], *weights, turned, grad)
    back = f(x, memory, *weights, bias, grad)
    yield there[1][:, ::-1], back[1]
    for i in (0, 2, 3, 4):
        yield there[i], back[i]


def mha_vjp_batch_adds_up(f, x, memory, in_weight, in_bias, out_weight, heads, bias, grad):
    weights = in_weight, in_bias, out_weight, heads
    rows = tokens_bias(x, memory, heads, bias)
    whole = f(x, memory, *weights, bias, grad)
    first, rest = (
        f(x[part], memory[part], *weights, rows[part], grad[part])
        for part in (slice(1), slice(1, None))
    )
    for i in (0, 1):
        yield np.concatenate([first[i], rest[i]]), whole[i]
    for i in (2, 3, 4, 5):
        yield first[i] + rest[i], whole[i]


def tokens_with_grad(inputs):
    """The inputs of the forward operation, and a gradient of its output."""
    x = inputs["x"]
    kept = {name: value for name, value in inputs.items() if name != "out_bias"}
    return kept | {"grad": wave(*x.shape)[..., ::-1] + half_wave(*x.shape)}


OF_MEMORY = "by_keys + by_values"
PROJECTED = "in_weight_grad = np.concatenate([w_q_grad, w_k_grad, w_v_grad])"

MULTI_HEAD_ATTENTION_VJP = Op(
    text.multi_head_attention_vjp,
    laws=(
        Law("is the sum of each head's own gradients", mha_vjp_equation),
        Law("gradients of sums are sums of gradients", mha_vjp_additive),
        Law("the bias of the keys gains nothing", mha_vjp_key_bias),
        Law("the bias of the values gains what passes the output projection", mha_vjp_value_bias),
        Law("projections of values and of outputs gain the same by growing", mha_vjp_of_values),
        Law("reordering the heads reorders their gradients", mha_vjp_heads_in_any_order),
        Law("permuting the memory permutes its gradients", mha_vjp_memory_in_any_order),
        Law("weights gain the sum over samples, each by itself", mha_vjp_batch_adds_up),
    ),
    probes=tuple(with_more(probe, tokens_with_grad) for probe in MULTI_HEAD_ATTENTION.probes),
    mistakes=(
        Edit(
            "multi_head_attention_vjp/values-path-forgotten",
            "gives the memory what comes through the keys alone",
            OF_MEMORY,
            "by_keys",
            effect="tokens do not learn what they tell",
        ),
        Edit(
            "multi_head_attention_vjp/keys-path-forgotten",
            "gives the memory what comes through the values alone",
            OF_MEMORY,
            "by_values",
            effect="tokens do not learn to be found",
            invisible_when="there is one token of memory, or all values are equal",
        ),
        Edit(
            "multi_head_attention_vjp/packed-kqv",
            "packs the weights' gradients as keys, queries, values",
            PROJECTED,
            PROJECTED.replace("w_q_grad, w_k_grad", "w_k_grad, w_q_grad"),
            effect="queries are updated by the keys' gradient",
        ),
        Edit(
            "multi_head_attention_vjp/out-weight-transposed",
            "transposes the gradient of the output projection",
            "in_bias_grad, out_weight_grad, out_bias_grad",
            "in_bias_grad, out_weight_grad.T, out_bias_grad",
            effect="a square weight takes it without complaint",
            invisible_when="that gradient is symmetric",
        ),
        Edit(
            "multi_head_attention_vjp/out-projection-not-transposed",
            "sends the gradient back through the output weights as they are applied",
            "linear_vjp(mixed, out_weight, grad)",
            "linear_vjp(mixed, out_weight.T, grad)",
            effect="the heads get a gradient of nothing",
            invisible_when="the output weights are symmetric",
        ),
        Edit(
            "multi_head_attention_vjp/weights-not-transposed",
            "sends the queries' gradient back through transposed weights",
            "linear_vjp(x, w_q, query_grad)",
            "linear_vjp(x, w_q.T, query_grad)",
            effect="tokens get a gradient of nothing",
            invisible_when="the weights are symmetric",
        ),
        Edit(
            "multi_head_attention_vjp/weights-of-x",
            "multiplies the keys' gradient by the tokens that ask, not by the memory",
            "linear_vjp(memory, w_k, key_grad)",
            "linear_vjp(x, w_k, key_grad)",
            effect="cross-attention learns wrong keys, or the shapes fail",
            invisible_when="the memory is x itself",
        ),
        Edit(
            "multi_head_attention_vjp/bias-averaged",
            "averages the output bias's gradient over the tokens",
            "out_weight_grad, out_bias_grad\n",
            "out_weight_grad, out_bias_grad / x.shape[1]\n",
            effect="the bias hardly learns",
            invisible_when="there is one token",
        ),
        Edit(
            "multi_head_attention_vjp/no-average",
            "forgets to subtract the row's average, the δ of FlashAttention",
            SCORES_GRAD,
            "weights * weights_grad",
            where="attention_vjp",
            effect="all scores of a row rise or fall together",
        ),
        Edit(
            "multi_head_attention_vjp/mask-ignored",
            "makes the weights again without the bias",
            "scores + " + SPREAD_BIAS,
            "scores",
            where="attention_vjp",
            effect="gradients flow to padding and to the future",
            invisible_when="nothing is masked",
        ),
    ),
    dialects=tuple(
        replace(
            edit,
            id=edit.id.replace("attention_vjp/", "multi_head_attention_vjp/"),
            where=edit.where or "attention_vjp",
        )
        for edit in ATTENTION_VJP.dialects
    ),
    outputs=(
        "x_grad",
        "memory_grad",
        "in_weight_grad",
        "in_bias_grad",
        "out_weight_grad",
        "out_bias_grad",
    ),
)


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


MASK = "0.0, -np.inf)"

CAUSAL_BIAS = Op(
    text.causal_bias,
    laws=(
        Law("is 0 on and below the diagonal and -inf above", causal_equation),
        Law("query i sees i + 1 keys", causal_counts),
        Law("is the corner of a larger one", causal_grows),
        Law("attention to squares gives their running means", causal_running_means),
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
            effect="query 0 sees nothing",
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
            "gives 1 for visible and 0 for hidden, to be added all the same",
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
        Edit(
            "causal_bias/finite",
            "hides by the most negative float32: LDM, Flamingo, Hugging Face",
            MASK,
            "0.0, float(np.finfo(np.float32).min))",
            effect="two such masks add up to -inf; a query without keys gets the mean",
            source="https://github.com/huggingface/transformers/issues/18797",
        ),
        Edit(
            "causal_bias/ten-thousand",
            "hides by -10000: BERT, LAVIS, the prior of diffusers",
            MASK,
            "0.0, -1e4)",
            effect="a score of 10000 shines through",
            source="https://github.com/huggingface/transformers/issues/10484",
        ),
    ),
    precisions=EXACT,
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
        Law("turned by half a circle it is a transposed causal mask", lower_right_turned),
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
            effect="a step of decoding sees key 0 alone",
            source="https://github.com/pytorch/pytorch/issues/103082",
            invisible_when="there are as many queries as keys",
        ),
        Edit(
            "causal_bias_lower_right/sign-of-offset",
            "moves the diagonal the wrong way",
            "keys - queries",
            "queries - keys",
            effect="a step of decoding sees nothing",
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
    dialects=(
        Edit(
            "causal_bias_lower_right/finite",
            "hides by the most negative float32: LDM, Flamingo, Hugging Face",
            MASK,
            "0.0, float(np.finfo(np.float32).min))",
            effect="two such masks add up to -inf; a query without keys gets the mean",
            source="https://github.com/huggingface/transformers/issues/18797",
        ),
    ),
    precisions=EXACT,
)


def padding_equation(f, lengths, keys):
    for b, length in enumerate(lengths):
        row = np.concatenate([np.zeros(length), np.full(keys - length, -np.inf)])
        yield f(lengths, keys)[b, 0, 0], row


def padding_counts(f, lengths, keys):
    yield np.sum(np.exp(f(lengths, keys)), axis=(1, 2, 3)), lengths


def padding_of_none(f, lengths, keys):
    yield f(0 * lengths + keys, keys), np.zeros((len(lengths), 1, 1, keys))


def padding_cut_away(f, lengths, keys):
    told = np.broadcast_to(np.square(np.arange(keys))[:, None], (len(lengths), 1, keys, 1))
    asked = np.zeros((len(lengths), 1, 1, 1))
    mixed = text.attention(asked, 0.0 * told, 1.0 * told, values(f(lengths, keys)))
    total = np.round(6 * lengths * mixed[:, 0, 0, 0])
    yield total, (lengths - 1) * lengths * (2 * lengths - 1)


def padding_each_sample_alone(f, lengths, keys):
    yield f(lengths[::-1], keys), f(lengths, keys)[::-1]


def padding_in_a_longer_batch(f, lengths, keys):
    longer = f(lengths, keys + 2)
    yield longer[..., :keys], f(lengths, keys)
    yield np.exp(longer[..., keys:]), np.zeros((len(lengths), 1, 1, 2))


PADDING_BIAS = Op(
    text.padding_bias,
    laws=(
        Law("is length times 0, then -inf", padding_equation),
        Law("a sample sees as many keys as it has", padding_counts),
        Law("full samples hide nothing", padding_of_none),
        Law("attention to squares gives the mean of the real ones", padding_cut_away),
        Law("samples do not depend on each other", padding_each_sample_alone),
        Law("more padding hides more keys and nothing else", padding_in_a_longer_batch),
    ),
    probes=(
        Probe("lengths 0, 1, 3 and 4 of 4", lambda: {"lengths": np.array([0, 1, 3, 4]), "keys": 4}),
        Probe("as many samples as keys", lambda: {"lengths": np.array([2, 1, 3]), "keys": 3}),
    ),
    mistakes=(
        Edit(
            "padding_bias/one-too-many",
            "shows the first padding",
            "np.arange(keys) < lengths[:, None]",
            "np.arange(keys) <= lengths[:, None]",
            effect="one padding key leaks",
            invisible_when="nothing is padded",
        ),
        Edit(
            "padding_bias/left",
            "takes the last keys for the real ones",
            "np.arange(keys) < lengths[:, None]",
            "np.arange(keys)[::-1] < lengths[:, None]",
            effect="padding is seen in place of the first tokens",
            invisible_when="nothing is padded",
        ),
        Edit(
            "padding_bias/inverted",
            "hides what should be seen and shows the padding",
            MASK,
            "-np.inf, 0.0)",
            effect="a sample without padding sees nothing",
            source="https://github.com/pytorch/pytorch/pull/170404",
        ),
        Edit(
            "padding_bias/on-queries",
            "puts the keys on the axis of the queries",
            "[:, None, None, :]",
            "[:, None, :, None]",
            effect="queries that are padding see nothing, the others see the padding",
            source="https://github.com/hyunwoongko/transformer/pull/40",
            invisible_when="nothing is padded",
        ),
        Edit(
            "padding_bias/on-heads",
            "puts the samples on the axis of the heads",
            "[:, None, None, :]",
            "[None, :, None, :]",
            effect="each head gets the padding of one sample, or the shapes fail",
            source="https://github.com/ml-explore/mlx-lm/pull/1903",
            invisible_when="the batch is one",
        ),
        Edit(
            "padding_bias/longest-for-all",
            "hides the padding of the longest sample in all",
            "lengths[:, None]",
            "lengths[:, None] * 0 + np.max(lengths, initial=0)",
            effect="shorter samples see padding",
            invisible_when="all samples are as long",
        ),
        Edit(
            "padding_bias/tiny-fill",
            "hides by -1e-9 where -1e9 was meant",
            MASK,
            "0.0, -1e-9)",
            effect="nothing is hidden",
            source="https://github.com/Shujun-He/RibonanzaNet/issues/5",
        ),
        Edit(
            "padding_bias/ones-and-zeros",
            "gives 1 for a real key and 0 for padding, to be added all the same",
            MASK,
            "1.0, 0.0)",
            effect="real keys are favoured by a factor e, nothing is hidden",
            source="https://github.com/mlverse/torch/pull/1208",
        ),
    ),
    dialects=(
        Edit(
            "padding_bias/ten-thousand",
            "hides by -10000: BERT, LAVIS, the prior of diffusers",
            MASK,
            "0.0, -1e4)",
            effect="a sample of padding alone sees all; a score of 10000 shines through",
            source="https://github.com/huggingface/transformers/issues/10484",
        ),
        Edit(
            "padding_bias/finite",
            "hides by the most negative float32: LDM, Flamingo, Hugging Face",
            MASK,
            "0.0, float(np.finfo(np.float32).min))",
            effect="two such masks add up to -inf; a sample of padding alone gets the mean",
            source="https://github.com/huggingface/transformers/issues/18797",
        ),
    ),
    precisions=EXACT,
)


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
            "forgets that the prefix sees itself both ways",
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
            effect="two sequences that do not meet",
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
    precisions=EXACT,
)


def blocks_equation(f, segments):
    share = np.sum([np.outer(segments == s, segments == s) for s in set(segments.tolist())], axis=0)
    yield np.exp(f(segments)), share


def blocks_symmetric(f, segments):
    yield np.swapaxes(f(segments), 0, 1), f(segments)


def blocks_renumbered(f, segments):
    yield f(5 - 3 * segments), f(segments)


def blocks_reordered(f, segments):
    yield f(segments[::-1]), f(segments)[::-1, ::-1]


def blocks_of_one(f, segments):
    yield f(0 * segments), np.zeros((len(segments),) * 2)


def blocks_transitive(f, segments):
    seen = np.exp(f(segments))
    yield np.minimum(seen @ seen, 1), seen


def blocks_contiguous(f, segments):
    ordered = np.sort(segments)
    _, sizes = np.unique(ordered, return_counts=True)
    ends = np.cumsum(sizes)
    mask = np.full((len(segments),) * 2, -np.inf)
    for start, end in zip(ends - sizes, ends):
        mask[start:end, start:end] = 0
    yield f(ordered), mask


BLOCK_DIAGONAL_BIAS = Op(
    text.block_diagonal_bias,
    laws=(
        Law("is the sum of the segments' own blocks", blocks_equation),
        Law("is symmetric", blocks_symmetric),
        Law("renumbering the segments changes nothing", blocks_renumbered),
        Law("reordering the tokens reorders the mask", blocks_reordered),
        Law("one segment hides nothing", blocks_of_one),
        Law("who sees one token of a segment sees all", blocks_transitive),
        Law("is block-diagonal for contiguous segments", blocks_contiguous),
    ),
    probes=(
        Probe("three segments", lambda: {"segments": np.array([0, 0, 1, 1, 1, 2])}),
        Probe("a segment in two pieces", lambda: {"segments": np.array([4, -1, 4, 7])}),
    ),
    mistakes=(
        Edit(
            "block_diagonal_bias/causal-too",
            "hides later tokens of the own segment",
            "segments[:, None] == segments",
            "np.tril(segments[:, None] == segments)",
            effect="full attention within a segment becomes causal",
            invisible_when="every token is a segment of its own",
        ),
        Edit(
            "block_diagonal_bias/earlier-segments-seen",
            "shows the segments of smaller numbers as well",
            "segments[:, None] == segments",
            "segments[:, None] >= segments",
            effect="packed samples leak into later ones",
            invisible_when="there is one segment",
        ),
        Edit(
            "block_diagonal_bias/neighbours-seen",
            "shows the segments next to the own",
            "segments[:, None] == segments",
            "np.abs(segments[:, None] - segments) <= 1",
            effect="packed samples leak into the next",
            invisible_when="there is one segment",
        ),
        Edit(
            "block_diagonal_bias/zero-is-padding",
            "hides the segment of number 0",
            "segments[:, None] == segments",
            "(segments[:, None] == segments) & (segments > 0)",
            effect="the first segment sees nothing",
            invisible_when="numbers start at 1",
        ),
        Edit(
            "block_diagonal_bias/inverted",
            "shows the other segments and hides the own",
            MASK,
            "-np.inf, 0.0)",
            effect="tokens see everything but their own segment",
            source="https://github.com/pytorch/pytorch/pull/170404",
        ),
        Edit(
            "block_diagonal_bias/dropped",
            "hides nothing",
            "segments[:, None] == segments",
            "segments[:, None] == segments[:, None]",
            effect="packed samples see each other",
            invisible_when="there is one segment",
        ),
    ),
    dialects=(
        Edit(
            "block_diagonal_bias/finite",
            "hides by the most negative float32: Qwen2-VL in eager mode",
            MASK,
            "0.0, float(np.finfo(np.float32).min))",
            effect="two such masks add up to -inf",
            source="https://github.com/huggingface/transformers/issues/18797",
        ),
    ),
    precisions=EXACT,
)

OPS = (
    ATTENTION,
    ATTENTION_VJP,
    MULTI_HEAD_ATTENTION,
    MULTI_HEAD_ATTENTION_VJP,
    CAUSAL_BIAS,
    CAUSAL_BIAS_LOWER_RIGHT,
    PADDING_BIAS,
    PREFIX_BIAS,
    BLOCK_DIAGONAL_BIAS,
)
