"""CLIP: an image tower, a text tower, and the logits of every pair."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from refimpl.models import TEXT, Params, Tap, untouched
from refimpl.models.configs import Clip, ResNet, Vit
from refimpl.models.resnet import resnet
from refimpl.models.vit import norm, transformer, vit


def image_tower(config: Clip) -> Callable[..., Any]:
    """The text of the image tower."""
    towers: dict[type, Callable[..., Any]] = {Vit: vit, ResNet: resnet}
    return towers[type(config.vision)]


def clip_image(
    images: Any, params: Params, config: Clip, ops: Any = TEXT, tap: Tap = untouched
) -> Any:
    r"""The image tower: a pooled vector of the images, projected into the common space.

    images: B channels image image, normalised pixels.

    Returns B embed, features of any length.

    Raises AxesError for images of another size than the configuration's.

    Paper: Radford et al. 2021, "Learning Transferable Visual Models From Natural Language
    Supervision", section 2.4.
    """
    pooled = image_tower(config)(images, params, config.vision, ops, tap, "visual.")  # B D
    projection = params.get("visual.proj")  # a ResNet's is a part of its pool
    return tap("image_features", pooled if projection is None else pooled @ projection)  # B embed


def clip_text(ids: Any, params: Params, config: Clip, ops: Any = TEXT, tap: Tap = untouched) -> Any:
    r"""The text tower: the token at the end of a text, which has seen all before it, projected.

    ids: B N, token ids; a text ends at the first occurrence of its largest id, and what stands
        behind it changes nothing.

    Returns B embed, features of any length.

    Raises AxesError for ids that are no integers, outside the vocabulary, or too many.

    Elsewhere: Hugging Face looks for the first end-of-text id instead of the largest id, which is
    the same with CLIP's own vocabulary, whose last id it is.

    Paper: Radford et al. 2021, "Learning Transferable Visual Models From Natural Language
    Supervision", section 2.4.
    """
    config.text.accept(ids)
    texts, length = np.shape(ids)
    x = params["token_embedding.weight"][ids] + params["positional_embedding"][:length]  # B N D
    x = tap("tokens", x)
    causal = ops.causal_bias(length, length)  # N N
    x = transformer(x, params, "", config.text, causal, ops, tap)
    x = tap("ln_final", norm(x, params, "ln_final", config.text.eps, ops))
    ends = x[np.arange(texts), np.argmax(ids, axis=1)]  # B D
    return tap("text_features", ends @ params["text_projection"])  # B embed


def clip(
    images: Any, ids: Any, params: Params, config: Clip, ops: Any = TEXT, tap: Tap = untouched
) -> Any:
    r"""Score every image against every text: B images and M texts give B M logits.

    $$\ell_{ij} = e^{s} \left\langle \frac{I_i}{\lVert I_i \rVert},\,
    \frac{T_j}{\lVert T_j \rVert} \right\rangle$$

    Raises AxesError for images or ids that do not fit the configuration.

    Paper: Radford et al. 2021, "Learning Transferable Visual Models From Natural Language
    Supervision", figure 3.
    """
    image_features = clip_image(images, params, config, ops, tap)
    text_features = clip_text(ids, params, config, ops, tap)
    scale = params["logit_scale"]
    return tap("logits", ops.clip_logits(image_features, text_features, scale))
