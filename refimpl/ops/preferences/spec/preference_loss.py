"""What is known about preference_loss and its gradient: laws, probes, mistakes."""

import numpy as np

from refimpl.constants import constant
from refimpl.gradients import LINEAR_IN_GRAD
from refimpl.op import Edit, Law, Op, Probe, values
from refimpl.ops.common import draw_loss_gradient
from refimpl.ops.layers import reference as layers
from refimpl.ops.preferences import reference as text

SUM = "np.maximum(-margin, 0) + np.log1p(np.exp(-np.abs(margin)))"
REVERSED = "https://github.com/tensorflow/ranking/issues/23"


def only_differences(f, chosen, rejected):
    yield f(chosen + 3, rejected + 3), f(chosen, rejected)


def equal_rewards(f, chosen, rejected):
    yield f(chosen, chosen), np.log(constant(2, chosen))


def exchanged(f, chosen, rejected):
    yield f(rejected, chosen) - f(chosen, rejected), np.mean(chosen - rejected)


def pair_by_pair(f, chosen, rejected):
    n = len(chosen)
    if n > 1:
        rest = f(chosen[1:], rejected[1:])
        yield n * f(chosen, rejected), f(chosen[:1], rejected[:1]) + (n - 1) * rest


def as_classification(f, chosen, rejected):
    logits = np.stack((chosen, rejected), axis=-1)
    yield f(chosen, rejected), layers.cross_entropy(logits, np.zeros(len(chosen), dtype=int))


def four_pairs(**others):
    return {
        "chosen": np.array([1.5, 0.2, -0.7, 0.9]),
        "rejected": np.array([0.0, 0.9, -0.2, -0.7]),
        **others,
    }


def far_apart(**others):
    return {"chosen": np.array([-100.0, 40.0]), "rejected": np.array([0.0, 0.0]), **others}


PREFERENCE_LOSS = Op(
    text.preference_loss,
    laws=(
        Law("depends on differences alone", only_differences),
        Law("equal rewards give log 2", equal_rewards),
        Law("exchanging the answers adds the difference to the loss", exchanged),
        Law("is the mean over the pairs", pair_by_pair),
        Law("is the cross-entropy of two classes", as_classification),
    ),
    probes=(
        Probe("four pairs", four_pairs),
        Probe("differences of -100 and 40", far_apart),
    ),
    mistakes=(
        Edit(
            "preference_loss/reversed",
            "exchanges the preferred and the rejected answer",
            "chosen - rejected",
            "rejected - chosen",
            effect="the worse answer is preferred",
            source=REVERSED,
            invisible_when="the rewards are equal",
        ),
        Edit(
            "preference_loss/summed",
            "sums over the pairs instead of averaging",
            "np.mean(",
            "np.sum(",
            effect="questions with many answers dominate",
            invisible_when="there is one pair",
        ),
        Edit(
            "preference_loss/probability",
            "returns minus the probability instead of minus its logarithm",
            f"np.mean({SUM})",
            "-np.mean(sigmoid(margin))",
            effect="pairs in the wrong order have almost no gradient",
        ),
        Edit(
            "preference_loss/hinge",
            "uses the hinge max(0, -d) instead of log(1 + exp(-d))",
            SUM,
            "np.maximum(-margin, 0)",
            effect="pairs in the right order have no gradient",
            invisible_when="rewards are far apart",
        ),
        Edit(
            "preference_loss/each-by-itself",
            "classifies each answer by itself instead of their difference",
            SUM,
            "np.log1p(np.exp(-np.abs(chosen))) + np.maximum(-chosen, 0)"
            " + np.log1p(np.exp(-np.abs(rejected))) + np.maximum(rejected, 0)",
            effect="rewards must be right by themselves, not their differences",
        ),
        Edit(
            "preference_loss/clipped",
            "clips differences at ten",
            "np.abs(margin)))",
            "np.minimum(np.abs(margin), 10)))",
            effect="clear pairs have too large a loss",
            invisible_when="rewards are less than ten apart",
        ),
    ),
    lossy=(
        Edit(
            "preference_loss/logarithm-of-sum",
            "takes log(1 + e^-d) as it is written",
            SUM,
            "np.log(1 + np.exp(-margin))",
            effect="inf for a difference of -100 in float32, 0 for one of 40",
            source="https://github.com/deepspeedai/DeepSpeedExamples/issues/423",
        ),
    ),
)


def opposite(f, chosen, rejected, grad):
    chosen_grad, rejected_grad = f(chosen, rejected, grad)
    yield rejected_grad, -chosen_grad


def gradient_of_equal_rewards(f, chosen, rejected, grad):
    half = -grad / (2 * len(chosen))
    yield f(chosen, chosen, grad)[0], half + 0 * values(chosen)


def gradient_both_orders(f, chosen, rejected, grad):
    there, back = f(chosen, rejected, grad)[0], f(rejected, chosen, grad)[0]
    yield there + back, -grad / len(chosen) + 0 * values(chosen)


def gradient_only_differences(f, chosen, rejected, grad):
    yield f(chosen + 3, rejected + 3, grad)[0], f(chosen, rejected, grad)[0]


SLOPE = "-grad / len(chosen) * sigmoid(rejected - chosen)"
PREFERENCE_LOSS_VJP = Op(
    text.preference_loss_vjp,
    laws=(
        LINEAR_IN_GRAD,
        Law("the gradients of the two answers cancel", opposite),
        Law("equal rewards give minus one half", gradient_of_equal_rewards),
        Law("the gradients of both orders sum to -1", gradient_both_orders),
        Law("depends on differences alone", gradient_only_differences),
    ),
    probes=(
        Probe("four pairs", lambda: four_pairs(grad=np.array(1.0))),
        Probe("differences of -100 and 40", lambda: far_apart(grad=np.array(2.5))),
    ),
    mistakes=(
        Edit(
            "preference_loss_vjp/sign",
            "forgets the minus sign",
            SLOPE,
            SLOPE[1:],
            effect="the worse answer is preferred",
            source=REVERSED,
        ),
        Edit(
            "preference_loss_vjp/reversed",
            "weights pairs by the probability that their order is right",
            "sigmoid(rejected - chosen)",
            "sigmoid(chosen - rejected)",
            effect="pairs in the wrong order are not learned",
            invisible_when="the rewards are equal",
        ),
        Edit(
            "preference_loss_vjp/not-averaged",
            "forgets that the loss is a mean",
            "-grad / len(chosen) *",
            "-grad *",
            effect="the step size depends on the batch",
            invisible_when="there is one pair",
        ),
        Edit(
            "preference_loss_vjp/same-sign",
            "moves both answers in one direction",
            "chosen_grad, -chosen_grad",
            "chosen_grad, chosen_grad",
            effect="rewards grow, their difference does not",
        ),
        Edit(
            "preference_loss_vjp/of-the-probability",
            "returns the gradient of minus the probability",
            "sigmoid(rejected - chosen)",
            "sigmoid(rejected - chosen) * sigmoid(chosen - rejected)",
            effect="pairs in the wrong order have almost no gradient",
        ),
        Edit(
            "preference_loss_vjp/hinge",
            "returns the gradient of the hinge max(0, -d)",
            "sigmoid(rejected - chosen)",
            "(rejected > chosen)",
            effect="pairs in the right order have no gradient",
        ),
    ),
    outputs=("chosen_grad", "rejected_grad"),
    values={"grad": draw_loss_gradient},
)
