"""Samplers in the space of noise levels, in JAX's primitives."""

from __future__ import annotations

import jax.numpy as jnp

from refimpl.backends.parts.jax_arrays import on_tensors as _on_tensors
from refimpl.backends.parts.jax_diffusion import _at


@_on_tensors
def leading_timesteps(steps, levels, offset):
    """jax.numpy.arange, jax.numpy.flip"""
    return jnp.flip(jnp.arange(levels)) * (steps // max(levels, 1)) + offset


@_on_tensors
def linspace_timesteps(steps, levels):
    """jax.numpy.linspace"""
    return jnp.linspace(steps - 1, 0, levels)


@_on_tensors
def trailing_timesteps(steps, levels):
    """jax.numpy.arange, jax.numpy.round"""
    ends = jnp.arange(levels, 0, -1) * steps / max(levels, 1)  # levels
    return jnp.round(ends).astype(int) - 1


@_on_tensors
def level_time(sigma, table):
    """jax.numpy.interp"""
    return jnp.interp(jnp.log(sigma), jnp.log(table), jnp.arange(len(table), dtype=table.dtype))


@_on_tensors
def sigma_at(t, table):
    """jax.numpy.interp"""
    return jnp.exp(jnp.interp(t, jnp.arange(len(table), dtype=table.dtype), jnp.log(table)))


@_on_tensors
def euler_step(x, denoised, sigma, sigma_next):
    """arithmetic of JAX arrays"""
    return x + (x - denoised) / sigma * (sigma_next - sigma)


@_on_tensors
def heun_step(x, denoised, denoised_next, sigma, sigma_next):
    """arithmetic of JAX arrays"""
    slope, stride = (x - denoised) / sigma, sigma_next - sigma
    slope_next = (x + slope * stride - denoised_next) / sigma_next
    return x + (slope + slope_next) * (stride / 2)


@_on_tensors
def dpm_solver_step(x, denoised, denoised_before, sigma_before, sigma, sigma_next):
    """jax.numpy.log, jax.numpy.expm1"""
    levels = jnp.asarray((sigma_before, sigma, sigma_next), x.dtype)
    before, h = -jnp.diff(jnp.log(levels))
    ahead = denoised + (denoised - denoised_before) * h / (2 * before)
    return jnp.exp(-h) * x - jnp.expm1(-h) * ahead


@_on_tensors
def plms_eps(history):
    """jax.numpy.tensordot"""
    table = ((1,), (3 / 2, -1 / 2), (23 / 12, -4 / 3, 5 / 12), (55 / 24, -59 / 24, 37 / 24, -3 / 8))
    return jnp.tensordot(jnp.asarray(table[len(history) - 1], history.dtype), history, axes=1)


@_on_tensors
def ddim_inversion(x, t_next, t, eps, alpha_bar):
    """jax.numpy.sqrt and arithmetic"""
    shares = jnp.pad(alpha_bar, (0, 1), constant_values=1)  # index -1 finds the 1 at its end
    share, share_next = _at(shares, t, x), _at(shares, t_next, x)
    clean = x / jnp.sqrt(share)
    sigma, sigma_next = (jnp.sqrt((1 - a) / a) for a in (share, share_next))
    return jnp.sqrt(share_next) * (clean + (sigma_next - sigma) * eps)
