"""GPT-2: a causal Transformer over token ids that scores the next word."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from refimpl.models import TEXT, Params, Tap, untouched
from refimpl.models.cache import Past, seen_before
from refimpl.models.configs import Shapes, accept_ids, block_shapes
from refimpl.models.vit import norm, transformer


@dataclass(frozen=True)
class Gpt2:
    """Sizes of a GPT-2; `activation` is the name of an operation."""

    width: int
    layers: int
    heads: int
    context: int = 1024
    vocabulary: int = 50257
    activation: str = "gelu_tanh"
    eps: float = 1e-5

    @property
    def hidden(self) -> int:
        """The hidden width of a perceptron."""
        return 4 * self.width

    def shapes(self) -> Shapes:
        """Name and shape of every parameter; the table of words is the head as well."""
        shapes: Shapes = {
            "wte.weight": (self.vocabulary, self.width),
            "wpe.weight": (self.context, self.width),
            "ln_f.weight": (self.width,),
            "ln_f.bias": (self.width,),
        }
        for i in range(self.layers):
            shapes |= block_shapes(f"transformer.resblocks.{i}", self.width, self.hidden)
        return shapes


def gpt2(
    ids: Any,
    params: Params,
    config: Gpt2,
    ops: Any = TEXT,
    tap: Tap = untouched,
    past: Past = None,
) -> Any:
    r"""Score every word as the next one, after each word of a text.

    $$z_0 = W_e[x] + W_p[:N], \qquad z_l = \mathrm{Block}_l(z_{l-1}), \qquad
    \ell = \mathrm{LN}(z_L)\, W_e^\top$$

    ids: B N, token ids.
    params: the arrays, under the names of `Gpt2.shapes`.
    config: sizes, activation and epsilon.
    past: keys and values of the words before, from `cache.kept`; None for a text from its start.

    Returns B N V, logits; those of one place depend on the words up to it alone.

    Raises AxesError for ids that are no integers, outside the vocabulary, or too many.

    Elsewhere: OpenAI and transformers store the matrices of blocks transposed, (in, out), and call
    the tanh form of GELU "gelu_new". GPT-1 normalises after adding, and has no last norm.

    Paper: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.3.
    """
    first = seen_before(past)
    accept_ids("gpt2", ids, config.context - first, config.vocabulary)
    length = np.shape(ids)[1]
    positions = params["wpe.weight"][first : first + length]  # N D
    x = tap("tokens", params["wte.weight"][ids] + positions)  # B N D
    bias = ops.causal_bias_lower_right(length, first + length)  # N M
    x = transformer(x, params, "", config, bias, ops, tap, None, past)
    x = tap("ln_f", norm(x, params, "ln_f", config.eps, ops))  # B N D
    return tap("logits", ops.linear(x, params["wte.weight"], None))  # B N V
