"""What is known about next_token_loss and its gradient: laws, probes and mistakes."""

import numpy as np

from refimpl.constants import constant
from refimpl.gradients import LINEAR_IN_GRAD
from refimpl.op import Edit, Law, Op, Probe, values
from refimpl.ops.common import draw_loss_gradient, sines
from refimpl.ops.objectives import reference as text

CALL = "logits[:, :-1], ids[:, 1:], keep[:, 1:]"
SHIFTED_TWICE = "https://github.com/huggingface/transformers/issues/47394"
NOT_SHIFTED = "https://github.com/huggingface/transformers/pull/404"


def equal_logits(f, logits, ids, keep):
    yield f(0 * values(logits), ids, keep), np.log(constant(logits.shape[-1], logits))


def last_logits_tell_nothing(f, logits, ids, keep):
    last = np.arange(ids.shape[1]) == ids.shape[1] - 1
    other = np.where(last[:, None], logits[..., ::-1], logits)
    yield f(other, ids, keep), f(logits, ids, keep)


def first_word_is_given(f, logits, ids, keep):
    first = np.arange(ids.shape[1]) == 0
    loss = f(logits, ids, keep)
    yield f(logits, np.where(first, 0, ids), keep), loss
    yield f(logits, ids, np.where(first, 1 - keep, keep)), loss


def one_word(f, logits, ids, keep):
    alone = 0 * keep
    alone[-1, -1] = 1
    log_probs = text.token_log_probs(logits[-1:, -2:-1], ids[-1:, -1:])
    yield f(logits, ids, alone), -log_probs[0, 0]


def shift(f, logits, ids, keep):
    yield f(logits + np.arange(ids.shape[1])[:, None], ids, keep), f(logits, ids, keep)


def two_texts(**others):
    return {
        "logits": 3 * sines(2, 5, 6),
        "ids": np.array([[1, 4, 0, 2, 5], [3, 3, 1, 0, 2]]),
        "keep": np.array([[1, 1, 0, 0, 0], [1, 1, 1, 0, 1]]),
        **others,
    }


def drawn_keep(source, sizes):
    kept = source.uniform((sizes["texts"], sizes["N"] + 1), 0, 1) < source.choice([1.0, 0.6])
    kept[-1, -1] = True
    return kept.astype(np.int64)


NEXT_TOKEN_LOSS = Op(
    text.next_token_loss,
    laws=(
        Law("equal logits give log V", equal_logits),
        Law("the last logits change nothing", last_logits_tell_nothing),
        Law("the first word is not scored", first_word_is_given),
        Law("if one word counts, the logits before it give the loss", one_word),
        Law("a constant added to a row changes nothing", shift),
    ),
    probes=(Probe("two texts of five words, of which one and three count", two_texts),),
    mistakes=(
        Edit(
            "next_token_loss/not-shifted",
            "scores each word by the logits at its own place",
            CALL,
            "logits, ids, keep",
            effect="the model learns to copy, and the loss falls to zero",
            source=NOT_SHIFTED,
            invisible_when="all words and all logits are equal",
        ),
        Edit(
            "next_token_loss/shifted-twice",
            "shifts labels that were shifted already",
            CALL,
            "logits[:, :-1], np.roll(ids, -1, axis=1)[:, 1:], keep[:, 1:]",
            effect="each place predicts the word after the next",
            source=SHIFTED_TWICE,
            invisible_when="all words are equal",
        ),
        Edit(
            "next_token_loss/keep-not-shifted",
            "uses the mask of the word that is read, not of the word to predict",
            "keep[:, 1:]",
            "np.where(np.sum(keep[:, :-1]) > 0, keep[:, :-1], 1)",
            effect="the first padding counts, or the end of the text does not",
            source="https://github.com/jingyaogong/minimind/pull/621",
            invisible_when="every word counts",
        ),
        Edit(
            "next_token_loss/backwards",
            "predicts each word from the one after it",
            CALL,
            "logits[:, 1:], ids[:, :-1], keep[:, 1:]",
            effect="a loss that no causal model can lower",
            invisible_when="all words and all logits are equal",
        ),
        Edit(
            "next_token_loss/padding-scored",
            "scores padding, too",
            "keep[:, 1:]",
            "0 * keep[:, 1:] + 1",
            effect="the loss depends on how far texts are padded",
            source="https://github.com/dmis-lab/biobert/issues/174",
            invisible_when="every word counts",
        ),
        Edit(
            "next_token_loss/all-divided",
            "divides by all places, including the first and the padding",
            f"return masked_cross_entropy({CALL})",
            f"return masked_cross_entropy({CALL}) * np.sum(keep[:, 1:]) / keep.size",
            effect="the loss shrinks as texts are padded",
            source="https://github.com/huggingface/transformers/issues/24725",
        ),
        Edit(
            "next_token_loss/texts-run-on",
            "predicts the first word of a text from the last of the text before",
            CALL,
            "logits.reshape(1, -1, logits.shape[-1])[:, :-1], ids.reshape(1, -1)[:, 1:], "
            "keep.reshape(1, -1)[:, 1:]",
            effect="the model learns an unpredictable word",
            source="https://github.com/huggingface/transformers/pull/37830",
            invisible_when="there is one text",
        ),
    ),
    values={"keep": drawn_keep},
)


def last_has_none(f, logits, ids, keep, grad):
    yield f(logits, ids, keep, grad)[:, -1], 0 * values(logits[:, -1])


def rows_sum_to_zero(f, logits, ids, keep, grad):
    yield np.sum(f(logits, ids, keep, grad), axis=-1), np.zeros(ids.shape)


def only_where_scored(f, logits, ids, keep, grad):
    found = f(logits, ids, keep, grad)[:, :-1]
    yield np.where(keep[:, 1:, None] > 0, 0, found), 0 * values(found)


def as_masked(f, logits, ids, keep, grad):
    told = f(logits, ids, keep, grad)[:, :-1]
    given = logits[:, :-1], ids[:, 1:], keep[:, 1:]
    yield told, text.masked_cross_entropy_vjp(*given, grad)


BODY = "masked_cross_entropy_vjp(logits[:, :-1], ids[:, 1:], keep[:, 1:], grad)"
NEXT_TOKEN_LOSS_VJP = Op(
    text.next_token_loss_vjp,
    laws=(
        LINEAR_IN_GRAD,
        Law("the last logits have no gradient", last_has_none),
        Law("each row sums to zero", rows_sum_to_zero),
        Law("is zero before a word that is not scored", only_where_scored),
        Law("is the gradient of the masked cross-entropy, one place earlier", as_masked),
    ),
    probes=(
        Probe(
            "two texts of five words, of which one and three count",
            lambda: two_texts(grad=np.array(1.0)),
        ),
        Probe("a loss that counts twice and a half", lambda: two_texts(grad=np.array(2.5))),
    ),
    mistakes=(
        Edit(
            "next_token_loss_vjp/one-place-late",
            "puts the gradient at the place of the word to predict",
            "((0, 0), (0, 1), (0, 0))",
            "((0, 0), (1, 0), (0, 0))",
            effect="the model learns to copy",
            source=NOT_SHIFTED,
        ),
        Edit(
            "next_token_loss_vjp/not-shifted",
            "returns the gradient of the loss without a shift",
            BODY,
            "masked_cross_entropy_vjp(logits, ids, keep, grad)[:, :-1]",
            effect="the model learns to copy",
            source=NOT_SHIFTED,
        ),
        Edit(
            "next_token_loss_vjp/shifted-twice",
            "returns the gradient for labels that were shifted already",
            "ids[:, 1:]",
            "np.roll(ids, -1, axis=1)[:, 1:]",
            effect="each place learns the word after the next",
            source=SHIFTED_TWICE,
            invisible_when="all words are equal",
        ),
        Edit(
            "next_token_loss_vjp/sign",
            "forgets the minus sign",
            f"told = {BODY}",
            f"told = -{BODY}",
            effect="training lowers the probability of the right word",
        ),
        Edit(
            "next_token_loss_vjp/padding-learned",
            "returns a gradient at padding, too",
            "keep[:, 1:]",
            "0 * keep[:, 1:] + 1",
            effect="the model learns to predict padding",
            invisible_when="every word counts",
        ),
        Edit(
            "next_token_loss_vjp/all-divided",
            "divides by all places, including the first and the padding",
            f"told = {BODY}",
            f"told = {BODY} * np.sum(keep[:, 1:]) / keep.size",
            effect="the step size shrinks as texts are padded",
        ),
    ),
    outputs=("logits_grad",),
    values={"keep": drawn_keep, "grad": draw_loss_gradient},
)
