"""The record of the first Transformer."""

from __future__ import annotations

import numpy as np

from refimpl.models.mistakes_post_norm import of_decoder
from refimpl.models.model import Choice, Model
from refimpl.models.names import Layout
from refimpl.models.translator import Translator, translator
from refimpl.op import Edit

READ, WRITTEN = 16, 12  # words, if the context allows
TORCH = (  # nn.Transformer, called `transformer`, beside a table of words
    (r"^transformer\.", ""),
    (r"^(encoder|decoder)\.norm\.", r"\1.ln."),
    (r"\.norm1\.", ".ln_1."),
    (r"^encoder(.*)\.norm2\.", r"encoder\1.ln_2."),
    (r"^decoder(.*)\.norm2\.", r"decoder\1.ln_cross."),
    (r"\.norm3\.", ".ln_2."),
    (r"\.self_attn\.", ".attn."),
    (r"\.multihead_attn\.", ".cross."),
    (r"\.linear1\.", ".mlp.c_fc."),
    (r"\.linear2\.", ".mlp.c_proj."),
)
BOTH = "[np.sin(angles), np.cos(angles)], axis=-1), (-1, width))"
OWN = (
    Edit(
        "translator/words-not-scaled",
        "does not multiply words by the root of the width",
        "np.sqrt(config.width) * params",
        "params",
        "embed",
    ),
    Edit(
        "translator/no-positions",
        "adds no positions",
        "words + sinusoids(positions, config.width, ops)",
        "words",
        "embed",
    ),
    Edit(
        "translator/positions-scaled-too",
        "multiplies positions by the root of the width as well",
        "words + sinusoids(positions, config.width, ops)",
        "words + np.sqrt(config.width) * sinusoids(positions, config.width, ops)",
        "embed",
    ),
    Edit(
        "translator/positions-one-later",
        "counts positions from one",
        "ops.rotary_angles(positions,",
        "ops.rotary_angles(positions + 1,",
        "sinusoids",
    ),
    Edit(
        "translator/cosines-first",
        "puts each cosine before its sine",
        BOTH,
        BOTH.replace("np.sin(angles), np.cos(angles)", "np.cos(angles), np.sin(angles)"),
        "sinusoids",
    ),
    Edit(
        "translator/sines-before-all-cosines",
        "puts all sines before all cosines, as the first code does",
        BOTH,
        BOTH.replace("axis=-1", "axis=1"),
        "sinusoids",
    ),
    Edit(
        "translator/later-words-seen",
        "does not mask later words in the decoder",
        "ops.causal_bias_lower_right(length, first + length)",
        "None",
        "translator",
    ),
    Edit(
        "translator/padding-seen",
        "does not mask the padding of the input",
        "ops.padding_bias(lengths, read)",
        "None",
        "translator",
    ),
)
CAUSAL = "translator/later-tokens-hidden"  # no mistake of the decoder


def inputs(config: Translator, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Two texts of random words to read, one shorter than the other, and two that are written."""
    read, written = min(config.context, READ), min(config.context, WRITTEN)
    return {
        "source": rng.integers(0, config.vocabulary, (2, read)),
        "lengths": np.array([read, read - read // 3]),
        "source_positions": np.arange(read, dtype=np.float32),
        "ids": rng.integers(0, config.vocabulary, (2, written)),
        "positions": np.arange(written, dtype=np.float32),
    }


RUACCENT = Translator(256, 4, 8, 1024, 224, 256, tied=False, last_norms=True)  # trained
MODEL = Model(
    name="translator",
    text=translator,
    config=Translator,
    inputs=inputs,
    sizes={
        "transformer-testing": Translator(24, 2, 4, 40, 40, 20, tied=False, last_norms=True),
        "transformer-base": Translator(512, 6, 8, 2048, 37000),
        "transformer-big": Translator(1024, 6, 16, 4096, 37000),
        "ruaccent": RUACCENT,
    },
    choices=(
        Choice("activation", ("relu", "gelu", "gelu_tanh")),
        Choice("eps", (1e-5, 1e-6, 1e-12), "an epsilon of "),
    ),
    mistakes=(*OWN, *(edit for edit in of_decoder("translator") if edit.id != CAUSAL)),
    layouts=(Layout(r"transformer\.(encoder|decoder)\.layers\.", TORCH),),
    entering=(
        (r"^(encoder|decoder)\.layers\.0$", r"\1.tokens"),
        (r"\.ln_(1|2|cross)$", r".added_\1"),
        (r"\.mlp\.c_proj$", ".mlp.activation"),
    ),
    says="the first Transformer",
)
