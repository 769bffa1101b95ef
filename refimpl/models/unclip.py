"""The decoder of unCLIP: an image painted from its vector, in the form of Kandinsky 2.2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from refimpl.models import TEXT, Params, Tap, untouched
from refimpl.models.adm import Adm, Steps, through, told_time
from refimpl.models.configs import Shapes
from refimpl.models.feature_maps import affine
from refimpl.models.imagen import pixels_and_words
from refimpl.models.vit import dense, norm


@dataclass(frozen=True)
class Unclip(Adm):
    """Sizes of an ADM that reads a vector of CLIP, `clip` wide, as `tokens` words.

    `memory` is how wide each of them is.
    """

    channels: int = 4
    outputs: int = 8
    clip: int = 1280
    tokens: int = 32
    memory: int = 768

    def shapes(self) -> Shapes:
        """Name and shape of every parameter."""
        D, C = self.emb, self.clip
        shapes = super().shapes() | affine("image_proj", D, C) | affine("image_norm", D)
        shapes |= affine("image_tokens.proj", self.tokens * self.memory, C)
        return shapes | affine("image_tokens.ln", self.memory)

    def _block(self, at: str, steps: Steps) -> Shapes:
        shapes = super()._block(at, steps)
        for i, (kind, _, after) in enumerate(steps):
            if kind == "attention":
                for part in ("encoder_k", "encoder_v"):
                    shapes |= affine(f"{at}.{i}.{part}", after, self.memory)
        return shapes


def image_tokens(
    image_embedding: Any, params: Params, config: Unclip, ops: Any = TEXT, tap: Tap = untouched
) -> Any:
    """The vector of an image as words, each normalised: B C -> B tokens memory."""
    y = tap("image_tokens.proj", dense(image_embedding, params, "image_tokens.proj", ops))
    y = np.reshape(y, (y.shape[0], config.tokens, config.memory))
    return tap("image_tokens.ln", norm(y, params, "image_tokens.ln", config.eps, ops))


def unclip(
    x_t: Any,
    t: Any,
    image_embedding: Any,
    params: Params,
    config: Unclip,
    ops: Any = TEXT,
    tap: Tap = untouched,
) -> Any:
    r"""Predict the noise in latents of an image whose vector is known, and where its variance lies.

    $$e = \mathrm{MLP}(\mathrm{TE}_t) + \mathrm{LN}(W i), \qquad
    [\hat\epsilon;\; v] = \mathrm{U}\left(x_t,\, e,\, \mathrm{LN}(W' i)\right)$$

    x_t: B channels rows cols, noisy latents or images.
    t: B, times, zero-based.
    image_embedding: B C, i, vectors of CLIP, of images or from the prior.
    params: the arrays, under the names of `Unclip.shapes`, which are those of guided diffusion.
    config: sizes, heads, groups and tokens.

    Returns B outputs rows cols: the noise, then as many channels for the variance.

    Raises AxesError for maps of other channels, or with sides that cannot be halved so often.

    Elsewhere: DALL·E 2 and Karlo paint pixels, have four tokens of the image beside those of the
    text (`context_tokens`), and tell blocks the vector of the text as well.

    Paper: Ramesh et al. 2022, "Hierarchical text-conditional image generation with CLIP latents",
    section 2.1; Razzhigaev et al. 2023, "Kandinsky", section 3.
    """
    emb = told_time(t, params, config, ops, tap)  # B D
    said = tap("image_proj", dense(image_embedding, params, "image_proj", ops))
    emb = emb + tap("image_norm", norm(said, params, "image_norm", config.eps, ops))
    memory = image_tokens(image_embedding, params, config, ops, tap)  # B tokens memory

    def attend(x: Any, name: str) -> Any:
        return pixels_and_words(x, memory, params, name, config, ops, tap)

    return through(x_t, emb, params, config, ops, tap, attend)  # B outputs rows cols
