"""The autoencoder of latent diffusion: images as small maps of latents, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from refimpl.axes import AxesError
from refimpl.models import TEXT, Params, Tap, untouched
from refimpl.models.configs import Shapes
from refimpl.models.feature_maps import (
    affine,
    attention_shapes,
    convolve,
    doubled,
    group_norm,
    halved,
    pixel_attention,
    residual,
    residual_shapes,
)


@dataclass(frozen=True)
class Coder:
    """Sizes of an encoder and its decoder.

    Every level halves the side of the map, but the last; `widths` are their channels, the finest
    first, and `attention` the levels, from 0, in which pixels ask each other behind every block.
    """

    widths: tuple[int, ...]
    layers: int
    latent: int
    channels: int = 3
    groups: int = 32
    eps: float = 1e-6
    attention: tuple[int, ...] = ()

    @property
    def step(self) -> int:
        """How many pixels a latent is wide."""
        return 2 ** (len(self.widths) - 1)

    def accept(self, images: Any) -> None:
        """Refuse images that the levels cannot halve."""
        if images.shape[1] != self.channels or any(n % self.step for n in images.shape[2:]):
            raise AxesError(
                f"autoencoder: images are {images.shape[1:]}, expected {self.channels} channels "
                f"and sides that {self.step} divides"
            )

    def coder_shapes(self, encoded: int) -> Shapes:
        """Name and shape of every parameter of the encoder and the decoder."""
        widths, last = self.widths, self.widths[-1]
        shapes = affine("encoder.conv_in", widths[0], self.channels, 3, 3)
        shapes |= self._levels("encoder.down_blocks", widths, self.layers, "downsamplers")
        shapes |= self._ends("encoder", last, encoded)
        shapes |= affine("decoder.conv_in", last, self.latent, 3, 3)
        shapes |= self._levels("decoder.up_blocks", widths[::-1], self.layers + 1, "upsamplers")
        return shapes | self._ends("decoder", widths[0], self.channels)

    def _levels(self, at: str, widths: tuple[int, ...], blocks: int, change: str) -> Shapes:
        shapes: Shapes = {}
        before, final = widths[0], len(widths) - 1
        for i, width in enumerate(widths):
            level = i if change == "downsamplers" else final - i
            for j in range(blocks):
                shapes |= residual_shapes(f"{at}.{i}.resnets.{j}", before, width)
                if level in self.attention:
                    shapes |= attention_shapes(f"{at}.{i}.attentions.{j}", width)
                before = width
            if i < final:
                shapes |= affine(f"{at}.{i}.{change}.0.conv", width, width, 3, 3)
        return shapes

    def _ends(self, at: str, width: int, outputs: int) -> Shapes:
        last = self.widths[-1]
        shapes = attention_shapes(f"{at}.mid_block.attentions.0", last)
        for i in (0, 1):
            shapes |= residual_shapes(f"{at}.mid_block.resnets.{i}", last, last)
        shapes |= affine(f"{at}.conv_norm_out", width)
        return shapes | affine(f"{at}.conv_out", outputs, width, 3, 3)


@dataclass(frozen=True)
class Autoencoder(Coder):
    """An autoencoder whose latents have a variance.

    `scale` and `shift` bring the latents to about unit variance, `quant` has a convolution of one
    pixel behind the encoder and before the decoder.
    """

    scale: float = 0.18215
    shift: float = 0.0
    quant: bool = True

    def shapes(self) -> Shapes:
        """Name and shape of every parameter."""
        C = self.latent
        shapes = self.coder_shapes(2 * C)
        if self.quant:
            shapes |= affine("quant_conv", 2 * C, 2 * C, 1, 1)
            shapes |= affine("post_quant_conv", C, C, 1, 1)
        return shapes


def middle(
    x: Any, params: Params, at: str, config: Coder, ops: Any = TEXT, tap: Tap = untouched
) -> Any:
    """Attention between two residual blocks, on the coarsest map."""
    x = residual(x, params, f"{at}.resnets.0", config, ops, tap)
    x = pixel_attention(x, params, f"{at}.attentions.0", 1, config, ops, tap)
    return residual(x, params, f"{at}.resnets.1", config, ops, tap)


def last(
    x: Any, params: Params, at: str, config: Coder, ops: Any = TEXT, tap: Tap = untouched
) -> Any:
    """The last convolution, after a norm and an activation."""
    x = tap(f"{at}.conv_norm_out", group_norm(x, params, f"{at}.conv_norm_out", config, ops))
    x = tap(f"{at}.conv_act", ops.silu(x))
    return tap(f"{at}.conv_out", convolve(x, params, f"{at}.conv_out", ops))


def encode(
    images: Any, params: Params, config: Coder, ops: Any = TEXT, tap: Tap = untouched
) -> Any:
    """The encoder: B channels height width -> B C rows cols."""
    x = tap("encoder.conv_in", convolve(images, params, "encoder.conv_in", ops))
    for i in range(len(config.widths)):
        at = f"encoder.down_blocks.{i}"
        for j in range(config.layers):
            x = residual(x, params, f"{at}.resnets.{j}", config, ops, tap)
            if i in config.attention:
                x = pixel_attention(x, params, f"{at}.attentions.{j}", 1, config, ops, tap)
        if i < len(config.widths) - 1:
            x = halved(x, params, at, (0, 1), ops, tap)  # zeros below and to the right alone
    x = middle(x, params, "encoder.mid_block", config, ops, tap)
    return last(x, params, "encoder", config, ops, tap)


def decode(z: Any, params: Params, config: Coder, ops: Any = TEXT, tap: Tap = untouched) -> Any:
    """The decoder: B C rows cols -> B channels height width."""
    x = tap("decoder.conv_in", convolve(z, params, "decoder.conv_in", ops))
    x = middle(x, params, "decoder.mid_block", config, ops, tap)
    for i in range(len(config.widths)):
        at, level = f"decoder.up_blocks.{i}", len(config.widths) - 1 - i
        for j in range(config.layers + 1):
            x = residual(x, params, f"{at}.resnets.{j}", config, ops, tap)
            if level in config.attention:
                x = pixel_attention(x, params, f"{at}.attentions.{j}", 1, config, ops, tap)
        if level:
            x = doubled(x, params, at, ops, tap)
    return last(x, params, "decoder", config, ops, tap)


def autoencoder(
    images: Any,
    noise: Any,
    params: Params,
    config: Autoencoder,
    ops: Any = TEXT,
    tap: Tap = untouched,
) -> Any:
    r"""Encode images, draw latents, scale them as diffusion has them, and decode them again.

    $$\mu, \ell = E(x), \qquad z = \mu + e^{\ell / 2} \odot \epsilon, \qquad
    u = s\,(z - b), \qquad y = D(u / s + b)$$

    images: B channels height width, pixels in [-1, 1].
    noise: B C rows cols, ε, standard normal; zeros for the mode of the posterior.
    params: the arrays, under the names of `Autoencoder.shapes`, which are those of diffusers.
    config: sizes, epsilon, the scale s and the shift b.

    Returns B channels height width, about the images; `latent` is the name of u.

    Raises AxesError for images of other channels, or with sides that cannot be halved so often.

    Elsewhere: the files of Stable Diffusion count the levels of the decoder from the finest one.
    Its scale is 0.18215, that of Stable Diffusion XL 0.13025; Flux shifts as well.

    Paper: Rombach et al. 2022, "High-resolution image synthesis with latent diffusion models",
    section 3.1 and appendix G.
    """
    config.accept(images)
    h = encode(images, params, config, ops, tap)  # B 2*C rows cols
    if config.quant:
        h = tap("quant_conv", convolve(h, params, "quant_conv", ops))
    mean, log_variance = ops.gaussian_moments(h)  # B C rows cols
    z = tap("z", mean + np.exp(log_variance / 2) * noise)
    latent = tap("latent", (z - config.shift) * config.scale)

    z = tap("unscaled", latent / config.scale + config.shift)
    if config.quant:
        z = tap("post_quant_conv", convolve(z, params, "post_quant_conv", ops))
    return decode(z, params, config, ops, tap)  # B channels height width
