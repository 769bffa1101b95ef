"""Attention and the losses of CLIP with their gradients, honestly rewritten."""

from __future__ import annotations

import numpy as np

from refimpl.constants import constant
from refimpl.ops.attention import reference as attention_page
from refimpl.ops.clip import reference as clip_page
from refimpl.ops.diffusion import reference as diffusion_page
from refimpl.ops.layers import reference as layers
from tests.audit.rewrites_of_shares import largest, log_softmax_shifted

at = diffusion_page.at


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
