"""Right and wrong implementations as people write them in JAX.

The first line of each docstring says what is wrong; `tests.planted.corpus` reads it.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np


def arrays(function):
    """Hand NumPy arrays over as JAX arrays, and the results back."""

    @functools.wraps(function)
    def call(**inputs):
        given = {
            name: jnp.asarray(np.array(x)) if isinstance(x, np.ndarray) else x
            for name, x in inputs.items()
        }
        return jax.tree.map(np.asarray, function(**given))

    return call


def masked_softmax(scores, axis=-1):
    return jnp.nan_to_num(jax.nn.softmax(scores, axis=axis), nan=0.0)


def batched(table, t, like):
    return jnp.take(table, t).reshape((-1,) + (1,) * (like.ndim - 1))


def unit(x):
    squares = jnp.sum(jnp.square(x), axis=-1, keepdims=True)
    return jnp.where(squares == 0, 0.0, x * jax.lax.rsqrt(jnp.where(squares == 0, 1.0, squares)))


@arrays
def linear__kernel_reshaped(x, weight, bias):
    """listed: linear/reshaped"""
    y = x @ weight.reshape(x.shape[-1], weight.shape[0])
    return y if bias is None else y + bias


@arrays
def rms_norm__eps_added_to_the_root(x, gain, eps):
    """listed: rms_norm/eps-outside-root"""
    return x / (jnp.sqrt(jnp.mean(x**2, axis=-1, keepdims=True)) + eps) * gain


@arrays
def log_softmax__maximum_forgotten(z):
    """listed: log_softmax/max-not-restored"""
    top = jnp.max(z, axis=-1, keepdims=True)
    top = jnp.where(jnp.isfinite(top), top, 0.0)
    total = jnp.sum(jnp.exp(z - top), axis=-1, keepdims=True)
    return z - jnp.log(jnp.where(total == 0, 1.0, total))


@arrays
def silu__the_quick_factor(x):
    """listed: silu/quick-gelu"""
    return x * jax.nn.sigmoid(1.702 * x)


@arrays
def unpatchify__reshaped_at_once(patches, patch, rows, channels):
    """listed: unpatchify/patches-end-to-end"""
    B, N, _ = patches.shape
    cols = N // rows
    grid = patches.reshape(B, rows, cols, channels, patch, patch)
    grid = grid.transpose(0, 3, 1, 2, 4, 5)
    return grid.reshape(B, channels, rows * patch, cols * patch)


@arrays
def sinusoidal_positions__base_of_a_thousand(positions, half):
    """listed: sinusoidal_positions/base-1000"""
    frequencies = np.float64(1000.0) ** (-np.arange(half) / half)
    angles = np.asarray(positions, np.float64)[:, None] * frequencies
    table = np.zeros((len(angles), 2 * half), np.float32)
    table[:, 0::2], table[:, 1::2] = np.sin(angles), np.cos(angles)
    return jnp.asarray(table)


@arrays
def attention__mask_times_scores(query, key, value, bias):
    """listed: attention/mask-multiplied"""
    shared = query.shape[1] // key.shape[1]
    key, value = jnp.repeat(key, shared, 1), jnp.repeat(value, shared, 1)
    scores = jnp.einsum("bhqd,bhkd->bhqk", query, key) / np.sqrt(query.shape[-1])
    if bias is not None:
        scores = scores * jnp.isfinite(bias)
    return jnp.einsum("bhqk,bhkd->bhqd", masked_softmax(scores), value)


@arrays
def padding_bias__length_included(lengths, keys):
    """listed: padding_bias/one-too-many"""
    visible = jnp.arange(keys)[None, :] <= lengths[:, None]
    return jnp.where(visible[:, None, None, :], 0.0, -jnp.inf)


@arrays
def clip_logits__scale_is_a_logarithm(image_features, text_features, log_scale):
    """listed: clip_logits/no-exponential"""
    return log_scale * jnp.einsum("id,td->it", unit(image_features), unit(text_features))


@arrays
def cosine_schedule__plain_cosine(steps, offset, beta_max):
    """listed: cosine_schedule/not-squared"""
    u = np.linspace(0, 1, steps + 1)
    f = np.cos((u + offset) / (1 + offset) * np.pi / 2)
    return jnp.minimum(jnp.asarray(1 - f[1:] / f[:-1], jnp.float32), beta_max)


@arrays
def q_posterior__weights_exchanged(x_start, x_t, t, betas):
    """listed: q_posterior/coefficients-exchanged"""
    b = np.asarray(betas, np.float64)
    bar = np.cumprod(1 - b)
    prev = np.append(1.0, bar[:-1])
    one, two = b * np.sqrt(prev) / (1 - bar), (1 - prev) * np.sqrt(1 - b) / (1 - bar)
    variance = b * (1 - prev) / (1 - bar)
    log_variance = np.log(np.append(variance[1], variance[1:]))
    one, two, variance, log_variance = (
        batched(jnp.asarray(table, jnp.float32), t, x_t)
        for table in (one, two, variance, log_variance)
    )
    mean = two * x_start + one * x_t
    shape = x_t.shape
    return mean, jnp.broadcast_to(variance, shape), jnp.broadcast_to(log_variance, shape)


@arrays
def eps_from_v__minus_the_sample(x_t, t, v, alpha_bar):
    """listed: eps_from_v/sign-of-the-sample"""
    a = batched(alpha_bar, t, x_t)
    return jnp.sqrt(a) * v - jnp.sqrt(1 - a) * x_t


@arrays
def classifier_guidance_score__added(eps, gradient, t, alpha_bar, scale):
    """listed: classifier_guidance_score/sign-flipped"""
    return eps + jnp.sqrt(1 - batched(alpha_bar, t, eps)) * scale * gradient


@arrays
def cross_entropy__all_labels_for_all(logits, labels):
    """listed: cross_entropy/all-pairs"""
    return -jnp.mean(jax.nn.log_softmax(logits)[:, labels])


@arrays
def l2_normalize__largest_entry(x):
    """unlisted: divided by the largest magnitude"""
    top = jnp.max(jnp.abs(x), axis=-1, keepdims=True)
    return x / jnp.where(top == 0, 1.0, top)


@arrays
def alpha_bar__betas_squared(betas):
    """unlisted: betas are squared first, as if they were standard deviations"""
    return jnp.cumprod(1 - betas * betas)


@arrays
def cross_entropy__in_bits(logits, labels):
    """unlisted: the loss is in bits"""
    log_probs = jax.nn.log_softmax(logits, axis=-1)
    picked = jnp.take_along_axis(log_probs, labels[:, None], axis=-1)
    return -jnp.mean(picked) / np.float32(np.log(2))


@arrays
def eps_from_x0__share_not_rooted_below(x_t, t, x_start, alpha_bar):
    """unlisted: divided by the root of the share, not of what is left"""
    a = batched(alpha_bar, t, x_t)
    return (x_t - jnp.sqrt(a) * x_start) / jnp.sqrt(a)


@arrays
def gelu_tanh__short_constant_no_root(x):
    """two: gelu_tanh/short-constant and gelu_tanh/no-root"""
    return 0.5 * x * (1 + jnp.tanh(2 / np.pi * (x + 0.0447 * x**3)))


@arrays
def group_norm__fixed_and_bare(x, gain, bias, groups, eps):
    """two: group_norm/fixed-eps and, not listed, neither gain nor bias"""
    B, C, height, width = x.shape
    g = x.reshape(B, groups, C // groups, height, width)
    centred = g - jnp.mean(g, axis=(2, 3, 4), keepdims=True)
    variance = jnp.mean(centred**2, axis=(2, 3, 4), keepdims=True)
    return (centred / jnp.sqrt(variance + 1e-5)).reshape(x.shape)


@arrays
def classifier_free_guidance__clipped_and_one_less(eps_uncond, eps_cond, scale):
    """two: classifier_free_guidance/weight-for-scale and classifier_free_guidance/clipped-before"""
    u, c = jnp.clip(eps_uncond, -1, 1), jnp.clip(eps_cond, -1, 1)
    return u + (scale - 1) * (c - u)


@arrays
def gelu__honest_jax(x):
    """honest: the library's function"""
    return jax.nn.gelu(x, approximate=False)


@arrays
def softmax__honest_library(z):
    """honest: the library's function, rows without an entry set to zero"""
    return masked_softmax(z)


@arrays
def group_norm__honest_two_passes(x, gain, bias, groups, eps):
    """honest: mean, then variance, with rsqrt"""
    g = x.reshape(len(x), groups, -1)
    centred = g - jnp.mean(g, axis=-1, keepdims=True)
    normal = centred * jax.lax.rsqrt(jnp.mean(centred**2, axis=-1, keepdims=True) + eps)
    return normal.reshape(x.shape) * gain[:, None, None] + bias[:, None, None]


@arrays
def siglip_loss__honest_log_sigmoid(image_features, text_features, log_scale, bias):
    """honest: the library's log sigmoid"""
    logits = jnp.exp(log_scale) * unit(image_features) @ unit(text_features).T + bias
    signs = 2 * jnp.eye(len(logits)) - 1
    return -jnp.mean(jnp.sum(jax.nn.log_sigmoid(signs * logits), axis=1))


@arrays
def q_sample__honest_rounding(x_start, t, noise, alpha_bar):
    """honest: tables of roots made first"""
    signal, spread = jnp.sqrt(alpha_bar), jnp.sqrt(1 - alpha_bar)
    return batched(signal, t, x_start) * x_start + batched(spread, t, x_start) * noise
