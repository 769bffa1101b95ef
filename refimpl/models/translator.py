"""The first Transformer: an encoder reads a text, a decoder writes its translation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from refimpl.models import TEXT, Params, Tap, untouched
from refimpl.models.cache import Past, seen_before
from refimpl.models.configs import Shapes, accept_ids
from refimpl.models.post_norm import post_block, stack_shapes
from refimpl.models.vit import dense, norm

BASE = 10000.0  # of the wavelengths of positions


@dataclass(frozen=True)
class Translator:
    """Sizes of a Transformer; `layers` are those of the encoder and as many of the decoder.

    `tied` makes the table of words the head, else there is a head with a bias. `last_norms` are
    norms behind each of the two stacks, which PyTorch has and the paper has not.
    """

    width: int
    layers: int
    heads: int
    hidden: int
    vocabulary: int
    context: int = 512
    activation: str = "relu"
    eps: float = 1e-5
    tied: bool = True
    last_norms: bool = False

    def shapes(self) -> Shapes:
        """Name and shape of every parameter; one table serves both languages."""
        D = self.width
        shapes: Shapes = {"words.weight": (self.vocabulary, D)}
        for side in ("encoder", "decoder"):
            shapes |= stack_shapes(side, self.layers, D, self.hidden, side == "decoder")
            if self.last_norms:
                shapes |= {f"{side}.ln.{part}": (D,) for part in ("weight", "bias")}
        if self.tied:
            return shapes
        return shapes | {"output.weight": (self.vocabulary, D), "output.bias": (self.vocabulary,)}


def sinusoids(positions: Any, width: int, ops: Any) -> Any:
    r"""A sine and a cosine of every wavelength, side by side: N -> N D.

    $$p_{n,2i} = \sin(n\, b^{-2i/D}), \qquad p_{n,2i+1} = \cos(n\, b^{-2i/D})$$
    """
    angles = ops.rotary_angles(positions, width // 2, BASE)[..., None]  # N D/2 1
    return np.reshape(np.concatenate([np.sin(angles), np.cos(angles)], axis=-1), (-1, width))


def embed(
    ids: Any,
    positions: Any,
    params: Params,
    side: str,
    config: Translator,
    ops: Any = TEXT,
    tap: Tap = untouched,
) -> Any:
    """Scaled word embeddings plus positions: B N -> B N D."""
    words = np.sqrt(config.width) * params["words.weight"][ids]  # B N D
    return tap(f"{side}.tokens", words + sinusoids(positions, config.width, ops))


def last(x: Any, params: Params, side: str, config: Translator, ops: Any, tap: Tap) -> Any:
    """The norm after a stack, if there is one."""
    if not config.last_norms:
        return x
    return tap(f"{side}.ln", norm(x, params, f"{side}.ln", config.eps, ops))


def translator(
    source: Any,
    lengths: Any,
    source_positions: Any,
    ids: Any,
    positions: Any,
    params: Params,
    config: Translator,
    ops: Any = TEXT,
    tap: Tap = untouched,
    past: Past = None,
) -> Any:
    r"""Read a text, and score every word as the next one of its translation.

    $$m = \mathrm{Encoder}(\sqrt{D}\, W_e[s] + p), \qquad
    z = \mathrm{Decoder}(\sqrt{D}\, W_e[x] + p,\; m), \qquad \ell = z\, W_e^\top$$

    source: B M, token ids of the texts that are read.
    lengths: B, how many words each of them has; those behind are padding and seen by none.
    source_positions: M, where they stand, zero-based; as real numbers.
    ids: B N, token ids of the texts that are written.
    positions: N, where they stand.
    params: the arrays, under the names of `Translator.shapes`.
    config: sizes, heads, activation and epsilon.
    past: keys and values of the written words before these, from `cache.kept`.

    Returns B N V, logits; those of one place depend on what was written up to it, and on all that
    was read.

    Raises AxesError for ids that are no integers, outside the vocabulary, or too many.

    Elsewhere: PyTorch's `nn.Transformer` has a norm behind each stack, and leaves words, positions
    and head to others. The first code has all sines before all cosines, and no biases of attention;
    its later versions normalise first.

    Paper: Vaswani et al. 2017, "Attention Is All You Need", sections 3.1, 3.4 and 3.5.
    """
    first, read = seen_before(past), np.shape(source)[1]
    accept_ids("translator", source, config.context, config.vocabulary)
    accept_ids("translator", ids, config.context - first, config.vocabulary)
    seen = ops.padding_bias(lengths, read)  # B 1 1 M
    memory = embed(source, source_positions, params, "encoder", config, ops, tap)  # B M D
    for i in range(config.layers):
        memory = post_block(memory, params, f"encoder.layers.{i}", config, seen, ops, tap)
    memory = last(memory, params, "encoder", config, ops, tap)

    length = np.shape(ids)[1]
    bias = ops.causal_bias_lower_right(length, first + length)  # N M
    x = embed(ids, positions, params, "decoder", config, ops, tap)  # B N D
    for i in range(config.layers):
        name = f"decoder.layers.{i}"
        x = post_block(x, params, name, config, bias, ops, tap, memory, seen, past)
    x = last(x, params, "decoder", config, ops, tap)
    if config.tied:
        return tap("logits", ops.linear(x, params["words.weight"], None))  # B N V
    return tap("logits", dense(x, params, "output", ops))  # B N V
