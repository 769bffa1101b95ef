"""NumPy arrays outside, PyTorch tensors inside: what all targets made of PyTorch have in common."""

from __future__ import annotations

import functools

import numpy as np
import torch


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
    tensor = tensor.detach()
    if tensor.dtype == torch.bfloat16:
        import ml_dtypes

        return tensor.contiguous().view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return tensor.numpy()


def on_tensors(function):
    """NumPy arrays outside, tensors inside."""

    @functools.wraps(function)
    def call(**inputs):
        try:
            result = function(**{name: read(value) for name, value in inputs.items()})
            return tuple(map(write, result)) if isinstance(result, tuple) else write(result)
        except Exception as error:
            if any(isinstance(x, np.ndarray) and not x.size for x in inputs.values()):
                raise NotImplementedError(f"refuses an empty batch: {error}") from error
            raise

    return call
