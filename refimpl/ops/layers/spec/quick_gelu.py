"""What is known about quick_gelu and its gradient: laws, probes, mistakes and dialects."""

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


def quick_gelu_equation(f, x):
    if largest(x) < SAFE / 2:
        yield f(x), x / (1 + np.exp(-1.702 * x))


def quick_gelu_tanh(f, x):
    yield f(x), x / 2 * (1 + np.tanh(0.851 * x))


def quick_gelu_from_silu(f, x):
    yield 1.702 * f(x), text.silu(1.702 * x)


def quick_gelu_near_gelu(f, x):
    yield no_less(0.020336, np.abs(f(x) - text.gelu(x)))


QUICK_GELU = Op(
    text.quick_gelu,
    laws=(
        Law("equals x/(1 + exp(-1.702 x))", quick_gelu_equation),
        Law("equals half of x times 1 + tanh(0.851 x)", quick_gelu_tanh),
        Law("is silu of 1.702 x, divided by 1.702", quick_gelu_from_silu),
        Law("f(x) - f(-x) = x", gate_symmetry),
        Law("is within 0.0204 of gelu", quick_gelu_near_gelu),
        Law("lies below ReLU", gate_below_rectifier),
        Law("is the identity far above zero and zero far below", gate_saturates),
    ),
    probes=(Probe("where the known activations differ", lambda: {"x": activations()}),),
    mistakes=(
        Edit(
            "quick_gelu/factor-one",
            "leaves the factor 1.702 at the default 1 of swish",
            "1.702 * x",
            "x",
            effect="off by up to 0.175 at -1.86",
            source="https://github.com/robertknight/rten/pull/1421",
            invisible_when="x is 0",
        ),
        Edit(
            "quick_gelu/erf-form",
            "uses the exact GELU with weights trained for the quick one",
            "return x * sigmoid(1.702 * x)",
            "return gelu(x)",
            effect="off by up to 0.020 at ±2.27; published benchmark numbers changed",
            source="https://github.com/mlfoundations/open_clip/issues/771",
            invisible_when="x is 0; rankings hardly change",
        ),
        Edit(
            "quick_gelu/tanh-form",
            "uses the approximation by a hyperbolic tangent",
            "return x * sigmoid(1.702 * x)",
            "return gelu_tanh(x)",
            effect="off by up to 0.021",
            invisible_when="x is 0; rankings hardly change",
        ),
        Edit(
            "quick_gelu/other-factor",
            "uses 1.5958, the factor that matches the slope at zero",
            "sigmoid(1.702 * x)",
            "sigmoid(1.5958 * x)",
            effect="off by up to 0.017",
            invisible_when="x is 0 or far from it",
        ),
        Edit(
            "quick_gelu/scaled-outside",
            "multiplies by the factor outside the gate as well",
            "return x * sigmoid",
            "return 1.702 * x * sigmoid",
            effect="1.702 times the activation",
            invisible_when="x is 0",
        ),
        Edit(
            "quick_gelu/gate-alone",
            "returns the gate without the factor x",
            "x * sigmoid(1.702",
            "sigmoid(1.702",
            effect="activations between 0 and 1",
            invisible_when="x is far below zero",
        ),
    ),
)


def quick_gelu_vjp_equation(f, x, grad):
    gate = text.sigmoid(1.702 * x)
    yield f(x, grad), grad * gate * (1 + 1.702 * x * text.sigmoid(-1.702 * x))


def quick_gelu_vjp_from_silu(f, x, grad):
    yield f(x, grad), text.silu_vjp(1.702 * x, grad)


QUICK_GELU_VJP = Op(
    text.quick_gelu_vjp,
    laws=(
        Law("equals the form written with both gates", quick_gelu_vjp_equation),
        Law("is the gradient of silu at 1.702 x", quick_gelu_vjp_from_silu),
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
            "quick_gelu_vjp/chain-factor-dropped",
            "drops the factor 1.702 of the gate's derivative",
            "gate + 1.702 * x *",
            "gate + x *",
            effect="off by up to 0.1",
            invisible_when="x is 0 or far from it",
        ),
        Edit(
            "quick_gelu_vjp/chain-factor-everywhere",
            "multiplies the whole derivative by 1.702",
            "grad * (gate",
            "grad * 1.702 * (gate",
            effect="1.7 times the gradient",
            invisible_when="x is far below 0",
        ),
        Edit(
            "quick_gelu_vjp/product-rule-forgotten",
            "returns the gate alone",
            "(gate + 1.702 * x * (gate * closed))",
            "gate",
            effect="off by up to 0.22",
            invisible_when="x is 0 or far from it",
        ),
        Edit(
            "quick_gelu_vjp/gate-derivative-halved",
            "writes 1 - s instead of s (1 - s), with s the gate",
            "(gate * closed)",
            "closed",
            effect="off by a multiple of x below 0",
            invisible_when="x is 0 or far above it",
        ),
        Edit(
            "quick_gelu_vjp/of-silu",
            "leaves the factor 1.702 at the default 1 of swish",
            "sigmoid(1.702 * x)",
            "sigmoid(x)",
            effect="off by up to 0.3",
            invisible_when="x is 0 or far from it",
        ),
        Edit(
            "quick_gelu_vjp/of-gelu",
            "takes the gradient of the exact GELU",
            "grad * (gate + 1.702 * x * (gate * closed))",
            "gelu_vjp(x, grad)",
            effect="off by up to 0.03",
            invisible_when="x is 0 or far from it",
        ),
    ),
    outputs=("x_grad",),
)
