"""GPT-1 and the GPT of a notebook: causal Transformers with post-norm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from refimpl.models import TEXT, Params, Tap, untouched
from refimpl.models.cache import Past, seen_before
from refimpl.models.configs import Shapes, accept_ids, block_shapes
from refimpl.models.post_norm import post_block
from refimpl.models.vit import dense


@dataclass(frozen=True)
class Gpt1:
    """Sizes of a GPT-1; `activation` is the name of an operation.

    `inner` is the width of all heads together. `tied` makes the table of words the head; else there
    is a head with a bias.
    """

    width: int
    layers: int
    heads: int
    hidden: int
    inner: int
    context: int = 512
    vocabulary: int = 40478
    activation: str = "gelu_tanh"
    eps: float = 1e-5
    tied: bool = True

    def shapes(self) -> Shapes:
        """Name and shape of every parameter."""
        shapes: Shapes = {
            "tokens_embed.weight": (self.vocabulary, self.width),
            "positions_embed.weight": (self.context, self.width),
        }
        for i in range(self.layers):
            name = f"transformer.resblocks.{i}"
            shapes |= block_shapes(name, self.width, self.hidden, inner=self.inner)
        if self.tied:
            return shapes
        head: Shapes = {"output.weight": (self.vocabulary, self.width)}
        return shapes | head | {"output.bias": (self.vocabulary,)}


def gpt1(
    ids: Any,
    params: Params,
    config: Gpt1,
    ops: Any = TEXT,
    tap: Tap = untouched,
    past: Past = None,
) -> Any:
    r"""Score every word as the next one, after each word of a text.

    $$z_0 = W_e[x] + W_p[:N], \qquad z_l = \mathrm{Block}_l(z_{l-1}), \qquad \ell = z_L W_e^\top$$

    ids: B N, token ids.
    params: the arrays, under the names of `Gpt1.shapes`.
    config: sizes, activation and epsilon.
    past: keys and values of the words before, from `cache.kept`; None for a text from its start.

    Returns B N V, logits; those of one place depend on the words up to it alone.

    Raises AxesError for ids that are no integers, outside the vocabulary, or too many.

    Elsewhere: transformers calls the tanh form of GELU "gelu" in this model. The notebook has heads
    that are together wider than the words, a perceptron with ReLU that is as wide as they are, and
    a head of its own whose softmax belongs to the model.

    Paper: Radford et al. 2018, "Improving Language Understanding by Generative Pre-Training",
    equation 2; the notebook: Foster 2023, "Generative Deep Learning", chapter 9.
    """
    first = seen_before(past)
    accept_ids("gpt1", ids, config.context - first, config.vocabulary)
    length = np.shape(ids)[1]
    positions = params["positions_embed.weight"][first : first + length]  # N D
    x = tap("tokens", params["tokens_embed.weight"][ids] + positions)  # B N D
    bias = ops.causal_bias_lower_right(length, first + length)  # N M
    for i in range(config.layers):
        name = f"transformer.resblocks.{i}"
        x = post_block(x, params, name, config, bias, ops, tap, past=past)
    if config.tied:
        return tap("logits", ops.linear(x, params["tokens_embed.weight"], None))  # B N V
    return tap("logits", dense(x, params, "output", ops))  # B N V
