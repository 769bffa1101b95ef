"""What is known about sigmoid and its gradient: laws, probes, mistakes and dialects."""

import numpy as np

from refimpl.gradients import LINEAR_IN_GRAD
from refimpl.op import Edit, Law, Op, Probe
from refimpl.ops.common import sines
from refimpl.ops.layers import reference as text
from refimpl.ops.layers.spec.shared import SAFE, activations, largest, no_less


def sigmoid_equation(f, z):
    if largest(z) < SAFE:
        yield f(z), 1 / (1 + np.exp(-z))


def sigmoid_complement(f, z):
    yield f(z) + f(-z), 1


def sigmoid_tanh(f, z):
    yield 2 * f(z) - 1, np.tanh(z / 2)


def sigmoid_odds(f, z):
    if largest(z) < SAFE:
        yield f(z), np.exp(z) * f(-z)


def sigmoid_double(f, z):
    yes, no = f(z) ** 2, f(-z) ** 2
    yield f(2 * z), yes / (yes + no)


def sigmoid_increasing(f, z):
    yield no_less(f(z + 1), f(z))


def sigmoid_range(f, z):
    yield no_less(f(z), 0)
    yield no_less(1, f(z))


SIGMOID = Op(
    text.sigmoid,
    laws=(
        Law("equals 1/(1 + exp(-z))", sigmoid_equation),
        Law("f(z) + f(-z) = 1", sigmoid_complement),
        Law("is a shifted hyperbolic tangent of half of z", sigmoid_tanh),
        Law("the odds f/(1 - f) are exp(z)", sigmoid_odds),
        Law("doubling z squares the odds f/(1 - f)", sigmoid_double),
        Law("increases", sigmoid_increasing),
        Law("lies between 0 and 1", sigmoid_range),
    ),
    probes=(
        Probe("both tails", lambda: {"z": np.array([-1000.0, -100, -20, -6, 0, 3, 12, 1000])}),
    ),
    mistakes=(
        Edit(
            "sigmoid/overflowing-quotient",
            "computes exp(z)/(1 + exp(z)) for large z, too",
            "np.exp(np.minimum(z, 0)) / (1 + np.exp(-np.abs(z)))",
            "np.exp(z) / (1 + np.exp(z))",
            effect="inf / inf = NaN once z exceeds 88.7 in float32",
            source="https://github.com/NervanaSystems/ngraph/pull/3118",
            invisible_when="z is moderate",
        ),
        Edit(
            "sigmoid/hard",
            "uses the piecewise linear approximation (z + 3)/6",
            "np.exp(np.minimum(z, 0)) / (1 + np.exp(-np.abs(z)))",
            "np.clip((z + 3) / 6, 0, 1)",
            effect="off by up to 0.07",
            invisible_when="z is 0 or far from it",
        ),
        Edit(
            "sigmoid/sign",
            "changes the sign of z",
            "np.minimum(z, 0)",
            "np.minimum(-z, 0)",
            effect="probabilities of the opposite event",
            invisible_when="z is 0",
        ),
        Edit(
            "sigmoid/tanh-unhalved",
            "forgets to halve z in the form with the hyperbolic tangent",
            "np.exp(np.minimum(z, 0)) / (1 + np.exp(-np.abs(z)))",
            "(1 + np.tanh(z)) / 2",
            effect="twice too steep",
            invisible_when="z is 0 or far from it",
        ),
        Edit(
            "sigmoid/clipped-logits",
            "clips z to ±10",
            "np.exp(np.minimum(z, 0)) / (1 + np.exp(-np.abs(z)))",
            "1 / (1 + np.exp(-np.clip(z, -10, 10)))",
            effect="no probability is below 4.5e-5",
            source="https://github.com/harvard-edge/cs249r_book/pull/1140",
            invisible_when="z lies within ±10",
        ),
        Edit(
            "sigmoid/softsign",
            "uses z / (1 + |z|), shifted and halved, instead of the logistic function",
            "np.exp(np.minimum(z, 0)) / (1 + np.exp(-np.abs(z)))",
            "(1 + z / (1 + np.abs(z))) / 2",
            effect="tails fall off as 1 / z",
        ),
    ),
)


def sigmoid_vjp_equation(f, z, grad):
    yield f(z, grad), grad * text.sigmoid(z) * text.sigmoid(-z)


def sigmoid_vjp_even(f, z, grad):
    yield f(-z, grad), f(z, grad)


def sigmoid_vjp_tanh(f, z, grad):
    yield f(z, grad), grad / 4 * (1 - np.tanh(z / 2) ** 2)


def sigmoid_vjp_at_most_a_quarter(f, z, grad):
    yield no_less(np.abs(grad) / 4, np.abs(f(z, grad)))
    yield f(0 * z, grad), grad / 4


SIGMOID_VJP = Op(
    text.sigmoid_vjp,
    laws=(
        Law("is grad times p times 1 - p", sigmoid_vjp_equation),
        Law("is the same for z and -z", sigmoid_vjp_even),
        Law("is a quarter of that of the hyperbolic tangent at half of z", sigmoid_vjp_tanh),
        Law("is at most a quarter of grad, which it is at 0", sigmoid_vjp_at_most_a_quarter),
        LINEAR_IN_GRAD,
    ),
    probes=(Probe("both tails", lambda: {"z": activations(), "grad": 1 + sines(16)}),),
    mistakes=(
        Edit(
            "sigmoid_vjp/of-a-probability",
            "takes z itself for the probability",
            "(odds / ((1 + odds) * (1 + odds)))",
            "(z * (1 - z))",
            effect="the gradient is negative or grows with z",
            invisible_when="the forward result is passed in, as libraries do",
        ),
        Edit(
            "sigmoid_vjp/squashed-twice",
            "applies the sigmoid twice",
            "(odds / ((1 + odds) * (1 + odds)))",
            "(sigmoid(sigmoid(z)) * (1 - sigmoid(sigmoid(z))))",
            effect="nearly constant",
        ),
        Edit(
            "sigmoid_vjp/complement-forgotten",
            "forgets the factor 1 - p",
            "(odds / ((1 + odds) * (1 + odds)))",
            "sigmoid(z)",
            effect="the gradient does not vanish for large z",
            invisible_when="z is far below zero",
        ),
        Edit(
            "sigmoid_vjp/of-tanh",
            "takes the derivative 1 - p² of the hyperbolic tangent",
            "(odds / ((1 + odds) * (1 + odds)))",
            "(1 - sigmoid(z) * sigmoid(z))",
            effect="the gradient at 0 is 3/4 instead of 1/4",
        ),
        Edit(
            "sigmoid_vjp/of-log",
            "takes the derivative 1 - p of the logarithm",
            "(odds / ((1 + odds) * (1 + odds)))",
            "sigmoid(-z)",
            effect="the gradient does not vanish for very negative z",
            invisible_when="z is far above zero",
        ),
        Edit(
            "sigmoid_vjp/at-most-one",
            "scales the derivative to 1 at 0",
            "(odds / ((1 + odds) * (1 + odds)))",
            "(4 * odds / ((1 + odds) * (1 + odds)))",
            effect="four times the gradient",
        ),
    ),
    dialects=(
        Edit(
            "sigmoid_vjp/from-probabilities",
            "takes 1 - p from the rounded probabilities: torch, JAX",
            "(odds / ((1 + odds) * (1 + odds)))",
            "(sigmoid(z) * (1 - sigmoid(z)))",
            effect="for large z the gradient loses its digits, and is 0 from 17 on in float32",
            source="https://github.com/pytorch/pytorch/blob/main/tools/autograd/derivatives.yaml",
            invisible_when="z is not far above zero",
        ),
    ),
    outputs=("z_grad",),
)
