"""The record of unCLIP's prior."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from refimpl.models.mistakes import WITHIN_ATTENTION, elsewhere
from refimpl.models.mistakes_tower import of_tower
from refimpl.models.model import Choice, Model
from refimpl.models.names import Layout
from refimpl.models.prior import Prior, prior
from refimpl.op import Edit

DIFFUSERS = (
    (r"^positional_embedding$", "positional_embedding|2"),
    (r"^prd_embedding$", "query|1"),
    (r"^transformer_blocks\.", "transformer.resblocks."),
    (r"\.norm1\.", ".ln_1."),
    (r"\.norm3\.", ".ln_2."),
    (r"\.attn1\.to_([qkv])\.(weight|bias)$", r".attn.in_proj_\2|\1"),
    (r"\.attn1\.to_out\.0\.", ".attn.out_proj."),
    (r"\.attn1\.$", ".attn."),
    (r"\.ff\.net\.0\.proj\.", ".mlp.c_fc."),
    (r"\.ff\.net\.0\.$", ".mlp.activation."),
    (r"\.ff\.net\.2\.", ".mlp.c_proj."),
    (r"^proj_to_clip_embeddings\.$", "predicted."),
)
TOKENS = 'ops.prior_tokens(w, e, time, z, params["query"])'
BIAS = "ops.prior_bias(keep)"
READ = "x[:, -1]"
OWN = (
    Edit(
        "prior/not-causal",
        "does not mask later tokens",
        BIAS,
        "np.where(np.concatenate((keep, 0 * keep[:, :4] + 1), axis=1) == 1, 0.0, -np.inf)"
        "[:, None, None]",
        "prior",
    ),
    Edit("prior/no-mask", "hides nothing from any token", BIAS, "None", "prior"),
    Edit(
        "prior/padding-seen",
        "does not mask the padding of texts",
        BIAS,
        "ops.prior_bias(0 * keep + 1)",
        "prior",
        invisible_when="all texts are as long as the context",
    ),
    Edit(
        "prior/time-first",
        "puts the time before the text embedding",
        TOKENS,
        TOKENS.replace("e, time", "time, e"),
        "prior",
    ),
    Edit(
        "prior/noised-before-the-time",
        "puts the noised embedding before the time",
        TOKENS,
        TOKENS.replace("time, z", "z, time"),
        "prior",
    ),
    Edit(
        "prior/vectors-before-words",
        "puts the words after the embeddings, not first",
        TOKENS,
        f"np.roll({TOKENS}, 3, axis=1)",
        "prior",
    ),
    Edit(
        "prior/no-positions",
        "adds no positions",
        'x + params["positional_embedding"]',
        "x",
        "prior",
    ),
    Edit(
        "prior/read-at-the-noised",
        "reads the result at the noised embedding, not at the query",
        READ,
        "x[:, -2]",
        "prior",
    ),
    Edit(
        "prior/mean-of-tokens",
        "reads the result as the mean of all tokens",
        READ,
        "np.mean(x, axis=1)",
        "prior",
    ),
    Edit(
        "prior/no-last-norm",
        "leaves out the last norm",
        'norm(x, params, "norm_out", config.eps, ops)',
        "x",
        "prior",
    ),
    Edit(
        "prior/not-brought-back",
        "does not undo the standardisation",
        'y * params["clip_std"] + params["clip_mean"]',
        "y",
        "prior",
    ),
    Edit(
        "prior/standardised-again",
        "standardises the result again instead of undoing it",
        'y * params["clip_std"] + params["clip_mean"]',
        '(y - params["clip_mean"]) / params["clip_std"]',
        "prior",
    ),
    Edit(
        "prior/noise-predicted",
        "treats the prediction as noise and subtracts it",
        'tap("predicted", dense(x[:, -1], params, "proj_to_clip_embeddings", ops))',
        'noised - tap("predicted", dense(x[:, -1], params, "proj_to_clip_embeddings", ops))',
        "prior",
    ),
    Edit(
        "prior/sines-first",
        "writes sines of the time before cosines",
        "ops.timestep_embedding(t, config.width // 2)",
        "np.roll(ops.timestep_embedding(t, config.width // 2), config.width // 2, axis=1)",
        "prior",
    ),
)
HEADS = tuple(e for e in WITHIN_ATTENTION if e.where in ("split", "join"))
BLOCKS = tuple(e for e in of_tower("prior") if not e.where.endswith("vit_features"))
MISTAKES = (*OWN, *BLOCKS, *(elsewhere(edit, "prior") for edit in HEADS))


def inputs(config: Prior, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Two noised vectors, their times, and two texts, one with padding."""
    C, N = config.clip, config.context
    given = {
        "noised": rng.normal(size=(2, C)),
        "t": np.array([421.0, 7.0]),
        "text_embedding": rng.normal(size=(2, C)),
        "words": rng.normal(size=(2, N, C)),
    }
    floats = {name: np.asarray(value, np.float32) for name, value in given.items()}
    return floats | {"keep": (np.arange(N) < np.array([[N], [N - N // 2]])).astype(np.int64)}


KARLO = Prior()
MODEL = Model(
    name="prior",
    text=prior,
    config=Prior,
    inputs=inputs,
    sizes={
        "prior-testing": Prior(16, 2, 2, 8, 5),
        "karlo-prior": KARLO,
        "kandinsky-2.2-prior": replace(KARLO, clip=1280),
    },
    choices=(
        Choice("activation", ("gelu", "gelu_tanh", "quick_gelu")),
        Choice("eps", (1e-5, 1e-6), "an epsilon of "),
    ),
    mistakes=MISTAKES,
    layouts=(Layout(r"prd_embedding$|proj_to_clip_embeddings\.", DIFFUSERS),),
    modules=((r"\.attn\.out_proj$", ".attn"),),
    entering=((r"^transformer\.resblocks\.0\.ln_1$", "tokens"), (r"\.ln_2$", ".middle")),
    says="PriorTransformer",
)
