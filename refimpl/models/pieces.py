"""The pieces of words that the small writer knows: signs that grow together, blanks first."""

from __future__ import annotations

import functools
import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from importlib import resources

from refimpl.models.tokenizer import TextError, merge

MARKERS = ("<pad>", "<unk>", "<bos>", "<eos>")  # numbers that no text has
BLANK = "▁"  # how the table writes a blank
CHUNKS = re.compile(r"\n| *[^ \n]+| +")  # nothing grows together across two of them


class Pieces:
    """A byte-pair encoding of signs, not of bytes: a text with any other sign is refused.

    >>> pieces().encode("said Alice"), pieces().decode([74, 672, 207])
    ([74, 672, 207], 'said Alice')
    """

    def __init__(self, signs: Sequence[str], merges: Sequence[tuple[str, str]]) -> None:
        self.signs = frozenset(signs)
        self.ranks = {pair: rank for rank, pair in enumerate(merges)}
        self.pieces = [*MARKERS, *signs, *map("".join, merges)]
        self.ids = {piece: number for number, piece in enumerate(self.pieces)}

    def encode(self, text: str) -> list[int]:
        """The numbers of the pieces of a text.

        Raises TextError for a sign that the table lacks.
        """
        text = unicodedata.normalize("NFC", text)
        for sign in text:
            if sign not in self.signs:
                known = "".join(sorted(self.signs - {"\n", " "}))
                raise TextError(f"the small writer does not know the sign {sign!r}; it has {known}")
        parts = (merge(list(chunk), self.ranks) for chunk in CHUNKS.findall(text))
        return [self.ids[piece] for part in parts for piece in part]

    def decode(self, numbers: Iterable[int]) -> str:
        """The text of numbers; markers are left out."""
        return "".join(self.pieces[n] for n in numbers if n >= len(MARKERS))

    def bytes_of(self, number: int) -> bytes:
        """What a number adds to a text; nothing for a marker."""
        return self.decode([number]).encode()

    def label(self, number: int) -> str:
        """A number as it is shown."""
        return self.pieces[number]


@functools.cache
def pieces() -> Pieces:
    """The table of the small writer."""
    file = resources.files("refimpl.models").joinpath("data", "writer_words.json")
    table = json.loads(file.read_text("utf-8"))
    pairs = (pair.split(" ") for pair in table["merges"])
    merges = [(left.replace(BLANK, " "), right.replace(BLANK, " ")) for left, right in pairs]
    return Pieces([sign.replace(BLANK, " ") for sign in table["signs"]], merges)
