"""The law of what a sampler makes, written separately: no sample is drawn.

A step of every sampler here is x' = a x + b S(x) + v g(x) + σ z, with the score S that it uses,
the gradient g of a steering classifier and standard normal z. Where S and g are affine, Gaussians
stay Gaussians; on a line, densities are carried along by quadrature.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np


class Coefficients(NamedTuple):
    place: int
    share: float
    a: float
    b: float
    v: float
    sigma: float


def ddpm(shares, large):
    """Ho et al. 2020, equation 11 with -√(1 - ᾱ) S as the noise; variances of section 3.2."""
    steps = []
    for k in range(len(shares) - 1, -1, -1):
        share, before = shares[k], shares[k - 1] if k else 1.0
        beta = 1 - share / before
        j = max(k, 1)
        step = 1 - shares[j] / shares[j - 1]
        small = step * (1 - shares[j - 1]) / (1 - shares[j])
        variance = step if large and k else small
        root = math.sqrt(1 - beta)
        sigma = math.sqrt(variance) if k else 0.0
        steps.append(Coefficients(k, share, 1 / root, beta / root, variance, sigma))
    return steps


def ddim(shares, eta):
    """Song et al. 2021, equation 12, collected by x and S."""
    steps = []
    for k in range(len(shares) - 1, -1, -1):
        share, before = shares[k], shares[k - 1] if k else 1.0
        variance = eta**2 * (1 - before) / (1 - share) * (before - share) / before
        a = math.sqrt(before / share)
        b = a * (1 - share) - math.sqrt((1 - before - variance) * (1 - share))
        steps.append(Coefficients(k, share, a, b, 0.0, math.sqrt(variance)))
    return steps


class Affine(NamedTuple):
    """x ↦ matrix x + shift."""

    matrix: np.ndarray
    shift: np.ndarray

    def scaled(self, s):
        return Affine(s * self.matrix, s * self.shift)

    def plus(self, other):
        return Affine(self.matrix + other.matrix, self.shift + other.shift)


def gaussian_score(mean, covariance, share):
    """The score of a noised Gaussian."""
    inverse = np.linalg.inv(share * covariance + (1 - share) * np.eye(len(mean)))
    return Affine(-inverse, inverse @ (math.sqrt(share) * mean))


def carry_gaussian(steps, score, gradient, mean, covariance):
    """Mean and covariance after each step; score and gradient map a share to an affine map."""
    identity = np.eye(len(mean))
    for step in steps:
        moved = score(step.share).scaled(step.b).plus(gradient(step.share).scaled(step.v))
        matrix = step.a * identity + moved.matrix
        mean = matrix @ mean + moved.shift
        covariance = matrix @ covariance @ matrix.T + step.sigma**2 * identity
        yield mean, covariance


def line_density(x, share, weights, means, deviations):
    """Each component's part of a noised mixture on a line, and the derivative of its logarithm."""
    parts, slopes = [], []
    for w, m, s in zip(weights, means, deviations, strict=True):
        variance = share * s * s + 1 - share
        away = x - math.sqrt(share) * m
        parts.append(w * np.exp(-away * away / (2 * variance)) / math.sqrt(2 * math.pi * variance))
        slopes.append(-away / variance)
    return np.array(parts), np.array(slopes)


def line_score(x, share, weights, means, deviations):
    parts, slopes = line_density(x, share, weights, means, deviations)
    return np.sum(parts * slopes, axis=0) / np.sum(parts, axis=0)


def carry_line(steps, score, gradient, reach, points):
    """Points and weights that stand for the law at the end, begun as a standard normal one."""
    grid = np.linspace(-reach, reach, points)
    width = grid[1] - grid[0]
    nodes, shares = np.polynomial.hermite_e.hermegauss(16)
    x, weights = grid, width * np.exp(-grid * grid / 2) / math.sqrt(2 * math.pi)
    last = max((i for i, step in enumerate(steps) if step.sigma), default=-1)
    for i, step in enumerate(steps):
        x = step.a * x + step.b * score(x, step.share) + step.v * gradient(x, step.share)
        if i == last:  # may be too narrow for the grid; nothing random follows that needs one
            x = np.ravel(x[:, None] + step.sigma * nodes)
            weights = np.ravel(weights[:, None] * shares / math.sqrt(2 * math.pi))
        elif step.sigma:
            spread = (grid[:, None] - x) / step.sigma
            density = np.exp(-spread * spread / 2) @ weights
            x, weights = grid, width * density / (step.sigma * math.sqrt(2 * math.pi))
    return x, weights
