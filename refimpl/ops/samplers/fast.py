"""Compiled twins of the samplers: same names, same arguments, same steps."""

import math

import numpy as np
from numba import njit

from refimpl.axes import AxesError
from refimpl.compiled.arithmetic import is_finite, power_of
from refimpl.compiled.memory import empty
from refimpl.compiled.threads import fill


def euler_step(x, denoised, sigma, sigma_next):
    moved = empty(x.shape, x.dtype)
    _share(_euler_step, moved, x, denoised, sigma_next / sigma)
    return moved


def _share(kernel, moved, *given):
    """Run a kernel on all numbers of the samples, factors in their type."""
    number = moved.dtype.type
    flat = (g.reshape(-1) if isinstance(g, np.ndarray) else number(g) for g in given)
    fill(kernel, moved.size, 1, *flat, moved.reshape(-1))


@njit(cache=True, nogil=True, fastmath={"contract"})
def _euler_step(first, last, x, denoised, ratio, moved):
    power = power_of(moved.dtype.type(0))
    for i in range(first, last):
        moved[i] = denoised[i] + ratio * (x[i] - denoised[i])
        power = max(power, power_of(moved[i]))
    return is_finite(power)


def euler_ancestral_step(x, denoised, noise, sigma, sigma_next, eta):
    moved = empty(x.shape, x.dtype)
    up = eta * sigma_next * math.sqrt(1 - (sigma_next / sigma) ** 2)
    down = math.sqrt(max(sigma_next**2 - up**2, 0))  # rounding may leave less than nothing
    _share(_euler_ancestral_step, moved, x, denoised, noise, down / sigma, up)
    return moved


@njit(cache=True, nogil=True, fastmath={"contract"})
def _euler_ancestral_step(first, last, x, denoised, noise, ratio, up, moved):
    power = power_of(moved.dtype.type(0))
    for i in range(first, last):
        moved[i] = denoised[i] + ratio * (x[i] - denoised[i]) + up * noise[i]
        power = max(power, power_of(moved[i]))
    return is_finite(power)


def heun_step(x, denoised, denoised_next, sigma, sigma_next):
    moved = empty(x.shape, x.dtype)
    _share(_heun_step, moved, x, denoised, denoised_next, sigma, sigma_next)
    return moved


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _heun_step(first, last, x, denoised, denoised_next, sigma, sigma_next, moved):
    stride, half = sigma_next - sigma, (sigma_next - sigma) / x.dtype.type(2)
    power = power_of(moved.dtype.type(0))
    for i in range(first, last):
        slope = (x[i] - denoised[i]) / sigma
        ahead = x[i] + slope * stride
        slope_next = (ahead - denoised_next[i]) / sigma_next
        moved[i] = x[i] + (slope + slope_next) * half
        power = max(power, power_of(moved[i]))
    return is_finite(power)


def churn(x, noise, sigma, amount, low, high):
    moved = empty(x.shape, x.dtype)
    gamma = min(amount, math.sqrt(2) - 1) if low <= sigma <= high else 0.0
    sigma_hat = (1 + gamma) * sigma
    _share(_add, moved, x, noise, math.sqrt(sigma_hat**2 - sigma**2))
    return moved, np.asarray(sigma_hat, x.dtype)


@njit(cache=True, nogil=True, fastmath={"contract"})
def _add(first, last, x, noise, factor, moved):
    power = power_of(moved.dtype.type(0))
    for i in range(first, last):
        moved[i] = x[i] + factor * noise[i]
        power = max(power, power_of(moved[i]))
    return is_finite(power)


def dpm_solver_step(x, denoised, denoised_before, sigma_before, sigma, sigma_next):
    moved = empty(x.shape, x.dtype)
    h = math.log(sigma / sigma_next)
    r = math.log(sigma_before / sigma) / h
    given = x, denoised, denoised_before, sigma_next / sigma, 1 / (2 * r), -math.expm1(-h)
    _share(_dpm_solver_step, moved, *given)
    return moved


@njit(cache=True, nogil=True, fastmath={"contract"})
def _dpm_solver_step(first, last, x, denoised, denoised_before, ratio, beyond, share, moved):
    power = power_of(moved.dtype.type(0))
    for i in range(first, last):
        ahead = denoised[i] + beyond * (denoised[i] - denoised_before[i])
        moved[i] = ratio * x[i] + share * ahead
        power = max(power, power_of(moved[i]))
    return is_finite(power)


def plms_eps(history):
    K = len(history)
    if not 1 <= K <= 4:
        raise AxesError(f"plms_eps: history has K={K}, expected one to four predictions")
    table = ((1, 1), (2, 3, -1), (12, 23, -16, 5), (24, 55, -59, 37, -9))
    divisor, *weights = table[K - 1]
    combined = empty(history.shape[1:], history.dtype)
    numbers = np.array(weights, history.dtype)
    flat = history.reshape(K, -1) if history.size else history.reshape(K, 0)
    given = flat, numbers, history.dtype.type(divisor), combined.reshape(-1)
    fill(_plms_eps, combined.size, 1, *given)
    return combined


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _plms_eps(first, last, history, weights, divisor, combined):
    power = power_of(combined.dtype.type(0))
    for i in range(first, last):
        total = weights[0] * history[0, i]
        for k in range(1, weights.shape[0]):
            total += weights[k] * history[k, i]
        combined[i] = total / divisor
        power = max(power, power_of(combined[i]))
    return is_finite(power)


def ddim_inversion(x, t_next, t, eps, alpha_bar):
    later = empty(x.shape, x.dtype)
    one = alpha_bar.dtype.type(1)
    share = np.where(t >= 0, alpha_bar[t], one)  # B, the 1 of the clean sample
    share_next = alpha_bar[t_next]  # B
    roots = np.stack((np.sqrt(1 - share), np.sqrt(share), np.sqrt(share_next)))  # 3 B
    rows = (len(x), x.size // max(len(x), 1))
    flat = x.reshape(rows), eps.reshape(rows), roots, np.sqrt(1 - share_next), later.reshape(rows)
    fill(_ddim_inversion, x.size, 1, *flat)
    return later


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _ddim_inversion(first, last, x, eps, roots, to_eps, later):
    n = x.shape[1]
    power = power_of(later.dtype.type(0))
    for i in range(first, last):
        row, place = i // n, i % n
        x_start = (x[row, place] - roots[0, row] * eps[row, place]) / roots[1, row]
        later[row, place] = roots[2, row] * x_start + to_eps[row] * eps[row, place]
        power = max(power, power_of(later[row, place]))
    return is_finite(power)
