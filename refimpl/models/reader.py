"""Words about a picture: queries attend to an image tower, and a decoder reads their outputs.

The tower is that of the small CLIP, the decoder knows the words of `reader_words`, and both are
frozen: the outputs of a Q-Former between them replace the first words of a text.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from refimpl.models import TEXT, Params, Tap, recorder, untouched
from refimpl.models.configs import Shapes, Vit, attention_shapes, block_shapes
from refimpl.models.post_norm import post_block
from refimpl.models.reader_words import COLON, END, IMAGE
from refimpl.models.vit import dense, norm, split, transformer, vit

HEAD = 64  # width of an attention head, as in CLIP


@dataclass(frozen=True)
class Queries:
    """Sizes of a Q-Former; each `every`-th layer attends to the picture, from the first on."""

    width: int
    layers: int
    queries: int
    every: int = 2
    activation: str = "gelu"
    eps: float = 1e-12

    @property
    def heads(self) -> int:
        """Heads of each attention."""
        return max(self.width // HEAD, 1)

    def asks(self, layer: int) -> bool:
        """Whether a layer asks the picture."""
        return layer % self.every == 0

    def shapes(self) -> Shapes:
        """Name and shape of every parameter."""
        D = self.width
        shapes: Shapes = {"qformer.queries": (self.queries, D)}
        for name in ("ln_image", "ln_queries"):
            shapes |= {f"qformer.{name}.weight": (D,), f"qformer.{name}.bias": (D,)}
        for i in range(self.layers):
            name = f"qformer.layers.{i}"
            shapes |= block_shapes(name, D, 4 * D)
            if self.asks(i):
                shapes |= attention_shapes(f"{name}.cross", D, D)
                shapes |= {f"{name}.ln_cross.{part}": (D,) for part in ("weight", "bias")}
        return shapes | {"qformer.projector.weight": (D, D), "qformer.projector.bias": (D,)}


@dataclass(frozen=True)
class Decoder:
    """Sizes of the decoder, whose table of words is its head as well."""

    width: int
    layers: int
    context: int
    vocabulary: int
    activation: str = "quick_gelu"
    eps: float = 1e-5

    @property
    def heads(self) -> int:
        """Heads of each attention."""
        return max(self.width // HEAD, 1)

    def shapes(self) -> Shapes:
        """Name and shape of every parameter."""
        D = self.width
        shapes: Shapes = {
            "decoder.wte.weight": (self.vocabulary, D),
            "decoder.wpe.weight": (self.context, D),
            "decoder.ln_f.weight": (D,),
            "decoder.ln_f.bias": (D,),
        }
        for i in range(self.layers):
            shapes |= block_shapes(f"decoder.transformer.resblocks.{i}", D, 4 * D)
        return shapes


@dataclass(frozen=True)
class Reader:
    """A Q-Former and its decoder."""

    queries: Queries
    decoder: Decoder

    def shapes(self) -> Shapes:
        """Name and shape of every parameter."""
        return {**self.queries.shapes(), **self.decoder.shapes()}


def infer(params: Params) -> Reader:
    """The configuration that the shapes tell: heads are 64 wide, as in CLIP."""
    queries, width = np.shape(params["qformer.queries"])
    vocabulary, _ = np.shape(params["decoder.wte.weight"])
    context, _ = np.shape(params["decoder.wpe.weight"])
    layers = [name for name in params if name.endswith(".ln_1.weight")]
    asking = sum(name.startswith("qformer.") for name in layers)
    return Reader(
        Queries(width, asking, queries),
        Decoder(width, len(layers) - asking, context, vocabulary),
    )


def image_tokens(images: Any, params: Params, config: Vit, ops: Any = TEXT) -> Any:
    """The output of the last block but one of CLIP's image tower: B channels image image -> B M D.

    BLIP-2 asks the same tokens: the last block is there for the class token alone.
    """
    told: dict[str, Any] = {}
    vit(images, params, config, ops, recorder(told), "visual.")
    return told[f"visual.transformer.resblocks.{config.layers - 2}"]


def soft_prompt(
    image: Any, params: Params, config: Queries, ops: Any = TEXT, tap: Tap = untouched
) -> Any:
    r"""The outputs of the learned queries, as vectors that are inserted in a text like words.

    $$z_0 = \mathrm{LN}(q), \qquad z_l = \mathrm{Block}_l(z_{l-1}, \mathrm{LN}(x)), \qquad
    y = W z_L + b$$

    image: B M D, x, tokens of the picture, from `image_tokens`.
    params: the arrays, under the names of `Queries.shapes`.

    Returns B latents D, a soft visual prompt.

    Elsewhere: BLIP-2 has 32 queries of width 768 in the 12 layers of a BERT.

    Paper: Li et al. 2023, "BLIP-2: bootstrapping language-image pre-training with frozen image
    encoders and large language models", sections 3.1 and 3.2.
    """
    image = tap("qformer.ln_image", norm(image, params, "qformer.ln_image", 1e-5, ops))
    x = norm(params["qformer.queries"], params, "qformer.ln_queries", config.eps, ops)
    x = tap("qformer.ln_queries", np.repeat(x[None], len(image), axis=0))  # B latents D
    for i in range(config.layers):
        seen = image if config.asks(i) else None
        x = post_block(x, params, f"qformer.layers.{i}", config, None, ops, tap, seen)
    return tap("qformer.projector", dense(x, params, "qformer.projector", ops))


def read(
    ids: Any, prompt: Any, params: Params, config: Decoder, ops: Any = TEXT, tap: Tap = untouched
) -> Any:
    r"""Score every word as the next one, in a text with placeholders for a picture.

    ids: B N, words; where `IMAGE` stands, the vectors of the picture are put.
    prompt: B latents D, from `soft_prompt`.
    params: the arrays, under the names of `Decoder.shapes`.

    Returns B N V, logits; those of one place depend on what stands up to it alone.

    Raises AxesError where the text keeps room for more or fewer vectors than there are.

    Paper: Li et al. 2023, "BLIP-2: bootstrapping language-image pre-training with frozen image
    encoders and large language models", section 3.2.
    """
    table = params["decoder.wte.weight"]
    words = ops.splice_tokens(table[ids], ids, IMAGE, prompt)  # B N D
    length = np.shape(ids)[1]
    x = tap("decoder.tokens", words + params["decoder.wpe.weight"][:length])
    x = transformer(x, params, "decoder.", config, ops.causal_bias(length, length), ops, tap)
    x = tap("decoder.ln_f", norm(x, params, "decoder.ln_f", config.eps, ops))  # B N D
    return tap("logits", ops.linear(x, table, None))  # B N V


def room(config: Reader) -> int:
    """How many words a question and its answer may have together."""
    return config.decoder.context - config.queries.queries - 1


def answers(
    prompt: Any, question: Sequence[int], params: Params, config: Reader, ops: Any = TEXT
) -> list[list[int]]:
    """The likeliest words after a picture and a question, up to the end: B lists of words.

    prompt: B latents D, from `soft_prompt`.
    question: words; none asks for a caption.
    """
    ids = np.array([[IMAGE] * config.queries.queries + [COLON, *question]] * len(prompt))
    begun = ids.shape[1]
    while ids.shape[1] < config.decoder.context and not np.all(np.any(ids == END, axis=1)):
        logits = read(ids, prompt, params, config.decoder, ops)[:, -1]  # B V
        ids = np.concatenate((ids, np.argmax(logits, axis=1)[:, None]), axis=1)
    rows = ids[:, begun:].tolist()
    return [row[: row.index(END)] if END in row else row for row in rows]


def looked_at(told: Mapping[str, Any], config: Queries) -> np.ndarray:
    """The attention of each query to each token of the picture.

    told: what `soft_prompt` told its tap.

    Returns layers H latents M of the first picture, for the layers that ask; rows sum to one.
    """
    found = []
    for i in filter(config.asks, range(config.layers)):
        query, key = (
            split(told[f"qformer.layers.{i}.cross.{part}"], config.heads)[0]
            for part in ("query", "key")
        )  # H latents E, H M E
        scores = query @ np.swapaxes(key, 1, 2) / math.sqrt(query.shape[-1])  # H latents M
        found.append(TEXT.softmax(scores))
    return np.stack(found)
