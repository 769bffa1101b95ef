"""What runs first in a target's process: a guard that outlives it, and a path of imports.

Run by its file name, as `python -P start.py LIFE MODULE ARGUMENTS...`: no folder that the user
happens to stand in is searched for modules; with `--` as MODULE the arguments are a program of any
kind. `LIFE` is the reading end of a pipe that only the
oracle holds open: when the oracle is gone, however it went, the guard ends the process group.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
from pathlib import Path

MOST_FILES = 4096  # descriptors that the guard lets go of


def guard(life: int) -> None:
    """Leave a process behind that ends this group once the pipe closes.

    It is no child of the target's, so that a target that waits for its children waits for them
    alone; and it keeps no other pipe open, so that the oracle sees a target die.
    """
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        os.close(life)
        return
    if os.fork():
        os._exit(0)
    os.closerange(0, life)
    os.closerange(life + 1, MOST_FILES)
    os.read(life, 1)
    os.killpg(0, signal.SIGKILL)


def main() -> None:
    """Set the guard, give up what no target needs, and run the module."""
    guard(int(sys.argv[1]))
    runpy.run_path(str(Path(__file__).with_name("isolation.py")))["isolate"]()
    if sys.argv[2] == "--":
        os.execvp(sys.argv[3], sys.argv[3:])
    home = str(Path(__file__).resolve().parents[3])
    if home not in sys.path:
        sys.path.insert(0, home)
    sys.argv = sys.argv[2:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
