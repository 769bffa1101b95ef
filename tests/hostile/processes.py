"""processes"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

import numpy as np

from refimpl.oracle.cases.drawn import Case
from refimpl.oracle.targets.sessions import Session
from refimpl.registry import OPS
from tests.hostile.common import GOOD, SIGMOID, a_case, alive, begin, soon, target

HANGS = "while True: pass\n"
SAYS = "open(os.path.join(os.path.dirname(__file__), 'pid'), 'w').write(str(os.getpid()))\n"


def _ends_with_the_command(place: Path, source: str, how: signal.Signals) -> None:
    running = begin("verify", target(place, source), "--op", "sigmoid", "--limit", "60")
    try:
        pid = place / "pid"
        assert soon(lambda: pid.exists() and pid.read_text())
        started = time.monotonic()
        running.send_signal(how)
        running.wait(timeout=20)
        assert time.monotonic() - started < 15  # and not after the limit
        assert soon(lambda: not alive(int(pid.read_text())), 5)
    finally:
        running.kill()
        running.communicate()


def a_hanging_target_ends_when_the_command_is_killed(place: Path) -> None:
    _ends_with_the_command(place, f"def sigmoid(z):\n    {SAYS}    {HANGS}", signal.SIGKILL)


def a_hanging_target_ends_when_the_command_is_terminated(place: Path) -> None:
    _ends_with_the_command(place, f"def sigmoid(z):\n    {SAYS}    {HANGS}", signal.SIGTERM)


def a_hanging_target_ends_when_the_terminal_closes(place: Path) -> None:
    _ends_with_the_command(place, f"def sigmoid(z):\n    {SAYS}    {HANGS}", signal.SIGHUP)


def an_interrupt_does_not_wait_for_the_limit(place: Path) -> None:
    _ends_with_the_command(place, f"def sigmoid(z):\n    {SAYS}    {HANGS}", signal.SIGINT)


def a_target_that_hangs_while_importing_ends_with_an_interrupt(place: Path) -> None:
    _ends_with_the_command(place, f"{SAYS}{HANGS}", signal.SIGINT)


def a_target_that_hangs_while_importing_ends_with_the_command(place: Path) -> None:
    _ends_with_the_command(place, f"{SAYS}{HANGS}", signal.SIGKILL)


def a_process_that_stops_reading_is_late(place: Path) -> None:
    large = Case("softmax", "float32", "large", "", {"z": np.zeros((64, 65536))})
    source = "def softmax(z):\n    return z\n"
    with Session(target(place, source), limit=1.0) as session:
        assert session.child is not None
        os.kill(session.child.process.pid, signal.SIGSTOP)
        assert session.call(OPS["softmax"], large, 1 << 25).status == "hung"


def the_working_directory_is_no_place_to_import_from(place: Path) -> None:
    here = place / "here"
    (here / "refimpl").mkdir(parents=True)
    for name in ("json.py", "numpy.py", "refimpl/__init__.py"):
        (here / name).write_text("raise SystemExit(9)\n")
    path = target(place, GOOD)
    with contextlib.chdir(here), Session(path) as session:
        assert session.call(*a_case(), 100).status == "returned"


def a_file_beside_the_target_hides_no_library(place: Path) -> None:
    (place / "hypothesis.py").write_text("raise SystemExit(9)\n")
    with Session(target(place, f"import hypothesis.strategies\n{GOOD}")) as session:
        assert session.call(*a_case(), 100).status == "returned"


def a_target_may_be_called_like_the_library_that_it_uses(place: Path) -> None:
    source = f"import hypothesis\nassert hypothesis.__file__ != __file__\n{GOOD}"
    with Session(target(place, source, "hypothesis.py")) as session:
        assert session.call(*a_case(), 100).status == "returned"


def of_a_fork_one_process_answers(place: Path) -> None:
    source = f"def sigmoid(z):\n    os.fork()\n    return {SIGMOID}\n"
    with Session(target(place, source)) as session:
        op, case = a_case()
        answers = [session.call(op, case, 100) for _ in range(3)]
        assert [answer.status for answer in answers] == ["returned"] * 3


def a_process_killed_from_outside_is_tried_once_more(place: Path) -> None:
    with Session(target(place, GOOD)) as session:
        op, case = a_case()
        assert session.call(op, case, 100).status == "returned"
        assert session.child is not None
        session.child.process.kill()
        session.child.process.wait()
        assert session.call(op, case, 100).status == "returned"


def a_target_that_kills_itself_has_died(place: Path) -> None:
    source = "def sigmoid(z):\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    with Session(target(place, source)) as session:
        found = session.call(*a_case(), 100)
        assert (found.status, found.says) == ("died", "was killed by SIGKILL, twice")


def the_last_words_of_a_target_are_shown(place: Path) -> None:
    source = "def sigmoid(z):\n    print('no such device', file=sys.stderr)\n    os._exit(3)\n"
    with Session(target(place, source.replace("os._exit", "sys.stderr.flush(); os._exit"))) as one:
        found = one.call(*a_case(), 100)
        assert (found.status, found.code) == ("died", 3)
        assert found.says == "ended its process with exit code 3: no such device"


def a_segmentation_fault_has_a_file_and_a_line(place: Path) -> None:
    source = "def sigmoid(z):\n    import ctypes\n    ctypes.string_at(0)\n"
    with Session(target(place, source)) as session:
        found = session.call(*a_case(), 100)
        assert found.says.startswith("was killed by SIGSEGV")
        assert found.says.endswith("Segmentation fault at mine.py:4")


def an_exception_has_a_file_and_a_line(place: Path) -> None:
    source = "def sigmoid(z):\n    raise ValueError('no')\n"
    with Session(target(place, source)) as session:
        assert session.call(*a_case(), 100).says == "raised ValueError: no at mine.py:3"


def an_exception_whose_message_raises_is_an_exception(place: Path) -> None:
    source = (
        "class Bad(Exception):\n    def __str__(self):\n        raise RuntimeError\n"
        "def sigmoid(z):\n    raise Bad\n"
    )
    with Session(target(place, source)) as session:
        assert session.call(*a_case(), 100).says.startswith("raised Bad: ")


def what_is_sent_unasked_answers_nothing(place: Path) -> None:
    source = (
        "from refimpl.oracle.targets import wire\n"
        "out = int(sys.argv[-1])\n"
        "def sigmoid(z):\n"
        "    wire.send(out, {'id': 0, 'status': 'returned'}, [np.zeros_like(z)])\n"
        f"    return {SIGMOID}\n"
    )
    with Session(target(place, source)) as session:
        found = session.call(*a_case(), 100)
        assert (found.status, found.says) == (
            "raised",
            "returned something unreadable: a reply to another call",
        )
