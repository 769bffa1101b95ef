"""Twins of autoencoders: same names, same arguments, same steps."""

import numpy as np
from numba import njit

from refimpl.axes import AxesError
from refimpl.compiled.memory import empty, zeros
from refimpl.compiled.threads import multiply, share


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
    """Distances as the text has them, of the codes that a matrix product leaves in question."""
    codes = np.empty(len(z), np.int64)
    lengths = np.einsum("kd,kd->k", codebook, codebook)
    if z.size * len(codebook) < PRODUCT:
        scores = zeros((1, 1), z.dtype)
        share(_nearest_code, len(z), codebook.size, z, codebook, lengths, scores, codes)
        return codes
    scores = empty((ROWS, len(codebook)), z.dtype)
    for first in range(0, len(z), ROWS):
        some = z[first : first + ROWS]
        multiply(some, codebook.T, scores[: len(some)])
        into = codes[first : first + ROWS]
        share(_nearest_code, len(some), len(codebook), some, codebook, lengths, scores, into)
    return codes


PRODUCT = 1 << 20  # multiplications from which a matrix product pays for its start
ROWS = 512  # of the matrix of scores, which stays in the caches
LANES = 512  # codes that are looked at together


@njit(cache=True, nogil=True)
def _nearest_code(first, last, z, codebook, lengths, scores, codes):
    """|z - e|² is |z|² + 2 (|e|² / 2 - z·e); what that rounds cannot hide the nearest code.

    Each term is off by at most D + 2 roundings of |z| |e| or |e|² / 2, and a distance as the text
    has it by as many of itself, which (|z| + |e|)² is more than; twice that from either side.
    """
    number, half = z.dtype.type, z.dtype.type(0.5)
    largest, halves = np.sqrt(np.max(lengths)), half * lengths
    few = number(4 * (z.shape[1] + 8) * np.finfo(z.dtype).eps)
    known = scores.shape[1] == len(codebook) > 1
    for n in range(first, last):
        limit, least, nearest = number(np.inf), number(np.inf), 0
        if known:
            margin = few * (np.sqrt(np.sum(z[n] * z[n])) + largest) ** 2
            limit = _least(halves, scores[n]) + margin
        for start in range(0, len(codebook), LANES):
            stop = min(start + LANES, len(codebook))
            if known and not _any_within(halves[start:stop], scores[n, start:stop], limit):
                continue
            for k in range(start, stop):
                if known and halves[k] - scores[n, k] > limit:  # of NaN it is not known
                    continue
                total = number(0)
                for d in range(codebook.shape[1]):
                    apart = z[n, d] - codebook[k, d]
                    total += apart * apart
                if total < least:
                    least, nearest = total, k
        codes[n] = nearest


@njit(cache=True)
def _least(halves, scores):
    """The least difference, each lane's own first, so that it runs wide; NaN is passed by."""
    lanes = np.full(min(LANES, halves.size), np.inf, halves.dtype)
    for start in range(0, halves.size, LANES):
        some, others = halves[start : start + LANES], scores[start : start + LANES]
        for lane in range(some.size):
            apart = some[lane] - others[lane]
            lanes[lane] = apart if apart < lanes[lane] else lanes[lane]
    return np.min(lanes)


@njit(cache=True)
def _any_within(halves, scores, limit):
    """Is any difference not above the limit? Counted without a branch, so that it runs wide."""
    within = 0
    for k in range(halves.size):
        within += not halves[k] - scores[k] > limit
    return within > 0


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


def inward_gradient(x, grad, low, high):
    outward = ((x < low) & (grad > 0)) | ((x > high) & (grad < 0))
    return np.where(outward, grad.dtype.type(0), grad)


def gumbel_softmax(logits, uniforms, temperature):
    scores = (logits - np.log(-np.log(uniforms))) / logits.dtype.type(temperature)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def posterior_sample(mean, log_variance, noise):
    return mean + np.exp(log_variance / log_variance.dtype.type(2)) * noise


def scale_latents(z, shift, scale):
    number = z.dtype.type
    return (z - number(shift)) * number(scale)


def unscale_latents(y, shift, scale):
    number = y.dtype.type
    return y / number(scale) + number(shift)
