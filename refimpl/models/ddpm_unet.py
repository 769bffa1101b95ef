"""The U-Net of denoising diffusion: residual blocks with the time, attention on a coarse map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from refimpl.constants import constant
from refimpl.models import TEXT, Params, Tap, untouched
from refimpl.models.configs import Shapes
from refimpl.models.feature_maps import attention_shapes, pixel_attention
from refimpl.models.unet import Unet, told, u_turn


@dataclass(frozen=True)
class DdpmUnet(Unet):
    """Sizes of Ho's U-Net; `attention` are the levels that have it, beside the middle.

    A head is `head` channels wide; 0 has one head as wide as all channels.
    """

    eps: float = 1e-6
    around: tuple[int, int] = (0, 1)
    attention: tuple[int, ...] = ()
    head: int = 0

    def shapes(self) -> Shapes:
        """Name and shape of every parameter."""
        return self.unet_shapes(self._attends)

    def _attends(self, name: str, level: int, channels: int) -> Shapes:
        return attention_shapes(name, channels) if self.attends(level) else {}

    def attends(self, level: int) -> bool:
        """Whether pixels ask each other on this level; -1 is the middle, where they do."""
        return level in (-1, *self.attention)


def waves(t: Any, half: int) -> Any:
    r"""A time as sines, then cosines, of frequencies that fall to one ten-thousandth: B 2*E.

    $$\mathrm{TE}_t = [\sin(t\,\omega_i)_i,\; \cos(t\,\omega_i)_i], \qquad
    \omega_i = 10000^{-i / (E - 1)}$$

    Paper: Ho, Jain, Abbeel 2020, "Denoising diffusion probabilistic models", its code.
    """
    log_base = np.log(constant(10000, t))
    frequencies = np.exp(-log_base * np.arange(half) / (half - 1))  # E
    angles = t[:, None] * frequencies  # B E
    return np.concatenate((np.sin(angles), np.cos(angles)), axis=-1)  # B 2*E


def ddpm_unet(
    x_t: Any,
    t: Any,
    params: Params,
    config: DdpmUnet,
    ops: Any = TEXT,
    tap: Tap = untouched,
) -> Any:
    r"""Predict the noise in noisy images from the images and their times.

    $$e = W_2\, \mathrm{silu}(W_1\, \mathrm{TE}_t + b_1) + b_2, \qquad
    \hat\epsilon = \mathrm{U}(x_t, e)$$

    x_t: B channels rows cols, noisy images.
    t: B, times, zero-based.
    params: the arrays, under the names of `DdpmUnet.shapes`, which are those of diffusers.
    config: sizes, heads, epsilon and the zeros around a map that is halved.

    Returns B outputs rows cols.

    Raises AxesError for images of other channels, or with sides that cannot be halved so often.

    Elsewhere: Ho's own code pads maps that are halved below and to the right, as TensorFlow does,
    with an epsilon of 1e-6; many others pad on all sides, with 1e-5. diffusers has heads of 8
    channels unless told.

    Paper: Ho, Jain, Abbeel 2020, "Denoising diffusion probabilistic models", appendix B.
    """
    config.accept(x_t)
    emb = told(
        tap("time_proj", waves(t, config.widths[0] // 2)), params, "time_embedding", ops, tap
    )

    def attend(x: Any, level: int, name: str) -> Any:
        heads = x.shape[1] // (config.head or x.shape[1])
        if not config.attends(level):
            return x
        return pixel_attention(x, params, name, heads, config, ops, tap)

    return u_turn(x_t, emb, params, config, attend, ops, tap)  # B outputs rows cols
