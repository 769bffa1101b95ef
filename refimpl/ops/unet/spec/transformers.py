"""What is known about Transformer blocks in a U-Net: laws, probes and mistakes of both."""

import numpy as np

from refimpl.op import Law, Op, Probe
from refimpl.ops.attention.reference import padding_bias
from refimpl.ops.common import FLOATS, cosines, draw_layer_eps, mistakes_of, sines
from refimpl.ops.unet import reference as text
from refimpl.ops.unet.spec.shared import (
    GROUPS,
    HEADS,
    HIDDEN_WORDS,
    MEMORY_IN_ANY_ORDER,
    PIXELS_IN_ANY_ORDER,
    drawn_weights,
    heads_and_width_swapped,
    samples_apart,
    silent,
)

EPS = dict.fromkeys(("eps", "block_eps"), draw_layer_eps)
LAST = ("self_out", "cross_out", "out")
LAST_WEIGHTS = tuple(f"{name}_weight" for name in LAST)


def tokens_in_any_order(f, **inputs):
    turned_tokens = {"x": inputs["x"][:, ::-1]}
    if inputs["bias"] is not None and np.ndim(inputs["bias"]) > 1:
        turned_tokens["bias"] = inputs["bias"][..., ::-1, :]
    yield f(**inputs | turned_tokens), f(**inputs)[:, ::-1]


def deaf_to_words(f, **inputs):
    deaf = inputs | {"cross_out_weight": 0 * inputs["cross_out_weight"]}
    yield f(**deaf | {"memory": 3 - inputs["memory"]}), f(**deaf)


def last_bias(f, **inputs):
    yield f(**inputs | {"out_bias": inputs["out_bias"] + 2}), f(**inputs) + 2


def closed_gates(f, **inputs):
    """Where every gate is zero there is no feed-forward but its bias."""
    hidden = inputs["out_weight"].shape[1]
    let = np.repeat([1.0, 0.0], hidden)
    closed = {"in_weight": inputs["in_weight"] * let[:, None], "in_bias": inputs["in_bias"] * let}
    yield f(**inputs | closed), f(**inputs | {"out_weight": 0 * inputs["out_weight"]})


def weights(channels, words, hidden):
    """The weights of a block: no two of them alike."""
    square = sines(channels, channels) / 2
    return {
        "norm1_gain": 1 + cosines(channels),
        "norm1_bias": sines(channels),
        "self_weight": cosines(3 * channels, channels)[::-1] + 0.25,
        "self_out_weight": square + cosines(channels, channels).T / 2,
        "self_out_bias": cosines(channels),
        "norm2_gain": 1 - cosines(channels),
        "norm2_bias": cosines(channels),
        "query_weight": square[::-1],
        "memory_weight": cosines(2 * channels, words) / 2 + sines(words, 2 * channels).T / 4,
        "cross_out_weight": square.T - cosines(channels, channels) / 2,
        "cross_out_bias": sines(channels),
        "norm3_gain": 1 + sines(channels) / 2,
        "norm3_bias": -cosines(channels),
        "in_weight": sines(2 * hidden, channels) / 2,
        "in_bias": cosines(2 * hidden),
        "out_weight": cosines(channels, hidden),
        "out_bias": sines(channels),
    }


def five_tokens():
    """Five tokens of four channels, three words of six numbers, two heads."""
    given = {"x": 2 * sines(2, 5, 4), "memory": 2 * cosines(2, 3, 6)}
    return given | weights(4, 6, 3) | {"heads": 2, "bias": None, "eps": 1e-5}


def padded_words():
    """Captions of two words and of one, and tokens so alike that eps counts."""
    padded = {"bias": padding_bias(np.array([2, 1]), 3), "x": 1e-2 * sines(2, 5, 4)}
    return five_tokens() | padded


def mistakes_of_both(name):
    """Mistakes inside the block, which both operations have."""
    wrong = mistakes_of(name)
    where = "" if name == "transformer_block" else "transformer_block"
    block = mistakes_of(name, where=where)
    return (
        block(
            "cross-before-self",
            "applies cross-attention before self-attention",
            "    own, others = self_weight[:channels], self_weight[channels:]\n"
            "    x = x + cross_attention(",
            "    own, others = self_weight[:channels], self_weight[channels:]\n"
            "    asked = layer_norm(x, norm2_gain, norm2_bias, eps)\n"
            "    reads = query_weight, memory_weight, cross_out_weight, cross_out_bias\n"
            "    x = x + cross_attention(asked, memory, *reads, heads, bias)\n"
            "    normal = layer_norm(x, norm1_gain, norm1_bias, eps)\n"
            "    x = x + cross_attention(",
            "wrong with given weights",
            "one of the two attentions gives zero",
            also=(
                (
                    where,
                    "    x = x + cross_attention(normal, memory, *weights, heads, bias)\n",
                    "",
                ),
            ),
        ),
        block(
            "words-ignored",
            "uses self-attention in place of cross-attention",
            "cross_attention(normal, memory, *weights, heads, bias)",
            "cross_attention(normal, normal, query_weight, others, cross_out_weight, "
            "cross_out_bias, heads, None)",
            "the prompt has no effect",
            "the output projection of cross-attention is zero",
        ),
        block(
            "mask-dropped",
            "ignores the mask",
            "cross_attention(normal, memory, *weights, heads, bias)",
            "cross_attention(normal, memory, *weights, heads, None)",
            "padding is read",
            "nothing is hidden",
            source="https://github.com/huggingface/diffusers/issues/1890",
        ),
        wrong(
            "gate-first",
            "exchanges the halves of the feed-forward: gate first",
            "up, gate = np.split",
            "gate, up = np.split",
            "wrong with given weights; a model trained this way hides it",
            "both halves are equal",
            where="gated_feed_forward",
        ),
        wrong(
            "silu-gate",
            "uses silu instead of gelu in the gate",
            "gelu(gate) * up",
            "silu(gate) * up",
            "a different activation than the weights were trained with",
            "gates are 0 or far from it",
            where="gates.geglu",
        ),
        block(
            "normalised-past",
            "adds the residual of the normalised tokens instead of x",
            "    x = x + cross_attention(normal, memory",
            "    x = normal + cross_attention(normal, memory",
            "the scale of the input is lost",
            "the tokens are normalised already",
        ),
        block(
            "not-normalised",
            "leaves out the last normalisation",
            "return x + gated_feed_forward(normal,",
            "return x + gated_feed_forward(x,",
            "large tokens dominate",
            "the tokens are normalised already",
        ),
        block(
            "feed-forward-not-added",
            "returns the feed-forward alone",
            "return x + gated_feed_forward(",
            "return gated_feed_forward(",
            "the block loses its input",
            "x is 0",
        ),
        heads_and_width_swapped(name),
    )


TRANSFORMER_BLOCK = Op(
    text.transformer_block,
    values={**HEADS, **EPS, **drawn_weights(text.transformer_block)},
    precisions=FLOATS,
    costly=("B", "N", "channels"),
    laws=(
        silent(
            "with zero output layers the result is the tokens plus three biases",
            lambda x, self_out_bias, cross_out_bias, out_bias, **_: (
                x + self_out_bias + cross_out_bias + out_bias
            ),
            *LAST_WEIGHTS,
        ),
        Law("permuting the tokens permutes the result", tokens_in_any_order),
        Law("with a zero cross-attention output the words change nothing", deaf_to_words),
        Law("the last bias is added to the result", last_bias),
        Law("with gates of zero the feed-forward gives its bias", closed_gates),
        MEMORY_IN_ANY_ORDER,
        HIDDEN_WORDS,
        samples_apart("x", "memory", "bias"),
    ),
    probes=(Probe("five tokens", five_tokens), Probe("captions with padding", padded_words)),
    mistakes=mistakes_of_both("transformer_block"),
)


def six_pixels():
    """Six pixels of four channels in two groups, three words of six numbers, two heads."""
    size = 1 + np.arange(4)[:, None, None]
    around = {
        "norm_gain": 1 + cosines(4),
        "norm_bias": sines(4),
        "enter_weight": cosines(4, 4) - sines(4, 4).T / 2,
        "enter_bias": cosines(4),
    }
    behind = {"leave_weight": sines(4, 4)[::-1], "leave_bias": 2 * cosines(4)}
    how = {"heads": 2, "groups": 2, "bias": None, "eps": 1e-6, "block_eps": 1e-5}
    given = {"x": sines(2, 4, 2, 3) * size + size, "memory": 2 * cosines(2, 3, 6)}
    return given | around | weights(4, 6, 3) | behind | how


def quiet_pixels():
    """The same, so small that eps counts, with padded captions."""
    pixels = six_pixels()
    quiet = {"x": 1e-3 * pixels["x"], "bias": padding_bias(np.array([2, 1]), 3)}
    return pixels | quiet


wrong = mistakes_of("spatial_transformer")

SPATIAL_TRANSFORMER = Op(
    text.spatial_transformer,
    values={**HEADS, **GROUPS, **EPS, **drawn_weights(text.spatial_transformer)},
    precisions=FLOATS,
    costly=("B", "channels", "height", "width"),
    laws=(
        silent(
            "with a zero output projection the result is x plus its bias",
            lambda x, leave_bias, **_: x + leave_bias[:, None, None],
            "leave_weight",
        ),
        PIXELS_IN_ANY_ORDER,
        Law("with a zero cross-attention output the words change nothing", deaf_to_words),
        MEMORY_IN_ANY_ORDER,
        HIDDEN_WORDS,
        samples_apart("x", "memory", "bias"),
    ),
    probes=(Probe("six pixels", six_pixels), Probe("quiet pixels, padding", quiet_pixels)),
    mistakes=(
        *mistakes_of_both("spatial_transformer"),
        wrong(
            "nothing-added",
            "leaves out the outer residual connection",
            "return x + as_map",
            "return as_map",
            "the input map is lost",
            "x is 0",
        ),
        wrong(
            "enters-unnormalised",
            "leaves out the group normalisation",
            "linear(as_tokens(normal), enter_weight, enter_bias)",
            "linear(as_tokens(x), enter_weight, enter_bias)",
            "the block sees inputs of another scale",
            "the map is normalised already",
        ),
        wrong(
            "one-eps",
            "uses the eps of layer normalisation for group normalisation, too",
            "group_norm(x, norm_gain, norm_bias, groups, eps)",
            "group_norm(x, norm_gain, norm_bias, groups, block_eps)",
            "small activations come out too small",
            "both are equal, or the map is large",
            source="https://github.com/ml-explore/mlx-examples/issues/1434",
        ),
        wrong(
            "no-layer-out",
            "leaves out the output projection",
            "as_map(linear(tokens, leave_weight, leave_bias), height, width)",
            "as_map(tokens, height, width)",
            "all shapes fit",
            "the layer is the identity without a bias",
        ),
    ),
)
