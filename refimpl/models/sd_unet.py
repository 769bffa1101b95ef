"""The U-Net of Stable Diffusion 1, 2 and XL: it predicts the noise in latents from words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from refimpl.models import TEXT, Params, Tap, untouched
from refimpl.models.configs import Shapes
from refimpl.models.feature_maps import affine, pixels, placed
from refimpl.models.unet import Unet, told, told_shapes, u_turn
from refimpl.models.vit import dense, join, norm, split

TOKEN_EPS = 1e-5  # of the norms of tokens


@dataclass(frozen=True)
class SdUnet(Unet):
    """Sizes of a U-Net that reads words.

    `heads` and `depths` are those of the levels, a depth of 0 without attention; `middle` is the
    depth in the middle. `words` is how wide a word is. `linear` has matrices around the blocks of
    a level, and no convolutions of one pixel. `pooled` is how wide a text's one vector is in XL, 0
    for none, and `waves` that of each of the `sizes`. `gate` is the name of an operation, and
    `map_eps` the epsilon of a map before its pixels read.
    """

    channels: int = 4
    outputs: int = 4
    heads: tuple[int, ...] = ()
    depths: tuple[int, ...] = ()
    middle: int = 1
    words: int = 768
    linear: bool = False
    pooled: int = 0
    waves: int = 256
    sizes: int = 6
    gate: str = "geglu"
    map_eps: float = 1e-6

    def shapes(self) -> Shapes:
        """Name and shape of every parameter."""
        shapes = self.unet_shapes(self._reads)
        given = self.pooled + self.sizes * self.waves
        return shapes | (told_shapes("add_embedding", given, self.emb) if self.pooled else {})

    def depth(self, level: int) -> int:
        """How many blocks read the words on this level; -1 is the middle."""
        return self.middle if level < 0 else self.depths[level]

    def _reads(self, name: str, level: int, channels: int) -> Shapes:
        if not self.depth(level):
            return {}
        kernel = () if self.linear else (1, 1)
        shapes = affine(f"{name}.norm", channels)
        for part in ("proj_in", "proj_out"):
            shapes |= affine(f"{name}.{part}", channels, channels, *kernel)
        for i in range(self.depth(level)):
            at = f"{name}.transformer_blocks.{i}"
            shapes |= {f"{at}.{part}": shape for part, shape in self._block(channels).items()}
        return shapes

    def _block(self, D: int) -> Shapes:
        shapes: Shapes = {}
        for i, read in ((1, D), (2, self.words)):
            shapes |= affine(f"norm{i}", D) | {f"attn{i}.to_q.weight": (D, D)}
            shapes |= {f"attn{i}.{part}.weight": (D, read) for part in ("to_k", "to_v")}
            shapes |= affine(f"attn{i}.to_out.0", D, D)
        shapes |= affine("norm3", D) | affine("ff.net.0.proj", 8 * D, D)
        return shapes | affine("ff.net.2", D, 4 * D)


def read(
    x: Any,
    memory: Any,
    params: Params,
    name: str,
    heads: int,
    ops: Any = TEXT,
    tap: Tap = untouched,
) -> Any:
    """Attention of pixels to a memory, or to themselves: B N D, B M F -> B N D."""
    given = {"to_q": x, "to_k": memory, "to_v": memory}
    query, key, value = (
        tap(f"{name}.{part}", ops.linear(y, params[f"{name}.{part}.weight"], None))
        for part, y in given.items()
    )  # B N D, B M D twice
    mixed = ops.attention(split(query, heads), split(key, heads), split(value, heads), None)
    mixed = tap(f"{name}.mixed", join(mixed))  # B N D
    return tap(f"{name}.to_out.0", dense(mixed, params, f"{name}.to_out.0", ops))


def reading_block(
    x: Any,
    words: Any,
    params: Params,
    name: str,
    heads: int,
    config: SdUnet,
    ops: Any = TEXT,
    tap: Tap = untouched,
) -> Any:
    r"""Self-attention, cross-attention to the words, and a gated feed-forward, each added: B N D.

    $$x' = x + \mathrm{Attn}(\mathrm{LN}_1\, x), \qquad
    x'' = x' + \mathrm{Attn}(\mathrm{LN}_2\, x', c), \qquad
    y = x'' + W_2\,\bigl(u \odot \mathrm{gelu}(g)\bigr), \quad [u; g] = W_1\, \mathrm{LN}_3\, x''$$
    """
    y = tap(f"{name}.norm1", norm(x, params, f"{name}.norm1", TOKEN_EPS, ops))
    x = tap(f"{name}.added_1", x + read(y, y, params, f"{name}.attn1", heads, ops, tap))

    y = tap(f"{name}.norm2", norm(x, params, f"{name}.norm2", TOKEN_EPS, ops))
    x = tap(f"{name}.added_2", x + read(y, words, params, f"{name}.attn2", heads, ops, tap))

    y = tap(f"{name}.norm3", norm(x, params, f"{name}.norm3", TOKEN_EPS, ops))
    y = tap(f"{name}.ff.net.0.proj", dense(y, params, f"{name}.ff.net.0.proj", ops))  # B N 8*D
    up, gate = y[..., : y.shape[-1] // 2], y[..., y.shape[-1] // 2 :]
    y = tap(f"{name}.ff.net.0", getattr(ops, config.gate)(gate, up))  # B N 4*D
    y = tap(f"{name}.ff.net.2", dense(y, params, f"{name}.ff.net.2", ops))  # B N D
    return tap(name, x + y)


def project(x: Any, params: Params, name: str, ops: Any) -> Any:
    """The matrix of this name, which may be written as kernels of one pixel: B N D -> B N D."""
    weight = params[f"{name}.weight"]
    return ops.linear(x, np.reshape(weight, weight.shape[:2]), params[f"{name}.bias"])


def read_words(
    x: Any,
    words: Any,
    params: Params,
    name: str,
    heads: int,
    depth: int,
    config: SdUnet,
    ops: Any = TEXT,
    tap: Tap = untouched,
) -> Any:
    """A Transformer over the pixels of a map, with cross-attention to words, added to the map."""
    rows, cols = x.shape[2:]
    gain, bias = params[f"{name}.norm.weight"], params[f"{name}.norm.bias"]
    y = tap(
        f"{name}.norm", pixels(ops.group_norm(x, gain, bias, config.groups, config.map_eps))
    )  # B N D
    y = tap(f"{name}.proj_in", project(y, params, f"{name}.proj_in", ops))
    for i in range(depth):
        at = f"{name}.transformer_blocks.{i}"
        y = reading_block(y, words, params, at, heads, config, ops, tap)
    y = tap(f"{name}.proj_out", project(y, params, f"{name}.proj_out", ops))
    return tap(name, x + placed(y, rows, cols))  # B C rows cols


def told_sizes(
    pooled: Any, sizes: Any, params: Params, config: SdUnet, ops: Any = TEXT, tap: Tap = untouched
) -> Any:
    """The embedding of pooled text and sizes in XL: B D."""
    B, many = sizes.shape
    waves = ops.timestep_embedding(np.reshape(sizes, (B * many,)), config.waves // 2)
    waves = np.reshape(tap("add_time_proj", waves), (B, many * config.waves))  # B S*waves
    given = np.concatenate((pooled, waves), axis=1)  # B pooled+S*waves
    return told(given, params, "add_embedding", ops, tap)


def sd_unet(
    x_t: Any,
    t: Any,
    words: Any,
    params: Params,
    config: SdUnet,
    ops: Any = TEXT,
    tap: Tap = untouched,
    pooled: Any = None,
    sizes: Any = None,
) -> Any:
    r"""Predict the noise in latents, or their velocity, from latents, times and words.

    $$e = \mathrm{MLP}(\mathrm{TE}_t) + \mathrm{MLP}'([p;\; \mathrm{TE}_{s_1}; \dots;
    \mathrm{TE}_{s_S}]), \qquad \hat\epsilon = \mathrm{U}(x_t, e, c)$$

    x_t: B channels rows cols, noisy latents, scaled as the autoencoder's `latent`.
    t: B, times, zero-based.
    words: B M F, c, what the text tower says of every token.
    params: the arrays, under the names of `SdUnet.shapes`, which are those of diffusers.
    config: sizes, heads and depths of the levels.
    pooled: B P, what a text tower says of the text as a whole, in XL alone.
    sizes: B S, heights and widths: of the original, of the corner of the crop, of the target; or,
        in the refiner of XL, a score for beauty in the place of the last two.

    Returns B outputs rows cols.

    Raises AxesError for latents of other channels, or with sides that cannot be halved so often.

    Elsewhere: 1 has heads of a number, 2 and XL of 64 channels; what diffusers calls
    attention_head_dim is their number. The files of Stable Diffusion count blocks, not levels.

    Paper: Rombach et al. 2022, "High-resolution image synthesis with latent diffusion models",
    section 3.3; Podell et al. 2024, "SDXL: Improving latent diffusion models for high-resolution
    image synthesis", section 2.
    """
    config.accept(x_t)
    waves = tap("time_proj", ops.timestep_embedding(t, config.widths[0] // 2))
    emb = told(waves, params, "time_embedding", ops, tap)  # B D
    if config.pooled:
        emb = emb + told_sizes(pooled, sizes, params, config, ops, tap)

    def attend(x: Any, level: int, name: str) -> Any:
        heads, depth = config.heads[level], config.depth(level)
        if not depth:
            return x
        return read_words(x, words, params, name, heads, depth, config, ops, tap)

    return u_turn(x_t, emb, params, config, attend, ops, tap)  # B outputs rows cols
