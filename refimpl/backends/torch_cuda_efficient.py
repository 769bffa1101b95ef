"""PyTorch's attention on a CUDA device by the memory-efficient kernel."""

from __future__ import annotations

import torch
from torch.nn.attention import SDPBackend

from refimpl.backends import torch as cpu
from refimpl.backends.tensors import by_kernel

VERSION = torch.__version__
PRECISIONS = ("float32", "bfloat16", "float16")

torch.backends.cuda.matmul.allow_tf32 = False
attention = by_kernel(cpu, "cuda", SDPBackend.EFFICIENT_ATTENTION)
