"""The record of BERT."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from refimpl.models.bert import Bert, bert
from refimpl.models.mistakes_post_norm import of_encoder
from refimpl.models.model import Choice, Model
from refimpl.models.names import Layout, Params, shape_of
from refimpl.models.spec.vit import heads, infer_blocks
from refimpl.op import Edit

LENGTH = 16  # words of a text, if the context allows
TRANSFORMERS = (
    (r"^bert\.", ""),
    (r".*\.(position_ids|token_type_ids)$", "|drop"),
    (r"^cls\.predictions\.decoder\.(weight|bias)$", "|drop"),  # there under another name
    (r"^cls\.predictions\.bias$", "guess.bias"),
    (r"^cls\.predictions\.transform\.dense\.", "guess.dense."),
    (r"^cls\.predictions\.transform\.LayerNorm\.", "guess.ln."),
    (r"^cls\.predictions\.transform\.transform_act_fn\.", "guess.activation."),
    (r"^cls\.seq_relationship\.", "next_sentence."),
    (r"^embeddings\.LayerNorm\.", "ln_embeddings."),
    (r"^embeddings\.", ""),
    (r"^pooler\.dense\.", "pooler."),
    (r"^pooler\.activation\.", "pooled."),
    (r"^encoder\.layer\.", "transformer.resblocks."),
    (r"\.attention\.output\.dense\.", ".attn.out_proj."),
    (r"\.attention\.output\.LayerNorm\.", ".ln_1."),
    (r"\.attention\.self\.([qkv])(uery|ey|alue)\.(weight|bias)$", r".attn.in_proj_\3|\1"),
    (r"\.attention\.self\.$", ".attn."),
    (r"\.intermediate\.dense\.", ".mlp.c_fc."),
    (r"\.intermediate\.intermediate_act_fn\.", ".mlp.activation."),
    (r"\.output\.dense\.", ".mlp.c_proj."),
    (r"\.output\.LayerNorm\.", ".ln_2."),
)
PLACES = ' + params["position_embeddings.weight"][:length]'
KINDS = 'params["token_type_embeddings.weight"][segments]'
POOLED = 'np.tanh(dense(x[:, 0], params, "pooler", ops))'
OWN = (
    Edit("bert/no-positions", "adds no positions", PLACES, "", "encode"),
    Edit(
        "bert/positions-one-later",
        "counts positions from one",
        PLACES,
        PLACES.replace("[:length]", "[1 : length + 1]"),
        "encode",
    ),
    Edit("bert/no-segments", "adds no segments", "words + kinds", "words", "encode"),
    Edit(
        "bert/segments-exchanged",
        "exchanges the two segments",
        KINDS,
        KINDS.replace("segments]", "1 - segments]"),
        "encode",
    ),
    Edit(
        "bert/one-segment",
        "assigns every word to the first sentence",
        KINDS,
        KINDS.replace("segments]", "0 * segments]"),
        "encode",
    ),
    Edit(
        "bert/embeddings-not-normalised",
        "does not normalise words, segments and positions together",
        'norm(x, params, "ln_embeddings", config.eps, ops)',
        "x",
        "encode",
    ),
    Edit(
        "bert/padding-seen",
        "does not mask padding",
        "ops.padding_bias(lengths, length)",
        "None",
        "encode",
    ),
    Edit(
        "bert/pooled-without-tanh",
        "leaves out the hyperbolic tangent of the pooler",
        POOLED,
        'dense(x[:, 0], params, "pooler", ops)',
        "bert",
    ),
    Edit(
        "bert/pooled-last",
        "pools the last word, not the first",
        POOLED,
        POOLED.replace("x[:, 0]", "x[:, -1]"),
        "bert",
    ),
    Edit(
        "bert/pooled-mean",
        "pools the mean of all words, not the first",
        POOLED,
        POOLED.replace("x[:, 0]", "np.mean(x, axis=1)"),
        "bert",
    ),
    Edit(
        "bert/next-without-pooler",
        "scores the first word without the pooler",
        'dense(pooled, params, "next_sentence", ops)',
        'dense(x[:, 0], params, "next_sentence", ops)',
        "bert",
    ),
    Edit(
        "bert/guess-without-activation",
        "leaves out the activation before the prediction of masked words",
        "getattr(ops, config.activation)(y)",
        "y",
        "guess",
    ),
    Edit(
        "bert/guess-without-norm",
        "leaves out the norm before the prediction of masked words",
        'norm(y, params, "guess.ln", config.eps, ops)',
        "y",
        "guess",
    ),
    Edit(
        "bert/guess-without-bias",
        "adds no bias to the scores of words",
        'params["guess.bias"]',
        "None",
        "guess",
    ),
    Edit(
        "bert/guess-from-vectors",
        "predicts masked words from the encoder's vectors directly",
        'ops.linear(y, params["word_embeddings.weight"]',
        'ops.linear(x, params["word_embeddings.weight"]',
        "guess",
    ),
)


def inputs(config: Bert, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Two texts of two sentences of random words, one of them shorter than the other."""
    length = min(config.context - 1, LENGTH)
    lengths = np.array([length, length - length // 3])
    segments = np.arange(length) >= lengths[:, None] // 2
    ids = rng.integers(0, config.vocabulary, (2, length))
    return {"ids": ids, "segments": segments.astype(np.int64), "lengths": lengths}


def infer(params: Params) -> Bert:
    """The configuration that the shapes tell; heads are 64 wide, or there is one.

    Raises WeightsError where what is needed to tell is missing or misshapen.
    """
    vocabulary, width = shape_of(params, "word_embeddings.weight", 2)
    context, _ = shape_of(params, "position_embeddings.weight", 2)
    segments, _ = shape_of(params, "token_type_embeddings.weight", 2)
    layers, _ = infer_blocks(params, "")
    return Bert(
        width,
        layers,
        heads(width),
        context,
        vocabulary,
        segments,
        pooler="pooler.weight" in params,
        masked_words="guess.bias" in params,
        next_sentence="next_sentence.weight" in params,
    )


BASE, LARGE = Bert(768, 12, 12), Bert(1024, 24, 16)
MODEL = Model(
    name="bert",
    text=bert,
    config=Bert,
    inputs=inputs,
    sizes={
        "bert-testing": Bert(24, 2, 3, 20, 40, masked_words=True, next_sentence=True),
        "bert-base": BASE,
        "bert-base-masked": replace(BASE, pooler=False, masked_words=True),
        "bert-base-pretraining": replace(BASE, masked_words=True, next_sentence=True),
        "bert-large": LARGE,
        "bert-large-masked": replace(LARGE, pooler=False, masked_words=True),
        "bert-large-pretraining": replace(LARGE, masked_words=True, next_sentence=True),
        "minilm-l6": Bert(384, 6, 12),
    },
    choices=(
        Choice("activation", ("gelu", "gelu_tanh")),
        Choice("eps", (1e-12, 1e-5, 1e-6), "an epsilon of "),
    ),
    mistakes=(*OWN, *of_encoder("bert")),
    layouts=(Layout(r"(bert\.)?embeddings\.word_embeddings\.", TRANSFORMERS),),
    modules=((r"\.attn\.out_proj$", ".attn"),),
    entering=(
        (r"\.ln_([12])$", r".added_\1"),
        (r"^ln_embeddings$", "added"),
    ),
    sign="token_type_embeddings.weight",
    infer=infer,
    says="BERT",
)
