"""Qwen2.5-VL: images and videos of any size, seen in windows, among the words of a Qwen2.5."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from refimpl.constants import constant
from refimpl.models import TEXT, Params, Tap, untouched
from refimpl.models.configs import Shapes, accept_ids, attention_shapes
from refimpl.models.feature_maps import affine
from refimpl.models.llama import Llama, gated_perceptron, llama_blocks
from refimpl.models.vit import dense, join, split, thirds


@dataclass(frozen=True)
class QwenTower:
    """Sizes of the tower for images and videos; `gate` and `activation` are names of operations.

    A patch has a side of `patch` pixels and lasts `together` frames; squares of `merge` by `merge`
    patches become one token of the text. Windows are `window` tokens wide and tall, but for the
    layers in `whole`, which see whole frames. `turns` is the base of the angles.
    """

    width: int = 1280
    layers: int = 32
    heads: int = 16
    hidden: int = 3420
    patch: int = 14
    together: int = 2
    merge: int = 2
    window: int = 4
    whole: tuple[int, ...] = (7, 15, 23, 31)
    channels: int = 3
    turns: float = 10000.0
    eps: float = 1e-6
    gate: str = "swiglu"
    activation: str = "gelu"

    @property
    def numbers(self) -> int:
        """How many pixels a patch has, in all channels and frames."""
        return self.channels * self.together * self.patch**2

    def shapes(self, out: int) -> Shapes:
        """Name and shape of every parameter; tokens leave `out` wide."""
        D, P, merged = self.width, self.patch, self.merge**2 * self.width
        shapes: Shapes = {"visual.patches.weight": (D, self.channels, self.together, P, P)}
        for i in range(self.layers):
            at = f"visual.blocks.{i}"
            shapes |= {f"{at}.ln_1.weight": (D,)} | attention_shapes(f"{at}.attn", D, D)
            shapes |= {f"{at}.ln_2.weight": (D,)} | affine(f"{at}.mlp.gate", self.hidden, D)
            shapes |= affine(f"{at}.mlp.up", self.hidden, D)
            shapes |= affine(f"{at}.mlp.down", D, self.hidden)
        shapes["visual.merger.ln_q.weight"] = (D,)
        shapes |= affine("visual.merger.mlp.0", merged, merged)
        return shapes | affine("visual.merger.mlp.2", out, merged)


@dataclass(frozen=True)
class QwenVl:
    """A tower and a language model whose positions have three rows.

    `sections` are the pairs of a head that time, row and column turn, `image_id` is the word that
    keeps room, and `tick` how far a patch's frames are from the next ones, in positions.
    """

    tower: QwenTower
    text: Llama
    sections: tuple[int, int, int] = (16, 24, 24)
    image_id: int = 151655
    tick: int = 1

    def shapes(self) -> Shapes:
        """Name and shape of every parameter."""
        return self.tower.shapes(self.text.width) | self.text.shapes()


def in_windows(grids: Any, config: QwenTower, ops: Any) -> tuple[Any, list[int], list[int]]:
    """The order of tokens, window after window, and the sizes of windows and frames."""
    orders, windows, frames, start = [], [], [], 0
    for time, rows, cols in grids:
        order, lengths = ops.window_order(time, rows, cols, config.window)
        orders.append(start + order)
        windows.extend(lengths)
        frames.extend([rows * cols] * time)
        start += time * rows * cols
    return np.concatenate(orders), windows, frames


def patch_places(grids: Any, config: QwenTower, ops: Any) -> Any:
    """Row and column of every patch, square after square, frame after frame: N 2."""
    m, places = config.merge, []
    for time, rows, cols in grids:
        order = ops.merge_order(m * rows, m * cols, m)  # patches of a frame
        place = np.stack((order // (m * cols), order % (m * cols)), axis=1)
        places.append(np.tile(place, (time, 1)))
    return np.concatenate(places)


def reordered(x: Any, order: Any, many: int) -> Any:
    """Groups of `many` neighbours in another order: B N … -> B N …."""
    groups = np.reshape(x, (x.shape[0], len(order), many, x.shape[-1]))
    return np.reshape(groups[:, order], x.shape)


def tower_attention(
    x: Any,
    angles: Any,
    bias: Any,
    params: Params,
    name: str,
    heads: int,
    ops: Any = TEXT,
    tap: Tap = untouched,
) -> Any:
    """Attention of patches with rotary angles of their rows and columns: B N D."""
    joint = ops.linear(x, params[f"{name}.in_proj_weight"], params[f"{name}.in_proj_bias"])
    query, key, value = (split(y, heads) for y in thirds(joint))  # B H N E
    query = tap(f"{name}.query", join(ops.rotary_embedding(query, angles)))  # B N D
    key = tap(f"{name}.key", join(ops.rotary_embedding(key, angles)))
    value = tap(f"{name}.value", join(value))
    query, key, value = (split(y, heads) for y in (query, key, value))
    mixed = tap(f"{name}.mixed", join(ops.attention(query, key, value, bias)))  # B N D
    return dense(mixed, params, f"{name}.out_proj", ops)


def tower_block(
    x: Any,
    angles: Any,
    bias: Any,
    params: Params,
    name: str,
    config: QwenTower,
    ops: Any = TEXT,
    tap: Tap = untouched,
) -> Any:
    """One block of the tower: attention, then a gated perceptron, each added to the patches."""
    y = tap(f"{name}.ln_1", ops.rms_norm(x, params[f"{name}.ln_1.weight"], config.eps))  # B N D
    at = f"{name}.attn"
    y = tap(at, tower_attention(y, angles, bias, params, at, config.heads, ops, tap))
    x = tap(f"{name}.middle", x + y)

    y = tap(f"{name}.ln_2", ops.rms_norm(x, params[f"{name}.ln_2.weight"], config.eps))
    return tap(name, x + gated_perceptron(y, params, f"{name}.mlp", config.gate, ops, tap))


def merged(x: Any, params: Params, config: QwenTower, ops: Any = TEXT, tap: Tap = untouched) -> Any:
    """Four patches of a square side by side as one token, in the language's width: B N/m² D."""
    at, many = "visual.merger", config.merge**2
    y = tap(f"{at}.ln_q", ops.rms_norm(x, params[f"{at}.ln_q.weight"], config.eps))  # B N D
    y = np.reshape(y, (y.shape[0], y.shape[1] // many, many * y.shape[2]))
    y = tap(f"{at}.mlp.0", dense(y, params, f"{at}.mlp.0", ops))
    y = tap(f"{at}.mlp.1", getattr(ops, config.activation)(y))
    return tap(f"{at}.mlp.2", dense(y, params, f"{at}.mlp.2", ops))


def qwen_tower(
    patches: Any,
    grids: Any,
    params: Params,
    config: QwenTower,
    ops: Any = TEXT,
    tap: Tap = untouched,
) -> Any:
    r"""The tower: tokens of images and videos, with attention in windows or in whole frames.

    $$z_0 = E x_o, \qquad z_l = \mathrm{Block}_l(z_{l-1}), \qquad
    y_o = \mathrm{MLP}\left([\mathrm{RMS}\, z_{L,1};\; \dots;\; \mathrm{RMS}\, z_{L,m^2}]\right)$$

    patches: N channels*together*P*P, those of all media one after another, from `patchify_video`.
    grids: media 3, frames that are told apart, rows and columns of tokens of each.
    params: the arrays, under the names of `QwenTower.shapes`.
    config: sizes, windows and the layers that see whole frames.

    Returns 1 N/m² D, tokens in reading order, as wide as words.

    Paper: Bai et al. 2025, "Qwen2.5-VL technical report", section 2.1.1.
    """
    many, weight = config.merge**2, params["visual.patches.weight"]
    kernels = np.reshape(weight, (config.width, config.numbers))
    x = tap("visual.patches", ops.linear(patches, kernels, None)[None])  # 1 N D
    order, windows, frames = in_windows(grids, config, ops)
    x = reordered(x, order, many)
    places = constant(1, x) * patch_places(grids, config, ops)  # N 2
    angles = ops.grid_angles(places, config.width // config.heads // 4, config.turns)  # N E/2
    angles = reordered(angles[None], order, many)[0]
    seen = {
        whole: ops.block_diagonal_bias(np.repeat(np.arange(len(parts)), many * np.array(parts)))
        for whole, parts in ((False, windows), (True, frames))
    }
    for i in range(config.layers):
        at, bias = f"visual.blocks.{i}", seen[i in config.whole]
        x = tower_block(x, angles, bias, params, at, config, ops, tap)
    return merged(x, params, config, ops, tap)[:, ops.inverse_order(order)]  # 1 N/m² D


def words_around(ids: Any, grids: Any, image_id: int) -> Any:
    """The numbers of words before, between and after images and videos."""
    lengths = np.prod(grids, axis=1)
    room = np.flatnonzero(ids[0] == image_id)
    starts = room[np.cumsum(lengths) - lengths]
    return np.append(starts, len(ids[0])) - np.insert(starts + lengths, 0, 0)


def qwen_vl(
    ids: Any,
    patches: Any,
    grids: Any,
    params: Params,
    config: QwenVl,
    ops: Any = TEXT,
    tap: Tap = untouched,
) -> Any:
    r"""Score every word as the next one, in a text with images and videos.

    $$z_0 = \mathrm{splice}(W_e[x],\, \mathrm{Tower}(v)), \qquad
    \ell = W\, \mathrm{RMS}\left(\mathrm{Blocks}(z_0, \theta)\right), \qquad
    \theta_{ni} = p_{k(i), n}\, b^{-2i/E}$$

    ids: 1 N, token ids; `config.image_id` keeps room for every token of an image or video.
    patches: patches of all images and videos, one after another, from `patchify_video`.
    grids: media 3, frames that are told apart, rows and columns of tokens of each.
    params: the arrays, under the names of `QwenVl.shapes`.
    config: the tower, the language model, sections and ticks.

    Returns 1 N V, logits.

    Raises AxesError for ids that are no integers, outside the vocabulary, or too many, and where
    they keep room for more or fewer tokens than there are.

    Elsewhere: transformers goes on behind a video at another position. Qwen2-VL has no windows,
    layer norms in its tower, and no time between frames; Qwen3-VL mixes rows of positions.

    Paper: Bai et al. 2025, "Qwen2.5-VL technical report", section 2.1.
    """
    accept_ids("qwen_vl", ids, config.text.context, config.text.vocabulary)
    tokens = qwen_tower(patches, grids, params, config.tower, ops, tap)
    words = tap("words", params["words.weight"][ids])  # 1 N D
    x = tap("tokens", ops.splice_tokens(words, ids, config.image_id, tokens))
    around = words_around(ids, grids, config.image_id)
    positions, _ = ops.multimodal_positions(around, grids, np.full(len(grids), config.tick), 1)
    positions, sections = constant(1, x) * positions, np.array(config.sections)
    angles = ops.mrope_angles(positions, sections, config.text.base)  # N E
    return llama_blocks(x, angles, params, config.text, ops, tap)  # 1 N V
