"""BERT: an encoder of whole texts that predicts masked words and whether sentences follow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from refimpl.models import TEXT, Params, Tap, untouched
from refimpl.models.configs import Shapes, accept_ids, block_shapes
from refimpl.models.post_norm import post_block
from refimpl.models.vit import dense, norm


@dataclass(frozen=True)
class Bert:
    """Sizes of a BERT, and which of its heads there are.

    `pooler` reads the first word, `next_sentence` scores what it gives; `masked_words` scores every
    word of the vocabulary at every place.
    """

    width: int
    layers: int
    heads: int
    context: int = 512
    vocabulary: int = 30522
    segments: int = 2
    activation: str = "gelu"
    eps: float = 1e-12
    pooler: bool = True
    masked_words: bool = False
    next_sentence: bool = False

    @property
    def hidden(self) -> int:
        """The hidden width of a perceptron."""
        return 4 * self.width

    def shapes(self) -> Shapes:
        """Name and shape of every parameter; the table of words is a head as well."""
        D = self.width
        shapes: Shapes = {
            "word_embeddings.weight": (self.vocabulary, D),
            "position_embeddings.weight": (self.context, D),
            "token_type_embeddings.weight": (self.segments, D),
            "ln_embeddings.weight": (D,),
            "ln_embeddings.bias": (D,),
        }
        for i in range(self.layers):
            shapes |= block_shapes(f"transformer.resblocks.{i}", D, self.hidden)
        if self.pooler:
            shapes |= {"pooler.weight": (D, D), "pooler.bias": (D,)}
        if self.next_sentence:
            shapes |= {"next_sentence.weight": (2, D), "next_sentence.bias": (2,)}
        if self.masked_words:
            shapes |= {"guess.dense.weight": (D, D), "guess.dense.bias": (D,)}
            shapes |= {"guess.ln.weight": (D,), "guess.ln.bias": (D,)}
            shapes["guess.bias"] = (self.vocabulary,)
        return shapes


def bert(
    ids: Any,
    segments: Any,
    lengths: Any,
    params: Params,
    config: Bert,
    ops: Any = TEXT,
    tap: Tap = untouched,
) -> Any:
    r"""Read texts, every word seeing all others, and return the scores of the heads.

    $$z_0 = \mathrm{LN}(W_e[x] + W_s[s] + W_p[:N]), \qquad z_l = \mathrm{Block}_l(z_{l-1}), \qquad
    p = \tanh(W z_{L,0} + b)$$

    ids: B N, token ids; the first of a text is [CLS].
    segments: B N, 0 for words of the first sentence, 1 for those of the second.
    lengths: B, how many words each text has; those behind are padding and seen by none.
    params: the arrays, under the names of `Bert.shapes`.
    config: sizes, heads, activation and epsilon.

    Returns B N D, a vector for each word, or what the last head gives: B 2, scores of "is next" and
    "is not next", or B N V, a score of each word at each place.

    Raises AxesError for ids that are no integers, outside the vocabulary, or too many.

    Elsewhere: the first code has the tanh form of GELU, transformers has the exact one.
    transformers' BertForMaskedLM has no pooler, its BertForPreTraining has one.

    Paper: Devlin et al. 2019, "BERT: Pre-training of Deep Bidirectional Transformers for Language
    Understanding", section 3.
    """
    x = encode(ids, segments, lengths, params, config, ops, tap)  # B N D
    result = x
    if config.pooler:
        pooled = tap("pooled", np.tanh(dense(x[:, 0], params, "pooler", ops)))  # B D
    if config.next_sentence:
        result = tap("next_sentence", dense(pooled, params, "next_sentence", ops))  # B 2
    if config.masked_words:
        result = tap("logits", guess(x, params, config, ops, tap))  # B N V
    return result


def encode(
    ids: Any,
    segments: Any,
    lengths: Any,
    params: Params,
    config: Bert,
    ops: Any = TEXT,
    tap: Tap = untouched,
) -> Any:
    """A vector for each word: B N -> B N D; arguments as those of `bert`."""
    accept_ids("bert", ids, config.context, config.vocabulary)
    length = np.shape(ids)[1]
    words = params["word_embeddings.weight"][ids]
    kinds = params["token_type_embeddings.weight"][segments]
    x = tap("added", words + kinds + params["position_embeddings.weight"][:length])  # B N D
    x = tap("ln_embeddings", norm(x, params, "ln_embeddings", config.eps, ops))
    bias = ops.padding_bias(lengths, length)  # B 1 1 N
    for i in range(config.layers):
        x = post_block(x, params, f"transformer.resblocks.{i}", config, bias, ops, tap)
    return x


def guess(x: Any, params: Params, config: Bert, ops: Any = TEXT, tap: Tap = untouched) -> Any:
    """Scores of all words at every place, with the embedding table as output layer."""
    y = tap("guess.dense", dense(x, params, "guess.dense", ops))  # B N D
    y = tap("guess.activation", getattr(ops, config.activation)(y))
    y = tap("guess.ln", norm(y, params, "guess.ln", config.eps, ops))
    return ops.linear(y, params["word_embeddings.weight"], params["guess.bias"])  # B N V
