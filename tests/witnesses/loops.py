"""Loops, one number at a time: each step keeps the line between the ends it believes in."""

import math
from fractions import Fraction

import numpy as np


def exact(x):
    return Fraction(float(x))


def each(walk, start):
    result = np.zeros(start.shape)
    for place in np.ndindex(start.shape):
        result[place] = float(walk(exact(start[place])))
    return result


def ddim_loop(x, timesteps, alpha_bar, slope, offset):
    def deviations(t):
        share = exact(alpha_bar[t]) if t >= 0 else Fraction(1)
        return exact(math.sqrt(share)), exact(math.sqrt(1 - share))

    def walk(a):
        left = list(timesteps)
        while left:
            t = left.pop()
            noise = exact(slope[t]) * a + exact(offset[t])
            (signal, rest), (signal_next, rest_next) = map(
                deviations, (t, left[-1] if left else -1)
            )
            a = exact(float(signal_next * (a - rest * noise) / signal + rest_next * noise))
        return a

    return each(walk, x)


def euler_loop(noise, sigmas, slope, offset):
    levels = [exact(s) for s in sigmas] + [Fraction(0)]

    def walk(z):
        a = levels[0] * z
        for i in range(len(sigmas)):
            guess = exact(slope[i]) * a + exact(offset[i])
            a = guess + levels[i + 1] / levels[i] * (a - guess)
        return a

    return each(walk, noise)


def flow_loop(noise, times, slope, offset):
    ends = [exact(t) for t in times] + [Fraction(0)]

    def walk(a):
        for i in range(len(times)):
            a += (ends[i + 1] - ends[i]) * (exact(slope[i]) * a + exact(offset[i]))
        return a

    return each(walk, noise)
