"""`python -m tests.planted`: what the diagnosis makes of mistakes whose cause is known."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from tests.planted.corpus import corpus, session
from tests.planted.page import page, table
from tests.planted.trials import Judged, entries, try_planted, try_withheld


def judged(
    profile: str, parts: list[str], which: str, every: int, done: set[str]
) -> Iterator[Judged]:
    """Every trial whose name has one of the parts; of the catalogue every so many entries.

    Those that are done are not made again.
    """

    def chosen(name: str) -> bool:
        return name not in done and (not parts or any(part in name for part in parts))

    if which != "withheld":
        with session() as become:
            for planted in corpus():
                if chosen(planted.name):
                    yield try_planted(planted, become(planted), profile)
    if which != "planted":
        for op, edit in entries()[::every]:
            if chosen(edit.id):
                yield try_withheld(op, edit, profile)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.planted", description=__doc__)
    parser.add_argument("names", nargs="*", help="parts of names; default: all")
    parser.add_argument("--profile", default="quick", choices=("quick", "ci"))
    parser.add_argument("--which", default="all", choices=("all", "planted", "withheld"))
    parser.add_argument("--every", type=int, default=1, help="take out every so many entries")
    parser.add_argument("--page", type=Path, help="write the page to this file")
    parser.add_argument("--log", type=Path, help="a line a trial; what it holds is not tried again")
    options = parser.parse_args()
    trials = []
    if options.log and options.log.exists():
        trials = [Judged.read(line) for line in options.log.read_text().splitlines()]
    done = {trial.name for trial in trials}
    for trial in judged(options.profile, options.names, options.which, options.every, done):
        trials.append(trial)
        says = " | ".join(trial.causes)
        print(f"{trial.outcome:9} {trial.seconds:5.1f} {trial.name}: {says}"[:300], flush=True)
        if options.log:
            with options.log.open("a") as log:
                log.write(json.dumps(asdict(trial)) + "\n")
    print(table(trials))
    if options.page:
        options.page.write_text(page(trials, options.profile))
    return 1 if any(trial.outcome == "wrong" for trial in trials) else 0


if __name__ == "__main__":
    sys.exit(main())
