"""The small models that come with the package: digits, words for them, and a writer of words.

A CLIP, the same with an image tower for noisy images, a denoiser, and a reader that says in words
what it sees: grey images of 28 by 28 pixels in [-1, 1], a white digit on black. A decoder that
writes English. How they were trained and
what they can do is told in golden/weights/README.md.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import refimpl
from refimpl.models import denoiser, few_shots, reader, recorder, weights
from refimpl.models.clip import clip_text
from refimpl.models.configs import Clip
from refimpl.models.denoiser import UnclipDecoder
from refimpl.models.llama import GLASSLLM, Llama
from refimpl.models.prior import Prior
from refimpl.models.sd_unet import SdUnet
from refimpl.models.tokenizer import TextError, clean, tokenize, tokenizer

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TIMES = 1000  # of the diffusion that the denoiser and the noisy CLIP were trained for
BETAS = refimpl.linear_schedule(TIMES, 1e-4, 0.02)  # T

SMALL_PRIOR = Prior(128, layers=2, heads=2, clip=128, context=16, activation="quick_gelu")
IMAGEN_BASE = SdUnet(
    (32, 48), 1, channels=1, outputs=1, groups=8, heads=(1, 1), depths=(0, 1), words=128
)
IMAGEN_UPSCALER = replace(IMAGEN_BASE, widths=(16, 32), channels=2, pooled=128, waves=32, sizes=1)


@dataclass(frozen=True)
class SmallClip:
    """A CLIP that knows some words only: row i of its embedding belongs to `token_ids[i]`."""

    config: Clip
    params: dict[str, np.ndarray]
    token_ids: np.ndarray

    def rows(self, texts: Sequence[str]) -> np.ndarray:
        """Texts as rows of the embedding, B N; the end of a text keeps the largest number.

        Raises TextError for a text that is too long, and for a word that the model never saw.
        """
        for text in texts:
            for word in clean(text).split():
                if not set(tokenizer().encode(word)) <= set(self.token_ids.tolist()):
                    raise TextError(
                        f"the small model does not know the word {word!r}; it knows "
                        f"{', '.join(self.words())}"
                    )
        return np.searchsorted(self.token_ids, tokenize(texts, self.config.text.context))

    def words(self) -> list[str]:
        """The words that it knows."""
        found = [tokenizer().decode([number]) for number in self.token_ids]
        return sorted(word for word in found if word.isalnum())

    def words_of(self, texts: Sequence[str], ops: Any = refimpl) -> tuple[np.ndarray, ...]:
        """Of each text its words, zero behind its end, B N D; which those are, B N; its vector."""
        rows = self.rows(texts)
        kept: dict[str, np.ndarray] = {}
        vector = clip_text(rows, self.params, self.config, ops, recorder(kept))  # B embed
        keep = np.arange(rows.shape[1]) <= np.argmax(rows, axis=1)[:, None]  # B N
        return kept["ln_final"] * keep[:, :, None], keep.astype(np.int64), vector

    def text_features(self, texts: Sequence[str], ops: Any = refimpl) -> np.ndarray:
        """What the text tower says of each text, B embed."""
        return clip_text(self.rows(texts), self.params, self.config, ops)


@functools.cache
def small_clip(name: str = "clip") -> SmallClip:
    """The CLIP for clean images; `noised_clip` is that for noisy ones."""
    params = weights.load(folder() / f"{name}.safetensors")
    token_ids = params.pop("token_ids")
    config = weights.infer(params)
    weights.check(params, config)
    assert isinstance(config, Clip)
    return SmallClip(config, params, token_ids)


@functools.cache
def small_denoiser() -> tuple[denoiser.Denoiser, dict[str, np.ndarray]]:
    """The denoiser: its configuration and its arrays."""
    params = weights.load(folder() / "denoiser.safetensors")
    return denoiser.infer(params), params


@functools.cache
def small_unclip() -> tuple[
    tuple[Prior, dict[str, np.ndarray], np.ndarray], tuple[UnclipDecoder, dict[str, np.ndarray]]
]:
    """The prior, with a vector for no text, and the decoder of the small DALL·E 2."""
    prior, decoder = (
        weights.load(folder() / f"unclip_{part}.safetensors") for part in ("prior", "decoder")
    )
    null_text = prior.pop("null_text")
    seen = UnclipDecoder(denoiser.infer_trunk(decoder), SMALL_PRIOR.clip)
    weights.check(prior, SMALL_PRIOR)
    weights.check(decoder, seen)
    return (SMALL_PRIOR, prior, null_text), (seen, decoder)


@functools.cache
def small_imagen() -> tuple[tuple[SdUnet, dict[str, np.ndarray], np.ndarray], ...]:
    """The base and the upscaler of the small Imagen, each with arrays and words for no text."""
    found = []
    for name, config in (("imagen_base", IMAGEN_BASE), ("imagen_upscaler", IMAGEN_UPSCALER)):
        params = weights.load(folder() / f"{name}.safetensors")
        null = params.pop("null_words")
        weights.check(params, config)
        found.append((config, params, null))
    return tuple(found)


@functools.cache
def digit_vectors() -> tuple[np.ndarray, np.ndarray]:
    """Vectors of digits that no model was trained on, N embed, squares of mean 1; the digits, N."""
    found = weights.load(folder() / "digit_vectors.safetensors")
    return found["vectors"], found["labels"]


@functools.cache
def small_writer() -> tuple[Llama, dict[str, np.ndarray]]:
    """The decoder that writes: its configuration and its arrays, in float64."""
    params = weights.load(folder() / "writer.safetensors")
    return GLASSLLM, {name: array.astype(np.float64) for name, array in params.items()}


@functools.cache
def small_reader() -> tuple[reader.Reader, dict[str, np.ndarray]]:
    """The Q-Former and the decoder that describe a picture: their sizes and their arrays."""
    params = weights.load(folder() / "reader.safetensors")
    config = reader.infer(params)
    weights.check(params, config)
    return config, params


@functools.cache
def small_gates() -> tuple[few_shots.Gates, dict[str, np.ndarray]]:
    """The layers that show the reader's decoder several pictures: their sizes and their arrays."""
    params = weights.load(folder() / "few_shots.safetensors")
    config = few_shots.infer(params)
    weights.check(params, config)
    return config, params


def folder() -> Path:
    """Where the weights are: beside the package in a checkout, inside it when installed.

    Raises WeightsError where there are none.
    """
    inside, beside = Path(__file__).parents[1], Path(__file__).parents[2]
    for place in (beside / "golden" / "weights", inside / "golden" / "weights"):
        if (place / "clip.safetensors").is_file():
            return place
    raise weights.WeightsError("the small models are not installed")
