"""Flows, one number at a time, in fractions wherever a step is rational."""

import math
from fractions import Fraction

import numpy as np


def exact(x):
    return Fraction(float(x))


def each(step, t, *arrays):
    """Both results of a step on every number, each sample at its own time."""
    results = np.zeros((2, *arrays[0].shape))
    for place in np.ndindex(arrays[0].shape):
        both = step(exact(t[place[0]]), *(exact(a[place]) for a in arrays))
        results[(slice(None), *place)] = [float(number) for number in both]
    return results[0], results[1]


def flow_sample(x_start, t, noise):
    return each(lambda t, x, z: (x + t * (z - x), z - x), t, x_start, noise)


def flow_parts(x_t, t, velocity):
    def step(t, x, v):
        start = x - t * v
        return start, start + v

    return each(step, t, x_t, velocity)


def one(step, *arrays):
    result = np.zeros(arrays[0].shape)
    for place in np.ndindex(result.shape):
        result[place] = float(step(*(exact(a[place]) for a in arrays)))
    return result


def flow_euler_step(x, velocity, t, t_next):
    way = exact(t_next) - exact(t)
    return one(lambda a, v: a + way * v, x, velocity)


def flow_ancestral_step(x, x_start, noise, t, t_next, eta):
    t, end, eta = exact(t), exact(t_next), exact(eta)
    down = end + end * (end / t - 1) * eta
    scale = (1 - end) / (1 - down)
    fresh = exact(math.sqrt(end**2 - (scale * down) ** 2))
    return one(lambda a, s, z: scale * (s + down / t * (a - s)) + fresh * z, x, x_start, noise)


def flow_shift(t, shift):
    odds = [exact(time) * exact(shift) for time in t]
    return np.array([float(o / (o + 1 - exact(time))) for o, time in zip(odds, t, strict=True)])


def flow_shift_exponential(t, mu):
    result = np.zeros(len(t))
    for i, time in enumerate(t):
        rest = 1 - exact(time)
        if time:
            result[i] = 1 / (1 + math.exp(-mu) * float(rest / exact(time)))
    return result


def logit_normal_density(t, mean, std):
    result = np.zeros(len(t))
    for i, time in enumerate(t):
        if 0 < time < 1:
            logit = math.log(Fraction(float(time)) / (1 - Fraction(float(time))))
            bell = math.exp(-(((logit - mean) / std) ** 2) / 2) / math.sqrt(math.tau)
            result[i] = bell / std * (1 / time + 1 / (1 - time))
    return result


def cosmap_density(t):
    result = np.zeros(len(t))
    for i, time in enumerate(t):
        share = 1 - 2 * exact(time) + 2 * exact(time) ** 2
        result[i] = 4 / float(share) / math.tau
    return result


def mode_time(u, scale):
    result = np.zeros(len(u))
    for i, number in enumerate(u):
        angle = math.pi * float(1 - exact(number))  # cos² of half an angle is sin² of the other
        bend = math.fsum([(1 - math.cos(angle)) / 2, -1.0, number])
        result[i] = math.fsum([1.0, -number, -scale * bend])
    return result
