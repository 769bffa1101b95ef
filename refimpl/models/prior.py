"""The prior of unCLIP: it denoises the embedding of an image, given a text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from refimpl.axes import AxesError
from refimpl.models import TEXT, Params, Tap, untouched
from refimpl.models.configs import Shapes, block_shapes
from refimpl.models.feature_maps import affine
from refimpl.models.unet import told, told_shapes
from refimpl.models.vit import dense, norm, transformer


@dataclass(frozen=True)
class Prior:
    """Sizes of a prior; `clip` is how wide vectors of CLIP are, `context` words of a text."""

    width: int = 2048
    layers: int = 20
    heads: int = 32
    clip: int = 768
    context: int = 77
    activation: str = "gelu"
    eps: float = 1e-5

    def shapes(self) -> Shapes:
        """Name and shape of every parameter."""
        D, C = self.width, self.clip
        shapes: Shapes = {"clip_mean": (1, C), "clip_std": (1, C), "query": (D,)}
        shapes["positional_embedding"] = (self.context + 4, D)
        shapes |= told_shapes("time_embedding", D, D) | affine("proj_in", D, C)
        shapes |= affine("embedding_proj", D, C) | affine("encoder_hidden_states_proj", D, C)
        for i in range(self.layers):
            shapes |= block_shapes(f"transformer.resblocks.{i}", D, 4 * D)
        return shapes | affine("norm_out", D) | affine("proj_to_clip_embeddings", C, D)


def prior(
    noised: Any,
    t: Any,
    text_embedding: Any,
    words: Any,
    keep: Any,
    params: Params,
    config: Prior,
    ops: Any = TEXT,
    tap: Tap = untouched,
) -> Any:
    r"""Predict the CLIP embedding of an image from a noised one and a text.

    $$z_0 = [W_w w_1, \dots, W_w w_N,\; W_e e,\; \mathrm{MLP}(\mathrm{TE}_t),\; W_x x_t,\; q]
    + E_{\mathrm{pos}}, \qquad \hat x_0 = \mu + \sigma\, W\, \mathrm{LN}(z_L)_{N+4}$$

    noised: B C, noised vectors, standardised number by number.
    t: B, times, zero-based.
    text_embedding: B C, CLIP's vectors of the texts.
    words: B N C, what CLIP's text tower says of every word.
    keep: B N, 1 for words and 0 for padding.
    params: the arrays, under the names of `Prior.shapes`.
    config: sizes, activation and epsilon.

    Returns B C; the prediction before it is brought back is told to the tap as `predicted`.

    Raises AxesError for texts of another length than the context.

    Elsewhere: diffusers is causal only where a mask of the text is given, and fills with -10000.
    Paper and Karlo predict the vector, not the noise.

    Paper: Ramesh et al. 2022, "Hierarchical text-conditional image generation with CLIP latents",
    section 2.2; the sizes are those of Karlo and Kandinsky.
    """
    if words.shape[1] != config.context:
        raise AxesError(f"prior: words has {words.shape[1]} of a text, expected {config.context}")
    waves = tap("time_proj", ops.timestep_embedding(t, config.width // 2))  # B D
    time = told(waves, params, "time_embedding", ops, tap)
    given = {
        "proj_in": noised,
        "embedding_proj": text_embedding,
        "encoder_hidden_states_proj": words,
    }
    z, e, w = (tap(name, dense(x, params, name, ops)) for name, x in given.items())
    x = ops.prior_tokens(w, e, time, z, params["query"])  # B N+4 D
    x = tap("tokens", x + params["positional_embedding"])
    x = transformer(x, params, "", config, ops.prior_bias(keep), ops, tap)
    x = tap("norm_out", norm(x, params, "norm_out", config.eps, ops))
    y = tap("predicted", dense(x[:, -1], params, "proj_to_clip_embeddings", ops))  # B C
    return tap("image_embedding", y * params["clip_std"] + params["clip_mean"])
