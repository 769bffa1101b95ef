"""What is known about multi_head_attention: laws, probes, mistakes and dialects."""

from dataclasses import replace

import numpy as np

from refimpl.op import Edit, Law, Op, Probe
from refimpl.ops.attention import reference as text
from refimpl.ops.attention.spec.attention import ATTENTION
from refimpl.ops.attention.spec.shared import ROOT, tokens_bias, visible
from refimpl.ops.common import cosines, sines
from refimpl.ops.layers.reference import linear


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
    x = sines(1, 3, 4)
    return {
        "x": x,
        "memory": x,
        "in_weight": cosines(12, 4),
        "in_bias": 0.1 * sines(12),
        "out_weight": cosines(4, 4),
        "out_bias": 0.1 * sines(4),
        "heads": 2,
        "bias": None,
    } | changes


def two_samples():
    """As many queries as keys, six wide, three heads: every confusion of axes shows."""
    return {
        "x": 2 * sines(2, 5, 6),
        "memory": 2 * cosines(2, 5, 6),
        "in_weight": sines(18, 6)[::-1],
        "in_bias": cosines(18),
        "out_weight": sines(6, 6) + cosines(6, 6).T,
        "out_bias": cosines(6),
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
        Law("queries do not depend on each other", mha_one_token_at_a_time),
        Law("a bias of the keys changes nothing", mha_key_bias),
        Law("the bias of the values passes through the output projection", mha_value_bias),
        Law("with one token of memory every query gives the same result", mha_of_one_memory),
        Law("with a causal mask later tokens change nothing", mha_causal),
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
            "assigns column j to head j modulo H instead of in blocks",
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
            "reads the packed rows head by head, q, k and v of each: GPT-NeoX, BLOOM, ADM",
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
