"""`python -m tests.hostile [DIR]`: how many attempts of each kind were survived.

With a folder, every target in it is verified as well: the command must end by itself with a
verdict, leave nothing in the terminal that acts on it, and leave no process behind.
"""

from __future__ import annotations

import importlib
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.hostile.common import command

KINDS = ("processes", "isolation", "results", "programs", "files", "arguments", "terminal")
ENDINGS = (0, 1, 4, 5)  # verdicts, and sentences about usage


@dataclass(frozen=True)
class Attempt:
    """One attack, and what must hold after it."""

    kind: str
    name: str
    run: Callable[[Path], None]


def attempts() -> list[Attempt]:
    """All public functions of the modules of attempts."""
    found = []
    for kind in KINDS:
        module = importlib.import_module(f"tests.hostile.{kind}")
        found += [
            Attempt(kind, name.replace("_", " "), function)
            for name, function in vars(module).items()
            if getattr(function, "__module__", "") == module.__name__ and not name.startswith("_")
        ]
    return found


def stranger(path: Path) -> Attempt:
    """A target from elsewhere, that must come to a verdict."""

    def run(place: Path) -> None:
        ended = command("verify", str(path), "--profile", "quick", "--limit", "3", cwd=place)
        said = (ended.stdout + ended.stderr).decode(errors="replace")
        assert ended.returncode in ENDINGS, said[-500:]
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", said)

    return Attempt("targets given", path.name, run)


def main(folders: list[str]) -> int:
    """Run everything, print what failed and a line for each kind."""
    given = [stranger(path) for folder in folders for path in sorted(Path(folder).glob("*.py"))]
    tried, survived = Counter[str](), Counter[str]()
    for attempt in (*attempts(), *given):
        tried[attempt.kind] += 1
        with tempfile.TemporaryDirectory() as place:
            try:
                attempt.run(Path(place))
                survived[attempt.kind] += 1
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt):
                    raise
                print(f"FAILED {attempt.kind}: {attempt.name}: {type(error).__name__}: {error}")
    for kind, count in tried.items():
        print(f"{kind:<16} {survived[kind]} of {count} survived")
    return int(survived != tried)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
