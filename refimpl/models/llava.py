"""LLaVA: the patch features of a CLIP, projected into the embedding space of a Llama."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from refimpl.constants import constant
from refimpl.models import TEXT, Params, Tap, untouched
from refimpl.models.configs import Shapes, Vit, accept_ids
from refimpl.models.feature_maps import affine
from refimpl.models.llama import Llama, llama_blocks
from refimpl.models.vit import dense, vit_features


@dataclass(frozen=True)
class Llava:
    """An image tower without its last `unused` blocks, a perceptron, and a language model.

    `image_id` is the word that keeps room for a patch, `projector` the name of an operation.
    """

    vision: Vit
    text: Llama
    image_id: int = 32000
    unused: int = 1
    projector: str = "gelu"

    def shapes(self) -> Shapes:
        """Name and shape of every parameter, those of unused blocks as well."""
        D = self.text.width
        shapes = self.vision.shapes("visual.") | affine("projector.0", D, self.vision.width)
        return shapes | affine("projector.2", D, D) | self.text.shapes()


def seen_patches(
    images: Any, params: Params, config: Llava, ops: Any = TEXT, tap: Tap = untouched
) -> Any:
    """The patch features of the last block but one, as vectors for the language model: B P D."""
    tower = replace(config.vision, layers=config.vision.layers - config.unused)
    x = vit_features(images, params, tower, ops, tap, "visual.")[:, 1:]  # B P F
    y = tap("projector.0", dense(x, params, "projector.0", ops))  # B P D
    y = tap("projector.1", getattr(ops, config.projector)(y))
    return tap("projector.2", dense(y, params, "projector.2", ops))


def llava(
    images: Any,
    ids: Any,
    params: Params,
    config: Llava,
    ops: Any = TEXT,
    tap: Tap = untouched,
) -> Any:
    r"""Score every word as the next one, in a text with an image.

    $$u = W_2\, \mathrm{gelu}(W_1\, z_{L-1,\,1:} + b_1) + b_2, \qquad
    \ell = \mathrm{Llama}(\mathrm{splice}(W_e[x],\, u))$$

    images: B channels image image, normalised pixels, one for each text.
    ids: B N, token ids; `config.image_id` keeps room for every patch.
    params: the arrays, under the names of `Llava.shapes`.
    config: the image tower, the language model, and how many blocks of the tower are left out.

    Returns B N V, logits.

    Raises AxesError for ids that are no integers, outside the vocabulary, or too many, and where
    they keep room for more or fewer patches than there are.

    Elsewhere: the first LLaVA has one matrix for a projector. Positions are counted over patches as
    over words. The norm behind the tower is not used.

    Paper: Liu et al. 2023, "Visual instruction tuning", section 4.1; Liu et al. 2024, "Improved
    baselines with visual instruction tuning", section 3.2: two layers, 336 pixels.
    """
    accept_ids("llava", ids, config.text.context, config.text.vocabulary)
    patches = seen_patches(images, params, config, ops, tap)
    words = tap("words", params["words.weight"][ids])  # B N D
    x = tap("tokens", ops.splice_tokens(words, ids, config.image_id, patches))
    positions = constant(1, x) * np.arange(np.shape(ids)[1])  # N
    angles = ops.rotary_angles(positions, config.text.head // 2, config.text.base)  # N E/2
    return llama_blocks(x, angles, params, config.text, ops, tap)  # B N V
