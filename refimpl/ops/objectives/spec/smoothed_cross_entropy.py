"""What is known about smoothed_cross_entropy and its gradient: laws, probes, dialects."""

import numpy as np

from refimpl.constants import constant
from refimpl.gradients import LINEAR_IN_GRAD
from refimpl.op import Edit, Law, Op, Probe, values
from refimpl.ops.common import draw_loss_gradient, sines
from refimpl.ops.objectives import reference as text
from refimpl.ops.objectives.spec.shared import (
    SHARES,
    reductions,
    two_texts,
)

MIXED = "(1 - smoothing) * told + smoothing * spread"
TARGETS = "(1 - smoothing) * np.eye(V)[labels] + smoothing / V"


def without(f, logits, labels, keep, smoothing):
    yield f(logits, labels, keep, 0.0), text.masked_cross_entropy(logits, labels, keep)


def linear_in_smoothing(f, logits, labels, keep, smoothing):
    none, half, whole = (f(logits, labels, keep, s) for s in (0.0, 0.5, 1.0))
    yield half, (none + whole) / 2


def all_labels_alike(f, logits, labels, keep, smoothing):
    V = logits.shape[-1]
    yield f(logits, labels, keep, 1.0), f(logits, V - 1 - labels, keep, 1.0)


def mean_over_labels(f, logits, labels, keep, smoothing):
    V = logits.shape[-1]
    total = sum(f(logits, (labels + v) % V, keep, smoothing) for v in range(V))
    yield total / V, f(logits, labels, keep, 1.0)


def equal_logits(f, logits, labels, keep, smoothing):
    found = f(0 * values(logits), labels, keep, smoothing)
    yield found, np.log(constant(logits.shape[-1], logits))


def three_words(smoothing, **others):
    return {
        "logits": 2 * sines(1, 3, 4),
        "labels": np.array([[1, 3, 0]]),
        "keep": np.ones((1, 3), dtype=int),
        "smoothing": smoothing,
        **others,
    }


SMOOTHED_CROSS_ENTROPY = Op(
    text.smoothed_cross_entropy,
    laws=(
        Law("without smoothing it is the loss of the labels", without),
        Law("is linear in the smoothing", linear_in_smoothing),
        Law("at smoothing 1 the labels do not matter", all_labels_alike),
        Law("the mean over all labels is the loss at smoothing 1", mean_over_labels),
        Law("equal logits give log V", equal_logits),
    ),
    probes=(
        Probe("three words, smoothing 0.1", lambda: three_words(0.1)),
        Probe("two texts, of which one and three words count", lambda: two_texts(smoothing=0.25)),
    ),
    mistakes=(
        *reductions(
            "smoothed_cross_entropy", "np.sum(np.where(keep > 0, nats, 0))", "np.sum(keep)"
        ),
        Edit(
            "smoothed_cross_entropy/shares-exchanged",
            "exchanges smoothing and 1 - smoothing",
            MIXED,
            "smoothing * told + (1 - smoothing) * spread",
            effect="the labels have little effect",
            invisible_when="the smoothing is 1/2",
        ),
        Edit(
            "smoothed_cross_entropy/sum-over-words",
            "sums the smoothed part over the words instead of averaging",
            "np.mean(log_probs, axis=-1)",
            "np.sum(log_probs, axis=-1)",
            effect="the smoothing is V times too strong",
            invisible_when="the smoothing is 0",
        ),
        Edit(
            "smoothed_cross_entropy/added",
            "adds the smoothing without taking it from the label",
            MIXED,
            "told + smoothing * spread",
            effect="the targets sum to more than one",
            invisible_when="the smoothing is 0",
        ),
        Edit(
            "smoothed_cross_entropy/not-smoothed",
            "ignores the smoothing",
            MIXED,
            "told + 0 * smoothing * spread",
            effect="the model becomes overconfident",
            invisible_when="the smoothing is 0",
        ),
    ),
    dialects=(
        Edit(
            "smoothed_cross_entropy/over-the-others",
            "spreads the smoothing over the other words only: fairseq",
            MIXED,
            "(1 - smoothing) * told + smoothing * (spread * logits.shape[-1] - told) "
            "/ max(logits.shape[-1] - 1, 1)",
            effect="the label keeps a smaller target",
            invisible_when="the smoothing is 0",
        ),
    ),
)


def gradient_without(f, logits, labels, keep, smoothing, grad):
    plain = text.masked_cross_entropy_vjp(logits, labels, keep, grad)
    yield f(logits, labels, keep, 0.0, grad), plain


def rows_sum_to_zero(f, logits, labels, keep, smoothing, grad):
    yield np.sum(f(logits, labels, keep, smoothing, grad), axis=-1), np.zeros(labels.shape)


def gradient_linear_in_smoothing(f, logits, labels, keep, smoothing, grad):
    none, half, whole = (f(logits, labels, keep, s, grad) for s in (0.0, 0.5, 1.0))
    yield half, (none + whole) / 2


def only_where_kept(f, logits, labels, keep, smoothing, grad):
    found = f(logits, labels, keep, smoothing, grad)
    yield np.where(keep[..., None] > 0, 0, found), 0 * values(found)


def best_where_all_is_spread(f, logits, labels, keep, smoothing, grad):
    yield f(0 * values(logits), labels, keep, 1.0, grad), 0 * values(logits)


SMOOTHED_CROSS_ENTROPY_VJP = Op(
    text.smoothed_cross_entropy_vjp,
    laws=(
        LINEAR_IN_GRAD,
        Law("without smoothing it is the gradient of the masked cross-entropy", gradient_without),
        Law("each row sums to zero", rows_sum_to_zero),
        Law("is linear in the smoothing", gradient_linear_in_smoothing),
        Law("is zero where nothing counts", only_where_kept),
        Law("at smoothing 1 equal logits have gradient zero", best_where_all_is_spread),
    ),
    probes=(
        Probe("three words, smoothing 0.1", lambda: three_words(0.1, grad=np.array(1.0))),
        Probe(
            "two texts, of which one and three words count",
            lambda: two_texts(smoothing=0.25, grad=np.array(2.5)),
        ),
    ),
    mistakes=(
        Edit(
            "smoothed_cross_entropy_vjp/not-smoothed",
            "is the gradient without smoothing",
            TARGETS,
            "np.eye(V)[labels] + 0 * smoothing",
            effect="the model becomes overconfident",
            invisible_when="the smoothing is 0",
        ),
        Edit(
            "smoothed_cross_entropy_vjp/spread-forgotten",
            "subtracts the smoothing from the label and spreads it nowhere",
            TARGETS,
            "(1 - smoothing) * np.eye(V)[labels]",
            effect="the targets sum to less than one, and all logits fall",
            invisible_when="the smoothing is 0",
        ),
        Edit(
            "smoothed_cross_entropy_vjp/not-divided",
            "gives each word the whole smoothing instead of 1/V of it",
            "smoothing / V",
            "smoothing",
            effect="the targets sum to more than one",
            invisible_when="nothing is spread, or there is one word",
        ),
        Edit(
            "smoothed_cross_entropy_vjp/sign",
            "subtracts the probabilities from the targets",
            "(np.exp(log_softmax(logits)) - targets)",
            "(targets - np.exp(log_softmax(logits)))",
            effect="training lowers the probability of the right word",
        ),
        Edit(
            "smoothed_cross_entropy_vjp/padding-counted",
            "divides by all words, padding included",
            SHARES,
            "grad * keep / keep.size",
            effect="the step size shrinks as texts are padded",
            invisible_when="every word counts",
        ),
        Edit(
            "smoothed_cross_entropy_vjp/all-learned",
            "returns a gradient at places that do not count",
            SHARES,
            "grad * (0 * keep + 1) / np.sum(keep)",
            effect="the model learns to predict padding",
            invisible_when="every word counts",
        ),
    ),
    dialects=(
        Edit(
            "smoothed_cross_entropy_vjp/over-the-others",
            "spreads the smoothing over the other words only: fairseq",
            TARGETS,
            "(1 - smoothing) * np.eye(V)[labels] + smoothing * (1 - np.eye(V)[labels]) "
            "/ max(V - 1, 1)",
            effect="the label keeps a smaller target",
            invisible_when="the smoothing is 0",
        ),
    ),
    outputs=("logits_grad",),
    values={"grad": draw_loss_gradient},
)
