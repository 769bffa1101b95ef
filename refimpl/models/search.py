"""Exact retrieval: passages of texts, or pictures, in the order of their likeness to a sentence."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

import refimpl
from refimpl import fast
from refimpl.models import compiled
from refimpl.models.classify import pixels
from refimpl.models.clip import clip_image
from refimpl.models.preprocess import load_image
from refimpl.models.sentences import Sentences
from refimpl.models.shipped import small_clip
from refimpl.op import DomainError

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")
WORD = re.compile(r"\w\w+")  # what counts as a term: two signs or more


class Passage(NamedTuple):
    """A piece of a text: its words `first` to before `last`, zero-based."""

    path: str
    first: int
    last: int
    text: str


class Hit(NamedTuple):
    """What was found, and the cosine of its vector and the sentence's."""

    score: float
    found: Passage


def chunk_bounds(length: int, size: int, overlap: int) -> list[tuple[int, int]]:
    """Where the pieces of a text begin and end, each sharing `overlap` places with the next.

    length: how many words the text has. size: of a piece, at least 1; the last may be shorter.
    overlap: from 0, below size.

    Returns pairs of the first place and the one behind the last: one piece as soon as the end is
    reached, none of an empty text.

    Raises DomainError for a size or overlap out of range.

    >>> chunk_bounds(1100, 1000, 200)
    [(0, 1000), (800, 1100)]
    """
    if size < 1 or not 0 <= overlap < size:
        raise DomainError(
            f"chunk_bounds: size {size}, overlap {overlap}, expected 0 <= overlap < size"
        )
    last = max(length - overlap, 1) if length else 0
    return [(i, min(i + size, length)) for i in range(0, last, size - overlap)]


def passages(paths: Sequence[str | Path], size: int, overlap: int) -> list[Passage]:
    """The passages of text files, in their order; words are what stands between blanks."""
    found = []
    for path in paths:
        words = Path(path).read_text("utf-8", errors="replace").split()
        bounds = chunk_bounds(len(words), size, overlap)
        found += [Passage(str(path), i, j, " ".join(words[i:j])) for i, j in bounds]
    return found


def term_vectors(query: str, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    r"""The sentence and the texts as unit vectors over the terms of the texts: V and M V.

    $$w_{md} = f_{md} \left(\ln \frac{1 + M}{1 + m_d} + 1\right)$$

    f_md: how often text m has term d; m_d: how many texts have it. A text without any of the terms
    is a vector of zeros, whose score is 0.

    Elsewhere: this is scikit-learn's form; BM25 lets a frequency saturate.

    Paper: Manning, Raghavan and Schütze 2008, "Introduction to Information Retrieval", section
    6.2.2, which has neither of the ones.
    """
    counted = [Counter(WORD.findall(text.lower())) for text in (*texts, query)]
    terms = sorted(set().union(*counted[:-1]))
    counts = np.array([[count[term] for term in terms] for count in counted], np.float64)
    counts = counts.reshape(len(counted), len(terms))
    having = np.sum(counts[:-1] > 0, axis=0)
    rarity = np.log((1 + len(texts)) / (1 + having)) + 1
    vectors = refimpl.l2_normalize(counts * rarity) if terms else counts
    return vectors[-1], vectors[:-1]


def ranked(query: np.ndarray, documents: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The best `count` documents and their inner products; among equals the first one comes first.

    query: D. documents: M D.

    >>> ranked(np.array([1.0, 0.0]), np.array([[0.5, 0.5], [1.0, 0.0], [0.5, -0.5]]), 2)
    (array([1, 0]), array([1. , 0.5]))
    """
    documents = np.ascontiguousarray(documents)
    queries = np.ascontiguousarray(query[None], documents.dtype)  # 1 D
    best, scores = fast.kernels("retrieval").best(queries, documents, count)  # 1 count
    return best[0], scores[0]


def search_texts(
    sentence: str,
    paths: Sequence[str | Path],
    count: int = 5,
    size: int = 60,
    overlap: int = 15,
    folder: str | Path | None = None,
) -> list[Hit]:
    """The passages of text files that are most like a sentence.

    count: how many. size, overlap: of passages, in words. folder: a BERT for sentences, as
    `Sentences` reads it; without it, passages are compared by the terms that they share.

    Raises DomainError where no file has a word, WeightsError and TextError for a folder that cannot
    be used.
    """
    found = passages(paths, size, overlap)
    if not found:
        raise DomainError("search: the files have no words")
    texts = [passage.text for passage in found]
    if folder is None:
        query, documents = term_vectors(sentence, texts)
    else:
        model = Sentences(folder)
        query, documents = model.embed([sentence])[0], model.embed(texts)
    best, scores = ranked(query, documents, count)
    return [Hit(float(score), found[i]) for i, score in zip(best, scores, strict=True)]


def search_pictures(sentence: str, paths: Sequence[str | Path], count: int = 5) -> list[Hit]:
    """The pictures that are most like a sentence, by the small CLIP.

    Raises ImageError for what is no picture, TextError for a word that the model never saw.
    """
    model = small_clip()
    query = refimpl.l2_normalize(model.text_features([sentence]))[0]
    shown = [pixels(load_image(path), model.config) for path in paths]
    images = np.stack(shown).astype(np.float32)
    features = clip_image(images, model.params, model.config, compiled)
    best, scores = ranked(query, refimpl.l2_normalize(features), count)
    names = [Passage(str(path), 0, 0, "") for path in paths]
    return [Hit(float(score), names[i]) for i, score in zip(best, scores, strict=True)]
