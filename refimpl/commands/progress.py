"""A line on a terminal that says how far a command is."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable


def of(total: int) -> Callable[[str], None]:
    """What shows how many of so many things were begun, once it takes longer than a moment."""
    if not sys.stderr.isatty():
        return lambda _: None
    started, seen = time.monotonic(), set()

    def show(what: str) -> None:
        seen.add(what.split(" in ")[0])
        if time.monotonic() - started > 2:
            line = f"{min(len(seen), total)}/{total}  {what}"
            print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)

    return show


def say(what: str) -> None:
    """Put something in the place of the line."""
    if sys.stderr.isatty():
        print(f"\r\033[K{what}", end="", file=sys.stderr, flush=True)


def clear() -> None:
    """Take the line away."""
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)
