"""Samplers in the space of noise levels, as nodes of ONNX."""

from __future__ import annotations

import math

from refimpl.backends.parts.onnx_nodes import on_tensors as _on_tensors


@_on_tensors
def euler_step(x, denoised, sigma, sigma_next):
    """Sub, Mul, Add"""
    return denoised + (x - denoised) * (sigma_next / sigma)


@_on_tensors
def heun_step(x, denoised, denoised_next, sigma, sigma_next):
    """Sub, Div, Mul, Add"""
    slope, stride = (x - denoised) / sigma, sigma_next - sigma
    slope_next = (x + slope * stride - denoised_next) / sigma_next
    return x + (slope + slope_next) * (stride / 2)


@_on_tensors
def dpm_solver_step(x, denoised, denoised_before, sigma_before, sigma, sigma_next):
    """Sub, Mul, Add"""
    half = math.log(sigma / sigma_next) / math.log(sigma_before / sigma) / 2
    ahead = denoised + (denoised - denoised_before) * half
    return ahead + (x - ahead) * (sigma_next / sigma)
