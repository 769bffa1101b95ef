"""T5: an encoder and a decoder with relative positions, added to the scores of attention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from refimpl.models import TEXT, Params, Tap, untouched
from refimpl.models.cache import Past, after, seen_before
from refimpl.models.configs import Shapes, accept_ids
from refimpl.models.vit import join, split


@dataclass(frozen=True)
class T5:
    """Sizes of a T5; `layers` are those of the encoder and as many of the decoder.

    Heads are `head` wide, whatever the width. With a `gate`, the name of an operation, perceptrons
    have two projections, and the head is a matrix of its own, as in version 1.1.
    """

    width: int
    layers: int
    heads: int
    head: int
    hidden: int
    vocabulary: int = 32128
    buckets: int = 32
    max_distance: int = 128
    eps: float = 1e-6
    activation: str = "relu"
    gate: str = ""
    tied: bool = True

    def shapes(self) -> Shapes:
        """Name and shape of every parameter; there are no biases."""
        shapes: Shapes = {"shared.weight": (self.vocabulary, self.width)}
        for side in ("encoder", "decoder"):
            shapes[f"{side}.relative.weight"] = (self.buckets, self.heads)
            block = self._block(side == "decoder")
            for i in range(self.layers):
                shapes |= {f"{side}.layers.{i}.{part}": shape for part, shape in block.items()}
            shapes[f"{side}.ln.weight"] = (self.width,)
        return shapes if self.tied else shapes | {"head.weight": (self.vocabulary, self.width)}

    def _block(self, reads: bool) -> Shapes:
        D, inner = self.width, self.heads * self.head
        shapes: Shapes = {}
        for part, norm in (("attn", "ln_1"), ("cross", "ln_cross"))[: 1 + reads]:
            shapes[f"{norm}.weight"] = (D,)
            shapes[f"{part}.in_proj_weight"] = (3 * inner, D)
            shapes[f"{part}.out_proj.weight"] = (D, inner)
        into = ("wi_0", "wi_1") if self.gate else ("wi",)
        shapes |= {"ln_2.weight": (D,)} | {f"mlp.{name}.weight": (self.hidden, D) for name in into}
        return shapes | {"mlp.wo.weight": (D, self.hidden)}


def scale(x: Any, params: Params, name: str, config: T5, ops: Any) -> Any:
    """The norm whose gain carries this name."""
    return ops.rms_norm(x, params[f"{name}.weight"], config.eps)


def unscaled_attention(
    x: Any,
    memory: Any,
    params: Params,
    name: str,
    config: T5,
    bias: Any,
    ops: Any = TEXT,
    tap: Tap = untouched,
    past: Past = None,
) -> Any:
    """Attention to a memory, or self-attention, without scaling of the scores."""
    weight, inner = params[f"{name}.in_proj_weight"], config.heads * config.head
    given = {"query": x, "key": memory, "value": memory}
    whole = []
    for i, (part, y) in enumerate(given.items()):
        y = ops.linear(y, weight[i * inner : (i + 1) * inner], None)  # B M H*E
        whole.append(split(tap(f"{name}.{part}", after(past, f"{name}.{part}", y)), config.heads))
    query, key, value = whole  # B H N E, B H M E twice
    scores = query @ np.swapaxes(key, 2, 3)  # B H N M
    scores = scores if bias is None else scores + bias
    mixed = tap(f"{name}.mixed", join(ops.softmax(scores) @ value))  # B N H*E
    return ops.linear(mixed, params[f"{name}.out_proj.weight"], None)  # B N D


def perceptron(
    x: Any, params: Params, name: str, config: T5, ops: Any = TEXT, tap: Tap = untouched
) -> Any:
    """Two linear layers, or three with a gate, each token by itself."""
    if config.gate:
        gate, up = (
            tap(f"{name}.{part}", ops.linear(x, params[f"{name}.{part}.weight"], None))
            for part in ("wi_0", "wi_1")
        )  # B N hidden
        y = tap(f"{name}.gated", getattr(ops, config.gate)(gate, up))
    else:
        y = tap(f"{name}.wi", ops.linear(x, params[f"{name}.wi.weight"], None))  # B N hidden
        y = tap(f"{name}.activation", getattr(ops, config.activation)(y))
    return tap(name, ops.linear(y, params[f"{name}.wo.weight"], None))  # B N D


def t5_block(
    x: Any,
    params: Params,
    name: str,
    config: T5,
    bias: Any,
    ops: Any = TEXT,
    tap: Tap = untouched,
    memory: Any = None,
    memory_bias: Any = None,
    past: Past = None,
) -> Any:
    r"""One block: self-attention, cross-attention and a perceptron, each added to the tokens.

    $$x' = x + \mathrm{Attn}(\mathrm{RMS}_1\, x), \qquad
    x'' = x' + \mathrm{Attn}(\mathrm{RMS}\, x', m), \qquad
    y = x'' + \mathrm{FFN}(\mathrm{RMS}_2\, x'')$$
    """
    y = tap(f"{name}.ln_1", scale(x, params, f"{name}.ln_1", config, ops))  # B N D
    at = f"{name}.attn"
    y = tap(at, unscaled_attention(y, y, params, at, config, bias, ops, tap, past))
    x = tap(f"{name}.added_1", x + y)

    if memory is not None:
        y = tap(f"{name}.ln_cross", scale(x, params, f"{name}.ln_cross", config, ops))
        at = f"{name}.cross"
        y = tap(at, unscaled_attention(y, memory, params, at, config, memory_bias, ops, tap))
        x = tap(f"{name}.added_cross", x + y)

    y = tap(f"{name}.ln_2", scale(x, params, f"{name}.ln_2", config, ops))
    return tap(name, x + perceptron(y, params, f"{name}.mlp", config, ops, tap))


def encode(
    source: Any, seen: Any, params: Params, config: T5, ops: Any = TEXT, tap: Tap = untouched
) -> Any:
    """The encoder of T5: B M -> B M D."""
    places = np.arange(np.shape(source)[1])  # M
    buckets = ops.relative_buckets(places, places, config.buckets, config.max_distance)  # M M
    bias = ops.relative_bias(params["encoder.relative.weight"], buckets) + seen  # B H M M
    x = tap("encoder.tokens", params["shared.weight"][source])  # B M D
    for i in range(config.layers):
        x = t5_block(x, params, f"encoder.layers.{i}", config, bias, ops, tap)
    return tap("encoder.ln", scale(x, params, "encoder.ln", config, ops))


def t5(
    source: Any,
    lengths: Any,
    ids: Any,
    params: Params,
    config: T5,
    ops: Any = TEXT,
    tap: Tap = untouched,
    past: Past = None,
) -> Any:
    r"""Read a text, and score every word as the next one of the output.

    $$m = \mathrm{Encoder}(s), \qquad z = \mathrm{Decoder}(x, m), \qquad
    \ell = D^{-1/2}\, z\, W_e^\top \quad\text{or}\quad \ell = z\, W^\top$$

    source: B M, token ids of the texts that are read.
    lengths: B, how many words each of them has; those behind are padding and seen by none.
    ids: B N, token ids of the texts that are written, begun by the id 0.
    params: the arrays, under the names of `T5.shapes`; blocks share the numbers that stand for
        distances, and those of the memory have none.
    config: sizes, heads, gate and epsilon.
    past: keys and values of the written words before these, from `cache.kept`.

    Returns B N V, logits; those of one place depend on what was written up to it, and on all that
    was read.

    Raises AxesError for ids that are no integers or outside the vocabulary.

    Elsewhere: transformers 5 ties the head of every T5 that it builds from a configuration, and
    then multiplies by 1/√D where the configuration says so.

    Paper: Raffel et al. 2020, "Exploring the Limits of Transfer Learning with a Unified
    Text-to-Text Transformer", section 2.1; the gate: Shazeer 2020, "GLU Variants Improve
    Transformer".
    """
    first, (read, length) = seen_before(past), (np.shape(x)[-1] for x in (source, ids))
    accept_ids("t5", source, read, config.vocabulary)
    accept_ids("t5", ids, length, config.vocabulary)
    seen = ops.padding_bias(lengths, read)  # B 1 1 M
    memory = encode(source, seen, params, config, ops, tap)  # B M D

    places = np.arange(first + length)  # M
    how = config.buckets, config.max_distance
    buckets = ops.relative_buckets_causal(places[first:], places, *how)  # N M
    bias = ops.relative_bias(params["decoder.relative.weight"], buckets)  # H N M
    bias = bias + ops.causal_bias_lower_right(length, first + length)
    x = tap("decoder.tokens", params["shared.weight"][ids])  # B N D
    for i in range(config.layers):
        name = f"decoder.layers.{i}"
        x = t5_block(x, params, name, config, bias, ops, tap, memory, seen, past)
    x = tap("decoder.ln", scale(x, params, "decoder.ln", config, ops))  # B N D
    if config.tied:
        return tap("logits", ops.linear(x / np.sqrt(config.width), params["shared.weight"], None))
    return tap("logits", ops.linear(x, params["head.weight"], None))  # B N V
