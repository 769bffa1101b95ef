"""Twins of autoencoders: same names, same arguments, same steps."""

import numpy as np
from numba import njit

from refimpl.axes import AxesError
from refimpl.compiled.threads import share


def gaussian_moments(h):
    number, half = h.dtype.type, h.shape[1] // 2
    return h[:, :half], np.clip(h[:, half:], number(-30), number(20))


def posterior_kl(mean, log_variance):
    number = mean.dtype.type
    each = mean * mean + (np.exp(log_variance) - number(1) - log_variance)
    return each.sum(axis=1) / number(2)


def posterior_kl_vjp(mean, log_variance, grad):
    number = mean.dtype.type
    each = grad[:, None]
    return each * mean, each * (np.exp(log_variance) - number(1)) / number(2)


def nearest_code(z, codebook):
    codes = np.empty(len(z), np.int64)
    share(_nearest_code, len(z), codebook.size, z, codebook, codes)
    return codes


@njit(cache=True, nogil=True)
def _nearest_code(first, last, z, codebook, codes):
    number = z.dtype.type
    for n in range(first, last):
        least, nearest = number(np.inf), 0
        for k in range(codebook.shape[0]):
            total = number(0)
            for d in range(codebook.shape[1]):
                apart = z[n, d] - codebook[k, d]
                total += apart * apart
            if total < least:
                least, nearest = total, k
        codes[n] = nearest


def vq_loss(z, codebook, codes, beta):
    apart = z - codebook[codes]
    return (1 + beta) * np.mean(apart * apart)


def vq_gradients(z, codebook, codes, beta):
    if not z.size:
        raise AxesError(f"vq_gradients: z has shape {z.shape}, expected vectors")
    number = z.dtype.type
    apart = (z - codebook[codes]) / number(z.size)
    codebook_grad = np.zeros_like(codebook)
    np.subtract.at(codebook_grad, codes, 2 * apart)
    return number(2 * beta) * apart, codebook_grad


def gumbel_softmax(logits, uniforms, temperature):
    scores = (logits - np.log(-np.log(uniforms))) / logits.dtype.type(temperature)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)
