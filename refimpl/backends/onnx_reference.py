"""The reference evaluator of ONNX: models of one node each, computed by onnx.reference in NumPy.

These are the operators as the ONNX project itself computes them, and what the expected outputs of
its backend tests come from.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import onnx
from onnx import helper
from onnx.reference import ReferenceEvaluator

VERSION = onnx.__version__
PRECISIONS = ("float64", "float32", "bfloat16", "float16")
SUPPORTS = dict.fromkeys(
    ("layer_norm", "rms_norm", "group_norm", "quick_gelu"),  # epsilon and alpha are float32
    ("float32", "bfloat16", "float16"),
)
_OPSET = 24


@functools.cache
def _evaluator(op, given, attributes):
    """A model of one node for inputs of these dtypes; shapes are free."""
    names = [f"input{i}" if dtype else "" for i, dtype in enumerate(given)]
    node = helper.make_node(op, names, ["output"], **dict(attributes))
    inputs = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(dtype), None)
        for name, dtype in zip(names, given)
        if dtype
    ]
    graph = helper.make_graph([node], op, inputs, [helper.make_empty_tensor_value_info("output")])
    opset = [helper.make_opsetid("", _OPSET)]
    return ReferenceEvaluator(helper.make_model(graph, opset_imports=opset, ir_version=10))


def _node(op, *inputs, **attributes):
    """Run one node; None stands for an input that is left out."""
    given = tuple(None if x is None else x.dtype for x in inputs)
    fed = {f"input{i}": x for i, x in enumerate(inputs) if x is not None}
    try:
        return _evaluator(op, given, tuple(attributes.items())).run(None, fed)[0]
    except ValueError as error:
        if all(x.size for x in fed.values()):
            raise
        raise NotImplementedError(f"refuses an empty batch: {error}") from error


def linear(x, weight, bias):
    """Gemm"""
    rows = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
    return _node("Gemm", rows, weight, bias, transB=1).reshape(*x.shape[:-1], len(weight))


def layer_norm(x, gain, bias, eps):
    """LayerNormalization"""
    return _node("LayerNormalization", x, gain, bias, epsilon=eps)


def rms_norm(x, gain, eps):
    """RMSNormalization"""
    return _node("RMSNormalization", x, gain, epsilon=eps)


def group_norm(x, gain, bias, groups, eps):
    """GroupNormalization"""
    return _node("GroupNormalization", x, gain, bias, num_groups=groups, epsilon=eps)


def softmax(z):
    """Softmax"""
    return _node("Softmax", z)


def log_softmax(z):
    """LogSoftmax"""
    return _node("LogSoftmax", z)


def cross_entropy(logits, labels):
    """SoftmaxCrossEntropyLoss"""
    return _node("SoftmaxCrossEntropyLoss", logits, labels)


def sigmoid(z):
    """Sigmoid"""
    return _node("Sigmoid", z)


def gelu(x):
    """Gelu"""
    return _node("Gelu", x)


def gelu_tanh(x):
    """Gelu(approximate="tanh")"""
    return _node("Gelu", x, approximate="tanh")


def relu(x):
    """Relu"""
    return _node("Relu", x)


def silu(x):
    """Swish"""
    return _node("Swish", x)


def quick_gelu(x):
    """Swish(alpha=1.702)"""
    return _node("Swish", x, alpha=1.702)


def l2_normalize(x):
    """LpNormalization"""
    return _node("LpNormalization", x)


def patch_embed(images, weight, bias):
    """Conv"""
    grid = _node("Conv", images, weight, bias, strides=weight.shape[2:])  # B D rows cols
    B, D, rows, cols = grid.shape
    return grid.reshape(B, D, rows * cols).swapaxes(1, 2)  # B N D


def attention(query, key, value, bias):
    """Attention"""
    if bias is not None:
        bias = np.broadcast_to(bias, (*query.shape[:3], key.shape[2]))  # B H N M
    return _node("Attention", query, key, value, bias)


def rotary_embedding(x, angles):
    """RotaryEmbedding"""
    waves = (np.broadcast_to(f(angles), (len(x), *angles.shape)) for f in (np.cos, np.sin))
    return _node("RotaryEmbedding", x, *(wave.astype(x.dtype) for wave in waves))
