"""Flamingo: gated cross-attention to images in a frozen language model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from refimpl.constants import constant
from refimpl.models import TEXT, Params, Tap, untouched
from refimpl.models.configs import Shapes, Vit, accept_ids
from refimpl.models.feature_maps import affine
from refimpl.models.llama import Llama, gated_perceptron, llama_blocks
from refimpl.models.vit import join, norm, split, vit_features

RESAMPLER_EPS = 1e-5


@dataclass(frozen=True)
class Resampler:
    """Sizes of the resampler that turns an image of any size into `latents` tokens."""

    latents: int = 64
    layers: int = 6
    heads: int = 16
    head: int = 96

    def shapes(self, width: int, normed: bool) -> Shapes:
        """Name and shape of every parameter; `normed` are queries and keys of each head."""
        inner = self.heads * self.head
        shapes: Shapes = {"resampler.latents": (self.latents, width)}
        for i in range(self.layers):
            at = f"resampler.blocks.{i}"
            shapes |= affine(f"{at}.attn.ln_media", width) | affine(f"{at}.attn.ln_latents", width)
            shapes |= {f"{at}.attn.{part}_proj.weight": (inner, width) for part in "qkv"}
            if normed:
                shapes |= affine(f"{at}.attn.ln_q", self.head) | affine(
                    f"{at}.attn.ln_k", self.head
                )
            shapes |= {f"{at}.attn.out_proj.weight": (width, inner)} | affine(f"{at}.mlp.ln", width)
            shapes |= {f"{at}.mlp.c_fc.weight": (4 * width, width)}
            shapes |= {f"{at}.mlp.c_proj.weight": (width, 4 * width)}
        return shapes | affine("resampler.ln", width)


@dataclass(frozen=True)
class Flamingo:
    """An image tower, a resampler, and a language model with a gated layer before every few blocks.

    `every` says before how many, `media_id` is the word that stands for an image, and `normed`
    whether queries and keys of each head are normalised.
    """

    vision: Vit
    resampler: Resampler
    text: Llama
    every: int = 4
    media_id: int = 32001
    normed: bool = True
    resampler_activation: str = "relu"

    def shapes(self) -> Shapes:
        """Name and shape of every parameter."""
        D, F, text = self.text.width, self.vision.width, self.text
        shapes = self.vision.shapes("visual.") | self.resampler.shapes(F, self.normed)
        for i in range(0, text.layers, self.every):
            at = f"gated.{i // self.every}"
            shapes |= {f"{at}.ln_1.weight": (D,), f"{at}.ln_2.weight": (D,)}
            shapes |= {f"{at}.cross.q_proj.weight": (D, D), f"{at}.cross.out_proj.weight": (D, D)}
            shapes |= {f"{at}.cross.{part}_proj.weight": (D, F) for part in "kv"}
            if self.normed:
                shapes |= {f"{at}.cross.ln_{part}.weight": (text.head,) for part in "qk"}
            shapes |= {f"{at}.mlp.{name}.weight": (text.hidden, D) for name in ("gate", "up")}
            shapes |= {f"{at}.mlp.down.weight": (D, text.hidden)}
            shapes |= {f"{at}.alpha_cross": (), f"{at}.alpha_mlp": ()}
        return shapes | text.shapes()


def bare(x: Any, params: Params, name: str, ops: Any) -> Any:
    """The matrix of this name, without a bias."""
    return ops.linear(x, params[f"{name}.weight"], None)


def resampling(
    media: Any,
    latents: Any,
    params: Params,
    name: str,
    heads: int,
    normed: bool,
    ops: Any = TEXT,
    tap: Tap = untouched,
) -> Any:
    """Latents attend to all tokens of an image, and to each other: B M D, B N D -> B N D."""
    told = tap(f"{name}.ln_media", norm(media, params, f"{name}.ln_media", RESAMPLER_EPS, ops))
    asking = norm(latents, params, f"{name}.ln_latents", RESAMPLER_EPS, ops)
    asking = tap(f"{name}.ln_latents", asking)  # B N D
    seen = np.concatenate((told, asking), axis=1)  # B M+N D
    query, key, value = (
        split(tap(f"{name}.{part}_proj", bare(y, params, f"{name}.{part}_proj", ops)), heads)
        for part, y in (("q", asking), ("k", seen), ("v", seen))
    )  # B H N E, B H M+N E twice
    if normed:
        query = tap(f"{name}.ln_q", norm(query, params, f"{name}.ln_q", RESAMPLER_EPS, ops))
        key = tap(f"{name}.ln_k", norm(key, params, f"{name}.ln_k", RESAMPLER_EPS, ops))
    mixed = join(ops.attention(query, key, value, None))  # B N H*E
    return tap(name, bare(mixed, params, f"{name}.out_proj", ops))


def resampled(
    media: Any, params: Params, config: Flamingo, ops: Any = TEXT, tap: Tap = untouched
) -> Any:
    r"""A few tokens of each image, whatever its size: B M D -> B latents D.

    $$z' = z + \mathrm{Attn}\left(\mathrm{LN}\, z,\, [\mathrm{LN}\, x, \mathrm{LN}\, z]\right),
    \qquad z'' = z' + W_2\, \mathrm{relu}(W_1\, \mathrm{LN}\, z')$$
    """
    own, latents = config.resampler, params["resampler.latents"]
    x = latents + constant(0, media) * media[:, :1]  # B latents D
    for i in range(own.layers):
        at = f"resampler.blocks.{i}"
        y = resampling(media, x, params, f"{at}.attn", own.heads, config.normed, ops, tap)
        x = tap(f"{at}.added", x + y)
        y = tap(f"{at}.mlp.ln", norm(x, params, f"{at}.mlp.ln", RESAMPLER_EPS, ops))
        y = tap(f"{at}.mlp.c_fc", bare(y, params, f"{at}.mlp.c_fc", ops))
        y = tap(f"{at}.mlp.activation", getattr(ops, config.resampler_activation)(y))
        x = x + tap(f"{at}.mlp.c_proj", bare(y, params, f"{at}.mlp.c_proj", ops))
    return tap("resampler.ln", norm(x, params, "resampler.ln", RESAMPLER_EPS, ops))


def gated_layer(
    x: Any,
    media: Any,
    bias: Any,
    params: Params,
    name: str,
    config: Flamingo,
    ops: Any = TEXT,
    tap: Tap = untouched,
) -> Any:
    r"""Cross-attention of words to images and a perceptron, each through a gate: B N D.

    $$x' = x + \tanh(\alpha)\, \mathrm{Attn}(\mathrm{RMS}_1\, x, m), \qquad
    y = x' + \tanh(\beta)\, \mathrm{FFN}(\mathrm{RMS}_2\, x')$$
    """
    own, at = config.text, f"{name}.cross"
    y = tap(f"{name}.ln_1", ops.rms_norm(x, params[f"{name}.ln_1.weight"], own.eps))
    query, key, value = (
        split(tap(f"{at}.{part}_proj", bare(z, params, f"{at}.{part}_proj", ops)), own.heads)
        for part, z in (("q", y), ("k", media), ("v", media))
    )  # B H N E, B H M E twice
    if config.normed:
        query = tap(f"{at}.ln_q", ops.rms_norm(query, params[f"{at}.ln_q.weight"], own.eps))
        key = tap(f"{at}.ln_k", ops.rms_norm(key, params[f"{at}.ln_k.weight"], own.eps))
    mixed = join(ops.attention(query, key, value, bias))  # B N D, 0 for words before all images
    y = bare(mixed, params, f"{at}.out_proj", ops)
    x = tap(f"{name}.middle", ops.gated_residual(x, y, params[f"{name}.alpha_cross"]))

    y = tap(f"{name}.ln_2", ops.rms_norm(x, params[f"{name}.ln_2.weight"], own.eps))
    y = gated_perceptron(y, params, f"{name}.mlp", own.gate, ops, tap)
    return tap(name, ops.gated_residual(x, y, params[f"{name}.alpha_mlp"]))


def shown(
    images: Any, params: Params, config: Flamingo, ops: Any = TEXT, tap: Tap = untouched
) -> Any:
    """Tokens of all images of a text, image after image: -> B media*latents D."""
    B, media = images.shape[:2]
    each = np.reshape(images, (B * media, *images.shape[2:]))
    seen = vit_features(each, params, config.vision, ops, tap, "visual.")  # B*media M D
    tokens = resampled(seen, params, config, ops, tap)  # B*media latents D
    return np.reshape(tokens, (B, media * config.resampler.latents, config.vision.width))


def flamingo(
    images: Any,
    ids: Any,
    params: Params,
    config: Flamingo,
    ops: Any = TEXT,
    tap: Tap = untouched,
) -> Any:
    r"""Score every word as the next one, in a text whose words see the image before them.

    $$m = \mathrm{Resampler}(\mathrm{ViT}(v)), \qquad z_l = \mathrm{Block}_l(z'_l), \qquad
    z'_l = \begin{cases} \mathrm{Gated}(z_{l-1}, m) & l \bmod n = 0 \\ z_{l-1} & \text{else}
    \end{cases}$$

    images: B media channels image image, normalised pixels, in the order of the text.
    ids: B N, token ids; `config.media_id` stands where an image does.
    params: the arrays, under the names of `Flamingo.shapes`.
    config: the image tower, the resampler, the language model, and where gated layers stand.

    Returns B N V, logits.

    Raises AxesError for ids that are no integers, outside the vocabulary, or too many.

    Elsewhere: DeepMind's tower has no class token, and its language model is a Chinchilla.
    OpenFlamingo has a GELU in the resampler, where Idefics has ReLU, and normalises neither queries
    nor keys. Its gated layers stand before block i where (i + 1) mod n = 0.

    Paper: Alayrac et al. 2022, "Flamingo: a visual language model for few-shot learning",
    section 2; the parts are those of Laurençon et al. 2023, "OBELICS", Idefics.
    """
    accept_ids("flamingo", ids, config.text.context, config.text.vocabulary)
    media = shown(images, params, config, ops, tap)  # B media*latents F
    times = ops.text_times((ids == config.media_id).astype(int))  # B N
    bias = ops.media_bias(times, images.shape[1], config.resampler.latents)
    x, own = tap("tokens", params["words.weight"][ids]), config.text  # B N D
    positions = constant(1, x) * np.arange(np.shape(ids)[1])  # N
    angles = ops.rotary_angles(positions, own.head // 2, own.base)  # N E/2

    def told(x: Any, i: int) -> Any:
        if i % config.every:
            return x
        at = f"gated.{i // config.every}"
        return gated_layer(x, media, bias, params, at, config, ops, tap)

    return llama_blocks(x, angles, params, own, ops, tap, before=told)  # B N V
