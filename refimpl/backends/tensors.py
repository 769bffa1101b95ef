"""NumPy arrays outside, PyTorch tensors inside: what all targets made of PyTorch have in common."""

from __future__ import annotations

import contextlib
import functools

import numpy as np
import torch
from torch.nn.attention import sdpa_kernel

from refimpl.registry import OPS


def read(value):
    """Arrays become tensors of the same dtype; strides are kept where a tensor can have them."""
    if not isinstance(value, np.ndarray):
        return value
    array = np.array(value)  # writable, without negative strides
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def write(tensor):
    """A tensor becomes an array of the same dtype."""
    tensor = tensor.detach().cpu()
    if tensor.dtype == torch.bfloat16:
        import ml_dtypes

        return tensor.contiguous().view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return tensor.numpy()


def on_tensors(function, device=None):
    """NumPy arrays outside, tensors inside, on a device if one is named."""

    @functools.wraps(function)
    def call(**inputs):
        given = {name: read(value) for name, value in inputs.items()}
        if device:
            given = {n: x.to(device) if torch.is_tensor(x) else x for n, x in given.items()}
        try:
            with torch.device(device) if device else contextlib.nullcontext():
                result = function(**given)
            return tuple(map(write, result)) if isinstance(result, tuple) else write(result)
        except Exception as error:
            if any(isinstance(x, np.ndarray) and not x.size for x in inputs.values()):
                raise NotImplementedError(f"refuses an empty batch: {error}") from error
            raise

    return call


def on_device(module, device, names=None):
    """Functions of a target made of PyTorch, all or those named, with their tensors on a device."""
    if torch.device(device).type == "cuda" and not torch.cuda.is_available():
        raise RuntimeError("PyTorch finds no CUDA device")
    offered = (name for name in OPS if hasattr(module, name))
    return {n: on_tensors(getattr(module, n).__wrapped__, device) for n in names or offered}


def by_kernel(module, device, backend):
    """Attention on a device by one of PyTorch's fused kernels, refused where it does not apply."""
    fused = on_device(module, device, ("attention",))["attention"].__wrapped__

    @functools.wraps(fused)
    def attention(query, key, value, bias):
        try:
            with sdpa_kernel(backend):
                return fused(query, key, value, bias)
        except RuntimeError as error:
            if "No available kernel" in str(error) or "No viable backend" in str(error):
                raise NotImplementedError(f"{backend.name}: {error}") from error
            raise

    return on_tensors(attention, device)
