"""What reaches a terminal: only characters that it can show, and no orders but our own.

Names, versions, exceptions and files may hold anything. Everything that is printed goes through a
`Screen`, which writes control characters as escapes and what an encoding lacks in ASCII.
"""

from __future__ import annotations

import os
import re
from typing import Any, TextIO

from refimpl.oracle.targets.processes import plain

OURS = re.compile(r"(\x1b\[(?:0|2|3[126])m|\r\x1b\[K)")  # colours of verdicts, a line cleared
ASCII = str.maketrans(
    {
        "×": "x",
        "÷": "/",
        "±": "+-",
        "√": "sqrt",
        "²": "^2",
        "…": "...",
        "–": "-",
        "—": "-",
        "−": "-",
        "·": "*",
        "→": "->",
        "≤": "<=",
        "≥": ">=",
        "≠": "!=",
        "∞": "inf",
        "σ": "sigma",
        "ε": "eps",
        "μ": "mu",
        "ᾱ": "alpha_bar",
        "β": "beta",
        "“": '"',
        "”": '"',
        "’": "'",
    }
)


class Unheard:
    """A stream whose reader may go away: what is printed then is lost, and nothing else."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write, as long as somebody reads."""
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            self._give_up()
            return len(text)

    def flush(self) -> None:
        """Send what was written, as long as somebody reads."""
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._give_up()

    def _give_up(self) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)


class Screen:
    """A stream of text that takes whatever is printed."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write what can be shown; the orders that we give ourselves are kept."""
        parts = OURS.split(text)
        shown = "".join(part if i % 2 else plain(part) for i, part in enumerate(parts))
        self._stream.write(encodable(shown, getattr(self._stream, "encoding", None) or "utf-8"))
        return len(text)


def encodable(text: str, encoding: str) -> str:
    """The text, or what comes closest to it where an encoding lacks some of it.

    >>> encodable("2 × the error", "ascii"), encodable("2 × the error", "cp1252")
    ('2 x the error', '2 × the error')
    """
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(ASCII).encode(encoding, "backslashreplace").decode(encoding)
    except LookupError:
        return text.translate(ASCII).encode("ascii", "backslashreplace").decode("ascii")
    return text
