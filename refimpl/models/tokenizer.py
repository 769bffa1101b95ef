"""CLIP's tokenizer: text becomes the numbers that the text tower reads.

    clean      repair the encoding, undo HTML entities, collapse white space, lower case
    split      contractions, runs of letters, single digits, runs of anything else
    merge      each piece, as bytes, grows together pair by pair in the order of the table

The vocabulary: 256 bytes, the same bytes at the end of a word, 48,894 merged pieces, two markers.

The published code repairs encodings with ftfy and splits with regex: the extra `text`. Without it
the standard library does what it can: for texts in ASCII the same, for others `clean` warns.
"""

from __future__ import annotations

import functools
import html
import importlib
import itertools
import lzma
import re
import unicodedata
import warnings
from collections.abc import Callable, Iterable
from importlib import resources
from typing import Any

import numpy as np

from refimpl.exceptions import RefimplError

BOUNDARY = "</w>"
START, END = "<|startoftext|>", "<|endoftext|>"
WORDS = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d"
PIECES = WORDS + r"|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"
RUNS = re.compile("L+|N|X+")  # of kinds of characters
QUOTES = dict.fromkeys((700, *range(8216, 8220)), "'") | dict.fromkeys(range(0x201C, 0x2020), '"')
CONTROL = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|[\x00-\x08\x0b\x0e-\x1f\x7f]")
ENTITY = re.compile(r"&#?[0-9A-Za-z]{1,24};")
PADDING = 0


class TextError(RefimplError, ValueError):
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
    ftfy = _extra("ftfy")
    repaired = ftfy.fix_text(text) if ftfy else repair(text)
    cleaned = " ".join(html.unescape(html.unescape(repaired)).split()).lower()
    if not (ftfy or cleaned.isascii()):
        warnings.warn(
            f"ftfy is not installed, so the encoding of {text[:40]!r} is not repaired, and the "
            'tokens may be others than CLIP\'s; pip install "refimpl[text]" brings it',
            stacklevel=2,
        )
    return cleaned


def repair(text: str) -> str:
    """What the standard library can do of ftfy's repairs: all that concern texts in ASCII.

    Entities are undone where there is no tag, control characters and commands to terminals are
    dropped, curled quotes straightened, lone surrogates replaced, accents composed. A wrong
    encoding is not recognised.

    >>> repair("it\u2019s e\u0301t\u00e9 &amp;amp; Chips")
    "it's été & Chips"
    """
    before = None
    while text != before:
        before = text
        if "<" not in text:
            text = ENTITY.sub(lambda found: html.unescape(found[0]), text)
        text = CONTROL.sub("", text.translate(QUOTES))
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        text = unicodedata.normalize("NFC", text)
    return text


def kind(character: str) -> str:
    """L a letter, N a number, X something else, a blank for what is dropped.

    >>> [kind(c) for c in "aé7½!\u0345 "]
    ['L', 'L', 'N', 'N', 'X', ' ', ' ']
    """
    if character.isalpha():
        return "L"
    if unicodedata.category(character).startswith("N"):
        return "N"
    return " " if character.isspace() or character == "\u0345" else "X"


def split(text: str) -> list[str]:
    """The pieces of a text, as the pattern `PIECES` of the package regex finds them.

    Letters and numbers are those of this Python's Unicode; regex may know later ones.

    >>> split("it's 2 cats!?")
    ['it', "'s", '2', 'cats', '!?']
    """
    words, kinds = re.compile(WORDS, re.IGNORECASE), "".join(map(kind, text))
    found, at = [], 0
    while at < len(text):
        match = words.match(text, at) or RUNS.match(kinds, at)
        if match:
            found.append(text[at : match.end()])
        at = match.end() if match else at + 1
    return found


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
        regex = _extra("regex")
        self._split: Callable[[str], list[str]] = split
        if regex:
            self._split = regex.compile(PIECES, regex.IGNORECASE).findall
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
        return [token for piece in self._split(clean(text)) for token in self._piece(piece)]

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
    """A module of the extra `text`, or None where it is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError:
        return None
