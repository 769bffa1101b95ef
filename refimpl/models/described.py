"""Captions and answers of the small reader about a picture, and how they are scored."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import refimpl
from refimpl.models import TEXT, few_shots, reader, recorder
from refimpl.models.classify import pixels
from refimpl.models.configs import Vit
from refimpl.models.preprocess import load_image
from refimpl.models.reader_words import WORDS, text_of, words_of
from refimpl.models.shipped import DIGITS, small_clip, small_gates, small_reader
from refimpl.models.tokenizer import TextError
from refimpl.op import DomainError

ARTICLES = ("a", "an", "the")
NUMBERS = dict(zip((*DIGITS, "ten"), map(str, range(11)), strict=True)) | {"none": "0"}


class Seen(NamedTuple):
    """A picture as the reader has it."""

    image: np.ndarray  # 28 28, in [-1, 1]
    prompt: np.ndarray  # B latents D, B being 1
    looked: np.ndarray  # layers latents M, shares of the tower's tokens, the class token first


def see(picture: str | Path) -> Seen:
    """Look at a picture: the image tower, then the queries.

    Raises ImageError and FileNotFoundError for what cannot be read.
    """
    images = pixels(load_image(picture), small_clip().config)[None].astype(np.float32)  # 1 1 28 28
    return Seen(images[0, 0], *_looking(images))


def prompts(images: Any, ops: Any = TEXT) -> np.ndarray:
    """The soft prompts of images, B 1 28 28 in [-1, 1] -> B latents D."""
    config, params = small_reader()
    return reader.soft_prompt(_tokens(images, ops), params, config.queries, ops)


def looks(images: Any) -> np.ndarray:
    """The shares of the first picture's tokens: layers latents M, the class token first."""
    return _looking(images)[1]


def _looking(images: Any) -> tuple[np.ndarray, np.ndarray]:
    """A soft prompt, and what its queries looked at, the mean over heads."""
    told: dict[str, Any] = {}
    config, params = small_reader()
    prompt = reader.soft_prompt(_tokens(images), params, config.queries, TEXT, recorder(told))
    return prompt, np.mean(reader.looked_at(told, config.queries), axis=1)


def _tokens(images: Any, ops: Any = TEXT) -> Any:
    clip = small_clip()
    assert isinstance(clip.config.vision, Vit)
    return reader.image_tokens(images, clip.params, clip.config.vision, ops)


def asked(question: str) -> list[int]:
    """A question as words; one without a question mark is given one.

    Raises TextError for an empty question, a word that the reader does not know, or too many.

    >>> asked("which digit") == asked("Which digit?")
    True
    """
    if not question.strip(" ?"):
        raise TextError('ask: the question is empty, expected one such as "which digit?"')
    words = words_of(question.rstrip(" ?") + "?")
    most = reader.room(small_reader()[0]) - 1  # one for the answer
    if len(words) > most:
        raise TextError(f"ask: the question has {len(words)} words and signs, expected {most}")
    return words


def say(prompt: np.ndarray, question: str | None = None, ops: Any = TEXT) -> list[str]:
    """Captions of pictures, or answers to one question about each of them.

    prompt: B latents D, from `see` or `prompts`.

    Raises TextError for a question that the reader cannot take.
    """
    config, params = small_reader()
    words = [] if question is None else asked(question)
    return [text_of(found) for found in reader.answers(prompt, words, params, config, ops)]


def by_examples(
    pictures: Sequence[str | Path], answers: Sequence[str], ops: Any = TEXT
) -> tuple[str, float]:
    """The word for the last picture, by the pictures before it and the word for each of them.

    Returns the likeliest word and its share.

    Raises TextError for an answer that is not one word of the reader, DomainError for another
    number of answers than pictures but one, or too many.
    """
    if len(answers) != len(pictures) - 1:
        raise DomainError(
            f"few-shot: {len(answers)} answers for {len(pictures)} pictures, expected one for each "
            "but the last"
        )
    most = small_reader()[0].decoder.context // 4 - 2
    if len(answers) > most:
        raise DomainError(f"few-shot: {len(answers)} examples, expected at most {most}")
    said = [words_of(answer) for answer in answers]
    for answer, words in zip(answers, said, strict=True):
        if len(words) != 1:
            raise TextError(f"few-shot: the answer {answer!r} has {len(words)} words, expected one")
    config = small_clip().config
    images = np.stack([pixels(load_image(path), config) for path in pictures]).astype(np.float32)
    shares = next_words(images[None], np.array(said, int).reshape(1, -1), ops)[0]
    return WORDS[np.argmax(shares)], float(np.max(shares))


def next_words(images: Any, answers: Any, ops: Any = TEXT) -> np.ndarray:
    """The probabilities of the next word after pictures with a word each, and one more: B V.

    images: B pictures 1 28 28, in [-1, 1].
    answers: B pictures-1, words.
    """
    (config, gates), (whole, words) = small_gates(), small_reader()
    B, pictures = images.shape[:2]
    tokens = _tokens(images.reshape(B * pictures, *images.shape[2:]), ops)
    latents = few_shots.resample(tokens, gates, config, ops)  # B*pictures latents D
    latents = latents.reshape(B, pictures, *latents.shape[1:])
    ids = few_shots.example_ids(answers)
    logits = few_shots.interleaved(ids, latents, gates, words, config, whole.decoder, ops)
    return ops.softmax(logits[:, -1])


def alike(answer: str) -> str:
    """An answer as the rule of VQA compares it: small letters, no articles, signs, no punctuation.

    >>> alike("A seven."), alike("7")
    ('7', '7')
    """
    words = re.findall(r"[\w'-]+", answer.lower())
    return " ".join(NUMBERS.get(word, word) for word in words if word not in ARTICLES)


def score(answer: str, people: Sequence[str]) -> float:
    """How right an answer is by the rule of VQA, given what people have answered.

    Raises DomainError where fewer than two people were asked: each is compared with the others.

    >>> round(score("seven", ["7", "a seven", "one", "1", "one", "7", "2", "one", "1", "2"]), 4)
    0.9
    """
    if len(people) < 2:
        raise DomainError(f"ask: {len(people)} people were asked, expected at least 2")
    matches = sum(alike(answer) == alike(other) for other in people)
    return float(refimpl.vqa_score(len(people), np.array([float(matches)]))[0])
