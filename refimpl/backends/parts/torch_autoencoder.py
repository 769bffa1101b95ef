"""Autoencoders, in PyTorch's primitives."""

from __future__ import annotations

import torch

from refimpl.backends.tensors import on_tensors as _on_tensors


@_on_tensors
def gaussian_moments(h):
    """torch.chunk, torch.clamp"""
    mean, log_variance = h.chunk(2, dim=1)
    return mean, log_variance.clamp(-30, 20)


@_on_tensors
def posterior_kl(mean, log_variance):
    """torch.exp, torch.sum"""
    return (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1) / 2


@_on_tensors
def gaussian_kl(q_mean, q_log_variance, p_mean, p_log_variance):
    """torch.distributions.kl_divergence"""
    q, p = (
        torch.distributions.Normal(mean, (log_variance / 2).exp())
        for mean, log_variance in ((q_mean, q_log_variance), (p_mean, p_log_variance))
    )
    return torch.distributions.kl_divergence(q, p)


@_on_tensors
def discretized_gaussian_nll(x, mean, log_variance):
    """torch.special.log_ndtr, torch.expm1"""
    rate = (-log_variance / 2).exp()
    above, below = (x + 1 / 255 - mean) * rate, (x - 1 / 255 - mean) * rate
    near = torch.special.log_ndtr(torch.minimum(above, -below))
    far = torch.special.log_ndtr(torch.minimum(below, -above))
    inside = near + (-torch.expm1(far - near)).log()
    outside = torch.special.log_ndtr(torch.where(x < 0, above, -below))
    return -torch.where(x.abs() < 1, inside, outside)


@_on_tensors
def nearest_code(z, codebook):
    """torch.square, torch.sum, torch.argmin"""
    return (z[:, None] - codebook).square().sum(dim=-1).argmin(dim=-1)


@_on_tensors
def vq_loss(z, codebook, codes, beta):
    """torch.nn.functional.mse_loss, torch.nn.functional.embedding"""
    apart = torch.nn.functional.mse_loss(z, torch.nn.functional.embedding(codes, codebook))
    return apart + beta * apart


@_on_tensors
def vq_gradients(z, codebook, codes, beta):
    """torch.autograd.grad, with torch.Tensor.detach where a term stops"""
    z, codebook = z.requires_grad_(), codebook.requires_grad_()
    chosen = torch.nn.functional.embedding(codes, codebook)
    mse = torch.nn.functional.mse_loss
    loss = mse(z.detach(), chosen) + beta * mse(z, chosen.detach())
    return torch.autograd.grad(loss, (z, codebook))


@_on_tensors
def inward_gradient(x, grad, low, high):
    """torch.Tensor.clamp, torch.where"""
    upwards = torch.where(x < low, grad.clamp(max=0), grad)
    return torch.where(x > high, upwards.clamp(min=0), upwards)


@_on_tensors
def gumbel_softmax(logits, uniforms, temperature):
    """torch.log, torch.softmax"""
    return torch.softmax((logits - torch.log(-torch.log(uniforms))) / temperature, dim=-1)


@_on_tensors
def posterior_sample(mean, log_variance, noise):
    """torch.exp, torch.addcmul"""
    return torch.addcmul(mean, (log_variance / 2).exp(), noise)


@_on_tensors
def scale_latents(z, shift, scale):
    """torch.Tensor's arithmetic"""
    return (z - shift) * scale


@_on_tensors
def unscale_latents(y, shift, scale):
    """torch.Tensor's arithmetic"""
    return y / scale + shift
