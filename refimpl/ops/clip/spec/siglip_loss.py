"""What is known about siglip_loss and its gradient: laws, probes, mistakes and dialects."""

import numpy as np

from refimpl.op import Edit, Law, Op, Probe, values
from refimpl.ops.clip import reference as text
from refimpl.ops.clip.spec.shared import (
    FINAL_LOG_SCALE,
    INITIAL_LOG_SCALE,
    as_loss,
    empty_feature,
    mismatched,
    of_unequal_lengths,
    of_waves,
    zero_dialects,
)
from refimpl.ops.common import diagonal, with_more
from refimpl.ops.layers import reference as layers


def siglip_loss_equation(f, image_features, text_features, log_scale, bias):
    logits = text.clip_logits(image_features, text_features, log_scale) + bias
    N = len(image_features)
    if np.max(np.abs(values(logits))) < 300:  # the exponentials as they stand overflow beyond
        together = np.eye(N)
        right = 1 / (1 + np.exp(np.where(together == 1, -logits, logits)))
        yield f(image_features, text_features, log_scale, bias), -np.sum(np.log(right)) / N


def siglip_loss_exchanged(f, image_features, text_features, log_scale, bias):
    loss = f(image_features, text_features, log_scale, bias)
    yield f(text_features, image_features, log_scale, bias), loss


def siglip_loss_reordered(f, image_features, text_features, log_scale, bias):
    loss = f(image_features, text_features, log_scale, bias)
    yield f(image_features[::-1], text_features[::-1], log_scale, bias), loss


def softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def siglip_loss_bias_alone(f, image_features, text_features, log_scale, bias):
    loss = f(0 * image_features, text_features, log_scale, bias)
    yield loss, softplus(-bias) + (len(image_features) - 1) * softplus(bias)


def siglip_loss_one_pair(f, image_features, text_features, log_scale, bias):
    images, texts = image_features[:1], text_features[:1]
    logit = text.clip_logits(images, texts, log_scale)[0, 0] + bias
    yield f(images, texts, log_scale, bias), softplus(-logit)


def siglip_loss_opposite(f, image_features, text_features, log_scale, bias):
    N = len(image_features)
    logits = text.clip_logits(image_features, text_features, log_scale) + bias
    difference = np.sum((2 * np.eye(N) - 1) * logits) / N
    loss = f(image_features, text_features, log_scale, bias)
    yield f(-image_features, text_features, log_scale, -bias), loss + difference


def siglip_loss_not_negative(f, image_features, text_features, log_scale, bias):
    loss = f(image_features, text_features, log_scale, bias)
    yield np.minimum(loss, 0), np.zeros(())


def siglip_loss_doubled_batch(f, image_features, text_features, log_scale, bias):
    images = np.concatenate((image_features, image_features))
    texts = np.concatenate((text_features, text_features))
    own = diagonal(text.clip_logits(image_features, text_features, log_scale) + bias)
    loss = f(image_features, text_features, log_scale, bias)
    yield f(images, texts, log_scale, bias), 2 * loss + np.mean(own)


SIGLIP_LOSS = Op(
    text.siglip_loss,
    costly=("N",),
    laws=(
        Law("is the sum of -log p of every decision, per image", siglip_loss_equation),
        Law("images and texts may be exchanged", siglip_loss_exchanged),
        Law("pairs may be reordered", siglip_loss_reordered),
        Law("with zero features only the bias matters", siglip_loss_bias_alone),
        Law("a single pair is one decision", siglip_loss_one_pair),
        Law("the losses of a pair and of its opposite differ by the logit", siglip_loss_opposite),
        Law("is not negative", siglip_loss_not_negative),
        Law(
            "repeating the batch makes every text a negative of its own image as well",
            siglip_loss_doubled_batch,
        ),
    ),
    probes=(
        Probe("the start of training", lambda: of_waves(np.log(10.0), bias=-10.0)),
        Probe("temperature 0.07, no bias", lambda: of_waves(INITIAL_LOG_SCALE, bias=0.0)),
        Probe(
            "every image closest to a wrong text",
            lambda: mismatched(FINAL_LOG_SCALE, bias=-10.0),
        ),
        Probe(
            "lengths from 0.1 to 100, a positive bias",
            lambda: of_unequal_lengths(INITIAL_LOG_SCALE, bias=3.0),
        ),
    ),
    mistakes=(
        Edit(
            "siglip_loss/mean-over-pairs",
            "divides by the number of pairs instead of the number of images",
            "-np.sum(log_sigmoid) / N",
            "-np.sum(log_sigmoid) / N**2",
            effect="a loss, and gradients, N times too small",
            source="https://github.com/google-research/big_vision/issues/115",
            invisible_when="there is one pair",
        ),
        Edit(
            "siglip_loss/no-bias",
            "leaves out the bias",
            "log_scale) + bias",
            "log_scale)",
            effect="a huge loss at the start, since most pairs do not belong together",
            source="https://github.com/mlfoundations/open_clip/issues/650",
            invisible_when="the bias is zero",
        ),
        Edit(
            "siglip_loss/subtracted-bias",
            "subtracts the bias",
            "log_scale) + bias",
            "log_scale) - bias",
            effect="a huge loss at the start",
            invisible_when="the bias is zero",
        ),
        Edit(
            "siglip_loss/scaled-bias",
            "multiplies the bias by the scale",
            "log_scale) + bias",
            "log_scale) + np.exp(log_scale) * bias",
            effect="the scale cannot grow without the bias",
            invisible_when="the bias is zero, or the scale one",
        ),
        Edit(
            "siglip_loss/zero-for-minus-one",
            "labels the pairs that do not belong together with 0 instead of -1",
            "(2 * np.eye(N) - 1)",
            "np.eye(N)",
            effect="each costs log 2 and has no gradient",
            invisible_when="there is one pair",
        ),
        Edit(
            "siglip_loss/all-together",
            "counts every pair as one that belongs together",
            "(2 * np.eye(N) - 1)",
            "np.ones((N, N))",
            effect="all features collapse into one",
            invisible_when="there is one pair",
        ),
        Edit(
            "siglip_loss/double-exponential",
            "takes the exponential of a scale that is one already",
            "np.exp(log_scale)",
            "np.exp(np.exp(log_scale))",
            where="clip_logits",
            effect="huge logits",
            source="https://github.com/mlfoundations/open_clip/issues/104",
        ),
        Edit(
            "siglip_loss/texts-not-normalised",
            "normalises the images alone",
            "l2_normalize(text_features).T",
            "text_features.T",
            where="clip_logits",
            effect="long text features win",
            source="https://github.com/patrickjohncyh/fashion-clip/issues/31",
            invisible_when="text features have length one",
        ),
    ),
)


def siglip_loss_vjp_equation(f, image_features, text_features, log_scale, bias, grad):
    N, features = len(image_features), (image_features, text_features, log_scale)
    logits = text.clip_logits(*features) + bias
    if np.max(np.abs(values(logits))) < 300:  # the exponentials as they stand overflow beyond
        slopes = grad * (1 / (1 + np.exp(-logits)) - np.eye(N)) / N
        result = f(*features, bias, grad)
        yield from zip(result[:3], text.clip_logits_vjp(*features, slopes), strict=True)
        yield result[3], np.sum(slopes)


def siglip_loss_vjp_across(f, image_features, text_features, log_scale, bias, grad):
    images_grad, texts_grad, _, _ = f(image_features, text_features, log_scale, bias, grad)
    yield np.sum(image_features * images_grad, axis=-1), 0
    yield np.sum(text_features * texts_grad, axis=-1), 0


def siglip_loss_vjp_scaled(f, image_features, text_features, log_scale, bias, grad):
    features = image_features, text_features, log_scale, bias
    for thrice, once in zip(f(*features, -3 * grad), f(*features, grad), strict=True):
        yield thrice, -3 * once


def siglip_loss_vjp_exchanged(f, image_features, text_features, log_scale, bias, grad):
    there = f(image_features, text_features, log_scale, bias, grad)
    back = f(text_features, image_features, log_scale, bias, grad)
    yield back[0], there[1]
    yield back[1], there[0]
    yield back[2], there[2]
    yield back[3], there[3]


def siglip_loss_vjp_bias_alone(f, image_features, text_features, log_scale, bias, grad):
    N = len(image_features)
    _, _, scale_grad, bias_grad = f(0 * image_features, text_features, log_scale, bias, grad)
    yield scale_grad, 0
    yield bias_grad, grad * ((N - 1) * layers.sigmoid(bias) - layers.sigmoid(-bias))


def siglip_loss_vjp_opposite(f, image_features, text_features, log_scale, bias, grad):
    N = len(image_features)
    features = image_features, text_features, log_scale
    signs = (1 - 2 * np.eye(N)) / N
    margins = text.clip_logits_vjp(*features, grad * signs)
    there = f(-image_features, text_features, log_scale, -bias, grad)
    back = f(*features, bias, grad)
    yield back[0] + there[0], margins[0]
    yield back[1] - there[1], margins[1]


SIGLIP_LOSS_VJP = Op(
    text.siglip_loss_vjp,
    costly=("N",),
    laws=(
        Law(
            "the gradient of the logits is the probability minus the label",
            siglip_loss_vjp_equation,
        ),
        Law("each gradient is orthogonal to its feature", siglip_loss_vjp_across),
        Law("is linear in grad", siglip_loss_vjp_scaled),
        Law("images and texts may be exchanged", siglip_loss_vjp_exchanged),
        Law("with zero features only the bias has a gradient", siglip_loss_vjp_bias_alone),
        Law("the gradients of a pair and of its opposite add up", siglip_loss_vjp_opposite),
    ),
    probes=(
        *(with_more(probe, as_loss) for probe in SIGLIP_LOSS.probes),
        Probe(
            "a third of the loss",
            lambda: of_waves(INITIAL_LOG_SCALE, bias=-1.0, grad=np.array(1 / 3)),
        ),
        Probe("an image of zeros", lambda: empty_feature(bias=-1.0, grad=np.array(1.0))),
    ),
    mistakes=(
        Edit(
            "siglip_loss_vjp/mean-over-pairs",
            "divides by the number of pairs instead of the number of images",
            "-grad / N",
            "-grad / N**2",
            effect="gradients N times too small",
            source="https://github.com/google-research/big_vision/issues/115",
            invisible_when="there is one pair",
        ),
        Edit(
            "siglip_loss_vjp/right-for-wrong",
            "weights each decision by the probability that it is right",
            "sigmoid(-signs * logits)",
            "sigmoid(signs * logits)",
            effect="right decisions are pushed on, wrong ones hardly corrected",
            invisible_when="all logits are zero",
        ),
        Edit(
            "siglip_loss_vjp/sign-of-the-pair",
            "forgets the factor z = ±1 of each pair",
            "(signs * sigmoid",
            "(sigmoid",
            effect="negative pairs are pulled together",
            invisible_when="there is one pair",
        ),
        Edit(
            "siglip_loss_vjp/uphill",
            "changes the sign, as for the log-likelihood",
            "-grad / N",
            "grad / N",
            effect="the loss rises",
        ),
        Edit(
            "siglip_loss_vjp/pairs-alone",
            "uses the positive pairs only",
            "signs = 2 * np.eye(N) - 1",
            "signs = np.eye(N)",
            effect="all features collapse into one",
            invisible_when="there is one pair",
        ),
        Edit(
            "siglip_loss_vjp/no-bias",
            "leaves out the bias",
            "log_scale) + bias",
            "log_scale)",
            effect="the negative pairs dominate at the start of training",
            source="https://github.com/mlfoundations/open_clip/issues/650",
            invisible_when="the bias is zero",
        ),
        Edit(
            "siglip_loss_vjp/bias-averaged",
            "averages the gradient of the bias over the pairs",
            "np.sum(logits_grad)",
            "np.mean(logits_grad)",
            effect="the bias hardly learns",
            invisible_when="there is one pair",
        ),
        Edit(
            "siglip_loss_vjp/scale-for-logarithm",
            "returns the gradient of the scale, not of its logarithm",
            "np.sum(grad * (scale * (images @ texts.T)))",
            "np.sum(grad * (images @ texts.T))",
            where="clip_logits_vjp",
            effect="the temperature hardly learns",
            invisible_when="the scale is one",
        ),
    ),
    dialects=zero_dialects("siglip_loss_vjp"),
    outputs=("image_features_grad", "text_features_grad", "log_scale_grad", "bias_grad"),
)
