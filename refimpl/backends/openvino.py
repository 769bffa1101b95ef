"""OpenVINO on the CPU: models of a few operators each, compiled once for each shape.

`INFERENCE_PRECISION_HINT` is set to the precision that is judged: left alone, OpenVINO computes
float32 models in bfloat16 on processors that have it.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import openvino
from openvino import opset15 as ov

VERSION = openvino.__version__.split("-")[0]
PRECISIONS = ("float32", "float16")
_TYPES = {"float32": "f32", "float16": "f16", "int64": "i64"}


@functools.lru_cache(maxsize=512)
def _compiled(build, shapes, dtypes, constants):
    nodes = [ov.parameter(shape, np.dtype(dtype)) for shape, dtype in zip(shapes, dtypes)]
    result = build(*nodes, **dict(constants))
    model = openvino.Model([result], nodes)
    hints = {"INFERENCE_PRECISION_HINT": _TYPES[dtypes[0]]}
    return openvino.Core().compile_model(model, "CPU", hints)


def _run(build, *arrays, **constants):
    """The output of a graph that `build` makes of its parameters."""
    shapes, dtypes = tuple(x.shape for x in arrays), tuple(x.dtype.name for x in arrays)
    if not all(map(math.prod, shapes)):
        raise NotImplementedError("OpenVINO's operators take no empty arrays")
    return _compiled(build, shapes, dtypes, tuple(constants.items()))(
        list(map(np.ascontiguousarray, arrays))
    )[0].copy()


# Layers


def _linear(x, weight, *bias):
    y = ov.matmul(x, weight, False, True)
    return ov.add(y, bias[0]) if bias else y


def linear(x, weight, bias):
    """MatMul, Add"""
    return _run(_linear, x, weight, *(() if bias is None else (bias,)))


def _layer_norm(x, gain, bias, eps):
    last = ov.constant([-1])
    normal = ov.mvn(x, last, True, eps, "inside_sqrt")
    return ov.add(ov.multiply(normal, gain), bias)


def layer_norm(x, gain, bias, eps):
    """MVN"""
    return _run(_layer_norm, x, gain, bias, eps=eps)


def _group_norm(x, gain, bias, groups, eps):
    return ov.group_normalization(x, gain, bias, groups, eps)


def group_norm(x, gain, bias, groups, eps):
    """GroupNormalization"""
    return _run(_group_norm, x, gain, bias, groups=groups, eps=eps)


def _softmax(z):
    return ov.softmax(z, -1)


def softmax(z):
    """SoftMax"""
    return _run(_softmax, z)


def _log_softmax(z):
    return ov.log_softmax(z, -1)


def log_softmax(z):
    """LogSoftmax"""
    return _run(_log_softmax, z)


def sigmoid(z):
    """Sigmoid"""
    return _run(ov.sigmoid, z)


def _gelu(x):
    return ov.gelu(x, "ERF")


def gelu(x):
    """Gelu(approximation_mode="ERF")"""
    return _run(_gelu, x)


def _gelu_tanh(x):
    return ov.gelu(x, "TANH")


def gelu_tanh(x):
    """Gelu(approximation_mode="TANH")"""
    return _run(_gelu_tanh, x)


def silu(x):
    """Swish"""
    return _run(ov.swish, x)


def _l2_normalize(x):
    return ov.normalize_l2(x, ov.constant([len(x.shape) - 1]), 1e-30, "max")


def l2_normalize(x):
    """NormalizeL2(eps=1e-30, eps_mode="max")"""
    return _run(_l2_normalize, x)


# Images


def _patch_embed(images, weight, *bias):
    size = list(weight.shape)[2:]
    grid = ov.convolution(images, weight, size, [0, 0], [0, 0], [1, 1])
    flat = ov.reshape(grid, ov.constant([0, 0, -1]), True)
    tokens = ov.transpose(flat, ov.constant([0, 2, 1]))
    return ov.add(tokens, bias[0]) if bias else tokens


def patch_embed(images, weight, bias):
    """Convolution"""
    return _run(_patch_embed, images, weight, *(() if bias is None else (bias,)))


# Attention


def _attention(query, key, value, *bias):
    return ov.scaled_dot_product_attention(query, key, value, *bias)


def attention(query, key, value, bias):
    """ScaledDotProductAttention"""
    if query.shape[1] != key.shape[1]:
        raise NotImplementedError("ScaledDotProductAttention takes as many key heads as heads")
    return _run(_attention, query, key, value, *(() if bias is None else (bias,)))
