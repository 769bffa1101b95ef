"""Editing, one number at a time, in fractions."""

import math
from fractions import Fraction

import numpy as np


def exact(x):
    return Fraction(float(x))


def img2img_start(levels, strength):
    start = levels
    while levels - start + 1 <= levels * exact(strength):
        start -= 1
    return np.array(start)


def img2img_start_flow(levels, strength):
    start = levels
    while levels - start < levels * exact(strength):
        start -= 1
    return np.array(start)


def inpaint_blend(sample, known, mask):
    mask = np.broadcast_to(mask, sample.shape)
    result = np.zeros(sample.shape)
    for place in np.ndindex(sample.shape):
        part = exact(mask[place])
        result[place] = float(part * exact(sample[place]) + (1 - part) * exact(known[place]))
    return result


def guidance_two(eps_none, eps_image, eps_both, image_scale, text_scale):
    result = np.zeros(eps_none.shape)
    image, text = exact(image_scale), exact(text_scale)
    for place in np.ndindex(result.shape):
        none, one, both = (exact(e[place]) for e in (eps_none, eps_image, eps_both))
        result[place] = float((1 - image) * none + (image - text) * one + text * both)
    return result


def min_snr_weights(alpha_bar, t, gamma):
    results = np.zeros((3, len(t)))
    for i, time in enumerate(t):
        share = exact(alpha_bar[time])
        if share == 1:
            results[:, i] = 0, 0, gamma
            continue
        snr = share / (1 - share)
        least = min(snr, exact(gamma))
        eps = least / snr if snr else 1
        results[:, i] = float(eps), float(least / (snr + 1)), float(least)
    return tuple(results)


def guidance_rescale(guided, conditional, share):
    result = np.zeros(guided.shape)
    for b in range(len(guided)):
        deviations = []
        for row in (conditional[b], guided[b]):
            mean = math.fsum(row) / len(row)
            deviations.append(math.sqrt(math.fsum((v - mean) ** 2 for v in row)))
        factor = deviations[0] / deviations[1]
        result[b] = [share * v * factor + (1 - share) * v for v in guided[b]]
    return result


def gaussian_kl(q_mean, q_log_variance, p_mean, p_log_variance):
    """The mean of log q under q, less that of log p; what is small is kept apart."""
    result = np.zeros(q_mean.shape)
    for place in np.ndindex(result.shape):
        log_q, log_p = float(q_log_variance[place]), float(p_log_variance[place])
        apart = exact(q_mean[place]) - exact(p_mean[place])
        shift = float(exact(log_q) - exact(log_p))
        ratio = math.expm1(shift) - shift
        result[place] = math.fsum((float(apart * apart) / math.exp(log_p), ratio)) / 2
    return result


def mills(z):
    """The upper tail beyond z above 0, divided by the density there: a continued fraction."""
    if z < 3:
        return math.sqrt(math.pi / 2) * math.exp(z * z / 2) * math.erfc(z / math.sqrt(2))
    fraction = z
    for k in range(200, 0, -1):
        fraction = z + k / fraction
    return 1 / fraction


def log_tail(z):
    """The logarithm of the probability beyond z."""
    if z < 0:
        return math.log1p(-math.erfc(-z / math.sqrt(2)) / 2)
    return -z * z / 2 - math.log(2 * math.pi) / 2 + math.log(mills(z))


def discretized_gaussian_nll(x, mean, log_variance):
    result = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        pixel, middle = exact(x[place]), exact(mean[place])
        rate = math.exp(-float(log_variance[place]) / 2)
        if pixel > middle:  # mirrored, so that the bin lies below the middle
            pixel, middle = -pixel, -middle
        outer, inner = (float(middle - pixel + s * Fraction(1, 255)) * rate for s in (1, -1))
        if abs(pixel) == 1:
            open_outward = pixel == -1
            result[place] = -log_tail(inner if open_outward else -outer)
        elif inner > 0:
            shrunk = math.exp(-(outer - inner) * (outer + inner) / 2) * mills(outer)
            share = math.log1p(-shrunk / mills(inner))
            result[place] = -log_tail(inner) - share
        else:
            parts = (math.erf(outer / math.sqrt(2)), math.erf(-inner / math.sqrt(2)))
            result[place] = -math.log(math.fsum(parts) / 2)
    return result


def vlb_bits(x_start, x_t, t, mean, log_variance, betas):
    bits = np.zeros(len(t))
    for row, time in enumerate(t):
        if time == 0:
            nats = discretized_gaussian_nll(x_start[row], mean[row], log_variance[row])
        else:
            beta, logs = float(betas[time]), [math.log1p(-float(b)) for b in betas[: time + 1]]
            rest_before, rest = (-math.expm1(math.fsum(kept)) for kept in (logs[:-1], logs))
            of_start = exact(beta * math.sqrt(1 - rest_before) / rest)
            of_noised = exact(math.sqrt(1 - beta) * rest_before / rest)
            pairs = zip(x_start[row].flat, x_t[row].flat, strict=True)
            true = [float(of_start * exact(a) + of_noised * exact(b)) for a, b in pairs]
            log_true = math.log(beta * rest_before / rest)
            flat = mean[row].reshape(-1), log_variance[row].reshape(-1)
            nats = gaussian_kl(np.array(true), np.full(len(true), log_true), *flat)
        bits[row] = math.fsum(nats.flat) / nats.size / math.log(2)
    return bits
