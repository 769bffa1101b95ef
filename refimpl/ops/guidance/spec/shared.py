"""What the specifications of guidance share."""

import numpy as np

from refimpl.op import Edit, Probe, values
from refimpl.ops.common import samples, sines

S = 0.8 * sines(1, 4)  # small formulas whose every digit can be printed


def directions(features):
    """1 for a vector that has a direction, 0 for a zero vector."""
    return np.where(np.any(values(features) != 0, axis=-1), 1, 0)


def distance_exchanged(f, image_features, text_features):
    yield f(text_features, image_features).T, f(image_features, text_features)


def distance_lengths(f, image_features, text_features):
    yield f(3 * image_features, text_features / 2), f(image_features, text_features)


def distance_one_image(f, image_features, text_features):
    yield f(image_features[:1], text_features), f(image_features, text_features)[:1]


def several_directions():
    """Features of lengths from 0.1 to 30, near and far from each other."""
    return {
        "image_features": samples(21, (3, 5)) * np.array([[0.1], [1.0], [30.0]]),
        "text_features": samples(22, (4, 5)) * np.array([[7.0], [0.2], [1.0], [3.0]]),
    }


def as_many_prompts():
    return {
        "image_features": samples(23, (3, 4)),
        "text_features": samples(23, (3, 4)) + 0.3 * samples(24, (3, 4)),
    }


def right_angles():
    return {
        "image_features": np.array([[2.0, 0.0, 0.0], [0.0, 1.0, 1.0]]),
        "text_features": np.array([[0.0, 3.0, 0.0], [1.0, 0.0, 1.0], [-1.0, 0.0, 0.5]]),
    }


DISTANCE_PROBES = (
    Probe("lengths from 0.1 to 30", several_directions),
    Probe("as many prompts as cutouts", as_many_prompts),
    Probe("right angles and others", right_angles),
)


def unnormalised(op, old, new):
    """Features not normalised before their distance is taken."""
    return Edit(
        f"{op}/not-normalised",
        "does not normalise the features",
        old,
        new,
        effect="long features are far from everything, and half a chord above 1 gives NaN",
        invisible_when="features have length one",
    )


def distance_vjp_across(f, image_features, text_features, grad):
    images_grad, texts_grad = f(image_features, text_features, grad)
    yield np.sum(image_features * images_grad, axis=-1), 0
    yield np.sum(text_features * texts_grad, axis=-1), 0


def distance_vjp_exchanged(f, image_features, text_features, grad):
    images_grad, texts_grad = f(image_features, text_features, grad)
    back = f(text_features, image_features, grad.T)
    yield back[0], texts_grad
    yield back[1], images_grad


def distance_vjp_lengths(f, image_features, text_features, grad):
    images_grad, texts_grad = f(image_features, text_features, grad)
    there = f(4 * image_features, text_features / 2, grad)
    yield np.where(directions(image_features)[:, None], 4, 1) * there[0], images_grad
    yield there[1], np.where(directions(text_features)[:, None], 2, 1) * texts_grad


def with_grad(inputs):
    shape = len(inputs["image_features"]), len(inputs["text_features"])
    return inputs | {"grad": samples(25, shape)}


GRADIENT_PROBES = (
    Probe("lengths from 0.1 to 30", lambda: with_grad(several_directions())),
    Probe("as many prompts as cutouts", lambda: with_grad(as_many_prompts())),
    Probe("right angles and others", lambda: with_grad(right_angles())),
)


def gradient_mistakes(op, images_grad):
    """What goes wrong with the gradient of any distance of directions."""
    found = f"l2_normalize_vjp(image_features, {images_grad})"
    return (
        Edit(
            f"{op}/of-normalised-features",
            "returns the gradient of the normalised features",
            found,
            images_grad,
            effect="gradients have a part along the features and are not divided by their lengths",
        ),
        Edit(
            f"{op}/length-held-fixed",
            "divides by the length as though it did not change with the feature",
            found,
            f"{images_grad} / np.sqrt(np.sum(image_features**2, axis=-1, keepdims=True))",
            effect="gradients have a part along the feature, which only changes its length",
        ),
        Edit(
            f"{op}/texts-as-images",
            "changes the sign of the texts' gradient",
            "l2_normalize_vjp(text_features, ",
            "-l2_normalize_vjp(text_features, ",
            effect="texts move away from their images",
        ),
    )
