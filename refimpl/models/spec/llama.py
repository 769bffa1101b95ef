"""The record of Llama and Qwen2."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from refimpl.models.llama import GLASSLLM, Llama, llama
from refimpl.models.mistakes_llama import LLAMA
from refimpl.models.model import Choice, Model
from refimpl.models.names import Layout
from refimpl.models.settings import need, one_of, only

LENGTH = 16  # words of a text, if the context allows
TRANSFORMERS = (
    (r"^model\.", ""),
    (r"^embed_tokens\.", "words."),
    (r"^lm_head\.", "head."),
    (r"\.rotary_emb\.inv_freq$", "|drop"),
    (r"\.input_layernorm\.", ".ln_1."),
    (r"\.post_attention_layernorm\.", ".ln_2."),
    (r"\.self_attn\.o_proj\.", ".attn.out_proj."),
    (r"\.self_attn\.", ".attn."),
    (r"\.mlp\.(gate|up|down)_proj\.", r".mlp.\1."),
)


def inputs(config: Llama, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Two texts of random words."""
    length = min(config.context - 1, LENGTH)
    ids = rng.integers(0, config.vocabulary, (2, length))
    return {"ids": ids, "positions": np.arange(length, dtype=np.float32)}


SIZES = {
    "width": "hidden_size",
    "layers": "num_hidden_layers",
    "heads": "num_attention_heads",
    "hidden": "intermediate_size",
    "context": "max_position_embeddings",
    "vocabulary": "vocab_size",
    "eps": "rms_norm_eps",
}
GATES = {"silu": "swiglu", "gelu": "geglu", "gelu_pytorch_tanh": "geglu_tanh"}


def described(told: Mapping[str, Any], bias: bool = False) -> Llama:
    """The configuration that a config.json tells, of Llama or, with a bias, of Qwen2.

    Raises WeightsError for what is missing, stretched angles, heads of another width, a window.
    """
    sizes = need(told, SIZES)
    rope = told.get("rope_parameters") or told.get("rope_scaling") or {}
    only({"rope_type": rope.get("rope_type", rope.get("type"))}, rope_type="default")
    only(told, attention_bias=bias, mlp_bias=False, use_sliding_window=False)
    only(told, head_dim=sizes["width"] // sizes["heads"])
    return Llama(
        **sizes,
        groups=told.get("num_key_value_heads") or sizes["heads"],
        base=float(rope.get("rope_theta", told.get("rope_theta", 10000.0))),
        gate=one_of(told, "hidden_act", GATES, "silu"),
        tied=bool(told.get("tie_word_embeddings", False)),
        qkv_bias=bias,
    )


QWEN = Llama(896, 24, 14, 2, 4864, 32768, 151936, 1e6, 1e-6, tied=True, qkv_bias=True)
QWEN_7B = Llama(3584, 28, 28, 4, 18944, 32768, 152064, 1e6, 1e-6, qkv_bias=True)
MODEL = Model(
    name="llama",
    text=llama,
    config=Llama,
    inputs=inputs,
    sizes={
        "llama-testing": Llama(24, 2, 3, 3, 40, 20, 30),
        "qwen2-testing": Llama(24, 2, 6, 2, 40, 20, 30, 1e6, 1e-6, tied=True, qkv_bias=True),
        "llama-2-7b": Llama(4096, 32, 32, 32, 11008, 4096, 32000),
        "llama-3-8b": Llama(4096, 32, 32, 8, 14336, 8192, 128256, 500000.0),
        "qwen2.5-0.5b": QWEN,
        "qwen2.5-3b": replace(QWEN, width=2048, layers=36, heads=16, hidden=11008),
        "qwen2.5-7b": QWEN_7B,
        "glassllm": GLASSLLM,
    },
    choices=(
        Choice("gate", ("swiglu", "geglu", "geglu_tanh"), "a gate by "),
        Choice("eps", (1e-5, 1e-6), "an epsilon of "),
        Choice("base", (1e4, 5e5, 1e6), "angles of base "),
        Choice("pairs", (False, True), "neighbours as pairs: "),
    ),
    mistakes=LLAMA,
    layouts=(Layout(r"(model\.)?embed_tokens\.|(model\.)?layers\.\d+\.self_attn\.", TRANSFORMERS),),
    modules=((r"\.attn\.out_proj$", ".attn"), (r"^words$", "tokens")),
    entering=(
        (r"\.ln_2$", ".middle"),
        (r"\.mlp\.down$", ".mlp.gated"),
    ),
    sign="layers.0.attn.q_proj.weight",
    described={"llama": described, "qwen2": lambda told: described(told, bias=True)},
    says="Llama and Qwen2",
)
