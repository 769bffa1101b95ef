"""What is known about dpo_loss, its gradient and ipo_loss: laws, probes and mistakes."""

import numpy as np

from refimpl.constants import constant
from refimpl.gradients import LINEAR_IN_GRAD
from refimpl.op import Edit, Law, Op, Probe
from refimpl.ops.common import by_name, draw_loss_gradient
from refimpl.ops.preferences import reference as text
from refimpl.ops.preferences.spec.shared import choose

MARGIN = "(chosen - chosen_reference) - (rejected - rejected_reference)"
MIXED = "(1 - smoothing) * right + smoothing * wrong"
BETAS = choose(0.1, 0.5, 0.01, 2.0)


def same_policy(f, chosen, rejected, chosen_reference, rejected_reference, beta, smoothing):
    found = f(chosen, rejected, chosen, rejected, beta, smoothing)
    yield found, np.log(constant(2, chosen))


def question_by_question(f, chosen, rejected, chosen_reference, rejected_reference, *rest):
    more = np.arange(len(chosen))
    moved = f(chosen + more, rejected + more, chosen_reference, rejected_reference, *rest)
    yield moved, f(chosen, rejected, chosen_reference, rejected_reference, *rest)


def answers_exchanged(f, chosen, rejected, chosen_reference, rejected_reference, beta, smoothing):
    there = f(chosen, rejected, chosen_reference, rejected_reference, beta, 1.0)
    back = f(rejected, chosen, rejected_reference, chosen_reference, beta, 0.0)
    yield there, back


def linear_in_smoothing(f, *given):
    none, half, whole = (f(*given[:-1], smoothing) for smoothing in (0.0, 0.5, 1.0))
    yield half, (none + whole) / 2


def as_rewards(f, chosen, rejected, chosen_reference, rejected_reference, beta, smoothing):
    rewards = beta * (chosen - chosen_reference), beta * (rejected - rejected_reference)
    found = f(chosen, rejected, chosen_reference, rejected_reference, beta, 0.0)
    yield found, text.preference_loss(*rewards)


def one_pair(**others):
    return {
        "chosen": np.array([-10.0]),
        "rejected": np.array([-12.0]),
        "chosen_reference": np.array([-11.0]),
        "rejected_reference": np.array([-11.5]),
        **others,
    }


def four_pairs(**others):
    return {
        "chosen": np.array([-10.0, -40.0, -3.0, -7.0]),
        "rejected": np.array([-12.0, -30.0, -4.0, -9.0]),
        "chosen_reference": np.array([-11.0, -35.0, -3.5, -5.0]),
        "rejected_reference": np.array([-11.5, -33.0, -6.0, -9.5]),
        **others,
    }


def margins(name, whole=MARGIN):
    """Mistakes of the difference that both losses take."""
    return (
        Edit(
            f"{name}/without-reference",
            "leaves out the reference model",
            whole,
            "chosen - rejected + 0 * (chosen_reference + rejected_reference)",
            effect="answers that were likely before are preferred",
            invisible_when="the reference likes both answers equally",
        ),
        Edit(
            f"{name}/answers-exchanged",
            "exchanges the preferred and the rejected answer",
            whole,
            "(rejected - rejected_reference) - (chosen - chosen_reference)",
            effect="the worse answer is learned",
            invisible_when="the policy is its reference",
        ),
        Edit(
            f"{name}/added",
            "adds the two rewards instead of subtracting",
            whole,
            "(chosen - chosen_reference) + (rejected - rejected_reference)",
            effect="both answers are learned",
        ),
        Edit(
            f"{name}/references-exchanged",
            "exchanges the reference's log probabilities",
            whole,
            "(chosen - rejected_reference) - (rejected - chosen_reference)",
            effect="the reference counts with the other sign",
            invisible_when="the reference likes both answers equally",
        ),
    )


DPO_LOSS = Op(
    text.dpo_loss,
    laws=(
        Law("is log 2 where the policy is its reference", by_name(same_policy)),
        Law("a constant for both answers changes nothing", by_name(question_by_question)),
        Law("a smoothing of 1 exchanges the answers", by_name(answers_exchanged)),
        Law("is linear in the smoothing", by_name(linear_in_smoothing)),
        Law("is preference_loss with scaled log ratios as rewards", by_name(as_rewards)),
    ),
    probes=(
        Probe("one pair", lambda: one_pair(beta=0.1, smoothing=0.0)),
        Probe("four pairs, smoothing 0.1", lambda: four_pairs(beta=0.5, smoothing=0.1)),
    ),
    mistakes=(
        *margins("dpo_loss"),
        Edit(
            "dpo_loss/beta-forgotten",
            "leaves out beta",
            "beta * margin",
            "margin + 0 * beta",
            effect="the policy moves too far from its reference",
            invisible_when="beta is 1",
        ),
        Edit(
            "dpo_loss/summed",
            "sums over the pairs",
            f"np.mean({MIXED})",
            f"np.sum({MIXED})",
            effect="the step size depends on the batch",
            invisible_when="there is one pair",
        ),
        Edit(
            "dpo_loss/not-smoothed",
            "ignores the smoothing",
            MIXED,
            "right + 0 * smoothing",
            effect="noisy labels are learned as if they were certain",
            invisible_when="the smoothing is 0",
        ),
        Edit(
            "dpo_loss/beta-outside",
            "scales the loss instead of the difference",
            "beta * margin",
            "margin",
            also=(("", f"np.mean({MIXED})", f"beta * np.mean({MIXED})"),),
            effect="the optimum changes, not only the step size",
            invisible_when="beta is 1",
        ),
    ),
    values={"beta": BETAS, "smoothing": choose(0.0, 0.1, 0.2)},
)


def opposite(f, *given):
    chosen_grad, rejected_grad = f(*given)
    yield rejected_grad, -chosen_grad


def gradient_of_same_policy(f, chosen, rejected, cref, rref, beta, smoothing, grad):
    found = f(chosen, rejected, chosen, rejected, beta, 0.0, grad)[0]
    yield found, -grad * beta / (2 * len(chosen)) * np.ones(len(chosen))


def gradient_as_rewards(f, chosen, rejected, cref, rref, beta, smoothing, grad):
    found = f(chosen, rejected, cref, rref, beta, 0.0, grad)[0]
    told = text.preference_loss_vjp(beta * (chosen - cref), beta * (rejected - rref), grad)[0]
    yield found, beta * told


def gradient_linear_in_smoothing(f, *given):
    *rest, _, grad = given
    none, half, whole = (f(*rest, smoothing, grad)[0] for smoothing in (0.0, 0.5, 1.0))
    yield half, (none + whole) / 2


SLOPE = "grad * beta / len(chosen) * doubt"
DPO_LOSS_VJP = Op(
    text.dpo_loss_vjp,
    laws=(
        LINEAR_IN_GRAD,
        Law("the gradients of the two answers cancel", by_name(opposite)),
        Law("is half of beta where the policy is its reference", by_name(gradient_of_same_policy)),
        Law("is beta times the gradient of preference_loss", by_name(gradient_as_rewards)),
        Law("is linear in the smoothing", by_name(gradient_linear_in_smoothing)),
    ),
    probes=(
        Probe("one pair", lambda: one_pair(beta=0.1, smoothing=0.0, grad=np.array(1.0))),
        Probe(
            "four pairs, smoothing 0.1",
            lambda: four_pairs(beta=0.5, smoothing=0.1, grad=np.array(2.5)),
        ),
    ),
    mistakes=(
        *margins("dpo_loss_vjp"),
        Edit(
            "dpo_loss_vjp/beta-forgotten",
            "leaves out the factor beta of the gradient",
            SLOPE,
            "grad / len(chosen) * doubt",
            effect="the step is 1/beta times too large",
            invisible_when="beta is 1",
        ),
        Edit(
            "dpo_loss_vjp/not-averaged",
            "forgets that the loss is a mean",
            SLOPE,
            "grad * beta * doubt",
            effect="the step size depends on the batch",
            invisible_when="there is one pair",
        ),
        Edit(
            "dpo_loss_vjp/rejected-untouched",
            "gives the rejected answer no gradient",
            "chosen_grad, -chosen_grad",
            "chosen_grad, 0 * chosen_grad",
            effect="the rejected answer stays likely",
        ),
        Edit(
            "dpo_loss_vjp/sign",
            "changes the sign",
            SLOPE,
            f"-{SLOPE}",
            effect="the worse answer is learned",
        ),
    ),
    outputs=("chosen_grad", "rejected_grad"),
    values={"beta": BETAS, "smoothing": choose(0.0, 0.1, 0.2), "grad": draw_loss_gradient},
)


def ipo_same_policy(f, chosen, rejected, chosen_reference, rejected_reference, beta):
    yield f(chosen, rejected, chosen, rejected, beta), 1 / (4 * beta * beta)


def ipo_reached(f, chosen, rejected, chosen_reference, rejected_reference, beta):
    aim = 1 / (2 * beta) + 0 * chosen
    yield f(chosen, rejected, chosen - aim, rejected, beta), 0


def ipo_both_sides(f, chosen, rejected, chosen_reference, rejected_reference, beta):
    references = chosen_reference, rejected_reference
    there, back = (
        f(chosen, rejected, *references, beta),
        f(rejected, chosen, *references[::-1], beta),
    )
    margin = (chosen - chosen_reference) - (rejected - rejected_reference)
    yield there + back, 2 * np.mean(margin * margin) + 1 / (2 * beta * beta)


IPO_LOSS = Op(
    text.ipo_loss,
    laws=(
        Law("is 1 / 4 β² where the policy is its reference", by_name(ipo_same_policy)),
        Law("is zero where the difference is 1/(2 beta)", by_name(ipo_reached)),
        Law("a constant for both answers changes nothing", by_name(question_by_question)),
        Law("the sum over both orders is even in the difference", by_name(ipo_both_sides)),
    ),
    probes=(
        Probe("one pair", lambda: one_pair(beta=0.1)),
        Probe("four pairs", lambda: four_pairs(beta=0.5)),
    ),
    mistakes=(
        *margins("ipo_loss"),
        Edit(
            "ipo_loss/aim-without-half",
            "aims at 1/beta instead of 1/(2 beta)",
            "1 / (2 * beta)",
            "1 / beta",
            effect="acts like half of beta",
        ),
        Edit(
            "ipo_loss/beta-scales",
            "scales the difference by beta, as DPO does, and aims at one half",
            "margin - 1 / (2 * beta)",
            "beta * margin - 1 / 2",
            effect="β² times the loss",
            invisible_when="beta is 1",
        ),
        Edit(
            "ipo_loss/summed",
            "sums over the pairs",
            "np.mean(",
            "np.sum(",
            effect="the step size depends on the batch",
            invisible_when="there is one pair",
        ),
        Edit(
            "ipo_loss/outgrown",
            "has no loss where the difference exceeds the target",
            "(margin - 1 / (2 * beta)) ** 2",
            "np.minimum(margin - 1 / (2 * beta), 0) ** 2",
            effect="preferences may grow without end",
            invisible_when="no difference is larger",
        ),
    ),
    values={"beta": BETAS},
)
