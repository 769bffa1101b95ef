"""Flows, editing and loops, in PyTorch's primitives."""

from __future__ import annotations

import math

import torch

from refimpl.backends.tensors import on_tensors as _on_tensors


def _beside(t, x):
    return t.reshape(-1, *(1 for _ in x.shape[1:])).to(x.dtype)


@_on_tensors
def flow_sample(x_start, t, noise):
    """torch.lerp, torch.sub"""
    return torch.lerp(x_start, noise, _beside(t, x_start)), noise - x_start


@_on_tensors
def flow_parts(x_t, t, velocity):
    """torch.addcmul"""
    t = _beside(t, x_t)
    return torch.addcmul(x_t, t, velocity, value=-1), torch.addcmul(x_t, 1 - t, velocity)


@_on_tensors
def flow_euler_step(x, velocity, t, t_next):
    """torch.add"""
    return x.add(velocity, alpha=t_next - t)


@_on_tensors
def flow_ancestral_step(x, x_start, noise, t, t_next, eta):
    """torch.lerp, torch.add"""
    drop = eta * t_next * (1 - t_next / t)
    down = t_next - drop
    fresh = math.sqrt(drop * (t_next + down - 2 * t_next * down)) / (1 - down)
    ahead = torch.lerp(x_start, x, down / t) * ((1 - t_next) / (1 - down))
    return ahead.add(noise, alpha=fresh)


@_on_tensors
def flow_shift(t, shift):
    """torch.mul, torch.div"""
    return shift * t / (1 + (shift - 1) * t)


@_on_tensors
def flow_shift_exponential(t, mu):
    """torch.exp, torch.reciprocal"""
    odds = math.exp(mu) * t
    return odds / (odds + (1 - t))


@_on_tensors
def logit_normal_density(t, mean, std):
    """torch.logit, torch.exp"""
    ends = (t == 0) | (t == 1)
    inside = torch.where(ends, torch.full_like(t, 0.5), t)
    apart = (torch.logit(inside) - mean) / std
    density = torch.exp(-apart.square() / 2) / (math.sqrt(math.tau) * std * inside * (1 - inside))
    return torch.where(ends, torch.zeros_like(t), density)


@_on_tensors
def cosmap_density(t):
    """torch.reciprocal"""
    return 2 / math.pi * torch.reciprocal((1 - t).square() + t.square())


@_on_tensors
def mode_time(u, scale):
    """torch.cos"""
    return 1 - u - scale * (torch.cos(math.pi / 2 * u).square() - (1 - u))


@_on_tensors
def inpaint_blend(sample, known, mask):
    """torch.lerp"""
    return torch.lerp(known, sample, mask.expand_as(known))


@_on_tensors
def guidance_two(eps_none, eps_image, eps_both, image_scale, text_scale):
    """torch.add"""
    guided = eps_none.add(eps_image - eps_none, alpha=image_scale)
    return guided.add(eps_both - eps_image, alpha=text_scale)


@_on_tensors
def guidance_rescale(guided, conditional, share):
    """torch.std"""
    factor = conditional.std(1, keepdim=True) / guided.std(1, keepdim=True)
    return share * (guided * factor) + (1 - share) * guided


@_on_tensors
def min_snr_weights(alpha_bar, t, gamma):
    """torch.minimum, torch.maximum"""
    share = alpha_bar[t]
    most = gamma * (1 - share)
    start = share / torch.maximum(1 - share, share / gamma)
    return most / torch.maximum(share, most), torch.minimum(share, most), start


# Loops


@_on_tensors
def ddim_loop(x, timesteps, alpha_bar, slope, offset):
    """torch.sqrt and arithmetic"""
    shares = [*alpha_bar[timesteps].flip(0), torch.ones((), dtype=x.dtype)]
    for t, share, after in zip(timesteps.flip(0), shares, shares[1:]):
        eps = slope[t] * x + offset[t]
        start = (x - torch.sqrt(1 - share) * eps) / torch.sqrt(share)
        x = torch.sqrt(after) * start + torch.sqrt(1 - after) * eps
    return x


@_on_tensors
def euler_loop(noise, sigmas, slope, offset):
    """torch.lerp"""
    x, levels = sigmas[0] * noise, torch.nn.functional.pad(sigmas, (0, 1))
    for i in range(len(sigmas)):
        x = torch.lerp(slope[i] * x + offset[i], x, levels[i + 1] / levels[i])
    return x


@_on_tensors
def flow_loop(noise, times, slope, offset):
    """torch.addcmul"""
    x, ends = noise, torch.nn.functional.pad(times, (0, 1))
    for i, way in enumerate(ends.diff()):
        x = torch.addcmul(x, way, slope[i] * x + offset[i])
    return x
