"""PyTorch on a CUDA device, products and convolutions of float32 in TF32."""

from __future__ import annotations

import torch

from refimpl.backends import torch as cpu
from refimpl.backends.tensors import on_device

VERSION = torch.__version__
PRECISIONS = ("tf32",)

torch.backends.cuda.matmul.allow_tf32 = True
torch.backends.cudnn.allow_tf32 = True
globals().update(on_device(cpu, "cuda"))
