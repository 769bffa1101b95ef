"""The Vision Transformer, as one prints it: blocks that add to a stream of tokens."""

from __future__ import annotations

from typing import Any

import numpy as np

from refimpl.models import TEXT, Params, Tap, untouched
from refimpl.models.cache import Past, after
from refimpl.models.configs import Blocks, Vit


def norm(x: Any, params: Params, name: str, eps: float, ops: Any) -> Any:
    """The layer norm whose gain and bias carry this name."""
    return ops.layer_norm(x, params[f"{name}.weight"], params[f"{name}.bias"], eps)


def dense(x: Any, params: Params, name: str, ops: Any) -> Any:
    """The linear layer whose weight and bias carry this name."""
    return ops.linear(x, params[f"{name}.weight"], params[f"{name}.bias"])


def layer_scale(x: Any, params: Params, name: str) -> Any:
    """Each channel times the scale that carries this name; most models have none."""
    gamma = params.get(f"{name}.gamma")
    return x if gamma is None else gamma * x


def self_attention(
    x: Any,
    params: Params,
    name: str,
    heads: int,
    bias: Any = None,
    ops: Any = TEXT,
    tap: Tap = untouched,
    past: Past = None,
) -> Any:
    """The operation `multi_head_attention` of tokens among themselves, each step with its name.

    With a past, its keys and values stand before those of these tokens.
    """
    joint = ops.linear(x, params[f"{name}.in_proj_weight"], params[f"{name}.in_proj_bias"])
    parts = zip(("query", "key", "value"), thirds(joint), strict=True)
    whole = (tap(f"{name}.{part}", after(past, f"{name}.{part}", y)) for part, y in parts)
    query, key, value = (split(y, heads) for y in whole)  # B H N E
    mixed = tap(f"{name}.mixed", join(ops.attention(query, key, value, bias)))  # B N D
    return dense(mixed, params, f"{name}.out_proj", ops)


def thirds(x: Any) -> list:
    """Packed queries, keys and values, split: B N 3*D -> B N D each."""
    D = x.shape[-1] // 3
    return [x[..., i * D : (i + 1) * D] for i in range(3)]


def split(x: Any, heads: int) -> Any:
    """Heads side by side, each given an axis entry of its own: B N H*E -> B H N E."""
    B, N, D = x.shape
    return np.swapaxes(np.reshape(x, (B, N, heads, D // heads)), 1, 2)


def join(x: Any) -> Any:
    """Heads put side by side again: B H N E -> B N H*E."""
    B, H, N, E = x.shape
    return np.reshape(np.swapaxes(x, 1, 2), (B, N, H * E))


def block(
    x: Any,
    params: Params,
    name: str,
    config: Blocks,
    bias: Any = None,
    ops: Any = TEXT,
    tap: Tap = untouched,
    past: Past = None,
) -> Any:
    r"""One pre-norm Transformer block: attention, then a perceptron, each added to the tokens.

    $$x' = x + \lambda_1\, \mathrm{MHA}(\mathrm{LN}_1\, x), \qquad
    y = x' + \lambda_2\, W_2\, \varphi(W_1\, \mathrm{LN}_2\, x' + b_1) + b_2$$

    x: B N D, the tokens.
    params: the arrays; those of this block are named `name.attn.in_proj_weight` and so on; where
        there are `name.ls_1.gamma` and `name.ls_2.gamma`, they are the scales λ, else 1.
    config: heads, activation φ and epsilon.
    bias: broadcastable to B H N N, added to the scores of attention; None hides nothing.
    past: keys and values of the tokens before these, if any.

    Returns B N D, the tokens.

    Elsewhere: the first Transformer and BERT normalise after adding (post-norm).

    Paper: Dosovitskiy et al. 2021, "An Image is Worth 16x16 Words: Transformers for Image
    Recognition at Scale", equations 2 and 3; λ: Touvron et al. 2021, "Going deeper with Image
    Transformers", equation 4.
    """
    y = tap(f"{name}.ln_1", norm(x, params, f"{name}.ln_1", config.eps, ops))
    at, heads = f"{name}.attn", config.heads
    y = tap(at, self_attention(y, params, at, heads, bias, ops, tap, past))
    x = tap(f"{name}.middle", x + layer_scale(y, params, f"{name}.ls_1"))

    y = tap(f"{name}.ln_2", norm(x, params, f"{name}.ln_2", config.eps, ops))
    y = tap(f"{name}.mlp.c_fc", dense(y, params, f"{name}.mlp.c_fc", ops))  # B N hidden
    y = tap(f"{name}.mlp.activation", getattr(ops, config.activation)(y))
    y = tap(f"{name}.mlp.c_proj", dense(y, params, f"{name}.mlp.c_proj", ops))  # B N D
    return tap(name, x + layer_scale(y, params, f"{name}.ls_2"))


def transformer(
    x: Any,
    params: Params,
    at: str,
    config: Blocks,
    bias: Any = None,
    ops: Any = TEXT,
    tap: Tap = untouched,
    wanted: int | None = None,
    past: Past = None,
) -> Any:
    """One block after the other; `at` is written before the names of all parameters.

    Where `ops` has a `transformer` of its own, as `refimpl.models.compiled` has, it is asked, and
    may leave out the tokens behind the first `wanted` of the last block; so is its `step` for one
    token behind others.
    """
    if past and np.shape(x)[1] == 1 and hasattr(ops, "step"):
        return ops.step(x, params, at, config, bias, tap, past)
    whole = getattr(ops, "transformer", None)
    if whole is not None and not past:
        last = f"{at}transformer.resblocks.{config.layers - 1}"
        return tap(last, whole(x, params, at, config, bias, wanted))
    for i in range(config.layers):
        x = block(x, params, f"{at}transformer.resblocks.{i}", config, bias, ops, tap, past)
    return x


def vit_features(
    images: Any,
    params: Params,
    config: Vit,
    ops: Any = TEXT,
    tap: Tap = untouched,
    at: str = "",
    wanted: int | None = None,
) -> Any:
    """What the last block of a Vision Transformer says of every token: B N D."""
    config.accept(images)
    kernel, bias = params[f"{at}conv1.weight"], params.get(f"{at}conv1.bias")
    x = tap(f"{at}patches", ops.patch_embed(images, kernel, bias))  # B N D
    positions = params[f"{at}positional_embedding"]
    if config.class_token:
        x = ops.vit_tokens(x, params[f"{at}class_embedding"], positions)  # B N+1 D
    else:
        x = x + positions
    x = tap(f"{at}tokens", x)
    if config.pre_norm:
        x = tap(f"{at}ln_pre", norm(x, params, f"{at}ln_pre", config.eps, ops))
    return transformer(x, params, at, config, None, ops, tap, wanted)


def vit(
    images: Any,
    params: Params,
    config: Vit,
    ops: Any = TEXT,
    tap: Tap = untouched,
    at: str = "",
) -> Any:
    r"""The Vision Transformer up to its pooled vector: patches, positions, blocks, layer norm.

    $$z_0 = [x_{\mathrm{class}};\; E x^1;\; \dots;\; E x^N] + E_{\mathrm{pos}}, \qquad
    z_l = \mathrm{Block}_l(z_{l-1}), \qquad y = \mathrm{LN}(z_L)_0$$

    images: B channels image image, normalised pixels.
    params: the arrays, under OpenAI's names, each with `at` before it.
    config: sizes, activation and epsilon; without a class token y is the mean of all tokens.

    Returns B D, one vector for each image.

    Raises AxesError for images of another size than the configuration's.

    Elsewhere: CLIP has a layer norm before the first block and no bias of the patch embedding.
    MAE averages the patches first and normalises their mean. The first code of ViT uses gelu_tanh.

    Paper: Dosovitskiy et al. 2021, "An Image is Worth 16x16 Words: Transformers for Image
    Recognition at Scale", equations 1 to 4.
    """
    wanted = 1 if config.class_token else None
    x = vit_features(images, params, config, ops, tap, at, wanted)  # B N D
    x = tap(f"{at}ln_post", norm(x, params, f"{at}ln_post", config.eps, ops))
    return tap(f"{at}pooled", x[:, 0] if config.class_token else np.mean(x, axis=1))  # B D


def vit_logits(
    images: Any, params: Params, config: Vit, ops: Any = TEXT, tap: Tap = untouched
) -> Any:
    """The Vision Transformer with its linear head, if it has one: -> B classes, else B D."""
    pooled = vit(images, params, config, ops, tap)  # B D
    return tap("logits", dense(pooled, params, "head", ops)) if config.classes else pooled
