"""Guidance, one number at a time, in exact fractions where the formula has no root."""

import math
from fractions import Fraction

import numpy as np


def exactly(*numbers):
    return (Fraction(float(number)) for number in numbers)


def classifier_guidance(mean, variance, gradient, scale):
    guided = np.zeros(mean.shape)
    for i in np.ndindex(mean.shape):
        m, v, g, s = exactly(mean[i], variance[i], gradient[i], scale)
        guided[i] = float(m + v * (s * g))
    return guided


def classifier_guidance_score(eps, gradient, t, alpha_bar, scale):
    guided = np.zeros(eps.shape)
    for i in np.ndindex(eps.shape):
        (share,) = exactly(alpha_bar[t[i[0]]])
        e, g, s = exactly(eps[i], gradient[i], scale)
        # the root of the whole square, its sign put back
        shift = math.copysign(math.sqrt((1 - share) * (s * g) ** 2), s * g)
        guided[i] = float(e - Fraction(shift))
    return guided


def classifier_free_guidance(eps_uncond, eps_cond, scale):
    guided = np.zeros(eps_cond.shape)
    for i in np.ndindex(eps_cond.shape):
        u, c, s = exactly(eps_uncond[i], eps_cond[i], scale)
        guided[i] = float((1 - s) * u + s * c)
    return guided


def dynamic_threshold(x_start, quantile):
    limited = np.zeros(x_start.shape)
    for sample in range(x_start.shape[0]):
        pixels = list(np.ndindex(x_start.shape[1:]))
        sizes = sorted(abs(float(x_start[(sample, *pixel)])) for pixel in pixels)
        limit = max(1.0, between(sizes, quantile))
        for pixel in pixels:
            x = float(x_start[(sample, *pixel)])
            limited[(sample, *pixel)] = math.copysign(min(abs(x) / limit, 1.0), x)
    return limited


def between(ordered, quantile):
    """The number a fraction of the way up a sorted list, on the straight line of its neighbours."""
    place = Fraction(float(quantile)) * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    low, high = exactly(ordered[below], ordered[above])
    return float(low + (place - below) * (high - low))
