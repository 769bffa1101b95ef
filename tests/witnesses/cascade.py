"""Cascades, one number at a time."""

import math

import numpy as np


def standardize_embedding(embedding, mean, std):
    y = np.zeros(embedding.shape)
    for b, d in np.ndindex(y.shape):
        y[b, d] = (embedding[b, d] - mean[d]) / std[d]
    return y


def standardize_embedding_vjp(embedding, mean, std, grad):
    B, D = grad.shape
    embedding_grad, mean_grad, std_grad = np.zeros((B, D)), np.zeros(D), np.zeros(D)
    for d in range(D):
        for b in range(B):
            embedding_grad[b, d] = grad[b, d] / std[d]
        mean_grad[d] = -math.fsum(grad[b, d] / std[d] for b in range(B))
        std_grad[d] = math.fsum(
            grad[b, d] * (mean[d] - embedding[b, d]) / (std[d] * std[d]) for b in range(B)
        )
    return embedding_grad, mean_grad, std_grad


def augment_embedding(embedding, mean, std, level, noise, alpha_bar):
    B, D = embedding.shape
    y = np.zeros((B, 2 * D))
    for b, d in np.ndindex(B, D):
        share = alpha_bar[level[b]]
        signal = math.sqrt(share) * (embedding[b, d] - mean[d])
        y[b, d] = mean[d] + signal + std[d] * math.sqrt(1 - share) * noise[b, d]
        i = d % (D // 2)
        angle = level[b] * 10000 ** (-i / (D // 2))
        y[b, D + d] = math.cos(angle) if d == i else math.sin(angle)
    return y


def augment_embedding_vjp(embedding, mean, std, level, noise, alpha_bar, grad):
    B, width = noise.shape
    x_grad, noise_grad = np.zeros((B, width)), np.zeros((B, width))
    mean_grad, std_grad = np.zeros(width), np.zeros(width)
    for b, d in np.ndindex(B, width):
        share = alpha_bar[level[b]]
        x_grad[b, d] = grad[b, d] * math.sqrt(share)
        noise_grad[b, d] = grad[b, d] * math.sqrt(1 - share) * std[d]
        mean_grad[d] += grad[b, d] * (1 - math.sqrt(share))
        std_grad[d] += grad[b, d] * math.sqrt(1 - share) * noise[b, d]
    return x_grad, mean_grad, std_grad, noise_grad


def prior_tokens(text, text_embedding, time, noised, query):
    return np.array(
        [
            [*words, whole, when, image, query]
            for words, whole, when, image in zip(text, text_embedding, time, noised, strict=True)
        ]
    ).reshape(len(text), text.shape[1] + 4, text.shape[2])


def prior_tokens_vjp(grad):
    B, M, D = grad.shape
    words, single, query = np.zeros((B, M - 4, D)), np.zeros((3, B, D)), np.zeros(D)
    for b, m, d in np.ndindex(B, M, D):
        if m < M - 4:
            words[b, m, d] = grad[b, m, d]
        elif m < M - 1:
            single[m - (M - 4), b, d] = grad[b, m, d]
        else:
            query[d] += grad[b, m, d]
    return words, *single, query


def prior_bias(keep):
    B, N = keep.shape
    bias = np.full((B, 1, N + 4, N + 4), -math.inf)
    for b, i in np.ndindex(B, N + 4):
        for j in range(i + 1):
            if j >= N or keep[b, j]:
                bias[b, 0, i, j] = 0
    return bias


def context_tokens(projection, tokens):
    B, width = projection.shape
    y = np.zeros((B, tokens, width // tokens))
    for b, n, d in np.ndindex(y.shape):
        y[b, n, d] = projection[b, d * tokens + n]
    return y


def context_tokens_vjp(grad):
    B, N, D = grad.shape
    projection_grad = np.zeros((B, D * N))
    for b, n, d in np.ndindex(grad.shape):
        projection_grad[b, d * N + n] = grad[b, n, d]
    return projection_grad


def null_condition(x, null, keep):
    return np.array([x[b] if keep[b] else null for b in range(len(x))]).reshape(x.shape)


def null_condition_vjp(keep, grad):
    x_grad, null_grad = np.zeros(grad.shape), np.zeros(grad.shape[1:])
    for n, d in np.ndindex(null_grad.shape):
        for b in range(len(keep)):
            x_grad[b, n, d] = grad[b, n, d] if keep[b] else 0
        null_grad[n, d] = math.fsum(grad[b, n, d] for b in range(len(keep)) if not keep[b])
    return x_grad, null_grad


def pad_text(embedding, padding, keep):
    y = np.zeros(embedding.shape)
    for b, n, d in np.ndindex(y.shape):
        y[b, n, d] = embedding[b, n, d] if keep[b, n] else padding[n, d]
    return y


def pad_text_vjp(keep, grad):
    B, N, D = grad.shape
    words_grad, padding_grad = np.zeros(grad.shape), np.zeros((N, D))
    for n, d in np.ndindex(N, D):
        for b in range(B):
            words_grad[b, n, d] = grad[b, n, d] if keep[b, n] else 0
        padding_grad[n, d] = math.fsum(grad[b, n, d] for b in range(B) if not keep[b, n])
    return words_grad, padding_grad


def log_snr_cosine(t, offset):
    result = np.zeros(len(t))
    for b, time in enumerate(t):
        left = math.sin((1 - time) / (1 + offset) * math.pi / 2)  # the cosine, from its own end
        gone = math.sin((time + offset) / (1 + offset) * math.pi / 2)
        result[b] = min(2 * (math.log(left) - math.log(gone)) if gone else math.inf, math.log(1e5))
    return result


def log_snr_linear(t):
    return np.array([-math.log(math.expm1(1e-4 + 10 * time**2)) for time in t])


def continuous_posterior(x_t, x_start, log_snr, previous):
    """By precision: the earlier sample, seen once from x_start and once from x_t."""
    mean, variance = np.zeros(x_t.shape), np.zeros(len(x_t))
    for b in range(len(x_t)):
        now, then = math.exp(-log_snr[b]), math.exp(-previous[b])  # noise to signal
        alpha_t, alpha_s = math.sqrt(1 / (1 + now)), math.sqrt(1 / (1 + then))
        removed = -math.expm1(log_snr[b] - previous[b])
        variance[b] = then / (1 + then) * removed
        for place in np.ndindex(x_t.shape[1:]):
            x, clean = x_t[(b, *place)], x_start[(b, *place)]
            mean[(b, *place)] = alpha_s * (x / alpha_t * then / now + removed * clean)
    return mean, variance
