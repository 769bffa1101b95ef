"""The small models that come with the package: digits, words for them, and a writer of words.

A CLIP, the same with an image tower for noisy images, a denoiser, and a reader that says in words
what it sees: grey images of 28 by 28 pixels in [-1, 1], a white digit on black. A decoder that
writes English. How they were trained and
what they can do is told in golden/weights/README.md.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import refimpl
from refimpl.models import denoiser, few_shots, reader, weights
from refimpl.models.clip import clip_text
from refimpl.models.configs import Clip
from refimpl.models.llama import GLASSLLM, Llama
from refimpl.models.tokenizer import TextError, clean, tokenize, tokenizer

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TIMES = 1000  # of the diffusion that the denoiser and the noisy CLIP were trained for
BETAS = refimpl.linear_schedule(TIMES, 1e-4, 0.02)  # T


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
