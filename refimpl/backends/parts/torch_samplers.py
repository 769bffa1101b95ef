"""Samplers in the space of noise levels, in PyTorch's primitives."""

from __future__ import annotations

import math

import torch

from refimpl.backends.parts.torch_diffusion import _at
from refimpl.backends.tensors import on_tensors as _on_tensors

F = torch.nn.functional


@_on_tensors
def euler_step(x, denoised, sigma, sigma_next):
    """torch.lerp"""
    return torch.lerp(denoised, x, sigma_next / sigma)


@_on_tensors
def euler_ancestral_step(x, denoised, noise, sigma, sigma_next, eta):
    """torch.lerp, torch.add"""
    up = eta * sigma_next * math.sqrt(1 - (sigma_next / sigma) ** 2)
    down = math.sqrt(max(sigma_next**2 - up**2, 0))  # rounding may leave less than nothing
    return torch.lerp(denoised, x, down / sigma).add(noise, alpha=up)


@_on_tensors
def heun_step(x, denoised, denoised_next, sigma, sigma_next):
    """torch.lerp, torch.sub, torch.add"""
    ahead = torch.lerp(denoised, x, sigma_next / sigma)
    slopes = (x - denoised) / sigma, (ahead - denoised_next) / sigma_next
    return x.add(slopes[0] + slopes[1], alpha=(sigma_next - sigma) / 2)


@_on_tensors
def churn(x, noise, sigma, amount, low, high):
    """torch.add"""
    growth = min(amount, math.sqrt(2) - 1) if low <= sigma <= high else 0.0
    level = sigma + growth * sigma
    higher = x.add(noise, alpha=math.sqrt(level**2 - sigma**2))
    return higher, torch.tensor(level, dtype=x.dtype)


@_on_tensors
def dpm_solver_step(x, denoised, denoised_before, sigma_before, sigma, sigma_next):
    """torch.lerp"""
    half = math.log(sigma / sigma_next) / math.log(sigma_before / sigma) / 2
    return torch.lerp(torch.lerp(denoised, denoised_before, -half), x, sigma_next / sigma)


@_on_tensors
def plms_eps(history):
    """torch.tensordot"""
    table = ((1, 1), (2, 3, -1), (12, 23, -16, 5), (24, 55, -59, 37, -9))
    divisor, *weights = table[len(history) - 1]
    return torch.tensordot(torch.tensor(weights, dtype=history.dtype), history, dims=1) / divisor


@_on_tensors
def ddim_inversion(x, t_next, t, eps, alpha_bar):
    """torch.sqrt and arithmetic"""
    shares = F.pad(alpha_bar, (0, 1), value=1.0)  # index -1 finds the 1 of the clean sample
    share, share_next = _at(shares, t, x), _at(shares, t_next, x)
    x_start = (x - torch.sqrt(1 - share) * eps) / torch.sqrt(share)
    return torch.sqrt(share_next) * x_start + torch.sqrt(1 - share_next) * eps


# Noise levels


@_on_tensors
def leading_timesteps(steps, levels, offset):
    """torch.arange, torch.flip"""
    return torch.arange(levels).flip(0) * (steps // max(levels, 1)) + offset


@_on_tensors
def linspace_timesteps(steps, levels):
    """torch.linspace"""
    return torch.linspace(steps - 1, 0, levels, dtype=torch.float64)


@_on_tensors
def trailing_timesteps(steps, levels):
    """torch.arange, torch.round"""
    ends = torch.arange(levels, 0, -1) * steps / torch.tensor(float(levels), dtype=torch.float64)
    return ends.round().long() - 1


@_on_tensors
def scale_input(x, sigma):
    """torch.square, torch.rsqrt"""
    return x * torch.rsqrt(1 + _level(sigma, x).square())


@_on_tensors
def denoised_from_v(x, v, sigma):
    """torch.square, torch.sqrt"""
    level = _level(sigma, x)
    total = 1 + level.square()
    return x / total - level / total.sqrt() * v


def _level(sigma, x):
    """A level for each sample, shaped to meet a batch."""
    return sigma.reshape(-1, *[1] * (x.ndim - 1))


@_on_tensors
def sigmas_from_alpha_bar(alpha_bar):
    """torch.sqrt and arithmetic"""
    return torch.sqrt((1 - alpha_bar) / alpha_bar)


@_on_tensors
def karras_sigmas(levels, low, high, rho):
    """torch.linspace, torch.pow"""
    roots = high ** (1 / rho), low ** (1 / rho)
    return torch.linspace(*roots, levels, dtype=torch.float64).pow(rho)


@_on_tensors
def exponential_sigmas(levels, low, high):
    """torch.linspace, torch.exp"""
    ends = math.log(high), math.log(low)
    return torch.linspace(*ends, levels, dtype=torch.float64).exp()


@_on_tensors
def edm_weights(sigma, sigma_data):
    """torch.square"""
    return (sigma.square() + sigma_data**2) / (sigma * sigma_data).square()


@_on_tensors
def edm_coefficients(sigma, sigma_data):
    """torch.square, torch.rsqrt, torch.log"""
    total = sigma.square() + sigma_data**2
    into = torch.rsqrt(total)
    return sigma_data**2 / total, sigma * sigma_data * into, into, sigma.log() / 4
