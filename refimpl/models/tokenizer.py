"""CLIP's tokenizer: text becomes the numbers that the text tower reads.

    clean      repair the encoding, undo HTML entities, collapse white space, lower case
    split      contractions, runs of letters, single digits, runs of anything else
    merge      each piece, as bytes, grows together pair by pair in the order of the table

The vocabulary: 256 bytes, the same bytes at the end of a word, 48,894 merged pieces, two markers.
Needs the extra `text` (ftfy, regex).
"""

from __future__ import annotations

import functools
import html
import itertools
import lzma
from collections.abc import Iterable
from importlib import resources
from typing import Any

import numpy as np

BOUNDARY = "</w>"
START, END = "<|startoftext|>", "<|endoftext|>"
PIECES = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"
PADDING = 0


class TextError(ValueError):
    """A text, or a list of tokens, that the tokenizer cannot take."""


def byte_letters() -> list[str]:
    """One printable character for each byte, in the order of the vocabulary.

    Printable bytes stand for themselves and come first; the other 68 are shifted beyond 255.

    >>> letters = byte_letters()
    >>> len(letters), letters[0], letters[187], letters[188]
    (256, '!', 'ÿ', 'Ā')
    """
    printable = [b for b in range(256) if chr(b).isprintable() and not chr(b).isspace()]
    return [chr(b) for b in printable] + [chr(256 + i) for i in range(256 - len(printable))]


def byte_order() -> list[int]:
    """The bytes in the order of `byte_letters`.

    >>> byte_order()[0], byte_order()[-1]
    (33, 173)
    """
    printable = [b for b in range(256) if chr(b).isprintable() and not chr(b).isspace()]
    return printable + [b for b in range(256) if b not in printable]


def clean(text: str) -> str:
    """Repair the encoding, undo HTML entities twice, collapse white space, lower the case.

    >>> clean("  Fish &amp;amp; Chips\\n")
    'fish & chips'
    """
    repaired = _extra("ftfy").fix_text(text)
    return " ".join(html.unescape(html.unescape(repaired)).split()).lower()


def merge(symbols: list[str], ranks: dict[tuple[str, str], int]) -> list[str]:
    """Join neighbours, the pair of lowest rank first and everywhere at once, until none is ranked.

    >>> merge(list("abab"), {("a", "b"): 0})
    ['ab', 'ab']
    """
    while len(symbols) > 1:
        pairs = set(itertools.pairwise(symbols))
        first = min(pairs, key=lambda pair: ranks.get(pair, len(ranks)))
        if first not in ranks:
            break
        joined: list[str] = []
        for symbol in symbols:
            if joined and (joined[-1], symbol) == first:
                joined[-1] += symbol
            else:
                joined.append(symbol)
        symbols = joined
    return symbols


class Tokenizer:
    r"""CLIP's byte-pair encoding.

    The markers `<|startoftext|>` and `<|endoftext|>` written out in a text become their tokens, as
    they do in the published code. Its pattern drops the combining iota U+0345, and so do we.

    Elsewhere: open_clip writes its markers `<start_of_text>` and `<end_of_text>`. The tokenizers of
    transformers do not repair the encoding and leave HTML entities as they are. SigLIP drops
    punctuation. GLIDE has a longer table.

    Paper: Radford et al. 2021, "Learning Transferable Visual Models From Natural Language
    Supervision", section 2.4; Sennrich et al. 2016, "Neural Machine Translation of Rare Words with
    Subword Units", algorithm 1.

    >>> Tokenizer().encode("a photo of a cat")
    [320, 1125, 539, 320, 2368]
    """

    def __init__(self) -> None:
        table = resources.files("refimpl.models").joinpath("data", "clip_merges.txt.xz")
        lines = lzma.decompress(table.read_bytes()).decode("utf-8").splitlines()
        merges = [(left, right) for left, right in (line.split(" ") for line in lines)]
        letters = byte_letters()
        pieces = [*letters, *(x + BOUNDARY for x in letters), *map("".join, merges), START, END]
        self.letter = dict(zip(byte_order(), letters))
        self.ranks = {pair: rank for rank, pair in enumerate(merges)}
        self.ids = {piece: number for number, piece in enumerate(pieces)}
        self.pieces = pieces
        self.start, self.end = self.ids[START], self.ids[END]
        self._split = _extra("regex").compile(PIECES, _extra("regex").IGNORECASE)
        self._piece = functools.lru_cache(maxsize=1 << 16)(self._encode_piece)

    def __len__(self) -> int:
        return len(self.pieces)

    def _encode_piece(self, piece: str) -> tuple[int, ...]:
        if piece in (START, END):
            return (self.ids[piece],)
        symbols = [self.letter[byte] for byte in piece.encode("utf-8")]
        symbols[-1] += BOUNDARY
        return tuple(self.ids[symbol] for symbol in merge(symbols, self.ranks))

    def encode(self, text: str) -> list[int]:
        """The tokens of a text, without start and end markers.

        text: any Unicode text; lone surrogates are replaced.

        Raises TextError for anything but a text.
        """
        if not isinstance(text, str):
            raise TextError(f"encode: text has type {type(text).__name__}, expected str")
        return [token for piece in self._split.findall(clean(text)) for token in self._piece(piece)]

    def decode(self, tokens: Iterable[int]) -> str:
        """The cleaned text of tokens, pieces separated by spaces; stops at the first end marker.

        tokens: integers from 0 to 49407, zero-based. A leading start marker is skipped. Bytes that
        are not UTF-8 become U+FFFD.

        Raises TextError for a number that is no token.

        >>> Tokenizer().decode([49406, 3306, 1002, 256, 49407, 0, 0])
        'hello world !'
        """
        byte = {letter: number for number, letter in self.letter.items()}
        written = bytearray()
        for i, token in enumerate(int(token) for token in tokens):
            if not 0 <= token < len(self):
                raise TextError(f"decode: token {i} is {token}, expected 0 to {len(self) - 1}")
            if token == self.end:
                break
            if token == self.start:
                continue
            piece = self.pieces[token]
            ends = token >= 256 and piece.endswith(BOUNDARY)
            written += bytes(byte[letter] for letter in piece.removesuffix(BOUNDARY * ends))
            written += b" " * ends
        return written.decode("utf-8", errors="replace").strip()


@functools.cache
def tokenizer() -> Tokenizer:
    """The one tokenizer that everybody shares."""
    return Tokenizer()


def tokenize(texts: str | Iterable[str], context: int = 77, truncate: bool = False) -> np.ndarray:
    """Texts as rows of one length: start marker, tokens, end marker, zeros.

    texts: one text or several.
    context: N, the length of a row, markers included; at least 2.
    truncate: cut a text that is too long and put the end marker last, instead of raising.

    Returns B N, int64. The padding is the number of the token "!"; the position of the end marker
    is where the row has its largest number.

    Raises TextError for a text that does not fit, and says how many tokens it has.

    Elsewhere: Stable Diffusion 1 and the tokenizers of transformers pad with the end marker.

    Paper: Radford et al. 2021, "Learning Transferable Visual Models From Natural Language
    Supervision", section 2.4.

    >>> tokenize("Hello World!", context=6)
    array([[49406,  3306,  1002,   256, 49407,     0]])
    """
    if context < 2:
        raise TextError(f"tokenize: context is {context}, expected at least 2")
    book = tokenizer()
    listed = [texts] if isinstance(texts, str) else list(texts)
    rows = np.full((len(listed), context), PADDING, dtype=np.int64)
    for i, text in enumerate(listed):
        tokens = [book.start, *book.encode(text), book.end]
        if len(tokens) > context:
            if not truncate:
                raise TextError(
                    f"tokenize: text {i} has {len(tokens)} tokens, markers included, expected at "
                    f"most context={context}: {text[:40]!r}"
                )
            tokens = [*tokens[: context - 1], book.end]
        rows[i, : len(tokens)] = tokens
    return rows


def _extra(module: str) -> Any:
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError:
        raise ImportError(
            f'the tokenizer needs {module}; pip install "refimpl[text]" brings it'
        ) from None
