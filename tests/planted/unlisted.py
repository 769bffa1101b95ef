"""Wrong implementations that no list has, written apart from the texts, to be explained."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

PLANTED: dict[str, Callable] = {}  # wrong implementations, none of them made from the text
BEYOND: dict[str, Callable] = {}  # wrong in ways that no one or two small edits give


def planted(function: Callable) -> Callable:
    PLANTED[function.__name__] = function
    return function


def beyond(function: Callable) -> Callable:
    BEYOND[function.__name__] = function
    return function


def soft(scores):
    top = scores.max(axis=-1, keepdims=True)
    weights = np.exp(scores - np.where(np.isfinite(top), top, 0))
    total = weights.sum(axis=-1, keepdims=True)
    return weights / np.where(total > 0, total, 1)


def logistic(z):
    return np.where(z >= 0, 1 / (1 + np.exp(-z)), 1 - 1 / (1 + np.exp(z))).astype(z.dtype)


def column(table, t, like):
    return table[t].reshape(-1, *[1] * (like.ndim - 1))


def normal(x):
    return np.array([math.erf(v / math.sqrt(2)) for v in x.ravel()], x.dtype).reshape(x.shape)


@planted
def linear__bias_subtracted(x, weight, bias):
    y = np.matmul(x, np.transpose(weight))
    return y - (0 if bias is None else bias)


@planted
def layer_norm__variance_over_the_first_axis(x, gain, bias, eps):
    c = x - x.mean(-1, keepdims=True)
    return c / np.sqrt((c**2).mean(0, keepdims=True) + eps) * gain + bias


@planted
def layer_norm__divided_by_the_variance(x, gain, bias, eps):
    c = x - x.mean(-1, keepdims=True)
    return c / ((c**2).mean(-1, keepdims=True) + eps) * gain + bias


@planted
def rms_norm__sum_of_squares(x, gain, eps):
    return x / np.sqrt((x * x).sum(-1, keepdims=True) + eps) * gain


@planted
def group_norm__variance_of_each_channel(x, gain, bias, groups, eps):
    B, channels, height, width = x.shape
    g = x.reshape(B, groups, channels // groups, height, width)
    c = g - g.mean((2, 3, 4), keepdims=True)
    y = c / np.sqrt((c * c).mean((3, 4), keepdims=True) + eps)
    return y.reshape(x.shape) * gain[:, None, None] + bias[:, None, None]


@planted
def softmax__half_the_temperature(z):
    return soft(2 * z)


@planted
def cross_entropy__summed(logits, labels):
    p = soft(logits)[np.arange(len(labels)), labels]
    top = logits.max(-1, keepdims=True)
    log_total = np.log(np.exp(logits - top).sum(-1)) + top[:, 0]
    return (log_total - logits[np.arange(len(labels)), labels]).sum() + 0 * p.sum()


@planted
def gelu__divided_by_three(x):
    return x / 3 * (1 + normal(x))


@planted
def gelu_tanh__digit_lost(x):
    z = np.sqrt(2 / np.pi) * (x + 0.04471 * x * x * x)
    return (x * (1 + np.tanh(z)) / 2).astype(x.dtype)


@planted
def quick_gelu__rounded_factor(x):
    return x * logistic(x * np.asarray(1.7, x.dtype))


@planted
def silu__twice_the_slope(x):
    return x * logistic(x + x)


@planted
def l2_normalize__squared_length(x):
    squares = (x * x).sum(-1, keepdims=True)
    return x / np.where(squares > 0, squares, 1)


@planted
def patchify__columns_before_rows(images, patch):
    B, C, height, width = images.shape
    grid = images.reshape(B, C, height // patch, patch, width // patch, patch)
    grid = grid.transpose(0, 2, 4, 1, 5, 3)
    return grid.reshape(B, (height // patch) * (width // patch), -1 if B else C * patch**2)


@planted
def vit_tokens__class_token_last(patches, class_token, positions):
    token = np.tile(class_token.reshape(1, 1, -1), (len(patches), 1, 1))
    return np.concatenate([patches, token], axis=1) + positions


@planted
def timestep_embedding__one_frequency_fewer(t, half):
    with np.errstate(all="ignore"):
        w = np.exp(-np.log(10000.0) * np.arange(half) / (half - 1))
    angles = t.reshape(-1, 1) * w
    return np.concatenate([np.cos(angles), np.sin(angles)], axis=1)


@planted
def attention__divided_by_the_width(query, key, value, bias):
    share = query.shape[1] // key.shape[1]
    key, value = key.repeat(share, 1), value.repeat(share, 1)
    scores = np.matmul(query, key.transpose(0, 1, 3, 2)) / query.shape[-1]
    return soft(scores if bias is None else scores + bias) @ value


@planted
def attention__scaled_up(query, key, value, bias):
    share = query.shape[1] // key.shape[1]
    key, value = key.repeat(share, 1), value.repeat(share, 1)
    scores = np.matmul(query, key.transpose(0, 1, 3, 2)) * np.asarray(
        query.shape[-1] ** 0.5, query.dtype
    )
    return soft(scores if bias is None else scores + bias) @ value


@planted
def attention__softmax_over_queries(query, key, value, bias):
    share = query.shape[1] // key.shape[1]
    key, value = key.repeat(share, 1), value.repeat(share, 1)
    scores = query @ key.transpose(0, 1, 3, 2) / np.asarray(query.shape[-1] ** 0.5, query.dtype)
    scores = scores if bias is None else scores + bias
    return soft(scores.swapaxes(2, 3)).swapaxes(2, 3) @ value


@planted
def prefix_bias__both_conditions(prefix, tokens):
    i, j = np.mgrid[:tokens, :tokens]
    return np.where((j < prefix) & (j <= i), 0.0, -np.inf)


@planted
def causal_bias__sees_the_next_token(queries, keys):
    i, j = np.mgrid[:queries, :keys]
    return np.where(j > i + 1, -np.inf, 0.0)


@planted
def clip_logits__scale_not_exponentiated(image_features, text_features, log_scale):
    def unit(x):
        length = np.linalg.norm(x, axis=-1, keepdims=True)
        return x / np.where(length == 0, 1, length)

    return np.float64(log_scale) * (unit(image_features) @ unit(text_features).T)


@planted
def siglip_loss__bias_of_the_other_sign(image_features, text_features, log_scale, bias):
    z = np.exp(log_scale) * (
        l2(image_features.astype(np.float64)) @ l2(text_features.astype(np.float64)).T
    )
    z = (z - bias) * (2 * np.eye(len(z)) - 1)
    return np.logaddexp(0, -z).sum() / len(z)


def l2(x):
    length = np.sqrt(np.square(x).sum(-1, keepdims=True))
    return np.divide(x, length, out=np.zeros_like(x), where=length > 0)


@planted
def q_sample__factors_exchanged(x_start, t, noise, alpha_bar):
    a = column(alpha_bar, t, x_start)
    return np.sqrt(1 - a) * x_start + np.sqrt(a) * noise


@planted
def q_step__root_of_the_noise_forgotten(x_prev, t, noise, betas):
    b = column(betas, t, x_prev)
    return np.sqrt(1 - b) * x_prev + b * noise


@planted
def cosine_schedule__not_squared(steps, offset, beta_max):
    share = (np.arange(steps + 1) / steps + offset) / (1 + offset)
    f = np.cos(share * np.pi / 2)
    return np.minimum(1 - f[1:] / f[:-1], beta_max)


@planted
def x0_from_eps__not_divided(x_t, t, eps, alpha_bar):
    return x_t - eps * np.sqrt(1 - column(alpha_bar, t, x_t))


@planted
def velocity__sum(x_start, t, noise, alpha_bar):
    a = column(alpha_bar, t, x_start)
    return noise * np.sqrt(a) + x_start * np.sqrt(1 - a)


@planted
def learned_range_log_variance__not_rescaled(v, t, betas):
    b = betas.astype(np.float64)
    a = np.cumprod(1 - b)
    small = b[1:] * (1 - a[:-1]) / (1 - a[1:])
    small = np.log(np.append(small[:1], small))
    return v * column(np.log(b), t, v) + (1 - v) * column(small, t, v)


@planted
def p_sample__betas_one_step_early(x_t, t, eps, noise, betas, log_variance, clip):
    b = betas.astype(np.float64)
    a = np.cumprod(1 - b)
    x0 = (x_t - np.sqrt(1 - column(a, t, x_t)) * eps) / np.sqrt(column(a, t, x_t))
    x0 = np.clip(x0, -clip, clip)
    before = np.append(1.0, a[:-1])
    s = t - 1
    first = column(b * np.sqrt(before) / (1 - a), s, x_t)
    second = column((1 - before) * np.sqrt(1 - b) / (1 - a), s, x_t)
    z = np.where((t > 0).reshape(-1, *[1] * (x_t.ndim - 1)), noise, 0)
    return first * x0 + second * x_t + np.exp(log_variance / 2) * z


@planted
def p_sample__variance_for_deviation(x_t, t, eps, noise, betas, log_variance, clip):
    b = betas.astype(np.float64)
    a = np.cumprod(1 - b)
    x0 = (x_t - np.sqrt(1 - column(a, t, x_t)) * eps) / np.sqrt(column(a, t, x_t))
    x0 = np.clip(x0, -clip, clip)
    before = np.append(1.0, a[:-1])
    first = column(b * np.sqrt(before) / (1 - a), t, x_t)
    second = column((1 - before) * np.sqrt(1 - b) / (1 - a), t, x_t)
    z = np.where((t > 0).reshape(-1, *[1] * (x_t.ndim - 1)), noise, 0)
    return first * x0 + second * x_t + np.exp(log_variance) * z


@planted
def ddim_step__sigma_twice(x_t, t, t_prev, eps, noise, alpha_bar, eta):
    return ddim(x_t, t, t_prev, eps, noise, alpha_bar, eta, lambda sigma: sigma * sigma)


@planted
def ddim_step__no_noise(x_t, t, t_prev, eps, noise, alpha_bar, eta):
    return ddim(x_t, t, t_prev, eps, noise, alpha_bar, eta, lambda sigma: 0 * sigma)


def ddim(x_t, t, t_prev, eps, noise, alpha_bar, eta, spread):
    table = np.append(alpha_bar.astype(np.float64), 1.0)
    a, p = column(table, t, x_t), column(table, t_prev, x_t)
    sigma = eta * np.sqrt((1 - p) / (1 - a) * (1 - a / p))
    x0 = (x_t - np.sqrt(1 - a) * eps) / np.sqrt(a)
    return np.sqrt(p) * x0 + np.sqrt(np.maximum(1 - p - sigma**2, 0)) * eps + spread(sigma) * noise


@planted
def classifier_free_guidance__from_the_condition(eps_uncond, eps_cond, scale):
    return (1 + scale) * eps_cond - scale * eps_uncond


@planted
def dynamic_threshold__not_rescaled(x_start, quantile):
    flat = np.abs(x_start).reshape(len(x_start), math.prod(x_start.shape[1:]))
    limit = np.maximum(np.quantile(flat, quantile, axis=1), 1)
    limit = limit.reshape(-1, *[1] * (x_start.ndim - 1))
    return np.clip(x_start, -limit, limit)


@planted
def layer_norm__neither_gain_nor_bias(x, gain, bias, eps):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps)


@planted
def layer_norm__one_slip_within_another(x, gain, bias, eps):
    c = x - x.mean(-1, keepdims=True)
    return c / ((c * c).mean(-1, keepdims=True) + eps) + bias


@planted
def quick_gelu__two_slips(x):
    return x * logistic(x * np.asarray(1.7, x.dtype)) / 2


@planted
def velocity__neither_root(x_start, t, noise, alpha_bar):
    a = column(alpha_bar, t, x_start)
    return noise * a - x_start * (1 - a)


@planted
def l2_normalize__sum_of_magnitudes(x):
    length = np.abs(x).sum(-1, keepdims=True)
    return x / np.where(length > 0, length, 1)


@beyond
def silu__piecewise(x):
    return x * np.clip(x / 6 + 0.5, 0, 1)


@beyond
def attention__soft_capped(query, key, value, bias):
    share = query.shape[1] // key.shape[1]
    key, value = key.repeat(share, 1), value.repeat(share, 1)
    scores = query @ key.swapaxes(-1, -2) / np.asarray(query.shape[-1] ** 0.5, query.dtype)
    scores = np.tanh(scores / 50) * 50
    return soft(scores if bias is None else scores + bias) @ value
