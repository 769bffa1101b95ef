"""The gradient of an autoencoder's decoder with respect to its latents, by hand.

As in `refimpl.models.gradients`, the gradient with respect to the value `decoder.conv_in` is called
`decoder.conv_in.grad`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from refimpl.models import TEXT, Params, Tap, untouched
from refimpl.models.autoencoder import Coder, decode
from refimpl.models.feature_maps import pixels, placed
from refimpl.models.gradients import dense_vjp, keeper
from refimpl.models.vit import join, split

Kept = Mapping[str, Any]


def convolve_vjp(params: Params, name: str, grad: Any, ops: Any) -> Any:
    r"""Back through the convolution of this name, which keeps the size of its map.

    $$\bar x = \widetilde W * \bar y, \qquad \widetilde W_{coij} = W_{oc,\,k-1-i,\,k-1-j}$$
    """
    turned = np.swapaxes(params[f"{name}.weight"][:, :, ::-1, ::-1], 0, 1)
    around = turned.shape[2] // 2
    return ops.conv2d(grad, np.ascontiguousarray(turned), None, 1, around, around, 1, 1)


def group_norm_vjp(x: Any, params: Params, name: str, config: Coder, grad: Any, ops: Any) -> Any:
    """Back through the group norm whose gain carries this name."""
    gain = params[f"{name}.weight"]
    return ops.group_norm_vjp(x, gain, config.groups, config.eps, grad)[0]


def residual_vjp(
    x: Any, params: Params, name: str, config: Coder, grad: Any, kept: Kept, ops: Any, tap: Tap
) -> Any:
    """Back through two convolutions and the shortcut beside them."""
    g = tap(f"{name}.act2.grad", convolve_vjp(params, f"{name}.conv2", grad, ops))
    g = tap(f"{name}.norm2.grad", ops.silu_vjp(kept[f"{name}.norm2"], g))
    g = group_norm_vjp(kept[f"{name}.conv1"], params, f"{name}.norm2", config, g, ops)
    g = tap(f"{name}.conv1.grad", g)
    g = tap(f"{name}.act1.grad", convolve_vjp(params, f"{name}.conv1", g, ops))
    g = tap(f"{name}.norm1.grad", ops.silu_vjp(kept[f"{name}.norm1"], g))
    if f"{name}.conv_shortcut.weight" in params:
        grad = convolve_vjp(params, f"{name}.conv_shortcut", grad, ops)
    return grad + group_norm_vjp(x, params, f"{name}.norm1", config, g, ops)


def pixel_attention_vjp(
    x: Any, params: Params, name: str, config: Coder, grad: Any, kept: Kept, ops: Any, tap: Tap
) -> Any:
    """Back through pixels that ask all pixels: what asks, what answers, and what was there."""
    g = tap(f"{name}.mixed.grad", dense_vjp(params, f"{name}.to_out.0", pixels(grad), ops))
    parts = [f"{name}.{part}" for part in ("to_q", "to_k", "to_v")]
    query, key, value = (split(kept[part], 1) for part in parts)  # B 1 N C
    grads = ops.attention_vjp(query, key, value, None, split(g, 1))[:3]
    each = [
        dense_vjp(params, part, tap(f"{part}.grad", join(g)), ops)
        for part, g in zip(parts, grads, strict=True)
    ]
    g = tap(f"{name}.group_norm.grad", sum(each))  # B N C
    g = placed(g, *x.shape[2:])
    return grad + group_norm_vjp(x, params, f"{name}.group_norm", config, g, ops)


def doubled_vjp(
    x: Any, params: Params, name: str, config: Coder, grad: Any, kept: Kept, ops: Any, tap: Tap
) -> Any:
    """Back to half the side: the four copies of a pixel add up."""
    g = convolve_vjp(params, name, grad, ops)
    g = tap(f"{name.removesuffix('conv')}repeated.grad", g)
    return ops.resize_nearest_vjp(x, *g.shape[2:], g)


def parts(config: Coder) -> Iterator[tuple[Any, str]]:
    """What a decoder is made of behind its first convolution: the way back, and the name."""
    middle, final = "decoder.mid_block", len(config.widths) - 1
    yield residual_vjp, f"{middle}.resnets.0"
    yield pixel_attention_vjp, f"{middle}.attentions.0"
    yield residual_vjp, f"{middle}.resnets.1"
    for i in range(len(config.widths)):
        at = f"decoder.up_blocks.{i}"
        for j in range(config.layers + 1):
            yield residual_vjp, f"{at}.resnets.{j}"
            if final - i in config.attention:
                yield pixel_attention_vjp, f"{at}.attentions.{j}"
        if i < final:
            yield doubled_vjp, f"{at}.upsamplers.0.conv"


def decode_vjp(
    z: Any,
    params: Params,
    config: Coder,
    grad: Any,
    ops: Any = TEXT,
    tap: Tap = untouched,
    kept: Kept | None = None,
) -> Any:
    """Back through the decoder, from its images to the latents.

    grad: B channels height width, the gradient with respect to what `decode` returns.
    kept: what a `recorder` kept of `decode` on these latents; it runs once more without.

    Returns B C rows cols, the gradient with respect to z.

    Paper: Crowson et al. 2022, "VQGAN-CLIP: Open domain image generation and editing with natural
    language guidance", section 3.
    """
    if kept is None:
        kept = {}
        decode(z, params, config, ops, keeper(kept, tap))
    walk = list(parts(config))
    names = ["decoder.conv_in", *(name for _, name in walk)]
    at = "decoder.conv_norm_out"
    grad = tap("decoder.conv_act.grad", convolve_vjp(params, "decoder.conv_out", grad, ops))
    grad = tap(f"{at}.grad", ops.silu_vjp(kept[at], grad))
    grad = group_norm_vjp(kept[names[-1]], params, at, config, grad, ops)
    for (back, name), before in zip(reversed(walk), reversed(names[:-1]), strict=True):
        grad = tap(f"{name}.grad", grad)
        grad = back(kept[before], params, name, config, grad, kept, ops, tap)
    grad = tap("decoder.conv_in.grad", grad)
    return tap("z.grad", convolve_vjp(params, "decoder.conv_in", grad, ops))
