"""VQGAN: images as a small map of codes from a codebook, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from refimpl.models import TEXT, Params, Tap, untouched
from refimpl.models.autoencoder import Coder, decode, encode
from refimpl.models.configs import Shapes
from refimpl.models.feature_maps import affine, convolve, pixels, placed


@dataclass(frozen=True)
class Vqgan(Coder):
    """Sizes of a VQGAN: `codes` in the codebook, each `code` numbers wide."""

    codes: int = 1024
    code: int = 256

    def shapes(self) -> Shapes:
        """Name and shape of every parameter."""
        C, D = self.latent, self.code
        shapes = self.coder_shapes(C) | affine("quant_conv", D, C, 1, 1)
        shapes["quantize.embedding.weight"] = (self.codes, D)
        return shapes | affine("post_quant_conv", C, D, 1, 1)


def quantized(z: Any, book: Any, ops: Any) -> Any:
    """Every pixel's nearest code: B D rows cols -> B D rows cols.

    Written so that a gradient goes straight through to z; in numbers z + (e - z) is e, rounded.
    """
    B, D, rows, cols = z.shape
    latents = np.reshape(pixels(z), (B * rows * cols, D))
    nearest = book[ops.nearest_code(latents, book)]  # B*rows*cols D
    nearest = latents + (nearest - latents)
    return placed(np.reshape(nearest, (B, rows * cols, D)), rows, cols)


def vqgan(images: Any, params: Params, config: Vqgan, ops: Any = TEXT, tap: Tap = untouched) -> Any:
    r"""Encode images, take the nearest code for every latent, and decode the codes.

    $$z = E(x), \qquad q_{uv} = e_k, \quad
    k = \operatorname*{arg\,min}_k \lVert z_{uv} - e_k \rVert, \qquad y = D(q)$$

    images: B channels height width, pixels in [-1, 1].
    params: the arrays, under the names of `Vqgan.shapes`, which are those of diffusers.
    config: sizes, the book and epsilon.

    Returns B channels height width, about the images.

    Raises AxesError for images of other channels, or with sides that cannot be halved so often.

    Elsewhere: the files of the paper count the levels of the decoder from the finest one. ViT-VQGAN
    compares directions of latents and codes.

    Paper: Esser, Rombach, Ommer 2021, "Taming transformers for high-resolution image synthesis",
    equations 2 and 3.
    """
    config.accept(images)
    h = encode(images, params, config, ops, tap)  # B C rows cols
    z = tap("quant_conv", convolve(h, params, "quant_conv", ops))  # B D rows cols
    z = tap("quantize", quantized(z, params["quantize.embedding.weight"], ops))
    z = tap("post_quant_conv", convolve(z, params, "post_quant_conv", ops))  # B C rows cols
    return decode(z, params, config, ops, tap)  # B channels height width
