"""Byte-pair encodings of other models, from the files beside their weights.

    normalise   compose accents, mark blanks
    cut         by patterns of letters and numbers; nothing grows together across two pieces
    merge       each piece grows together pair by pair, in the order of the table

Two kinds are read: of bytes, each written as a letter (GPT-2, Qwen2, Llama 3), and of signs, with
bytes for those that the table lacks (Llama 2). Everything else is refused by name.
"""

from __future__ import annotations

import functools
import re
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from refimpl.models.tokenizer import TextError, byte_letters, byte_order, merge

BLANK = "▁"  # how tables of signs write a blank
BYTE = re.compile(r"<0x([0-9A-F]{2})>")
SPACES = r"\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
Cut = Callable[[str], list[str]]


@dataclass(frozen=True)
class BytePairs:
    """A table of pieces and the order in which they grow together.

    `marks` are pieces that stand for themselves wherever a text has them, `first` the numbers that
    every text begins with. `whole` takes a piece that the table has as it is.
    """

    ids: Mapping[str, int]
    ranks: dict[tuple[str, str], int]
    of_bytes: bool
    cuts: Sequence[Cut] = ()
    normal: Sequence[Callable[[str], str]] = ()
    marks: Mapping[str, int] = field(default_factory=dict)
    first: Sequence[int] = ()
    whole: bool = False

    @functools.cached_property
    def pieces(self) -> dict[int, str]:
        """The piece of each number."""
        table = {**self.ids, **self.marks}
        return {number: piece for piece, number in table.items()}

    def encode(self, text: str) -> list[int]:
        """The numbers of a text, those before every text included.

        Raises TextError for a sign for which the table has neither a piece nor bytes.
        """
        found = list(self.first)
        longest = sorted(self.marks, key=len, reverse=True)
        between = re.split(f"({'|'.join(map(re.escape, longest))})", text) if longest else [text]
        for part in filter(None, between):
            found += [self.marks[part]] if part in self.marks else self._unmarked(part)
        return found

    def _unmarked(self, text: str) -> Iterator[int]:
        for change in self.normal:
            text = change(text)
        parts = [text]
        for cut in self.cuts:
            parts = [piece for part in parts for piece in cut(part)]
        for part in parts:
            signs = [letters()[b] for b in part.encode()] if self.of_bytes else list(part)
            joined = "".join(signs)
            grown = [joined] if self.whole and joined in self.ids else merge(signs, self.ranks)
            for piece in grown:
                yield from self._numbers(piece)

    def _numbers(self, piece: str) -> list[int]:
        if piece in self.ids:
            return [self.ids[piece]]
        written = [f"<0x{byte:02X}>" for byte in piece.encode()]
        if self.of_bytes or not all(byte in self.ids for byte in written):
            raise TextError(f"the tokenizer has no piece for {piece!r}")
        return [self.ids[byte] for byte in written]

    def bytes_of(self, number: int) -> bytes:
        """What a number adds to a text; nothing for a mark or a number without a piece."""
        piece = self.pieces.get(number, "")
        if not self.of_bytes and (found := BYTE.fullmatch(piece)):
            return bytes([int(found[1], 16)])
        if piece in self.marks:
            return b""
        if self.of_bytes:
            return bytes(numbered()[letter] for letter in piece if letter in numbered())
        return piece.replace(BLANK, " ").encode()

    def label(self, number: int) -> str:
        """A number as it is shown: its text, or its mark."""
        shown = self.bytes_of(number).decode("utf-8", "replace")
        return shown or self.pieces.get(number, f"<{number}>")


@functools.cache
def letters() -> dict[int, str]:
    """The letter that stands for each byte."""
    return dict(zip(byte_order(), byte_letters(), strict=True))


@functools.cache
def numbered() -> dict[str, int]:
    """The byte that each letter stands for."""
    return {letter: byte for byte, letter in letters().items()}


@functools.cache
def categories() -> list[str]:
    """The Unicode category of every sign."""
    return list(map(unicodedata.category, map(chr, range(sys.maxunicode + 1))))


@functools.cache
def ranges(category: str) -> str:
    r"""The signs whose Unicode category begins so, as the inside of a class of `re`.

    >>> ranges("Zl")
    '\\U00002028-\\U00002028'
    """
    inside, at = [], 0
    for kind, group in groupby(categories()):
        first, at = at, at + len(list(group))
        if kind.startswith(category):
            inside.append(f"\\U{first:08x}-\\U{at - 1:08x}")
    return "".join(inside)


def pattern(written: str) -> re.Pattern[str]:
    r"""A pattern with classes such as \p{L}, which `re` lacks, and with Unicode's own blanks.

    >>> pattern(r"\p{L}+|[^\s\p{L}]").findall("até 7")
    ['até', '7']
    """
    inside, out = False, []
    for token in re.findall(r"\\[pP]\{\w+\}|\\.|.", written, re.DOTALL):
        if token in ("[", "]"):
            inside = token == "["
        known = ranges(token[3:-1]) if token[:2] in (r"\p", r"\P") else SPACES
        if token[:2] in (r"\p", r"\s"):
            token = known if inside else f"[{known}]"
        elif token[:2] in (r"\P", r"\S"):
            if inside:
                raise TextError(f"the tokenizer's pattern has {token} within a class")
            token = f"[^{known}]"
        out.append(token)
    try:
        return re.compile("".join(out))
    except re.error as error:
        raise TextError(f"the tokenizer's pattern cannot be read: {error}") from None


def isolated(written: re.Pattern[str]) -> Cut:
    """Cut a text into what a pattern matches and what lies between."""

    def cut(text: str) -> list[str]:
        found, at = [], 0
        for match in written.finditer(text):
            found += [text[at : match.start()], match[0]]
            at = match.end()
        return [piece for piece in (*found, text[at:]) if piece]

    return cut


def pairs(merges: Iterable[Any]) -> dict[tuple[str, str], int]:
    """The rank of each pair; a pair is a list of two, or a text with a blank between.

    >>> pairs(["a b", ["ab", "c"]])
    {('a', 'b'): 0, ('ab', 'c'): 1}
    """
    split = (pair.split(" ") if isinstance(pair, str) else pair for pair in merges)
    return {(left, right): rank for rank, (left, right) in enumerate(split)}
