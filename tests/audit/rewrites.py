"""The same operations, honestly rewritten: forms that real libraries compute instead of the text's.

Each runs on plain arrays and in simulated precisions, and must stay within the text's bound.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from refimpl.constants import constant, erf, pi
from refimpl.op import values
from refimpl.ops.attention import reference as attention_page
from refimpl.ops.clip import reference as clip_page
from refimpl.ops.diffusion import reference as diffusion_page
from refimpl.ops.layers import reference as layers

at = diffusion_page.at


def largest(z: Any) -> Any:
    top = np.max(z, axis=-1, keepdims=True)
    return np.where(top > -np.inf, top, 0)


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


def softmax_online(z):
    """One pass: the sum so far is rescaled whenever a larger entry arrives."""
    top, total = largest(z[..., 0:1]), np.exp(z[..., 0:1] - largest(z[..., 0:1]))
    for k in range(1, z.shape[-1]):
        entry = z[..., k : k + 1]
        seen = np.maximum(np.max(z[..., :k], axis=-1, keepdims=True), entry)
        new = np.where(seen > -np.inf, seen, 0)
        rescale = np.where(total > 0, np.exp(top - new), 0)
        total = total * rescale + np.exp(entry - new)
        top = new
    return np.exp(z - top) / np.where(total > 0, total, 1)


def softmax_from_logs(z):
    return np.exp(log_softmax_shifted(z))


def log_softmax_shifted(z):
    shifted = z - largest(z)
    total = np.sum(np.exp(shifted), axis=-1, keepdims=True)
    return shifted - np.log(np.maximum(total, 1))


def cross_entropy_picked(logits, labels):
    top = largest(logits)
    total = np.sum(np.exp(logits - top), axis=-1, keepdims=True)
    picked = logits[np.arange(len(labels)), labels]
    return np.sum((np.log(total) + top)[:, 0] - picked) / len(labels)


def sigmoid_plain(z):
    return 1 / (1 + np.exp(-z))


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


def _attend(query, key, value, bias, scores):
    shared = query.shape[1] // key.shape[1]
    key, value = np.repeat(key, shared, axis=1), np.repeat(value, shared, axis=1)
    scores = scores(query, key)
    return (scores if bias is None else scores + bias), value


def _plain_scores(query, key):
    return query @ np.swapaxes(key, -1, -2) / np.sqrt(constant(query.shape[-1], query))


def attention_query_scaled(query, key, value, bias):
    def scores(q, k):
        return (q * (1 / np.sqrt(constant(q.shape[-1], q)))) @ np.swapaxes(k, -1, -2)

    scores, value = _attend(query, key, value, bias, scores)
    return layers.softmax(scores) @ value


def attention_fourth_root(query, key, value, bias):
    def scores(q, k):
        root = np.sqrt(np.sqrt(constant(q.shape[-1], q)))
        return (q / root) @ np.swapaxes(k / root, -1, -2)

    scores, value = _attend(query, key, value, bias, scores)
    return layers.softmax(scores) @ value


def attention_divided_last(query, key, value, bias):
    scores, value = _attend(query, key, value, bias, _plain_scores)
    weights = np.exp(scores - largest(scores))
    return (weights @ value) / np.maximum(np.sum(weights, axis=-1, keepdims=True), 1)


def attention_online(query, key, value, bias):
    """Keys one by one, sum and output rescaled on the way."""
    scores, value = _attend(query, key, value, bias, _plain_scores)
    top = largest(scores[..., 0:1])
    total = np.exp(scores[..., 0:1] - top)
    mixed = total * value[:, :, 0:1, :]
    for m in range(1, scores.shape[-1]):
        seen = np.max(scores[..., : m + 1], axis=-1, keepdims=True)
        new = np.where(seen > -np.inf, seen, 0)
        rescale = np.where(total > 0, np.exp(top - new), 0)
        weight = np.exp(scores[..., m : m + 1] - new)
        total = total * rescale + weight
        mixed = mixed * rescale + weight * value[:, :, m : m + 1, :]
        top = new
    return mixed / np.where(total > 0, total, 1)


def _attention_grads(query, key, value, bias, grad, weigh, average):
    """The gradients from weights made in some way, heads repeated and their gradients added up."""
    B, heads, _, E = query.shape
    G, M = key.shape[1:3]
    scores, values_ = _attend(query, key, value, bias, _plain_scores)
    keys = np.repeat(key, heads // G, axis=1)
    weights = weigh(scores)
    weights_grad = grad @ np.swapaxes(values_, -1, -2)
    scores_grad = weights * (weights_grad - average(weights, weights_grad, values_))
    scaled = scores_grad * (1 / np.sqrt(constant(E, query)))

    def of_groups(x):
        return np.sum(np.reshape(x, (B, G, heads // G, M, x.shape[-1])), axis=2)

    key_grad = of_groups(np.swapaxes(scaled, -1, -2) @ query)
    return scaled @ keys, key_grad, of_groups(np.swapaxes(weights, -1, -2) @ grad), scores_grad


def attention_vjp_autograd(query, key, value, bias, grad):
    """The weights are kept, and the averages are those of the weights' gradient."""

    def average(weights, weights_grad, _):
        return np.sum(weights * weights_grad, axis=-1, keepdims=True)

    return _attention_grads(query, key, value, bias, grad, layers.softmax, average)


def attention_vjp_flash(query, key, value, bias, grad):
    """The weights are made again from the logarithm of each row's sum, the output was kept."""

    def weigh(scores):
        top = largest(scores)
        total = np.sum(np.exp(scores - top), axis=-1, keepdims=True)
        return np.exp(scores - (top + np.log(np.maximum(total, 1))))

    kept = attention_online(query, key, value, bias)

    def average(*_):
        return np.sum(grad * kept, axis=-1, keepdims=True)

    return _attention_grads(query, key, value, bias, grad, weigh, average)


def attention_vjp_stacked(query, key, value, bias, grad):
    """The queries that share a key head stand below each other: one product for all of them."""
    B, heads, N, E = query.shape
    G, M = key.shape[1:3]
    query = np.reshape(query, (B, G, heads // G * N, E))
    grad = np.reshape(grad, (B, G, heads // G * N, grad.shape[-1]))
    if bias is not None:
        bias = np.reshape(np.broadcast_to(bias, (B, heads, N, M)), (B, G, heads // G * N, M))
    query_grad, key_grad, value_grad, scores_grad = attention_vjp_autograd(
        query, key, value, bias, grad
    )
    whole = (B, heads, N)
    query_grad = np.reshape(query_grad, (*whole, E))
    return query_grad, key_grad, value_grad, np.reshape(scores_grad, (*whole, M))


def attention_vjp_distributed(query, key, value, bias, grad):
    """P times the gradient first, then minus P times the row's sum of that, as torch has it."""
    B, heads, N, E = query.shape
    G, M = key.shape[1:3]
    scores, values_ = _attend(query, key, value, bias, _plain_scores)
    weights = layers.softmax(scores)
    inner = weights * (grad @ np.swapaxes(values_, -1, -2))
    scores_grad = inner - weights * np.sum(inner, axis=-1, keepdims=True)
    root = np.sqrt(constant(E, query))
    query_grad = scores_grad @ (np.repeat(key, heads // G, axis=1) / root)
    stacked = [np.reshape(x, (B, G, heads // G * N, x.shape[-1])) for x in (weights, grad)]
    slopes = np.reshape(scores_grad, (B, G, heads // G * N, M))
    queries = np.reshape(query / root, (B, G, heads // G * N, E))
    key_grad = np.swapaxes(slopes, -1, -2) @ queries
    return query_grad, key_grad, np.swapaxes(stacked[0], -1, -2) @ stacked[1], scores_grad


def multi_head_attention_vjp_packed(x, memory, in_weight, in_bias, out_weight, heads, bias, grad):
    """One packed product for keys and values, the averages from the weights' gradient."""
    B, N, D = x.shape
    M = memory.shape[1]
    in_bias = 0 * in_weight[:, 0] if in_bias is None else in_bias
    split, join = attention_page.split_heads, attention_page.join_heads
    query = split(layers.linear(x, in_weight[:D], in_bias[:D]), heads)
    both = layers.linear(memory, in_weight[D:], in_bias[D:])
    key, value = split(both[..., :D], heads), split(both[..., D:], heads)
    mixed = join(attention_divided_last(query, key, value, bias))
    inner = attention_vjp_autograd(query, key, value, bias, split(grad @ out_weight, heads))
    asked = join(inner[0])
    told = np.concatenate([join(inner[1]), join(inner[2])], axis=-1)  # B M 2*D

    def rows(tokens):
        return np.reshape(tokens, (tokens.shape[0] * tokens.shape[1], tokens.shape[2]))

    ones_x, ones_memory = np.ones((1, B * N)), np.ones((1, B * M))
    in_weight_grad = np.concatenate([rows(asked).T @ rows(x), rows(told).T @ rows(memory)])
    in_bias_grad = np.concatenate([(ones_x @ rows(asked))[0], (ones_memory @ rows(told))[0]])
    out = rows(grad).T @ rows(mixed), np.sum(np.sum(grad, axis=1), axis=0)
    return asked @ in_weight[:D], told @ in_weight[D:], in_weight_grad, in_bias_grad, *out


def multi_head_attention_packed(x, memory, in_weight, in_bias, out_weight, out_bias, heads, bias):
    """The scale is folded into the query's projection."""
    D = x.shape[-1]
    root = np.sqrt(constant(D // heads, x))
    b_q, b_k, b_v = (None,) * 3 if in_bias is None else np.split(in_bias, 3)
    w_q, w_k, w_v = np.split(in_weight, 3)
    split = attention_page.split_heads
    query = split(layers.linear(x, w_q / root, None if b_q is None else b_q / root), heads)
    key = split(layers.linear(memory, w_k, b_k), heads)
    value = split(layers.linear(memory, w_v, b_v), heads)
    scores = query @ np.swapaxes(key, -1, -2)
    mixed = layers.softmax(scores if bias is None else scores + bias) @ value
    mixed = np.reshape(np.swapaxes(mixed, 1, 2), (*x.shape[:2], D))
    return layers.linear(mixed, out_weight, out_bias)


def clip_logits_divided_last(image_features, text_features, log_scale):
    norms = [
        np.sqrt(np.sum(f * f, axis=-1, keepdims=True)) for f in (image_features, text_features)
    ]
    a, b = (np.where(n > 0, n, 1) for n in norms)
    return (image_features @ text_features.T) / a / b.T * np.exp(log_scale)


def clip_logits_scaled_first(image_features, text_features, log_scale):
    images = layers.l2_normalize(image_features) * np.exp(log_scale)
    return images @ layers.l2_normalize(text_features).T


def clip_loss_shifted(image_features, text_features, log_scale):
    logits = clip_logits_scaled_first(image_features, text_features, log_scale)
    N = len(logits)
    rows = log_softmax_shifted(logits)[np.arange(N), np.arange(N)]
    columns = log_softmax_shifted(logits.T)[np.arange(N), np.arange(N)]
    return -np.sum(rows + columns) / (2 * N)


def clip_logits_vjp_by_cosines(image_features, text_features, log_scale, grad):
    """What lies along a feature from the cosines, and the lengths divided out at the start."""
    sizes = [
        np.sqrt(np.sum(f * f, axis=-1, keepdims=True)) for f in (image_features, text_features)
    ]
    a, b = (np.where(n > 0, n, 1) for n in sizes)
    images, texts = image_features * (1 / a), text_features * (1 / b)
    cosines, scaled = images @ texts.T, np.exp(log_scale) * grad
    products = scaled * cosines
    images_grad = scaled @ texts - images * np.sum(products, axis=1)[:, None]
    texts_grad = scaled.T @ images - texts * np.sum(products, axis=0)[:, None]
    return images_grad * (1 / a), texts_grad * (1 / b), np.sum(np.sum(products, axis=1))


def clip_logits_vjp_scale_last(image_features, text_features, log_scale, grad):
    """As autograd has it: the scale's gradient comes first, and is then multiplied by the scale."""
    scale = np.exp(log_scale)
    images, texts = layers.l2_normalize(image_features), layers.l2_normalize(text_features)
    scale_grad = np.sum(grad * (images @ texts.T))
    inner = grad * scale
    return (
        layers.l2_normalize_vjp(image_features, inner @ texts),
        layers.l2_normalize_vjp(text_features, inner.T @ images),
        scale_grad * scale,
    )


def clip_loss_vjp_from_logs(image_features, text_features, log_scale, grad):
    """Each direction by itself, its shares from the logarithms that the loss has."""
    logits = clip_logits_scaled_first(image_features, text_features, log_scale)
    N = len(logits)
    rows = np.exp(log_softmax_shifted(logits)) / N - np.eye(N) / N
    columns = np.exp(log_softmax_shifted(logits.T)) / N - np.eye(N) / N
    slopes = grad / 2 * rows + (grad / 2 * columns).T
    return clip_logits_vjp_by_cosines(image_features, text_features, log_scale, slopes)


def siglip_loss_vjp_probabilities(image_features, text_features, log_scale, bias, grad):
    """Probabilities less the labels."""
    logits = clip_page.clip_logits(image_features, text_features, log_scale) + bias
    N = len(logits)
    away = np.where(np.eye(N) == 1, -layers.sigmoid(-logits), layers.sigmoid(logits))
    slopes = away * (grad / N)
    features = clip_logits_vjp_by_cosines(image_features, text_features, log_scale, slopes)
    return *features, np.sum(np.sum(slopes, axis=0))


def siglip_loss_plain(image_features, text_features, log_scale, bias):
    logits = clip_page.clip_logits(image_features, text_features, log_scale) + bias
    N = len(logits)
    signed = (1 - 2 * np.eye(N)) * logits
    return np.sum(np.maximum(signed, 0) + np.log(1 + np.exp(-np.abs(signed)))) / N


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


def layer_norm_vjp_two_moments(x, gain, eps, grad):
    """As torch: a factor times x plus a constant, from sums of grad and of grad times x."""
    D, rows = x.shape[-1], tuple(range(x.ndim - 1))
    mean = np.mean(x, axis=-1, keepdims=True)
    variance = np.mean((x - mean) * (x - mean), axis=-1, keepdims=True)
    inverse, inner = 1 / np.sqrt(variance + eps), grad * gain
    total = np.sum(inner, axis=-1, keepdims=True)
    product = np.sum(inner * x, axis=-1, keepdims=True)
    pull = (total * mean - product) * inverse * inverse * inverse / D
    x_grad = inverse * inner + pull * x - (pull * mean + total * inverse / D)
    normal = x * inverse - mean * inverse
    return x_grad, np.sum(grad * normal, axis=rows), np.sum(grad, axis=rows)


def layer_norm_vjp_backwards(x, gain, eps, grad):
    """Step by step through the text, as automatic differentiation goes."""
    D, rows = x.shape[-1], tuple(range(x.ndim - 1))
    centred = x - np.mean(x, axis=-1, keepdims=True)
    root = np.sqrt(np.mean(centred * centred, axis=-1, keepdims=True) + eps)
    inner = gain * grad
    root_grad = -np.sum(inner * centred / (root * root), axis=-1, keepdims=True)
    square_grad = root_grad / (2 * root) / D
    centred_grad = inner / root + square_grad * centred + square_grad * centred
    x_grad = centred_grad - np.sum(centred_grad, axis=-1, keepdims=True) / D
    return x_grad, np.sum(grad * (centred / root), axis=rows), np.sum(grad, axis=rows)


def rms_norm_vjp_backwards(x, gain, eps, grad):
    root = np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps)
    inner = gain * grad
    inverse = 1 / root
    pull = np.sum(inner * x, axis=-1, keepdims=True) * (inverse * inverse * inverse)
    x_grad = inner * inverse - x * (pull / x.shape[-1])
    return x_grad, np.sum(grad * (x * inverse), axis=tuple(range(x.ndim - 1)))


def group_norm_vjp_two_moments(x, gain, groups, eps, grad):
    B, channels, height, width = x.shape
    shape = (B, groups, channels // groups * height * width)
    ones = np.ones(shape[-1])
    inner = np.reshape(gain[:, None, None] * grad, shape)
    x_grad, _, _ = layer_norm_vjp_two_moments(np.reshape(x, shape), ones, eps, inner)
    _, gain_grad, bias_grad = layers.group_norm_vjp(x, gain, groups, eps, grad)
    return np.reshape(x_grad, x.shape), gain_grad, bias_grad


def softmax_vjp_distributed(z, grad):
    weights = softmax_online(z)
    products = weights * grad
    return products - weights * np.sum(products, axis=-1, keepdims=True)


def log_softmax_vjp_from_weights(z, grad):
    return grad - layers.softmax(z) * np.sum(grad, axis=-1, keepdims=True)


def cross_entropy_vjp_fused(logits, labels, grad):
    one_hot = np.eye(logits.shape[-1])[labels]
    return (layers.softmax(logits) - one_hot) * grad / len(labels)


def cross_entropy_vjp_backwards(logits, labels, grad):
    N, K = logits.shape
    log_probs_grad = np.eye(K)[labels] * (-grad / N)
    total = np.sum(log_probs_grad, axis=-1, keepdims=True)
    return log_probs_grad - np.exp(log_softmax_shifted(logits)) * total


def sigmoid_vjp_both_events(z, grad):
    odds = np.exp(-np.abs(z))
    return grad * (1 / (1 + odds)) * (odds / (1 + odds))


def gelu_vjp_distributed(x, grad):
    root = np.sqrt(1 / constant(2, x))
    bell = np.exp(x * x * -0.5) * (1 / np.sqrt(2 * pi(x)))
    return grad * (0.5 * (1 + erf(x * root))) + grad * (x * bell)


def gelu_tanh_vjp_split(x, grad):
    """As torch: both factors and their derivatives one after the other."""
    slope = np.sqrt(2 / pi(x))
    h = np.tanh(slope * (x + 0.044715 * (x * x * x)))
    left, right = 0.5 * x, 1 + h
    steep = (1 - h * h) * (slope * (1 + 0.134145 * (x * x)))
    return grad * (0.5 * right + left * steep)


def quick_gelu_vjp_backwards(x, grad):
    gate = sigmoid_plain(1.702 * x)
    return grad * gate + 1.702 * (grad * x * (1 - gate) * gate)


def silu_vjp_factored(x, grad):
    gate = sigmoid_plain(x)
    return grad * (gate * (1 + x * (1 - gate)))


def l2_normalize_vjp_backwards(x, grad):
    squares = np.sum(x * x, axis=-1, keepdims=True)
    zero = values(squares) == 0
    norm = np.sqrt(np.where(zero, 1, squares))
    norm_grad = -np.sum(grad * (x / norm) / norm, axis=-1, keepdims=True)
    return grad / norm + norm_grad * (x / norm)


def linear_vjp_in_order(x, weight, grad):
    """The outputs one after the other, and the vectors of the batch likewise."""
    x_grad = grad[..., :1] * weight[0]
    for o in range(1, len(weight)):
        x_grad = x_grad + grad[..., o : o + 1] * weight[o]
    rows, rows_grad = np.reshape(x, (-1, x.shape[-1])), np.reshape(grad, (-1, grad.shape[-1]))
    weight_grad = 0 * weight
    for row in range(len(rows)):
        weight_grad = weight_grad + rows_grad[row][:, None] * rows[row]
    return x_grad, weight_grad, np.sum(grad, axis=tuple(range(grad.ndim - 1)))


def x0_from_eps_vjp_tables(t, alpha_bar, grad):
    share = at(values(alpha_bar).astype(np.float64), t, grad)
    return np.sqrt(1 / share) * grad, -np.sqrt(1 / share - 1) * grad


FLOAT32_ONLY = (x0_from_eps_tables, eps_from_x0_tables, x0_from_eps_vjp_tables)

REWRITES = {
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
