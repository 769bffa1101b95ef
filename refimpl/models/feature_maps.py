"""The building blocks of U-Nets and autoencoders: feature maps, and pixels as tokens."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from refimpl.models import TEXT, Params, Tap, untouched
from refimpl.models.configs import Shapes
from refimpl.models.vit import dense, join, split


class Normed(Protocol):
    """What a configuration says about its group norms."""

    @property
    def groups(self) -> int:
        """Into how many groups the channels are cut."""

    @property
    def eps(self) -> float:
        """What is added to variances."""


def affine(name: str, *shape: int) -> Shapes:
    """A weight of this shape and a bias for each of its rows."""
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def residual_shapes(name: str, before: int, after: int, emb: int = 0) -> Shapes:
    """The parameters of `residual`; `emb` is how wide what it is told is, if anything."""
    shapes = affine(f"{name}.norm1", before) | affine(f"{name}.conv1", after, before, 3, 3)
    if emb:
        shapes |= affine(f"{name}.time_emb_proj", after, emb)
    shapes |= affine(f"{name}.norm2", after) | affine(f"{name}.conv2", after, after, 3, 3)
    if before != after:
        shapes |= affine(f"{name}.conv_shortcut", after, before, 1, 1)
    return shapes


def attention_shapes(name: str, channels: int) -> Shapes:
    """The parameters of `pixel_attention`."""
    shapes = affine(f"{name}.group_norm", channels)
    for part in ("to_q", "to_k", "to_v", "to_out.0"):
        shapes |= affine(f"{name}.{part}", channels, channels)
    return shapes


def convolve(
    x: Any,
    params: Params,
    name: str,
    ops: Any,
    stride: int = 1,
    around: tuple[int, int] | None = None,
) -> Any:
    """The convolution of this name, zeros around that keep the size of the map unless told."""
    weight = params[f"{name}.weight"]
    before, after = around or (weight.shape[2] // 2,) * 2
    return ops.conv2d(x, weight, params[f"{name}.bias"], stride, before, after, 1, 1)


def group_norm(x: Any, params: Params, name: str, config: Normed, ops: Any) -> Any:
    """The group norm whose gain and bias carry this name."""
    gain, bias = params[f"{name}.weight"], params[f"{name}.bias"]
    return ops.group_norm(x, gain, bias, config.groups, config.eps)


def residual(
    x: Any,
    params: Params,
    name: str,
    config: Normed,
    ops: Any = TEXT,
    tap: Tap = untouched,
    emb: Any = None,
) -> Any:
    r"""A residual block: two convolutions, each after a norm, with the time added between them.

    $$h = W_1 * \mathrm{silu}(\mathrm{GN}_1\, x) + W_t\, \mathrm{silu}(e), \qquad
    y = S x + W_2 * \mathrm{silu}(\mathrm{GN}_2\, h)$$

    x: B C rows cols, the features.
    params: the arrays; where there is a `name.conv_shortcut`, it is S, else S is 1.
    config: groups and epsilon of the norms.
    emb: B D, what all pixels are told, as the embedding of a time; None for nothing.

    Where `ops` has a `residual` of its own, as `refimpl.models.compiled` has, and no tap looks
    inside, it is asked.

    Returns B O rows cols.

    Paper: Ho, Jain, Abbeel 2020, "Denoising diffusion probabilistic models", appendix B.
    """
    whole = getattr(ops, "residual", None) if tap is untouched else None
    if whole is not None:
        return whole(x, params, name, config, emb)
    y = tap(f"{name}.norm1", group_norm(x, params, f"{name}.norm1", config, ops))
    y = tap(f"{name}.act1", ops.silu(y))
    y = tap(f"{name}.conv1", convolve(y, params, f"{name}.conv1", ops))  # B O rows cols
    if emb is not None:
        shift = dense(ops.silu(emb), params, f"{name}.time_emb_proj", ops)  # B O
        shift = tap(f"{name}.time_emb_proj", shift)
        y = tap(f"{name}.told", y + shift[:, :, None, None])

    y = tap(f"{name}.norm2", group_norm(y, params, f"{name}.norm2", config, ops))
    y = tap(f"{name}.act2", ops.silu(y))
    y = tap(f"{name}.conv2", convolve(y, params, f"{name}.conv2", ops))
    if f"{name}.conv_shortcut.weight" in params:
        x = tap(f"{name}.conv_shortcut", convolve(x, params, f"{name}.conv_shortcut", ops))
    return tap(name, x + y)


def pixels(x: Any) -> Any:
    """A map as tokens, row by row: B C rows cols -> B rows*cols C."""
    B, C, rows, cols = x.shape
    return np.swapaxes(np.reshape(x, (B, C, rows * cols)), 1, 2)


def placed(tokens: Any, rows: int, cols: int) -> Any:
    """Tokens as a map again: B rows*cols C -> B C rows cols."""
    B, _, C = tokens.shape
    return np.reshape(np.swapaxes(tokens, 1, 2), (B, C, rows, cols))


def pixel_attention(
    x: Any,
    params: Params,
    name: str,
    heads: int,
    config: Normed,
    ops: Any = TEXT,
    tap: Tap = untouched,
) -> Any:
    r"""Self-attention between the pixels of a map, added to the map: B C rows cols.

    $$y = x + W_o\, \mathrm{Attn}(W_q\, h, W_k\, h, W_v\, h), \qquad h = \mathrm{GN}\, x$$

    Paper: Ho, Jain, Abbeel 2020, "Denoising diffusion probabilistic models", appendix B, with one
    head as wide as the channels.
    """
    rows, cols = x.shape[2:]
    y = pixels(group_norm(x, params, f"{name}.group_norm", config, ops))  # B N C
    y = tap(f"{name}.group_norm", y)
    query, key, value = (
        tap(f"{name}.{part}", dense(y, params, f"{name}.{part}", ops))
        for part in ("to_q", "to_k", "to_v")
    )  # B N C each
    mixed = ops.attention(split(query, heads), split(key, heads), split(value, heads), None)
    mixed = tap(f"{name}.mixed", join(mixed))  # B N C
    y = tap(f"{name}.to_out.0", dense(mixed, params, f"{name}.to_out.0", ops))
    return tap(name, x + placed(y, rows, cols))  # B C rows cols


def halved(
    x: Any,
    params: Params,
    name: str,
    around: tuple[int, int],
    ops: Any = TEXT,
    tap: Tap = untouched,
) -> Any:
    """A map of half the side, by a convolution of stride two."""
    at = f"{name}.downsamplers.0.conv"
    return tap(at, convolve(x, params, at, ops, 2, around))


def doubled(x: Any, params: Params, name: str, ops: Any = TEXT, tap: Tap = untouched) -> Any:
    """A map of twice the side: every pixel four times, then a convolution."""
    at = f"{name}.upsamplers.0.conv"
    rows, cols = x.shape[2:]
    larger = tap(f"{name}.upsamplers.0.repeated", ops.resize_nearest(x, 2 * rows, 2 * cols))
    return tap(at, convolve(larger, params, at, ops))
