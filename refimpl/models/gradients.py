"""The gradients of the image towers with respect to the image, by hand and without autograd.

Each function runs its model forward first, keeps every named value, and then goes back through the
same names: the gradient with respect to the value `visual.ln_pre` is called `visual.ln_pre.grad`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from refimpl.models import TEXT, Params, Tap, untouched
from refimpl.models.configs import Clip, Text, Vit
from refimpl.models.vit import join, split, vit

PARTS = ("query", "key", "value")


def norm_vjp(x: Any, params: Params, name: str, eps: float, grad: Any, ops: Any) -> Any:
    """Back through the layer norm whose gain carries this name."""
    return ops.layer_norm_vjp(x, params[f"{name}.weight"], eps, grad)[0]


def dense_vjp(x: Any, params: Params, name: str, grad: Any, ops: Any) -> Any:
    """Back through the linear layer whose weight carries this name."""
    return ops.linear_vjp(x, params[f"{name}.weight"], grad)[0]


def block_vjp(
    x: Any,
    params: Params,
    name: str,
    config: Vit | Text,
    bias: Any,
    grad: Any,
    kept: dict[str, Any],
    ops: Any = TEXT,
    tap: Tap = untouched,
) -> Any:
    r"""Back through one Transformer block: every sum passes the gradient on to both its parts.

    $$\bar x' = \bar y + J_{\mathrm{LN}_2}^\top W_1^\top \left(\varphi' \odot W_2^\top \lambda_2
    \bar y\right), \qquad
    \bar x = \bar x' + J_{\mathrm{LN}_1}^\top J_{\mathrm{MHA}}^\top \lambda_1 \bar x'$$

    x: B N D, what went into the block; kept: the values that `block` named on the way.
    grad: B N D, the gradient with respect to what came out.

    Returns B N D, the gradient with respect to x.
    """

    def back(part: str, grad: Any) -> Any:
        return tap(f"{name}.{part}.grad", grad)

    activation_vjp = getattr(ops, f"{config.activation}_vjp")
    g = back("mlp.c_proj", grad * params.get(f"{name}.ls_2.gamma", 1))
    hidden, inner = kept[f"{name}.mlp.activation"], kept[f"{name}.mlp.c_fc"]  # B N hidden
    g = back("mlp.activation", dense_vjp(hidden, params, f"{name}.mlp.c_proj", g, ops))
    g = back("mlp.c_fc", activation_vjp(inner, g))
    normal, middle = kept[f"{name}.ln_2"], kept[f"{name}.middle"]
    g = back("ln_2", dense_vjp(normal, params, f"{name}.mlp.c_fc", g, ops))  # B N D
    g = norm_vjp(middle, params, f"{name}.ln_2", config.eps, g, ops)
    through = back("middle", grad + g)

    g = back("attn", through * params.get(f"{name}.ls_1.gamma", 1))
    g = back("ln_1", self_attention_vjp(params, f"{name}.attn", config, bias, g, kept, ops, tap))
    return through + norm_vjp(x, params, f"{name}.ln_1", config.eps, g, ops)


def self_attention_vjp(
    params: Params,
    name: str,
    config: Vit | Text,
    bias: Any,
    grad: Any,
    kept: dict[str, Any],
    ops: Any = TEXT,
    tap: Tap = untouched,
) -> Any:
    """Back through the attention of tokens among themselves: the sum of what asks and answers."""
    mixed, heads = kept[f"{name}.mixed"], config.heads
    g = tap(f"{name}.mixed.grad", dense_vjp(mixed, params, f"{name}.out_proj", grad, ops))
    query, key, value = (split(kept[f"{name}.{part}"], heads) for part in PARTS)  # B H N E
    grads = ops.attention_vjp(query, key, value, bias, split(g, heads))[:3]
    named = zip(PARTS, grads, strict=True)
    joint = np.concatenate([tap(f"{name}.{part}.grad", join(g)) for part, g in named], axis=-1)
    normal = kept[name.removesuffix("attn") + "ln_1"]
    return ops.linear_vjp(normal, params[f"{name}.in_proj_weight"], joint)[0]  # B N D


def vit_vjp(
    images: Any,
    params: Params,
    config: Vit,
    grad: Any,
    ops: Any = TEXT,
    tap: Tap = untouched,
    at: str = "",
) -> Any:
    """Back through the Vision Transformer, from its pooled vector to the pixels.

    grad: B D, the gradient with respect to what `vit` returns.

    Returns B channels image image, the gradient with respect to the images.

    Raises AxesError for images of another size than the configuration's.

    Paper: Dosovitskiy et al. 2021, "An Image is Worth 16x16 Words: Transformers for Image
    Recognition at Scale", equations 1 to 4 differentiated.
    """
    kept: dict[str, Any] = {}

    def keep(name: str, x: Any) -> Any:
        kept[name] = tap(name, x)
        return kept[name]

    vit(images, params, config, ops, keep, at)
    blocks = [f"{at}transformer.resblocks.{i}" for i in range(config.layers)]
    first = f"{at}ln_pre" if config.pre_norm else f"{at}tokens"
    grad = tap(f"{at}ln_post.grad", pool_vjp(grad, config.tokens, config.class_token))  # B N+1 D
    last = kept[blocks[-1] if blocks else first]
    grad = norm_vjp(last, params, f"{at}ln_post", config.eps, grad, ops)
    for name, before in zip(reversed(blocks), reversed([first, *blocks[:-1]]), strict=True):
        grad = tap(f"{name}.grad", grad)
        grad = block_vjp(kept[before], params, name, config, None, grad, kept, ops, tap)
    if config.pre_norm:
        grad = tap(f"{at}ln_pre.grad", grad)
        grad = norm_vjp(kept[f"{at}tokens"], params, f"{at}ln_pre", config.eps, grad, ops)
    grad = tap(f"{at}tokens.grad", grad)
    if config.class_token:
        grad = ops.vit_tokens_vjp(grad)[0]  # B N D
    grad = tap(f"{at}patches.grad", grad)
    grad = ops.patch_embed_vjp(images, params[f"{at}conv1.weight"], grad)[0]
    return tap(f"{at}images.grad", grad)  # B channels image image


def pool_vjp(grad: Any, tokens: int, class_token: bool) -> Any:
    """The gradient of all tokens, where the first was taken or the mean: B D -> B N D."""
    B, D = grad.shape
    if not class_token:
        return np.broadcast_to(grad[:, None] / tokens, (B, tokens, D))
    others = np.zeros((B, tokens - 1, D), dtype=getattr(grad, "dtype", np.float64))
    return np.concatenate((grad[:, None], others), axis=1)


def clip_image_vjp(
    images: Any,
    params: Params,
    config: Clip,
    grad: Any,
    ops: Any = TEXT,
    tap: Tap = untouched,
) -> Any:
    """Back through the image tower of CLIP, from its features to the pixels.

    grad: B embed, the gradient with respect to what `clip_image` returns; that of the logits of
        image and text is the first result of `clip_logits_vjp`.

    Returns B channels image image, the gradient with respect to the normalised images.

    Raises AxesError for images of another size than the configuration's; TypeError for a CLIP
    with a ResNet.

    Paper: Crowson et al. 2022, "VQGAN-CLIP: Open domain image generation and editing with natural
    language guidance", section 3.
    """
    if not isinstance(config.vision, Vit):
        raise TypeError("clip_image_vjp: has no gradient of a ResNet")
    grad = tap("visual.pooled.grad", grad @ params["visual.proj"].T)  # B D
    return vit_vjp(images, params, config.vision, grad, ops, tap, "visual.")


def vit_logits_vjp(
    images: Any,
    params: Params,
    config: Vit,
    grad: Any,
    ops: Any = TEXT,
    tap: Tap = untouched,
) -> Any:
    """Back through the Vision Transformer with its linear head, as classifier guidance needs it.

    grad: B classes, the gradient with respect to the logits.

    Returns B channels image image, the gradient with respect to the images.
    """
    grad = tap("pooled.grad", grad @ params["head.weight"])  # B D
    return vit_vjp(images, params, config, grad, ops, tap)
