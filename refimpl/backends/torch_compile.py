"""PyTorch's compiler on the CPU: functions of the target torch, each compiled as a whole.

The first call of each takes the better part of a minute: give `--limit 300`.
"""

from __future__ import annotations

import torch

from refimpl.backends import torch as eager
from refimpl.backends.tensors import on_tensors

VERSION = torch.__version__
PRECISIONS = ("float64", "float32", "bfloat16", "float16")
_COMPILED = (
    *("linear", "layer_norm", "rms_norm", "group_norm", "softmax", "log_softmax"),
    *("cross_entropy", "sigmoid", "gelu", "gelu_tanh", "quick_gelu", "silu", "l2_normalize"),
    *("patch_embed", "attention", "clip_logits", "clip_loss", "siglip_loss"),
    *("q_sample", "q_posterior", "p_sample", "ddim_step", "classifier_free_guidance"),
)


def _compiled(name):
    function = getattr(eager, name)
    call = torch.compile(function.__wrapped__, dynamic=True)
    call.__name__, call.__doc__ = name, f"torch.compile of {function.__doc__}"
    return on_tensors(call)


globals().update({name: _compiled(name) for name in _COMPILED})
