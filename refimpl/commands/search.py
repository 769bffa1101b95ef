"""The command that finds: `refimpl search`, passages or pictures by a sentence."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from refimpl.commands.arguments import natural
from refimpl.commands.models import bars, picture_to_write, said_in_a_line

SHOWN = 100  # signs of a passage that a line has


def add(commands: Any) -> None:
    """The command and its options."""
    find = commands.add_parser("search", help="texts or pictures by a sentence, exactly")
    find.add_argument("sentence", help='such as "the digit seven"')
    find.add_argument("files", type=Path, nargs="+", metavar="FILE", help="texts, or pictures")
    find.add_argument("--count", type=natural, default=5, help="how many, default 5")
    find.add_argument("--chunk", type=natural, default=60, metavar="WORDS", help="default 60")
    find.add_argument(
        "--overlap", type=int, metavar="WORDS", help="of neighbours; default: a quarter"
    )
    find.add_argument(
        "--weights", type=Path, metavar="DIR", help="a BERT for sentences; default: shared terms"
    )
    find.add_argument("--plot", type=Path, metavar="PNG", help="the scores as bars")
    find.set_defaults(run=run)


@said_in_a_line
def run(options: argparse.Namespace) -> int:
    """Print what is most like the sentence, the best one first."""
    from refimpl.models import search
    from refimpl.op import DomainError

    if options.plot:
        picture_to_write("search: --plot", options.plot)
    pictures = [path.suffix.lower() in search.PICTURES for path in options.files]
    if any(pictures) and not all(pictures):
        raise DomainError("search: expected texts or pictures, their scores have no common scale")
    if not options.sentence.strip():
        raise DomainError("search: the sentence is empty")
    if all(pictures):
        if options.weights:
            raise DomainError("search: --weights is for texts")
        hits = search.search_pictures(options.sentence, options.files, options.count)
    else:
        hits = search.search_texts(
            options.sentence,
            options.files,
            options.count,
            options.chunk,
            options.chunk // 4 if options.overlap is None else options.overlap,
            options.weights,
        )
    names = [_where(hit.found) for hit in hits]
    for name, hit in zip(names, hits, strict=True):
        print(f"{hit.score:7.4f}  {name}")
        if hit.found.text:
            print(f"         {_cut(hit.found.text)}")
    if options.plot:
        bars(options.plot, names, [hit.score for hit in hits], "cosine")
    return 0


def _where(found: Any) -> str:
    return f"{found.path}:{found.first}-{found.last}" if found.last else found.path


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
