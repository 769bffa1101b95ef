"""Imagen's U-Nets: images from the words of a T5, a small one first, then a larger one of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from refimpl.models import TEXT, Params, Tap, untouched
from refimpl.models.adm import Adm, Steps, through, told_time
from refimpl.models.configs import Shapes
from refimpl.models.feature_maps import affine, group_norm, pixels, placed
from refimpl.models.unet import told_shapes
from refimpl.models.vit import dense, join, norm, split, thirds


@dataclass(frozen=True)
class Imagen(Adm):
    """Sizes of an ADM that reads words.

    `words` is how wide a word of the T5 is, `memory` how wide the pixels see it; `pool_heads` heads
    pool all of them for what every block is told. With `enlarges` a small image stands beside the
    noisy one, and the network is told how noisy that one is. `word_groups` are those of the norm of
    words, over all of a text.
    """

    words: int = 4096
    memory: int = 2816
    pool_heads: int = 64
    enlarges: bool = False
    word_groups: int = 32
    act: str = "gelu"

    def shapes(self) -> Shapes:
        """Name and shape of every parameter."""
        F, D = self.words, self.emb
        shapes = super().shapes() | affine("words", self.memory, F) | affine("pooled.ln_1", F)
        shapes |= {"pooled.pool.positional_embedding": (1, F)} | affine("pooled.proj", D, F)
        shapes |= affine("pooled.ln_2", D)
        for part in "qkv":
            shapes |= affine(f"pooled.pool.{part}_proj", F, F)
        return shapes | (told_shapes("label_emb", self.width, D) if self.enlarges else {})

    def _block(self, at: str, steps: Steps) -> Shapes:
        shapes = super()._block(at, steps)
        for i, (kind, _, after) in enumerate(steps):
            if kind == "attention":
                shapes |= affine(f"{at}.{i}.norm_words", self.memory)
                for part in ("encoder_k", "encoder_v"):
                    shapes |= affine(f"{at}.{i}.{part}", after, self.memory)
        return shapes


def normed_words(memory: Any, params: Params, name: str, config: Imagen, ops: Any) -> Any:
    """Groups of features of all words of a text, normalised together: B N F."""
    gain, bias = params[f"{name}.weight"], params[f"{name}.bias"]
    tall = np.swapaxes(memory, 1, 2)[..., None]  # B F N 1
    return pixels(ops.group_norm(tall, gain, bias, config.word_groups, config.eps))  # B N F


def pixels_and_words(
    x: Any,
    memory: Any,
    params: Params,
    name: str,
    config: Any,
    ops: Any = TEXT,
    tap: Tap = untouched,
) -> Any:
    r"""Every pixel asks the words and all pixels at once, and what they say is added.

    $$y = x + W_o\, \mathrm{Attn}\left(W_q h,\; [W'_k c;\; W_k h],\; [W'_v c;\; W_v h]\right),
    \qquad h = \mathrm{GN}\, x, \quad c = \mathrm{GN}'\, m$$
    """
    C, rows, cols = x.shape[1:]
    y = tap(f"{name}.norm", pixels(group_norm(x, params, f"{name}.norm", config, ops)))  # B N C
    if f"{name}.norm_words.weight" in params:
        memory = normed_words(memory, params, f"{name}.norm_words", config, ops)
        memory = tap(f"{name}.norm_words", memory)  # B M F
    said = [
        tap(f"{name}.{part}", dense(memory, params, f"{name}.{part}", ops))
        for part in ("encoder_k", "encoder_v")
    ]  # B M C each
    weight = params[f"{name}.qkv.weight"]
    weight = np.reshape(weight, weight.shape[:2])  # 3*C C
    query, *own = thirds(ops.linear(y, weight, params[f"{name}.qkv.bias"]))  # B N C each
    both = (np.concatenate(parts, axis=1) for parts in zip(said, own, strict=True))  # B M+N C
    heads = C // config.head
    query, key, value = (
        split(tap(f"{name}.{part}", z), heads)
        for part, z in zip(("query", "key", "value"), (query, *both), strict=True)
    )
    mixed = tap(f"{name}.mixed", join(ops.attention(query, key, value, None)))  # B N C
    weight = params[f"{name}.proj_out.weight"]
    y = ops.linear(mixed, np.reshape(weight, weight.shape[:2]), params[f"{name}.proj_out.bias"])
    return tap(name, x + placed(tap(f"{name}.proj_out", y), rows, cols))


def pooled_words(
    words: Any, params: Params, config: Imagen, ops: Any = TEXT, tap: Tap = untouched
) -> Any:
    """What every block is told of a text: its mean asks all of its words, B N F -> B D."""
    x, at = tap("pooled.ln_1", norm(words, params, "pooled.ln_1", config.eps, ops)), "pooled.pool"
    mean = np.mean(x, axis=1, keepdims=True) + params[f"{at}.positional_embedding"]  # B 1 F
    seen = np.concatenate((mean, x), axis=1)  # B N+1 F
    query, key, value = (
        tap(f"{at}.{part}_proj", dense(y, params, f"{at}.{part}_proj", ops))
        for part, y in (("q", mean), ("k", seen), ("v", seen))
    )
    query, key, value = (split(y, config.pool_heads) for y in (query, key, value))
    pooled = tap(at, join(ops.attention(query, key, value, None))[:, 0])  # B F
    y = tap("pooled.proj", dense(pooled, params, "pooled.proj", ops))  # B D
    return tap("pooled.ln_2", norm(y, params, "pooled.ln_2", config.eps, ops))


def told_level(
    level: Any, params: Params, config: Imagen, ops: Any = TEXT, tap: Tap = untouched
) -> Any:
    """What every block is told of the noise in the small image: B -> B D."""
    waves = tap("level_waves", ops.timestep_embedding(level, config.width // 2))  # B width
    y = tap("label_emb.linear_1", dense(waves, params, "label_emb.linear_1", ops))
    y = getattr(ops, config.act)(y)
    return tap("label_emb.linear_2", dense(y, params, "label_emb.linear_2", ops))


def imagen(
    x_t: Any,
    t: Any,
    words: Any,
    params: Params,
    config: Imagen,
    ops: Any = TEXT,
    tap: Tap = untouched,
    small: Any = None,
    level: Any = None,
) -> Any:
    r"""Predict the noise in images, and where its variance lies, from a text and a small image.

    $$e = \mathrm{MLP}(\mathrm{TE}_t) + \mathrm{MLP}'(\mathrm{TE}_l) + \mathrm{pool}(c), \qquad
    [\hat\epsilon;\; v] = \mathrm{U}([x_t;\; s],\, e,\, W c)$$

    x_t: B channels rows cols, noisy images.
    t: B, times, zero-based.
    words: B N F, c, what a T5 says of every word.
    params: the arrays, under the names of `Imagen.shapes`: those of guided diffusion, and of words.
    config: sizes, heads, groups and activation.
    small: B channels rows cols, s, an enlarged smaller image, noised; where the network enlarges.
    level: B, l, how noisy it is, as a time.

    Returns B outputs rows cols: the noise, then as many channels for the variance.

    Raises AxesError for images of other channels, or with sides that cannot be halved so often.

    Elsewhere: the paper reads words by cross-attention beside self-attention, and enlarges by an
    Efficient U-Net; this one is DeepFloyd's IF, whose words and pixels are keys of one softmax, as
    in GLIDE. unCLIP's decoder is the same network, whose words follow four tokens of the image.

    Paper: Saharia et al. 2022, "Photorealistic text-to-image diffusion models with deep language
    understanding", section 2; Nichol et al. 2021, "GLIDE", section 4.
    """
    emb = told_time(t, params, config, ops, tap)  # B D
    if config.enlarges:
        x_t = np.concatenate((x_t, small), axis=1)
        emb = emb + told_level(level, params, config, ops, tap)
    emb = emb + pooled_words(words, params, config, ops, tap)
    memory = tap("words", dense(words, params, "words", ops))  # B N memory

    def attend(x: Any, name: str) -> Any:
        return pixels_and_words(x, memory, params, name, config, ops, tap)

    return through(x_t, emb, params, config, ops, tap, attend)  # B outputs rows cols
