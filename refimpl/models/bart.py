"""BART: an encoder that reads a damaged text, and a decoder that writes the whole one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from refimpl.models import TEXT, Params, Tap, untouched
from refimpl.models.cache import Past, seen_before
from refimpl.models.configs import Shapes, accept_ids
from refimpl.models.post_norm import post_block, stack_shapes
from refimpl.models.vit import norm

OFFSET = 2  # rows of the tables of positions before the first one


@dataclass(frozen=True)
class Bart:
    """Sizes of a BART; `layers` are those of the encoder and as many of the decoder."""

    width: int
    layers: int
    heads: int
    hidden: int
    context: int = 1024
    vocabulary: int = 50265
    activation: str = "gelu"
    eps: float = 1e-5

    def shapes(self) -> Shapes:
        """Name and shape of every parameter; the table of words serves three times."""
        shapes: Shapes = {
            "shared.weight": (self.vocabulary, self.width),
            "final_logits_bias": (self.vocabulary,),
        }
        for side in ("encoder", "decoder"):
            shapes[f"{side}.embed_positions.weight"] = (self.context + OFFSET, self.width)
            shapes |= {f"{side}.ln_embeddings.{p}": (self.width,) for p in ("weight", "bias")}
            reads = side == "decoder"
            shapes |= stack_shapes(side, self.layers, self.width, self.hidden, reads)
        return shapes


def bart(
    source: Any,
    lengths: Any,
    ids: Any,
    params: Params,
    config: Bart,
    ops: Any = TEXT,
    tap: Tap = untouched,
    past: Past = None,
) -> Any:
    r"""Read a text, and score every word as the next one of the output.

    $$m = \mathrm{Encoder}(s), \qquad z = \mathrm{Decoder}(x, m), \qquad
    \ell = z\, W_e^\top + b$$

    source: B M, token ids of the texts that are read.
    lengths: B, how many words each of them has; those behind are padding and seen by none.
    ids: B N, token ids of the texts that are written, begun by the id 2.
    params: the arrays, under the names of `Bart.shapes`.
    config: sizes, heads, activation and epsilon.
    past: keys and values of the written words before these, from `cache.kept`.

    Returns B N V, logits; those of one place depend on what was written up to it, and on all that
    was read.

    Raises AxesError for ids that are no integers, outside the vocabulary, or too many.

    Elsewhere: fairseq and transformers keep the tables of positions with two unused rows before the
    first. The bias of the scores is zero, and no parameter, in published models.

    Paper: Lewis et al. 2020, "BART: Denoising Sequence-to-Sequence Pre-training for Natural
    Language Generation, Translation, and Comprehension", section 2.1.
    """
    first, read = seen_before(past), np.shape(source)[1]
    accept_ids("bart", source, config.context, config.vocabulary)
    accept_ids("bart", ids, config.context - first, config.vocabulary)
    seen = ops.padding_bias(lengths, read)  # B 1 1 M
    memory = embed(source, 0, params, "encoder", config, ops, tap)  # B M D
    for i in range(config.layers):
        memory = post_block(memory, params, f"encoder.layers.{i}", config, seen, ops, tap)

    length = np.shape(ids)[1]
    bias = ops.causal_bias_lower_right(length, first + length)  # N M
    x = embed(ids, first, params, "decoder", config, ops, tap)  # B N D
    for i in range(config.layers):
        name = f"decoder.layers.{i}"
        x = post_block(x, params, name, config, bias, ops, tap, memory, seen, past)
    return tap("logits", ops.linear(x, params["shared.weight"], params["final_logits_bias"]))


def embed(
    ids: Any,
    first: int,
    params: Params,
    side: str,
    config: Bart,
    ops: Any = TEXT,
    tap: Tap = untouched,
) -> Any:
    """Words and positions, normalised together: B N -> B N D."""
    start = OFFSET + first
    positions = params[f"{side}.embed_positions.weight"][start : start + np.shape(ids)[1]]  # N D
    x = tap(f"{side}.added", params["shared.weight"][ids] + positions)  # B N D
    name = f"{side}.ln_embeddings"
    return tap(name, norm(x, params, name, config.eps, ops))
