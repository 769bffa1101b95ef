"""`refimpl replay`: run one case again."""

from __future__ import annotations

import argparse
from typing import Any

from refimpl.commands.chapters import add_chapters, bring_chapters
from refimpl.commands.endings import CONFORMS, DEVIATES


def add(commands: Any) -> None:
    """The command and its options."""
    replay = commands.add_parser("replay", help="run one case again")
    replay.add_argument(
        "case",
        metavar="CASE",
        help="as in a report: attention/float32/0-17; a stored file: .refimpl/cases/….json; or a "
        "golden case: attention/probe0",
    )
    replay.add_argument("target", metavar="TARGET")
    add_chapters(replay)
    replay.add_argument("--precision", default="", help="of a golden case; default: float32")
    replay.set_defaults(run=run_replay)


def run_replay(options: argparse.Namespace) -> int:
    """Say FIXED, STILL FAILING or FLAKY."""
    from refimpl.oracle.runs.verify import replay

    bring_chapters(options)
    found = replay(options.case, options.target, precision=options.precision)
    print(f"{found.says}: {found.verdict}")
    if found.cause:
        print(found.cause)
    return CONFORMS if found.says == "FIXED" else DEVIATES
