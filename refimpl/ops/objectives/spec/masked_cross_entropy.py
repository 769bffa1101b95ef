"""What is known about masked_cross_entropy and its gradient: laws, probes and mistakes."""

import numpy as np

from refimpl.constants import constant
from refimpl.gradients import LINEAR_IN_GRAD
from refimpl.op import Edit, Law, Op, Probe, values
from refimpl.ops.common import draw_loss_gradient
from refimpl.ops.layers import reference as layers
from refimpl.ops.objectives import reference as text
from refimpl.ops.objectives.spec.shared import (
    SHARES,
    reductions,
    two_texts,
)


def equal_logits(f, logits, labels, keep):
    yield f(0 * values(logits), labels, keep), np.log(constant(logits.shape[-1], logits))


def what_is_not_kept(f, logits, labels, keep):
    other = logits[..., ::-1]
    yield f(np.where(keep[..., None] > 0, logits, other), labels, keep), f(logits, labels, keep)
    yield f(logits, np.where(keep > 0, labels, 0), keep), f(logits, labels, keep)


def of_all_kept(f, logits, labels, keep):
    all_of_them = np.reshape(logits, (-1, logits.shape[-1]))
    loss = layers.cross_entropy(all_of_them, labels.ravel())
    yield f(logits, labels, 0 * keep + 1), loss


def parts_by_their_words(f, logits, labels, keep):
    first = np.zeros_like(keep)
    first.flat[0] = 1
    rest = 1 - first
    if keep.size > 1:
        whole = f(logits, labels, 0 * keep + 1) * keep.size
        yield whole, f(logits, labels, first) + (keep.size - 1) * f(logits, labels, rest)


def renamed(f, logits, labels, keep):
    yield f(logits[..., ::-1], logits.shape[-1] - 1 - labels, keep), f(logits, labels, keep)


MASKED_CROSS_ENTROPY = Op(
    text.masked_cross_entropy,
    laws=(
        Law("equal logits give log V", equal_logits),
        Law("logits at places that do not count change nothing", what_is_not_kept),
        Law("is the cross-entropy where everything counts", of_all_kept),
        Law(
            "the loss is the mean over parts, weighted by the words that count",
            parts_by_their_words,
        ),
        Law("renaming the words changes nothing", renamed),
    ),
    probes=(Probe("two texts, of which one and three words count", two_texts),),
    mistakes=(
        *reductions("masked_cross_entropy", "np.sum(np.where(keep > 0, nats, 0))", "np.sum(keep)"),
        Edit(
            "masked_cross_entropy/softmax-first",
            "passes probabilities where logits are expected, so that softmax is taken twice",
            "token_log_probs(logits, labels)",
            "token_log_probs(np.exp(log_softmax(logits)), labels)",
            effect="the loss of a perfect model stays above zero",
            invisible_when="there is one word",
        ),
        Edit(
            "masked_cross_entropy/sign",
            "forgets the minus sign",
            "nats = -token",
            "nats = token",
            effect="training lowers the probability of the right word",
        ),
    ),
)


def only_where_kept(f, logits, labels, keep, grad):
    found = f(logits, labels, keep, grad)
    yield np.where(keep[..., None] > 0, 0, found), 0 * values(found)


def rows_sum_to_zero(f, logits, labels, keep, grad):
    yield np.sum(f(logits, labels, keep, grad), axis=-1), np.zeros(labels.shape)


def gradient_of_all_kept(f, logits, labels, keep, grad):
    rows = np.reshape(logits, (-1, logits.shape[-1]))
    whole = layers.cross_entropy_vjp(rows, labels.ravel(), grad)
    yield f(logits, labels, 0 * keep + 1, grad), np.reshape(whole, logits.shape)


def gradient_equal_logits(f, logits, labels, keep, grad):
    V = logits.shape[-1]
    apart = np.ones(V) - V * np.eye(V)[labels]
    share = grad / (V * np.sum(keep))
    yield f(0 * values(logits), labels, keep, grad), share * keep[..., None] * apart


MASKED_CROSS_ENTROPY_VJP = Op(
    text.masked_cross_entropy_vjp,
    laws=(
        LINEAR_IN_GRAD,
        Law("is zero where nothing counts", only_where_kept),
        Law("each row sums to zero", rows_sum_to_zero),
        Law(
            "where everything counts it is the gradient of the cross-entropy", gradient_of_all_kept
        ),
        Law("equal logits give 1/V minus the one-hot label", gradient_equal_logits),
    ),
    probes=(
        Probe(
            "two texts, of which one and three words count", lambda: two_texts(grad=np.array(1.0))
        ),
        Probe("a loss that counts twice and a half", lambda: two_texts(grad=np.array(2.5))),
    ),
    mistakes=(
        Edit(
            "masked_cross_entropy_vjp/padding-counted",
            "divides by all words, padding included",
            SHARES,
            "grad * keep / keep.size",
            effect="the step size shrinks as texts are padded",
            source="https://github.com/rllm-org/rllm/pull/508",
            invisible_when="every word counts",
        ),
        Edit(
            "masked_cross_entropy_vjp/summed",
            "forgets that the loss is a mean",
            SHARES,
            "grad * keep",
            effect="the step size depends on the length of the texts",
            invisible_when="one word counts",
        ),
        Edit(
            "masked_cross_entropy_vjp/mean-of-means",
            "returns the gradient of the mean of the texts' means",
            SHARES,
            "grad * keep / np.maximum(keep.sum(axis=1, keepdims=True), 1) / len(keep)",
            effect="words of short texts weigh more",
            source="https://github.com/meta-pytorch/torchtune/pull/1875",
            invisible_when="the same number of words counts in each text",
        ),
        Edit(
            "masked_cross_entropy_vjp/all-learned",
            "returns a gradient at places that do not count",
            SHARES,
            "grad * (0 * keep + 1) / np.sum(keep)",
            effect="the model learns to predict padding",
            invisible_when="every word counts",
        ),
        Edit(
            "masked_cross_entropy_vjp/sign",
            "forgets the minus sign",
            "labels, -shares)",
            "labels, shares)",
            effect="training lowers the probability of the right word",
        ),
        Edit(
            "masked_cross_entropy_vjp/grad-ignored",
            "ignores grad",
            SHARES,
            "(0 * grad + 1) * keep / np.sum(keep)",
            effect="loss weights have no effect",
            invisible_when="grad is 1",
        ),
    ),
    outputs=("logits_grad",),
    values={"grad": draw_loss_gradient},
)
