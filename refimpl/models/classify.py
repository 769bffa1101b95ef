"""Zero-shot classification of one picture, with the shipped CLIP or with a public checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from refimpl.models import compiled, weights
from refimpl.models.clip import clip_image, clip_text
from refimpl.models.colours import Picture
from refimpl.models.configs import Clip
from refimpl.models.preprocess import CLIP_MEAN, CLIP_STD, load_image, preprocess
from refimpl.models.shipped import small_clip
from refimpl.models.tokenizer import tokenize
from refimpl.models.zero_shot import zero_shot_table, zero_shot_weights

LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, what Pillow's mode L has
HALF = np.array([0.5])  # mean and deviation that take [0, 1] to [-1, 1]


def zero_shot(
    image: str | Path, texts: Sequence[str], checkpoint: str | Path | None = None
) -> np.ndarray:
    """The probability of each text for a picture, given that one of them is right.

    image: a file that Pillow reads; the small model sees it in grey, resized to 28 by 28, and knows
        white digits on black.
    texts: K texts, at least one.
    checkpoint: a CLIP as safetensors, under the names of OpenAI, open_clip or transformers; None
        for the small model.

    Returns K, numbers that sum to one, the scale being the one that the model learned.

    Raises ImageError, TextError and WeightsError for what cannot be read.
    """
    if checkpoint is None:
        model = small_clip()
        config, params, ids = model.config, model.params, model.rows(texts)
    else:
        found, params = weights.read(checkpoint)
        if not isinstance(found, Clip):
            raise weights.WeightsError(f"{checkpoint}: has no text tower, so it is no CLIP")
        config, ids = found, tokenize(texts, found.text.context)
    images = pixels(load_image(image), config)[None].astype(np.float32)
    image_features = clip_image(images, params, config, compiled)
    text_features = clip_text(ids, params, config, compiled)
    directions = zero_shot_weights(text_features[:, None])
    return zero_shot_table(image_features, directions, float(np.exp(params["logit_scale"])))[0]


def pixels(picture: Picture, config: Clip) -> np.ndarray:
    """A picture -> channels side side as the image tower wants them."""
    if config.vision.channels == len(CLIP_MEAN):
        return preprocess(picture, config.vision.image, CLIP_MEAN, CLIP_STD)
    grey = np.round(picture.rgb @ LUMA).astype(np.uint8)[..., None]  # rows columns 1
    return preprocess(grey, config.vision.image, HALF, HALF)
