"""PyTorch on the CPU with attention step by step, as its fused kernels are compared with."""

from __future__ import annotations

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from refimpl.backends import torch as fused
from refimpl.backends.tensors import on_tensors as _on_tensors

VERSION = torch.__version__
PRECISIONS = ("float64", "float32", "bfloat16", "float16")


@_on_tensors
def attention(query, key, value, bias):
    """torch.nn.functional.scaled_dot_product_attention under SDPBackend.MATH"""
    with sdpa_kernel(SDPBackend.MATH):
        return fused.attention.__wrapped__(query, key, value, bias)
