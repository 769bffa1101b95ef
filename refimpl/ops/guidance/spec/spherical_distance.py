"""What is known about spherical_distance and its gradient: laws, probes, mistakes and dialects."""

import numpy as np

from refimpl.constants import pi
from refimpl.gradients import LINEAR_IN_GRAD
from refimpl.op import Edit, Law, Op, values
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

U_V = "l2_normalize(image_features), l2_normalize(text_features)"


def spherical_distance_itself(f, image_features, text_features):
    yield diagonal(f(image_features, image_features)), 0


def spherical_distance_on_a_circle(f, image_features, text_features):
    angles = np.array([0.0, 0.3, 1.2, 2.1])
    on_circle = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    turn = angles[:, None] - angles
    yield f(on_circle, 3 * on_circle), turn * turn / 2


def spherical_distance_right_angle(f, image_features, text_features):
    axes = np.eye(3)
    quarter = pi(image_features) / 2
    yield f(2 * axes, axes), (1 - axes) * (quarter * quarter / 2)


def spherical_distance_cosine(f, image_features, text_features):
    known = directions(image_features)[:, None] * directions(text_features)
    twice = 2 * f(image_features, text_features)
    cosines = np.cos(np.sqrt(twice))
    straight = 1 - text.cosine_distance(image_features, text_features)
    yield np.where(known, cosines, 0), np.where(known, straight, 0)


def spherical_distance_longer_than_chord(f, image_features, text_features):
    known = directions(image_features)[:, None] * directions(text_features)
    arc = f(image_features, text_features)
    chord = text.cosine_distance(image_features, text_features)
    yield np.minimum(np.where(known, arc - chord, 0), 0), 0


SPHERICAL_DISTANCE = Op(
    text.spherical_distance,
    laws=(
        Law("cos √(2 d) is the cosine of the features", spherical_distance_cosine),
        Law(
            "in two dimensions it is half the squared angle",
            spherical_distance_on_a_circle,
        ),
        Law("at 90° it is π²/8", spherical_distance_right_angle),
        Law("images and texts may be exchanged", distance_exchanged),
        Law("lengths do not matter", distance_lengths),
        Law("the distance of a feature to itself is 0", spherical_distance_itself),
        Law(
            "is at least half the squared chord",
            spherical_distance_longer_than_chord,
        ),
        Law("each cutout is treated by itself", distance_one_image),
    ),
    probes=DISTANCE_PROBES,
    mistakes=(
        unnormalised(
            "spherical_distance",
            "images, texts = " + U_V,
            "images, texts = image_features, text_features",
        ),
        Edit(
            "spherical_distance/arcsine-not-squared",
            "does not square the arcsine",
            "2 * (half_angle * half_angle)",
            "2 * half_angle",
            effect="guidance does not weaken as the prompt is reached",
        ),
        Edit(
            "spherical_distance/whole-chord",
            "takes the arcsine of the chord instead of half the chord",
            "chord / 2",
            "chord",
            effect="NaN for angles above 60°",
        ),
        Edit(
            "spherical_distance/squared-angle",
            "returns the squared angle, twice the distance",
            "2 * (half_angle * half_angle)",
            "4 * (half_angle * half_angle)",
            effect="guidance twice as strong",
        ),
        Edit(
            "spherical_distance/squared-half-angle",
            "forgets the factor 2",
            "2 * (half_angle * half_angle)",
            "half_angle * half_angle",
            effect="guidance half as strong",
        ),
        Edit(
            "spherical_distance/no-root",
            "uses the squared chord without its root",
            "np.sqrt(np.sum(apart * apart, axis=-1))",
            "np.sum(apart * apart, axis=-1)",
            effect="near prompts have too small a gradient, far ones none",
        ),
        Edit(
            "spherical_distance/texts-not-normalised",
            "normalises the images alone",
            U_V,
            "l2_normalize(image_features), text_features",
            effect="NaN for prompts longer than three",
            invisible_when="text features have length one",
        ),
    ),
)


def spherical_distance_vjp_equation(f, image_features, text_features, grad):
    u, v = l2_normalize(image_features), l2_normalize(text_features)
    cosines = u @ v.T  # N M
    angles = 2 * text.spherical_distance(image_features, text_features)
    if not np.all(directions(image_features)) or not np.all(directions(text_features)):
        return
    if np.max(np.abs(values(cosines)), initial=0) > 0.99:  # the quotient as it stands loses digits
        return
    factor = grad * np.sqrt(angles) / np.sin(np.sqrt(angles))
    across = u * np.sum(factor * cosines, axis=1)[:, None] - factor @ v  # N D
    size = np.sqrt(np.sum(image_features * image_features, axis=-1, keepdims=True))
    yield f(image_features, text_features, grad)[0], across / size


def spherical_distance_vjp_length(f, image_features, text_features, grad):
    images, texts = l2_normalize(image_features), l2_normalize(text_features)
    ones = np.ones((1, 1))
    if not np.all(directions(image_features)) or not np.all(directions(text_features)):
        return
    first = f(images[:1], texts[:1], ones)[0]
    twice = 2 * text.spherical_distance(images[:1], texts[:1])
    yield np.sum(first * first), np.sum(twice)


def spherical_distance_vjp_on_a_circle(f, image_features, text_features, grad):
    angles = np.array([0.4, 1.2, 2.1])
    on_circle = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    across = np.stack([-np.sin(angles), np.cos(angles)], axis=-1)
    start = np.array([[5.0, 0.0]])
    yield f(on_circle, start, np.ones((3, 1)))[0], angles[:, None] * across


SPHERICAL_DISTANCE_VJP = Op(
    text.spherical_distance_vjp,
    laws=(
        Law(
            "is -angle/sin(angle) times the orthogonal part of the text",
            spherical_distance_vjp_equation,
        ),
        Law("for unit features its length is the angle", spherical_distance_vjp_length),
        Law("in two dimensions it is the difference of angles", spherical_distance_vjp_on_a_circle),
        Law("each gradient is orthogonal to its feature", distance_vjp_across),
        Law("images and texts may be exchanged", distance_vjp_exchanged),
        Law("longer features have smaller gradients", distance_vjp_lengths),
        LINEAR_IN_GRAD,
    ),
    probes=GRADIENT_PROBES,
    mistakes=(
        Edit(
            "spherical_distance_vjp/sign",
            "changes the sign",
            "pull = (grad * ratio)",
            "pull = (-grad * ratio)",
            effect="subtracting it moves away from the prompt",
        ),
        Edit(
            "spherical_distance_vjp/chord-alone",
            "differentiates half the squared chord instead of the angle",
            "np.arcsin(sine) / sine / cosine",
            "1",
            effect="far prompts pull too little",
        ),
        Edit(
            "spherical_distance_vjp/arcsine-held-fixed",
            "forgets the derivative of the arcsine",
            "np.arcsin(sine) / sine / cosine",
            "np.arcsin(sine) / sine",
            effect="far prompts pull too little",
        ),
        Edit(
            "spherical_distance_vjp/arcsine-not-squared",
            "takes the gradient of the angle instead of half its square",
            "np.arcsin(sine) / sine / cosine",
            "1 / (2 * sine * cosine)",
            effect="guidance does not weaken as the prompt is reached",
        ),
        Edit(
            "spherical_distance_vjp/summed-over-the-wrong-axis",
            "sums over the wrong axis for the texts",
            "-np.sum(pull, axis=0)",
            "-np.sum(pull, axis=1)",
            effect="prompts get the gradients of cutouts; other numbers of prompts raise",
        ),
        unnormalised(
            "spherical_distance_vjp",
            "images, texts = " + U_V,
            "images, texts = image_features, text_features",
        ),
        *gradient_mistakes("spherical_distance_vjp", "np.sum(pull, axis=1)"),
    ),
    outputs=("image_features_grad", "text_features_grad"),
)
