"""What is known about relu and its gradient: laws, probes, mistakes and a dialect."""

import numpy as np

from refimpl.gradients import LINEAR_IN_GRAD
from refimpl.op import Edit, Law, Op, Probe, values
from refimpl.ops.common import cosines, twice_is_once
from refimpl.ops.gates import reference as text

WHOLE = "np.maximum(x, 0)"
PASSED = "np.where(x > 0, grad, 0)"
BOTH_SIGNS = np.array([-8.0, -1.5, -0.25, 0.0, 0.125, 1.0, 3.0, 9.0])


def never_negative(f, x):
    yield np.minimum(f(x), 0), 0 * values(x)


def both_parts(f, x):
    yield f(x) - f(-x), x
    yield f(x) + f(-x), np.abs(x)


def positive_factors(f, x):
    yield f(4 * x), 4 * f(x)


RELU = Op(
    text.relu,
    laws=(
        Law("is never negative", never_negative),
        Law("twice is once", twice_is_once),
        Law("x is what it passes of x less what it passes of -x", both_parts),
        Law("a positive factor goes through", positive_factors),
    ),
    probes=(Probe("both signs and zero", lambda: {"x": BOTH_SIGNS}),),
    mistakes=(
        Edit(
            "relu/leaky",
            "passes a hundredth of what is negative",
            WHOLE,
            "np.maximum(x, x / 100)",
            effect="another function of the same weights",
            invisible_when="nothing is negative",
        ),
        Edit(
            "relu/absolute",
            "changes the sign of what is negative",
            WHOLE,
            "np.abs(x)",
            effect="nothing is closed",
            invisible_when="nothing is negative",
        ),
        Edit(
            "relu/stops-at-six",
            "passes no more than six",
            WHOLE,
            "np.minimum(np.maximum(x, 0), 6)",
            effect="large activations are cut",
            invisible_when="nothing is above six",
        ),
        Edit(
            "relu/negative-part",
            "passes what is negative",
            WHOLE,
            "np.minimum(x, 0)",
            effect="the other half",
            invisible_when="x is 0",
        ),
        Edit(
            "relu/silu",
            "uses silu instead",
            WHOLE,
            "silu(x)",
            effect="another function of the same weights",
            invisible_when="x is 0 or far from it",
        ),
        Edit(
            "relu/squared",
            "squares what passes",
            WHOLE,
            "np.maximum(x, 0) * np.maximum(x, 0)",
            effect="Primer's activation",
            invisible_when="x is 1 or not positive",
        ),
    ),
)


def passes_on_one_side(f, x, grad):
    apart = np.where(values(x) == 0, 1.0, values(x))
    yield f(apart, grad) + f(-apart, grad), grad


def only_the_sign_counts(f, x, grad):
    yield f(4 * x, grad), f(x, grad)


def what_arrives_is_rectified_once(f, x, grad):
    yield f(x, f(x, grad)), f(x, grad)


def of_itself(f, x, grad):
    yield f(x, x), text.relu(x)


RELU_VJP = Op(
    text.relu_vjp,
    laws=(
        LINEAR_IN_GRAD,
        Law("of x and -x one passes", passes_on_one_side),
        Law("only the sign of x counts", only_the_sign_counts),
        Law("twice is once", what_arrives_is_rectified_once),
        Law("what arrives as x itself comes out as its rectifier", of_itself),
    ),
    probes=(Probe("both signs and zero", lambda: {"x": BOTH_SIGNS, "grad": 1 - 3 * cosines(8)}),),
    mistakes=(
        Edit(
            "relu_vjp/not-closed",
            "passes everything",
            PASSED,
            "np.where(x > -np.inf, grad, 0)",
            effect="closed units learn",
            invisible_when="all is positive",
        ),
        Edit(
            "relu_vjp/other-side",
            "passes where x is negative",
            "where(x > 0",
            "where(x < 0",
            effect="closed units learn, open ones do not",
        ),
        Edit(
            "relu_vjp/guided",
            "drops what arrives below zero, too",
            PASSED,
            "np.where((x > 0) & (grad > 0), grad, 0)",
            effect="pictures for people, no gradient",
            invisible_when="all that arrives is positive",
        ),
        Edit(
            "relu_vjp/by-the-gradient",
            "asks for the sign of what arrives",
            "where(x > 0",
            "where(grad > 0",
            effect="units learn in one direction",
        ),
        Edit(
            "relu_vjp/times-x",
            "multiplies by what passed",
            PASSED,
            "np.where(x > 0, grad * x, 0)",
            effect="the gradient of half its square",
            invisible_when="x is 1 or not positive",
        ),
        Edit(
            "relu_vjp/leaky",
            "passes a hundredth where x is negative",
            PASSED,
            "np.where(x > 0, grad, grad / 100)",
            effect="does not belong to the forward pass",
            invisible_when="all is positive",
        ),
    ),
    dialects=(
        Edit(
            "relu_vjp/open-at-zero",
            "passes where x is zero",
            "where(x > 0",
            "where(x >= 0",
            effect="another subgradient at zero",
            invisible_when="no number is zero",
        ),
    ),
    outputs=("x_grad",),
)
