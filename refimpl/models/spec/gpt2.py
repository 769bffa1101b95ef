"""The record of GPT-2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from refimpl.models.gpt2 import Gpt2, gpt2
from refimpl.models.mistakes import BLOCK, elsewhere
from refimpl.models.model import Model
from refimpl.models.names import Layout, Params, shape_of
from refimpl.models.settings import need, one_of, only
from refimpl.models.spec.vit import CHOICES, heads, infer_blocks
from refimpl.op import Edit

LENGTH = 16  # words of a text, if the context allows
BLOCKS = (  # of GPT-1 as well
    (r"^h\.", "transformer.resblocks."),
    (r"\.attn\.c_attn\.weight$", ".attn.in_proj_weight|T"),
    (r"\.attn\.c_attn\.bias$", ".attn.in_proj_bias"),
    (r"\.attn\.c_proj\.weight$", ".attn.out_proj.weight|T"),
    (r"\.attn\.c_proj\.bias$", ".attn.out_proj.bias"),
    (r"\.mlp\.(c_fc|c_proj)\.weight$", r".mlp.\1.weight|T"),
)
TRANSFORMERS = (
    (r"^transformer\.(?=(wte|wpe|ln_f|h)\.)", ""),
    (r"^lm_head\.weight$", "|drop"),  # the table of words once more
    (r".*\.attn\.(bias|masked_bias)$", "|drop"),  # the causal mask
    *BLOCKS,
)
OWN = (
    Edit(
        "gpt2/later-words-seen",
        "does not mask later words",
        "ops.causal_bias_lower_right(length, first + length)",
        "None",
        "gpt2",
    ),
    Edit(
        "gpt2/no-positions",
        "adds no positions",
        " + positions",
        "",
        "gpt2",
    ),
    Edit(
        "gpt2/positions-one-later",
        "counts positions from one",
        '["wpe.weight"][first : first + length]',
        '["wpe.weight"][first + 1 : first + 1 + length]',
        "gpt2",
    ),
    Edit(
        "gpt2/no-last-norm",
        "leaves out the last norm",
        'norm(x, params, "ln_f", config.eps, ops)',
        "x",
        "gpt2",
    ),
)
CAUSAL = {"vit/later-tokens-hidden", "vit/layer-scale-dropped"}  # no mistakes here


def inputs(config: Gpt2, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Two texts of random words."""
    length = min(config.context - 1, LENGTH)
    return {"ids": rng.integers(0, config.vocabulary, (2, length))}


def infer(params: Params) -> Gpt2:
    """The configuration that the shapes tell; heads are 64 wide, or there is one.

    Raises WeightsError where what is needed to tell is missing or misshapen.
    """
    vocabulary, width = shape_of(params, "wte.weight", 2)
    context, _ = shape_of(params, "wpe.weight", 2)
    layers, _ = infer_blocks(params, "")
    return Gpt2(width, layers, heads(width), context, vocabulary)


SIZES = {  # of GPT-1 as well
    "width": "n_embd",
    "layers": "n_layer",
    "heads": "n_head",
    "context": "n_positions",
    "vocabulary": "vocab_size",
    "eps": "layer_norm_epsilon",
}
ACTIVATIONS = {"gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "gelu": "gelu"}


def described(told: Mapping[str, Any]) -> Gpt2:
    """The configuration that a config.json tells.

    Raises WeightsError for what is missing, another width of perceptrons, scaled or tied otherwise.
    """
    sizes = need(told, SIZES)
    only(told, n_inner=4 * sizes["width"], scale_attn_weights=True, add_cross_attention=False)
    only(told, scale_attn_by_inverse_layer_idx=False, tie_word_embeddings=True)
    return Gpt2(**sizes, activation=one_of(told, "activation_function", ACTIVATIONS, "gelu_new"))


MODEL = Model(
    name="gpt2",
    text=gpt2,
    config=Gpt2,
    inputs=inputs,
    sizes={
        "gpt2-testing": Gpt2(24, 2, 3, context=20, vocabulary=40),
        "gpt2": Gpt2(768, 12, 12),
        "gpt2-medium": Gpt2(1024, 24, 16),
        "gpt2-large": Gpt2(1280, 36, 20),
        "gpt2-xl": Gpt2(1600, 48, 25),
    },
    choices=CHOICES,
    mistakes=(*OWN, *(elsewhere(edit, "gpt2") for edit in BLOCK if edit.id not in CAUSAL)),
    compiled="refimpl.models.compiled",
    layouts=(Layout(r"(transformer\.)?wte\.", TRANSFORMERS),),
    entering=((r"\.ln_2$", ".middle"), (r"^transformer\.resblocks\.0\.ln_1$", "tokens")),
    sign="wte.weight",
    infer=infer,
    described={"gpt2": described},
    says="GPT-2",
)
