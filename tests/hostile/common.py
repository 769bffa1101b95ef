"""What trials share: small targets, the command, and a look at processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from refimpl.op import Op
from refimpl.oracle.cases.drawn import Case
from refimpl.oracle.runs.verify import find_case

PRELUDE = "import numpy as np, os, sys, time, signal, threading\n"
SIGMOID = "np.exp(np.minimum(z, 0)) / (1 + np.exp(-np.abs(z)))"
GOOD = f"def sigmoid(z):\n    return {SIGMOID}\n"


def target(place: Path, source: str, name: str = "mine.py") -> str:
    """A file of functions to judge."""
    path = place / name
    path.write_text(PRELUDE + source)
    return str(path)


def a_case() -> tuple[Op, Case]:
    """A small case of sigmoid."""
    return find_case("sigmoid/float32/0-1")


def command(*arguments: str, **options: object) -> subprocess.CompletedProcess:
    """Run `refimpl` to its end."""
    words = [sys.executable, "-m", "refimpl", *arguments]
    return subprocess.run(words, capture_output=True, timeout=120, **options)  # type: ignore[call-overload]


def begin(*arguments: str) -> subprocess.Popen:
    """Start `refimpl` and let it run; it hears interrupts, also where we run in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # SIG_IGN is inherited
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "refimpl", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    finally:
        signal.signal(signal.SIGINT, before)


def soon(holds: object, seconds: float = 20.0) -> bool:
    """Whether something comes to hold in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():  # type: ignore[operator]
            return True
        time.sleep(0.05)
    return False


def alive(pid: int) -> bool:
    """Whether a process runs, or waits to run."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False
    return state not in "ZX"
