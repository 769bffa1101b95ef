"""What is known about gelu_tanh and its gradient: laws, probes, mistakes and dialects."""

import numpy as np

from refimpl.constants import pi
from refimpl.op import Edit, Law, Op, Probe
from refimpl.ops.common import sines
from refimpl.ops.layers import reference as text
from refimpl.ops.layers.spec.shared import (
    GATE_GRADIENT_LAWS,
    activations,
    gate_below_rectifier,
    gate_saturates,
    gate_symmetry,
    largest,
    no_less,
)


def _inner(x):
    """The argument of the hyperbolic tangent, factored."""
    return np.sqrt(2 / pi(x)) * x * (1 + 0.044715 * (x * x))


def gelu_tanh_equation(f, x):
    if largest(x) < 8:
        yield f(x), x / (1 + np.exp(-2 * _inner(x)))


def gelu_tanh_even_part(f, x):
    yield f(x) + f(-x), x * np.tanh(_inner(x))


def gelu_tanh_near_gelu(f, x):
    yield no_less(4.74e-4, np.abs(f(x) - text.gelu(x)))


GELU_TANH = Op(
    text.gelu_tanh,
    laws=(
        Law("equals x times the sigmoid of twice the tangent's argument", gelu_tanh_equation),
        Law("f(x) + f(-x) is x times the hyperbolic tangent", gelu_tanh_even_part),
        Law("f(x) - f(-x) = x", gate_symmetry),
        Law("is within 4.74e-4 of gelu", gelu_tanh_near_gelu),
        Law("lies below ReLU", gate_below_rectifier),
        Law("is the identity far above zero and zero far below", gate_saturates),
    ),
    probes=(
        Probe("where the known activations differ", lambda: {"x": activations()}),
        Probe("around the largest distance from gelu", lambda: {"x": np.array([2.699])}),
        Probe("at two, where the cube is exact", lambda: {"x": np.array([-2.0, 2.0])}),
    ),
    mistakes=(
        Edit(
            "gelu_tanh/erf-form",
            "uses the exact form with the error function",
            "return x / 2 * (1 + np.tanh(np.sqrt(2 / pi(x)) * (x + 0.044715 * x**3)))",
            "return gelu(x)",
            effect="off by up to 4.7e-4 near ±2.7; more than 1e-2 after a whole ViT-B/32",
            source="https://github.com/tinygrad/tinygrad/pull/16162",
            invisible_when="the tolerance is 1e-3 on one layer",
        ),
        Edit(
            "gelu_tanh/quick",
            "uses x σ(1.702 x)",
            "return x / 2 * (1 + np.tanh(np.sqrt(2 / pi(x)) * (x + 0.044715 * x**3)))",
            "return quick_gelu(x)",
            effect="off by up to 0.021",
            source="https://github.com/mlfoundations/open_clip/issues/771",
            invisible_when="x is 0; rankings hardly change",
        ),
        Edit(
            "gelu_tanh/no-root",
            "multiplies by 2/π instead of its root",
            "np.sqrt(2 / pi(x))",
            "2 / pi(x)",
            effect="too flat around zero",
            invisible_when="x is 0 or far from it",
        ),
        Edit(
            "gelu_tanh/no-cubic-term",
            "leaves the cubic term out",
            "(x + 0.044715 * x**3)",
            "x",
            effect="off by up to 0.034",
            invisible_when="x is near 0",
        ),
        Edit(
            "gelu_tanh/short-constant",
            "writes 0.0447 for 0.044715",
            "0.044715 * x**3",
            "0.0447 * x**3",
            effect="off by up to 9e-6",
            invisible_when="the tolerance is 1e-4",
        ),
        Edit(
            "gelu_tanh/brace-misplaced",
            "multiplies the linear term alone by the root of 2/π",
            "np.sqrt(2 / pi(x)) * (x + 0.044715 * x**3)",
            "np.sqrt(2 / pi(x)) * x + 0.044715 * x**3",
            effect="the cubic term is a quarter too large",
            invisible_when="x is near 0",
        ),
        Edit(
            "gelu_tanh/square",
            "squares x where it should be cubed",
            "0.044715 * x**3",
            "0.044715 * x**2",
            effect="the symmetry of positive and negative x is lost",
            invisible_when="x is 0 or 1",
        ),
    ),
)


def gelu_tanh_vjp_equation(f, x, grad):
    if largest(x) < 8:
        k = np.sqrt(8 / pi(x))
        gate = text.sigmoid(k * (x + 0.044715 * x**3))
        steep = k * (x + 0.134145 * x**3)
        yield f(x, grad), grad * gate * (1 + steep * (1 - gate))


def gelu_tanh_vjp_near_gelu(f, x, grad):
    yield no_less(2e-3 * np.abs(grad), np.abs(f(x, grad) - text.gelu_vjp(x, grad)))


GELU_TANH_VJP = Op(
    text.gelu_tanh_vjp,
    laws=(
        Law("equals the form written with a logistic function", gelu_tanh_vjp_equation),
        Law("is within 2e-3 of the gradient of gelu", gelu_tanh_vjp_near_gelu),
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
            "gelu_tanh_vjp/tanh-factor-dropped",
            "drops the derivative 1 - h² of the hyperbolic tangent",
            "x * bell * inner",
            "x * inner",
            effect="gradients grow with the cube of x",
            invisible_when="x is 0",
        ),
        Edit(
            "gelu_tanh_vjp/inner-derivative-dropped",
            "drops the derivative of the tangent's argument",
            "bell * inner",
            "bell",
            effect="off by up to 0.1",
            invisible_when="x is 0 or far from it",
        ),
        Edit(
            "gelu_tanh_vjp/product-rule-forgotten",
            "differentiates the first factor alone",
            "(1 + h + x * bell * inner)",
            "(1 + h)",
            effect="off by up to 0.24 at ±1",
            invisible_when="x is 0 or far from it",
        ),
        Edit(
            "gelu_tanh_vjp/cubic-term-not-tripled",
            "forgets the factor 3 of the derivative of the cube",
            "3 * (0.044715",
            "(0.044715",
            effect="off by up to 0.04",
            invisible_when="x is near 0",
        ),
        Edit(
            "gelu_tanh_vjp/tangent-not-squared",
            "writes 1 - h instead of 1 - h², with h the tangent",
            "np.maximum(1 - h * h, 0)",
            "(1 - h)",
            effect="wrong for both signs of x",
            invisible_when="x is 0 or far above it",
        ),
        Edit(
            "gelu_tanh_vjp/of-the-erf-form",
            "takes the gradient of the exact form",
            "grad / 2 * (1 + h + x * bell * inner)",
            "gelu_vjp(x, grad)",
            effect="off by up to 1e-3",
            invisible_when="the tolerance is 1e-2",
        ),
        Edit(
            "gelu_tanh_vjp/not-halved",
            "forgets to halve",
            "grad / 2 *",
            "grad *",
            effect="twice the gradient",
            invisible_when="x is far below 0",
        ),
    ),
    outputs=("x_grad",),
)
