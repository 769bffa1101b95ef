"""What is known about spatial_attention: laws, probes and mistakes."""

import numpy as np

from refimpl.op import Law, Op, Probe
from refimpl.ops.common import cosines, mistakes_of, sines
from refimpl.ops.layers.reference import group_norm, linear
from refimpl.ops.unet import reference as text
from refimpl.ops.unet.spec.shared import (
    GROUPS,
    HEADS,
    PIXELS_IN_ANY_ORDER,
    of_heads,
    samples_apart,
    silent,
)


def indifferent_queries(f, **inputs):
    """Queries of zero read the mean of all values."""
    channels = inputs["x"].shape[1]
    asked = np.repeat([0.0, 1.0, 1.0], channels)
    deaf = {
        "in_weight": inputs["in_weight"] * asked[:, None],
        "in_bias": inputs["in_bias"] * asked,
    }
    normal = group_norm(
        inputs["x"], inputs["norm_gain"], inputs["norm_bias"], inputs["groups"], inputs["eps"]
    )
    mean = np.mean(normal, axis=(2, 3))  # B channels
    value = linear(mean, inputs["in_weight"][2 * channels :], inputs["in_bias"][2 * channels :])
    told = linear(value, inputs["out_weight"], inputs["out_bias"])
    yield f(**inputs | deaf), inputs["x"] + told[:, :, None, None]


def heads_turned(f, **inputs):
    channels, heads = inputs["x"].shape[1], inputs["heads"]
    order = np.arange(channels).reshape(heads, channels // heads)[::-1].ravel()
    packed = np.concatenate((order, channels + order, 2 * channels + order))
    other = {
        "in_weight": inputs["in_weight"][packed],
        "in_bias": inputs["in_bias"][packed],
        "out_weight": inputs["out_weight"][:, order],
    }
    yield f(**inputs | other), f(**inputs)


def bias_of_keys(f, **inputs):
    channels = inputs["x"].shape[1]
    keys = np.repeat([0.0, 3.0, 0.0], channels)
    yield f(**inputs | {"in_bias": inputs["in_bias"] + keys}), f(**inputs)


def two_heads():
    """Four channels, two heads, two groups, no square."""
    size = 1 + np.arange(4)[:, None, None]
    return {
        "x": sines(2, 4, 2, 3) * size + size,
        "norm_gain": 1 + cosines(4),
        "norm_bias": sines(4),
        "in_weight": 2 * cosines(12, 4)[::-1],
        "in_bias": cosines(12),
        "out_weight": sines(4, 4) + cosines(4, 4).T,
        "out_bias": cosines(4),
        "heads": 2,
        "groups": 2,
        "eps": 1e-5,
    }


def one_head():
    """What an autoencoder has: one head; queries, keys and values alike."""
    return {
        "x": sines(1, 2, 2, 2),
        "norm_gain": np.ones(2),
        "norm_bias": np.zeros(2),
        "in_weight": np.tile(np.eye(2), (3, 1)),
        "in_bias": np.zeros(6),
        "out_weight": np.eye(2),
        "out_bias": np.zeros(2),
        "heads": 1,
        "groups": 1,
        "eps": 1e-6,
    }


wrong = mistakes_of("spatial_attention")
PARTS = "for z in np.split(projected, 3, axis=-1)"
READ = "attention(query, key, value, None)"

SPATIAL_ATTENTION = Op(
    text.spatial_attention,
    values={**HEADS, **GROUPS},
    costly=("B", "channels", "height", "width"),
    laws=(
        silent(
            "with a zero output projection the result is x plus its bias",
            lambda x, out_bias, **_: x + out_bias[:, None, None],
            "out_weight",
        ),
        PIXELS_IN_ANY_ORDER,
        Law("queries of zero give the mean of all values", indifferent_queries),
        Law("permuting the heads changes nothing", heads_turned),
        Law("a bias of the keys changes nothing", bias_of_keys),
        samples_apart("x"),
    ),
    probes=(Probe("two heads, two groups", two_heads), Probe("one head, all alike", one_head)),
    mistakes=(
        wrong(
            "not-projected",
            "leaves out the output projection",
            "as_map(linear(mixed, out_weight, out_bias), height, width)",
            "as_map(mixed, height, width)",
            "all shapes fit, but a layer is missing",
            "the last layer is the identity without a bias",
            source="https://github.com/dome272/VQGAN-pytorch/issues/23",
        ),
        wrong(
            "nothing-added",
            "leaves out the residual connection",
            "return x + as_map",
            "return as_map",
            "the input map is lost",
            "x is 0",
        ),
        wrong(
            "normalised-past",
            "adds the result to the normalised map instead of x",
            "return x + as_map",
            "return normal + as_map",
            "the scale of the input is lost",
            "the map is normalised already",
        ),
        wrong(
            "legacy-order",
            "reads the rows head by head, q, k and v of each",
            PARTS,
            "for z in (projected[..., (np.arange(channels) // (channels // heads) * 3 + i)"
            " * (channels // heads) + np.arange(channels) % (channels // heads)]"
            " for i in range(3))",
            "all shapes fit, but weights of the other order give garbage",
            "there is one head",
            source="https://github.com/huggingface/diffusers/pull/6730",
        ),
        *of_heads("spatial_attention"),
        wrong(
            "columns-first",
            "flattens the pixels row by row and writes them back column by column",
            "np.reshape(np.swapaxes(tokens, 1, 2), (B, channels, height, width))",
            "np.swapaxes(np.reshape(np.swapaxes(tokens, 1, 2), "
            "(B, channels, width, height)), 2, 3)",
            "the result is transposed",
            "there is one row or one column",
            where="as_map",
        ),
        wrong(
            "channels-as-tokens",
            "reshapes maps to tokens without moving the channel axis",
            "np.swapaxes(np.reshape(x, (B, channels, height * width)), 1, 2)",
            "np.reshape(x, (B, height * width, channels))",
            "tokens mix channels of different pixels",
            "there is one channel or one pixel",
            where="as_tokens",
        ),
        wrong(
            "not-normalised",
            "leaves out the normalisation",
            "linear(as_tokens(normal), in_weight, in_bias)",
            "linear(as_tokens(x), in_weight, in_bias)",
            "weights too sharp where maps are large",
            "the map is normalised already",
        ),
    ),
)
