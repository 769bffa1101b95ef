"""What is known about silu and its gradient: laws, probes, mistakes and dialects."""

import numpy as np

from refimpl.op import Edit, Law, Op, Probe
from refimpl.ops.common import sines
from refimpl.ops.layers import reference as text
from refimpl.ops.layers.spec.shared import (
    GATE_GRADIENT_LAWS,
    SAFE,
    activations,
    gate_below_rectifier,
    gate_saturates,
    gate_symmetry,
    largest,
    no_less,
)


def silu_equation(f, x):
    if largest(x) < SAFE:
        yield f(x), x / (1 + np.exp(-x))


def silu_even_part(f, x):
    yield f(x) + f(-x), x * np.tanh(x / 2)


def silu_as_softmax(f, x):
    weights = text.softmax(np.stack([x, 0 * x], axis=-1))
    yield f(x), x * weights[..., 0]


def silu_bounded(f, x):
    yield no_less(f(x), -0.27846454276107385)


SILU = Op(
    text.silu,
    laws=(
        Law("equals x/(1 + exp(-x))", silu_equation),
        Law("f(x) + f(-x) is x times tanh(x/2)", silu_even_part),
        Law("f(x) - f(-x) = x", gate_symmetry),
        Law("is x times its weight in a softmax against zero", silu_as_softmax),
        Law("lies below ReLU", gate_below_rectifier),
        Law("lies above its minimum -0.27846", silu_bounded),
        Law("is the identity far above zero and zero far below", gate_saturates),
    ),
    probes=(Probe("where the known activations differ", lambda: {"x": activations()}),),
    mistakes=(
        Edit(
            "silu/quick-gelu",
            "uses x σ(1.702 x)",
            "sigmoid(x)",
            "sigmoid(1.702 * x)",
            effect="off by up to 0.175",
            invisible_when="x is 0",
        ),
        Edit(
            "silu/gelu",
            "uses GELU",
            "return x * sigmoid(x)",
            "return gelu(x)",
            effect="off by up to 0.2",
            invisible_when="x is 0",
        ),
        Edit(
            "silu/rectifier",
            "uses ReLU",
            "return x * sigmoid(x)",
            "return np.maximum(x, 0)",
            effect="off by up to 0.28",
            invisible_when="x is 0 or far from it",
        ),
        Edit(
            "silu/hard-swish",
            "uses the piecewise approximation x (x + 3)/6",
            "sigmoid(x)",
            "np.clip((x + 3) / 6, 0, 1)",
            effect="off by up to 0.14",
            invisible_when="x is 0 or far from it",
        ),
        Edit(
            "silu/sign",
            "gates with σ(-x)",
            "sigmoid(x)",
            "sigmoid(-x)",
            effect="large activations vanish",
            invisible_when="x is 0",
        ),
        Edit(
            "silu/gate-alone",
            "returns the gate without the factor x",
            "x * sigmoid(x)",
            "sigmoid(x)",
            effect="activations between 0 and 1",
            invisible_when="x is far below zero",
        ),
    ),
)


def silu_vjp_equation(f, x, grad):
    gate = text.sigmoid(x)
    yield f(x, grad), grad * (text.silu(x) + gate * (1 - text.silu(x)))


def silu_vjp_tanh(f, x, grad):
    h = np.tanh(x / 2)
    yield f(x, grad), grad / 2 * (1 + h + x / 2 * (1 - h * h))


SILU_VJP = Op(
    text.silu_vjp,
    laws=(
        Law("equals f + σ(x) (1 - f)", silu_vjp_equation),
        Law("equals the form written with a hyperbolic tangent", silu_vjp_tanh),
        *GATE_GRADIENT_LAWS,
    ),
    probes=(
        Probe(
            "where the known activations differ",
            lambda: {"x": activations(), "grad": 1 + sines(16)},
        ),
    ),
    mistakes=(
        Edit(
            "silu_vjp/product-rule-forgotten",
            "returns the gate alone",
            "(gate + x * (gate * closed))",
            "gate",
            effect="off by up to 0.22",
            invisible_when="x is 0 or far from it",
        ),
        Edit(
            "silu_vjp/of-the-gate",
            "returns the derivative of the gate alone",
            "(gate + x * (gate * closed))",
            "(gate * closed)",
            effect="large activations get no gradient",
        ),
        Edit(
            "silu_vjp/gate-derivative-halved",
            "writes 1 - s instead of s (1 - s), with s the gate",
            "x * (gate * closed)",
            "x * closed",
            effect="off by a multiple of x below 0",
            invisible_when="x is 0 or far above it",
        ),
        Edit(
            "silu_vjp/sign",
            "subtracts the second term",
            "gate + x *",
            "gate - x *",
            effect="wrong for every x but 0",
            invisible_when="x is 0 or far from it",
        ),
        Edit(
            "silu_vjp/of-quick-gelu",
            "takes the gate of 1.702 x",
            "sigmoid(x)",
            "sigmoid(1.702 * x)",
            effect="off by up to 0.3",
            invisible_when="x is 0 or far from it",
        ),
        Edit(
            "silu_vjp/x-forgotten",
            "adds the derivative of the gate without the factor x",
            "gate + x * (",
            "gate + (",
            effect="the gradient at 0 is 3/4 instead of 1/2",
            invisible_when="x is 1 or far from it",
        ),
    ),
    outputs=("x_grad",),
)
