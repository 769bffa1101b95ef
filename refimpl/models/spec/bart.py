"""The record of BART."""

from __future__ import annotations

import numpy as np

from refimpl.models.bart import Bart, bart
from refimpl.models.mistakes_post_norm import of_decoder
from refimpl.models.model import Choice, Model
from refimpl.models.names import Layout
from refimpl.op import Edit

LENGTH = 16  # words of a text, if the context allows
TRANSFORMERS = (
    (r"^model\.", ""),
    (r"^(encoder|decoder)\.embed_tokens\.weight$|^lm_head\.weight$", "|drop"),  # shared
    (r"^final_logits_bias$", "final_logits_bias|1"),
    (r"\.layernorm_embedding\.", ".ln_embeddings."),
    (r"\.self_attn_layer_norm\.", ".ln_1."),
    (r"\.encoder_attn_layer_norm\.", ".ln_cross."),
    (r"\.final_layer_norm\.", ".ln_2."),
    (r"\.fc1\.", ".mlp.c_fc."),
    (r"\.fc2\.", ".mlp.c_proj."),
    (r"\.activation_fn\.", ".mlp.activation."),
    (r"\.self_attn\.", ".attn."),
    (r"\.encoder_attn\.", ".cross."),
    (r"\.(attn|cross)\.([qkv])_proj\.(weight|bias)$", r".\1.in_proj_\3|\2"),
)
TABLE = 'params[f"{side}.embed_positions.weight"][start :'
OWN = (
    Edit(
        "bart/positions-without-offset",
        "uses row 0 of the table for the first position, not row 2",
        "start = OFFSET + first",
        "start = first",
        "embed",
    ),
    Edit(
        "bart/no-positions",
        "adds no positions",
        'params["shared.weight"][ids] + positions',
        'params["shared.weight"][ids]',
        "embed",
    ),
    Edit(
        "bart/positions-of-the-encoder",
        "uses the encoder's positions in the decoder",
        TABLE,
        TABLE.replace("{side}", "encoder").replace('f"', '"'),
        "embed",
    ),
    Edit(
        "bart/words-times-root-of-width",
        "multiplies words by the root of the width",
        'params["shared.weight"][ids] + positions',
        'np.sqrt(config.width) * params["shared.weight"][ids] + positions',
        "embed",
    ),
    Edit(
        "bart/embeddings-not-normalised",
        "does not normalise words and positions together",
        "norm(x, params, name, config.eps, ops)",
        "x",
        "embed",
    ),
    Edit(
        "bart/later-words-seen",
        "does not mask later words in the decoder",
        "ops.causal_bias_lower_right(length, first + length)",
        "None",
        "bart",
    ),
    Edit(
        "bart/padding-seen",
        "does not mask the padding of the input",
        "ops.padding_bias(lengths, read)",
        "None",
        "bart",
    ),
    Edit(
        "bart/scores-without-bias",
        "adds no bias to the scores of words",
        'params["final_logits_bias"]',
        "None",
        "bart",
    ),
)
CAUSAL = "bart/later-tokens-hidden"  # no mistake of the decoder


def inputs(config: Bart, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Two texts of random words to read, one shorter than the other, and two that are written."""
    read = min(config.context - 1, LENGTH)
    written = read - read // 4
    return {
        "source": rng.integers(0, config.vocabulary, (2, read)),
        "lengths": np.array([read, read - read // 3]),
        "ids": rng.integers(0, config.vocabulary, (2, written)),
    }


MODEL = Model(
    name="bart",
    text=bart,
    config=Bart,
    inputs=inputs,
    sizes={
        "bart-testing": Bart(24, 2, 3, 40, 20, 40),
        "bart-base": Bart(768, 6, 12, 3072),
        "bart-large": Bart(1024, 12, 16, 4096),
    },
    choices=(
        Choice("activation", ("gelu", "gelu_tanh", "relu")),
        Choice("eps", (1e-5, 1e-6, 1e-12), "an epsilon of "),
    ),
    mistakes=(*OWN, *(edit for edit in of_decoder("bart") if edit.id != CAUSAL)),
    layouts=(
        Layout(r"(model\.)?(encoder|decoder)\.(embed_positions|layernorm_emb)", TRANSFORMERS),
    ),
    entering=(
        (r"\.ln_embeddings$", ".added"),
        (r"\.ln_(1|2|cross)$", r".added_\1"),
    ),
    sign="encoder.embed_positions.weight",
    says="BART",
)
