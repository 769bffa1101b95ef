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
        Law("shut, it is the trained network", shut),
        Law("opposite gates take opposite branches", both_ways),
        Law("the trained network goes straight through", of_the_sum),
        Law("an opposite branch is an opposite gate", turned),
    ),
    probes=(Probe("half open", probe(0.5)), Probe("wide open", probe(2.0))),
    mistakes=(
        wrong(
            "tan",
            "takes the tangent",
            OPEN,
            "(np.sin(gate) / np.cos(gate))",
            "it explodes near 1.57",
            "the gate is shut",
            source="https://github.com/lucidrains/flamingo-pytorch/pull/2",
        ),
        wrong(
            "no-gate",
            "adds the branch as it is",
            f"{OPEN} * branch",
            "branch + 0 * gate",
            "the trained network is changed from the beginning",
            "never",
        ),
        wrong(
            "not-bounded",
            "takes the number for the gate",
            OPEN,
            "gate",
            "too large a branch",
            "the gate is shut",
        ),
        wrong(
            "logistic",
            "takes a logistic gate",
            OPEN,
            "1 / (1 + np.exp(-gate))",
            "half open at first",
            "never",
        ),
        wrong(
            "gates-everything",
            "gates the sum",
            "x + np.tanh(gate) * branch",
            "np.tanh(gate) * (x + branch)",
            "nothing of the trained network is left",
            "never",
        ),
        wrong(
            "shut-turns-off",
            "gives the trained network the rest",
            "x + np.tanh(gate) * branch",
            "(1 - np.tanh(gate)) * x + np.tanh(gate) * branch",
            "the trained network fades",
            "the gate is shut",
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
        Law("goes straight to the trained network", straight),
        Law("a gate that is shut learns, and its branch does not", learns_when_shut),
        Law("opposite gates pull branches opposite ways, and gates the same way", odd_and_even),
        Law("slope and square of the gate are one", with_the_gate),
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
            "forgets the slope of the gate",
            SLOPE,
            "(1 + 0 * opened)",
            "an open gate moves too fast",
            "the gate is shut",
        ),
        wrong_vjp(
            "branch-not-gated",
            "lets everything through to the branch",
            "opened * grad",
            "grad",
            "the branch learns behind a gate that is shut",
            "never",
        ),
        wrong_vjp(
            "mean-for-sum",
            "averages what pulls the gate",
            "np.sum(grad * branch)",
            "np.mean(grad * branch)",
            "the gate hardly moves",
            "there is one number",
        ),
        wrong_vjp(
            "gate-by-x",
            "pulls the gate by what arrives alone",
            "np.sum(grad * branch)",
            "np.sum(grad)",
            "the gate opens for any branch",
            "the branch is 1",
        ),
        wrong_vjp(
            "tanh-not-squared",
            "takes one minus the gate for its slope",
            SLOPE,
            "(1 - np.abs(opened))",
            "the gate moves too slowly",
            "the gate is shut",
        ),
        wrong_vjp(
            "passed-gated",
            "gates what goes to the trained network",
            "return grad,",
            "return opened * grad,",
            "layers below learn nothing",
            "never",
        ),
    ),
    values={"gate": lambda source, sizes: np.array(source.choice([0.5, 0.0, -1.25, 2.5, 0.125]))},
)
