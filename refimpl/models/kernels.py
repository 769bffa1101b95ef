"""A Transformer block, forward and back, in memory that is given.

It does what the text of the block does, with the kernels of the operations and without what stands
around them: nothing is checked or put into new memory. The parameters of a block, `layer`, come in
the order of `PARTS`. `spread` calls a kernel on its whole range: `alone` on the thread that asks,
`share` on all.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from refimpl.compiled.arithmetic import read_only
from refimpl.compiled.memory import empty
from refimpl.ops.attention.fast_blocks import ROWS, attend
from refimpl.ops.attention.fast_gradients import _attention_vjp
from refimpl.ops.layers.fast import _layer_norm, _layer_norm_vjp, linear_into, some_linear
from refimpl.ops.layers.fast_activations import (
    _gated,
    _gated_vjp,
    _gelu,
    _gelu_tanh,
    _gelu_tanh_vjp,
    _gelu_vjp,
)

PARTS = (
    "ln_1.weight",
    "ln_1.bias",
    "attn.in_proj_weight",
    "attn.in_proj_bias",
    "attn.out_proj.weight",
    "attn.out_proj.bias",
    "ls_1.gamma",
    "ln_2.weight",
    "ln_2.bias",
    "mlp.c_fc.weight",
    "mlp.c_fc.bias",
    "mlp.c_proj.weight",
    "mlp.c_proj.bias",
    "ls_2.gamma",
)
LANES = 16  # numbers of one line in the cache, or of two


def alone(kernel: Callable[..., Any], size: int, each: int, *args: Any) -> None:
    """Call a kernel on its whole range, whatever it costs."""
    kernel(0, size, *args)


def _on_all(kernel: Any, *constants: float) -> Callable[..., None]:
    """The kernel of an activation on all numbers; a constant comes behind the first array."""

    def call(spread: Any, x: np.ndarray, *rest: np.ndarray) -> None:
        spread(kernel, x.size, 1, x, *map(x.dtype.type, constants), *rest)

    return call


ACTIVATIONS = {  # and their gradients
    "gelu": (_on_all(_gelu), _on_all(_gelu_vjp)),
    "gelu_tanh": (_on_all(_gelu_tanh), _on_all(_gelu_tanh_vjp)),
    "quick_gelu": (_on_all(_gated, 1.702), _on_all(_gated_vjp, 1.702)),
    "silu": (_on_all(_gated, 1.0), _on_all(_gated_vjp, 1.0)),
}


class Values(NamedTuple):
    """What a block gives a name to on the way, and needs to come back; or their gradients.

    W are the first of the N tokens: those whose output is asked for.
    """

    query: np.ndarray  # B H W E
    key: np.ndarray  # B H N E
    value: np.ndarray  # B H N E
    mixed: np.ndarray  # B H W E
    tops: np.ndarray  # B H W
    totals: np.ndarray  # B H W
    middle: np.ndarray  # B W D
    hidden: np.ndarray  # B*W hidden


class Workspace(NamedTuple):
    """Where a block works."""

    normed: np.ndarray  # B*N D
    joint: np.ndarray  # B*N 3*D
    few: np.ndarray  # B*W D
    active: np.ndarray  # B*W hidden


Sizes = tuple[int, int, int, int, int, int]  # B N W H E hidden


@functools.cache
def _shapes(sizes: Sizes, dtype: np.dtype) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    """Those of the values and of the workspace."""
    B, N, W, H, E, hidden = sizes
    few, all_ = (B, H, W, E), (B, H, N, E)
    values = [few, all_, all_, few, few[:3], few[:3], (B, W, H * E), (B * W, hidden)]
    workspace: list[tuple[int, ...]] = [
        (B * N, H * E),
        (B * N, 3 * H * E),
        (B * W, H * E),
        (B * W, hidden),
    ]
    return values, workspace


def values(sizes: Sizes, dtype: np.dtype) -> Values:
    """Memory for the values of so many tokens."""
    return Values(*_pieces(_shapes(sizes, dtype)[0], dtype))


def workspace(sizes: Sizes, dtype: np.dtype) -> Workspace:
    """Memory to work in for so many tokens."""
    return Workspace(*_pieces(_shapes(sizes, dtype)[1], dtype))


def _pieces(shapes: list[tuple[int, ...]], dtype: np.dtype) -> list[np.ndarray]:
    """Arrays of these shapes out of one memory."""
    sizes = [math.prod(shape) for shape in shapes]
    memory, at, pieces = empty((sum(sizes) + LANES * len(sizes),), dtype), 0, []
    for shape, size in zip(shapes, sizes):
        pieces.append(memory[at : at + size].reshape(shape))
        at += -(-size // LANES) * LANES
    return pieces


def block(
    x: np.ndarray,
    mask: np.ndarray,
    layer: tuple[np.ndarray, ...],
    eps: np.floating,
    activation: str,
    values: Values,
    workspace: Workspace,
    spread: Callable[..., Any],
    y: np.ndarray,
) -> None:
    """Tokens B N D through a block, the first B W D of them into y."""
    gain_1, bias_1, in_weight, in_bias, out_weight, out_bias, scale_1 = layer[:7]
    gain_2, bias_2, fc_weight, fc_bias, proj_weight, proj_bias, scale_2 = layer[7:]
    (B, N, D), (H, W, E) = x.shape, values.query.shape[1:]
    rows, middle = (B * W, D), _seen(values.middle)
    blocks = B * H * -(-W // ROWS)
    spread(_layer_norm, B * N, D, x.reshape(B * N, D), gain_1, bias_1, eps, workspace.normed)
    _multiply(spread, workspace.normed, in_weight, workspace.joint)
    spread(_split, B * H, N * E, workspace.joint, in_bias, *values[:3])
    given = (*map(_seen, values[:3]), mask, *values[3:6])
    spread(attend, blocks, min(ROWS, W) * N * E // 8, *given)
    spread(_join, B * H, W * E, values.mixed, workspace.few, 0)
    _multiply(spread, workspace.few, out_weight, values.middle.reshape(rows))
    spread(_add_scaled, B * W, D, x, scale_1, out_bias, values.middle)

    spread(_layer_norm, B * W, D, middle.reshape(rows), gain_2, bias_2, eps, workspace.few)
    _multiply(spread, workspace.few, fc_weight, values.hidden, fc_bias)
    flat = _seen(values.hidden.reshape(-1)), workspace.active.reshape(-1)
    ACTIVATIONS[activation][0](spread, *flat)
    _multiply(spread, workspace.active, proj_weight, y.reshape(rows))
    spread(_add_scaled, B * W, D, middle, scale_2, proj_bias, y)


def _multiply(
    spread: Any, x: np.ndarray, weight: np.ndarray, y: np.ndarray, bias: Any = None
) -> None:
    """A linear layer, without a bias unless there is one."""
    if spread is alone:
        some_linear(0, 1, len(x), 0, x, weight, bias, y)
    else:
        linear_into(x, weight, bias, y)


def block_vjp(
    x: np.ndarray,
    mask: np.ndarray,
    layer: tuple[np.ndarray, ...],
    eps: np.floating,
    activation: str,
    values: Values,
    workspace: Workspace,
    grad: np.ndarray,
    grads: Values,
    x_grad: np.ndarray,
) -> None:
    """The gradient of what came out of a block, B W D, led back to what went in, B N D.

    `values` are as the block left them; `grads` is where their gradients go.
    """
    gain_1, _, in_weight, _, out_weight, _, scale_1 = layer[:7]
    gain_2, _, fc_weight, _, proj_weight, _, scale_2 = layer[7:]
    B, N, D = x.shape
    H, W = values.query.shape[1:3]
    rows, unused = (B * W, D), np.zeros((2, D), x.dtype)
    np.multiply(grad.reshape(rows), scale_2, out=workspace.few)
    np.matmul(workspace.few, proj_weight, out=workspace.active)
    flat = values.hidden.reshape(-1), workspace.active.reshape(-1)
    ACTIVATIONS[activation][1](alone, *map(_seen, flat), grads.hidden.reshape(-1))
    np.matmul(grads.hidden, fc_weight, out=workspace.few)
    normed = _seen(values.middle.reshape(rows)), gain_2, eps, _seen(workspace.few)
    _layer_norm_vjp(*normed, grads.middle.reshape(rows), *unused)
    np.add(grads.middle, grad, out=grads.middle)

    scaled = workspace.normed[: B * W]
    np.multiply(grads.middle.reshape(rows), scale_1, out=scaled)
    np.matmul(scaled, out_weight, out=workspace.few)
    np.copyto(grads.mixed.swapaxes(1, 2), workspace.few.reshape(B, W, H, D // H))
    for part in grads[:3]:
        part.fill(0)
    given = (*map(_seen, values[:3]), mask, _seen(grads.mixed), *values[3:6])
    nowhere = np.empty((0, 0, 0, 0), x.dtype)
    _attention_vjp(0, B * H, *given, *grads[:3], nowhere)
    if W < N:
        workspace.joint.fill(0)
    for part, left in zip(grads[:3], (0, D, 2 * D)):
        _join(0, B * H, part, workspace.joint, left)
    np.matmul(workspace.joint, in_weight, out=workspace.normed)
    normed = x.reshape(B * N, D), gain_1, eps, _seen(workspace.normed)
    _layer_norm_vjp(*normed, x_grad.reshape(B * N, D), *unused)
    np.add(x_grad[:, :W], grads.middle, out=x_grad[:, :W])


def _seen(x: np.ndarray) -> np.ndarray:
    """The same memory as a kernel of an operation gets it, which is compiled for that."""
    return read_only(x.view())


@njit(cache=True, nogil=True)
def _split(first, last, joint, bias, query, key, value):
    """Queries, keys and values side by side, and their bias: each head to a place of its own."""
    H, N, E = key.shape[1:]
    for k in range(first, last):
        b, h = k // H, k % H
        for n in range(N):
            row, left = joint[b * N + n], h * E
            if n < query.shape[2]:
                _add_bias(row, bias, left, query[b, h, n])
            _add_bias(row, bias, left + H * E, key[b, h, n])
            _add_bias(row, bias, left + 2 * H * E, value[b, h, n])


@njit(cache=True, nogil=True)
def _add_bias(row, bias, left, into):
    """Some numbers of a row and of the bias, from a column on."""
    own, more = row[left : left + into.size], bias[left : left + into.size]
    for e in range(into.size):
        into[e] = own[e] + more[e]


@njit(cache=True, nogil=True)
def _join(first, last, by_head, rows, left):
    """Heads put side by side again, from a column on."""
    B, H, W, E = by_head.shape
    N = rows.shape[0] // B
    for k in range(first, last):
        b, h = k // H, k % H
        for n in range(W):
            into, own = rows[b * N + n, left + h * E : left + (h + 1) * E], by_head[b, h, n]
            for e in range(E):
                into[e] = own[e]


@njit(cache=True, nogil=True)
def _add_scaled(first, last, stream, scale, bias, x):
    """What a layer gives, its bias and its scale, added to the tokens: W of N."""
    W = x.shape[1]
    for row in range(first, last):
        into, own = x[row // W, row % W], stream[row // W, row % W]
        for d in range(into.size):
            into[d] = own[d] + scale[d] * (into[d] + bias[d])
