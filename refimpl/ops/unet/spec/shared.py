"""What the specifications of U-Nets share: how whole numbers are drawn, and laws."""

import inspect
import math

import numpy as np

from refimpl.axes.shapes import shape_of
from refimpl.op import Law
from refimpl.ops.attention.spec.shared import ROOT
from refimpl.ops.common import mistakes_of
from refimpl.ops.images.spec.shared import turned


def drawn_divisor(source, known):
    """Groups or heads: a number that parts the channels evenly."""
    channels = known["channels"]
    return source.choice([n for n in range(1, channels + 1) if channels % n == 0])


HEADS = {"heads": drawn_divisor}
GROUPS = {"groups": drawn_divisor}


def drawn_weights(text):
    """How the weights of a chain of layers are drawn: matrices that shrink, gains about one.

    Behind many layers nothing is left of a bound where each makes numbers larger.
    """

    def drawer(name, spec):
        def draw(source, known):
            numbers = source.normal(shape_of(spec, known))
            if numbers.ndim == 1:
                return numbers / 4 + name.endswith("_gain")
            return numbers / (2 * math.sqrt(numbers[0].size))

        return draw

    specs = {n: p.annotation for n, p in inspect.signature(text, eval_str=True).parameters.items()}
    weights = [n for n in specs if n.endswith(("_weight", "_gain", "_bias"))]
    return {name: drawer(name, specs[name]) for name in weights}


def whole_bias(inputs):
    """The inputs, with the mask of a memory in its full shape."""
    if inputs.get("bias") is None:
        return inputs
    B, M = inputs["memory"].shape[:2]
    return inputs | {"bias": np.zeros((B, 1, 1, M)) + inputs["bias"]}


def samples_apart(*batched):
    """The law that what stands in a batch knows nothing of its neighbours."""

    def law(f, **inputs):
        inputs = whole_bias(inputs)
        alone = {name: inputs[name][:1] for name in batched if inputs[name] is not None}
        yield f(**inputs | alone), f(**inputs)[:1]

    return Law("each sample is treated by itself", law)


def silent(says, result, *weights):
    """The law of what is left where some weights are zero."""

    def law(f, **inputs):
        zeros = {name: 0 * inputs[name] for name in weights}
        yield f(**inputs | zeros), result(**inputs)

    return Law(says, law)


def memory_turned(f, **inputs):
    turned = {"memory": inputs["memory"][:, ::-1]}
    if inputs["bias"] is not None:
        turned["bias"] = inputs["bias"][..., ::-1]
    yield f(**inputs | turned), f(**inputs)


MEMORY_IN_ANY_ORDER = Law("permuting the memory changes nothing", memory_turned)


def hidden_words(f, **inputs):
    """A memory with a token more, hidden, is the memory without it."""
    memory = inputs["memory"]
    shown = np.zeros((*memory.shape[:1], 1, 1, memory.shape[1]))
    bias = shown if inputs["bias"] is None else whole_bias(inputs)["bias"]
    covered = np.concatenate((bias, np.full((*bias.shape[:-1], 1), -np.inf)), axis=-1)
    longer = {"memory": np.concatenate((memory, 3 + 0 * memory[:, :1]), axis=1), "bias": covered}
    if memory.shape[1]:
        yield f(**inputs | longer), f(**inputs)


HIDDEN_WORDS = Law("a hidden token changes nothing", hidden_words)


def pixels_in_any_order(f, **inputs):
    x = inputs["x"]
    yield f(**inputs | {"x": x[:, :, ::-1]}), f(**inputs)[:, :, ::-1]
    yield f(**inputs | {"x": turned(x)}), turned(f(**inputs))


PIXELS_IN_ANY_ORDER = Law("permuting the pixels permutes the result", pixels_in_any_order)


def heads_and_width_swapped(name):
    """The mistake of whoever splits heads in the wrong order."""
    return mistakes_of(name)(
        "heads-and-width-swapped",
        "takes the number of heads for the width of a head",
        "(B, N, heads, D // heads)",
        "(B, N, D // heads, heads)",
        "another number of heads, and another scale",
        "there are as many heads as a head is wide",
        where="attention.split_heads",
        source="https://github.com/huggingface/diffusers/issues/2011",
    )


def of_heads(name):
    """Mistakes in the scores and the heads of an operation that attends."""
    wrong = mistakes_of(name)
    return (
        wrong(
            "scale-by-width",
            "divides the scores by the root of all channels, not of the head's width",
            "constant(E, query)",
            "constant(E * heads, query)",
            "weights too flat",
            "there is one head",
            where="attention.attention",
            source="https://github.com/lucidrains/vit-pytorch/issues/65",
        ),
        heads_and_width_swapped(name),
        wrong(
            "no-scale",
            "does not divide the scores",
            ROOT,
            "",
            "weights too sharp",
            "heads are 1 wide",
            where="attention.attention",
        ),
    )
