"""What is known about clip_loss and its gradient: laws, probes, mistakes and dialects."""

import numpy as np

from refimpl.constants import constant
from refimpl.op import Edit, Law, Op, Probe, values
from refimpl.ops.clip import reference as text
from refimpl.ops.clip.spec.shared import (
    FINAL_LOG_SCALE,
    IMAGES_GRAD,
    INITIAL_LOG_SCALE,
    across_its_own_feature,
    as_loss,
    empty_feature,
    mismatched,
    of_unequal_lengths,
    of_waves,
    zero_dialects,
)
from refimpl.ops.common import diagonal, with_more
from refimpl.ops.layers import reference as layers


def clip_loss_equation(f, image_features, text_features, log_scale):
    logits = text.clip_logits(image_features, text_features, log_scale)
    if np.max(np.abs(values(logits))) < 300:  # the exponentials as they stand overflow beyond
        weights = np.exp(logits)
        own = diagonal(weights)
        by_image = own / np.sum(weights, axis=1)
        by_text = own / np.sum(weights, axis=0)
        yield f(image_features, text_features, log_scale), -np.mean(np.log(by_image * by_text)) / 2


def clip_loss_exchanged(f, image_features, text_features, log_scale):
    loss = f(image_features, text_features, log_scale)
    yield f(text_features, image_features, log_scale), loss


def clip_loss_reordered(f, image_features, text_features, log_scale):
    loss = f(image_features, text_features, log_scale)
    yield f(image_features[::-1], text_features[::-1], log_scale), loss


def clip_loss_one_pair(f, image_features, text_features, log_scale):
    yield f(image_features[:1], text_features[:1], log_scale), np.zeros(())


def clip_loss_undecided(f, image_features, text_features, log_scale):
    loss = f(image_features, 0 * text_features, log_scale)
    yield loss, np.log(constant(len(image_features), image_features))


def clip_loss_not_negative(f, image_features, text_features, log_scale):
    loss = f(image_features, text_features, log_scale)
    yield np.minimum(loss, 0), np.zeros(())


def clip_loss_lengths(f, image_features, text_features, log_scale):
    loss = f(image_features, text_features, log_scale)
    yield f(3 * image_features, 0.7 * text_features, log_scale), loss


def clip_loss_doubled_batch(f, image_features, text_features, log_scale):
    images = np.concatenate((image_features, image_features))
    texts = np.concatenate((text_features, text_features))
    loss = f(image_features, text_features, log_scale)
    yield f(images, texts, log_scale), loss + np.log(constant(2, image_features))


CLIP_LOSS = Op(
    text.clip_loss,
    costly=("N",),
    laws=(
        Law("is the mean of -log p over both directions", clip_loss_equation),
        Law("images and texts may be exchanged", clip_loss_exchanged),
        Law("pairs may be reordered", clip_loss_reordered),
        Law("a single pair has loss zero", clip_loss_one_pair),
        Law("equal logits have loss log N", clip_loss_undecided),
        Law("is not negative", clip_loss_not_negative),
        Law("lengths of the features do not matter", clip_loss_lengths),
        Law("repeating the batch adds log 2", clip_loss_doubled_batch),
    ),
    probes=(
        Probe("sines and cosines, temperature 0.07", lambda: of_waves(INITIAL_LOG_SCALE)),
        Probe("lengths from 0.1 to 100, scale 100", lambda: of_unequal_lengths(FINAL_LOG_SCALE)),
        Probe("every image closest to a wrong text", lambda: mismatched(INITIAL_LOG_SCALE)),
        Probe("a scale beyond 100", lambda: of_waves(5.0)),
    ),
    mistakes=(
        Edit(
            "clip_loss/one-direction",
            "uses the cross-entropy over the texts only",
            "(cross_entropy(logits, labels) + cross_entropy(logits.T, labels)) / 2",
            "cross_entropy(logits, labels)",
            effect="only the direction from image to text is trained",
            source="https://github.com/lucidrains/DALLE-pytorch/issues/32",
            invisible_when="the logits are symmetric",
        ),
        Edit(
            "clip_loss/temperature-outside",
            "multiplies the loss by the temperature",
            "cross_entropy(logits.T, labels)) / 2",
            "cross_entropy(logits.T, labels)) / 2 / np.exp(log_scale)",
            effect="gradients shrink with the temperature",
            source="https://github.com/drboog/Lafite/issues/25",
            invisible_when="the temperature is one",
        ),
        Edit(
            "clip_loss/soft-targets",
            "uses similarities within images and texts as soft targets",
            "return (cross_entropy(logits, labels) + cross_entropy(logits.T, labels)) / 2",
            "images = clip_logits(image_features, image_features, log_scale)\n"
            "    texts = clip_logits(text_features, text_features, log_scale)\n"
            "    targets = np.exp((images + texts) / 2)\n"
            "    targets = targets / np.sum(targets, axis=-1, keepdims=True)\n"
            "    rows = np.log(np.sum(np.exp(logits), axis=-1, keepdims=True))\n"
            "    columns = np.log(np.sum(np.exp(logits.T), axis=-1, keepdims=True))\n"
            "    both = targets * (rows - logits) + targets.T * (columns - logits.T)\n"
            "    return np.sum(both) / 2 / len(labels)",
            effect="a different optimum: all features may collapse into one",
            source="https://github.com/moein-shariatnia/OpenAI-CLIP/issues/16",
            invisible_when="the features of different pairs are far apart",
        ),
        Edit(
            "clip_loss/shifted-labels",
            "adds the offset of a process to labels of logits that were not gathered",
            "np.arange(len(logits))",
            "(np.arange(len(logits)) + 1) % len(logits)",
            effect="every image is trained towards a wrong text",
            source="https://github.com/lightly-ai/lightly/pull/1177",
            invisible_when="there is one process, or one pair",
        ),
        Edit(
            "clip_loss/summed-over-pairs",
            "sums over the pairs of the batch instead of averaging",
            "cross_entropy(logits.T, labels)) / 2",
            "cross_entropy(logits.T, labels)) / 2 * len(labels)",
            effect="the learning rate grows with the batch",
            invisible_when="there is one pair",
        ),
        Edit(
            "clip_loss/double-exponential",
            "takes the exponential of a scale that is one already",
            "np.exp(log_scale)",
            "np.exp(np.exp(log_scale))",
            where="clip_logits",
            effect="huge logits",
            source="https://github.com/mlfoundations/open_clip/issues/104",
        ),
        Edit(
            "clip_loss/multiplied-by-temperature",
            "multiplies by the temperature instead of dividing by it",
            "np.exp(log_scale)",
            "np.exp(-log_scale)",
            where="clip_logits",
            effect="the loss stays near log N",
            source="https://github.com/bowang-lab/BLEEP/issues/5",
            invisible_when="the temperature is one",
        ),
        Edit(
            "clip_loss/texts-not-normalised",
            "normalises the images alone",
            "l2_normalize(text_features).T",
            "text_features.T",
            where="clip_logits",
            effect="long text features win",
            source="https://github.com/patrickjohncyh/fashion-clip/issues/31",
            invisible_when="text features have length one",
        ),
    ),
    dialects=(
        Edit(
            "clip_loss/sum-of-directions",
            "adds both directions without halving: ALIGN",
            "cross_entropy(logits.T, labels)) / 2",
            "cross_entropy(logits.T, labels))",
            effect="exactly twice the loss",
        ),
        Edit(
            "clip_loss/clamped-scale",
            "limits the scale to 100, as training does after each step",
            "np.exp(log_scale)",
            "np.minimum(np.exp(log_scale), 100)",
            where="clip_logits",
            effect="another loss beyond log_scale = 4.605",
            source="https://github.com/openai/CLIP/issues/46",
            invisible_when="the scale is at most 100",
        ),
    ),
)


def clip_loss_vjp_equation(f, image_features, text_features, log_scale, grad):
    N = len(image_features)
    logits = text.clip_logits(image_features, text_features, log_scale)
    if np.max(np.abs(values(logits))) < 300:  # the exponentials as they stand overflow beyond
        weights = np.exp(logits)
        by_image = weights / np.sum(weights, axis=1)[:, None]
        by_text = weights / np.sum(weights, axis=0)
        slopes = grad * (by_image + by_text - 2 * np.eye(N)) / (2 * N)
        result = f(image_features, text_features, log_scale, grad)
        through = text.clip_logits_vjp(image_features, text_features, log_scale, slopes)
        yield from zip(result, through, strict=True)


def clip_loss_vjp_by_cross_entropies(f, image_features, text_features, log_scale, grad):
    N, features = len(image_features), (image_features, text_features, log_scale)
    logits = text.clip_logits(*features)
    minus = -np.eye(N) / N  # of the mean of the labels' log-probabilities
    rows = minus + np.exp(layers.log_softmax(logits)) / N
    columns = minus + np.exp(layers.log_softmax(logits.T)) / N
    halves = [text.clip_logits_vjp(*features, grad * x / 2) for x in (rows, columns.T)]
    result = f(*features, grad)
    for whole, one, two in zip(result, *halves, strict=True):
        yield whole, one + two


def clip_loss_vjp_scaled(f, image_features, text_features, log_scale, grad):
    result = f(image_features, text_features, log_scale, grad)
    for thrice, once in zip(
        f(image_features, text_features, log_scale, -3 * grad), result, strict=True
    ):
        yield thrice, -3 * once


def clip_loss_vjp_exchanged(f, image_features, text_features, log_scale, grad):
    images_grad, texts_grad, scale_grad = f(image_features, text_features, log_scale, grad)
    back = f(text_features, image_features, log_scale, grad)
    yield back[0], texts_grad
    yield back[1], images_grad
    yield back[2], scale_grad


def clip_loss_vjp_one_pair(f, image_features, text_features, log_scale, grad):
    for x in f(image_features[:1], text_features[:1], log_scale, grad):
        yield x, 0


def clip_loss_vjp_doubled_batch(f, image_features, text_features, log_scale, grad):
    images = np.concatenate((image_features, image_features))
    texts = np.concatenate((text_features, text_features))
    once = f(image_features, text_features, log_scale, grad)
    twice = f(images, texts, log_scale, grad)
    N = len(image_features)
    for i in (0, 1):
        yield twice[i][:N] + twice[i][N:], once[i]
    yield twice[2], once[2]


PAIRS = "by_image + by_text - 2 * np.eye(N)"
BACK = "    return clip_logits_vjp(image_features, text_features, log_scale, logits_grad)"
GATHERED = (
    "    rank = np.arange(N) * {processes} // N\n"
    "    own = 1.0 * (rank[:, None] == rank)  # N N, pairs of one process\n"
    "    rows, columns = (grad / (2 * N) * (p - np.eye(N)) for p in (by_image, by_text))\n"
    "    parts = (rows + own * columns, own * rows + columns, logits_grad)\n"
    "    back = [clip_logits_vjp(image_features, text_features, log_scale, p) for p in parts]\n"
    "    return back[0][0], back[1][1], back[2][2]"
)

CLIP_LOSS_VJP = Op(
    text.clip_loss_vjp,
    costly=("N",),
    laws=(
        Law(
            "the gradient of the logits is the mean of both softmaxes minus the labels, over N",
            clip_loss_vjp_equation,
        ),
        Law("is half of each direction's cross-entropy", clip_loss_vjp_by_cross_entropies),
        Law("each gradient is orthogonal to its feature", across_its_own_feature),
        Law("is linear in grad", clip_loss_vjp_scaled),
        Law("images and texts may be exchanged", clip_loss_vjp_exchanged),
        Law("a single pair has gradient zero", clip_loss_vjp_one_pair),
        Law("repeating the batch halves its gradients", clip_loss_vjp_doubled_batch),
    ),
    probes=(
        *(with_more(probe, as_loss) for probe in CLIP_LOSS.probes),
        Probe("a third of the loss", lambda: of_waves(INITIAL_LOG_SCALE, grad=np.array(1 / 3))),
        Probe("an image of zeros", lambda: empty_feature(grad=np.array(1.0))),
    ),
    mistakes=(
        Edit(
            "clip_loss_vjp/one-direction",
            "takes the gradient of the direction from image to text only",
            PAIRS,
            "2 * by_image - 2 * np.eye(N)",
            effect="only the direction from image to text is trained",
            source="https://github.com/lucidrains/DALLE-pytorch/issues/32",
            invisible_when="the logits are symmetric",
        ),
        Edit(
            "clip_loss_vjp/summed-over-pairs",
            "forgets the mean over the pairs",
            "grad / (2 * N)",
            "grad / 2",
            effect="gradients grow with the batch",
            invisible_when="there is one pair",
        ),
        Edit(
            "clip_loss_vjp/not-transposed-back",
            "adds the second direction's softmax without transposing it back",
            "softmax(logits.T).T",
            "softmax(logits.T)",
            effect="images are pushed away from wrong texts",
            invisible_when="the logits are symmetric",
        ),
        Edit(
            "clip_loss_vjp/pairs-counted-once",
            "subtracts the labels of one direction only",
            PAIRS,
            "by_image + by_text - np.eye(N)",
            effect="pairs that belong together are pushed apart near the end of training",
        ),
        Edit(
            "clip_loss_vjp/pairs-forgotten",
            "does not subtract the labels",
            PAIRS,
            "by_image + by_text",
            effect="all pairs are pushed apart",
        ),
        Edit(
            "clip_loss_vjp/uphill",
            "changes the sign, as for the log-likelihood",
            "logits_grad = grad / (2 * N)",
            "logits_grad = -grad / (2 * N)",
            effect="the loss rises",
        ),
        Edit(
            "clip_loss_vjp/upstream-ignored",
            "ignores grad",
            "grad / (2 * N)",
            "(grad * 0 + 1) / (2 * N)",
            effect="weights of losses and loss scaling have no effect",
            invisible_when="the upstream gradient is 1",
        ),
        Edit(
            "clip_loss_vjp/scale-for-logarithm",
            "returns the gradient of the scale, not of its logarithm",
            "np.sum(grad * (scale * (images @ texts.T)))",
            "np.sum(grad * (images @ texts.T))",
            where="clip_logits_vjp",
            effect="the temperature hardly learns",
            invisible_when="the scale is one",
        ),
        Edit(
            "clip_loss_vjp/of-normalised-features",
            "returns the gradient of the normalised features",
            IMAGES_GRAD,
            "images_grad",
            where="clip_logits_vjp",
            effect="right only if the encoder normalises",
        ),
        Edit(
            "clip_loss_vjp/texts-held-fixed",
            "gives the texts no gradient, as where features were gathered without one",
            "l2_normalize_vjp(text_features, texts_grad)",
            "0 * texts_grad",
            where="clip_logits_vjp",
            effect="only the images learn",
        ),
        Edit(
            "clip_loss_vjp/gathered-not-summed",
            "keeps only this process's gradient of gathered features",
            BACK,
            GATHERED.format(processes=2),
            effect="part of each feature's gradient is missing",
            source="https://github.com/lightly-ai/lightly/issues/1528",
            otherwise=(GATHERED.format(processes=4), GATHERED.format(processes="N")),
        ),
    ),
    dialects=(
        Edit(
            "clip_loss_vjp/sum-of-directions",
            "adds both directions without halving: ALIGN",
            "grad / (2 * N)",
            "grad / N",
            effect="exactly twice the gradient",
        ),
        *zero_dialects("clip_loss_vjp"),
    ),
    outputs=("image_features_grad", "text_features_grad", "log_scale_grad"),
)
