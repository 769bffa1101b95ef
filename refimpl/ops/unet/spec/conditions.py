"""What is known about the network of the time and about sizes as conditions."""

import numpy as np

from refimpl.op import Law, Op, Probe
from refimpl.ops.common import FLOATS, cosines, mistakes_of, sines
from refimpl.ops.layers.reference import linear
from refimpl.ops.patch_embedding.reference import timestep_embedding
from refimpl.ops.unet import reference as text
from refimpl.ops.unet.spec.shared import samples_apart, silent


def odd_part(f, emb, in_weight, in_bias, out_weight, out_bias):
    there = f(emb, in_weight, in_bias, out_weight, out_bias)
    back = f(-emb, in_weight, -in_bias, out_weight, out_bias)
    yield there - back, linear(linear(emb, in_weight, in_bias), out_weight, None)


def linear_in_the_last_layer(f, emb, in_weight, in_bias, out_weight, out_bias):
    one = f(emb, in_weight, in_bias, out_weight, out_bias)
    yield f(emb, in_weight, in_bias, -2 * out_weight, -2 * out_bias), -2 * one


def hidden_in_any_order(f, emb, in_weight, in_bias, out_weight, out_bias):
    turned = f(emb, in_weight[::-1], in_bias[::-1], out_weight[:, ::-1], out_bias)
    yield turned, f(emb, in_weight, in_bias, out_weight, out_bias)


def two_times():
    """Two times, four numbers each, to three."""
    return {
        "emb": 2 * sines(2, 4),
        "in_weight": 2 * cosines(3, 4),
        "in_bias": sines(3),
        "out_weight": 1 + sines(3, 3),
        "out_bias": cosines(3),
    }


wrong = mistakes_of("time_mlp")
HIDDEN = "silu(linear(emb, in_weight, in_bias))"

TIME_MLP = Op(
    text.time_mlp,
    laws=(
        silent(
            "with zero weights in the last layer the result is its bias",
            lambda emb, out_bias, **_: 0 * emb[:, :1] + out_bias,
            "out_weight",
        ),
        Law("f(x) - f(-x) is what the layers give without activation", odd_part),
        Law("is linear in the last layer", linear_in_the_last_layer),
        Law("permuting the hidden units changes nothing", hidden_in_any_order),
        samples_apart("emb"),
    ),
    probes=(Probe("two times", two_times),),
    mistakes=(
        wrong(
            "no-activation",
            "leaves out the activation between the layers",
            HIDDEN,
            "linear(emb, in_weight, in_bias)",
            "the two layers act as one: the embedding is a linear function of its input",
            "hidden numbers are 0 or far above it",
        ),
        wrong(
            "activated-first",
            "applies the activation before the first layer instead of after it",
            HIDDEN,
            "linear(silu(emb), in_weight, in_bias)",
            "negative entries are nearly lost",
            "never",
        ),
        wrong(
            "activated-twice",
            "applies the activation to the result as well",
            "return linear(hidden, out_weight, out_bias)",
            "return silu(linear(hidden, out_weight, out_bias))",
            "each block applies it a second time",
            "results are 0 or far above it",
        ),
        wrong(
            "rectifier",
            "uses ReLU instead of silu",
            HIDDEN,
            "np.maximum(linear(emb, in_weight, in_bias), 0)",
            "a different activation than the weights were trained with",
            "hidden numbers are 0 or far from it",
        ),
        wrong(
            "out-transposed",
            "multiplies by the last layer as stored, without transposing",
            "linear(hidden, out_weight, out_bias)",
            "linear(hidden, out_weight.T, out_bias)",
            "wrong with given weights; the shape is right",
            "the last layer is symmetric",
        ),
        wrong(
            "one-layer",
            "leaves out the last layer",
            "linear(hidden, out_weight, out_bias)",
            "hidden",
            "the right shape with the wrong values",
            "the last layer is the identity without a bias",
        ),
    ),
)


def each_size(f, sizes, half):
    whole = f(sizes, half)
    for i in range(6):
        part = whole[:, 2 * half * i : 2 * half * (i + 1)]
        yield part, timestep_embedding(sizes[:, i], half)


def squared_length(f, sizes, half):
    whole = f(sizes, half)
    yield np.sum(whole * whole, axis=-1), np.full(len(sizes), 6 * half)


def nothing_is_ones_and_zeros(f, sizes, half):
    yield f(0 * sizes, half), np.tile(np.repeat([1.0, 0.0], half), (len(sizes), 6))


def all_alike(f, sizes, half):
    alike = f(np.repeat(sizes[:, :1], 6, axis=1), half)
    yield alike, np.tile(alike[:, : 2 * half], (1, 6))


def a_portrait():
    """A tall picture, cropped, for a square target, and a wide one that is whole."""
    sizes = [[1024.0, 512, 64, 0, 768, 768], [480.0, 640, 0, 0, 960, 1280]]
    return {"sizes": np.array(sizes), "half": 3}


wrong = mistakes_of("micro_conditions")
ALL = "np.reshape(sizes, (sizes.size,))"

MICRO_CONDITIONS = Op(
    text.micro_conditions,
    precisions=FLOATS,
    values={"sizes": lambda source, known: np.round(source.uniform((known["B"], 6), 0, 1024))},
    laws=(
        Law("each size has its own columns", each_size),
        Law("the squared length is half the width", squared_length),
        Law("sizes of zero give cosines of 1 and sines of 0", nothing_is_ones_and_zeros),
        Law("equal sizes have equal columns", all_alike),
        samples_apart("sizes"),
    ),
    probes=(Probe("a portrait and a landscape", a_portrait),),
    mistakes=(
        wrong(
            "width-before-height",
            "takes width before height",
            ALL,
            "np.reshape(sizes[:, [1, 0, 3, 2, 5, 4]], (sizes.size,))",
            "a portrait is described as a landscape",
            "pictures are square and cropped in the middle",
            source="https://github.com/huggingface/diffusers/pull/5382",
        ),
        wrong(
            "target-before-crop",
            "puts the target's size before the corner of the crop",
            ALL,
            "np.reshape(sizes[:, [0, 1, 4, 5, 2, 3]], (sizes.size,))",
            "pictures look cropped",
            "target and corner are equal",
        ),
        wrong(
            "by-frequency",
            "groups the columns by frequency instead of by size",
            "np.reshape(each, (len(sizes), 12 * half))",
            "np.reshape(np.swapaxes(np.reshape(each, (len(sizes), 6, 2 * half)), 1, 2), "
            "(len(sizes), 12 * half))",
            "the right shape in the wrong order",
            "all six sizes are equal",
        ),
        wrong(
            "sines-first",
            "puts sines before cosines",
            "np.concatenate((np.cos(angles), np.sin(angles)), axis=-1)",
            "np.concatenate((np.sin(angles), np.cos(angles)), axis=-1)",
            "wrong with given weights",
            "never",
            where="patch_embedding.timestep_embedding",
        ),
        wrong(
            "half-minus-one",
            "spaces the frequencies as Ho's U-Net does",
            "* np.arange(half) / half",
            "* np.arange(half) / max(half - 1, 1)",
            "frequencies fall too fast",
            "there is one frequency",
            where="patch_embedding.timestep_embedding",
        ),
        wrong(
            "in-thousands",
            "divides the sizes by 1000",
            ALL,
            "np.reshape(sizes, (sizes.size,)) / 1000",
            "sizes can hardly be told apart",
            "sizes are 0",
        ),
    ),
)
