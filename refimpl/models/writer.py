"""Text from a prompt: from a decoder's logits to words, one by one, every step visible."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

import refimpl
from refimpl.models import TEXT, cache, recorder
from refimpl.models.philox import uniforms
from refimpl.models.registry import family
from refimpl.models.vit import split
from refimpl.models.writers import Writer, writer
from refimpl.op import DomainError


@dataclass(frozen=True)
class Manner:
    """How the next word is chosen: the steps applied to the logits, in this order.

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
    """How one word was chosen."""

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


def write(
    prompt: str,
    count: int = 40,
    seed: int = 0,
    manner: Manner | None = None,
    by: Writer | None = None,
) -> Iterator[Step]:
    """Continue a text; every step is yielded.

    prompt: a text in the writer's signs, not empty.
    count: how many pieces of words are written at most, at least 0; less where the text ends.
    seed: from 0, below 2^64; the same numbers are drawn on every machine.
    by: who writes, from `writers.writer`; the small writer where nobody is named.

    The model looks at as many of the last pieces as its context has; once there are more, they are
    counted from 0 anew.

    Raises TextError for an empty prompt or a sign it does not know, DomainError for a number out of
    range.
    """
    if not 0 <= seed < 2**64:
        raise DomainError(f"generate: seed is {seed}, expected 0 to 2^64 - 1")
    if count < 0:
        raise DomainError(f"generate: count is {count}, expected at least 0")
    by = by or writer()
    return _steps(by.encode(prompt), uniforms(seed, 0, count), by, manner or Manner())


def _steps(ids: list[int], drawn: np.ndarray, by: Writer, manner: Manner) -> Iterator[Step]:
    past: cache.Past = None
    for uniform in drawn:
        known = cache.seen_before(past)
        if known == by.config.context:
            past, known = None, 0
        seen = ids[-by.config.context :]
        told: dict[str, Any] = {}
        logits = next_logits(seen, known, by, told, past)
        past = cache.kept(told)
        shares = next_shares(logits, ids, manner)
        word = int(refimpl.sample_index(shares.left[None], np.array([uniform]))[0])
        looked = last_attention(told, by.config)
        yield Step(word, tuple(seen), logits, shares, float(uniform), looked)
        if word in by.ends:
            return
        ids = [*ids, word]


def next_logits(
    seen: Sequence[int], known: int, by: Writer, told: dict[str, Any], past: cache.Past
) -> np.ndarray:
    """The logits of the word behind these, V, in float64; the first `known` are in the past.

    told: takes what the model tells its tap.
    """
    text = family(by.config).text
    precision = next(iter(by.params.values())).dtype
    given: dict[str, Any] = {"ids": np.array([seen[known:]])}
    if "positions" in inspect.signature(text).parameters:
        given["positions"] = np.arange(known, len(seen), dtype=precision)
    how = {"params": by.params, "config": by.config, "ops": by.ops or TEXT, "past": past}
    return np.asarray(text(**given, **how, tap=recorder(told))[0, -1], np.float64)


def last_attention(told: dict[str, Any], config: Any) -> np.ndarray:
    """The attention of the last word to each word, by head: layers H N, rows that sum to one.

    told: what the model told its tap.
    """
    rows = []
    groups = getattr(config, "groups", config.heads)
    for name in (name for name in told if name.endswith(".attn.query")):
        query = split(told[name], config.heads)[0, :, -1]  # H E
        keys = split(told[name.replace(".query", ".key")], groups)[0]  # G N E
        keys = np.repeat(keys, config.heads // groups, axis=0)  # H N E
        scores = np.einsum("he,hne->hn", query, keys) / math.sqrt(query.shape[1])
        rows.append(refimpl.softmax(scores.astype(np.float64)))
    return np.stack(rows)
