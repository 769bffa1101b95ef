"""Processes that end with the oracle, and say of what they died."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from refimpl.oracle.targets import isolation, own_files

START = Path(__file__).with_name("start.py")
OTHERS = [Path(__file__).parents[2], *map(Path, set(sysconfig.get_paths().values()))]
PROGRAM = "--"  # in the place of a module: the arguments are a program of any kind
LAST = 8192  # bytes of what a process said at its end
LONGEST = 300  # characters of it that are quoted
# threads that wait sleep: by default those of OpenBLAS and OpenMP turn round for milliseconds after
# each product, on processors that others want
IDLE = {"OPENBLAS_THREAD_TIMEOUT": "4", "OMP_WAIT_POLICY": "passive"}
TRYING = 60.0  # seconds to see what is open to a target


class Child:
    """A module of ours in a process group of its own, whose output is kept for its last words."""

    def __init__(
        self,
        module: str,
        *arguments: str,
        fds: Sequence[int] = (),
        environment: dict[str, str] | None = None,
    ) -> None:
        own_files.seal()
        life, self._life = os.pipe()
        self.noise = tempfile.TemporaryFile()  # noqa: SIM115  closed with the process
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-P", str(START), str(life), module, *arguments],
                pass_fds=(life, *fds),
                stdin=subprocess.DEVNULL,
                stdout=self.noise,
                stderr=self.noise,
                env={**IDLE, **os.environ, "PYTHONFAULTHANDLER": "1", **(environment or {})},
                start_new_session=True,
            )
        except BaseException:
            os.close(self._life)
            self.noise.close()
            raise
        finally:
            os.close(life)
        with contextlib.suppress(OSError):  # if memory runs out, the target goes first
            Path(f"/proc/{self.process.pid}/oom_score_adj").write_text("1000")

    def wait(self, seconds: float) -> int | None:
        """The exit code, None if the process does not end in time."""
        try:
            return self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> None:
        """End the process and everything it started; any thread may call this."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def close(self) -> None:
        """Kill it, let go of everything that belongs to it, and see what it left of us."""
        self.let_go()
        changed = own_files.changed()
        if changed and (own_files.recorded() or CHANGES in unguarded()):
            raise own_files.Changed(
                f"{changed}: changed while a target ran, so that nothing of this run counts; "
                "install refimpl anew"
            )

    def let_go(self) -> None:
        """Kill it, and close what led to it."""
        self.kill()
        self.process.wait()
        os.close(self._life)
        self.noise.close()

    def epitaph(self, code: int | None) -> str:
        """How the process ended, in words, and the last that it said."""
        if code is None:
            return "closed its pipe"
        size = os.fstat(self.noise.fileno()).st_size
        tail = os.pread(self.noise.fileno(), LAST, max(0, size - LAST))
        cause = last_words(tail.decode(errors="replace"))
        return ending(code) + (f": {cause}" if cause else "")


CHANGES = "change the installed package"
OPEN = (CHANGES, "change the oracle's memory")


@functools.cache
def unguarded() -> tuple[str, ...]:
    """What a target's process can do to the oracle on this machine, tried out by one of ours."""
    if sys.platform != "linux":
        return OPEN
    child = Child(isolation.__name__, str(os.getpid()))
    code = child.wait(TRYING)
    child.let_go()
    bits = -1 if code is None else code - isolation.KNOWN
    if not 0 <= bits < 2 ** len(OPEN):
        return OPEN
    return tuple(what for bit, what in enumerate(OPEN) if bits >> bit & 1)


def ending(code: int) -> str:
    """An exit code in words.

    >>> ending(3), ending(-9)
    ('ended its process with exit code 3', 'was killed by SIGKILL')
    """
    if code >= 0:
        return f"ended its process with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


def last_words(text: str) -> str:
    """The file and line of a fatal error, or the last line that is not empty.

    >>> last_words('Fatal Python error: Aborted\\n\\n  File "/a/mine.py", line 3 in silu\\n')
    'Fatal Python error: Aborted at mine.py:3'
    >>> last_words("loading\\nout of memory\\n\\n")
    'out of memory'
    """
    fatal = text.rfind("Fatal Python error:")
    if fatal >= 0:
        said = text[fatal:].partition("\n")[0]
        for file, line in re.findall(r'File "([^"]+)", line (\d+) in', text[fatal:]):
            if not any(place in Path(file).parents for place in OTHERS):
                return f"{said[:LONGEST]} at {Path(file).name}:{line}"
        return said[:LONGEST]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:LONGEST] if lines else ""


def plain(text: Any) -> str:
    """Text whose control characters cannot act on a terminal.

    >>> plain("a\\x1b[2Jb\\u202e")
    'a\\\\x1b[2Jb\\\\u202e'
    """
    return "".join(
        c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode()
        for c in str(text).encode(errors="backslashreplace").decode()
    )
