"""The image tower of CLIP that is a ResNet: antialiased bottlenecks and an attention pool."""

from __future__ import annotations

from typing import Any

import numpy as np

from refimpl.models import TEXT, Params, Tap, untouched, zeros
from refimpl.models.configs import ResNet
from refimpl.models.vit import dense, join, split


def conv2d(x: Any, weight: Any, stride: int = 1, ops: Any = TEXT) -> Any:
    r"""A convolution with an odd kernel, zeros around the image and the kernel not flipped.

    $$y_{b,o,r,c} = \sum_{k,i,j} W_{okij}\, x_{b,\, k,\, s r + i - p,\, s c + j - p},
    \qquad p = \lfloor P/2 \rfloor$$

    x: B channels height width; weight: O channels P P; stride: s.

    Returns B O rows cols.

    >>> conv2d(np.ones((1, 1, 2, 2)), np.ones((1, 1, 3, 3)))[0, 0]
    array([[4., 4.],
           [4., 4.]])
    """
    (B, channels, height, width), (outputs, _, side, _) = x.shape, weight.shape
    rows, cols = (height - 1) // stride + 1, (width - 1) // stride + 1
    x = zeros_around(x, side // 2)
    down, across = stride * (rows - 1) + 1, stride * (cols - 1) + 1
    shifted = [
        x[:, :, i : i + down : stride, j : j + across : stride]
        for i in range(side)
        for j in range(side)
    ]
    windows = np.stack(shifted, axis=2)  # B channels P*P rows cols
    windows = np.reshape(windows, (B, channels * side * side, rows * cols))
    kernel = np.reshape(weight, (outputs, channels * side * side))
    y = ops.linear(np.swapaxes(windows, 1, 2), kernel, None)  # B rows*cols O
    return np.reshape(np.swapaxes(y, 1, 2), (B, outputs, rows, cols))


def zeros_around(x: Any, margin: int) -> Any:
    """Rows and columns of zeros on all four sides of B channels height width."""
    for axis in (2, 3) if margin else ():
        edge = list(x.shape)
        edge[axis] = margin
        x = np.concatenate((zeros(edge, x), x, zeros(edge, x)), axis=axis)
    return x


def avg_pool(x: Any, size: int) -> Any:
    """The mean of each square of `size` pixels: B channels height width -> a `size`-th of each.

    >>> avg_pool(np.arange(4.0).reshape(1, 1, 2, 2), 2)
    array([[[[1.5]]]])
    """
    B, channels, height, width = x.shape
    grid = np.reshape(x, (B, channels, height // size, size, width // size, size))
    return np.mean(grid, axis=(3, 5)) if size > 1 else x


def batch_norm(x: Any, params: Params, name: str, eps: float) -> Any:
    r"""Batch normalisation after training: means and variances are parameters.

    $$y_c = \gamma_c \frac{x_c - \mu_c}{\sqrt{\sigma^2_c + \epsilon}} + \beta_c$$
    """
    gain, bias, mean, variance = (
        np.reshape(params[f"{name}.{part}"], (-1, 1, 1))  # channels 1 1
        for part in ("weight", "bias", "running_mean", "running_var")
    )
    return gain * ((x - mean) / np.sqrt(variance + eps)) + bias


def relu(x: Any) -> Any:
    """The larger of x and zero."""
    return np.maximum(x, 0)


def bottleneck(
    x: Any,
    params: Params,
    name: str,
    stride: int,
    eps: float,
    ops: Any = TEXT,
    tap: Tap = untouched,
) -> Any:
    """Three convolutions and a shortcut; a stride is average pooling on both.

    Paper: He et al. 2016, "Deep residual learning for image recognition", figure 5; with means in
    place of strided convolutions as in Radford et al. 2021, section 2.4.
    """

    def convolve(x: Any, conv: str, bn: str) -> Any:
        y = tap(f"{name}.{conv}", conv2d(x, params[f"{name}.{conv}.weight"], 1, ops))
        return tap(f"{name}.{bn}", batch_norm(y, params, f"{name}.{bn}", eps))

    y = relu(convolve(x, "conv1", "bn1"))  # B mid height width
    y = relu(convolve(y, "conv2", "bn2"))
    y = convolve(tap(f"{name}.avgpool", avg_pool(y, stride)), "conv3", "bn3")  # B 4*mid rows cols
    if f"{name}.downsample.0.weight" in params:
        x = tap(f"{name}.downsample.-1", avg_pool(x, stride))
        x = convolve(x, "downsample.0", "downsample.1")  # B 4*mid rows cols
    return tap(name, relu(y + x))


def attention_pool(
    x: Any, params: Params, at: str, heads: int, ops: Any = TEXT, tap: Tap = untouched
) -> Any:
    """Attention with the mean of all pixels as query: B D rows cols -> B embed.

    Paper: Radford et al. 2021, "Learning Transferable Visual Models From Natural Language
    Supervision", section 2.4.
    """
    B, D = x.shape[:2]
    pixels = np.swapaxes(np.reshape(x, (B, D, -1)), 1, 2)  # B M D
    tokens = np.concatenate((np.mean(pixels, axis=1, keepdims=True), pixels), axis=1)
    tokens = tap(f"{at}tokens", tokens + params[f"{at}positional_embedding"])  # B M+1 D

    query = tap(f"{at}query", dense(tokens[:, :1], params, f"{at}q_proj", ops))  # B 1 D
    key = tap(f"{at}key", dense(tokens, params, f"{at}k_proj", ops))  # B M+1 D
    value = tap(f"{at}value", dense(tokens, params, f"{at}v_proj", ops))
    mixed = ops.attention(split(query, heads), split(key, heads), split(value, heads), None)
    mixed = tap(f"{at}mixed", join(mixed))  # B 1 D
    return dense(mixed[:, 0], params, f"{at}c_proj", ops)


def resnet(
    images: Any,
    params: Params,
    config: ResNet,
    ops: Any = TEXT,
    tap: Tap = untouched,
    at: str = "",
) -> Any:
    """The ResNet tower: B channels image image -> B embed.

    Paper: Radford et al. 2021, "Learning Transferable Visual Models From Natural Language
    Supervision", section 2.4.
    """
    config.accept(images)
    x = images
    for i, stride in ((1, 2), (2, 1), (3, 1)):
        x = tap(f"{at}conv{i}", conv2d(x, params[f"{at}conv{i}.weight"], stride, ops))
        x = relu(tap(f"{at}bn{i}", batch_norm(x, params, f"{at}bn{i}", config.eps)))
    x = tap(f"{at}avgpool", avg_pool(x, 2))  # B width image/4 image/4
    for stage, blocks in enumerate(config.blocks):
        for i in range(blocks):
            name, stride = f"{at}layer{stage + 1}.{i}", 2 if stage and not i else 1
            x = bottleneck(x, params, name, stride, config.eps, ops, tap)
    pooled = attention_pool(x, params, f"{at}attnpool.", config.heads, ops, tap)
    return tap(f"{at}pooled", pooled)  # B embed
