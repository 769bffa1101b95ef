"""GLIDE's way from words to what its network reads: a vector for each word, and one of them all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from refimpl.axes import AxesError
from refimpl.models import TEXT, Params, Tap, untouched
from refimpl.models.configs import Shapes, accept_ids, block_shapes
from refimpl.models.feature_maps import affine
from refimpl.models.vit import dense, norm, transformer


@dataclass(frozen=True)
class Glide:
    """Sizes of a text path; `told` is how wide the embedding of the time is, to which it adds."""

    width: int = 512
    layers: int = 16
    heads: int = 8
    told: int = 768
    context: int = 128
    vocabulary: int = 50257
    activation: str = "gelu"
    eps: float = 1e-5

    def shapes(self) -> Shapes:
        """Name and shape of every parameter."""
        N, D = self.context, self.width
        shapes: Shapes = {"token_embedding.weight": (self.vocabulary, D)}
        shapes |= {"positional_embedding": (N, D), "padding_embedding": (N, D)}
        for i in range(self.layers):
            shapes |= block_shapes(f"transformer.resblocks.{i}", D, 4 * D)
        return shapes | affine("ln_final", D) | affine("transformer_proj", self.told, D)


def glide(
    ids: Any,
    keep: Any,
    params: Params,
    config: Glide,
    ops: Any = TEXT,
    tap: Tap = untouched,
) -> Any:
    r"""Read texts: what each word means goes to attention, what the last place says to the time.

    $$z_0 = \begin{cases} W_e[x_n] + p_n & k_n = 1 \\ q_n & k_n = 0 \end{cases}, \qquad
    z = \mathrm{LN}(\mathrm{Transformer}(z_0)), \qquad y = W z_N + b$$

    ids: B N, token ids, filled up to the context.
    keep: B N, k, 1 for words and 0 for padding.
    params: the arrays, under the names of `Glide.shapes`; q is `padding_embedding`.
    config: sizes, heads, activation and epsilon.

    Returns B C, which is added to the embedding of the time. The words, told to the tap as
    `ln_final`, are further keys and values of every attention of the network, before its own.

    Raises AxesError for ids that are no integers or outside the vocabulary, and for texts that are
    not filled up to the context.

    Elsewhere: CLIP's tower is causal and reads the end of the text; here every word sees all, the
    padding as well, and the last place is read, whatever stands there. Imagen sets padding to zero
    and reads the mean.

    Paper: Nichol et al. 2021, "GLIDE: towards photorealistic image generation and editing with
    text-guided diffusion models", section 4; the padding and its vectors are those of its code.
    """
    accept_ids("glide", ids, config.context, config.vocabulary)
    if np.shape(ids)[1] != config.context:
        raise AxesError(f"glide: ids has {np.shape(ids)[1]} places, expected {config.context}")
    words = params["token_embedding.weight"][ids] + params["positional_embedding"]  # B N D
    x = tap("tokens", ops.pad_text(words, params["padding_embedding"], keep))
    x = transformer(x, params, "", config, None, ops, tap)
    x = tap("ln_final", norm(x, params, "ln_final", config.eps, ops))  # B N D
    return tap("transformer_proj", dense(x[:, -1], params, "transformer_proj", ops))  # B C
