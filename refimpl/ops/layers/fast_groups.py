"""Compiled twins of group normalisation, alone and with what follows it in U-Nets."""

import numpy as np
from numba import njit

from refimpl.compiled.arithmetic import is_finite, power_of, sum_of, sum_of_squares
from refimpl.compiled.memory import empty
from refimpl.compiled.threads import fill, share
from refimpl.compiled.tiles import run_wide
from refimpl.ops.layers.fast_activations import _logistic


def group_norm(x, gain, bias, groups, eps):
    return _grouped(_group_norm, x, gain, bias, groups, eps)


def group_norm_silu(x, gain, bias, groups, eps):
    """`group_norm`, then `silu`: a group stays in the cache until both are done."""
    return _grouped(_group_norm_silu, x, gain, bias, groups, eps)


def _grouped(kernel, x, gain, bias, groups, eps):
    B, channels, height, width = x.shape
    C, pixels = channels // groups, height * width
    y, rows = empty(x.shape, x.dtype), (B * groups, C * pixels)
    given = x.reshape(rows), gain, bias, groups, x.dtype.type(eps), y.reshape(rows)
    fill(kernel, B * groups, C * pixels, *given)
    return y


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _group_norm(first, last, x, gain, bias, groups, eps, y):
    C, size = gain.size // groups, x.dtype.type(x.shape[1])
    pixels, power = x.shape[1] // C, power_of(x.dtype.type(0))
    for row in range(first, last):
        mean = sum_of(x[row]) / size
        share = x.dtype.type(1) / np.sqrt(sum_of_squares(x[row], mean) / size + eps)
        for c in range(C):
            channel = row % groups * C + c
            numbers, normal = x[row, c * pixels :], y[row, c * pixels :]
            for i in range(pixels):
                normal[i] = gain[channel] * ((numbers[i] - mean) * share) + bias[channel]
                power = max(power, power_of(normal[i]))
    return is_finite(power)


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _group_norm_silu(first, last, x, gain, bias, groups, eps, y):
    run_wide()
    C, one = gain.size // groups, x.dtype.type(1)
    size, pixels = x.dtype.type(x.shape[1]), x.shape[1] // C
    power = power_of(x.dtype.type(0))
    for row in range(first, last):
        mean = sum_of(x[row]) / size
        share = one / np.sqrt(sum_of_squares(x[row], mean) / size + eps)
        for c in range(C):
            channel = row % groups * C + c
            numbers, active = x[row, c * pixels :], y[row, c * pixels :]
            for i in range(pixels):
                normal = gain[channel] * ((numbers[i] - mean) * share) + bias[channel]
                active[i] = normal * _logistic(normal, one)
                power = max(power, power_of(active[i]))
    return is_finite(power)


def normaliser(x, gain, bias, groups, eps):
    """What a group norm does to each channel: its mean, one over its deviation, gain and bias.

    x is read-only. Returns B 4 channels.
    """
    B, channels, height, width = x.shape
    found = np.empty((B * groups, 2), x.dtype)
    rows = x.reshape(B * groups, channels // groups * height * width)
    share(_moments, *rows.shape, rows, x.dtype.type(eps), found)
    each = np.repeat(found.reshape(B, groups, 2), channels // groups, axis=1)  # B channels 2
    given = np.broadcast_to(np.stack((gain, bias)), (B, 2, channels))
    return np.concatenate((each.swapaxes(1, 2), given), axis=1)


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _moments(first, last, x, eps, found):
    size = x.dtype.type(x.shape[1])
    for row in range(first, last):
        mean = sum_of(x[row]) / size
        found[row, 0] = mean
        found[row, 1] = x.dtype.type(1) / np.sqrt(sum_of_squares(x[row], mean) / size + eps)


def group_norm_vjp(x, gain, groups, eps, grad):
    B, channels, height, width = x.shape
    grouped = (B, groups, channels // groups, height * width)  # B G C pixels
    x_grad = empty(x.shape, x.dtype)
    gain_grad, bias_grad = np.zeros_like(gain), np.zeros_like(gain)
    _group_norm_vjp(
        x.reshape(grouped),
        gain,
        x.dtype.type(eps),
        grad.reshape(grouped),
        x_grad.reshape(grouped),
        gain_grad,
        bias_grad,
    )
    return x_grad, gain_grad, bias_grad


@njit(cache=True, error_model="numpy")
def _group_norm_vjp(x, gain, eps, grad, x_grad, gain_grad, bias_grad):
    B, G, C, pixels = x.shape
    size, zero = x.dtype.type(C * pixels), x.dtype.type(0)
    for b in range(B):
        for g in range(G):
            mean = zero
            for c in range(C):
                for i in range(pixels):
                    mean += x[b, g, c, i]
            mean /= size
            variance = zero
            for c in range(C):
                for i in range(pixels):
                    centred = x[b, g, c, i] - mean
                    variance += centred * centred
            root = np.sqrt(variance / size + eps)
            average, along = zero, zero
            for c in range(C):
                channel = g * C + c
                for i in range(pixels):
                    normal = (x[b, g, c, i] - mean) / root
                    inner = gain[channel] * grad[b, g, c, i]
                    average += inner
                    along += inner * normal
                    gain_grad[channel] += grad[b, g, c, i] * normal
                    bias_grad[channel] += grad[b, g, c, i]
            average /= size
            along /= size
            for c in range(C):
                channel = g * C + c
                for i in range(pixels):
                    normal = (x[b, g, c, i] - mean) / root
                    inner = gain[channel] * grad[b, g, c, i]
                    x_grad[b, g, c, i] = (inner - average - normal * along) / root
