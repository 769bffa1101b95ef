"""Samplers, one number at a time, in fractions wherever a step is rational.

A deterministic step keeps the line through the guess: what is beyond the guess shrinks with the
level. The multistep weights are integrals of the polynomial through the last predictions.
"""

import math
from fractions import Fraction

import numpy as np


def exact(x):
    return Fraction(float(x))


def each(step, *arrays):
    """The step on every number of arrays of one shape."""
    result = np.zeros(arrays[0].shape)
    for place in np.ndindex(result.shape):
        result[place] = float(step(*(exact(a[place]) for a in arrays)))
    return result


def shrunk(x, guess, ratio):
    return guess + ratio * (x - guess)


def euler_step(x, denoised, sigma, sigma_next):
    ratio = exact(sigma_next) / exact(sigma)
    return each(lambda a, guess: shrunk(a, guess, ratio), x, denoised)


def euler_ancestral_step(x, denoised, noise, sigma, sigma_next, eta):
    kept = 1 - (exact(sigma_next) / exact(sigma)) ** 2
    up = exact(eta) ** 2 * exact(sigma_next) ** 2 * kept
    down = exact(math.sqrt(exact(sigma_next) ** 2 - up)) / exact(sigma)
    up = exact(math.sqrt(up))
    return each(lambda a, guess, z: shrunk(a, guess, down) + up * z, x, denoised, noise)


def heun_step(x, denoised, denoised_next, sigma, sigma_next):
    start, end = exact(sigma), exact(sigma_next)

    def step(a, guess, guess_next):
        bend = (guess - guess_next) * (end - start) / (2 * end)  # beside the Euler step
        return shrunk(a, guess, end / start) + bend

    return each(step, x, denoised, denoised_next)


def churn(x, noise, sigma, amount, low, high):
    gamma = min(amount, 1 / (1 + math.sqrt(2))) if sigma >= low and sigma <= high else 0.0
    more = exact(math.sqrt(exact(gamma) * (2 + exact(gamma)))) * exact(sigma)
    higher = float(exact(sigma) * (1 + exact(gamma)))
    return each(lambda a, z: a + more * z, x, noise), np.array(higher)


def dpm_solver_step(x, denoised, denoised_before, sigma_before, sigma, sigma_next):
    half = (math.log(sigma) - math.log(sigma_next)) / 2
    half = exact(half / (math.log(sigma_before) - math.log(sigma)))
    ratio = exact(sigma_next) / exact(sigma)

    def step(a, guess, before):
        return shrunk(a, guess + half * (guess - before), ratio)

    return each(step, x, denoised, denoised_before)


def plms_eps(history):
    weights = [integral(len(history), k) for k in range(len(history))]
    return each(lambda *es: sum(w * e for w, e in zip(weights, es, strict=True)), *history)


def integral(count, k):
    """Over the next step, of the polynomial that is 1 at -k and 0 at the other last times."""
    powers = [Fraction(1)]  # of the time, constant first
    for other in range(count):
        if other != k:
            scale = Fraction(1, other - k)
            shifted, raised = [other * scale * c for c in powers], [scale * c for c in powers]
            powers = [a + b for a, b in zip([*shifted, 0], [0, *raised], strict=True)]
    return sum(c / (n + 1) for n, c in enumerate(powers))


def ddim_inversion(x, t_next, t, eps, alpha_bar):
    result = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        now = exact(alpha_bar[t[place[0]]]) if t[place[0]] >= 0 else Fraction(1)
        later = exact(alpha_bar[t_next[place[0]]])
        # x/√ᾱ is the clean sample and σ times the noise, and only σ grows
        sigma, sigma_later = (math.sqrt((1 - a) / a) if a else math.inf for a in (now, later))
        if later:
            grown = x[place] / math.sqrt(now) + (sigma_later - sigma) * eps[place]
            result[place] = math.sqrt(later) * grown
        else:
            result[place] = eps[place]
    return result
