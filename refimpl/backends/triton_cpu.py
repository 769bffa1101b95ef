"""Triton's kernels on a machine without a GPU: what their interpreter leaves to the hardware.

Import this before any module that defines kernels. With TRITON_INTERPRET=1 Triton runs a kernel on
CPU tensors, block by block, through NumPy. Three things it does not do, and they are done here:
a plain float among the arguments becomes a scalar of float32, as the launch of a compiled kernel
makes of it; functions of libdevice, which are empty without a driver, are computed; and of an
autotuned kernel the first configuration is taken, since times mean nothing here.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys

if "triton" in sys.modules and os.environ.get("TRITON_INTERPRET") != "1":
    raise ImportError(
        "triton was imported before refimpl.backends.triton_cpu; import it afterwards"
    )
os.environ["TRITON_INTERPRET"] = "1"

import numpy as np
import torch
import triton
import triton.language as tl
from triton.runtime import interpreter
from triton.runtime.autotuner import Autotuner

VERSION = f"Triton {triton.__version__} interpreted"
torch.set_num_threads(1)

DEVICE = {
    "exp": np.exp,
    "exp2": np.exp2,
    "log": np.log,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "tanh": np.tanh,
    "erf": np.vectorize(math.erf, otypes=[np.float64]),
}


def _scalar_of(convert):
    """The interpreter's conversion of arguments, for floats as well."""

    def call(argument):
        if not isinstance(argument, float):
            return convert(argument)
        held = interpreter.TensorHandle(np.array([argument], dtype=np.float32), tl.float32)
        return tl.tensor(held, tl.float32)

    return call


def _first_of(start):
    """An autotuner's start with the first of its configurations alone."""

    def call(self, function, names, configs, *arguments, **named):
        start(self, function, names, configs[:1], *arguments, **named)

    return call


interpreter._implicit_cvt = _scalar_of(interpreter._implicit_cvt)
Autotuner.__init__ = _first_of(Autotuner.__init__)
if not hasattr(torch.cpu, "device"):  # launchers enter the device that their tensors lie on
    torch.cpu.device = lambda *_: contextlib.nullcontext()


def _elementwise(function):
    """A function of libdevice, stored in the type of its argument."""

    def call(x):
        found = np.asarray(function(x.handle.data)).astype(x.handle.data.dtype)
        return tl.tensor(interpreter.TensorHandle(found, x.handle.dtype), x.type)

    return call


def compute(*modules):
    """Give modules that imported functions of libdevice functions that compute."""
    for module in modules:
        for name, function in DEVICE.items():
            there = getattr(module, name, None)
            if "libdevice" in (getattr(there, "__module__", None) or ""):
                setattr(module, name, _elementwise(function))


def tensor(x):
    """A NumPy argument as a contiguous tensor of its own."""
    return torch.from_numpy(np.array(x, order="C"))


def rows(x):
    """Vectors along the last axis as the rows of a matrix."""
    return tensor(x).reshape(-1, x.shape[-1])
