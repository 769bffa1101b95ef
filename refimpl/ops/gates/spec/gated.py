"""Gated linear units and their gradients: one account, told for three activations."""

import numpy as np

from refimpl.gradients import LINEAR_IN_GRAD
from refimpl.op import Edit, Law, Op, Probe
from refimpl.ops.common import sines
from refimpl.ops.gates import reference as text
from refimpl.ops.layers import reference as layers

GATE_FIRST = "https://github.com/ml-explore/mlx-lm/pull/767"
NO_GATE = "https://github.com/google-research/timesfm/issues/493"


def linear_in_up(f, gate, up):
    other = up * up
    yield f(gate, up - 3 * other), f(gate, up) - 3 * f(gate, other)


def closed_gate(f, gate, up):
    yield f(0 * gate, up), 0 * up


def odd_part(f, gate, up):
    yield f(gate, up) - f(-gate, up), gate * up


def sign_of_up(f, gate, up):
    yield f(gate, -up), -f(gate, up)


def each_by_itself(f, gate, up):
    yield f(gate[..., ::-1], up[..., ::-1]), f(gate, up)[..., ::-1]


def activation_alone(activation):
    def law(f, gate, up):
        yield f(gate, 0 * up + 1), activation(gate)

    return law


def slopes_add_up(f, gate, up, grad):
    there, _ = f(gate, up, grad)
    back, _ = f(-gate, up, grad)
    yield there + back, grad * up


def what_arrives_and_what_is_let_through_may_change_places(f, gate, up, grad):
    yield f(gate, up, grad)[0], f(gate, grad, up)[0]


def up_gradient_has_no_up(f, gate, up, grad):
    yield f(gate, up, grad)[1], f(gate, 2 - up, grad)[1]


def gradient_of_up(forward):
    def law(f, gate, up, grad):
        yield f(gate, up, grad)[1], forward(gate, grad)

    return law


def half_open(f, gate, up, grad):
    gate_grad, up_grad = f(0 * gate, up, grad)
    yield gate_grad, grad * up / 2
    yield up_grad, 0 * grad


def open_and_closed():
    """Gates from far closed to far open, each beside another number that they let through."""
    gate = np.array([-6.0, -3.0, -1.25, -0.5, 0.0, 0.75, 1.5, 2.5, 5.0])
    return {"gate": gate, "up": 2 + np.cos(np.arange(9.0))}


def gated(function, activation, others):
    """The record of a gated linear unit; `others` are activations that people confuse it with."""
    name, act = function.__name__, activation.__name__
    whole = f"{act}(gate) * up"
    return Op(
        function,
        laws=(
            Law("is linear in up", linear_in_up),
            Law("is zero behind a gate of zero", closed_gate),
            Law("f(g, up) - f(-g, up) is g times up", odd_part),
            Law("changes sign with up", sign_of_up),
            Law("each number depends on its own gate and up alone", each_by_itself),
            Law(f"is {act} where up is one", activation_alone(activation)),
        ),
        probes=(Probe("gates from closed to open", open_and_closed),),
        mistakes=(
            Edit(
                f"{name}/activation-on-up",
                "applies the activation to up instead of gate",
                whole,
                f"{act}(up) * gate",
                effect="wrong with given weights; a model trained this way hides it",
                source=GATE_FIRST,
                invisible_when="gate and up are equal",
            ),
            Edit(
                f"{name}/without-gate",
                "returns the activation of gate, without multiplying by up",
                whole,
                f"{act}(gate)",
                effect="the second projection has no effect",
                source=NO_GATE,
                invisible_when="up is 1",
            ),
            Edit(
                f"{name}/both-activated",
                "applies the activation to both gate and up",
                whole,
                f"{act}(gate) * {act}(up)",
                effect="negative values of up all but vanish",
                invisible_when="gate is 0",
            ),
            Edit(
                f"{name}/sum",
                "adds the two projections instead of multiplying them",
                whole,
                f"{act}(gate) + up",
                effect="gate cannot suppress up",
                invisible_when="both are 0, or both are 2 far above zero",
            ),
            Edit(
                f"{name}/gate-twice",
                "multiplies by the gate once more",
                f"{act}(gate)",
                f"gate * {act}(gate)",
                effect="too small near zero, too large far above",
                invisible_when="gate is 1",
            ),
            *(
                Edit(
                    f"{name}/{other.replace('_', '-')}",
                    f"uses {other} instead of {act}",
                    f"{act}(gate)",
                    f"{other}(gate)",
                    effect="a different activation than the weights were trained with",
                    invisible_when="gate is 0 or far from it",
                )
                for other in others
            ),
            Edit(
                f"{name}/rectifier",
                "uses ReLU instead",
                f"{act}(gate)",
                "gate * (gate > 0)",
                effect="a negative gate gives exactly zero",
                invisible_when="gate is 0 or far from it",
            ),
        ),
    )


def gated_vjp(function, forward, activation, others):
    """The record of its gradient."""
    name, act = function.__name__, activation.__name__
    slope = f"{act}_vjp(gate, grad * up)"
    whole = f"{slope}, grad * {act}(gate)"

    def probe():
        return {**open_and_closed(), "grad": 1 + sines(9) / 2}

    return Op(
        function,
        laws=(
            LINEAR_IN_GRAD,
            Law("the gradients of gate at g and -g add up to grad times up", slopes_add_up),
            Law(
                "exchanging grad and up leaves the gradient of gate as it is",
                what_arrives_and_what_is_let_through_may_change_places,
            ),
            Law("the gradient of up does not depend on up", up_gradient_has_no_up),
            Law(
                "the gradient of up is the operation with grad in the place of up",
                gradient_of_up(forward),
            ),
            Law("at a gate of zero the gradients are half of grad times up, and zero", half_open),
        ),
        probes=(Probe("gates from closed to open", probe),),
        outputs=("gate_grad", "up_grad"),
        mistakes=(
            Edit(
                f"{name}/up-forgotten",
                "leaves up out of the gradient of the gate",
                slope,
                f"{act}_vjp(gate, grad)",
                effect="the gradient of gate lacks the factor up",
                invisible_when="up is 1",
            ),
            Edit(
                f"{name}/slope-forgotten",
                "uses the activation's value instead of its derivative",
                slope,
                f"{act}(gate) * grad * up",
                effect="nearly no gradient near zero, too much far above",
                invisible_when="grad or up is 0",
            ),
            Edit(
                f"{name}/exchanged",
                "returns the two gradients in the other order",
                whole,
                f"grad * {act}(gate), {slope}",
                effect="gate gets the gradient of up, and up that of gate",
                invisible_when="grad is 0",
            ),
            Edit(
                f"{name}/gate-not-activated",
                "uses gate itself, not its activation, for the gradient of up",
                f"grad * {act}(gate)",
                "grad * gate",
                effect="up gets a gradient where the gate is closed",
                invisible_when="gate is 0 or far above it",
            ),
            Edit(
                f"{name}/activation-on-up",
                "takes the gradient of the form that applies the activation to up",
                whole,
                f"grad * {act}(up), {act}_vjp(up, grad * gate)",
                effect="wrong with given weights; a model trained this way hides it",
                source=GATE_FIRST,
                invisible_when="grad is 0",
            ),
            *(
                Edit(
                    f"{name}/of-{other.replace('_', '-')}",
                    f"takes the gradient of the form with {other}",
                    whole,
                    f"{other}_vjp(gate, grad * up), grad * {other}(gate)",
                    effect="the gradient of a different function",
                    invisible_when="gate is far from 0",
                )
                for other in others
            ),
        ),
    )


SWIGLU = gated(text.swiglu, layers.silu, ("gelu", "gelu_tanh"))
SWIGLU_VJP = gated_vjp(text.swiglu_vjp, text.swiglu, layers.silu, ("gelu",))
GEGLU = gated(text.geglu, layers.gelu, ("silu", "gelu_tanh"))
GEGLU_VJP = gated_vjp(text.geglu_vjp, text.geglu, layers.gelu, ("silu", "gelu_tanh"))
GEGLU_TANH = gated(text.geglu_tanh, layers.gelu_tanh, ("silu", "gelu"))
GEGLU_TANH_VJP = gated_vjp(text.geglu_tanh_vjp, text.geglu_tanh, layers.gelu_tanh, ("silu", "gelu"))
