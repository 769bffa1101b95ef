"""What is known about multi_head_attention_vjp: laws, probes, mistakes and dialects."""

from dataclasses import replace

import numpy as np

from refimpl.op import Edit, Law, Op
from refimpl.ops.attention import reference as text
from refimpl.ops.attention.spec.attention_vjp import ATTENTION_VJP
from refimpl.ops.attention.spec.multi_head_attention import MULTI_HEAD_ATTENTION
from refimpl.ops.attention.spec.shared import (
    SCORES_GRAD,
    SPREAD_BIAS,
    tokens_bias,
    visible,
)
from refimpl.ops.common import cosines, sines, with_more
from refimpl.ops.layers.reference import linear


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
    return kept | {"grad": sines(*x.shape)[..., ::-1] + cosines(*x.shape)}


OF_MEMORY = "by_keys + by_values"
PROJECTED = "in_weight_grad = np.concatenate([w_q_grad, w_k_grad, w_v_grad])"

MULTI_HEAD_ATTENTION_VJP = Op(
    text.multi_head_attention_vjp,
    laws=(
        Law("is the sum of each head's own gradients", mha_vjp_equation),
        Law("gradients of sums are sums of gradients", mha_vjp_additive),
        Law("the bias of the keys has gradient zero", mha_vjp_key_bias),
        Law(
            "the bias of the values has the gradient grad times the output weights, summed",
            mha_vjp_value_bias,
        ),
        Law("scaling the values' or the output weights has the same derivative", mha_vjp_of_values),
        Law("reordering the heads reorders their gradients", mha_vjp_heads_in_any_order),
        Law("permuting the memory permutes its gradients", mha_vjp_memory_in_any_order),
        Law("the gradients of the weights are sums over the samples", mha_vjp_batch_adds_up),
    ),
    probes=tuple(with_more(probe, tokens_with_grad) for probe in MULTI_HEAD_ATTENTION.probes),
    mistakes=(
        Edit(
            "multi_head_attention_vjp/values-path-forgotten",
            "keeps only the keys' part of the memory's gradient",
            OF_MEMORY,
            "by_keys",
            effect="the memory gets no gradient from the values",
        ),
        Edit(
            "multi_head_attention_vjp/keys-path-forgotten",
            "keeps only the values' part of the memory's gradient",
            OF_MEMORY,
            "by_values",
            effect="the memory gets no gradient from the keys",
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
            effect="no error, since the weight is square",
            invisible_when="that gradient is symmetric",
        ),
        Edit(
            "multi_head_attention_vjp/out-projection-not-transposed",
            "multiplies by the output weights without transposing them",
            "linear_vjp(mixed, out_weight, grad)",
            "linear_vjp(mixed, out_weight.T, grad)",
            effect="the heads get a meaningless gradient",
            invisible_when="the output weights are symmetric",
        ),
        Edit(
            "multi_head_attention_vjp/weights-not-transposed",
            "multiplies by the transposed input weights, as the forward pass does",
            "linear_vjp(x, w_q, query_grad)",
            "linear_vjp(x, w_q.T, query_grad)",
            effect="tokens get a meaningless gradient",
            invisible_when="the weights are symmetric",
        ),
        Edit(
            "multi_head_attention_vjp/weights-of-x",
            "uses x instead of the memory for the gradient of the keys' weight",
            "linear_vjp(memory, w_k, key_grad)",
            "linear_vjp(x, w_k, key_grad)",
            effect="cross-attention learns wrong keys, or raises",
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
            "recomputes the weights without the bias",
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
