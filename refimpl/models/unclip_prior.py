"""The prior of unCLIP: from a text, the vector that CLIP would give a picture of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from refimpl.models import TEXT, Params, Tap, untouched
from refimpl.models.configs import Shapes, block_shapes
from refimpl.models.feature_maps import affine
from refimpl.models.vit import dense, norm, transformer


@dataclass(frozen=True)
class UnclipPrior:
    """Sizes of the prior; `embed` is the width of both vectors, `words` that of the words."""

    width: int
    layers: int
    heads: int
    hidden: int
    embed: int
    words: int
    context: int
    activation: str = "quick_gelu"
    eps: float = 1e-5

    def shapes(self) -> Shapes:
        """Name and shape of every parameter."""
        D, E = self.width, self.embed
        shapes = affine("words", D, self.words) | affine("text", D, E) | affine("noised", D, E)
        shapes |= affine("time_mlp.c_fc", D, D) | affine("time_mlp.c_proj", D, D)
        shapes |= {"null_text": (E,), "query": (D,), "positional_embedding": (self.context + 4, D)}
        for i in range(self.layers):
            shapes |= block_shapes(f"transformer.resblocks.{i}", D, self.hidden)
        return shapes | affine("ln_post", D) | affine("head", E, D) | {"mean": (E,), "std": (E,)}


def infer(params: Params) -> UnclipPrior:
    """The configuration that the shapes tell: heads are 64 wide, as in CLIP."""
    places, width = np.shape(params["positional_embedding"])
    layers = sum(name.endswith(".ln_1.weight") for name in params)
    embed, words = np.shape(params["mean"])[0], np.shape(params["words.weight"])[1]
    return UnclipPrior(width, layers, max(width // 64, 1), 4 * width, embed, words, places - 4)


def unclip_prior(
    x_t: Any,
    t: Any,
    words: Any,
    keep: Any,
    text: Any,
    params: Params,
    config: UnclipPrior,
    ops: Any = TEXT,
    tap: Tap = untouched,
) -> Any:
    r"""Predict the standardised vector of an image from a text and a noisy vector.

    $$z_0 = [W_w w;\; W_e e;\; \mathrm{MLP}(\mathrm{TE}_t);\; W_x x_t;\; q] + p, \qquad
    \hat x = W\, \mathrm{LN}(z_L)_{\mathrm{last}} + b$$

    x_t: B E, noisy vectors of images, standardised.
    t: B, diffusion times, zero-based.
    words: B N D, what the text tower says of each word.
    keep: B N, 1 for words and 0 for padding; the first sign is never padding.
    text: B E, the vector of the whole text.
    params: the arrays, under the names of `UnclipPrior.shapes`.

    Returns B E, the vectors without noise, still standardised.

    Elsewhere: DALL·E 2 draws two vectors and keeps the one nearer to the text.

    Paper: Ramesh et al. 2022, "Hierarchical text-conditional image generation with CLIP latents",
    section 2.2.
    """
    time = ops.silu(
        dense(ops.timestep_embedding(t, config.width // 2), params, "time_mlp.c_fc", ops)
    )
    time = tap("time", dense(time, params, "time_mlp.c_proj", ops))  # B D
    read = dense(words, params, "words", ops)  # B N D
    said, noised = dense(text, params, "text", ops), dense(x_t, params, "noised", ops)  # B D each

    x = ops.prior_tokens(read, said, time, noised, params["query"])  # B N+4 D
    x = tap("tokens", x + params["positional_embedding"])
    x = transformer(x, params, "", config, ops.prior_bias(keep), ops, tap)
    x = tap("ln_post", norm(x[:, -1], params, "ln_post", config.eps, ops))  # B D
    return tap("x_start", dense(x, params, "head", ops))  # B E
