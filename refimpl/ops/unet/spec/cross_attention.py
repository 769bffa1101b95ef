"""What is known about cross_attention: laws, probes and mistakes."""

import numpy as np

from refimpl.op import Law, Op, Probe
from refimpl.ops.attention.reference import padding_bias
from refimpl.ops.common import cosines, mistakes_of, sines
from refimpl.ops.layers.reference import linear
from refimpl.ops.unet import reference as text
from refimpl.ops.unet.spec.shared import (
    HEADS,
    HIDDEN_WORDS,
    MEMORY_IN_ANY_ORDER,
    of_heads,
    samples_apart,
    silent,
)


def one_word(f, **inputs):
    memory = inputs["memory"][:, :1]
    channels = inputs["x"].shape[-1]
    value = linear(memory, inputs["memory_weight"][channels:], None)
    told = linear(value, inputs["out_weight"], inputs["out_bias"])  # B 1 channels
    if memory.shape[1]:
        yield f(**inputs | {"memory": memory, "bias": None}), 0 * inputs["x"] + told


def queries_apart(f, **inputs):
    whole = f(**inputs)
    for n in range(inputs["x"].shape[1]):
        one = {"x": inputs["x"][:, n : n + 1]}
        if inputs["bias"] is not None:
            one["bias"] = (0 * inputs["x"][:, None, :, :1] + inputs["bias"])[:, :, n : n + 1]
        yield f(**inputs | one), whole[:, n : n + 1]


def heads_turned(f, **inputs):
    channels, heads = inputs["x"].shape[2], inputs["heads"]
    order = np.arange(channels).reshape(heads, channels // heads)[::-1].ravel()
    other = {
        "query_weight": inputs["query_weight"][order],
        "memory_weight": inputs["memory_weight"][np.concatenate((order, channels + order))],
        "out_weight": inputs["out_weight"][:, order],
    }
    yield f(**inputs | other), f(**inputs)


def a_caption():
    """Five pixels of four channels, three words of six numbers, two heads."""
    return {
        "x": 2 * sines(2, 5, 4),
        "memory": 2 * cosines(2, 3, 6),
        "query_weight": sines(4, 4)[::-1],
        "memory_weight": cosines(8, 6) + sines(6, 8).T,
        "out_weight": sines(4, 4) + cosines(4, 4).T,
        "out_bias": cosines(4),
        "heads": 2,
        "bias": None,
    }


def padded_captions():
    """Captions of two words and of none."""
    return a_caption() | {"bias": padding_bias(np.array([2, 0]), 3)}


wrong = mistakes_of("cross_attention")
WORDS = "linear(memory, memory_weight, None)"

CROSS_ATTENTION = Op(
    text.cross_attention,
    values=HEADS,
    laws=(
        silent(
            "with a zero output projection the result is its bias",
            lambda x, out_bias, **_: 0 * x + out_bias,
            "out_weight",
        ),
        Law("with one token of memory every query gives the same result", one_word),
        Law("queries do not depend on each other", queries_apart),
        Law("permuting the heads changes nothing", heads_turned),
        MEMORY_IN_ANY_ORDER,
        HIDDEN_WORDS,
        samples_apart("x", "memory", "bias"),
    ),
    probes=(Probe("a caption", a_caption), Probe("captions with padding", padded_captions)),
    mistakes=(
        wrong(
            "mask-dropped",
            "ignores the mask",
            "attention(query, key, value, bias)",
            "attention(query, key, value, None)",
            "padding is read",
            "nothing is hidden",
            source="https://github.com/huggingface/diffusers/issues/1890",
        ),
        wrong(
            "values-before-keys",
            "exchanges keys and values",
            "key, value = (",
            "value, key = (",
            "wrong with given weights",
            "keys and values have the same weights",
        ),
        wrong(
            "values-are-keys",
            "averages the keys instead of the values",
            "attention(query, key, value, bias)",
            "attention(query, key, key, bias)",
            "the values are never used",
            "keys and values have the same weights",
        ),
        *of_heads("cross_attention"),
        wrong(
            "no-out-bias",
            "does not add the last bias",
            "out_weight, out_bias)",
            "out_weight, None)",
            "a constant offset of every token",
            "the bias is 0",
        ),
        wrong(
            "residual-inside",
            "adds the residual inside the layer",
            "return linear(join_heads(attention(query, key, value, bias)), out_weight, out_bias)",
            "return x + linear(join_heads(attention(query, key, value, bias)), "
            "out_weight, out_bias)",
            "a block that adds it as well has it twice",
            "the tokens are 0",
        ),
        wrong(
            "heads-not-joined",
            "reshapes the heads straight to tokens",
            "np.reshape(np.swapaxes(x, 1, 2), (B, N, heads * E))",
            "np.reshape(x, (B, N, heads * E))",
            "tokens get pieces of other tokens",
            "there is one head, or one token",
            where="attention.join_heads",
        ),
    ),
)
