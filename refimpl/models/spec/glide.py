"""The record of GLIDE's text path."""

from __future__ import annotations

import numpy as np

from refimpl.models.glide import Glide, glide
from refimpl.models.mistakes import WITHIN_ATTENTION, elsewhere
from refimpl.models.mistakes_tower import EVERY_HEAD, of_tower
from refimpl.models.model import Choice, Model
from refimpl.models.names import Layout
from refimpl.op import Edit

TORCH = (  # nn.TransformerEncoder, called `encoder`, between tables and a projection
    (r"^encoder\.layers\.", "transformer.resblocks."),
    (r"^encoder\.norm\.", "ln_final."),
    (r"\.norm1\.", ".ln_1."),
    (r"\.norm2\.", ".ln_2."),
    (r"\.self_attn\.", ".attn."),
    (r"\.linear1\.", ".mlp.c_fc."),
    (r"\.activation\.$", ".mlp.activation."),
    (r"\.linear2\.", ".mlp.c_proj."),
)
PADDED = 'ops.pad_text(words, params["padding_embedding"], keep)'
BLOCKS = "config, None, ops, tap)"
READ = "x[:, -1]"
OWN = (
    Edit(
        "glide/padding-not-replaced",
        "leaves padding the vector of its token",
        PADDED,
        "words",
        "glide",
    ),
    Edit(
        "glide/one-padding-vector",
        "has one vector of padding for all places",
        'params["padding_embedding"], keep',
        '0 * params["padding_embedding"] + params["padding_embedding"][:1], keep',
        "glide",
    ),
    Edit(
        "glide/padding-with-positions",
        "adds positions to the vectors of padding as well",
        'params["padding_embedding"], keep',
        'params["padding_embedding"] + params["positional_embedding"], keep',
        "glide",
    ),
    Edit(
        "glide/padding-is-zero",
        "sets padding to zero, as Imagen does",
        PADDED,
        "words * keep[:, :, None]",
        "glide",
    ),
    Edit(
        "glide/mask-upside-down",
        "replaces the words and keeps the padding",
        'params["padding_embedding"], keep',
        'params["padding_embedding"], 1 - keep',
        "glide",
    ),
    Edit(
        "glide/padding-hidden",
        "hides padding from attention, which reads its vectors",
        BLOCKS,
        BLOCKS.replace("None", "np.where(keep == 1, 0.0, -np.inf)[:, None, None]"),
        "glide",
    ),
    Edit(
        "glide/causal",
        "lets no word see later ones, as CLIP does",
        BLOCKS,
        BLOCKS.replace("None", "ops.causal_bias(config.context, config.context)"),
        "glide",
    ),
    Edit(
        "glide/no-positions",
        "adds no positions to words",
        ' + params["positional_embedding"]',
        "",
        "glide",
    ),
    Edit(
        "glide/read-at-the-last-word",
        "reads the last word, not the last place",
        READ,
        "x[np.arange(len(x)), np.sum(keep, axis=1) - 1]",
        "glide",
    ),
    Edit("glide/read-at-the-first", "reads the first place", READ, "x[:, 0]", "glide"),
    Edit(
        "glide/mean-of-words",
        "reads the mean of all places",
        READ,
        "np.mean(x, axis=1)",
        "glide",
    ),
    Edit(
        "glide/no-last-norm",
        "leaves out the last norm",
        'norm(x, params, "ln_final", config.eps, ops)',
        "x",
        "glide",
    ),
)
HEADS = tuple(elsewhere(e, "glide") for e in WITHIN_ATTENTION if e.where in EVERY_HEAD)
BLOCK = tuple(e for e in of_tower("glide") if not e.where.endswith("vit_features"))


def inputs(config: Glide, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Two texts of random words, one shorter than the other, neither as long as the context."""
    N = config.context
    lengths = np.array([[N - N // 4], [N // 2]])
    return {
        "ids": rng.integers(0, config.vocabulary, (2, N)),
        "keep": (np.arange(N) < lengths).astype(np.int64),
    }


MODEL = Model(
    name="glide",
    text=glide,
    config=Glide,
    inputs=inputs,
    sizes={"glide-testing": Glide(24, 2, 3, 16, 8, 40), "glide-text": Glide()},
    choices=(
        Choice("activation", ("gelu", "gelu_tanh", "quick_gelu")),
        Choice("eps", (1e-5, 1e-6), "an epsilon of "),
    ),
    mistakes=(*OWN, *BLOCK, *HEADS),
    layouts=(Layout(r"encoder\.layers\.", TORCH),),
    modules=((r"\.attn\.out_proj$", ".attn"),),
    entering=((r"^transformer\.resblocks\.0\.ln_1$", "tokens"), (r"\.ln_2$", ".middle")),
    sign="padding_embedding",
    says="GLIDE's text path",
)
