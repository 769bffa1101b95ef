"""Llama and Qwen2: causal Transformers with rotary positions, shared keys and gated perceptrons."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from refimpl.models import TEXT, Params, Tap, untouched
from refimpl.models.cache import Past, after, seen_before
from refimpl.models.configs import Shapes, accept_ids
from refimpl.models.vit import join, split


@dataclass(frozen=True)
class Llama:
    """Sizes of a Llama or Qwen2; `gate` is the name of an operation.

    Every `heads // groups` heads share keys and values. `tied` makes the table of words the head,
    `qkv_bias` gives queries, keys and values a bias, as in Qwen2; `pairs` turns neighbours, as the
    paper and Meta's code do, and not halves.
    """

    width: int
    layers: int
    heads: int
    groups: int
    hidden: int
    context: int
    vocabulary: int
    base: float = 10000.0
    eps: float = 1e-5
    gate: str = "swiglu"
    tied: bool = False
    qkv_bias: bool = False
    pairs: bool = False

    @property
    def head(self) -> int:
        """How wide a head is."""
        return self.width // self.heads

    def shapes(self) -> Shapes:
        """Name and shape of every parameter."""
        shapes: Shapes = {"words.weight": (self.vocabulary, self.width)}
        for i in range(self.layers):
            shapes |= {f"layers.{i}.{part}": shape for part, shape in self._block().items()}
        shapes["norm.weight"] = (self.width,)
        return shapes if self.tied else shapes | {"head.weight": (self.vocabulary, self.width)}

    def _block(self) -> Shapes:
        D, shared = self.width, self.groups * self.head
        rows = {"q_proj": D, "k_proj": shared, "v_proj": shared}
        shapes: Shapes = {"ln_1.weight": (D,)}
        shapes |= {f"attn.{name}.weight": (out, D) for name, out in rows.items()}
        if self.qkv_bias:
            shapes |= {f"attn.{name}.bias": (out,) for name, out in rows.items()}
        shapes |= {"attn.out_proj.weight": (D, D), "ln_2.weight": (D,)}
        shapes |= {f"mlp.{name}.weight": (self.hidden, D) for name in ("gate", "up")}
        return shapes | {"mlp.down.weight": (D, self.hidden)}


GLASSLLM = Llama(128, 4, 4, 2, 341, 128, 1024, eps=1e-6, tied=True, pairs=True)  # it ships


def project(x: Any, params: Params, name: str, ops: Any) -> Any:
    """The linear layer whose weight carries this name, and its bias, where it has one."""
    return ops.linear(x, params[f"{name}.weight"], params.get(f"{name}.bias"))


def turn(x: Any, angles: Any, config: Llama, ops: Any) -> Any:
    """Queries or keys turned by their positions: B H N E -> B H N E."""
    if not config.pairs:
        return ops.rotary_embedding(x, angles)
    return ops.pairs_from_halves(ops.rotary_embedding(ops.halves_from_pairs(x), angles))


def shared_attention(
    x: Any,
    angles: Any,
    params: Params,
    name: str,
    config: Llama,
    ops: Any = TEXT,
    tap: Tap = untouched,
    past: Past = None,
) -> Any:
    """Causal attention in which groups of heads share keys and values, positions as turns.

    `past` holds the keys and values of the tokens before these, under the names that were told to
    the tap: what is told there is the cache of the next step.
    """
    H, G = config.heads, config.groups
    query, key, value = (
        tap(f"{name}.{part}", project(x, params, f"{name}.{part}", ops))
        for part in ("q_proj", "k_proj", "v_proj")
    )  # B N D, B N G*E twice
    query = turn(split(query, H), angles, config, ops)  # B H N E
    key = turn(split(key, G), angles, config, ops)  # B G N E
    query = tap(f"{name}.query", join(query))  # B N D
    key = tap(f"{name}.key", after(past, f"{name}.key", join(key)))  # B M G*E
    value = tap(f"{name}.value", after(past, f"{name}.value", value))  # B M G*E
    bias = ops.causal_bias_lower_right(x.shape[1], key.shape[1])  # N M
    mixed = ops.attention(split(query, H), split(key, G), split(value, G), bias)  # B H N E
    mixed = tap(f"{name}.mixed", join(mixed))  # B N D
    return project(mixed, params, f"{name}.out_proj", ops)


def llama_block(
    x: Any,
    angles: Any,
    params: Params,
    name: str,
    config: Llama,
    ops: Any = TEXT,
    tap: Tap = untouched,
    past: Past = None,
) -> Any:
    r"""One block: attention, then a gated perceptron, each added to the tokens.

    $$x' = x + \mathrm{Attn}(\mathrm{RMS}_1\, x), \qquad
    y = x' + W_d\,\bigl(\mathrm{silu}(W_g\, h) \odot W_u\, h\bigr), \quad h = \mathrm{RMS}_2\, x'$$
    """
    y = tap(f"{name}.ln_1", ops.rms_norm(x, params[f"{name}.ln_1.weight"], config.eps))  # B N D
    at = f"{name}.attn"
    y = tap(at, shared_attention(y, angles, params, at, config, ops, tap, past))
    x = tap(f"{name}.middle", x + y)

    y = tap(f"{name}.ln_2", ops.rms_norm(x, params[f"{name}.ln_2.weight"], config.eps))
    return tap(name, x + gated_perceptron(y, params, f"{name}.mlp", config.gate, ops, tap))


def gated_perceptron(
    x: Any, params: Params, name: str, gate: str, ops: Any = TEXT, tap: Tap = untouched
) -> Any:
    """Two projections, one of them a gate for the other, and a third one back: B N D."""
    opened, up = (
        tap(f"{name}.{part}", project(x, params, f"{name}.{part}", ops)) for part in ("gate", "up")
    )  # B N hidden
    y = tap(f"{name}.gated", getattr(ops, gate)(opened, up))
    return tap(f"{name}.down", project(y, params, f"{name}.down", ops))  # B N D


def llama_blocks(
    x: Any,
    angles: Any,
    params: Params,
    config: Llama,
    ops: Any = TEXT,
    tap: Tap = untouched,
    past: Past = None,
    before: Callable[[Any, int], Any] | None = None,
) -> Any:
    """All blocks on tokens, whatever they stand for, and the scores of words: B N D -> B N V.

    `before` is what becomes of the tokens before the block of a number.
    """
    for i in range(config.layers):
        x = before(x, i) if before else x
        x = llama_block(x, angles, params, f"layers.{i}", config, ops, tap, past)
    x = tap("norm", ops.rms_norm(x, params["norm.weight"], config.eps))  # B N D
    head = params["words.weight" if config.tied else "head.weight"]
    return tap("logits", ops.linear(x, head, None))  # B N V


def llama(
    ids: Any,
    positions: Any,
    params: Params,
    config: Llama,
    ops: Any = TEXT,
    tap: Tap = untouched,
    past: Past = None,
) -> Any:
    r"""Score every word as the next one, after each word of a text.

    $$z_0 = W_e[x], \qquad z_l = \mathrm{Block}_l(z_{l-1}, \theta), \qquad
    \ell = W\, \mathrm{RMS}(z_L)$$

    ids: B N, token ids.
    positions: N, where they stand in the text, zero-based; as real numbers.
    params: the arrays, under the names of `Llama.shapes`.
    config: sizes, gate, the base of the angles and epsilon.
    past: keys and values of the words before, from `cache.kept`; None for a text from its start.

    Returns B N V, logits; those of one place depend on the words up to it alone.

    Raises AxesError for ids that are no integers, outside the vocabulary, or too many.

    Elsewhere: Meta's checkpoints of Llama turn neighbours, transformers reorders the rows of their
    matrices for halves. Gemma multiplies the words by the root of the width, and gains by 1 + w.

    Paper: Touvron et al. 2023, "LLaMA: Open and Efficient Foundation Language Models", section 2.2;
    Yang et al. 2024, "Qwen2 Technical Report", section 2.2.1.
    """
    accept_ids("llama", ids, config.context - seen_before(past), config.vocabulary)
    x = tap("tokens", params["words.weight"][ids])  # B N D
    angles = ops.rotary_angles(positions, config.head // 2, config.base)  # N E/2
    return llama_blocks(x, angles, params, config, ops, tap, past)  # B N V
