"""What is known about clip_logits and its gradient: laws, probes, mistakes and dialects."""

import numpy as np

from refimpl.op import Edit, Law, Op, Probe, values
from refimpl.ops.clip import reference as text
from refimpl.ops.clip.spec.shared import (
    FINAL_LOG_SCALE,
    IMAGES_GRAD,
    INITIAL_LOG_SCALE,
    across_its_own_feature,
    of_unequal_lengths,
    of_waves,
    zero_dialects,
)
from refimpl.ops.common import cosines, diagonal, sines, with_more


def lengths(x):
    """The length of each row, 1 for a row of zeros."""
    norm = np.sqrt(np.sum(x * x, axis=-1, keepdims=True))
    return np.where(norm <= 0, 1, norm)


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
    slack = np.exp(log_scale) - np.abs(f(image_features, text_features, log_scale))
    yield np.minimum(slack, 0), 0 * slack


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
    return inputs | {"grad": sines(*shape) + 2 * cosines(*shape[::-1]).T}


CLIP_LOGITS_VJP = Op(
    text.clip_logits_vjp,
    laws=(
        Law(
            "is the weighted sum of the other features, without the part along the feature",
            clip_logits_vjp_equation,
        ),
        Law("each gradient is orthogonal to its feature", across_its_own_feature),
        Law("the gradient of log_scale is the sum of grad times logits", clip_logits_vjp_scale),
        Law("longer features have smaller gradients", clip_logits_vjp_lengths),
        Law("images and texts exchanged exchange their gradients", clip_logits_vjp_exchanged),
        Law("gradients of sums are sums of gradients", clip_logits_vjp_additive),
        Law(
            "negating the images keeps their gradients and negates those of the texts",
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
            effect="gradients have a part along the feature, which only changes its length",
            invisible_when="the gradient is orthogonal to the feature anyway",
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
            effect="right only if the encoder normalises",
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
            effect="texts are pulled towards the wrong images",
            invisible_when="the gradient is symmetric; other numbers of texts fail",
        ),
        Edit(
            "clip_logits_vjp/texts-not-normalised",
            "uses texts that are not normalised",
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
