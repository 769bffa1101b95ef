"""Sentences as vectors: a BERT over pieces of words, its last layer's mean, made a unit vector."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import refimpl
from refimpl import fast
from refimpl.models import weights
from refimpl.models.bert import Bert, encode
from refimpl.models.tokenizer import TextError

FIRST, LAST, UNKNOWN, HIDDEN = "[CLS]", "[SEP]", "[UNK]", "[MASK]"
INSIDE = "##"  # before a piece that does not begin a word
LONGEST = 100  # signs of a word; a longer one is unknown


def words_of(text: str) -> list[str]:
    """Words and signs of a text, in lower case and without accents, as BERT's code cuts it.

    >>> words_of("Así, no!")
    ['asi', ',', 'no', '!']
    """
    plain = unicodedata.normalize("NFD", text.lower())
    kept = (sign for sign in plain if unicodedata.category(sign) != "Mn")
    spaced = (f" {sign} " if _alone(sign) else _blank(sign) for sign in kept)
    return "".join(spaced).split()


def _blank(sign: str) -> str:
    kind = unicodedata.category(sign)
    return " " if sign.isspace() else "" if kind in ("Cc", "Cf", "Co", "Cs") else sign


def _alone(sign: str) -> bool:
    """Whether a sign is a word: punctuation, any other mark of ASCII, an ideograph."""
    ascii_mark = sign.isascii() and sign.isprintable() and not (sign.isalnum() or sign == " ")
    ideograph = 0x3400 <= ord(sign) <= 0x9FFF or 0x20000 <= ord(sign) <= 0x2FA1F
    return ascii_mark or unicodedata.category(sign).startswith("P") or ideograph


def pieces_of(word: str, table: dict[str, int]) -> list[int]:
    """The longest pieces of a word from its left; one unknown where some part is in no piece.

    Paper: Wu et al. 2016, "Google's Neural Machine Translation System", section 4.1.

    >>> table = {"[UNK]": 0, "play": 1, "##ing": 2, "##in": 3}
    >>> pieces_of("playing", table), pieces_of("played", table)
    ([1, 2], [0])
    """
    found, at = [], 0
    while at < len(word) <= LONGEST:
        begins = INSIDE if at else ""
        ends = (end for end in range(len(word), at, -1) if begins + word[at:end] in table)
        end = next(ends, 0)
        if not end:
            break
        found.append(table[begins + word[at:end]])
        at = end
    return found if found and at == len(word) else [table[UNKNOWN]]


class Sentences:
    """A BERT for sentences, from a folder: `model.safetensors`, `vocab.txt` and `config.json`.

    The vocabulary may stand in `tokenizer.json` instead.
    """

    def __init__(self, folder: str | Path) -> None:
        folder = Path(folder)
        told = _json(folder / "config.json")
        state = weights.translate(weights.load(folder / "model.safetensors"))
        self.config = _config(told, "pooler.weight" in state)
        weights.check(state, self.config)
        self.params = state
        self.table = _vocabulary(folder)

    def ids(self, text: str) -> list[int]:
        """A text's numbers between its markers; what is longer than the context is cut."""
        found = [n for word in words_of(text) for n in pieces_of(word, self.table)]
        return [self.table[FIRST], *found[: self.config.context - 2], self.table[LAST]]

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors of texts, B D."""
        rows = [self.ids(text) for text in texts]
        lengths = np.array([len(row) for row in rows])
        N = int(lengths.max())
        ids = np.array([row + [0] * (N - len(row)) for row in rows])
        x = encode(ids, np.zeros_like(ids), lengths, self.params, self.config, fast)  # B N D
        keep = (np.arange(N) < lengths[:, None]).astype(np.int64)  # B N
        return refimpl.l2_normalize(refimpl.mean_pool(x, keep))


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise weights.WeightsError(f"{path}: is no JSON: {error}") from None


def _config(told: Any, pooler: bool) -> Bert:
    names = {
        "width": "hidden_size",
        "layers": "num_hidden_layers",
        "heads": "num_attention_heads",
        "context": "max_position_embeddings",
        "vocabulary": "vocab_size",
        "eps": "layer_norm_eps",
    }
    missing = [theirs for theirs in names.values() if theirs not in told]
    if missing:
        raise weights.WeightsError(f"config.json: {', '.join(missing)} is missing")
    return Bert(**{ours: told[theirs] for ours, theirs in names.items()}, pooler=pooler)


def _vocabulary(folder: Path) -> dict[str, int]:
    listed = folder / "vocab.txt"
    if listed.is_file():
        lines = listed.read_text("utf-8").splitlines()
        table = {piece: number for number, piece in enumerate(lines)}
    else:
        table = dict(_json(folder / "tokenizer.json")["model"]["vocab"])
    for marker in (FIRST, LAST, UNKNOWN):
        if marker not in table:
            raise TextError(f"{folder}: the vocabulary has no {marker}")
    return table
