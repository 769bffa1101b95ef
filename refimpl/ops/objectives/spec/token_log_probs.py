"""What is known about token_log_probs and its gradient: laws, probes and mistakes."""

import numpy as np

from refimpl.constants import constant
from refimpl.gradients import LINEAR_IN_GRAD
from refimpl.op import Edit, Law, Op, Probe, values
from refimpl.ops.common import cosines, sines
from refimpl.ops.layers import reference as layers
from refimpl.ops.objectives import reference as text

PICKED = "np.take_along_axis(log_probs, labels[..., None], axis=-1)[..., 0]"


def finite(logits):
    return bool(np.all(np.isfinite(values(logits))))


def one_hot_product(f, logits, labels):
    if finite(logits):
        one_hot = np.eye(logits.shape[-1])[labels]
        yield f(logits, labels), np.sum(one_hot * layers.log_softmax(logits), axis=-1)


def sums_to_one(f, logits, labels):
    total = sum(np.exp(f(logits, 0 * labels + v)) for v in range(logits.shape[-1]))
    yield total, np.ones(labels.shape)


def equal_logits(f, logits, labels):
    yield f(0 * values(logits), labels), -np.log(constant(logits.shape[-1], logits))


def shift(f, logits, labels):
    steps = np.arange(labels.shape[1])[:, None]
    yield f(logits + steps, labels), f(logits, labels)


def renamed(f, logits, labels):
    yield f(logits[..., ::-1], logits.shape[-1] - 1 - labels), f(logits, labels)


def never_positive(f, logits, labels):
    found = f(logits, labels)
    yield np.maximum(found, 0), 0 * values(found)


def three_words(**others):
    return {"logits": 2 * sines(1, 3, 4), "labels": np.array([[1, 3, 0]]), **others}


def far_off(**others):
    logits = np.array([[[1000.0, 0.0, 1.0], [0.0, 40.0, -200.0]]])
    return {"logits": logits, "labels": np.array([[2, 1]]), **others}


TOKEN_LOG_PROBS = Op(
    text.token_log_probs,
    laws=(
        Law("equals the product with one-hot labels", one_hot_product),
        Law("the probabilities of all words add up to one", sums_to_one),
        Law("equal logits give minus log V", equal_logits),
        Law("a constant added to a row changes nothing", shift),
        Law("renaming the words changes nothing", renamed),
        Law("is never positive", never_positive),
    ),
    probes=(
        Probe("three words of four", three_words),
        Probe("logits of 1000 on another word", far_off),
    ),
    mistakes=(
        Edit(
            "token_log_probs/logits",
            "returns the logits of the labels, not normalised",
            "log_softmax(logits)",
            "logits",
            effect="scores of different places cannot be compared",
        ),
        Edit(
            "token_log_probs/probabilities",
            "returns probabilities, not their logarithms",
            PICKED,
            f"np.exp({PICKED})",
            effect="sums over a text are not its log probability",
        ),
        Edit(
            "token_log_probs/next-label",
            "scores the label of the next place",
            "labels[..., None]",
            "np.roll(labels, -1, axis=1)[..., None]",
            effect="a word is scored where the model has read it already",
            source="https://github.com/huggingface/transformers/pull/404",
            invisible_when="all labels are equal",
        ),
        Edit(
            "token_log_probs/best-word",
            "scores the most probable word, not the label",
            PICKED,
            "np.max(log_probs, axis=-1)",
            effect="every text seems likely",
            invisible_when="the label is the most probable word",
        ),
        Edit(
            "token_log_probs/one-based",
            "reads the labels as one-based",
            "labels[..., None]",
            "labels[..., None] - 1",
            effect="each word is scored as the one before",
            invisible_when="there is one word",
        ),
        Edit(
            "token_log_probs/tempered",
            "divides the log probabilities by a temperature of 2, instead of the logits",
            PICKED,
            f"{PICKED} / 2",
            effect="the probabilities of all words do not add up to one",
            source="https://github.com/PrimeIntellect-ai/prime-rl/pull/697",
            invisible_when="the label is certain",
        ),
        Edit(
            "token_log_probs/softmax-twice",
            "takes the logarithm of a softmax of probabilities",
            "log_softmax(logits)",
            "log_softmax(np.exp(log_softmax(logits)))",
            effect="no word is ever certain",
            invisible_when="there is one word",
        ),
    ),
)


def gradient_rows_sum_to_zero(f, logits, labels, grad):
    yield np.sum(f(logits, labels, grad), axis=-1), 0 * grad


def gradient_from_logs(f, logits, labels, grad):
    one_hot = np.eye(logits.shape[-1])[labels]
    yield f(logits, labels, grad), layers.log_softmax_vjp(logits, one_hot * grad[..., None])


def gradient_equal_logits(f, logits, labels, grad):
    V = logits.shape[-1]
    one_hot = np.eye(V)[labels]
    yield f(0 * values(logits), labels, grad), grad[..., None] * (one_hot - np.ones(V) / V)


def gradient_shift(f, logits, labels, grad):
    steps = np.arange(labels.shape[1])[:, None]
    yield f(logits + steps, labels, grad), f(logits, labels, grad)


def gradient_renamed(f, logits, labels, grad):
    there = f(logits[..., ::-1], logits.shape[-1] - 1 - labels, grad)
    yield there[..., ::-1], f(logits, labels, grad)


DIFFERENCE = "grad[..., None] * (one_hot - probs)"
TOKEN_LOG_PROBS_VJP = Op(
    text.token_log_probs_vjp,
    laws=(
        LINEAR_IN_GRAD,
        Law("each row sums to zero", gradient_rows_sum_to_zero),
        Law("is the gradient of log softmax at the labels", gradient_from_logs),
        Law("equal logits give the one-hot label minus 1/V", gradient_equal_logits),
        Law("a constant added to a row changes nothing", gradient_shift),
        Law("renaming the words renames the gradient", gradient_renamed),
    ),
    probes=(
        Probe("three words of four", lambda: three_words(grad=1 + cosines(1, 3))),
        Probe("logits of 1000 on another word", lambda: far_off(grad=np.array([[1.0, -2.0]]))),
    ),
    mistakes=(
        Edit(
            "token_log_probs_vjp/sign",
            "returns the gradient of the loss -log p",
            DIFFERENCE,
            "grad[..., None] * (probs - one_hot)",
            effect="probabilities that should grow shrink",
            invisible_when="grad is 0",
        ),
        Edit(
            "token_log_probs_vjp/label-alone",
            "forgets the gradient of the log-sum-exp",
            DIFFERENCE,
            "grad[..., None] * (one_hot + 0 * probs)",
            effect="all logits grow without end",
            invisible_when="the label has no probability",
        ),
        Edit(
            "token_log_probs_vjp/averaged",
            "divides by the number of places, as for a loss",
            DIFFERENCE,
            f"{DIFFERENCE} / labels.size",
            effect="gradients are too small",
            invisible_when="there is one place",
        ),
        Edit(
            "token_log_probs_vjp/of-probabilities",
            "returns the gradient of the probabilities",
            DIFFERENCE,
            f"{DIFFERENCE} * np.sum(one_hot * probs, axis=-1, keepdims=True)",
            effect="badly predicted words have almost no gradient",
            invisible_when="the label is certain",
        ),
        Edit(
            "token_log_probs_vjp/one-based",
            "reads the labels as one-based",
            "np.eye(logits.shape[-1])[labels]",
            "np.eye(logits.shape[-1])[labels - 1]",
            effect="the previous id is made more likely",
            invisible_when="there is one word",
        ),
        Edit(
            "token_log_probs_vjp/weights-summed",
            "replaces grad by its mean",
            "grad[..., None] *",
            "np.mean(grad) *",
            effect="differences between words are lost",
            invisible_when="grad is the same everywhere",
        ),
    ),
    outputs=("logits_grad",),
)
