"""What is known about cosine_distance and its gradient: laws, probes, mistakes and dialects."""

import numpy as np

from refimpl.gradients import LINEAR_IN_GRAD
from refimpl.op import Edit, Law, Op
from refimpl.ops.common import diagonal
from refimpl.ops.guidance import reference as text
from refimpl.ops.guidance.spec.shared import (
    DISTANCE_PROBES,
    GRADIENT_PROBES,
    directions,
    distance_exchanged,
    distance_lengths,
    distance_one_image,
    distance_vjp_across,
    distance_vjp_exchanged,
    distance_vjp_lengths,
    gradient_mistakes,
    unnormalised,
)
from refimpl.ops.layers.reference import l2_normalize


def distance_reordered_axes(f, image_features, text_features):
    turned = image_features[:, ::-1], text_features[:, ::-1]
    yield f(*turned), f(image_features, text_features)


def cosine_distance_equation(f, image_features, text_features):
    u, v = l2_normalize(image_features), l2_normalize(text_features)
    apart = u[:, None] - v  # N M D
    known = directions(image_features)[:, None] * directions(text_features)
    halves = np.sum(apart * apart, axis=-1) / 2
    yield np.where(known, f(image_features, text_features), 1), np.where(known, halves, 1)


def cosine_distance_opposite(f, image_features, text_features):
    there, back = f(-image_features, text_features), f(image_features, text_features)
    yield there + back, 2


def cosine_distance_itself(f, image_features, text_features):
    yield diagonal(f(image_features, image_features)), 1 - directions(image_features)


COSINE_DISTANCE = Op(
    text.cosine_distance,
    laws=(
        Law("is half the squared chord", cosine_distance_equation),
        Law("images and texts may be exchanged", distance_exchanged),
        Law("lengths do not matter", distance_lengths),
        Law("distances to opposite directions sum to two", cosine_distance_opposite),
        Law("the distance of a feature to itself is 0", cosine_distance_itself),
        Law("each cutout is treated by itself", distance_one_image),
        Law("the order of the features does not matter", distance_reordered_axes),
    ),
    probes=DISTANCE_PROBES,
    mistakes=(
        unnormalised(
            "cosine_distance",
            "l2_normalize(image_features) @ l2_normalize(text_features).T",
            "image_features @ text_features.T",
        ),
        Edit(
            "cosine_distance/texts-not-normalised",
            "normalises the images alone",
            "l2_normalize(text_features).T",
            "text_features.T",
            effect="long prompts win",
            source="https://github.com/patrickjohncyh/fashion-clip/issues/31",
            invisible_when="text features have length one",
        ),
        Edit(
            "cosine_distance/similarity",
            "returns the cosine instead of 1 minus it",
            "1 - l2_normalize",
            "l2_normalize",
            effect="guidance moves away from the prompt",
        ),
        Edit(
            "cosine_distance/squared-chord",
            "returns the squared chord, twice the distance",
            "return 1 - l2_normalize(image_features) @ l2_normalize(text_features).T",
            "return 2 - 2 * (l2_normalize(image_features) @ l2_normalize(text_features).T)",
            effect="guidance twice as strong",
            invisible_when="the directions are equal",
        ),
        Edit(
            "cosine_distance/normalised-over-the-batch",
            "normalises every feature over the images",
            "l2_normalize(image_features)",
            "l2_normalize(image_features.T).T",
            effect="a cutout's distance depends on the other cutouts",
            source="https://github.com/xmed-lab/CLIP_Surgery/issues/35",
        ),
    ),
    dialects=(
        Edit(
            "cosine_distance/without-the-one",
            "returns minus the cosine: a common loss",
            "return 1 - l2_normalize",
            "return -l2_normalize",
            effect="lower by one, with the same gradient",
        ),
    ),
)


def cosine_distance_vjp_equation(f, image_features, text_features, grad):
    u, v = l2_normalize(image_features), l2_normalize(text_features)
    cosines = u @ v.T  # N M
    known = directions(image_features)[:, None]
    across = u * np.sum(grad * cosines, axis=1)[:, None] - grad @ v  # N D
    size = np.sqrt(np.sum(image_features * image_features, axis=-1, keepdims=True))
    yield f(image_features, text_features, grad)[0], across / np.where(known, size, 1)


def cosine_distance_vjp_opposite(f, image_features, text_features, grad):
    there, back = (f(x, text_features, grad) for x in (-image_features, image_features))
    yield there[0], back[0]
    yield there[1], -back[1]


COSINE_DISTANCE_VJP = Op(
    text.cosine_distance_vjp,
    laws=(
        Law(
            "is minus the part of the text orthogonal to the image, over its length",
            cosine_distance_vjp_equation,
        ),
        Law("each gradient is orthogonal to its feature", distance_vjp_across),
        Law("images and texts may be exchanged", distance_vjp_exchanged),
        Law("longer features have smaller gradients", distance_vjp_lengths),
        Law(
            "negating the images keeps their gradients and negates those of the texts",
            cosine_distance_vjp_opposite,
        ),
        LINEAR_IN_GRAD,
    ),
    probes=GRADIENT_PROBES,
    mistakes=(
        Edit(
            "cosine_distance_vjp/sign",
            "returns the gradient of the cosine, not of the distance",
            "-(grad @ texts), -(grad.T @ images)",
            "grad @ texts, grad.T @ images",
            effect="guidance moves away from the prompt",
        ),
        Edit(
            "cosine_distance_vjp/not-transposed",
            "gives text i the gradients of image i's distances",
            "grad.T @ images",
            "grad @ images",
            effect="prompts are pulled towards the wrong cutouts; other numbers of prompts raise",
        ),
        Edit(
            "cosine_distance_vjp/texts-not-normalised",
            "uses texts that are not normalised",
            "-(grad @ texts)",
            "-(grad @ text_features)",
            effect="long prompts pull harder",
            invisible_when="text features have length one",
        ),
        *gradient_mistakes("cosine_distance_vjp", "images_grad"),
    ),
    outputs=("image_features_grad", "text_features_grad"),
)
