"""Convolution and changes of size, in PyTorch's functions."""

from __future__ import annotations

import torch

from refimpl.backends.tensors import on_tensors as _on_tensors

F = torch.nn.functional


@_on_tensors
def conv2d(images, weight, bias, stride, before, after, dilation, groups):
    """torch.nn.functional.conv2d, of a padded image where the sides differ"""
    if before != after:
        images, before = F.pad(images, (before, after, before, after)), 0
    return F.conv2d(images, weight, bias, stride, before, dilation, groups)


@_on_tensors
def conv_transpose2d(x, weight, bias, stride, crop, extra, dilation, groups):
    """torch.nn.functional.conv_transpose2d"""
    return F.conv_transpose2d(x, weight, bias, stride, crop, extra, groups, dilation)


@_on_tensors
def resize_nearest(images, tall, wide):
    """torch.nn.functional.interpolate"""
    return F.interpolate(images, (tall, wide), mode="nearest")


@_on_tensors
def avg_pool2d(images, patch):
    """torch.nn.functional.avg_pool2d"""
    return F.avg_pool2d(images, patch)


@_on_tensors
def adaptive_avg_pool2d(images, tall, wide):
    """torch.nn.functional.adaptive_avg_pool2d"""
    return F.adaptive_avg_pool2d(images, (tall, wide))
