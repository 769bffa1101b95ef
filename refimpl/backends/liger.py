"""Liger's Triton kernels, interpreted on the CPU: norms, activations, softmax and its loss."""

from __future__ import annotations

from importlib.metadata import version

import torch

from refimpl.backends.triton_cpu import VERSION as _TRITON
from refimpl.backends.triton_cpu import compute, rows, tensor

# isort: split
from liger_kernel.ops import cross_entropy as _cross_entropy
from liger_kernel.ops import geglu as _geglu
from liger_kernel.ops import group_norm as _group_norm
from liger_kernel.ops import layer_norm as _layer_norm
from liger_kernel.ops import rms_norm as _rms_norm
from liger_kernel.ops import softmax as _softmax
from liger_kernel.ops import swiglu as _swiglu

compute(_cross_entropy, _geglu, _group_norm, _layer_norm, _rms_norm, _softmax, _swiglu)
VERSION = f"{version('liger-kernel')}, {_TRITON}"
PRECISIONS = ("float32",)
ONLY = ("no empty batches",)


def _slope(function, output_grad, *arguments):
    """The gradients of a kernel with respect to its arguments, in their shapes."""
    for argument in arguments:
        argument.requires_grad_()
    function(*arguments).backward(output_grad)
    return tuple(argument.grad for argument in arguments)


def softmax(z):
    """LigerSoftmaxFunction"""
    return _softmax.LigerSoftmaxFunction.apply(rows(z)).reshape(z.shape)


def softmax_vjp(z, grad):
    """LigerSoftmaxFunction, differentiated"""
    (slope,) = _slope(_softmax.LigerSoftmaxFunction.apply, rows(grad), rows(z))
    return slope.reshape(z.shape)


def _by_rms(x, gain, eps):
    return _rms_norm.LigerRMSNormFunction.apply(x, gain, eps, 0.0, "llama", False)


def rms_norm(x, gain, eps):
    """LigerRMSNormFunction"""
    return _by_rms(rows(x), tensor(gain), eps).reshape(x.shape)


def rms_norm_vjp(x, gain, eps, grad):
    """LigerRMSNormFunction, differentiated"""
    slopes = _slope(lambda a, w: _by_rms(a, w, eps), rows(grad), rows(x), tensor(gain))
    return slopes[0].reshape(x.shape), slopes[1]


def layer_norm(x, gain, bias, eps):
    """LigerLayerNormFunction"""
    normal = _layer_norm.LigerLayerNormFunction.apply(rows(x), tensor(gain), tensor(bias), eps)
    return normal.reshape(x.shape)


def layer_norm_vjp(x, gain, eps, grad):
    """LigerLayerNormFunction, differentiated"""
    function = lambda *given: _layer_norm.LigerLayerNormFunction.apply(*given, eps)  # noqa: E731
    slopes = _slope(function, rows(grad), rows(x), tensor(gain), torch.zeros(len(gain)))
    return slopes[0].reshape(x.shape), *slopes[1:]


def _channels(x):
    return tensor(x).reshape(*x.shape[:2], -1)


def _in_groups(x, gain, bias, groups, eps):
    function = _group_norm.LigerGroupNormFunction
    return function.apply(x, gain, bias, len(gain), groups, eps)


def group_norm(x, gain, bias, groups, eps):
    """LigerGroupNormFunction"""
    return _in_groups(_channels(x), tensor(gain), tensor(bias), groups, eps).reshape(x.shape)


def group_norm_vjp(x, gain, groups, eps, grad):
    """LigerGroupNormFunction, differentiated"""
    function = lambda a, w, b: _in_groups(a, w, b, groups, eps)  # noqa: E731
    given = _channels(x), tensor(gain), torch.zeros(len(gain))
    slopes = _slope(function, _channels(grad), *given)
    return slopes[0].reshape(x.shape), *slopes[1:]


def _gate(function, x):
    """A gated unit whose other half is one, on all numbers in a row."""
    return function.apply(x, torch.ones_like(x))


def _row(x):
    return tensor(x).reshape(1, -1)


def gelu_tanh(x):
    """LigerGELUMulFunction with ones"""
    return _gate(_geglu.LigerGELUMulFunction, _row(x)).reshape(x.shape)


def gelu_tanh_vjp(x, grad):
    """LigerGELUMulFunction with ones, differentiated"""
    function = lambda a: _gate(_geglu.LigerGELUMulFunction, a)  # noqa: E731
    return _slope(function, _row(grad), _row(x))[0].reshape(x.shape)


def silu(x):
    """LigerSiLUMulFunction with ones"""
    return _gate(_swiglu.LigerSiLUMulFunction, _row(x)).reshape(x.shape)


def silu_vjp(x, grad):
    """LigerSiLUMulFunction with ones, differentiated"""
    function = lambda a: _gate(_swiglu.LigerSiLUMulFunction, a)  # noqa: E731
    return _slope(function, _row(grad), _row(x))[0].reshape(x.shape)


def _mean_loss(logits, labels):
    found = _cross_entropy.LigerCrossEntropyFunction.apply(
        logits, labels, None, -100, 0.0, 0.0, "mean", None, False
    )
    return found[0] if isinstance(found, tuple) else found


def cross_entropy(logits, labels):
    """LigerCrossEntropyFunction"""
    return _mean_loss(tensor(logits), tensor(labels))


def cross_entropy_vjp(logits, labels, grad):
    """LigerCrossEntropyFunction, differentiated"""
    function = lambda z: _mean_loss(z, tensor(labels))  # noqa: E731
    return _slope(function, torch.tensor(float(grad)), tensor(logits))[0]
