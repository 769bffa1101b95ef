"""The gradients of the image towers with respect to the image, by hand and without autograd.

Each function runs its model forward first, keeps every named value, and then goes back through the
same names: the gradient with respect to the value `visual.ln_pre` is called `visual.ln_pre.grad`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from refimpl.models import TEXT, Params, Tap, untouched, zeros
from refimpl.models.configs import Clip, ResNet, Text, Vit
from refimpl.models.resnet import conv2d, resnet
from refimpl.models.vit import join, layer_scale, split, vit

PARTS = ("query", "key", "value")


def norm_vjp(x: Any, params: Params, name: str, eps: float, grad: Any, ops: Any) -> Any:
    """Back through the layer norm whose gain carries this name."""
    return ops.layer_norm_vjp(x, params[f"{name}.weight"], eps, grad)[0]


def dense_vjp(params: Params, name: str, grad: Any, ops: Any) -> Any:
    """Back through the linear layer whose weight carries this name: a linear layer as well."""
    return ops.linear(grad, np.swapaxes(params[f"{name}.weight"], 0, 1), None)


def keeper(kept: dict[str, Any], tap: Tap) -> Tap:
    """A tap that keeps what another tap makes of every value."""

    def keep(name: str, x: Any) -> Any:
        kept[name] = tap(name, x)
        return kept[name]

    return keep


def block_vjp(
    x: Any,
    params: Params,
    name: str,
    config: Vit | Text,
    bias: Any,
    grad: Any,
    kept: Mapping[str, Any],
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
    g = back("mlp.c_proj", layer_scale(grad, params, f"{name}.ls_2"))
    g = back("mlp.activation", dense_vjp(params, f"{name}.mlp.c_proj", g, ops))  # B N hidden
    g = back("mlp.c_fc", activation_vjp(kept[f"{name}.mlp.c_fc"], g))
    g = back("ln_2", dense_vjp(params, f"{name}.mlp.c_fc", g, ops))  # B N D
    g = norm_vjp(kept[f"{name}.middle"], params, f"{name}.ln_2", config.eps, g, ops)
    through = back("middle", grad + g)

    g = back("attn", layer_scale(through, params, f"{name}.ls_1"))
    g = back("ln_1", self_attention_vjp(params, f"{name}.attn", config, bias, g, kept, ops, tap))
    return through + norm_vjp(x, params, f"{name}.ln_1", config.eps, g, ops)


def self_attention_vjp(
    params: Params,
    name: str,
    config: Vit | Text,
    bias: Any,
    grad: Any,
    kept: Mapping[str, Any],
    ops: Any = TEXT,
    tap: Tap = untouched,
) -> Any:
    """Back through self-attention: the sum of the gradients of both arguments."""
    heads = config.heads
    g = tap(f"{name}.mixed.grad", dense_vjp(params, f"{name}.out_proj", grad, ops))
    query, key, value = (split(kept[f"{name}.{part}"], heads) for part in PARTS)  # B H N E
    grads = ops.attention_vjp(query, key, value, bias, split(g, heads))[:3]
    named = zip(PARTS, grads, strict=True)
    joint = np.concatenate([tap(f"{name}.{part}.grad", join(g)) for part, g in named], axis=-1)
    turned = np.swapaxes(params[f"{name}.in_proj_weight"], 0, 1)  # D 3*D
    return ops.linear(joint, turned, None)  # B N D


def vit_vjp(
    images: Any,
    params: Params,
    config: Vit,
    grad: Any,
    ops: Any = TEXT,
    tap: Tap = untouched,
    at: str = "",
    kept: Mapping[str, Any] | None = None,
) -> Any:
    """Back through the Vision Transformer, from its pooled vector to the pixels.

    grad: B D, the gradient with respect to what `vit` returns.
    kept: what a `recorder` kept of `vit` on these images; it runs once more without.

    Returns B channels image image, the gradient with respect to the images.

    Raises AxesError for images of another size than the configuration's.

    Paper: Dosovitskiy et al. 2021, "An Image is Worth 16x16 Words: Transformers for Image
    Recognition at Scale", equations 1 to 4 differentiated.
    """
    if kept is None:
        kept, ops = {}, getattr(ops, "Remembering", lambda: ops)()
        vit(images, params, config, ops, keeper(kept, tap), at)
    blocks = [f"{at}transformer.resblocks.{i}" for i in range(config.layers)]
    first = f"{at}ln_pre" if config.pre_norm else f"{at}tokens"
    last = kept[blocks[-1] if blocks else first]  # B N+1 D
    grad = tap(f"{at}ln_post.grad", pool_vjp(grad, last.shape[1], config.class_token))  # B N+1 D
    grad = norm_vjp(last, params, f"{at}ln_post", config.eps, grad, ops)
    whole = getattr(ops, "transformer_vjp", None)
    if whole is not None:  # `compiled.Remembering`, which has kept what the blocks need
        grad, blocks = whole(grad), []
    for name, before in zip(reversed(blocks), reversed([first, *blocks][:-1]), strict=True):
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
    return np.concatenate((grad[:, None], zeros((B, tokens - 1, D), grad)), axis=1)


def vit_logits_vjp(
    images: Any,
    params: Params,
    config: Vit,
    grad: Any,
    ops: Any = TEXT,
    tap: Tap = untouched,
) -> Any:
    """Back through the Vision Transformer with its linear head, as classifier guidance needs it.

    grad: B classes, the gradient with respect to the logits; B D where there is no head.

    Returns B channels image image, the gradient with respect to the images.
    """
    if config.classes:
        grad = tap("pooled.grad", grad @ params["head.weight"])  # B D
    return vit_vjp(images, params, config, grad, ops, tap)


def conv2d_vjp(grad: Any, weight: Any, stride: int, shape: tuple, ops: Any = TEXT) -> Any:
    r"""Back through a convolution: the gradient, spread out, under the kernel turned about.

    $$\bar x_{b,k,u,v} = \sum_{o,i,j} W_{okij}\, \bar y_{b,\, o,\, (u + p - i) / s,\,
    (v + p - j) / s}$$

    over the i and j for which both quotients are whole. shape: that of x.
    """
    for axis in (2, 3):
        grad = spread(grad, stride, shape[axis], axis)  # B O height width
    return conv2d(grad, np.swapaxes(weight[:, :, ::-1, ::-1], 0, 1), 1, ops)


def spread(x: Any, stride: int, size: int, axis: int) -> Any:
    """Zeros put between the rows of an axis, so that row r stands at r times the stride.

    >>> spread(np.array([5.0, 7.0]), 2, 3, 0)
    array([5., 0., 7.])
    """
    rows = np.stack([x] + [zeros(x.shape, x)] * (stride - 1), axis=axis + 1)
    rows = np.reshape(rows, (*x.shape[:axis], stride * x.shape[axis], *x.shape[axis + 1 :]))
    return rows[(slice(None),) * axis + (slice(size),)]


def avg_pool_vjp(grad: Any, size: int) -> Any:
    """Each mean hands the same share to all its pixels."""
    return np.repeat(np.repeat(grad, size, axis=2), size, axis=3) / size**2 if size > 1 else grad


def batch_norm_vjp(params: Params, name: str, eps: float, grad: Any) -> Any:
    """Back through a batch normalisation whose means and variances are parameters."""
    gain, variance = (
        np.reshape(params[f"{name}.{part}"], (-1, 1, 1)) for part in ("weight", "running_var")
    )
    return grad * (gain / np.sqrt(variance + eps))


def relu_vjp(x: Any, grad: Any) -> Any:
    """The gradient where x is positive, zero elsewhere, at zero too."""
    return np.where(x > 0, grad, 0)


def bottleneck_vjp(
    x: Any,
    params: Params,
    name: str,
    stride: int,
    eps: float,
    grad: Any,
    kept: Mapping[str, Any],
    ops: Any = TEXT,
    tap: Tap = untouched,
) -> Any:
    """Back through one bottleneck: the gradient of the sum goes both ways."""

    def unconvolve(grad: Any, conv: str, bn: str, shape: tuple) -> Any:
        g = tap(f"{name}.{bn}.grad", grad)
        g = tap(f"{name}.{conv}.grad", batch_norm_vjp(params, f"{name}.{bn}", eps, g))
        return conv2d_vjp(g, params[f"{name}.{conv}.weight"], 1, shape, ops)

    grad = relu_vjp(kept[name], grad)  # of the sum
    first, second = kept[f"{name}.bn1"], kept[f"{name}.bn2"]
    g = unconvolve(grad, "conv3", "bn3", kept[f"{name}.avgpool"].shape)
    g = avg_pool_vjp(tap(f"{name}.avgpool.grad", g), stride)
    g = unconvolve(relu_vjp(second, g), "conv2", "bn2", first.shape)
    g = unconvolve(relu_vjp(first, g), "conv1", "bn1", x.shape)
    if f"{name}.downsample.0.weight" in params:
        shape = kept[f"{name}.downsample.-1"].shape
        grad = unconvolve(grad, "downsample.0", "downsample.1", shape)
        grad = avg_pool_vjp(tap(f"{name}.downsample.-1.grad", grad), stride)
    return grad + g


def attention_pool_vjp(
    x: Any,
    params: Params,
    at: str,
    heads: int,
    grad: Any,
    kept: Mapping[str, Any],
    ops: Any = TEXT,
    tap: Tap = untouched,
) -> Any:
    """Back through the attention pool, to the pixels and to their mean: B embed -> as x."""
    B, D, rows, cols = x.shape
    g = dense_vjp(params, f"{at}c_proj", grad[:, None], ops)  # B 1 D
    query, key, value = (split(kept[f"{at}{part}"], heads) for part in PARTS)
    grads = ops.attention_vjp(query, key, value, None, split(tap(f"{at}mixed.grad", g), heads))
    query, key, value = (
        tap(f"{at}{part}.grad", join(g)) for part, g in zip(PARTS, grads[:3], strict=True)
    )
    asks = dense_vjp(params, f"{at}q_proj", query, ops)  # B 1 D
    answers = dense_vjp(params, f"{at}k_proj", key, ops)
    answers = answers + dense_vjp(params, f"{at}v_proj", value, ops)  # B M+1 D
    mean = answers[:, :1] + asks
    g = tap(f"{at}tokens.grad", np.concatenate((mean, answers[:, 1:]), axis=1))
    pixels = g[:, 1:] + g[:, :1] / (rows * cols)  # B M D
    return np.reshape(np.swapaxes(pixels, 1, 2), (B, D, rows, cols))


def resnet_vjp(
    images: Any,
    params: Params,
    config: ResNet,
    grad: Any,
    ops: Any = TEXT,
    tap: Tap = untouched,
    at: str = "",
    kept: Mapping[str, Any] | None = None,
) -> Any:
    """Back through the ResNet tower, from its pooled vector to the pixels.

    grad: B embed, the gradient with respect to what `resnet` returns.
    kept: what a `recorder` kept of `resnet` on these images; it runs once more without.

    Returns B channels image image, the gradient with respect to the images.

    Raises AxesError for images of another size than the configuration's.
    """
    if kept is None:
        kept = {}
        resnet(images, params, config, ops, keeper(kept, tap), at)
    blocks = [(s, i) for s, count in enumerate(config.blocks) for i in range(count)]
    names = [f"{at}layer{stage + 1}.{i}" for stage, i in blocks]
    inputs = [kept[before] for before in (f"{at}avgpool", *names)]  # of each block, of the pool
    pool = f"{at}attnpool."
    grad = attention_pool_vjp(inputs[-1], params, pool, config.heads, grad, kept, ops, tap)
    for name, (stage, i), x in zip(names[::-1], blocks[::-1], inputs[-2::-1], strict=True):
        stride, grad = 2 if stage and not i else 1, tap(f"{name}.grad", grad)
        grad = bottleneck_vjp(x, params, name, stride, config.eps, grad, kept, ops, tap)
    grad = avg_pool_vjp(tap(f"{at}avgpool.grad", grad), 2)
    for i, stride in ((3, 1), (2, 1), (1, 2)):
        norm, shape = f"{at}bn{i}", kept[f"{at}bn{i - 1}"].shape if i > 1 else images.shape
        grad = tap(f"{norm}.grad", relu_vjp(kept[norm], grad))
        grad = tap(f"{at}conv{i}.grad", batch_norm_vjp(params, norm, config.eps, grad))
        grad = conv2d_vjp(grad, params[f"{at}conv{i}.weight"], stride, shape, ops)
    return tap(f"{at}images.grad", grad)  # B channels image image


TOWERS: dict[type, Callable[..., Any]] = {Vit: vit_vjp, ResNet: resnet_vjp}


def clip_image_vjp(
    images: Any,
    params: Params,
    config: Clip,
    grad: Any,
    ops: Any = TEXT,
    tap: Tap = untouched,
    kept: Mapping[str, Any] | None = None,
) -> Any:
    """Back through the image tower of CLIP, from its features to the pixels.

    grad: B embed, the gradient with respect to what `clip_image` returns; that of the logits of
        image and text is the first result of `clip_logits_vjp`.
    kept: what a `recorder` kept of `clip_image` on these images; it runs once more without.

    Returns B channels image image, the gradient with respect to the normalised images.

    Raises AxesError for images of another size than the configuration's.

    Paper: Crowson et al. 2022, "VQGAN-CLIP: Open domain image generation and editing with natural
    language guidance", section 3.
    """
    projection = params.get("visual.proj")  # a ResNet's is a part of its pool
    if projection is not None:
        grad = tap("visual.pooled.grad", grad @ projection.T)  # B D
    back = TOWERS[type(config.vision)]
    return back(images, params, config.vision, grad, ops, tap, "visual.", kept)
