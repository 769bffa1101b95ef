"""Text from a prompt: what a decoder's logits are made of, word by word, every step visible."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

import refimpl
from refimpl.models import TEXT, cache, recorder
from refimpl.models.llama import Llama, llama
from refimpl.models.philox import uniforms
from refimpl.models.pieces import pieces
from refimpl.models.shipped import small_writer
from refimpl.models.tokenizer import TextError
from refimpl.models.vit import split
from refimpl.op import DomainError


@dataclass(frozen=True)
class Manner:
    """How the next word is chosen: what is done to the logits, in this order.

    A penalty of 1, a temperature of 1, k of 0, p of 1 and a least share of 0 change nothing. At a
    temperature of 0 the likeliest word is taken.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    penalty: float = 1.0

    def __post_init__(self) -> None:
        bounds = {"temperature": (0, math.inf), "top_p": (0, 1), "min_p": (0, 1)}
        for name, (least, most) in bounds.items():
            value = getattr(self, name)
            if not (least <= value <= most and math.isfinite(value)):
                raise DomainError(f"generate: {name} is {value}, expected {least} to {most}")
        if self.top_p == 0:
            raise DomainError("generate: top_p is 0, expected above 0")
        if not 0 < self.penalty < math.inf:
            raise DomainError(f"generate: penalty is {self.penalty}, expected above 0")
        if self.top_k < 0:
            raise DomainError(f"generate: top_k is {self.top_k}, expected 0 for all, or more")


class Shares(NamedTuple):
    """The next word's probabilities, before the filters and after them."""

    before: np.ndarray  # V
    left: np.ndarray  # V, 0 for words that are forbidden


class Step(NamedTuple):
    """How one word came about."""

    word: int
    seen: tuple[int, ...]  # the words that the model looked at, N of them
    logits: np.ndarray  # V
    shares: Shares
    uniform: float  # the number that drew the word
    attention: np.ndarray  # layers H N, the weights of the last word


def next_shares(logits: Any, seen: Sequence[int] = (), manner: Manner | None = None) -> Shares:
    """The probabilities of the next word, as a manner makes them from logits.

    logits: V, in nats.
    seen: the words that occur before, which the penalty concerns.

    At a temperature of 0 what is left is the likeliest word, the first one of equals, and the
    shares before it are those of a temperature of 1.

    Raises AxesError and DomainError for arguments that the operations refuse.

    >>> next_shares([4.1, 3.9, 2.7], manner=Manner(temperature=0.5)).before.round(4)
    array([0.5777, 0.3872, 0.0351])
    """
    manner = manner or Manner()
    z = np.asarray(logits, np.float64)[None]  # 1 V
    before = np.zeros(z.shape, np.int64)
    before[0, list(seen)] = 1
    z = refimpl.penalize_repetition(z, before, manner.penalty)
    shares = refimpl.temperature_softmax(z, manner.temperature or 1.0)[0]  # V
    if not manner.temperature:
        return Shares(shares, np.eye(len(shares))[np.argmax(z[0])])
    z = z / manner.temperature
    if manner.top_k:
        z = refimpl.keep_top_k(z, manner.top_k)
    if manner.top_p < 1:
        z = refimpl.keep_top_p(z, manner.top_p)
    if manner.min_p:
        z = refimpl.keep_min_p(z, manner.min_p)
    return Shares(shares, refimpl.softmax(z)[0])


def write(prompt: str, count: int = 40, seed: int = 0, manner: Manner | None = None) -> Any:
    """Continue a text with the small writer; every step is yielded.

    prompt: a text in the writer's signs, not empty.
    count: how many pieces of words are written, at least 0.
    seed: from 0, below 2^64; the same numbers are drawn on every machine.

    The model looks at its 128 last pieces; once there are more, they are counted from 0 anew.

    Raises TextError for an empty prompt or a sign it does not know, DomainError for a number out of
    range.
    """
    if not 0 <= seed < 2**64:
        raise DomainError(f"generate: seed is {seed}, expected 0 to 2^64 - 1")
    if count < 0:
        raise DomainError(f"generate: count is {count}, expected at least 0")
    ids = pieces().encode(prompt)
    if not ids:
        raise TextError("generate: the prompt is empty, expected such as 'Alice was'")
    config, params = small_writer()
    return _steps(ids, uniforms(seed, 0, count), params, config, manner or Manner())


def _steps(
    ids: list[int], drawn: np.ndarray, params: dict[str, Any], config: Llama, manner: Manner
) -> Iterator[Step]:
    past: cache.Past = None
    for uniform in drawn:
        known = cache.seen_before(past)
        if known == config.context:
            past, known = None, 0
        seen = ids[-config.context :]
        told: dict[str, Any] = {}
        new, places = np.array([seen[known:]]), np.arange(known, len(seen), dtype=np.float64)
        logits = llama(new, places, params, config, TEXT, recorder(told), past)[0, -1]  # V
        past = cache.kept(told)
        shares = next_shares(logits, ids, manner)
        word = int(refimpl.sample_index(shares.left[None], np.array([uniform]))[0])
        yield Step(word, tuple(seen), logits, shares, float(uniform), last_attention(told, config))
        ids = [*ids, word]


def last_attention(told: dict[str, Any], config: Llama) -> np.ndarray:
    """How much each head's last word looks at each word: layers H N, rows that sum to one.

    told: what the model told its tap.
    """
    rows = []
    for i in range(config.layers):
        query = split(told[f"layers.{i}.attn.query"], config.heads)[0, :, -1]  # H E
        keys = split(told[f"layers.{i}.attn.key"], config.groups)[0]  # G N E
        keys = np.repeat(keys, config.heads // config.groups, axis=0)  # H N E
        rows.append(refimpl.softmax(np.einsum("he,hne->hn", query, keys) / math.sqrt(config.head)))
    return np.stack(rows)
