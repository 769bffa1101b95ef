"""What is known about attention_vjp: laws, probes, mistakes and dialects."""

import numpy as np

from refimpl.constants import constant
from refimpl.op import Edit, Law, Op
from refimpl.ops.attention import reference as text
from refimpl.ops.attention.spec.attention import ATTENTION
from refimpl.ops.attention.spec.shared import (
    SCORES_GRAD,
    SOFTMAX_END,
    SOFTMAX_TOTAL,
    SPREAD_BIAS,
    UNSHIFTED_BARE,
    UNSHIFTED_END,
    UNSHIFTED_HIDDEN,
    full_bias,
)
from refimpl.ops.common import cosines, sines, with_more
from refimpl.ops.layers.reference import softmax

SOFTMAX_TOP = "top = np.where(top > -np.inf, top, 0)"


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


def with_grad(inputs):
    """The inputs of an attention with a gradient of its output that is like nothing in them."""
    shape = (*inputs["query"].shape[:3], inputs["value"].shape[3])
    return inputs | {"grad": (sines(*shape) + 2 * cosines(*shape[::-1]).T)}


KEY_GRAD = "np.sum(np.swapaxes(scores_grad, -1, -2) @ query, axis=2) / root"

ATTENTION_VJP = Op(
    text.attention_vjp,
    laws=(
        Law("equals the Jacobian of the softmax applied by itself", attention_vjp_equation),
        Law("gradients of sums are sums of gradients", attention_vjp_additive),
        Law(
            "the gradients of the scores sum to zero in each row",
            attention_vjp_of_shifted_scores,
        ),
        Law("the gradients of the keys sum to zero", attention_vjp_of_shifted_keys),
        Law("values times their gradient are the output times its own", attention_vjp_of_values),
        Law("queries times their gradient are keys times theirs", attention_vjp_of_a_scale),
        Law(
            "a shared key head's gradient is the sum over its copies", attention_vjp_repeated_heads
        ),
        Law(
            "a hidden key has gradient zero and changes no other gradient", attention_vjp_hidden_key
        ),
        Law(
            "permuting keys with their values permutes their gradients",
            attention_vjp_keys_in_any_order,
        ),
        Law(
            "the gradient of the keys is the sum over the queries",
            attention_vjp_one_query_at_a_time,
        ),
        Law("with equal values the scores have gradient zero", attention_vjp_of_equal_values),
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
            "sums the averages over all queries of a head",
            "axis=-1, keepdims=True)",
            "axis=(-2, -1), keepdims=True)",
            effect="queries see each other in the backward pass",
            invisible_when="there is one query",
        ),
        Edit(
            "attention_vjp/softmax-as-sigmoid",
            "keeps only the diagonal of the softmax's Jacobian",
            SCORES_GRAD,
            "weights * (1 - weights) * weights_grad",
            effect="a key's score has no effect on the other weights",
        ),
        Edit(
            "attention_vjp/not-through-softmax",
            "passes the gradient of the weights to the scores unchanged",
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
            effect="a shared key gets the gradient of one head alone",
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
            "recomputes the weights without the bias",
            "scores + " + SPREAD_BIAS,
            "scores",
            effect="gradients flow to padding and to the future",
            invisible_when="nothing is masked",
        ),
        Edit(
            "attention_vjp/value-by-scores",
            "sends the gradient of the scores to the values",
            "np.swapaxes(weights, -1, -2) @ grad",
            "np.swapaxes(scores_grad, -1, -2) @ grad",
            effect="the mean of the values' gradients is zero",
        ),
    ),
    lossy=(
        Edit(
            "attention_vjp/saved-scores-without-maximum",
            "recomputes the weights without subtracting the row's maximum",
            SOFTMAX_END,
            UNSHIFTED_END,
            where="layers.softmax",
            effect="inf / inf = NaN once a score exceeds 88.7 in float32",
            source="https://github.com/pytorch/executorch/pull/18407",
            invisible_when="scores are moderate",
            otherwise=(UNSHIFTED_HIDDEN, UNSHIFTED_BARE),
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
