"""Twins of cascades: same names, same arguments, same steps; nothing here is large."""

import numpy as np


def standardize_embedding(embedding, mean, std):
    return (embedding - mean) / std


def standardize_embedding_vjp(embedding, mean, std, grad):
    embedding_grad = grad / std
    std_grad = -np.einsum("bd,bd->d", embedding_grad, (embedding - mean) / std)
    return embedding_grad, -embedding_grad.sum(axis=0), std_grad


def augment_embedding(embedding, mean, std, level, noise, alpha_bar):
    number = embedding.dtype.type
    share, half = alpha_bar[level][:, None].astype(embedding.dtype), embedding.shape[1] // 2
    noised = np.sqrt(share) * ((embedding - mean) / std) + np.sqrt(number(1) - share) * noise
    frequencies = np.exp(-np.log(number(10000)) * np.arange(half, dtype=number) / number(half))
    angles = level[:, None].astype(number) * frequencies
    return np.concatenate((noised * std + mean, np.cos(angles), np.sin(angles)), axis=1)


def augment_embedding_vjp(embedding, mean, std, level, noise, alpha_bar, grad):
    number = grad.dtype.type
    share, given = alpha_bar[level][:, None].astype(grad.dtype), grad[:, : noise.shape[1]]
    kept, left = np.sqrt(share), np.sqrt(number(1) - share) * given
    x_grad = kept * given
    return x_grad, (given - x_grad).sum(axis=0), np.einsum("be,be->e", left, noise), left * std


def prior_tokens(text, text_embedding, time, noised, query):
    B, N, D = text.shape
    tokens = np.empty((B, N + 4, D), text.dtype)
    tokens[:, :N] = text
    for place, token in enumerate((text_embedding, time, noised, query)):
        tokens[:, N + place] = token
    return tokens


def prior_tokens_vjp(grad):
    words, single = grad[:, :-4], grad[:, -4:]
    return words, single[:, 0], single[:, 1], single[:, 2], single[:, 3].sum(axis=0)


def prior_bias(keep):
    B, N = keep.shape
    bias = np.triu(np.full((N + 4, N + 4), -np.inf), 1)[None, None].repeat(B, axis=0)
    bias[..., :N][np.broadcast_to(keep[:, None, None] == 0, (B, 1, N + 4, N))] = -np.inf
    return bias


def context_tokens(projection, tokens):
    return np.stack([projection[:, n::tokens] for n in range(tokens)], axis=1)


def context_tokens_vjp(grad):
    B, N, D = grad.shape
    projection_grad = np.empty((B, D * N), grad.dtype)
    for n in range(N):
        projection_grad[:, n::N] = grad[:, n]
    return projection_grad


def null_condition(x, null, keep):
    y = x.copy()
    y[keep == 0] = null
    return y


def null_condition_vjp(keep, grad):
    x_grad = grad.copy()
    x_grad[keep == 0] = 0
    return x_grad, grad[keep == 0].sum(axis=0)


def pad_text(embedding, padding, keep):
    b, n = np.nonzero(keep == 0)
    y = embedding.copy()
    y[b, n] = padding[n]
    return y


def pad_text_vjp(keep, grad):
    b, n = np.nonzero(keep == 0)
    words_grad, padding_grad = grad.copy(), np.zeros_like(grad, shape=grad.shape[1:])
    words_grad[b, n] = 0
    np.add.at(padding_grad, n, grad[b, n])
    return words_grad, padding_grad


def log_snr_cosine(t, offset):
    number = t.dtype.type
    angle = (t + number(offset)) / number(1 + offset) * number(np.pi / 2)
    tangent = np.tan(angle)
    return -np.log(np.maximum(tangent * tangent, number(1e-5)))


def log_snr_linear(t):
    number = t.dtype.type
    return -np.log(np.expm1(number(1e-4) + number(10) * t * t))


def _share(log_snr):
    one = log_snr.dtype.type(1)
    odds = np.exp(-np.abs(log_snr))
    return np.where(log_snr >= 0, one, odds) / (one + odds)


def continuous_posterior(x_t, x_start, log_snr, previous):
    wide = (-1,) + (1,) * (x_t.ndim - 1)
    share, removed = np.sqrt(_share(previous)), -np.expm1(log_snr - previous)
    from_x_t = share * np.exp(log_snr - previous) / np.sqrt(_share(log_snr))
    mean = from_x_t.reshape(wide) * x_t + (share * removed).reshape(wide) * x_start
    return mean, _share(-previous) * removed
