"""The record of T5, versions 1.0 and 1.1."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from refimpl.models.mistakes_t5 import T5_MISTAKES
from refimpl.models.model import Choice, Model
from refimpl.models.names import Layout
from refimpl.models.t5 import T5, t5

READ, WRITTEN = 16, 12  # words
TRANSFORMERS = (
    (r"^(encoder|decoder)\.embed_tokens\.weight$", "|drop"),  # shared
    (r"^lm_head\.", "head."),
    (
        r"^(en|de)coder\.block\.0\.layer\.0\.SelfAttention\.relative_attention_bias\.",
        r"\1coder.relative.",
    ),
    (r"^(encoder|decoder)\.final_layer_norm\.", r"\1.ln."),
    (r"^(encoder|decoder)\.block\.", r"\1.layers."),
    (r"\.layer\.0\.layer_norm\.", ".ln_1."),
    (r"^decoder(.*)\.layer\.1\.layer_norm\.", r"decoder\1.ln_cross."),
    (r"\.layer\.[12]\.layer_norm\.", ".ln_2."),
    (r"\.layer\.\d\.SelfAttention\.", ".attn."),
    (r"\.layer\.\d\.EncDecAttention\.", ".cross."),
    (r"\.layer\.\d\.DenseReluDense\.", ".mlp."),
    (r"\.mlp\.act\.$", ".mlp.activation."),
    (r"\.(attn|cross)\.([qkv])\.weight$", r".\1.in_proj_weight|\2"),
    (r"\.(attn|cross)\.o\.", r".\1.out_proj."),
)


def inputs(config: T5, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Two texts of random words to read, one shorter than the other, and two that are written."""
    return {
        "source": rng.integers(0, config.vocabulary, (2, READ)),
        "lengths": np.array([READ, READ - READ // 3]),
        "ids": rng.integers(0, config.vocabulary, (2, WRITTEN)),
    }


SMALL = T5(512, 6, 8, 64, 2048)
GATED = replace(SMALL, layers=8, heads=6, hidden=1024, gate="geglu_tanh", tied=False)
TESTING = T5(24, 2, 3, 6, 40, 40, 8, 12)
MODEL = Model(
    name="t5",
    text=t5,
    config=T5,
    inputs=inputs,
    sizes={
        "t5-testing": TESTING,
        "t5-v1.1-testing": replace(TESTING, gate="geglu_tanh", tied=False),
        "t5-small": SMALL,
        "t5-base": replace(SMALL, width=768, layers=12, heads=12, hidden=3072),
        "t5-large": replace(SMALL, width=1024, layers=24, heads=16, hidden=4096),
        "t5-3b": T5(1024, 24, 32, 128, 16384),
        "t5-11b": T5(1024, 24, 128, 128, 65536),
        "t5-v1.1-small": GATED,
        "t5-v1.1-base": replace(GATED, width=768, layers=12, heads=12, hidden=2048),
        "t5-v1.1-large": replace(GATED, width=1024, layers=24, heads=16, hidden=2816),
        "t5-v1.1-xl": replace(GATED, width=2048, layers=24, heads=32, hidden=5120),
        "t5-v1.1-xxl": replace(GATED, width=4096, layers=24, heads=64, hidden=10240),
    },
    choices=(
        Choice("eps", (1e-6, 1e-5), "an epsilon of "),
        Choice("gate", ("", "geglu_tanh", "geglu", "swiglu"), "a gate by "),
        Choice("activation", ("relu", "gelu", "gelu_tanh")),
    ),
    mistakes=T5_MISTAKES,
    layouts=(Layout(r"(encoder|decoder)\.block\.\d", TRANSFORMERS),),
    modules=(
        (r"^(encoder|decoder)\.embed_tokens$", r"\1.tokens"),
        (r"\.mlp\.wo$", ".mlp"),
    ),
    entering=(
        (r"^(encoder\..*|decoder\..*)\.ln_cross$", r"\1.added_1"),
        (r"^(encoder\..*)\.ln_2$", r"\1.added_1"),
        (r"^(decoder\..*)\.ln_2$", r"\1.added_cross"),
        (r"\.mlp\.wo$", ".mlp.gated"),
    ),
    sign="encoder.relative.weight",
    says="T5",
)
