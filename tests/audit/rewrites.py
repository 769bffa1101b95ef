"""The same operations, honestly rewritten: forms that real libraries compute instead of the text's.

Each runs on plain arrays and in simulated precisions, and must stay within the text's bound.
"""

from __future__ import annotations

import numpy as np

from refimpl.constants import constant, erf, pi
from refimpl.op import values
from refimpl.ops.diffusion import reference as diffusion_page
from refimpl.ops.layers import reference as layers
from tests.audit.rewrites_of_attention import (
    attention_divided_last,
    attention_fourth_root,
    attention_online,
    attention_query_scaled,
    attention_vjp_autograd,
    attention_vjp_distributed,
    attention_vjp_flash,
    attention_vjp_stacked,
    clip_logits_divided_last,
    clip_logits_scaled_first,
    clip_logits_vjp_by_cosines,
    clip_logits_vjp_scale_last,
    clip_loss_shifted,
    clip_loss_vjp_from_logs,
    multi_head_attention_packed,
    multi_head_attention_vjp_packed,
    siglip_loss_plain,
    siglip_loss_vjp_probabilities,
)
from tests.audit.rewrites_of_gradients import (
    cross_entropy_vjp_backwards,
    cross_entropy_vjp_fused,
    gelu_tanh_vjp_split,
    gelu_vjp_distributed,
    group_norm_vjp_two_moments,
    l2_normalize_vjp_backwards,
    layer_norm_vjp_backwards,
    layer_norm_vjp_two_moments,
    linear_vjp_in_order,
    log_softmax_vjp_from_weights,
    quick_gelu_vjp_backwards,
    rms_norm_vjp_backwards,
    sigmoid_vjp_both_events,
    silu_vjp_factored,
    softmax_vjp_distributed,
    x0_from_eps_vjp_tables,
)
from tests.audit.rewrites_of_shares import (
    largest,
    log_softmax_shifted,
    sigmoid_plain,
    softmax_online,
)

at = diffusion_page.at


def linear_bias_first(x, weight, bias):
    """The bias starts the accumulator."""
    if bias is None:
        return layers.linear(x, weight, None)
    y = bias + x[..., 0:1] * weight[:, 0]
    for d in range(1, x.shape[-1]):
        y = y + x[..., d : d + 1] * weight[:, d]
    return y


def layer_norm_folded(x, gain, bias, eps):
    """One multiply-add an element: scale and shift are computed first."""
    mean = np.mean(x, axis=-1, keepdims=True)
    variance = np.mean((x - mean) * (x - mean), axis=-1, keepdims=True)
    scale = gain * (1 / np.sqrt(variance + eps))
    return x * scale + (bias - mean * scale)


def layer_norm_welford(x, gain, bias, eps):
    """Mean and squared deviations updated as each number arrives."""
    mean, squares = x[..., 0:1], 0 * x[..., 0:1]
    for k in range(1, x.shape[-1]):
        change = x[..., k : k + 1] - mean
        mean = mean + change / (k + 1)
        squares = squares + change * (x[..., k : k + 1] - mean)
    return (x - mean) * (1 / np.sqrt(squares / x.shape[-1] + eps)) * gain + bias


def rms_norm_folded(x, gain, eps):
    return x * (gain * (1 / np.sqrt(np.sum(x * x, axis=-1, keepdims=True) / x.shape[-1] + eps)))


def group_norm_folded(x, gain, bias, groups, eps):
    B, channels, height, width = x.shape
    grouped = np.reshape(x, (B, groups, channels // groups * height * width))
    mean = np.mean(grouped, axis=-1, keepdims=True)
    variance = np.mean((grouped - mean) * (grouped - mean), axis=-1, keepdims=True)
    inverse = np.repeat((1 / np.sqrt(variance + eps))[..., 0], channels // groups, axis=1)
    means = np.repeat(mean[..., 0], channels // groups, axis=1)
    scale = inverse * gain
    shift = bias - means * scale
    return x * scale[:, :, None, None] + shift[:, :, None, None]


def softmax_from_logs(z):
    return np.exp(log_softmax_shifted(z))


def cross_entropy_picked(logits, labels):
    top = largest(logits)
    total = np.sum(np.exp(logits - top), axis=-1, keepdims=True)
    picked = logits[np.arange(len(labels)), labels]
    return np.sum((np.log(total) + top)[:, 0] - picked) / len(labels)


def gelu_distributed(x):
    return x / 2 + x / 2 * erf(x * (1 / np.sqrt(constant(2, x))))


def gelu_tanh_as_sigmoid(x):
    inner = np.sqrt(2 / pi(x)) * (x + 0.044715 * (x * x * x))
    return x / (1 + np.exp(-2 * inner))


def quick_gelu_plain(x):
    return x * (1 / (1 + np.exp(-1.702 * x)))


def silu_plain(x):
    return x / (1 + np.exp(-x))


def l2_normalize_by_root(x):
    squares = np.sum(x * x, axis=-1, keepdims=True)
    return x * (1 / np.sqrt(np.where(squares > 0, squares, 1)))


def linear_schedule_stepped(steps, beta_start, beta_end):
    share = np.arange(steps) / max(steps - 1, 1)
    return (1 - share) * beta_start + share * beta_end


def cosine_schedule_normalised(steps, offset, beta_max):
    share = (np.arange(steps + 1) / steps + offset) / (1 + offset)
    f = np.cos(share * (pi(share) / 2))
    f = f * f
    f = f / f[0:1]
    return np.minimum(1 - f[1:] / f[:-1], beta_max)


def x0_from_eps_tables(x_t, t, eps, alpha_bar):
    """Coefficients tabulated in float64, as in the original DDPM code, and rounded once.

    Not in float64 itself: there 1/ᾱ - 1 loses up to four digits near t = 0 that 1 - ᾱ keeps, and
    the bound is right to say so.
    """
    share = at(values(alpha_bar).astype(np.float64), t, x_t)
    return np.sqrt(1 / share) * x_t - np.sqrt(1 / share - 1) * eps


def eps_from_x0_tables(x_t, t, x_start, alpha_bar):
    share = at(values(alpha_bar).astype(np.float64), t, x_t)
    if np.any(share == 0):  # these tables do not exist at zero signal
        return diffusion_page.eps_from_x0(x_t, t, x_start, alpha_bar)
    return (np.sqrt(1 / share) * x_t - x_start) / np.sqrt(1 / share - 1)


def q_posterior_regrouped(x_start, x_t, t, betas):
    share = diffusion_page.alpha_bar(betas)
    now, prev = at(share, t, x_t), at(diffusion_page.before(share), t, x_t)
    beta = at(betas, t, x_t)
    mean = (np.sqrt(prev) * beta * x_start + np.sqrt(1 - beta) * (1 - prev) * x_t) / (1 - now)
    variance = (1 - prev) / (1 - now) * beta
    log_variance = at(diffusion_page.fixed_small_log_variance(betas), t, x_t)
    return tuple(np.broadcast_to(x, x_t.shape) for x in (mean, variance, log_variance))


def p_sample_tables(x_t, t, eps, noise, betas, log_variance, clip):
    share = diffusion_page.alpha_bar(betas)
    x_start = x0_from_eps_tables(x_t, t, eps, share)
    x_start = np.minimum(np.maximum(x_start, -clip), clip)
    mean = q_posterior_regrouped(x_start, x_t, t, betas)[0]
    later = np.reshape(np.asarray(t) > 0, (-1,) + (1,) * (x_t.ndim - 1))
    return mean + later * (np.exp(log_variance / 2) * noise)


def classifier_guidance_regrouped(mean, variance, gradient, scale):
    return mean + variance * (scale * gradient)


def classifier_guidance_score_regrouped(eps, gradient, t, alpha_bar, scale):
    return eps - scale * (np.sqrt(1 - at(alpha_bar, t, eps)) * gradient)


def spherical_distance_by_tangent(image_features, text_features):
    """Twice the angle whose tangent is the difference's length over that of the sum."""
    images, texts = layers.l2_normalize(image_features), layers.l2_normalize(text_features)
    apart, together = images[:, None, :] - texts, images[:, None, :] + texts
    apart, together = (np.sqrt(np.sum(x * x, axis=-1)) for x in (apart, together))
    known = [np.any(values(x) != 0, axis=-1) for x in (image_features, text_features)]
    angle = 2 * np.arctan2(apart, together)
    chord = 2 * np.arcsin(np.minimum(apart / 2, 1))
    angle = np.where(known[0][:, None] & known[1], angle, chord)
    return angle * angle / 2


def spherical_distance_vjp_published(image_features, text_features, grad):
    """As autograd unrolls the published code: square, arc sine, half, length, difference."""
    images, texts = layers.l2_normalize(image_features), layers.l2_normalize(text_features)
    apart = images[:, None, :] - texts
    chord = np.sqrt(np.sum(apart * apart, axis=-1))
    half = np.minimum(chord / 2, 1)
    slope = grad * 2 * 2 * np.arcsin(half)
    slope = slope / np.sqrt(np.maximum(1 - half * half, 1e-16)) / 2
    pull = (slope / np.where(chord > 0, chord, 1))[..., None] * apart
    return (
        layers.l2_normalize_vjp(image_features, np.sum(pull, axis=1)),
        layers.l2_normalize_vjp(text_features, np.sum(-pull, axis=0)),
    )


def spherical_distance_vjp_by_product(image_features, text_features, grad):
    """What lies along an image is dropped before the pulls of all texts are added up."""
    images, texts = layers.l2_normalize(image_features), layers.l2_normalize(text_features)
    apart = images[:, None, :] - texts
    sine = np.sqrt(np.sum(apart * apart, axis=-1)) / 2
    sine = np.minimum(np.maximum(sine, 1e-30), 1)
    cosine = np.sqrt(np.maximum((1 - sine) * (1 + sine), 1e-16))
    factor = grad * np.arcsin(sine) / (sine * cosine)
    return (
        layers.l2_normalize_vjp(image_features, -(factor @ texts)),
        layers.l2_normalize_vjp(text_features, -(factor.T @ images)),
    )


def clip_guidance_loss_stacked(distances, weights):
    B, N, M = distances.shape
    return np.sum(np.reshape(distances, (B * N, M)) @ weights[:, None]) / N


def clip_guidance_loss_by_samples(distances, weights):
    return np.sum(np.mean(np.sum(distances * weights, axis=2), axis=1))


def classifier_guidance_velocity_sigma_over_alpha(v, gradient, t, alpha_bar, scale):
    share = at(alpha_bar, t, v)
    alpha, sigma = np.sqrt(share), np.sqrt(1 - share)
    quotient = np.where(share > 0, sigma / np.where(share > 0, alpha, 1), 0)
    return v - quotient * scale * gradient


def classifier_free_guidance_weights(eps_uncond, eps_cond, scale):
    return scale * eps_cond + (1 - scale) * eps_uncond


def classifier_free_guidance_w(eps_uncond, eps_cond, scale):
    w = float(values(scale)) - 1  # a Python float, as scalars are
    return (1 + w) * eps_cond - w * eps_uncond


def learned_range_log_variance_lerp(v, t, betas):
    small = at(diffusion_page.fixed_small_log_variance(betas), t, v)
    large = at(np.log(betas), t, v)
    return small + (v + 1) / 2 * (large - small)


FLOAT32_ONLY = (x0_from_eps_tables, eps_from_x0_tables, x0_from_eps_vjp_tables)


def resize_bicubic_expanded(images, tall, wide):
    """Keys' cubics as they are printed: their terms are large where the kernel is near zero."""

    def weights(size, target):
        scale = constant(size, images) / constant(target, images)
        centers = (np.arange(target) + 0.5) * scale - 0.5
        x = np.abs((centers[:, None] - np.arange(size)) / np.maximum(scale, 1))
        near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
        taken = np.where(x <= 1, near, np.where(x < 2, far, 0))
        return taken / np.sum(taken, axis=1, keepdims=True)

    return weights(images.shape[2], tall) @ images @ weights(images.shape[3], wide).T


def flow_ancestral_step_by_coefficients(x, x_start, noise, t, t_next, eta):
    """One factor for each of the three arrays, as samplers have them in a table."""
    drop = eta * t_next * (1 - t_next / t)
    down = t_next - drop
    factor = (1 - t_next) / (1 - down)
    fresh = np.sqrt(drop * (t_next + down - 2 * t_next * down)) / (1 - down)
    return factor * (down / t) * x + factor * (1 - down / t) * x_start + fresh * noise


REWRITES = {
    "resize_bicubic": (resize_bicubic_expanded,),
    "flow_ancestral_step": (flow_ancestral_step_by_coefficients,),
    "linear": (linear_bias_first,),
    "layer_norm": (layer_norm_folded, layer_norm_welford),
    "rms_norm": (rms_norm_folded,),
    "group_norm": (group_norm_folded,),
    "softmax": (softmax_online, softmax_from_logs),
    "log_softmax": (log_softmax_shifted,),
    "cross_entropy": (cross_entropy_picked,),
    "sigmoid": (sigmoid_plain,),
    "gelu": (gelu_distributed,),
    "gelu_tanh": (gelu_tanh_as_sigmoid,),
    "quick_gelu": (quick_gelu_plain,),
    "silu": (silu_plain,),
    "l2_normalize": (l2_normalize_by_root,),
    "linear_vjp": (linear_vjp_in_order,),
    "x0_from_eps_vjp": (x0_from_eps_vjp_tables,),
    "layer_norm_vjp": (layer_norm_vjp_two_moments, layer_norm_vjp_backwards),
    "rms_norm_vjp": (rms_norm_vjp_backwards,),
    "group_norm_vjp": (group_norm_vjp_two_moments,),
    "softmax_vjp": (softmax_vjp_distributed,),
    "log_softmax_vjp": (log_softmax_vjp_from_weights,),
    "cross_entropy_vjp": (cross_entropy_vjp_fused, cross_entropy_vjp_backwards),
    "sigmoid_vjp": (sigmoid_vjp_both_events,),
    "gelu_vjp": (gelu_vjp_distributed,),
    "gelu_tanh_vjp": (gelu_tanh_vjp_split,),
    "quick_gelu_vjp": (quick_gelu_vjp_backwards,),
    "silu_vjp": (silu_vjp_factored,),
    "l2_normalize_vjp": (l2_normalize_vjp_backwards,),
    "attention": (
        attention_query_scaled,
        attention_fourth_root,
        attention_divided_last,
        attention_online,
    ),
    "attention_vjp": (
        attention_vjp_autograd,
        attention_vjp_flash,
        attention_vjp_stacked,
        attention_vjp_distributed,
    ),
    "multi_head_attention": (multi_head_attention_packed,),
    "multi_head_attention_vjp": (multi_head_attention_vjp_packed,),
    "clip_logits": (clip_logits_divided_last, clip_logits_scaled_first),
    "clip_logits_vjp": (clip_logits_vjp_by_cosines, clip_logits_vjp_scale_last),
    "clip_loss": (clip_loss_shifted,),
    "clip_loss_vjp": (clip_loss_vjp_from_logs,),
    "siglip_loss": (siglip_loss_plain,),
    "siglip_loss_vjp": (siglip_loss_vjp_probabilities,),
    "linear_schedule": (linear_schedule_stepped,),
    "cosine_schedule": (cosine_schedule_normalised,),
    "x0_from_eps": (x0_from_eps_tables,),
    "eps_from_x0": (eps_from_x0_tables,),
    "q_posterior": (q_posterior_regrouped,),
    "learned_range_log_variance": (learned_range_log_variance_lerp,),
    "p_sample": (p_sample_tables,),
    "classifier_guidance": (classifier_guidance_regrouped,),
    "classifier_guidance_score": (classifier_guidance_score_regrouped,),
    "classifier_guidance_velocity": (classifier_guidance_velocity_sigma_over_alpha,),
    "spherical_distance": (spherical_distance_by_tangent,),
    "spherical_distance_vjp": (
        spherical_distance_vjp_published,
        spherical_distance_vjp_by_product,
    ),
    "clip_guidance_loss": (clip_guidance_loss_stacked, clip_guidance_loss_by_samples),
    "classifier_free_guidance": (classifier_free_guidance_weights, classifier_free_guidance_w),
}
