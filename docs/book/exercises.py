"""An exercise and its judge: what `refimpl verify` says about a file that a reader might write."""

from __future__ import annotations

import functools
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from docs.book.operations import HERE, without_docstring
from refimpl.op import Op

COMMAND = "refimpl verify mine.py --op"


@functools.cache
def verdict(op: str, code: str) -> tuple[int, str]:
    """The exit code and the words of the command, run in an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "mine.py").write_text(code + "\n")
        command = [
            sys.executable,
            "-m",
            *f"refimpl {COMMAND.partition(' ')[2]} {op}".split(),
        ]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode not in (0, 1):
        raise RuntimeError(done.stderr)
    return done.returncode, done.stdout.rstrip()


def tries() -> list[tuple[str, str]]:
    """The operations and files of the page, in order."""
    page = (HERE / "exercises.md").read_text()
    return re.findall(r"```{judged} (\w+)\n(.*?)\n```", page, re.S)


def body(op: Op) -> list[str]:
    """The lines of a text below its signature and its docstring, without its helpers."""
    lines = without_docstring(op.text).rstrip().splitlines()
    end = next(
        i for i, line in enumerate(lines) if line.endswith(":") and not line.startswith("  ")
    )
    return lines[end + 1 :]
