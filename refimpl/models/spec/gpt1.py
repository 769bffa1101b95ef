"""The record of GPT-1 and of the notebook's GPT."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from refimpl.models.gpt1 import Gpt1, gpt1
from refimpl.models.mistakes_post_norm import of_encoder
from refimpl.models.model import Choice, Model
from refimpl.models.names import Layout
from refimpl.models.settings import need, one_of, only
from refimpl.models.spec.gpt2 import BLOCKS, SIZES
from refimpl.op import Edit

LENGTH = 16  # words of a text, if the context allows
TRANSFORMERS = (
    (r"^transformer\.(?=(tokens_embed|positions_embed|h)\.)", ""),
    (r"^lm_head\.weight$", "|drop"),  # the table of words once more
    (r".*\.attn\.bias$|^position_ids$", "|drop"),
    *BLOCKS,
)
OWN = (
    Edit(
        "gpt1/later-words-seen",
        "does not mask later words",
        "ops.causal_bias_lower_right(length, first + length)",
        "None",
        "gpt1",
    ),
    Edit("gpt1/no-positions", "adds no positions", " + positions", "", "gpt1"),
    Edit(
        "gpt1/positions-one-later",
        "counts positions from one",
        '["positions_embed.weight"][first : first + length]',
        '["positions_embed.weight"][first + 1 : first + 1 + length]',
        "gpt1",
    ),
    Edit(
        "gpt1/words-times-root-of-width",
        "multiplies words by the root of the width, as the first Transformer does",
        'params["tokens_embed.weight"][ids]',
        'np.sqrt(config.width) * params["tokens_embed.weight"][ids]',
        "gpt1",
    ),
)
CAUSAL = "gpt1/later-tokens-hidden"  # no mistake here


def inputs(config: Gpt1, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Two texts of random words."""
    length = min(config.context - 1, LENGTH)
    return {"ids": rng.integers(0, config.vocabulary, (2, length))}


ACTIVATIONS = {"gelu": "gelu_tanh", "gelu_new": "gelu_tanh", "relu": "relu"}  # their names


def described(told: Mapping[str, Any]) -> Gpt1:
    """The configuration that a config.json tells.

    Raises WeightsError for what is missing, and for a head that is not the table of words.
    """
    sizes = need(told, SIZES)
    only(told, tie_word_embeddings=True)
    width, activation = sizes["width"], one_of(told, "afn", ACTIVATIONS, "gelu")
    return Gpt1(**sizes, hidden=4 * width, inner=width, activation=activation)


MODEL = Model(
    name="gpt1",
    text=gpt1,
    config=Gpt1,
    inputs=inputs,
    sizes={
        "gpt1-testing": Gpt1(24, 2, 3, 96, 24, 20, 40),
        "gpt1": Gpt1(768, 12, 12, 3072, 768),
        "gpt-notebook": Gpt1(256, 1, 2, 256, 512, 80, 10000, "relu", 1e-6, tied=False),
    },
    choices=(
        Choice("activation", ("gelu", "gelu_tanh", "relu")),
        Choice("eps", (1e-5, 1e-6, 1e-12), "an epsilon of "),
    ),
    mistakes=(*OWN, *(edit for edit in of_encoder("gpt1") if edit.id != CAUSAL)),
    layouts=(Layout(r"(transformer\.)?tokens_embed\.", TRANSFORMERS),),
    entering=(
        (r"^transformer\.resblocks\.0\.attn$", "tokens"),
        (r"\.ln_([12])$", r".added_\1"),
    ),
    sign="tokens_embed.weight",
    described={"openai-gpt": described},
    says="GPT-1",
)
