"""Triton kernels of flash-linear-attention, interpreted on the CPU."""

from __future__ import annotations

from importlib.metadata import version

import torch

from refimpl.backends.triton_cpu import VERSION as _TRITON
from refimpl.backends.triton_cpu import compute, rows, tensor

# isort: split
import fla.ops.utils.op as _op
from fla.modules import activations as _activations
from fla.modules import fused_cross_entropy as _loss
from fla.modules import l2norm as _lengths
from fla.modules import layernorm as _norms

compute(_activations, _loss, _lengths, _norms, _op)
_norms.get_multiprocessor_count = lambda *_: 4  # of a device that is not there
VERSION = f"{version('fla-core')}, {_TRITON}"
PRECISIONS = ("float32",)
ONLY = ("no empty batches",)
GUARD = 1e-6  # of lengths; the text divides by them as they are


def _slope(function, output_grad, *arguments):
    for argument in arguments:
        argument.requires_grad_()
    function(*arguments).backward(output_grad)
    return tuple(argument.grad for argument in arguments)


def l2_normalize(x):
    """fla.modules.l2norm.l2norm"""
    return _lengths.l2norm(rows(x), eps=GUARD).reshape(x.shape)


def l2_normalize_vjp(x, grad):
    """fla.modules.l2norm.l2norm, differentiated"""
    function = lambda a: _lengths.l2norm(a, eps=GUARD)  # noqa: E731
    return _slope(function, rows(grad), rows(x))[0].reshape(x.shape)


def layer_norm(x, gain, bias, eps):
    """fla.modules.layernorm.layer_norm"""
    return _norms.layer_norm(rows(x), tensor(gain), tensor(bias), eps=eps).reshape(x.shape)


def layer_norm_vjp(x, gain, eps, grad):
    """fla.modules.layernorm.layer_norm, differentiated"""
    function = lambda *given: _norms.layer_norm(*given, eps=eps)  # noqa: E731
    slopes = _slope(function, rows(grad), rows(x), tensor(gain), torch.zeros(len(gain)))
    return slopes[0].reshape(x.shape), *slopes[1:]


def rms_norm(x, gain, eps):
    """fla.modules.layernorm.rms_norm"""
    return _norms.rms_norm(rows(x), tensor(gain), None, eps=eps).reshape(x.shape)


def rms_norm_vjp(x, gain, eps, grad):
    """fla.modules.layernorm.rms_norm, differentiated"""
    function = lambda a, w: _norms.rms_norm(a, w, None, eps=eps)  # noqa: E731
    slopes = _slope(function, rows(grad), rows(x), tensor(gain))
    return slopes[0].reshape(x.shape), slopes[1]


def sigmoid(z):
    """fla.modules.activations.sigmoid"""
    return _activations.sigmoid(tensor(z))


def sigmoid_vjp(z, grad):
    """fla.modules.activations.sigmoid, differentiated"""
    return _slope(_activations.sigmoid, tensor(grad), tensor(z))[0]


def silu(x):
    """fla.modules.activations.swish"""
    return _activations.swish(tensor(x))


def silu_vjp(x, grad):
    """fla.modules.activations.swish, differentiated"""
    return _slope(_activations.swish, tensor(grad), tensor(x))[0]


def _mean_loss(logits, labels):
    return _loss.cross_entropy_loss(logits, tensor(labels))[0].sum() / len(labels)


def cross_entropy(logits, labels):
    """fla.modules.fused_cross_entropy.cross_entropy_loss, averaged"""
    return _mean_loss(tensor(logits), labels)


def cross_entropy_vjp(logits, labels, grad):
    """fla.modules.fused_cross_entropy.cross_entropy_loss, averaged and differentiated"""
    function = lambda z: _mean_loss(z, labels)  # noqa: E731
    return _slope(function, torch.tensor(float(grad)), tensor(logits))[0]
