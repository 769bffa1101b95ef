"""Twins of the loops: same names, same arguments, same steps, by the twins of the steps."""

from itertools import pairwise

import numpy as np

from refimpl.ops.diffusion.fast import ddim_step
from refimpl.ops.flow.fast import flow_euler_step
from refimpl.ops.samplers.fast import euler_step


def ddim_loop(x, timesteps, alpha_bar, slope, offset):
    without = np.zeros_like(x)
    walk = (*timesteps[::-1].tolist(), -1)
    for t, t_prev in pairwise(walk):
        eps = slope[t] * x + offset[t]
        times, earlier = np.full(len(x), t), np.full(len(x), t_prev)  # B
        x = ddim_step(x, times, earlier, eps, without, alpha_bar, 0.0)
    return x


def euler_loop(noise, sigmas, slope, offset):
    x, walk = sigmas[0] * noise, (*sigmas.tolist(), 0.0)
    for i, (sigma, sigma_next) in enumerate(pairwise(walk)):
        x = euler_step(x, slope[i] * x + offset[i], sigma, sigma_next)
    return x


def flow_loop(noise, times, slope, offset):
    x, walk = noise, (*times.tolist(), 0.0)
    for i, (t, t_next) in enumerate(pairwise(walk)):
        x = flow_euler_step(x, slope[i] * x + offset[i], t, t_next)
    return x
