"""Transformer blocks that normalise what they have added, as the first Transformer's do."""

from __future__ import annotations

from typing import Any

from refimpl.models import TEXT, Params, Tap, untouched
from refimpl.models.cache import Past
from refimpl.models.configs import Blocks, Shapes, attention_shapes, block_shapes
from refimpl.models.vit import dense, join, norm, self_attention, split


def cross_attention(
    x: Any,
    memory: Any,
    params: Params,
    name: str,
    heads: int,
    bias: Any = None,
    ops: Any = TEXT,
    tap: Tap = untouched,
) -> Any:
    """Attention of tokens to a memory: queries of x, keys and values of the memory.

    The three matrices stand one above the other, as those of `self_attention` do.
    """
    weight, offset = params[f"{name}.in_proj_weight"], params[f"{name}.in_proj_bias"]
    D = weight.shape[0] // 3
    given = {"query": x, "key": memory, "value": memory}
    parts = (
        tap(f"{name}.{part}", ops.linear(y, weight[i : i + D], offset[i : i + D]))
        for (part, y), i in zip(given.items(), (0, D, 2 * D), strict=True)
    )
    query, key, value = (split(y, heads) for y in parts)  # B H N E, B H M E twice
    mixed = tap(f"{name}.mixed", join(ops.attention(query, key, value, bias)))  # B N D
    return dense(mixed, params, f"{name}.out_proj", ops)


def perceptron(
    x: Any, params: Params, name: str, config: Blocks, ops: Any = TEXT, tap: Tap = untouched
) -> Any:
    """Two linear layers and what is between them, each token by itself."""
    y = tap(f"{name}.c_fc", dense(x, params, f"{name}.c_fc", ops))  # B N hidden
    y = tap(f"{name}.activation", getattr(ops, config.activation)(y))
    return tap(f"{name}.c_proj", dense(y, params, f"{name}.c_proj", ops))  # B N D


def post_block(
    x: Any,
    params: Params,
    name: str,
    config: Blocks,
    bias: Any = None,
    ops: Any = TEXT,
    tap: Tap = untouched,
    memory: Any = None,
    memory_bias: Any = None,
    past: Past = None,
) -> Any:
    r"""One post-norm Transformer block, of an encoder, or of a decoder that reads a memory.

    $$x' = \mathrm{LN}_1(x + \mathrm{MHA}(x, x)), \qquad
    x'' = \mathrm{LN}(x' + \mathrm{MHA}(x', m)), \qquad
    y = \mathrm{LN}_2(x'' + W_2\, \varphi(W_1 x'' + b_1) + b_2)$$

    x: B N D, the tokens.
    params: the arrays; those of this block are named `name.attn.in_proj_weight` and so on.
    config: heads, activation φ and epsilon.
    bias: broadcastable to B H N N, added to the scores among tokens; None hides nothing.
    memory: B M D, what an encoder gives; None leaves out the line in the middle.
    memory_bias: broadcastable to B H N M, added to the scores of the memory.
    past: keys and values of the tokens before these, if any.

    Returns B N D, the tokens.

    Elsewhere: GPT-2, ViT and most models since normalise before each half of a block (pre-norm).

    Paper: Vaswani et al. 2017, "Attention Is All You Need", section 3.1.
    """
    at, heads = f"{name}.attn", config.heads
    y = tap(at, self_attention(x, params, at, heads, bias, ops, tap, past))
    x = tap(f"{name}.added_1", x + y)
    x = tap(f"{name}.ln_1", norm(x, params, f"{name}.ln_1", config.eps, ops))

    if memory is not None:
        at = f"{name}.cross"
        y = tap(at, cross_attention(x, memory, params, at, heads, memory_bias, ops, tap))
        x = tap(f"{name}.added_cross", x + y)
        x = tap(f"{name}.ln_cross", norm(x, params, f"{name}.ln_cross", config.eps, ops))

    y = perceptron(x, params, f"{name}.mlp", config, ops, tap)
    x = tap(f"{name}.added_2", x + y)
    return tap(f"{name}.ln_2", norm(x, params, f"{name}.ln_2", config.eps, ops))


def stack_shapes(at: str, layers: int, width: int, hidden: int, reads: bool) -> Shapes:
    """The parameters of all blocks of an encoder, or of a decoder, which reads a memory."""
    shapes: Shapes = {}
    for i in range(layers):
        name = f"{at}.layers.{i}"
        shapes |= block_shapes(name, width, hidden)
        if reads:
            shapes |= attention_shapes(f"{name}.cross", width, width)
            shapes |= {f"{name}.ln_cross.{part}": (width,) for part in ("weight", "bias")}
    return shapes
