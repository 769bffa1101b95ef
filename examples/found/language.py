"""What was found in libraries of language; `python examples/found NAME` prints it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

Pair = tuple[str, object, object]  # what is looked at, what the library gives, what is right


def whitened_mean() -> Iterator[Pair]:
    """torchtune: advantages are whitened, and their mean is added again."""
    import torch

    from refimpl.backends.hooks import allow_broken_torchvision

    allow_broken_torchvision()
    from torchtune.rlhf import estimate_advantages

    rewards = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    found, _ = estimate_advantages(torch.zeros(1, 4), rewards, 1.0, 0.0)
    yield "mean of four whitened advantages", round(found.mean().item(), 6), 0.0


def t5_head_tied() -> Iterator[Pair]:
    """transformers: a T5 1.1 from a configuration has the table of words as its head, unscaled."""
    import torch

    from refimpl.backends.hooks import allow_broken_torchvision

    allow_broken_torchvision()
    from transformers import T5Config, T5ForConditionalGeneration

    sizes = {"d_model": 512, "d_kv": 64, "d_ff": 1024, "num_layers": 8, "num_heads": 6}
    told = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
    with torch.device("meta"):
        model = T5ForConditionalGeneration(T5Config(**sizes, **told, vocab_size=32128))
    yield "the head is the table of words", model.lm_head.weight is model.shared.weight, False
    parameters = sum(parameter.numel() for parameter in model.parameters())
    yield "parameters of T5 1.1 small", parameters, 76_961_152


def _left(p: float, shares: list[float], precision: str) -> list[int]:
    import torch

    from refimpl.backends.hooks import allow_broken_torchvision

    allow_broken_torchvision()
    from transformers.generation.logits_process import TopPLogitsWarper

    logits = torch.log(torch.tensor([shares], dtype=torch.float64)).to(getattr(torch, precision))
    left = TopPLogitsWarper(p)(None, logits)[0] > -float("inf")
    return torch.nonzero(left).ravel().tolist()


def top_p_of_equals() -> Iterator[Pair]:
    """transformers: of equal words top-p keeps those of the higher numbers."""
    quarters = [0.25, 0.25, 0.25, 0.25]
    yield "words left of four quarters by p = 0.5", _left(0.5, quarters, "float32"), [0, 1]


def top_p_precision() -> Iterator[Pair]:
    """transformers: on the numbers of its own test, top-p leaves other words in float64."""
    shares = [0.3, 0.1, 0.1, 0.5]
    single, double = (_left(0.8, shares, precision) for precision in ("float32", "float64"))
    yield "words left by p = 0.8 in float64, and in float32", double, single


def double_norms() -> Iterator[Pair]:
    """transformers: the norms of Llama, Qwen2 and T5 compute in float32 in a model of float64."""
    import torch

    from refimpl.backends.hooks import allow_broken_torchvision

    allow_broken_torchvision()
    from transformers.models.llama.modeling_llama import LlamaRMSNorm
    from transformers.models.qwen2.modeling_qwen2 import Qwen2RMSNorm
    from transformers.models.t5.modeling_t5 import T5LayerNorm

    x = np.array([1.0, 2.0, 3.0])
    right = float(3 / np.sqrt(np.mean(x * x) + 1e-6))
    for kind in (LlamaRMSNorm, Qwen2RMSNorm, T5LayerNorm):
        found = kind(3, eps=1e-6).double()(torch.tensor(x))
        yield f"3 of (1, 2, 3) by {kind.__name__}", found[2].item(), right


FOUND = {
    f.__name__: f
    for f in (whitened_mean, t5_head_tied, top_p_of_equals, top_p_precision, double_norms)
}
