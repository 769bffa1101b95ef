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
        Law("applying it twice is applying it once", twice_is_once),
        Law("f(x) - f(-x) = x and f(x) + f(-x) = |x|", both_parts),
        Law("f(c x) = c f(x) for positive c", positive_factors),
    ),
    probes=(Probe("both signs and zero", lambda: {"x": BOTH_SIGNS}),),
    mistakes=(
        Edit(
            "relu/leaky",
            "multiplies negative entries by 0.01 instead of 0",
            WHOLE,
            "np.maximum(x, x / 100)",
            effect="a different activation than the weights were trained with",
            invisible_when="no entry is negative",
        ),
        Edit(
            "relu/absolute",
            "takes the absolute value",
            WHOLE,
            "np.abs(x)",
            effect="negative entries become positive",
            invisible_when="no entry is negative",
        ),
        Edit(
            "relu/stops-at-six",
            "clips at 6, as ReLU6 does",
            WHOLE,
            "np.minimum(np.maximum(x, 0), 6)",
            effect="entries above 6 become 6",
            invisible_when="no entry is above 6",
        ),
        Edit(
            "relu/negative-part",
            "keeps the negative entries instead of the positive",
            WHOLE,
            "np.minimum(x, 0)",
            effect="positive entries become zero",
            invisible_when="x is 0",
        ),
        Edit(
            "relu/silu",
            "uses silu instead",
            WHOLE,
            "silu(x)",
            effect="a different activation than the weights were trained with",
            invisible_when="x is 0 or far from it",
        ),
        Edit(
            "relu/squared",
            "squares the result",
            WHOLE,
            "np.maximum(x, 0) * np.maximum(x, 0)",
            effect="large entries grow too large; Primer's activation",
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
        Law("the gradients at x and at -x add up to grad", passes_on_one_side),
        Law("the gradient depends on the sign of x alone", only_the_sign_counts),
        Law("applying it twice is applying it once", what_arrives_is_rectified_once),
        Law("for grad = x it is f(x)", of_itself),
    ),
    probes=(Probe("both signs and zero", lambda: {"x": BOTH_SIGNS, "grad": 1 - 3 * cosines(8)}),),
    mistakes=(
        Edit(
            "relu_vjp/not-closed",
            "passes grad everywhere",
            PASSED,
            "np.where(x > -np.inf, grad, 0)",
            effect="units that were zero get a gradient",
            invisible_when="all entries are positive",
        ),
        Edit(
            "relu_vjp/other-side",
            "passes grad where x is negative",
            "where(x > 0",
            "where(x < 0",
            effect="units that were zero get a gradient, the others none",
        ),
        Edit(
            "relu_vjp/guided",
            "sets negative grad to zero as well, as guided backpropagation does",
            PASSED,
            "np.where((x > 0) & (grad > 0), grad, 0)",
            effect="a picture for visualisation, not the gradient",
            invisible_when="grad is positive",
        ),
        Edit(
            "relu_vjp/by-the-gradient",
            "passes grad where grad is positive, instead of where x is",
            "where(x > 0",
            "where(grad > 0",
            effect="no unit can be lowered",
        ),
        Edit(
            "relu_vjp/times-x",
            "multiplies by the result",
            PASSED,
            "np.where(x > 0, grad * x, 0)",
            effect="the gradient of f²/2",
            invisible_when="x is 1 or not positive",
        ),
        Edit(
            "relu_vjp/leaky",
            "passes 0.01 of grad where x is negative",
            PASSED,
            "np.where(x > 0, grad, grad / 100)",
            effect="the gradient of a different function",
            invisible_when="all entries are positive",
        ),
    ),
    dialects=(
        Edit(
            "relu_vjp/open-at-zero",
            "passes grad where x is zero",
            "where(x > 0",
            "where(x >= 0",
            effect="a different subgradient at zero",
            invisible_when="no entry is zero",
        ),
    ),
    outputs=("x_grad",),
)
