"""Diffusion and its guidance as nodes of ONNX."""

from __future__ import annotations

import math

import numpy as np

from refimpl.backends.parts.onnx_nodes import node as _node
from refimpl.backends.parts.onnx_nodes import on_tensors as _on_tensors

# Diffusion


def _linspace(start, stop, steps):
    places = _node("Range", *(np.array(float(x)) for x in (0, steps, 1)))  # T
    return places * ((stop - start) / max(steps - 1, 1)) + start


@_on_tensors
def linear_schedule(steps, beta_start, beta_end):
    """Range, Mul, Add"""
    return _linspace(beta_start, beta_end, steps)


@_on_tensors
def scaled_linear_schedule(steps, beta_start, beta_end):
    """Range, Mul, Add"""
    root = _linspace(beta_start**0.5, beta_end**0.5, steps)
    return root * root


@_on_tensors
def cosine_schedule(steps, offset, beta_max):
    """Range, Cos, Min"""
    share = (_linspace(0.0, 1.0, steps + 1) + offset) / (1 + offset)  # T+1
    root = _node("Cos", share * (math.pi / 2))
    f = root * root
    return _node("Min", 1 - f[1:] / f[:-1], np.array(beta_max))  # T


def _alpha_bar(betas):
    return _node("CumProd", 1 - betas, np.array(0), opset=26)


def _before(alpha_bar):
    return _node("Concat", np.ones(1, alpha_bar.array.dtype), alpha_bar[:-1], axis=0)


def _betas(alpha_bar):
    return 1 - alpha_bar / _before(alpha_bar)


def _posterior_variance(betas):
    share = _alpha_bar(betas)
    return betas * (1 - _before(share)) / (1 - share)


def _log_small(betas):
    variance = _posterior_variance(betas)
    return _node("Log", _node("Concat", variance[1:2], variance[1:], axis=0))


def _at(table, t, like):
    shape = (len(t.array), *(1,) * (like.array.ndim - 1))
    return _node("Gather", table, t).reshape(*shape)  # B 1 ...


def _sqrt(x):
    return _node("Sqrt", x)


@_on_tensors
def alpha_bar(betas):
    """Sub, CumProd"""
    return _alpha_bar(betas)


@_on_tensors
def zero_terminal_snr(betas):
    """CumProd, Sqrt"""
    root = _sqrt(_alpha_bar(betas))
    root = (root - root[-1]) * (root[0] / (root[0] - root[-1]))
    return _betas(root * root)


@_on_tensors
def q_sample(x_start, t, noise, alpha_bar):
    """Gather, Sqrt and arithmetic"""
    share = _at(alpha_bar, t, x_start)
    return _sqrt(share) * x_start + _sqrt(1 - share) * noise


@_on_tensors
def q_step(x_prev, t, noise, betas):
    """Gather, Sqrt and arithmetic"""
    beta = _at(betas, t, x_prev)
    return _sqrt(1 - beta) * x_prev + _sqrt(beta) * noise


def _posterior_mean(x_start, x_t, t, betas):
    share = _alpha_bar(betas)
    from_start = betas * _sqrt(_before(share)) / (1 - share)
    from_x_t = (1 - _before(share)) * _sqrt(1 - betas) / (1 - share)
    return _at(from_start, t, x_t) * x_start + _at(from_x_t, t, x_t) * x_t


@_on_tensors
def q_posterior(x_start, x_t, t, betas):
    """CumProd, Gather, Sqrt, Log"""
    variance = _at(_posterior_variance(betas), t, x_t).expand(*x_t.shape)
    log_variance = _at(_log_small(betas), t, x_t).expand(*x_t.shape)
    return _posterior_mean(x_start, x_t, t, betas), variance, log_variance


@_on_tensors
def fixed_small_log_variance(betas):
    """CumProd, Log"""
    return _log_small(betas)


@_on_tensors
def fixed_large_log_variance(betas):
    """CumProd, Log"""
    return _node("Log", _node("Concat", _posterior_variance(betas)[1:2], betas[1:], axis=0))


@_on_tensors
def learned_range_log_variance(v, t, betas):
    """CumProd, Gather, Log"""
    share = (v + 1) / 2
    small, large = _at(_log_small(betas), t, v), _at(_node("Log", betas), t, v)
    return share * large + (1 - share) * small


@_on_tensors
def x0_from_eps(x_t, t, eps, alpha_bar):
    """Gather, Sqrt and arithmetic"""
    share = _at(alpha_bar, t, x_t)
    return (x_t - _sqrt(1 - share) * eps) / _sqrt(share)


@_on_tensors
def eps_from_x0(x_t, t, x_start, alpha_bar):
    """Gather, Sqrt and arithmetic"""
    share = _at(alpha_bar, t, x_t)
    return (x_t - _sqrt(share) * x_start) / _sqrt(1 - share)


@_on_tensors
def velocity(x_start, t, noise, alpha_bar):
    """Gather, Sqrt and arithmetic"""
    share = _at(alpha_bar, t, x_start)
    return _sqrt(share) * noise - _sqrt(1 - share) * x_start


@_on_tensors
def x0_from_v(x_t, t, v, alpha_bar):
    """Gather, Sqrt and arithmetic"""
    share = _at(alpha_bar, t, x_t)
    return _sqrt(share) * x_t - _sqrt(1 - share) * v


@_on_tensors
def eps_from_v(x_t, t, v, alpha_bar):
    """Gather, Sqrt and arithmetic"""
    share = _at(alpha_bar, t, x_t)
    return _sqrt(1 - share) * x_t + _sqrt(share) * v


@_on_tensors
def score_from_eps(eps, t, alpha_bar):
    """Gather, Sqrt, Div"""
    return -eps / _sqrt(1 - _at(alpha_bar, t, eps))


@_on_tensors
def eps_from_score(score, t, alpha_bar):
    """Gather, Sqrt, Mul"""
    return -_sqrt(1 - _at(alpha_bar, t, score)) * score


@_on_tensors
def p_sample(x_t, t, eps, noise, betas, log_variance, clip):
    """CumProd, Gather, Sqrt, Clip, Exp, Where"""
    share = _at(_alpha_bar(betas), t, x_t)
    x_start = (x_t - _sqrt(1 - share) * eps) / _sqrt(share)
    limits = (np.array(x, x_start.array.dtype) for x in (-clip, clip))
    mean = _posterior_mean(_node("Clip", x_start, *limits), x_t, t, betas)
    last = _node("Equal", t, np.array(0)).reshape(*share.shape)
    return _node("Where", last, mean, mean + _node("Exp", log_variance / 2) * noise)


@_on_tensors
def ddim_step(x_t, t, t_prev, eps, noise, alpha_bar, eta):
    """Gather, Sqrt and arithmetic"""
    shares = _node("Concat", alpha_bar, np.ones(1, alpha_bar.array.dtype), axis=0)  # at -1: 1
    share, share_prev = _at(shares, t, x_t), _at(shares, t_prev, x_t)
    sigma = eta * _sqrt((1 - share_prev) / (1 - share)) * _sqrt(1 - share / share_prev)
    x_start = (x_t - _sqrt(1 - share) * eps) / _sqrt(share)
    rest = _node("Relu", 1 - share_prev - sigma * sigma)  # rounding may leave less than nothing
    direction = _sqrt(rest) * eps
    return _sqrt(share_prev) * x_start + direction + sigma * noise


@_on_tensors
def respaced_betas(betas, timesteps):
    """CumProd, Gather"""
    return _betas(_node("Gather", _alpha_bar(betas), timesteps))


# Guidance


@_on_tensors
def classifier_guidance(mean, variance, gradient, scale):
    """Mul, Add"""
    return mean + scale * variance * gradient


@_on_tensors
def classifier_guidance_score(eps, gradient, t, alpha_bar, scale):
    """Gather, Sqrt and arithmetic"""
    return eps - _sqrt(1 - _at(alpha_bar, t, eps)) * (scale * gradient)


@_on_tensors
def classifier_free_guidance(eps_uncond, eps_cond, scale):
    """Sub, Mul, Add"""
    return eps_uncond + scale * (eps_cond - eps_uncond)


@_on_tensors
def dynamic_threshold(x_start, quantile):
    """Abs, TopK, Gather, Clip"""
    size = math.prod(x_start.shape[1:])
    flat = _node("Abs", x_start).reshape(len(x_start.array), size)
    ordered, _ = _node("TopK", flat, np.array([size]), outputs=2, largest=0)
    place = quantile * (size - 1)
    below, above = (
        _node("Gather", ordered, np.array([i]), axis=1)
        for i in (math.floor(place), math.ceil(place))
    )
    largest = below + (above - below) * (place - math.floor(place))  # B 1
    limit = _node("Max", largest, np.ones(1, largest.array.dtype))
    limit = limit.reshape(len(limit.array), *(1,) * (x_start.array.ndim - 1))  # B 1 ...
    return _node("Max", _node("Min", x_start, limit), -limit) / limit
