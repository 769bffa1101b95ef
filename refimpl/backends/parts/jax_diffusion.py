"""Diffusion and its guidance in JAX's primitives."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import log_ndtr

from refimpl.backends.parts.jax_arrays import on_tensors as _on_tensors

# Diffusion


@_on_tensors
def linear_schedule(steps, beta_start, beta_end):
    """jax.numpy.linspace"""
    return jnp.linspace(beta_start, beta_end, steps)


@_on_tensors
def scaled_linear_schedule(steps, beta_start, beta_end):
    """jax.numpy.linspace, jax.numpy.square"""
    return jnp.square(jnp.linspace(beta_start**0.5, beta_end**0.5, steps))


@_on_tensors
def cosine_schedule(steps, offset, beta_max):
    """jax.numpy.cos, jax.numpy.square, jax.numpy.minimum"""
    share = (jnp.arange(steps + 1) / steps + offset) / (1 + offset)  # T+1
    f = jnp.square(jnp.cos(math.pi / 2 * share))
    return jnp.minimum(1 - f[1:] / f[:-1], beta_max)  # T


def _alpha_bar(betas):
    return jnp.cumprod(1 - betas)


def _before(alpha_bar):
    return jnp.pad(alpha_bar[:-1], (1, 0), constant_values=1)


def _betas(alpha_bar):
    return 1 - alpha_bar / _before(alpha_bar)


def _posterior_variance(betas):
    share = _alpha_bar(betas)
    return betas * (1 - _before(share)) / (1 - share)


def _log_small(betas):
    variance = _posterior_variance(betas)
    return jnp.log(jnp.concatenate((variance[1:2], variance[1:])))


def _at(table, t, like):
    return jnp.expand_dims(jnp.take(table, t), tuple(range(1, like.ndim)))  # B 1 ...


@_on_tensors
def alpha_bar(betas):
    """jax.numpy.cumprod"""
    return _alpha_bar(betas)


@_on_tensors
def zero_terminal_snr(betas):
    """jax.numpy.cumprod, jax.numpy.sqrt, jax.numpy.square"""
    root = jnp.sqrt(_alpha_bar(betas))
    root = (root - root[-1]) * (root[0] / (root[0] - root[-1]))
    return _betas(jnp.square(root))


@_on_tensors
def q_sample(x_start, t, noise, alpha_bar):
    """jax.numpy.take, jax.numpy.sqrt and arithmetic"""
    share = _at(alpha_bar, t, x_start)
    return jnp.sqrt(share) * x_start + jnp.sqrt(1 - share) * noise


@_on_tensors
def q_step(x_prev, t, noise, betas):
    """jax.numpy.take, jax.numpy.sqrt and arithmetic"""
    beta = _at(betas, t, x_prev)
    return jnp.sqrt(1 - beta) * x_prev + jnp.sqrt(beta) * noise


def _posterior_mean(x_start, x_t, t, betas):
    share = _alpha_bar(betas)
    from_start = betas * jnp.sqrt(_before(share)) / (1 - share)
    from_x_t = (1 - _before(share)) * jnp.sqrt(1 - betas) / (1 - share)
    return _at(from_start, t, x_t) * x_start + _at(from_x_t, t, x_t) * x_t


@_on_tensors
def q_posterior(x_start, x_t, t, betas):
    """jax.numpy.cumprod, jax.numpy.sqrt, jax.numpy.log"""
    variance = jnp.broadcast_to(_at(_posterior_variance(betas), t, x_t), x_t.shape)
    log_variance = jnp.broadcast_to(_at(_log_small(betas), t, x_t), x_t.shape)
    return _posterior_mean(x_start, x_t, t, betas), variance, log_variance


@_on_tensors
def fixed_small_log_variance(betas):
    """jax.numpy.cumprod, jax.numpy.log"""
    return _log_small(betas)


@_on_tensors
def fixed_large_log_variance(betas):
    """jax.numpy.cumprod, jax.numpy.log"""
    return jnp.log(jnp.concatenate((_posterior_variance(betas)[1:2], betas[1:])))


@_on_tensors
def learned_range_log_variance(v, t, betas):
    """jax.numpy.cumprod, jax.numpy.log"""
    share = (v + 1) / 2
    small, large = _at(_log_small(betas), t, v), _at(jnp.log(betas), t, v)
    return share * large + (1 - share) * small


@_on_tensors
def x0_from_eps(x_t, t, eps, alpha_bar):
    """jax.numpy.take, jax.numpy.sqrt and arithmetic"""
    share = _at(alpha_bar, t, x_t)
    return (x_t - jnp.sqrt(1 - share) * eps) / jnp.sqrt(share)


@_on_tensors
def eps_from_x0(x_t, t, x_start, alpha_bar):
    """jax.numpy.take, jax.numpy.sqrt and arithmetic"""
    share = _at(alpha_bar, t, x_t)
    return (x_t - jnp.sqrt(share) * x_start) / jnp.sqrt(1 - share)


@_on_tensors
def velocity(x_start, t, noise, alpha_bar):
    """jax.numpy.take, jax.numpy.sqrt and arithmetic"""
    share = _at(alpha_bar, t, x_start)
    return jnp.sqrt(share) * noise - jnp.sqrt(1 - share) * x_start


@_on_tensors
def x0_from_v(x_t, t, v, alpha_bar):
    """jax.numpy.take, jax.numpy.sqrt and arithmetic"""
    share = _at(alpha_bar, t, x_t)
    return jnp.sqrt(share) * x_t - jnp.sqrt(1 - share) * v


@_on_tensors
def eps_from_v(x_t, t, v, alpha_bar):
    """jax.numpy.take, jax.numpy.sqrt and arithmetic"""
    share = _at(alpha_bar, t, x_t)
    return jnp.sqrt(1 - share) * x_t + jnp.sqrt(share) * v


@_on_tensors
def score_from_eps(eps, t, alpha_bar):
    """jax.lax.rsqrt"""
    return -eps * jax.lax.rsqrt(1 - _at(alpha_bar, t, eps))


@_on_tensors
def eps_from_score(score, t, alpha_bar):
    """jax.numpy.sqrt"""
    return -jnp.sqrt(1 - _at(alpha_bar, t, score)) * score


@_on_tensors
def p_sample(x_t, t, eps, noise, betas, log_variance, clip):
    """jax.numpy.cumprod, jax.numpy.sqrt, jax.numpy.clip, jax.numpy.exp, jax.numpy.where"""
    share = _at(_alpha_bar(betas), t, x_t)
    x_start = jnp.clip((x_t - jnp.sqrt(1 - share) * eps) / jnp.sqrt(share), -clip, clip)
    mean = _posterior_mean(x_start, x_t, t, betas)
    last = jnp.reshape(t == 0, share.shape)
    return jnp.where(last, mean, mean + jnp.exp(log_variance / 2) * noise)


@_on_tensors
def ddim_step(x_t, t, t_prev, eps, noise, alpha_bar, eta):
    """jax.numpy.sqrt and arithmetic"""
    shares = jnp.pad(alpha_bar, (0, 1), constant_values=1)  # index -1 finds the 1 at its end
    share, share_prev = _at(shares, t, x_t), _at(shares, t_prev, x_t)
    sigma = eta * jnp.sqrt((1 - share_prev) / (1 - share)) * jnp.sqrt(1 - share / share_prev)
    x_start = (x_t - jnp.sqrt(1 - share) * eps) / jnp.sqrt(share)
    rest = jnp.maximum(1 - share_prev - jnp.square(sigma), 0)  # rounding may leave less
    direction = jnp.sqrt(rest) * eps
    return jnp.sqrt(share_prev) * x_start + direction + sigma * noise


def respaced_timesteps(steps, counts):  # not compiled: the values of counts decide the shape
    """jax.numpy.array_split, jax.numpy.round"""
    kept = []
    for section, count in zip(jnp.array_split(jnp.arange(steps), len(counts)), counts.tolist()):
        places = jnp.arange(count) * (len(section) - 1) / max(count - 1, 1)
        kept.append(section[jnp.round(places).astype(int)])
    return np.asarray(jnp.concatenate(kept))  # K


@_on_tensors
def respaced_betas(betas, timesteps):
    """jax.numpy.cumprod, jax.numpy.take"""
    return _betas(jnp.take(_alpha_bar(betas), timesteps))


# Guidance


@_on_tensors
def classifier_guidance(mean, variance, gradient, scale):
    """arithmetic of JAX arrays"""
    return mean + scale * variance * gradient


@_on_tensors
def classifier_guidance_score(eps, gradient, t, alpha_bar, scale):
    """jax.numpy.take, jax.numpy.sqrt and arithmetic"""
    return eps - jnp.sqrt(1 - _at(alpha_bar, t, eps)) * (scale * gradient)


@_on_tensors
def classifier_free_guidance(eps_uncond, eps_cond, scale):
    """arithmetic of JAX arrays"""
    return eps_uncond + scale * (eps_cond - eps_uncond)


@_on_tensors
def dynamic_threshold(x_start, quantile):
    """jax.numpy.quantile, jax.numpy.clip"""
    axes = tuple(range(1, x_start.ndim))
    largest = jnp.quantile(jnp.abs(x_start), quantile, axis=axes, keepdims=True)  # B 1 ...
    limit = jnp.maximum(largest, 1)
    return jnp.clip(x_start, -limit, limit) / limit


@_on_tensors
def gaussian_kl(q_mean, q_log_variance, p_mean, p_log_variance):
    """jnp.square, jnp.exp"""
    between = q_log_variance - p_log_variance
    means = jnp.square(q_mean - p_mean) * jnp.exp(-p_log_variance)
    return (means + jnp.exp(between) - 1 - between) / 2


@_on_tensors
def discretized_gaussian_nll(x, mean, log_variance):
    """jax.scipy.special.log_ndtr, jnp.expm1"""
    rate = jnp.exp(-log_variance / 2)
    above, below = (x + 1 / 255 - mean) * rate, (x - 1 / 255 - mean) * rate
    near = log_ndtr(jnp.minimum(above, -below))
    inside = near + jnp.log(-jnp.expm1(log_ndtr(jnp.minimum(below, -above)) - near))
    outside = log_ndtr(jnp.where(x < 0, above, -below))
    return -jnp.where(jnp.abs(x) < 1, inside, outside)
