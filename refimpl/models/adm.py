"""ADM: the U-Net of guided diffusion, and the classifier of noisy images that guides it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from refimpl.axes import AxesError
from refimpl.models import TEXT, Params, Tap, untouched
from refimpl.models.configs import Shapes
from refimpl.models.feature_maps import affine, convolve, group_norm, pixels, placed
from refimpl.models.vit import dense, join, split, thirds

Attend = Callable[[Any, str], Any] | None
Steps = list[tuple[str, int, int]]  # what a block consists of: its kind, channels before and after


@dataclass(frozen=True)
class Adm:
    """Sizes of an ADM: a width, and the multiplier of each level, the finest first.

    `attention` are the levels that have it, with heads of `head` channels, or `heads` heads where
    that is 0; with `by_heads` the joint matrix has the queries, keys and values of each head in
    turn, else all queries first. `resampling` has residual blocks that change the size of a map,
    and `scale_shift` lets the time scale and shift a norm, where it is added without. `classes` is
    the number of labels that it is told, and `act` the name of an operation.
    """

    width: int
    multiples: tuple[float, ...]
    layers: int
    attention: tuple[int, ...]
    channels: int = 3
    outputs: int = 6
    classes: int = 0
    head: int = 64
    heads: int = 0
    by_heads: bool = False
    resampling: bool = True
    scale_shift: bool = True
    groups: int = 32
    eps: float = 1e-5
    act: str = "silu"

    @property
    def emb(self) -> int:
        """How wide what every block is told is."""
        return 4 * self.width

    def accept(self, x: Any) -> None:
        """Refuse maps that the levels cannot halve."""
        step = 2 ** (len(self.multiples) - 1)
        if x.shape[1] != self.channels or any(n % step for n in x.shape[2:]):
            raise AxesError(
                f"adm: x_t is {x.shape[1:]}, expected {self.channels} channels "
                f"and sides that {step} divides"
            )

    def down(self) -> list[Steps]:
        """The blocks of the way down; what each gives is kept."""
        width = int(self.multiples[0] * self.width)
        blocks: list[Steps] = [[("conv", self.channels, width)]]
        for level, multiple in enumerate(self.multiples):
            for _ in range(self.layers):
                before, width = width, int(multiple * self.width)
                blocks.append([("residual", before, width), *self._asks(level, width)])
            if level < len(self.multiples) - 1:
                blocks.append([("halved", width, width)])
        return blocks

    def middle(self) -> Steps:
        """The one block in the middle."""
        width = int(self.multiples[-1] * self.width)
        return [(kind, width, width) for kind in ("residual", "attention", "residual")]

    def up(self) -> list[Steps]:
        """The blocks of the way up; each is given a kept map beside the features."""
        kept = [steps[-1][2] for steps in self.down()]
        width, blocks = kept[-1], []
        for level, multiple in reversed(list(enumerate(self.multiples))):
            for i in range(self.layers + 1):
                before, width = width + kept.pop(), int(multiple * self.width)
                steps = [("residual", before, width), *self._asks(level, width)]
                grows = level and i == self.layers
                blocks.append(steps + ([("doubled", width, width)] if grows else []))
        return blocks

    def _asks(self, level: int, width: int) -> Steps:
        return [("attention", width, width)] if level in self.attention else []

    def trunk_shapes(self) -> Shapes:
        """The parameters up to the middle, those of the time and of labels included."""
        shapes = affine("time_embed.0", self.emb, self.width)
        shapes |= affine("time_embed.2", self.emb, self.emb)
        if self.classes:
            shapes["label_emb.weight"] = (self.classes, self.emb)
        for i, steps in enumerate(self.down()):
            shapes |= self._block(f"input_blocks.{i}", steps)
        return shapes | self._block("middle_block", self.middle())

    def shapes(self) -> Shapes:
        """Name and shape of every parameter."""
        shapes = self.trunk_shapes()
        for i, steps in enumerate(self.up()):
            shapes |= self._block(f"output_blocks.{i}", steps)
        last = self.up()[-1][0][2]
        return shapes | affine("out.0", last) | affine("out.2", self.outputs, last, 3, 3)

    def _block(self, at: str, steps: Steps) -> Shapes:
        shapes: Shapes = {}
        for i, (kind, before, after) in enumerate(steps):
            name = f"{at}.{i}"
            if kind == "conv":
                shapes |= affine(name, after, before, 3, 3)
            elif kind == "attention":
                shapes |= affine(f"{name}.norm", after) | affine(f"{name}.qkv", 3 * after, after, 1)
                shapes |= affine(f"{name}.proj_out", after, after, 1)
            elif kind == "residual" or self.resampling:
                shapes |= self._residual(name, before, after)
            else:
                inner = "op" if kind == "halved" else "conv"
                shapes |= affine(f"{name}.{inner}", after, before, 3, 3)
        return shapes

    def _residual(self, name: str, before: int, after: int) -> Shapes:
        told = 2 * after if self.scale_shift else after
        shapes = affine(f"{name}.in_layers.0", before)
        shapes |= affine(f"{name}.in_layers.2", after, before, 3, 3)
        shapes |= affine(f"{name}.emb_layers.1", told, self.emb)
        shapes |= affine(f"{name}.out_layers.0", after)
        shapes |= affine(f"{name}.out_layers.3", after, after, 3, 3)
        if before != after:
            shapes |= affine(f"{name}.skip_connection", after, before, 1, 1)
        return shapes


@dataclass(frozen=True)
class AdmClassifier(Adm):
    """Sizes of the classifier: the way down and the middle, then attention that pools.

    `side` is how many pixels an image is high and wide, `outputs` the number of labels.
    """

    outputs: int = 1000
    side: int = 64

    def shapes(self) -> Shapes:
        """Name and shape of every parameter."""
        D, rows = int(self.multiples[-1] * self.width), self.side // 2 ** (len(self.multiples) - 1)
        shapes = self.trunk_shapes() | affine("out.0", D)
        shapes["out.2.positional_embedding"] = (D, rows * rows + 1)
        shapes |= affine("out.2.qkv_proj", 3 * D, D, 1)
        return shapes | affine("out.2.c_proj", self.outputs, D, 1)


def scaled_residual(
    x: Any,
    emb: Any,
    params: Params,
    name: str,
    config: Adm,
    resize: str = "",
    ops: Any = TEXT,
    tap: Tap = untouched,
) -> Any:
    r"""A residual block whose second norm the time scales and shifts; it may resize the map.

    $$h = W_1 * R\, \mathrm{silu}(\mathrm{GN}_1\, x), \quad [s; b] = W_t\, \mathrm{silu}(e), \quad
    y = S * R x + W_2 * \mathrm{silu}\bigl((1 + s) \odot \mathrm{GN}_2\, h + b\bigr)$$

    resize: R, "halved" by means of four pixels, "doubled" by repeating each, else left as it is.

    Paper: Dhariwal and Nichol 2021, "Diffusion models beat GANs on image synthesis", section 3.
    """
    act = getattr(ops, config.act)
    y = tap(f"{name}.in_layers.0", group_norm(x, params, f"{name}.in_layers.0", config, ops))
    y = tap(f"{name}.entering", resized(act(y), resize, ops))
    x = resized(x, resize, ops)
    y = tap(f"{name}.in_layers.2", convolve(y, params, f"{name}.in_layers.2", ops))

    said = dense(act(emb), params, f"{name}.emb_layers.1", ops)  # B 2*O
    said = tap(f"{name}.emb_layers.1", said)[:, :, None, None]
    y = y if config.scale_shift else y + said
    y = tap(f"{name}.out_layers.0", group_norm(y, params, f"{name}.out_layers.0", config, ops))
    if config.scale_shift:
        scale, shift = np.split(said, 2, axis=1)  # B O 1 1
        y = y * (1 + scale) + shift
    y = tap(f"{name}.told", act(y))
    y = tap(f"{name}.out_layers.3", convolve(y, params, f"{name}.out_layers.3", ops))
    if f"{name}.skip_connection.weight" in params:
        x = tap(f"{name}.skip_connection", convolve(x, params, f"{name}.skip_connection", ops))
    return tap(name, x + y)


def resized(x: Any, how: str, ops: Any) -> Any:
    """A map of half or twice the side without parameters, or as it is."""
    if how == "halved":
        return ops.avg_pool2d(x, 2)
    if how == "doubled":
        return ops.resize_nearest(x, 2 * x.shape[2], 2 * x.shape[3])
    return x


def packed_attention(
    tokens: Any,
    params: Params,
    name: str,
    heads: int,
    by_heads: bool,
    ops: Any = TEXT,
    tap: Tap = untouched,
) -> Any:
    """Self-attention with a packed matrix of this name: B N D -> B N D."""
    weight = params[f"{name}.weight"]
    weight = np.reshape(weight, weight.shape[:2])  # 3*D D
    joint = ops.linear(tokens, weight, params[f"{name}.bias"])  # B N 3*D
    if by_heads:
        B, N, D = tokens.shape
        joint = np.reshape(joint, (B, N, heads, 3, D // heads))
        joint = np.reshape(np.swapaxes(joint, 2, 3), (B, N, 3 * D))
    at = name.rpartition(".")[0]
    query, key, value = (
        tap(f"{at}.{part}", y)
        for part, y in zip(("query", "key", "value"), thirds(joint), strict=True)
    )  # B N D each
    mixed = ops.attention(split(query, heads), split(key, heads), split(value, heads), None)
    return tap(f"{at}.mixed", join(mixed))  # B N D


def map_attention(
    x: Any, params: Params, name: str, config: Adm, ops: Any = TEXT, tap: Tap = untouched
) -> Any:
    """Self-attention between the pixels of a map, added to the map: B C rows cols."""
    C, rows, cols = x.shape[1:]
    y = pixels(group_norm(x, params, f"{name}.norm", config, ops))  # B N C
    heads = C // config.head if config.head else config.heads
    y = tap(f"{name}.norm", y)
    y = packed_attention(y, params, f"{name}.qkv", heads, config.by_heads, ops, tap)
    weight = params[f"{name}.proj_out.weight"]
    y = ops.linear(y, np.reshape(weight, weight.shape[:2]), params[f"{name}.proj_out.bias"])
    y = tap(f"{name}.proj_out", y)
    return tap(name, x + placed(y, rows, cols))


def go(
    x: Any,
    emb: Any,
    params: Params,
    at: str,
    steps: Steps,
    config: Adm,
    ops: Any = TEXT,
    tap: Tap = untouched,
    attend: Attend = None,
) -> Any:
    """One block of a way: its steps one after the other."""
    for i, (kind, _, _) in enumerate(steps):
        name = f"{at}.{i}"
        if kind == "conv":
            x = tap(name, convolve(x, params, name, ops))
        elif kind == "attention":
            asked = attend(x, name) if attend else None
            x = map_attention(x, params, name, config, ops, tap) if asked is None else asked
        elif kind == "residual" or config.resampling:
            x = scaled_residual(x, emb, params, name, config, kind, ops, tap)
        elif kind == "halved":
            x = tap(f"{name}.op", convolve(x, params, f"{name}.op", ops, 2))
        else:
            x = resized(x, kind, ops)
            x = tap(f"{name}.conv", convolve(x, params, f"{name}.conv", ops))
    return x


def told_time(t: Any, params: Params, config: Adm, ops: Any = TEXT, tap: Tap = untouched) -> Any:
    """The time embedding that every block receives: B -> B D."""
    act = getattr(ops, config.act)
    waves = tap("waves", ops.timestep_embedding(t, config.width // 2))  # B width
    emb = tap("time_embed.0", dense(waves, params, "time_embed.0", ops))
    return tap("time_embed.2", dense(act(emb), params, "time_embed.2", ops))  # B D


def descend(
    x: Any,
    emb: Any,
    params: Params,
    config: Adm,
    ops: Any = TEXT,
    tap: Tap = untouched,
    attend: Attend = None,
) -> tuple[Any, list]:
    """The way down and the middle: the last map, and the maps kept as skip connections."""
    config.accept(x)
    kept = []
    for i, steps in enumerate(config.down()):
        x = go(x, emb, params, f"input_blocks.{i}", steps, config, ops, tap, attend)
        kept.append(x)
    return go(x, emb, params, "middle_block", config.middle(), config, ops, tap, attend), kept


def through(
    x: Any,
    emb: Any,
    params: Params,
    config: Adm,
    ops: Any = TEXT,
    tap: Tap = untouched,
    attend: Attend = None,
) -> Any:
    """Down, through the middle and up again: B channels rows cols -> B outputs rows cols.

    `attend` is what becomes of a map by an attention of this name, in the place of `map_attention`.
    """
    x, kept = descend(x, emb, params, config, ops, tap, attend)
    for i, steps in enumerate(config.up()):
        x = np.concatenate((x, kept.pop()), axis=1)  # the newest first
        x = go(x, emb, params, f"output_blocks.{i}", steps, config, ops, tap, attend)
    x = tap("out.0", group_norm(x, params, "out.0", config, ops))
    x = tap("out.1", getattr(ops, config.act)(x))
    return tap("out.2", convolve(x, params, "out.2", ops))


def adm(
    x_t: Any,
    t: Any,
    params: Params,
    config: Adm,
    ops: Any = TEXT,
    tap: Tap = untouched,
    labels: Any = None,
) -> Any:
    r"""Predict the noise in noisy images, and the variance within its range.

    $$e = W_2\, \mathrm{silu}(W_1\, \mathrm{TE}_t + b_1) + b_2 + E_y, \qquad
    [\hat\epsilon;\; v] = \mathrm{U}(x_t, e)$$

    x_t: B channels rows cols, noisy images.
    t: B, times of the full schedule, zero-based.
    params: the arrays, under the names of `Adm.shapes`, which are those of guided diffusion.
    config: sizes, heads and epsilon.
    labels: B, y, zero-based, where the model has classes.

    Returns B outputs rows cols: the noise, then as many channels for the variance.

    Raises AxesError for images of other channels, or with sides that cannot be halved so often.

    Elsewhere: checkpoints from before the "new attention order" pack queries, keys and values by
    heads. diffusers has this network as UNet2DModel with blocks that resample.

    Paper: Dhariwal and Nichol 2021, "Diffusion models beat GANs on image synthesis", section 3.
    """
    emb = told_time(t, params, config, ops, tap)  # B D
    if config.classes:
        emb = emb + params["label_emb.weight"][labels]
    return through(x_t, emb, params, config, ops, tap)  # B outputs rows cols


def adm_classifier(
    x_t: Any, t: Any, params: Params, config: AdmClassifier, ops: Any = TEXT, tap: Tap = untouched
) -> Any:
    """Score the labels of noisy images: B channels side side -> B labels.

    The last map is pooled by attention: the mean of its pixels asks all of them.

    Paper: Dhariwal and Nichol 2021, "Diffusion models beat GANs on image synthesis", section 4.
    """
    x, _ = descend(x_t, told_time(t, params, config, ops, tap), params, config, ops, tap)
    x = tap("out.0", group_norm(x, params, "out.0", config, ops))
    tokens = pixels(tap("out.1", ops.silu(x)))  # B N D
    tokens = np.concatenate((np.mean(tokens, axis=1, keepdims=True), tokens), axis=1)  # B N+1 D
    tokens = tap("out.2.tokens", tokens + np.swapaxes(params["out.2.positional_embedding"], 0, 1))
    heads = tokens.shape[2] // config.head if config.head else config.heads
    mixed = packed_attention(tokens, params, "out.2.qkv_proj", heads, False, ops, tap)  # B N+1 D
    weight = params["out.2.c_proj.weight"]
    weight, bias = np.reshape(weight, weight.shape[:2]), params["out.2.c_proj.bias"]
    return tap("logits", ops.linear(mixed[:, 0], weight, bias))  # B labels
