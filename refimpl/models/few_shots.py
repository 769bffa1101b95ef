"""Few-shot examples: pictures with a word each, then one more picture, for the small reader.

The decoder is that of `reader`, and frozen as there. Before each of its blocks is a new layer in
which words attend to the last picture before them, through gates that started at zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from refimpl.models import TEXT, Params, Tap, untouched
from refimpl.models.configs import Shapes
from refimpl.models.reader import HEAD, Decoder
from refimpl.models.reader_words import COLON, DOT, IMAGE
from refimpl.models.vit import block, join, norm, split

MATRICES = ("query_weight", "key_weight", "value_weight", "out_weight")
EPS = 1e-5  # of all layer norms


@dataclass(frozen=True)
class Gates:
    """Sizes of the resampler and of the layers with gates, one for each block of a decoder."""

    width: int
    latents: int
    layers: int

    @property
    def heads(self) -> int:
        """Heads of each attention."""
        return max(self.width // HEAD, 1)

    def shapes(self) -> Shapes:
        """Name and shape of every parameter."""
        D = self.width
        shapes: Shapes = {"resampler.latents": (self.latents, D)}
        rooms: dict[str, tuple[str, ...]] = {
            "resampler": ("ln_media", "ln_latents", "ln_mlp", "ln_post")
        }
        rooms |= {f"gated.{i}": ("ln_1", "ln_2") for i in range(self.layers)}
        for name, norms in rooms.items():
            shapes |= {f"{name}.{ln}.{part}": (D,) for ln in norms for part in ("weight", "bias")}
            shapes |= {f"{name}.attn.{matrix}": (D, D) for matrix in MATRICES}
            shapes |= {f"{name}.{matrix}.weight": (D, D) for matrix in ("c_fc", "c_proj")}
        for i in range(self.layers):
            shapes |= {f"gated.{i}.attn_gate": (), f"gated.{i}.mlp_gate": ()}
        return shapes


def infer(params: Params) -> Gates:
    """The configuration that the shapes tell."""
    latents, width = np.shape(params["resampler.latents"])
    return Gates(width, latents, sum(name.endswith(".attn_gate") for name in params))


def resample(
    media: Any, params: Params, config: Gates, ops: Any = TEXT, tap: Tap = untouched
) -> Any:
    r"""The resampler: the few vectors of a picture: B M D -> B latents D.

    $$z' = \mathrm{Perceiver}(x, z), \qquad y = \mathrm{LN}(z' + W_2\, \mathrm{GELU}(W_1\,
    \mathrm{LN}(z')))$$

    media: B M D, x, tokens of the picture, from `reader.image_tokens`.

    Elsewhere: Flamingo has 64 vectors in 6 layers, and gives each frame of a video a position.

    Paper: Alayrac et al. 2022, "Flamingo: a visual language model for few-shot learning",
    section 2.1 and figure 5.
    """
    latents = np.repeat(params["resampler.latents"][None], len(media), axis=0)  # B latents D
    norms = [
        params[f"resampler.{name}.{part}"]
        for name in ("ln_media", "ln_latents")
        for part in ("weight", "bias")
    ]
    matrices = [params[f"resampler.attn.{name}"] for name in MATRICES]
    x = ops.perceiver_attention(media, latents, *norms, EPS, *matrices, config.heads)
    x = tap("resampler.attn", x)
    return tap(
        "resampler",
        norm(
            x + _dense(x, params, "resampler", "ln_mlp", ops), params, "resampler.ln_post", EPS, ops
        ),
    )


def _dense(x: Any, params: Params, name: str, ln: str, ops: Any) -> Any:
    """A layer norm and two dense layers without biases."""
    y = norm(x, params, f"{name}.{ln}", EPS, ops)
    y = ops.gelu(ops.linear(y, params[f"{name}.c_fc.weight"], None))
    return ops.linear(y, params[f"{name}.c_proj.weight"], None)


def gated(
    x: Any,
    latents: Any,
    bias: Any,
    params: Params,
    name: str,
    heads: int,
    ops: Any = TEXT,
    tap: Tap = untouched,
) -> Any:
    r"""Cross-attention of words to pictures, then a perceptron; both are added through a gate.

    $$x' = x + \tanh(a)\, \mathrm{MHA}(\mathrm{LN}\, x, u), \qquad
    y = x' + \tanh(b)\, W_2\, \mathrm{GELU}(W_1\, \mathrm{LN}\, x')$$

    x: B N D, vectors of the words.
    latents: B M D, u, those of all pictures, one after the other.
    bias: B 1 N M, from `media_bias`.

    Returns B N D; with a = b = 0 it is x, bit for bit.

    Paper: Alayrac et al. 2022, "Flamingo: a visual language model for few-shot learning",
    section 2.2 and figure 4.
    """
    weights = [params[f"{name}.attn.{matrix}"] for matrix in MATRICES]
    asking = norm(x, params, f"{name}.ln_1", EPS, ops)
    given = (asking, latents, latents)
    query, key, value = (split(ops.linear(y, w, None), heads) for y, w in zip(given, weights))
    mixed = ops.linear(join(ops.attention(query, key, value, bias)), weights[3], None)  # B N D
    x = tap(f"{name}.asked", ops.gated_residual(x, mixed, params[f"{name}.attn_gate"]))
    y = _dense(x, params, name, "ln_2", ops)
    return tap(name, ops.gated_residual(x, y, params[f"{name}.mlp_gate"]))


def interleaved(
    ids: Any,
    latents: Any,
    params: Params,
    words: Params,
    config: Gates,
    decoder: Decoder,
    ops: Any = TEXT,
    tap: Tap = untouched,
) -> Any:
    r"""Score every word as the next one, in texts with pictures.

    ids: B N, words; `IMAGE` where a picture stands, as often in each text.
    latents: B pictures latents D, from `resample`.
    params: the arrays of the new layers, under the names of `Gates.shapes`.
    words: those of the decoder, under the names of `Decoder.shapes`.

    Returns B N V, logits.

    Paper: Alayrac et al. 2022, "Flamingo: a visual language model for few-shot learning",
    section 2.
    """
    B, pictures, each, D = np.shape(latents)
    times = ops.text_times((ids == IMAGE).astype(np.int64))  # B N
    bias = ops.media_bias(times, pictures, each)  # B 1 N pictures*latents
    media = np.reshape(latents, (B, pictures * each, D))
    length = np.shape(ids)[1]
    x = words["decoder.wte.weight"][ids] + words["decoder.wpe.weight"][:length]
    causal = ops.causal_bias(length, length)  # N N
    for i in range(decoder.layers):
        x = gated(x, media, bias, params, f"gated.{i}", config.heads, ops, tap)
        x = block(x, words, f"decoder.transformer.resblocks.{i}", decoder, causal, ops, tap)
    x = norm(x, words, "decoder.ln_f", decoder.eps, ops)
    return tap("logits", ops.linear(x, words["decoder.wte.weight"], None))  # B N V


def example_ids(answers: Any) -> np.ndarray:
    """Examples as a text, then one more picture: B shots of words -> B N, up to the colon."""
    B, shots = np.shape(answers)
    ids = np.full((B, 4 * shots + 4), DOT)
    ids[:, ::4], ids[:, 1::4] = IMAGE, COLON
    ids[:, 2:-4:4] = answers
    return ids[:, :-2]
