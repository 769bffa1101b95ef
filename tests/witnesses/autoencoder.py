"""Autoencoders, one number at a time."""

import math
from fractions import Fraction

import numpy as np


def gaussian_moments(h):
    B, channels, height, width = h.shape
    mean = np.zeros((B, channels // 2, height, width))
    log_variance = np.zeros(mean.shape)
    for b, c, y, x in np.ndindex(mean.shape):
        mean[b, c, y, x] = h[b, c, y, x]
        log_variance[b, c, y, x] = sorted((-30.0, h[b, c + channels // 2, y, x], 20.0))[1]
    return mean, log_variance


def posterior_kl(mean, log_variance):
    result = np.zeros(len(mean))
    for b in range(len(mean)):
        pairs = zip(mean[b], log_variance[b], strict=True)
        result[b] = math.fsum(m * m / 2 + (math.expm1(v) - v) / 2 for m, v in pairs)
    return result


def posterior_kl_vjp(mean, log_variance, grad):
    both = np.zeros((2, *mean.shape))
    for b, d in np.ndindex(mean.shape):
        both[:, b, d] = grad[b] * mean[b, d], grad[b] * math.expm1(log_variance[b, d]) / 2
    return both[0], both[1]


def distance(one, other):
    return sum((Fraction(float(a)) - Fraction(float(b))) ** 2 for a, b in zip(one, other))


def nearest_code(z, codebook):
    rows = range(len(codebook))
    return np.array([min(rows, key=lambda k: distance(v, codebook[k])) for v in z], dtype=int)


def vq_loss(z, codebook, codes, beta):
    total = sum(distance(v, codebook[k]) for v, k in zip(z, codes, strict=True))
    return np.array(float(total * (1 + Fraction(float(beta))) / z.size))


def vq_gradients(z, codebook, codes, beta):
    z_grad = np.zeros(z.shape)
    pulls = [[[] for _ in row] for row in codebook]
    for n, d in np.ndindex(z.shape):
        apart = Fraction(float(z[n, d])) - Fraction(float(codebook[codes[n], d]))
        z_grad[n, d] = float(2 * Fraction(float(beta)) * apart / z.size)
        pulls[codes[n]][d].append(float(2 * apart / z.size))
    return z_grad, np.array([[-math.fsum(p) for p in row] for row in pulls]).reshape(codebook.shape)


def inward_gradient(x, grad, low, high):
    result = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        least = 0.0 if x[place] > high else -np.inf
        most = 0.0 if x[place] < low else np.inf
        result[place] = min(max(grad[place], least), most)
    return result


def gumbel_softmax(logits, uniforms, temperature):
    result = np.zeros(logits.shape)
    for row in np.ndindex(logits.shape[:-1]):
        powers = [math.exp(z / temperature) for z in logits[row] - max(logits[row], default=0)]
        waits = [(-math.log(u)) ** (-1 / temperature) for u in uniforms[row]]
        weights = [p * w for p, w in zip(powers, waits, strict=True)]
        result[row] = [w / math.fsum(weights) for w in weights]
    return result


def posterior_sample(mean, log_variance, noise):
    z = np.zeros(mean.shape)
    for place in np.ndindex(z.shape):
        deviation = math.sqrt(math.exp(log_variance[place]))
        z[place] = math.fsum((mean[place], deviation * noise[place]))
    return z


def scale_latents(z, shift, scale):
    y = np.zeros(z.shape)
    for place in np.ndindex(z.shape):
        y[place] = math.fsum((z[place], -shift)) * scale
    return y


def unscale_latents(y, shift, scale):
    z = np.zeros(y.shape)
    for place in np.ndindex(y.shape):
        z[place] = math.fsum((y[place] / scale, shift))
    return z
