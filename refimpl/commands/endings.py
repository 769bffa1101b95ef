"""How a command ends: its exit codes, and what ends it from outside."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator

CONFORMS, DEVIATES, INTERRUPTED, INTERNAL, USAGE, NOTHING = range(6)
ENDINGS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


@contextlib.contextmanager
def as_interruptions() -> Iterator[None]:
    """Whoever ends the command gets what was measured, as after an interruption."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, interrupt) for number in ENDINGS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
