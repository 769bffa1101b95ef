"""What the specifications of CLIP share."""

import numpy as np

from refimpl.op import Edit
from refimpl.ops.common import cosines, sines

INITIAL_LOG_SCALE = 2.659260036932778  # log(1 / 0.07)
FINAL_LOG_SCALE = 4.605170185988092  # log(100)


def of_waves(log_scale, **more):
    """Features whose logits and losses were published beside their formulas."""
    return {
        "image_features": sines(3, 4),
        "text_features": cosines(3, 4),
        "log_scale": log_scale,
        **more,
    }


def of_unequal_lengths(log_scale, **more):
    """Four pairs that nearly match, with lengths from 0.1 to 100 on both sides."""
    near = sines(4, 6) + 0.3 * cosines(4, 6)
    return {
        "image_features": sines(4, 6) * np.array([[0.1], [10.0], [1.0], [100.0]]),
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
            "np.where(norm <= 0, 1, norm)",
            "1 * norm",
            where="layers.l2_normalize_vjp",
            effect="NaN for a zero vector",
            invisible_when="no vector is zero",
        ),
        Edit(
            f"{op}/short-counts-as-1e-8",
            "divides by 1e-8 at least, which is then a constant: torch's cosine_similarity",
            "norm = np.where(norm <= 0, 1, norm)  # the zero vector passes grad on\n"
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


def as_loss(inputs):
    return inputs | {"grad": np.array(1.0)}


def across_its_own_feature(f, image_features, text_features, log_scale, grad):
    images_grad, texts_grad, _ = f(image_features, text_features, log_scale, grad)
    yield np.sum(image_features * images_grad, axis=-1), 0
    yield np.sum(text_features * texts_grad, axis=-1), 0
