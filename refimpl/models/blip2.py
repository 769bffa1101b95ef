"""BLIP-2 and its Q-Former: learned queries attend to an image, alone or together with a text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from refimpl.models import TEXT, Params, Tap, untouched
from refimpl.models.configs import Shapes, Vit, accept_ids
from refimpl.models.feature_maps import affine
from refimpl.models.post_norm import perceptron
from refimpl.models.vit import dense, join, norm, split, vit_features


@dataclass(frozen=True)
class QFormer:
    """Sizes of a Q-Former that attends to an image in every `every`-th layer, from the first on.

    Without `words` it has queries alone, and no perceptron for words.
    """

    width: int = 768
    layers: int = 12
    heads: int = 12
    hidden: int = 3072
    queries: int = 32
    every: int = 2
    words: bool = True
    context: int = 512
    vocabulary: int = 30523
    activation: str = "gelu"
    qformer_eps: float = 1e-12

    @property
    def eps(self) -> float:
        """The guard of each layer norm."""
        return self.qformer_eps

    def shapes(self, image: int) -> Shapes:
        """Name and shape of every parameter; tokens of the image are `image` wide."""
        D = self.width
        shapes: Shapes = {"queries": (self.queries, D)} | affine("qformer.ln", D)
        if self.words:
            shapes["words.weight"] = (self.vocabulary, D)
            shapes["positions.weight"] = (self.context, D)
        for i in range(self.layers):
            at = f"qformer.layers.{i}"
            shapes |= self._attention(f"{at}.attn", D) | affine(f"{at}.ln_1", D)
            if i % self.every == 0:
                shapes |= self._attention(f"{at}.cross", image) | affine(f"{at}.ln_cross", D)
            for rows in ("queries", "words")[: 1 + self.words]:
                shapes |= affine(f"{at}.{rows}.mlp.c_fc", self.hidden, D)
                shapes |= affine(f"{at}.{rows}.mlp.c_proj", D, self.hidden)
                shapes |= affine(f"{at}.{rows}.ln_2", D)
        return shapes

    def _attention(self, name: str, read: int) -> Shapes:
        D = self.width
        shapes = affine(f"{name}.query", D, D) | affine(f"{name}.out_proj", D, D)
        return shapes | affine(f"{name}.key", D, read) | affine(f"{name}.value", D, read)


@dataclass(frozen=True)
class Blip2:
    """An image tower and a Q-Former, with a shared space of `embed` numbers."""

    vision: Vit
    qformer: QFormer
    embed: int = 256

    def shapes(self) -> Shapes:
        """Name and shape of every parameter."""
        D = self.qformer.width
        shapes = self.vision.shapes("visual.") | self.qformer.shapes(self.vision.width)
        shapes |= affine("vision_projection", self.embed, D)
        return shapes | affine("text_projection", self.embed, D) | affine("itm_head", 2, D)


def asked(
    x: Any,
    memory: Any,
    bias: Any,
    params: Params,
    name: str,
    heads: int,
    ops: Any = TEXT,
    tap: Tap = untouched,
) -> Any:
    """Cross-attention to a memory, or self-attention: B N D, B M F -> B N D."""
    given = {"query": x, "key": memory, "value": memory}
    query, key, value = (
        tap(f"{name}.{part}", dense(y, params, f"{name}.{part}", ops)) for part, y in given.items()
    )  # B N D, B M D twice
    mixed = ops.attention(split(query, heads), split(key, heads), split(value, heads), bias)
    mixed = tap(f"{name}.mixed", join(mixed))  # B N D
    return tap(name, dense(mixed, params, f"{name}.out_proj", ops))


def rows_alone(
    x: Any, params: Params, name: str, config: QFormer, ops: Any = TEXT, tap: Tap = untouched
) -> Any:
    """The perceptron of queries or of words, added and normalised: B N D."""
    x = tap(f"{name}.added_2", x + perceptron(x, params, f"{name}.mlp", config, ops, tap))
    return tap(f"{name}.ln_2", norm(x, params, f"{name}.ln_2", config.eps, ops))


def qformer_block(
    x: Any,
    image: Any,
    queries: int,
    bias: Any,
    params: Params,
    name: str,
    config: QFormer,
    ops: Any = TEXT,
    tap: Tap = untouched,
) -> Any:
    r"""One block: joint self-attention, attention of the queries to the image, two perceptrons.

    $$x' = \mathrm{LN}_1(x + \mathrm{MHA}(x, x)), \qquad
    q'' = \mathrm{LN}(q' + \mathrm{MHA}(q', m)), \qquad
    y = \left[\mathrm{LN}(q'' + \mathrm{FFN}_q\, q''),\; \mathrm{LN}(w' + \mathrm{FFN}_w\, w')
    \right]$$

    The first `queries` of the tokens x are queries q, the others words w.
    """
    heads, eps = config.heads, config.eps
    x = tap(f"{name}.added_1", x + asked(x, x, bias, params, f"{name}.attn", heads, ops, tap))
    x = tap(f"{name}.ln_1", norm(x, params, f"{name}.ln_1", eps, ops))  # B N D
    rows = []
    if queries:
        asking = x[:, :queries]
        if f"{name}.cross.query.weight" in params:
            y = asked(asking, image, None, params, f"{name}.cross", heads, ops, tap)
            asking = tap(f"{name}.added_cross", asking + y)
            asking = tap(f"{name}.ln_cross", norm(asking, params, f"{name}.ln_cross", eps, ops))
        rows.append(rows_alone(asking, params, f"{name}.queries", config, ops, tap))
    if x.shape[1] > queries:
        rows.append(rows_alone(x[:, queries:], params, f"{name}.words", config, ops, tap))
    return tap(name, np.concatenate(rows, axis=1))


def qformer(
    queries: Any,
    words: Any,
    lengths: Any,
    image: Any,
    params: Params,
    config: QFormer,
    ops: Any = TEXT,
    tap: Tap = untouched,
) -> Any:
    """The outputs of queries and words after the last block; either may be absent: B N D."""
    many, length = queries.shape[0], words.shape[1]
    gain, shift = params["qformer.ln.weight"], params["qformer.ln.bias"]
    places = params["positions.weight"][:length]
    x = ops.qformer_embed(queries, words, places, gain, shift, config.eps)
    x = tap("qformer.ln", x)  # B N D
    bias = ops.padding_bias(many + lengths, many + length)  # B 1 1 N
    for i in range(config.layers):
        at = f"qformer.layers.{i}"
        x = qformer_block(x, image, many, bias, params, at, config, ops, tap)
    return x


def blip2(
    images: Any,
    ids: Any,
    lengths: Any,
    params: Params,
    config: Blip2,
    ops: Any = TEXT,
    tap: Tap = untouched,
) -> Any:
    r"""The similarity of images and texts, read separately, and whether pairs match, read together.

    $$s_{nm} = \max_q \cos\left(P_i\, Q_n^q,\, P_t\, w_m\right), \qquad
    \ell_n = \frac1L \sum_q W\, \mathrm{QF}(q, x_n, m_n)_q$$

    images: B channels image image, normalised pixels.
    ids: B N, token ids; the first of a text stands for the whole text.
    lengths: B, how many words each text has; those behind are padding and seen by none.
    params: the arrays, under the names of `Blip2.shapes`.
    config: the image tower, the Q-Former and the width of their common space.

    Returns B 2, scores of "does not match" and "matches" for each image and its text; the
    similarities B B of all are told to the tap.

    Raises AxesError for ids that are no integers, outside the vocabulary, or too many.

    Elsewhere: LAVIS divides similarities by a temperature, and begins a text that is matched by a
    word of its own. The queries' pass is the one that captions and answers are written from.

    Paper: Li et al. 2023, "BLIP-2: bootstrapping language-image pre-training with frozen image
    encoders and large language models", section 3.1 and figure 2.
    """
    own = config.qformer
    accept_ids("blip2", ids, own.context, own.vocabulary)
    x = vit_features(images, params, config.vision, ops, tap, "visual.")  # B M F
    image = tap("memory", norm(x, params, "visual.ln_post", config.vision.eps, ops))
    queries, words = params["queries"], params["words.weight"][ids]  # latents D, B N D

    def read(asking: Any, said: Any, many: Any, turn: str) -> Any:
        def told(name: str, value: Any) -> Any:
            return tap(name.replace("qformer", turn, 1), value)

        return qformer(asking, said, many, image, params, own, ops, told)

    seen = read(queries, words[:, :0], 0 * lengths, "image_alone")  # B latents D
    said = read(queries[:0], words, lengths, "text_alone")  # B N D
    seen = tap("vision_projection", dense(seen, params, "vision_projection", ops))
    said = tap("text_projection", dense(said[:, 0], params, "text_projection", ops))
    tap("similarity", ops.itc_similarity(seen, said))  # B B
    both = read(queries, words, lengths, "both")  # B latents+N D
    scores = tap("itm_head", dense(both[:, : own.queries], params, "itm_head", ops))
    return tap("matches", np.mean(scores, axis=1))  # B 2
