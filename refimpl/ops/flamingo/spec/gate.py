"""What is known about a gate that begins shut: laws, probes, mistakes."""

import numpy as np

from refimpl.gradients import LINEAR_IN_GRAD
from refimpl.op import Law, Op, Probe
from refimpl.ops.common import cosines, mistakes_of, sines
from refimpl.ops.flamingo import reference as text


def shut(f, x, branch, gate):
    yield f(x, branch, 0 * gate), x


def both_ways(f, x, branch, gate):
    yield f(x, branch, gate) + f(x, branch, -gate), 2 * x


def of_the_sum(f, x, branch, gate):
    yield f(x + branch, branch, gate), f(x, branch, gate) + branch


def turned(f, x, branch, gate):
    yield f(x, -branch, gate), f(x, branch, -gate)


def probe(gate):
    return lambda: {"x": sines(4), "branch": cosines(4), "gate": np.array(gate)}


wrong = mistakes_of("gated_residual")
OPEN = "np.tanh(gate)"

GATED_RESIDUAL = Op(
    text.gated_residual,
    laws=(
        Law("at gate 0 it is x", shut),
        Law("f(x, b, g) + f(x, b, -g) = 2 x", both_ways),
        Law("adding to x adds to the result", of_the_sum),
        Law("negating the branch is negating the gate", turned),
    ),
    probes=(Probe("half open", probe(0.5)), Probe("wide open", probe(2.0))),
    mistakes=(
        wrong(
            "tan",
            "uses tan instead of tanh",
            OPEN,
            "(np.sin(gate) / np.cos(gate))",
            "it explodes near a gate of 1.57",
            "the gate is 0",
            source="https://github.com/lucidrains/flamingo-pytorch/pull/2",
        ),
        wrong(
            "no-gate",
            "adds the branch without a gate",
            f"{OPEN} * branch",
            "branch + 0 * gate",
            "the pretrained network is changed from the start",
            "never",
        ),
        wrong(
            "not-bounded",
            "uses the gate without tanh",
            OPEN,
            "gate",
            "the branch may become too large",
            "the gate is 0",
        ),
        wrong(
            "logistic",
            "uses a sigmoid instead of tanh",
            OPEN,
            "1 / (1 + np.exp(-gate))",
            "the gate is 1/2 at the start instead of 0",
            "never",
        ),
        wrong(
            "gates-everything",
            "multiplies the sum x + branch by the gate",
            "x + np.tanh(gate) * branch",
            "np.tanh(gate) * (x + branch)",
            "at the start the pretrained network is lost",
            "never",
        ),
        wrong(
            "shut-turns-off",
            "multiplies x by 1 - tanh(gate)",
            "x + np.tanh(gate) * branch",
            "(1 - np.tanh(gate)) * x + np.tanh(gate) * branch",
            "the pretrained network fades as the gate opens",
            "the gate is 0",
        ),
    ),
    values={"gate": lambda source, sizes: np.array(source.choice([0.5, 0.0, -1.25, 2.0, 0.125]))},
)


def straight(f, branch, gate, grad):
    yield f(branch, gate, grad)[0], grad


def learns_when_shut(f, branch, gate, grad):
    _, branch_grad, gate_grad = f(branch, 0 * gate, grad)
    yield branch_grad, 0 * grad
    yield gate_grad, np.sum(grad * branch)


def odd_and_even(f, branch, gate, grad):
    there, back = f(branch, gate, grad), f(branch, -gate, grad)
    yield back[1], -there[1]
    yield back[2], there[2]


def with_the_gate(f, branch, gate, grad):
    """The slope of the gate is what the gate leaves of one, squared."""
    _, branch_grad, gate_grad = f(branch, gate, grad)
    yield gate_grad + np.sum(branch_grad * branch) * np.tanh(gate), np.sum(grad * branch)


wrong_vjp = mistakes_of("gated_residual_vjp")
SLOPE = "(1 - opened * opened)"

GATED_RESIDUAL_VJP = Op(
    text.gated_residual_vjp,
    outputs=("x_grad", "branch_grad", "gate_grad"),
    laws=(
        Law("the gradient of x is grad", straight),
        Law("at gate 0 the gate has a gradient, and the branch none", learns_when_shut),
        Law("negating the gate negates the branch's gradient and keeps the gate's", odd_and_even),
        Law("the gate's gradient has the factor 1 - tanh²", with_the_gate),
        LINEAR_IN_GRAD,
    ),
    probes=(
        Probe(
            "half open",
            lambda: {"branch": cosines(4), "gate": np.array(0.5), "grad": sines(4)[::-1]},
        ),
        Probe("wide open", lambda: {"branch": cosines(4), "gate": np.array(2.5), "grad": sines(4)}),
    ),
    mistakes=(
        wrong_vjp(
            "gate-not-differentiated",
            "leaves out the derivative of tanh",
            SLOPE,
            "(1 + 0 * opened)",
            "the gradient of an open gate is too large",
            "the gate is 0",
        ),
        wrong_vjp(
            "branch-not-gated",
            "does not multiply the branch's gradient by the gate",
            "opened * grad",
            "grad",
            "the branch gets a gradient at gate 0",
            "never",
        ),
        wrong_vjp(
            "mean-for-sum",
            "averages the gate's gradient instead of summing",
            "np.sum(grad * branch)",
            "np.mean(grad * branch)",
            "the gate learns too slowly",
            "there is one number",
        ),
        wrong_vjp(
            "gate-by-x",
            "leaves the branch out of the gate's gradient",
            "np.sum(grad * branch)",
            "np.sum(grad)",
            "the gate's gradient does not depend on the branch",
            "the branch is 1",
        ),
        wrong_vjp(
            "tanh-not-squared",
            "uses 1 - |tanh| instead of 1 - tanh²",
            SLOPE,
            "(1 - np.abs(opened))",
            "the gate's gradient is too small by the factor 1 + |tanh|",
            "the gate is 0",
        ),
        wrong_vjp(
            "passed-gated",
            "multiplies the gradient of x by the gate",
            "return grad,",
            "return opened * grad,",
            "at gate 0 the layers below get no gradient",
            "never",
        ),
    ),
    values={"gate": lambda source, sizes: np.array(source.choice([0.5, 0.0, -1.25, 2.5, 0.125]))},
)
