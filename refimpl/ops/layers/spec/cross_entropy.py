"""What is known about cross_entropy and its gradient: laws, probes, mistakes and dialects."""

import numpy as np

from refimpl.constants import constant
from refimpl.gradients import LINEAR_IN_GRAD
from refimpl.op import Edit, Law, Op, Probe, values
from refimpl.ops.common import draw_loss_gradient, sines
from refimpl.ops.layers import reference as text
from refimpl.ops.layers.spec.shared import SAFE, largest, no_less


def cross_entropy_equation(f, logits, labels):
    if largest(logits) < SAFE:
        picked = logits[np.arange(len(labels)), labels]
        yield f(logits, labels), np.mean(np.log(np.sum(np.exp(logits), axis=-1)) - picked)


def cross_entropy_one_hot(f, logits, labels):
    if np.all(np.isfinite(values(logits))):
        target = np.eye(logits.shape[-1])[labels]
        total = np.sum(target * text.log_softmax(logits))
        yield f(logits, labels), -total / len(labels)


def cross_entropy_non_negative(f, logits, labels):
    yield no_less(f(logits, labels), 0)


def cross_entropy_equal_logits(f, logits, labels):
    K = logits.shape[-1]
    yield f(np.zeros(logits.shape), labels), np.log(constant(K, logits))


def cross_entropy_shift(f, logits, labels):
    steps = np.arange(len(labels))[:, None]
    yield f(logits + steps, labels), f(logits, labels)


def cross_entropy_split(f, logits, labels):
    n = len(labels)
    if n > 1 and np.all(np.isfinite(values(logits))):
        rest = f(logits[1:], labels[1:])
        yield n * f(logits, labels), f(logits[:1], labels[:1]) + (n - 1) * rest


def cross_entropy_renamed(f, logits, labels):
    yield f(logits[:, ::-1], logits.shape[-1] - 1 - labels), f(logits, labels)


CROSS_ENTROPY = Op(
    text.cross_entropy,
    laws=(
        Law("equals the mean of log-sum-exp minus the label's logit", cross_entropy_equation),
        Law("equals the product with one-hot targets", cross_entropy_one_hot),
        Law("is at least zero", cross_entropy_non_negative),
        Law("equal logits give log K", cross_entropy_equal_logits),
        Law("a constant added to a row changes nothing", cross_entropy_shift),
        Law("is the weighted mean of the losses of two parts", cross_entropy_split),
        Law("renaming the classes changes nothing", cross_entropy_renamed),
    ),
    probes=(
        Probe(
            "logits of 1000 on the wrong class",
            lambda: {"logits": np.array([[1000.0, 0.0, 1.0]]), "labels": np.array([2])},
        ),
        Probe(
            "as many samples as classes, all right",
            lambda: {"logits": 8 * np.eye(4) + sines(4, 4), "labels": np.arange(4)},
        ),
        Probe(
            "sines, three classes",
            lambda: {"logits": 4 * sines(5, 3), "labels": np.array([0, 2, 1, 1, 0])},
        ),
    ),
    mistakes=(
        Edit(
            "cross_entropy/softmax-first",
            "passes probabilities where logits are expected, so that softmax is taken twice",
            "log_softmax(logits)",
            "log_softmax(softmax(logits))",
            effect="the loss of a perfect classifier stays above zero; training is slow",
            source="https://github.com/Lightning-Universe/lightning-bolts/issues/654",
            invisible_when="there is one class",
        ),
        Edit(
            "cross_entropy/all-pairs",
            "scores every sample against the labels of all samples",
            "log_probs[np.arange(N), labels]",
            "log_probs[:, labels]",
            effect="the mean runs over N × N terms instead of N",
            invisible_when="all labels are equal",
        ),
        Edit(
            "cross_entropy/sum",
            "sums over the samples instead of averaging",
            "-np.mean(",
            "-np.sum(",
            effect="N times the loss, so that the step size depends on the batch",
            invisible_when="there is one sample",
        ),
        Edit(
            "cross_entropy/divided-by-classes",
            "averages the product with one-hot targets over samples and classes",
            "labels])",
            "labels]) / logits.shape[1]",
            effect="1/K of the loss",
            invisible_when="there is one class",
        ),
        Edit(
            "cross_entropy/one-based",
            "reads the labels as one-based",
            "N), labels]",
            "N), labels - 1]",
            effect="each sample is scored against the class before its own",
            invisible_when="there is one class",
        ),
        Edit(
            "cross_entropy/sample-axis",
            "normalises over the samples instead of the classes",
            "log_softmax(logits)",
            "log_softmax(logits.T).T",
            effect="classes compete across samples",
            source="https://github.com/PetrochukM/PyTorch-NLP/issues/2",
        ),
        Edit(
            "cross_entropy/sign",
            "forgets the minus sign",
            "return -np.mean",
            "return np.mean",
            effect="training lowers the probability of the right class",
        ),
        Edit(
            "cross_entropy/clipped",
            "clips the label's probability from below at 1e-7 before the logarithm",
            "-np.mean(log_probs[np.arange(N), labels])",
            "-np.mean(np.maximum(log_probs[np.arange(N), labels], np.log(1e-7)))",
            effect="no sample costs more than 16.1, and hard ones have no gradient",
            invisible_when="no sample is far off",
        ),
    ),
)


def cross_entropy_vjp_from_logs(f, logits, labels, grad):
    picked = -np.eye(logits.shape[-1])[labels] * (grad / len(labels))
    yield f(logits, labels, grad), text.log_softmax_vjp(logits, picked)


def cross_entropy_vjp_rows_sum_to_zero(f, logits, labels, grad):
    yield np.sum(f(logits, labels, grad), axis=-1), 0


def cross_entropy_vjp_signs(f, logits, labels, grad):
    one_hot = np.eye(logits.shape[-1])[labels]
    slope = f(logits, labels, np.abs(grad))
    yield no_less(slope * (1 - 2 * one_hot), 0)


def cross_entropy_vjp_equal_logits(f, logits, labels, grad):
    N, K = logits.shape
    one_hot = np.eye(K)[labels]
    yield f(np.zeros(logits.shape), labels, grad), grad * (1 - K * one_hot) / (N * K)


def cross_entropy_vjp_shift(f, logits, labels, grad):
    steps = np.arange(len(labels))[:, None]
    yield f(logits + steps, labels, grad), f(logits, labels, grad)


def cross_entropy_vjp_split(f, logits, labels, grad):
    n = len(labels)
    if n > 1:
        rest = f(logits[1:], labels[1:], grad)
        yield n * f(logits, labels, grad)[1:], (n - 1) * rest


CROSS_ENTROPY_VJP = Op(
    text.cross_entropy_vjp,
    laws=(
        Law("is the gradient of log softmax at the labels", cross_entropy_vjp_from_logs),
        Law("rows sum to zero", cross_entropy_vjp_rows_sum_to_zero),
        Law("descent raises the label's logit and lowers all others", cross_entropy_vjp_signs),
        Law(
            "equal logits give 1/K minus the one-hot label, over N", cross_entropy_vjp_equal_logits
        ),
        Law("a constant added to a row changes nothing", cross_entropy_vjp_shift),
        Law("each sample counts 1/N", cross_entropy_vjp_split),
        LINEAR_IN_GRAD,
    ),
    probes=(
        Probe(
            "logits of 1000 on the wrong class",
            lambda: {
                "logits": np.array([[1000.0, 0.0, 1.0]]),
                "labels": np.array([2]),
                "grad": np.array(1.0),
            },
        ),
        Probe(
            "sines, three classes",
            lambda: {
                "logits": 4 * sines(5, 3),
                "labels": np.array([0, 2, 1, 1, 0]),
                "grad": np.array(1.0),
            },
        ),
        Probe(
            "a loss that counts twice and a half",
            lambda: {
                "logits": sines(4, 5),
                "labels": np.array([4, 0, 1, 1]),
                "grad": np.array(2.5),
            },
        ),
    ),
    mistakes=(
        Edit(
            "cross_entropy_vjp/not-averaged",
            "forgets that the loss is a mean over the samples",
            "grad / N *",
            "grad *",
            effect="N times the gradient, so that the step size depends on the batch",
            invisible_when="there is one sample",
        ),
        Edit(
            "cross_entropy_vjp/divided-by-classes",
            "divides by samples and classes",
            "grad / N *",
            "grad / (N * K) *",
            effect="1/K of the gradient",
            invisible_when="there is one class",
        ),
        Edit(
            "cross_entropy_vjp/sign",
            "subtracts the probabilities from the labels",
            "(probs - np.eye(K)[labels])",
            "(np.eye(K)[labels] - probs)",
            effect="training lowers the probability of the right class",
        ),
        Edit(
            "cross_entropy_vjp/grad-ignored",
            "ignores grad",
            "grad / N *",
            "1 / N *",
            effect="loss weights have no effect",
            invisible_when="grad is 1",
        ),
        Edit(
            "cross_entropy_vjp/activation-derivative",
            "multiplies the derivative p (1 - p), as for a squared error behind a logistic output",
            "- np.eye(K)[labels])",
            "- np.eye(K)[labels]) * probs * (1 - probs)",
            effect="hard samples have almost no gradient",
        ),
        Edit(
            "cross_entropy_vjp/label-forgotten",
            "returns the probabilities without subtracting the labels",
            "(probs - np.eye(K)[labels])",
            "probs",
            effect="the labels have no effect",
        ),
        Edit(
            "cross_entropy_vjp/one-based",
            "reads the labels as one-based",
            "np.eye(K)[labels]",
            "np.eye(K)[labels - 1]",
            effect="each sample is trained for the class before its own",
            invisible_when="there is one class",
        ),
        Edit(
            "cross_entropy_vjp/softmax-twice",
            "takes softmax of the probabilities once more",
            "np.exp(log_softmax(logits))",
            "softmax(np.exp(log_softmax(logits)))",
            effect="a perfect classifier still has a gradient",
            invisible_when="there is one class",
        ),
    ),
    outputs=("logits_grad",),
    values={"grad": draw_loss_gradient},
)
