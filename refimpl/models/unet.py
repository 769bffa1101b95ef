"""The U of a U-Net: down level by level, and up again with skip connections."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from refimpl.axes import AxesError
from refimpl.models import TEXT, Params, Tap, untouched
from refimpl.models.configs import Shapes
from refimpl.models.feature_maps import (
    affine,
    convolve,
    doubled,
    group_norm,
    halved,
    residual,
    residual_shapes,
)
from refimpl.models.vit import dense


@dataclass(frozen=True)
class Unet:
    """Sizes of a U-Net: the channels of its levels, the finest first, and blocks of each.

    `outputs` are the channels of what it says, `around` the zeros before and behind a map that is
    halved.
    """

    widths: tuple[int, ...]
    layers: int
    channels: int = 3
    outputs: int = 3
    groups: int = 32
    eps: float = 1e-5
    around: tuple[int, int] = (1, 1)

    @property
    def emb(self) -> int:
        """How wide what every block is told is."""
        return 4 * self.widths[0]

    def accept(self, x: Any) -> None:
        """Refuse maps that the levels cannot halve."""
        step = 2 ** (len(self.widths) - 1)
        if x.shape[1] != self.channels or any(n % step for n in x.shape[2:]):
            raise AxesError(
                f"U-Net: x_t is {x.shape[1:]}, expected {self.channels} channels "
                f"and sides that {step} divides"
            )

    def unet_shapes(self, attends: Callable[[str, int, int], Shapes]) -> Shapes:
        """Name and shape of every parameter.

        `attends` says those of an attention by its name, level and channels; level -1 is the middle
        of the U.
        """
        widths, D = self.widths, self.emb
        shapes = affine("conv_in", widths[0], self.channels, 3, 3) | told_shapes(
            "time_embedding", widths[0], D
        )
        kept, last = [widths[0]], widths[-1]
        for i, width in enumerate(widths):
            at = f"down_blocks.{i}"
            for j in range(self.layers):
                before = kept[-1]
                shapes |= residual_shapes(f"{at}.resnets.{j}", before, width, D)
                shapes |= attends(f"{at}.attentions.{j}", i, width)
                kept.append(width)
            if i < len(widths) - 1:
                shapes |= affine(f"{at}.downsamplers.0.conv", width, width, 3, 3)
                kept.append(width)
        for j in (0, 1):
            shapes |= residual_shapes(f"mid_block.resnets.{j}", last, last, D)
        return shapes | attends("mid_block.attentions.0", -1, last) | self._up(kept, attends)

    def _up(self, kept: list[int], attends: Callable[[str, int, int], Shapes]) -> Shapes:
        shapes: Shapes = {}
        before = self.widths[-1]
        for i, width in enumerate(self.widths[::-1]):
            at, level = f"up_blocks.{i}", len(self.widths) - 1 - i
            for j in range(self.layers + 1):
                both = before + kept.pop()
                shapes |= residual_shapes(f"{at}.resnets.{j}", both, width, self.emb)
                shapes |= attends(f"{at}.attentions.{j}", level, width)
                before = width
            if level:
                shapes |= affine(f"{at}.upsamplers.0.conv", width, width, 3, 3)
        shapes |= affine("conv_norm_out", before)
        return shapes | affine("conv_out", self.outputs, before, 3, 3)


def told_shapes(name: str, before: int, width: int) -> Shapes:
    """The parameters of `told`."""
    return affine(f"{name}.linear_1", width, before) | affine(f"{name}.linear_2", width, width)


def told(waves: Any, params: Params, name: str, ops: Any = TEXT, tap: Tap = untouched) -> Any:
    """The embedding of a time or a size for the blocks: two layers after its sines and cosines."""
    y = tap(f"{name}.linear_1", dense(waves, params, f"{name}.linear_1", ops))  # B D
    y = tap(f"{name}.act", ops.silu(y))
    return tap(f"{name}.linear_2", dense(y, params, f"{name}.linear_2", ops))  # B D


def u_turn(
    x: Any,
    emb: Any,
    params: Params,
    config: Unet,
    attend: Callable[[Any, int, str], Any],
    ops: Any = TEXT,
    tap: Tap = untouched,
) -> Any:
    r"""Down level by level, and up again, each map joined with the one kept on the way down.

    x: B channels rows cols, what is noisy.
    emb: B D, what every block is told.
    params: the arrays, under the names of `Unet.unet_shapes`, which are those of diffusers.
    attend: what a map becomes by the attention of a level, -1 for the middle, and a name.

    Returns B outputs rows cols.

    Paper: Ronneberger, Fischer, Brox 2015, "U-Net: convolutional networks for biomedical image
    segmentation", figure 1, with the blocks of Ho et al. 2020, appendix B.
    """
    x = tap("conv_in", convolve(x, params, "conv_in", ops))
    kept, levels = [x], len(config.widths)
    for i in range(levels):
        at = f"down_blocks.{i}"
        for j in range(config.layers):
            x = residual(x, params, f"{at}.resnets.{j}", config, ops, tap, emb)
            x = attend(x, i, f"{at}.attentions.{j}")
            kept.append(x)
        if i < levels - 1:
            x = halved(x, params, at, config.around, ops, tap)
            kept.append(x)

    x = residual(x, params, "mid_block.resnets.0", config, ops, tap, emb)
    x = attend(x, -1, "mid_block.attentions.0")
    x = residual(x, params, "mid_block.resnets.1", config, ops, tap, emb)

    for i in range(levels):
        at, level = f"up_blocks.{i}", levels - 1 - i
        for j in range(config.layers + 1):
            x = np.concatenate((x, kept.pop()), axis=1)  # the newest first
            x = residual(x, params, f"{at}.resnets.{j}", config, ops, tap, emb)
            x = attend(x, level, f"{at}.attentions.{j}")
        if level:
            x = doubled(x, params, at, ops, tap)
    x = tap("conv_norm_out", group_norm(x, params, "conv_norm_out", config, ops))
    x = tap("conv_act", ops.silu(x))
    return tap("conv_out", convolve(x, params, "conv_out", ops))
