"""What is known about CLIP: laws, probes, mistakes and dialects."""

import numpy as np

from refimpl.constants import constant
from refimpl.op import Edit, Law, Op, Probe, values
from refimpl.ops.clip import reference as text
from refimpl.ops.layers import reference as layers

INITIAL_LOG_SCALE = 2.659260036932778  # log(1 / 0.07)
FINAL_LOG_SCALE = 4.605170185988092  # log(100)


def waves(*shape):
    """Numbers that anyone can write down again: the sines of 1, 2, 3, …"""
    return np.sin(np.arange(1, np.prod(shape) + 1)).reshape(shape)


def half_waves(*shape):
    """Half the cosines of 1, 2, 3, …"""
    return np.cos(np.arange(1, np.prod(shape) + 1)).reshape(shape) / 2


def lengths(x):
    """The length of each row, 1 for a row of zeros."""
    norm = np.sqrt(np.sum(x * x, axis=-1, keepdims=True))
    return np.where(norm > 0, norm, 1)


def diagonal(x):
    return x[np.arange(len(x)), np.arange(len(x))]


def of_waves(log_scale, **more):
    """Features whose logits and losses were published beside their formulas."""
    return {
        "image_features": waves(3, 4),
        "text_features": half_waves(3, 4),
        "log_scale": log_scale,
        **more,
    }


def of_unequal_lengths(log_scale, **more):
    """Four pairs that nearly match, with lengths from 0.1 to 100 on both sides."""
    near = waves(4, 6) + 0.3 * half_waves(4, 6)
    return {
        "image_features": waves(4, 6) * np.array([[0.1], [10.0], [1.0], [100.0]]),
        "text_features": near * np.array([[30.0], [0.1], [3.0], [1.0]]),
        "log_scale": log_scale,
        **more,
    }


def mismatched(log_scale, **more):
    """Three pairs in which every image lies closest to the text of another pair."""
    return {
        "image_features": np.eye(3) + 0.1,
        "text_features": np.roll(np.eye(3), 1, axis=0) - 0.2,
        "log_scale": log_scale,
        **more,
    }


# ---------------------------------------------------------------------------------- clip_logits


def clip_logits_equation(f, image_features, text_features, log_scale):
    products = image_features @ text_features.T
    cosines = products / (lengths(image_features) * lengths(text_features).T)
    yield f(image_features, text_features, log_scale), np.exp(log_scale) * cosines


def clip_logits_lengths(f, image_features, text_features, log_scale):
    logits = f(image_features, text_features, log_scale)
    yield f(3 * image_features, 0.7 * text_features, log_scale), logits


def clip_logits_exchanged(f, image_features, text_features, log_scale):
    logits = f(image_features, text_features, log_scale)
    yield f(text_features, image_features, log_scale), logits.T


def clip_logits_scale(f, image_features, text_features, log_scale):
    cosines = f(image_features, text_features, 0 * log_scale)
    yield f(image_features, text_features, log_scale), np.exp(log_scale) * cosines


def clip_logits_bounded(f, image_features, text_features, log_scale):
    room = np.exp(log_scale) - np.abs(f(image_features, text_features, log_scale))
    yield np.minimum(room, 0), 0 * room


def clip_logits_itself(f, image_features, text_features, log_scale):
    there = np.any(values(image_features) != 0, axis=-1)
    own = diagonal(f(image_features, image_features, log_scale))
    yield own, np.where(there, 1, 0) * np.exp(log_scale)


def clip_logits_opposite(f, image_features, text_features, log_scale):
    logits = f(image_features, text_features, log_scale)
    yield f(-image_features, text_features, log_scale), -logits


def clip_logits_one_image(f, image_features, text_features, log_scale):
    logits = f(image_features, text_features, log_scale)
    yield f(image_features[:1], text_features, log_scale), logits[:1]


CLIP_LOGITS = Op(
    text.clip_logits,
    laws=(
        Law("equals the scaled cosine", clip_logits_equation),
        Law("lengths of the features do not matter", clip_logits_lengths),
        Law("images and texts exchanged transpose the logits", clip_logits_exchanged),
        Law("log_scale enters as an exponential factor", clip_logits_scale),
        Law("no logit exceeds the scale", clip_logits_bounded),
        Law("a feature against itself scores the scale", clip_logits_itself),
        Law("the opposite image scores the opposite", clip_logits_opposite),
        Law("an image does not depend on its batch", clip_logits_one_image),
    ),
    probes=(
        Probe("sines and cosines, temperature 0.07", lambda: of_waves(INITIAL_LOG_SCALE)),
        Probe("lengths from 0.1 to 100, scale 100", lambda: of_unequal_lengths(FINAL_LOG_SCALE)),
        Probe("a scale beyond 100", lambda: of_waves(5.0)),
        Probe(
            "features as short as 1e-7, and a zero vector",
            lambda: {
                "image_features": np.array([[3e-8, 4e-8], [0.0, 0.0]]),
                "text_features": np.array([[1.0, 1.0], [0.0, -2.0], [0.0, 0.0]]),
                "log_scale": 0.0,
            },
        ),
    ),
    mistakes=(
        Edit(
            "clip_logits/texts-not-normalised",
            "normalises the images alone",
            "l2_normalize(text_features).T",
            "text_features.T",
            effect="long text features win",
            source="https://github.com/patrickjohncyh/fashion-clip/issues/31",
            invisible_when="text features have length one",
        ),
        Edit(
            "clip_logits/not-normalised",
            "takes inner products for cosines",
            "l2_normalize(image_features) @ l2_normalize(text_features).T",
            "image_features @ text_features.T",
            effect="scores of different features cannot be compared",
            source="https://github.com/mlfoundations/open_clip/issues/68",
            invisible_when="all features have length one",
        ),
        Edit(
            "clip_logits/normalised-over-the-batch",
            "normalises every feature over the images instead of every image over its features",
            "l2_normalize(image_features)",
            "l2_normalize(image_features.T).T",
            effect="an image's score depends on the others of the batch",
            source="https://github.com/xmed-lab/CLIP_Surgery/issues/35",
        ),
        Edit(
            "clip_logits/normalised-as-a-whole",
            "divides all images by one norm, that of the whole array",
            "l2_normalize(image_features)",
            "image_features / np.sqrt(np.sum(image_features * image_features))",
            effect="logits shrink with the batch",
            source="https://github.com/tensorflow/similarity/issues/237",
            invisible_when="there is one image",
        ),
        Edit(
            "clip_logits/double-exponential",
            "takes the exponential of a scale that is one already",
            "np.exp(log_scale)",
            "np.exp(np.exp(log_scale))",
            effect="huge logits",
            source="https://github.com/mlfoundations/open_clip/issues/104",
        ),
        Edit(
            "clip_logits/no-exponential",
            "multiplies by the logarithm of the scale",
            "np.exp(log_scale)",
            "log_scale",
            effect="flat logits",
        ),
        Edit(
            "clip_logits/multiplied-by-temperature",
            "multiplies by the temperature instead of dividing by it",
            "np.exp(log_scale)",
            "np.exp(-log_scale)",
            effect="all probabilities nearly equal",
            source="https://github.com/bowang-lab/BLEEP/issues/5",
            invisible_when="the temperature is one",
        ),
        Edit(
            "clip_logits/no-temperature",
            "returns bare cosines",
            "np.exp(log_scale) * cosines",
            "cosines",
            effect="all probabilities nearly equal",
            source="https://github.com/huiserwang/ContrastMask/issues/4",
            invisible_when="the temperature is one",
        ),
    ),
    dialects=(
        Edit(
            "clip_logits/clamped-scale",
            "limits the scale to 100, as training does after each step",
            "np.exp(log_scale)",
            "np.minimum(np.exp(log_scale), 100)",
            effect="smaller logits beyond log_scale = 4.605",
            source="https://github.com/openai/CLIP/issues/46",
            invisible_when="the scale is at most 100",
        ),
        Edit(
            "clip_logits/guarded-norm",
            "adds 1e-8 to the norms: big_vision",
            "cosines = l2_normalize(image_features) @ l2_normalize(text_features).T",
            "images = np.linalg.norm(image_features, axis=-1, keepdims=True) + 1e-8\n"
            "    texts = np.linalg.norm(text_features, axis=-1, keepdims=True) + 1e-8\n"
            "    cosines = (image_features / images) @ (text_features / texts).T",
            effect="smaller logits for features shorter than 0.1",
            invisible_when="features are longer than 1",
        ),
        Edit(
            "clip_logits/unguarded-norm",
            "divides by the norm whatever it is: CLIP, Hugging Face",
            "cosines = l2_normalize(image_features) @ l2_normalize(text_features).T",
            "images = np.linalg.norm(image_features, axis=-1, keepdims=True)\n"
            "    texts = np.linalg.norm(text_features, axis=-1, keepdims=True)\n"
            "    cosines = (image_features / images) @ (text_features / texts).T",
            effect="NaN for a zero vector",
            invisible_when="no vector is zero",
        ),
    ),
)


# ------------------------------------------------------------------------------ clip_logits_vjp


def nonzero(x):
    """Which rows have a direction."""
    return np.any(values(x) != 0, axis=-1)


def clip_logits_vjp_equation(f, image_features, text_features, log_scale, grad):
    images = image_features / lengths(image_features)
    texts = text_features / lengths(text_features)
    cosines = images @ texts.T  # N M
    images_grad, texts_grad, _ = f(image_features, text_features, log_scale, grad)
    towards = grad @ texts - images * np.sum(grad * cosines, axis=1)[:, None]
    yield images_grad, np.exp(log_scale) * towards / lengths(image_features)
    towards = grad.T @ images - texts * np.sum(grad * cosines, axis=0)[:, None]
    yield texts_grad, np.exp(log_scale) * towards / lengths(text_features)


def clip_logits_vjp_across(f, image_features, text_features, log_scale, grad):
    images_grad, texts_grad, _ = f(image_features, text_features, log_scale, grad)
    yield np.sum(image_features * images_grad, axis=-1), 0
    yield np.sum(text_features * texts_grad, axis=-1), 0


def clip_logits_vjp_scale(f, image_features, text_features, log_scale, grad):
    logits = text.clip_logits(image_features, text_features, log_scale)
    yield f(image_features, text_features, log_scale, grad)[2], np.sum(grad * logits)


def clip_logits_vjp_lengths(f, image_features, text_features, log_scale, grad):
    one = f(image_features, text_features, log_scale, grad)
    other = f(3 * image_features, text_features / 2, log_scale, grad)
    longer, shorter = nonzero(image_features)[:, None], nonzero(text_features)[:, None]
    yield np.where(longer, 3, 1) * other[0], one[0]
    yield other[1], np.where(shorter, 2, 1) * one[1]
    yield other[2], one[2]


def clip_logits_vjp_exchanged(f, image_features, text_features, log_scale, grad):
    images_grad, texts_grad, scale_grad = f(image_features, text_features, log_scale, grad)
    back = f(text_features, image_features, log_scale, grad.T)
    yield back[0], texts_grad
    yield back[1], images_grad
    yield back[2], scale_grad


def clip_logits_vjp_additive(f, image_features, text_features, log_scale, grad):
    other = grad[::-1, ::-1] / 2
    features = image_features, text_features, log_scale
    both = f(*features, grad + other)
    for whole, one, two in zip(both, f(*features, grad), f(*features, other), strict=True):
        yield whole, one + two


def clip_logits_vjp_opposite(f, image_features, text_features, log_scale, grad):
    images_grad, texts_grad, scale_grad = f(image_features, text_features, log_scale, grad)
    there = f(-image_features, text_features, log_scale, grad)
    yield there[0], images_grad
    yield there[1], -texts_grad
    yield there[2], -scale_grad


def with_grad(inputs):
    """The inputs of the logits, and a gradient of them that is not symmetric."""
    shape = len(inputs["image_features"]), len(inputs["text_features"])
    return inputs | {"grad": waves(*shape) + 2 * half_waves(*shape[::-1]).T}


def with_more(probe, add):
    """The probe of an operation as one of its gradient."""
    return Probe(probe.says, lambda: add(probe.inputs()))


def empty_feature(**more):
    """Two pairs, one of them with an image of zeros."""
    return {
        "image_features": np.array([[3.0, 4.0], [0.0, 0.0]]),
        "text_features": np.array([[1.0, 1.0], [0.0, -2.0]]),
        "log_scale": 0.0,
        **more,
    }


def zero_dialects(op):
    """What others make of the gradient of a zero vector, which has none."""
    return (
        Edit(
            f"{op}/zero-is-nan",
            "divides by the length whatever it is: JAX, CLIP",
            "np.where(norm > 0, norm, 1)",
            "1 * norm",
            where="layers.l2_normalize_vjp",
            effect="NaN for a zero vector",
            invisible_when="no vector is zero",
        ),
        Edit(
            f"{op}/short-counts-as-1e-8",
            "divides by 1e-8 at least, which is then a constant: torch's cosine_similarity",
            "norm = np.where(norm > 0, norm, 1)  # the zero vector passes grad on\n"
            "    unit = x / norm",
            "short = norm < 1e-8\n"
            "    norm = np.where(short, 1e-8, norm)\n"
            "    unit = np.where(short, 0, x / norm)",
            where="layers.l2_normalize_vjp",
            effect="a zero vector gets an enormous gradient",
            invisible_when="no vector is shorter than 1e-8",
        ),
    )


IMAGES_GRAD = "l2_normalize_vjp(image_features, images_grad)"

CLIP_LOGITS_VJP = Op(
    text.clip_logits_vjp,
    laws=(
        Law(
            "pulls a feature towards what scores, less what lies along it", clip_logits_vjp_equation
        ),
        Law("a gradient lies across its own feature", clip_logits_vjp_across),
        Law("the scale gains the sum of gradients times logits", clip_logits_vjp_scale),
        Law("longer features have smaller gradients", clip_logits_vjp_lengths),
        Law("images and texts exchanged exchange their gradients", clip_logits_vjp_exchanged),
        Law("gradients of sums are sums of gradients", clip_logits_vjp_additive),
        Law(
            "opposite images keep their gradients, and those of the texts turn",
            clip_logits_vjp_opposite,
        ),
    ),
    probes=tuple(with_more(probe, with_grad) for probe in CLIP_LOGITS.probes),
    mistakes=(
        Edit(
            "clip_logits_vjp/length-held-fixed",
            "divides by the length as though it did not change with the feature",
            IMAGES_GRAD,
            "images_grad / np.sqrt(np.sum(image_features**2, axis=-1, keepdims=True))",
            effect="gradients along the feature, which only make it longer",
            invisible_when="the gradient lies across the feature anyway",
        ),
        Edit(
            "clip_logits_vjp/length-forgotten",
            "returns the gradient of the normalised features' direction, not over the length",
            IMAGES_GRAD,
            "images_grad - images * np.sum(images * images_grad, axis=-1, keepdims=True)",
            effect="long features move too far, short ones too little",
            invisible_when="features have length one",
        ),
        Edit(
            "clip_logits_vjp/of-normalised-features",
            "returns the gradient of the normalised features",
            IMAGES_GRAD,
            "images_grad",
            effect="as if the encoder put out vectors of length one",
        ),
        Edit(
            "clip_logits_vjp/scale-for-logarithm",
            "returns the gradient of the scale, not of its logarithm",
            "np.sum(grad * (scale * (images @ texts.T)))",
            "np.sum(grad * (images @ texts.T))",
            effect="the temperature hardly learns",
            invisible_when="the scale is one",
        ),
        Edit(
            "clip_logits_vjp/features-not-scaled",
            "leaves the scale out of the features' gradients",
            "scale * (grad @ texts), scale * (grad.T @ images)",
            "grad @ texts, grad.T @ images",
            effect="features learn a hundred times too slowly",
            invisible_when="the scale is one",
        ),
        Edit(
            "clip_logits_vjp/not-transposed",
            "gives text i the gradients of image i's scores",
            "grad.T @ images",
            "grad @ images",
            effect="texts are pulled to the wrong images",
            invisible_when="the gradient is symmetric; other numbers of texts fail",
        ),
        Edit(
            "clip_logits_vjp/texts-not-normalised",
            "pulls the images towards texts of their own length",
            "scale * (grad @ texts)",
            "scale * (grad @ text_features)",
            effect="long texts pull harder",
            source="https://github.com/patrickjohncyh/fashion-clip/issues/31",
            invisible_when="text features have length one",
        ),
        Edit(
            "clip_logits_vjp/texts-held-fixed",
            "gives the texts no gradient",
            "l2_normalize_vjp(text_features, texts_grad)",
            "0 * texts_grad",
            effect="only the images learn, as though the texts had been detached",
        ),
    ),
    dialects=zero_dialects("clip_logits_vjp"),
    outputs=("image_features_grad", "text_features_grad", "log_scale_grad"),
)


# ------------------------------------------------------------------------------------ clip_loss


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
    laws=(
        Law("is the mean of -log p over both directions", clip_loss_equation),
        Law("images and texts may be exchanged", clip_loss_exchanged),
        Law("pairs may be reordered", clip_loss_reordered),
        Law("a single pair has loss zero", clip_loss_one_pair),
        Law("equal logits have loss log N", clip_loss_undecided),
        Law("is not negative", clip_loss_not_negative),
        Law("lengths of the features do not matter", clip_loss_lengths),
        Law("a batch given twice loses log 2 more", clip_loss_doubled_batch),
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
            "asks the images alone",
            "(cross_entropy(logits, labels) + cross_entropy(logits.T, labels)) / 2",
            "cross_entropy(logits, labels)",
            effect="texts are not trained to find their image",
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
            "aims at the similarities within images and within texts instead of at the pairs",
            "return (cross_entropy(logits, labels) + cross_entropy(logits.T, labels)) / 2",
            "images = clip_logits(image_features, image_features, log_scale)\n"
            "    texts = clip_logits(text_features, text_features, log_scale)\n"
            "    targets = np.exp((images + texts) / 2)\n"
            "    targets = targets / np.sum(targets, axis=-1, keepdims=True)\n"
            "    rows = np.log(np.sum(np.exp(logits), axis=-1, keepdims=True))\n"
            "    columns = np.log(np.sum(np.exp(logits.T), axis=-1, keepdims=True))\n"
            "    both = targets * (rows - logits) + targets.T * (columns - logits.T)\n"
            "    return np.sum(both) / 2 / len(labels)",
            effect="another optimum: all features may collapse into one",
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
            "adds up the pairs of the batch instead of averaging them",
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


# -------------------------------------------------------------------------------- clip_loss_vjp


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


def clip_loss_vjp_across(f, image_features, text_features, log_scale, grad):
    images_grad, texts_grad, _ = f(image_features, text_features, log_scale, grad)
    yield np.sum(image_features * images_grad, axis=-1), 0
    yield np.sum(text_features * texts_grad, axis=-1), 0


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


def as_loss(inputs):
    return inputs | {"grad": np.array(1.0)}


PAIRS = "by_image + by_text - 2 * np.eye(N)"

CLIP_LOSS_VJP = Op(
    text.clip_loss_vjp,
    laws=(
        Law("slopes are shares of both directions less the pairs", clip_loss_vjp_equation),
        Law("is half of each direction's cross-entropy", clip_loss_vjp_by_cross_entropies),
        Law("a gradient lies across its own feature", clip_loss_vjp_across),
        Law("a multiple of the loss has the multiple of the gradient", clip_loss_vjp_scaled),
        Law("images and texts may be exchanged", clip_loss_vjp_exchanged),
        Law("a single pair has nothing to learn", clip_loss_vjp_one_pair),
        Law("a batch given twice shares its gradients", clip_loss_vjp_doubled_batch),
    ),
    probes=(
        *(with_more(probe, as_loss) for probe in CLIP_LOSS.probes),
        Probe("a third of the loss", lambda: of_waves(INITIAL_LOG_SCALE, grad=np.array(1 / 3))),
        Probe("an image of zeros", lambda: empty_feature(grad=np.array(1.0))),
    ),
    mistakes=(
        Edit(
            "clip_loss_vjp/one-direction",
            "differentiates the images' direction alone",
            PAIRS,
            "2 * by_image - 2 * np.eye(N)",
            effect="texts are not trained to find their image",
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
            "adds the shares of the texts' direction without transposing them back",
            "softmax(logits.T).T",
            "softmax(logits.T)",
            effect="an image is pushed from the texts that like another",
            invisible_when="the logits are symmetric",
        ),
        Edit(
            "clip_loss_vjp/pairs-counted-once",
            "subtracts each pair once, though both directions ask for it",
            PAIRS,
            "by_image + by_text - np.eye(N)",
            effect="pairs that belong together are pushed apart near the end of training",
        ),
        Edit(
            "clip_loss_vjp/pairs-forgotten",
            "does not subtract the labels",
            PAIRS,
            "by_image + by_text",
            effect="everything is pushed apart",
        ),
        Edit(
            "clip_loss_vjp/uphill",
            "turns the sign around, as for the log-likelihood",
            "logits_grad = grad / (2 * N)",
            "logits_grad = -grad / (2 * N)",
            effect="the loss rises",
        ),
        Edit(
            "clip_loss_vjp/upstream-ignored",
            "takes the loss for the end of the chain",
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
            effect="as if the encoder put out vectors of length one",
        ),
        Edit(
            "clip_loss_vjp/texts-held-fixed",
            "gives the texts no gradient, as where features were gathered without one",
            "l2_normalize_vjp(text_features, texts_grad)",
            "0 * texts_grad",
            where="clip_logits_vjp",
            effect="only the images learn",
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


# ---------------------------------------------------------------------------------- siglip_loss


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
    laws=(
        Law("is the sum of -log p of every decision, per image", siglip_loss_equation),
        Law("images and texts may be exchanged", siglip_loss_exchanged),
        Law("pairs may be reordered", siglip_loss_reordered),
        Law("of zero features only the bias decides", siglip_loss_bias_alone),
        Law("a single pair is one decision", siglip_loss_one_pair),
        Law("opposite logits add the margins", siglip_loss_opposite),
        Law("is not negative", siglip_loss_not_negative),
        Law("a batch given twice has every text as a stranger too", siglip_loss_doubled_batch),
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
            effect="they cost log 2 each and teach nothing",
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


# ------------------------------------------------------------------------------ siglip_loss_vjp


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
    laws=(
        Law("slopes are probabilities less the pairs", siglip_loss_vjp_equation),
        Law("a gradient lies across its own feature", siglip_loss_vjp_across),
        Law("a multiple of the loss has the multiple of the gradient", siglip_loss_vjp_scaled),
        Law("images and texts may be exchanged", siglip_loss_vjp_exchanged),
        Law("of zero features only the bias learns", siglip_loss_vjp_bias_alone),
        Law("opposite logits share the margins", siglip_loss_vjp_opposite),
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
            "weighs each decision by the probability that it is right",
            "sigmoid(-signs * logits)",
            "sigmoid(signs * logits)",
            effect="decisions already made are pushed on, wrong ones hardly corrected",
            invisible_when="all logits are zero",
        ),
        Edit(
            "siglip_loss_vjp/sign-of-the-pair",
            "forgets the outer sign of each pair",
            "(signs * sigmoid",
            "(sigmoid",
            effect="strangers are pulled together",
            invisible_when="there is one pair",
        ),
        Edit(
            "siglip_loss_vjp/uphill",
            "turns the sign around, as for the log-likelihood",
            "-grad / N",
            "grad / N",
            effect="the loss rises",
        ),
        Edit(
            "siglip_loss_vjp/pairs-alone",
            "differentiates only the pairs that belong together",
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
            effect="far too much is pushed apart at the start of training",
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


OPS = (
    CLIP_LOGITS,
    CLIP_LOGITS_VJP,
    CLIP_LOSS,
    CLIP_LOSS_VJP,
    SIGLIP_LOSS,
    SIGLIP_LOSS_VJP,
)
