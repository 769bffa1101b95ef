"""PyTorch on a CUDA device: the functions of the target torch; float32 products are float32."""

from __future__ import annotations

import torch

from refimpl.backends import torch as cpu
from refimpl.backends.tensors import on_device

VERSION = torch.__version__
PRECISIONS = ("float64", "float32", "bfloat16", "float16")
SUPPORTS = cpu.SUPPORTS

torch.backends.cuda.matmul.allow_tf32 = False
torch.backends.cudnn.allow_tf32 = False
globals().update(on_device(cpu, "cuda"))
