"""Diffusion and its guidance in PyTorch's primitives."""

from __future__ import annotations

import math

import torch

from refimpl.backends.tensors import on_tensors as _on_tensors

F = torch.nn.functional
WIDE = torch.float64  # where no array says the precision


# Diffusion


@_on_tensors
def linear_schedule(steps, beta_start, beta_end):
    """torch.linspace"""
    return torch.linspace(beta_start, beta_end, steps, dtype=WIDE)


@_on_tensors
def scaled_linear_schedule(steps, beta_start, beta_end):
    """torch.linspace, torch.square"""
    return torch.linspace(beta_start**0.5, beta_end**0.5, steps, dtype=WIDE).square()


@_on_tensors
def cosine_schedule(steps, offset, beta_max):
    """torch.cos, torch.square, torch.clamp"""
    share = (torch.arange(steps + 1, dtype=WIDE) / steps + offset) / (1 + offset)  # T+1
    f = torch.cos(math.pi / 2 * share).square()
    return torch.clamp(1 - f[1:] / f[:-1], max=beta_max)  # T


def _alpha_bar(betas):
    return torch.cumprod(1 - betas, dim=0)


def _before(alpha_bar):
    return F.pad(alpha_bar[:-1], (1, 0), value=1.0)


def _betas(alpha_bar):
    return 1 - alpha_bar / _before(alpha_bar)


def _posterior_variance(betas):
    share = _alpha_bar(betas)
    return betas * (1 - _before(share)) / (1 - share)


def _log_small(betas):
    variance = _posterior_variance(betas)
    return torch.log(torch.cat((variance[1:2], variance[1:])))


def _at(table, t, like):
    return table[t].reshape(-1, *(1,) * (like.ndim - 1))  # B 1 ...


@_on_tensors
def alpha_bar(betas):
    """torch.cumprod"""
    return _alpha_bar(betas)


@_on_tensors
def zero_terminal_snr(betas):
    """torch.cumprod, torch.sqrt, torch.square"""
    root = torch.sqrt(_alpha_bar(betas))
    root = (root - root[-1]) * (root[0] / (root[0] - root[-1]))
    return _betas(root.square())


@_on_tensors
def q_sample(x_start, t, noise, alpha_bar):
    """torch.sqrt and arithmetic"""
    share = _at(alpha_bar, t, x_start)
    return torch.sqrt(share) * x_start + torch.sqrt(1 - share) * noise


@_on_tensors
def q_step(x_prev, t, noise, betas):
    """torch.sqrt and arithmetic"""
    beta = _at(betas, t, x_prev)
    return torch.sqrt(1 - beta) * x_prev + torch.sqrt(beta) * noise


def _posterior_mean(x_start, x_t, t, betas):
    share = _alpha_bar(betas)
    from_start = betas * torch.sqrt(_before(share)) / (1 - share)
    from_x_t = (1 - _before(share)) * torch.sqrt(1 - betas) / (1 - share)
    return _at(from_start, t, x_t) * x_start + _at(from_x_t, t, x_t) * x_t


@_on_tensors
def q_posterior(x_start, x_t, t, betas):
    """torch.cumprod, torch.sqrt, torch.log"""
    variance = _at(_posterior_variance(betas), t, x_t).expand(x_t.shape)
    log_variance = _at(_log_small(betas), t, x_t).expand(x_t.shape)
    return _posterior_mean(x_start, x_t, t, betas), variance, log_variance


@_on_tensors
def fixed_small_log_variance(betas):
    """torch.cumprod, torch.log"""
    return _log_small(betas)


@_on_tensors
def fixed_large_log_variance(betas):
    """torch.cumprod, torch.log"""
    return torch.log(torch.cat((_posterior_variance(betas)[1:2], betas[1:])))


@_on_tensors
def learned_range_log_variance(v, t, betas):
    """torch.cumprod, torch.log, torch.lerp"""
    small, large = _at(_log_small(betas), t, v), _at(torch.log(betas), t, v)
    return torch.lerp(small, large, ((v + 1) / 2).to(betas.dtype))


@_on_tensors
def x0_from_eps(x_t, t, eps, alpha_bar):
    """torch.sqrt and arithmetic"""
    share = _at(alpha_bar, t, x_t)
    return (x_t - torch.sqrt(1 - share) * eps) / torch.sqrt(share)


@_on_tensors
def eps_from_x0(x_t, t, x_start, alpha_bar):
    """torch.sqrt and arithmetic"""
    share = _at(alpha_bar, t, x_t)
    return (x_t - torch.sqrt(share) * x_start) / torch.sqrt(1 - share)


@_on_tensors
def velocity(x_start, t, noise, alpha_bar):
    """torch.sqrt and arithmetic"""
    share = _at(alpha_bar, t, x_start)
    return torch.sqrt(share) * noise - torch.sqrt(1 - share) * x_start


@_on_tensors
def x0_from_v(x_t, t, v, alpha_bar):
    """torch.sqrt and arithmetic"""
    share = _at(alpha_bar, t, x_t)
    return torch.sqrt(share) * x_t - torch.sqrt(1 - share) * v


@_on_tensors
def eps_from_v(x_t, t, v, alpha_bar):
    """torch.sqrt and arithmetic"""
    share = _at(alpha_bar, t, x_t)
    return torch.sqrt(1 - share) * x_t + torch.sqrt(share) * v


@_on_tensors
def score_from_eps(eps, t, alpha_bar):
    """torch.rsqrt"""
    return -eps * torch.rsqrt(1 - _at(alpha_bar, t, eps))


@_on_tensors
def eps_from_score(score, t, alpha_bar):
    """torch.sqrt"""
    return -torch.sqrt(1 - _at(alpha_bar, t, score)) * score


@_on_tensors
def p_sample(x_t, t, eps, noise, betas, log_variance, clip):
    """torch.cumprod, torch.sqrt, torch.clamp, torch.exp, torch.where"""
    share = _at(_alpha_bar(betas), t, x_t)
    x_start = torch.clamp((x_t - torch.sqrt(1 - share) * eps) / torch.sqrt(share), -clip, clip)
    last = (t == 0).reshape(-1, *(1,) * (x_t.ndim - 1))  # B 1 ...
    mean = _posterior_mean(x_start, x_t, t, betas)
    return torch.where(last, mean, mean + torch.exp(log_variance / 2) * noise)


@_on_tensors
def ddim_step(x_t, t, t_prev, eps, noise, alpha_bar, eta):
    """torch.sqrt and arithmetic"""
    shares = F.pad(alpha_bar, (0, 1), value=1.0)  # index -1 finds the 1 before the first step
    share, share_prev = _at(shares, t, x_t), _at(shares, t_prev, x_t)
    sigma = eta * torch.sqrt((1 - share_prev) / (1 - share)) * torch.sqrt(1 - share / share_prev)
    x_start = (x_t - torch.sqrt(1 - share) * eps) / torch.sqrt(share)
    rest = (1 - share_prev - sigma.square()).clamp(min=0)  # rounding may leave less than nothing
    direction = torch.sqrt(rest) * eps
    return torch.sqrt(share_prev) * x_start + direction + sigma * noise


@_on_tensors
def respaced_timesteps(steps, counts):
    """torch.tensor_split, torch.round"""
    kept = []
    for section, count in zip(torch.arange(steps).tensor_split(len(counts)), counts.tolist()):
        places = torch.arange(count, dtype=WIDE) * (len(section) - 1) / max(count - 1, 1)
        kept.append(section[torch.round(places).long()])
    return torch.cat(kept)


@_on_tensors
def respaced_betas(betas, timesteps):
    """torch.cumprod, torch.index_select"""
    return _betas(torch.index_select(_alpha_bar(betas), 0, timesteps))


# Guidance


@_on_tensors
def classifier_guidance(mean, variance, gradient, scale):
    """torch.addcmul"""
    return torch.addcmul(mean, variance, gradient, value=scale)


@_on_tensors
def classifier_guidance_score(eps, gradient, t, alpha_bar, scale):
    """torch.sqrt and arithmetic"""
    return eps - torch.sqrt(1 - _at(alpha_bar, t, eps)) * (scale * gradient)


@_on_tensors
def classifier_free_guidance(eps_uncond, eps_cond, scale):
    """torch.lerp"""
    return torch.lerp(eps_uncond, eps_cond, scale)


@_on_tensors
def dynamic_threshold(x_start, quantile):
    """torch.quantile, torch.clamp"""
    largest = torch.quantile(x_start.abs().flatten(1), quantile, dim=1)  # B
    limit = largest.clamp(min=1).reshape(-1, *(1,) * (x_start.ndim - 1))  # B 1 ...
    return torch.clamp(x_start, -limit, limit) / limit
