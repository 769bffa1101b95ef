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


def unit(x):
    size = math.hypot(*x)
    return [float(value) / (size or 1.0) for value in x]


def angle(u, v):
    """By the lengths of difference and sum; a zero vector is sixty degrees from all others."""
    apart = math.hypot(*(a - b for a, b in zip(u, v)))
    if not any(u) or not any(v):
        return 2 * math.asin(apart / 2)
    return 2 * math.atan2(apart, math.hypot(*(a + b for a, b in zip(u, v))))


def cosine_distance(image_features, text_features):
    """Half the squared length of the difference, for vectors of length one."""
    distance = np.ones((len(image_features), len(text_features)))
    for n, image in enumerate(image_features):
        for m, caption in enumerate(text_features):
            if any(image) and any(caption):
                pairs = zip(unit(image), unit(caption), strict=True)
                distance[n, m] = math.fsum((a - b) ** 2 for a, b in pairs) / 2
    return distance


def spherical_distance(image_features, text_features):
    distance = np.zeros((len(image_features), len(text_features)))
    for n, image in enumerate(image_features):
        for m, caption in enumerate(text_features):
            distance[n, m] = angle(unit(image), unit(caption)) ** 2 / 2
    return distance


def cosine_distance_vjp(image_features, text_features, grad):
    return pulled(image_features, text_features, grad, lambda u, v: 1.0)


def spherical_distance_vjp(image_features, text_features, grad):
    def growth(u, v):
        whole = angle(u, v)
        return whole / math.sin(whole) if whole else 1.0

    return pulled(image_features, text_features, grad, growth)


def pulled(image_features, text_features, grad, growth):
    """Every feature's gradient, by the part of the other's direction that lies across its own."""
    both = []
    for own, others, slopes in (
        (image_features, text_features, grad),
        (text_features, image_features, grad.T),
    ):
        own_grad = np.zeros(own.shape)
        for n, x in enumerate(own):
            u, size = unit(x), math.hypot(*x) or 1.0
            terms = [[] for _ in u]
            for m, y in enumerate(others):
                v = unit(y)
                factor = float(slopes[n, m]) * growth(u, v)
                for d in range(len(u)):
                    if any(x):
                        across = math.fsum(
                            u[e] * (u[e] * v[d] - u[d] * v[e]) for e in range(len(u))
                        )
                    else:
                        across = v[d]
                    terms[d].append(-factor * across / size)
            own_grad[n] = [math.fsum(column) for column in terms]
        both.append(own_grad)
    return tuple(both)


def clip_guidance_loss(distances, weights):
    B, N, M = distances.shape
    terms = [Fraction(0)]
    for index in np.ndindex(B, N, M):
        d, w = exactly(distances[index], weights[index[2]])
        terms.append(d * w)
    return float(sum(terms) / N)


def clip_guidance_loss_vjp(distances, weights, grad):
    (B, N, M), (slope,) = distances.shape, exactly(grad)
    distances_grad, sums = np.zeros(distances.shape), [Fraction(0)] * M
    for index in np.ndindex(B, N, M):
        d, w = exactly(distances[index], weights[index[2]])
        distances_grad[index] = float(slope * w / N)
        sums[index[2]] += d
    return distances_grad, np.array([float(slope * total / N) for total in sums])


def classifier_guidance_velocity(v, gradient, t, alpha_bar, scale):
    guided = np.zeros(v.shape)
    for i in np.ndindex(v.shape):
        (share,) = exactly(alpha_bar[t[i[0]]])
        value, g, s = exactly(v[i], gradient[i], scale)
        steep = math.sqrt((1 - share) / share) if share else 0.0
        guided[i] = float(value - Fraction(steep) * s * g)
    return guided
