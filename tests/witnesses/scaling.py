"""The scaling laws, one number at a time, by logarithms."""

import math

import numpy as np


def power_law_loss(sizes, scale, exponent):
    return np.array([math.exp(exponent * (math.log(scale) - math.log(n))) for n in sizes])


def chinchilla_loss(parameters, tokens, entropy, width, alpha, length, beta):
    found = []
    for n, d in zip(parameters, tokens, strict=True):
        shortfalls = (width * math.pow(n, -alpha), length * math.pow(d, -beta))
        found.append(math.fsum((entropy, *shortfalls)))
    return np.array(found)


def chinchilla_optimum(compute, width, alpha, length, beta):
    """The root of the difference of both slopes, in the logarithm of the size."""
    sizes, words = [], []
    for c in compute:
        whole = math.log(c / 6)
        apart = math.log(alpha * width) - math.log(beta * length)
        log_size = (apart + beta * whole) / (alpha + beta)
        sizes.append(math.exp(log_size))
        words.append(math.exp(whole - log_size))
    return np.array(sizes), np.array(words)
