"""Compiled twins of guidance: same names, same arguments, same steps, one pass over a batch."""

import math

import numpy as np
from numba import njit


def classifier_guidance(mean, variance, gradient, scale):
    guided = np.empty(mean.shape, mean.dtype)
    scale = mean.dtype.type(scale)
    _classifier_guidance(mean.ravel(), variance.ravel(), gradient.ravel(), scale, guided.ravel())
    return guided


@njit(cache=True)
def _classifier_guidance(mean, variance, gradient, scale, guided):
    for i in range(mean.shape[0]):
        guided[i] = mean[i] + scale * variance[i] * gradient[i]


def classifier_guidance_score(eps, gradient, t, alpha_bar, scale):
    guided = np.empty(eps.shape, eps.dtype)
    factor = np.sqrt(1 - alpha_bar[t]) * eps.dtype.type(scale)  # B
    _classifier_guidance_score(_rows(eps), _rows(gradient), factor, _rows(guided))
    return guided


@njit(cache=True)
def _classifier_guidance_score(eps, gradient, factor, guided):
    B, n = eps.shape
    for row in range(B):
        for i in range(n):
            guided[row, i] = eps[row, i] - factor[row] * gradient[row, i]


def _rows(x):
    """One row per sample, however many axes a sample has."""
    return x.reshape(x.shape[0], math.prod(x.shape[1:]))


def classifier_free_guidance(eps_uncond, eps_cond, scale):
    guided = np.empty(eps_cond.shape, eps_cond.dtype)
    scale = eps_cond.dtype.type(scale)
    _classifier_free_guidance(eps_uncond.ravel(), eps_cond.ravel(), scale, guided.ravel())
    return guided


@njit(cache=True)
def _classifier_free_guidance(eps_uncond, eps_cond, scale, guided):
    for i in range(eps_cond.shape[0]):
        guided[i] = eps_uncond[i] + scale * (eps_cond[i] - eps_uncond[i])


def dynamic_threshold(x_start, quantile):
    limited = np.empty(x_start.shape, x_start.dtype)
    _dynamic_threshold(_rows(x_start), quantile, _rows(limited))
    return limited


@njit(cache=True)
def _dynamic_threshold(x_start, quantile, limited):
    B, n = x_start.shape
    place = quantile * (n - 1)
    below = int(place)
    weight = x_start.dtype.type(place - below)
    for row in range(B):
        ordered = np.partition(np.abs(x_start[row]), below)
        largest = ordered[below]
        if below + 1 < n:
            largest += weight * (np.min(ordered[below + 1 :]) - largest)
        limit = max(largest, x_start.dtype.type(1))
        for i in range(n):
            limited[row, i] = min(max(x_start[row, i], -limit), limit) / limit
