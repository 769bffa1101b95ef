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
