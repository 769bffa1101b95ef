"""JAX on the CPU: its own operation wherever it has one, else a composition of its primitives.

Every function takes the arguments of the operation of the same name as NumPy arrays and returns
NumPy arrays. Operations without array arguments are computed in float64.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from refimpl.backends.parts.derived import gradients as _gradients
from refimpl.backends.parts.jax_arrays import on_tensors as _on_tensors
from refimpl.backends.parts.jax_diffusion import (  # noqa: F401  found here by their names
    alpha_bar,
    classifier_free_guidance,
    classifier_guidance,
    classifier_guidance_score,
    cosine_schedule,
    ddim_step,
    discretized_gaussian_nll,
    dynamic_threshold,
    eps_from_score,
    eps_from_v,
    eps_from_x0,
    fixed_large_log_variance,
    fixed_small_log_variance,
    gaussian_kl,
    learned_range_log_variance,
    linear_schedule,
    p_sample,
    q_posterior,
    q_sample,
    q_step,
    respaced_betas,
    respaced_timesteps,
    scaled_linear_schedule,
    score_from_eps,
    velocity,
    x0_from_eps,
    x0_from_v,
    zero_terminal_snr,
)
from refimpl.backends.parts.jax_language import (  # noqa: F401  found here by their names
    dpo_loss,
    gae,
    kl_positive,
    masked_cross_entropy,
    next_token_loss,
    perplexity,
    preference_loss,
    token_log_probs,
)
from refimpl.backends.parts.jax_samplers import (  # noqa: F401  found here by their names
    ddim_inversion,
    dpm_solver_step,
    euler_step,
    heun_step,
    leading_timesteps,
    level_time,
    linspace_timesteps,
    plms_eps,
    sigma_at,
    trailing_timesteps,
)

VERSION = jax.__version__
PRECISIONS = ("float64", "float32", "bfloat16", "float16")
SUPPORTS = {
    # the softmax is float32; float16 products are missing
    **dict.fromkeys(
        ("attention", "attention_vjp", "multi_head_attention", "multi_head_attention_vjp"),
        ("float32", "bfloat16"),
    ),
    "discretized_gaussian_nll": ("float32",),  # a logarithm of tails has eleven digits
}


# Layers


def _linear(x, weight, bias):
    y = jnp.matmul(x, weight.T)
    return y if bias is None else y + bias


@_on_tensors
def linear(x, weight, bias):
    """jax.numpy.matmul"""
    return _linear(x, weight, bias)


@_on_tensors
def layer_norm(x, gain, bias, eps):
    """jax.nn.standardize"""
    return jax.nn.standardize(x, epsilon=eps) * gain + bias


@_on_tensors
def rms_norm(x, gain, eps):
    """jax.numpy.mean, jax.lax.rsqrt"""
    mean_square = jnp.mean(jnp.square(x), axis=-1, keepdims=True)  # ... 1
    return x * jax.lax.rsqrt(mean_square + eps) * gain


@_on_tensors
def group_norm(x, gain, bias, groups, eps):
    """jax.nn.standardize(algorithm="stable")"""
    B, channels, height, width = x.shape
    grouped = x.reshape(B, groups, channels // groups, height, width)  # B G C height width
    normal = jax.nn.standardize(grouped, axis=(2, 3, 4), epsilon=eps, algorithm="stable")
    return normal.reshape(x.shape) * gain[:, None, None] + bias[:, None, None]


@_on_tensors
def softmax(z):
    """jax.nn.softmax"""
    return jax.nn.softmax(z)


@_on_tensors
def log_softmax(z):
    """jax.nn.log_softmax"""
    return jax.nn.log_softmax(z)


def _cross_entropy(logits, labels):
    log_probs = jax.nn.log_softmax(logits)  # N K
    return -jnp.mean(jnp.take_along_axis(log_probs, labels[:, None], axis=1))


@_on_tensors
def cross_entropy(logits, labels):
    """jax.nn.log_softmax, jax.numpy.mean"""
    return _cross_entropy(logits, labels)


@_on_tensors
def sigmoid(z):
    """jax.nn.sigmoid"""
    return jax.nn.sigmoid(z)


@_on_tensors
def gelu(x):
    """jax.nn.gelu(approximate=False)"""
    return jax.nn.gelu(x, approximate=False)


@_on_tensors
def gelu_tanh(x):
    """jax.nn.gelu"""
    return jax.nn.gelu(x)


@_on_tensors
def quick_gelu(x):
    """jax.nn.sigmoid"""
    return x * jax.nn.sigmoid(1.702 * x)


@_on_tensors
def silu(x):
    """jax.nn.silu"""
    return jax.nn.silu(x)


@_on_tensors
def relu(x):
    """jax.nn.relu"""
    return jax.nn.relu(x)


@_on_tensors
def swiglu(gate, up):
    """jax.nn.silu"""
    return jax.nn.silu(gate) * up


@_on_tensors
def geglu(gate, up):
    """jax.nn.gelu(approximate=False)"""
    return jax.nn.gelu(gate, approximate=False) * up


@_on_tensors
def geglu_tanh(gate, up):
    """jax.nn.gelu"""
    return jax.nn.gelu(gate) * up


def _l2_normalize(x):
    norm = jnp.linalg.norm(x, axis=-1, keepdims=True)  # ... 1
    return x / jnp.where(norm > 0, norm, 1)


@_on_tensors
def l2_normalize(x):
    """jax.numpy.linalg.norm"""
    return _l2_normalize(x)


# Patch embedding


@_on_tensors
def patchify(images, patch):
    """jax.lax.conv_general_dilated_patches"""
    size = (patch, patch)
    grid = jax.lax.conv_general_dilated_patches(images, size, size, "VALID")
    return jnp.moveaxis(grid.reshape(*grid.shape[:2], -1), 1, 2)  # B N channels*P*P


@_on_tensors
def unpatchify(patches, patch, rows, channels):
    """jax.numpy.reshape, jax.numpy.transpose"""
    B, N, _ = patches.shape
    grid = jnp.reshape(patches, (B, rows, N // rows, channels, patch, patch))
    grid = jnp.transpose(grid, (0, 3, 1, 4, 2, 5))  # B channels rows P cols P
    return jnp.reshape(grid, (B, channels, rows * patch, N // rows * patch))


@_on_tensors
def patch_embed(images, weight, bias):
    """jax.lax.conv_general_dilated"""
    grid = jax.lax.conv_general_dilated(images, weight, weight.shape[2:], "VALID")
    B, D, rows, cols = grid.shape
    tokens = jnp.moveaxis(grid.reshape(B, D, rows * cols), 1, 2)  # B N D
    return tokens if bias is None else tokens + bias


@_on_tensors
def vit_tokens(patches, class_token, positions):
    """jax.numpy.concatenate"""
    first = jnp.broadcast_to(class_token, (len(patches), 1, len(class_token)))
    return jnp.concatenate((first, patches), axis=1) + positions  # B N+1 D


def _angles(t, half):
    frequencies = jnp.exp(-math.log(10000) * jnp.arange(half, dtype=t.dtype) / half)  # E
    return jnp.outer(t, frequencies)  # N E


@_on_tensors
def sinusoidal_positions(positions, half):
    """jax.numpy.exp, jax.numpy.outer, jax.numpy.sin, jax.numpy.cos"""
    angles = _angles(positions, half)
    pairs = jnp.stack((jnp.sin(angles), jnp.cos(angles)), axis=-1)  # N E 2
    return pairs.reshape(len(positions), 2 * half)


@_on_tensors
def timestep_embedding(t, half):
    """jax.numpy.exp, jax.numpy.outer, jax.numpy.cos, jax.numpy.sin"""
    angles = _angles(t, half)
    return jnp.concatenate((jnp.cos(angles), jnp.sin(angles)), axis=-1)  # B 2*E


# Positions


@_on_tensors
def embed_tokens(ids, table):
    """jax.numpy.take"""
    return jnp.take(table, ids, axis=0)


@_on_tensors
def rotary_angles(positions, half, base):
    """jax.numpy.power, jax.numpy.outer"""
    return jnp.outer(positions, base ** -(jnp.arange(half, dtype=positions.dtype) / half))


@_on_tensors
def rotary_embedding(x, angles):
    """jax.numpy.cos, jax.numpy.sin, jax.numpy.concatenate"""
    (first, second), cosine, sine = jnp.split(x, 2, axis=-1), jnp.cos(angles), jnp.sin(angles)
    halves = first * cosine - second * sine, second * cosine + first * sine  # B H N E
    return jnp.concatenate(halves, axis=-1)


@_on_tensors
def relative_bias(table, buckets):
    """jax.numpy.take"""
    return jnp.moveaxis(jnp.take(table, buckets, axis=0), -1, 0)


# Attention


def _attention(query, key, value, bias):
    """B tokens heads width: one width for all, filled up with zeros; -inf becomes a mask."""
    (B, N, heads, E), M, F = query.shape, key.shape[1], value.shape[3]
    query, key, value = (
        jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, max(E, F) - x.shape[3])))
        for x in (query, key, value)
    )
    mask = None
    if bias is not None:
        bias = jnp.broadcast_to(bias, (B, heads, N, M))
        mask = bias > -jnp.inf
        bias = jnp.where(mask, bias, 0)
    return jax.nn.dot_product_attention(query, key, value, bias, mask, scale=E**-0.5)[..., :F]


@_on_tensors
def attention(query, key, value, bias):
    """jax.nn.dot_product_attention"""
    query, key, value = (jnp.swapaxes(x, 1, 2) for x in (query, key, value))
    return jnp.swapaxes(_attention(query, key, value, bias), 1, 2)  # B G*R N F


@_on_tensors
def multi_head_attention(x, memory, in_weight, in_bias, out_weight, out_bias, heads, bias):
    """jax.numpy.matmul, jax.nn.dot_product_attention"""
    biases = (None,) * 3 if in_bias is None else jnp.split(in_bias, 3)
    query, key, value = (
        _linear(source, weight, b).reshape(*source.shape[:2], heads, source.shape[2] // heads)
        for source, weight, b in zip((x, memory, memory), jnp.split(in_weight, 3), biases)
    )
    return _linear(_attention(query, key, value, bias).reshape(x.shape), out_weight, out_bias)


def _additive(keep):
    return jnp.where(keep, 0.0, -jnp.inf)


@_on_tensors
def causal_bias(queries, keys):
    """jax.numpy.tri"""
    return _additive(jnp.tri(queries, keys, dtype=bool))  # N M


@_on_tensors
def causal_bias_lower_right(queries, keys):
    """jax.numpy.tri"""
    return _additive(jnp.tri(queries, keys, keys - queries, dtype=bool))  # N M


@_on_tensors
def padding_bias(lengths, keys):
    """jax.numpy.where"""
    return _additive(jnp.arange(keys) < lengths[:, None, None, None])  # B 1 1 M


@_on_tensors
def prefix_bias(prefix, tokens):
    """jax.numpy.tri, jax.numpy.logical_or"""
    causal = jnp.tri(tokens, dtype=bool)
    return _additive(jnp.logical_or(causal, jnp.arange(tokens) < prefix))  # N N


@_on_tensors
def block_diagonal_bias(segments):
    """jax.numpy.equal"""
    return _additive(jnp.equal(segments[:, None], segments))  # N N


# CLIP


def _clip_logits(image_features, text_features, log_scale):
    cosines = jnp.matmul(_l2_normalize(image_features), _l2_normalize(text_features).T)  # N M
    return jnp.exp(log_scale) * cosines


@_on_tensors
def clip_logits(image_features, text_features, log_scale):
    """jax.numpy.linalg.norm, jax.numpy.matmul"""
    return _clip_logits(image_features, text_features, log_scale)


@_on_tensors
def clip_loss(image_features, text_features, log_scale):
    """jax.numpy.linalg.norm, jax.numpy.matmul, jax.nn.log_softmax"""
    logits = _clip_logits(image_features, text_features, log_scale)  # N N
    labels = jnp.arange(len(logits))
    return (_cross_entropy(logits, labels) + _cross_entropy(logits.T, labels)) / 2


@_on_tensors
def siglip_loss(image_features, text_features, log_scale, bias):
    """jax.numpy.linalg.norm, jax.numpy.matmul, jax.nn.log_sigmoid"""
    logits = _clip_logits(image_features, text_features, log_scale) + bias  # N N
    signs = 2 * jnp.eye(len(logits), dtype=logits.dtype) - 1
    return -jnp.sum(jax.nn.log_sigmoid(signs * logits)) / len(logits)


# Gradients: automatic differentiation of the functions above


def _pull(function, arguments, wanted, grad):
    """jax.vjp"""
    values = [arguments.pop(name) for name in wanted]

    def of_wanted(*values):
        return function(**arguments, **dict(zip(wanted, values, strict=True)))

    result, pull_back = jax.vjp(of_wanted, *values)
    return pull_back(grad.astype(result.dtype))


globals().update(_gradients(globals(), _on_tensors, jnp.zeros, _pull))
