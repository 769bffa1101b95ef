"""The scaling laws, one number at a time, by logarithms."""

import math
from fractions import Fraction

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


def _each(names):
    """One model at a time, in fractions, which no rounding touches."""

    def of(count):
        def found(**arrays):
            rows = zip(*(arrays[name] for name in names.split()), strict=True)
            return np.array([float(count(*map(Fraction, map(float, row)))) for row in rows])

        return found

    return of


def _encoder_block(w):
    projections, norms = 4 * (w * w + w), 2 * 2 * w
    return projections + (w * 4 * w + 4 * w) + (4 * w * w + w) + norms


@_each("parameters tokens layers width context")
def training_flops(n, d, L, w, c):
    forward = 2 * n + L * (2 * w * c + 2 * w * c)
    return 3 * forward * d


@_each("width layers vocabulary context")
def gpt_parameters(w, L, V, c):
    return V * w + c * w + L * _encoder_block(w) + (w + w)


@_each("width layers hidden shared vocabulary")
def llama_parameters(w, L, h, s, V):
    attention, perceptron = w * w + s * w + s * w + w * w, w * h + w * h + h * w
    return V * w + L * (attention + perceptron + w + w) + w + V * w


@_each("width layers vocabulary context")
def bert_parameters(w, L, V, c):
    embeddings = V * w + c * w + 2 * w + (w + w)
    return embeddings + L * _encoder_block(w) + (w * w + w)


@_each("width layers hidden inner heads vocabulary")
def t5_parameters(w, L, h, i, H, V):
    attention, perceptron = 4 * w * i, w * h + h * w
    encoder = L * (attention + w + perceptron + w)
    decoder = L * (attention + w + attention + w + perceptron + w)
    return V * w + encoder + w + decoder + w + 32 * H + 32 * H
