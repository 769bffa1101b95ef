"""Twins of the noise levels: same names, same arguments, same steps; nothing here is large."""

import numpy as np

from refimpl.axes import AxesError


def leading_timesteps(steps, levels, offset):
    stride = steps // max(levels, 1)
    latest = offset + (levels - 1) * stride
    if levels and latest >= steps:
        raise AxesError(
            f"leading_timesteps: offset has {offset}, which leads to the time {latest}, "
            f"expected times below T={steps}"
        )
    return offset + stride * np.arange(levels - 1, -1, -1)  # levels


def linspace_timesteps(steps, levels):
    if steps < 1:
        raise AxesError(f"linspace_timesteps: steps has {steps}, expected at least 1")
    return np.linspace(steps - 1, 0, levels)


def trailing_timesteps(steps, levels):
    twice = 2 * steps * np.arange(levels, 0, -1) + levels  # levels
    whole, left = np.divmod(twice, max(2 * levels, 1))
    return whole - ((left == 0) & (whole % 2 == 1)) - 1  # half to even


def sigmas_from_alpha_bar(alpha_bar):
    one = alpha_bar.dtype.type(1)
    with np.errstate(divide="ignore"):
        return np.sqrt((one - alpha_bar) / alpha_bar)


def level_time(sigma, table):
    _check_rising("level_time", table)
    times = np.interp(np.log(sigma), np.log(table), np.arange(len(table)))
    return times.astype(sigma.dtype)


def sigma_at(t, table):
    _check_rising("sigma_at", table)
    return np.exp(np.interp(t, np.arange(len(table)), np.log(table))).astype(table.dtype)


def _check_rising(op, table):
    if len(table) < 2 or not np.all(np.diff(table) > 0):
        raise AxesError(f"{op}: table has {table}, expected two levels or more, rising")


def karras_sigmas(levels, low, high, rho):
    top, bottom = high ** (1 / rho), low ** (1 / rho)
    ramp = np.arange(levels) / max(levels - 1, 1)  # levels
    return ((1 - ramp) * top + ramp * bottom) ** rho


def edm_coefficients(sigma, sigma_data):
    data = sigma.dtype.type(sigma_data)
    total = sigma * sigma + data * data  # B
    root = np.sqrt(total)  # B
    return data * data / total, sigma * data / root, 1 / root, np.log(sigma) / 4


def exponential_sigmas(levels, low, high):
    ramp = np.arange(levels) / max(levels - 1, 1)  # levels
    return high ** (1 - ramp) * low**ramp


def edm_weights(sigma, sigma_data):
    data = sigma.dtype.type(sigma_data)
    both = sigma * data  # B
    return (sigma * sigma + data * data) / (both * both)


def scale_input(x, sigma):
    level = sigma.astype(x.dtype).reshape(-1, *[1] * (x.ndim - 1))  # B 1 ...
    return x / np.sqrt(level * level + x.dtype.type(1))


def denoised_from_v(x, v, sigma):
    level = sigma.astype(x.dtype).reshape(-1, *[1] * (x.ndim - 1))  # B 1 ...
    total = level * level + x.dtype.type(1)  # B 1 ...
    return x / total - level / np.sqrt(total) * v
