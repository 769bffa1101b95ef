"""Twins of the flows: same names, same arguments, same steps; samples in one pass over memory."""

import math

import numpy as np
from numba import njit

from refimpl.compiled.memory import empty
from refimpl.compiled.threads import share


@njit(cache=True, nogil=True, fastmath={"contract"})
def _mix(first, last, x, y, a, b, into):
    for i in range(first, last):
        into[i] = a * x[i] + b * y[i]


@njit(cache=True, nogil=True, fastmath={"contract"})
def _add(first, last, x, y, b, into):
    for i in range(first, last):
        into[i] = x[i] + b * y[i]


def _samples(t, x):
    """Each sample's numbers in a row, and its time in their type."""
    rows = x.reshape(len(t), -1) if x.size else x.reshape(len(t), 0)
    return rows, t.astype(x.dtype)


def flow_sample(x_start, t, noise):
    x_t, one = empty(x_start.shape, x_start.dtype), x_start.dtype.type(1)
    starts, times = _samples(t, x_start)
    targets, noises = x_t.reshape(starts.shape), noise.reshape(starts.shape)
    for b, time in enumerate(times):
        share(_mix, starts.shape[1], 1, starts[b], noises[b], one - time, time, targets[b])
    return x_t, noise - x_start


def flow_parts(x_t, t, velocity):
    parts = empty((2, *x_t.shape), x_t.dtype)
    samples, times = _samples(t, x_t)
    velocities, ends = velocity.reshape(samples.shape), parts.reshape(2, *samples.shape)
    for b, time in enumerate(times):
        for end, way in zip(ends, (-time, x_t.dtype.type(1) - time)):
            share(_add, samples.shape[1], 1, samples[b], velocities[b], way, end[b])
    return parts[0], parts[1]


def flow_euler_step(x, velocity, t, t_next):
    moved, way = empty(x.shape, x.dtype), x.dtype.type(t_next - t)
    share(_add, x.size, 1, x.reshape(-1), velocity.reshape(-1), way, moved.reshape(-1))
    return moved


@njit(cache=True, nogil=True, fastmath={"contract"})
def _ancestral(first, last, x, x_start, noise, kept, scale, fresh, into):
    for i in range(first, last):
        into[i] = scale * (x_start[i] + kept * (x[i] - x_start[i])) + fresh * noise[i]


def flow_ancestral_step(x, x_start, noise, t, t_next, eta):
    moved, number = empty(x.shape, x.dtype), x.dtype.type
    drop = eta * t_next * (1 - t_next / t)
    down = t_next - drop
    fresh = math.sqrt(drop * (t_next + down - 2 * t_next * down)) / (1 - down)
    factors = (number(f) for f in (down / t, (1 - t_next) / (1 - down), fresh))
    flat = (a.reshape(-1) for a in (x, x_start, noise))
    share(_ancestral, x.size, 1, *flat, *factors, moved.reshape(-1))
    return moved


def flow_shift(t, shift):
    return shift * t / (1 + (shift - 1) * t)


def flow_shift_exponential(t, mu):
    shift = t.dtype.type(math.exp(mu))
    return shift * t / (1 + (shift - 1) * t)


def logit_normal_density(t, mean, std):
    number = t.dtype.type
    ends = (t == 0) | (t == 1)
    inside = np.where(ends, number(0.5), t)
    apart = (np.log(inside) - np.log(1 - inside) - number(mean)) / number(std)
    scale = number(math.sqrt(2 * math.pi) * std)
    density = np.exp(-apart * apart / 2) / (scale * inside * (1 - inside))
    return np.where(ends, number(0), density)


def cosmap_density(t):
    number = t.dtype.type
    return number(2 / math.pi) / ((1 - t) * (1 - t) + t * t)


def mode_time(u, scale):
    number = u.dtype.type
    cosine = np.cos(number(math.pi / 2) * u)
    return 1 - u - number(scale) * (cosine * cosine - (1 - u))
