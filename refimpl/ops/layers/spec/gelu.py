"""What is known about gelu and its gradient: laws, probes, mistakes and dialects."""

import numpy as np

from refimpl.constants import constant, erf, pi
from refimpl.op import Edit, Law, Op, Probe, values
from refimpl.ops.common import sines
from refimpl.ops.layers import reference as text
from refimpl.ops.layers.spec.shared import (
    GATE_GRADIENT_LAWS,
    activations,
    gate_below_rectifier,
    gate_saturates,
    gate_symmetry,
    no_less,
)


def gelu_equation(f, x):
    tail = (1 - erf(x * np.sqrt(1 / constant(2, x)))) / 2
    yield f(x), x * (1 - tail)


def gelu_series(f, x):
    near = np.where(np.abs(values(x)) < 1, x, 0)
    term, total = near, near
    for n in range(1, 16):
        term = term * (near * near) / (-2 * n)
        total = total + term / (2 * n + 1)
    yield f(near), near / 2 + near * total / np.sqrt(2 * pi(near))


def gelu_bounded(f, x):
    yield no_less(f(x), np.minimum(x, 0) / 2)
    yield no_less(f(x), -0.16997120747990369)


GELU = Op(
    text.gelu,
    laws=(
        Law("equals x minus x times the tail probability above x", gelu_equation),
        Law("equals its power series for small x", gelu_series),
        Law("f(x) - f(-x) = x", gate_symmetry),
        Law("lies below ReLU", gate_below_rectifier),
        Law("lies above x/2 and above its minimum -0.16997", gelu_bounded),
        Law("is the identity far above zero and zero far below", gate_saturates),
    ),
    probes=(
        Probe("where the known activations differ", lambda: {"x": activations()}),
        Probe("around the largest distance from the tanh form", lambda: {"x": np.array([2.699])}),
    ),
    mistakes=(
        Edit(
            "gelu/tanh-form",
            "uses the approximation by a hyperbolic tangent",
            "return x / 2 * (1 + erf(x / np.sqrt(constant(2, x))))",
            "return gelu_tanh(x)",
            effect="off by up to 4.7e-4 near ±2.7; more than 1e-2 after a whole ViT-B/32",
            source="https://github.com/tinygrad/tinygrad/pull/16162",
            invisible_when="the tolerance is 1e-3 on one layer",
        ),
        Edit(
            "gelu/quick",
            "uses x σ(1.702 x)",
            "return x / 2 * (1 + erf(x / np.sqrt(constant(2, x))))",
            "return quick_gelu(x)",
            effect="off by up to 0.020 at ±2.27; published benchmark numbers changed",
            source="https://github.com/mlfoundations/open_clip/issues/771",
            invisible_when="x is 0; rankings hardly change",
        ),
        Edit(
            "gelu/silu",
            "uses x σ(x)",
            "return x / 2 * (1 + erf(x / np.sqrt(constant(2, x))))",
            "return silu(x)",
            effect="off by up to 0.2",
            invisible_when="x is 0",
        ),
        Edit(
            "gelu/no-root-two",
            "leaves out the division by √2",
            "erf(x / np.sqrt(constant(2, x)))",
            "erf(x)",
            effect="too steep around zero",
            invisible_when="x is 0 or far from it",
        ),
        Edit(
            "gelu/no-half",
            "forgets to halve",
            "x / 2 *",
            "x *",
            effect="twice the activation",
            invisible_when="x is 0 or far below it",
        ),
        Edit(
            "gelu/gate-alone",
            "returns the probability without the factor x",
            "x / 2 * (1 + erf",
            "1 / 2 * (1 + erf",
            effect="activations between 0 and 1",
            invisible_when="x is 1 or far below zero",
        ),
    ),
)


def gelu_vjp_from_gelu(f, x, grad):
    bell = np.exp(-(x**2) / 2) / np.sqrt(2 * pi(x))
    yield x * f(x, grad), grad * (text.gelu(x) + x * x * bell)


def gelu_vjp_near_tanh(f, x, grad):
    yield no_less(2e-3 * np.abs(grad), np.abs(f(x, grad) - text.gelu_tanh_vjp(x, grad)))


GELU_VJP = Op(
    text.gelu_vjp,
    laws=(
        Law("x times the gradient is gelu plus x² times the density", gelu_vjp_from_gelu),
        Law("is within 2e-3 of the gradient of the tanh form", gelu_vjp_near_tanh),
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
            "gelu_vjp/density-forgotten",
            "returns the probability alone, as though it did not depend on x",
            "(probability + x * density)",
            "probability",
            effect="off by up to 0.24 at ±1",
            invisible_when="x is 0 or far from it",
        ),
        Edit(
            "gelu_vjp/x-forgotten",
            "adds the density without the factor x",
            "probability + x * density",
            "probability + density",
            effect="off by 0.4 at 0",
            invisible_when="x is 1 or far from it",
        ),
        Edit(
            "gelu_vjp/density-not-normalised",
            "leaves out the division by √(2π)",
            " / np.sqrt(2 * pi(x))",
            "",
            effect="the second term is 2.5 times too large",
            invisible_when="x is 0 or far from it",
        ),
        Edit(
            "gelu_vjp/exponent-not-halved",
            "forgets to halve the square in the exponent",
            "np.exp(-(x * x) / 2)",
            "np.exp(-(x * x))",
            effect="the bell is too narrow",
            invisible_when="x is 0 or far from it",
        ),
        Edit(
            "gelu_vjp/of-the-tanh-form",
            "takes the gradient of the approximation by a hyperbolic tangent",
            "grad * (probability + x * density)",
            "gelu_tanh_vjp(x, grad)",
            effect="off by up to 1e-3",
            invisible_when="the tolerance is 1e-2",
        ),
        Edit(
            "gelu_vjp/of-quick-gelu",
            "takes the gradient of x σ(1.702 x)",
            "grad * (probability + x * density)",
            "quick_gelu_vjp(x, grad)",
            effect="off by up to 0.03",
            invisible_when="x is 0 or far from it",
        ),
        Edit(
            "gelu_vjp/grad-ignored",
            "returns the derivative without grad",
            "return grad * (",
            "return 1 * (",
            effect="layers above have no effect",
            invisible_when="grad is 1",
        ),
    ),
    outputs=("x_grad",),
)
