"""Noise levels, one number at a time."""

import math
from fractions import Fraction

import numpy as np


def leading_timesteps(steps, levels, offset):
    stride = 0
    while levels * (stride + 1) <= steps:
        stride += 1
    times, time = [], offset
    for _ in range(levels):
        times.insert(0, time)
        time += stride
    return np.array(times)


def linspace_timesteps(steps, levels):
    last = Fraction(float(steps)) - 1
    result = np.zeros(levels)
    for i in range(levels):
        result[i] = last - last * Fraction(i, max(levels - 1, 1))
    return result


def trailing_timesteps(steps, levels):
    times = []
    for i in range(levels):
        times.append(round(steps - Fraction(i * steps, levels)) - 1)
    return np.array(times)


def sigmas_from_alpha_bar(alpha_bar):
    shares = [Fraction(float(share)) for share in alpha_bar]
    return np.array([math.sqrt(1 / share - 1) for share in shares])


def level_time(sigma, table):
    times = np.zeros(len(sigma))
    for i, level in enumerate(sigma):
        time = 0
        while time + 1 < len(table) and table[time + 1] <= level:
            time += 1
        times[i] = time
        if time + 1 < len(table) and level > table[0]:
            above, whole = (float(x) - float(table[time]) for x in (level, table[time + 1]))
            start = float(table[time])
            times[i] += math.log1p(above / start) / math.log1p(whole / start)
    return times


def sigma_at(t, table):
    levels = np.zeros(len(t))
    for i, time in enumerate(t):
        low = min(math.floor(time), len(table) - 1)
        high = min(low + 1, len(table) - 1)
        levels[i] = table[low] * (table[high] / table[low]) ** (time - math.floor(time))
    return levels


def karras_sigmas(levels, low, high, rho):
    result = np.zeros(levels)
    for i in range(levels):
        part = i / max(levels - 1, 1)
        mixed = math.fsum((high ** (1 / rho), -part * high ** (1 / rho), part * low ** (1 / rho)))
        result[i] = mixed**rho
    return result


def nats(level):
    """Near 1, the difference from 1 is exact."""
    return math.log1p(level - 1) if level > 0.5 else -math.log(1 / level)


def edm_coefficients(sigma, sigma_data):
    result = np.zeros((4, len(sigma)))
    for i, level in enumerate(sigma):
        noise, data = Fraction(float(level)) ** 2, Fraction(float(sigma_data)) ** 2
        output = 1 / (1 / noise + 1 / data)  # as resistors in parallel
        result[:2, i] = 1 / (1 + noise / data), math.sqrt(output)
        result[2:, i] = 1 / math.hypot(level, sigma_data), nats(level) / 4
    return tuple(result)


def exponential_sigmas(levels, low, high):
    result = np.zeros(levels)
    for i in range(levels):
        part = i / max(levels - 1, 1)
        result[i] = math.pow(high, 1 - part) * math.pow(low, part)
    return result


def edm_weights(sigma, sigma_data):
    data = Fraction(float(sigma_data))
    levels = [Fraction(float(level)) for level in sigma]
    return np.array([float(1 / data**2 + 1 / level**2) for level in levels])


def scale_input(x, sigma):
    result = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        result[place] = x[place] / math.hypot(1, sigma[place[0]])
    return result


def denoised_from_v(x, v, sigma):
    result = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        level = float(sigma[place[0]])
        kept = Fraction(float(x[place])) / (1 + Fraction(level) ** 2)
        result[place] = kept - Fraction(float(v[place]) * level / math.hypot(1, level))
    return result
