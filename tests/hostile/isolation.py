"""isolation"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import sys
from pathlib import Path

import pytest

import refimpl
from refimpl.oracle.targets.processes import unguarded
from refimpl.oracle.targets.sessions import Session
from tests.hostile.common import GOOD, a_case, command, target

PACKAGE = Path(refimpl.__file__).parent
CHANGES = "import refimpl\nwith open(refimpl.__file__, 'a') as file:\n    file.write('# mine\\n')\n"


def _guarded() -> None:
    if unguarded():
        pytest.skip(f"this system does not prevent that a target may {' or '.join(unguarded())}")


def _tries(place: Path, statement: str) -> str:
    """What becomes of a statement within a target's call."""
    with Session(target(place, f"def sigmoid(z):\n    {statement}\n")) as session:
        return session.call(*a_case(), 100).says


def _installed(place: Path) -> dict[str, str]:
    """The package as from a wheel, with its record; the environment in which it is found."""
    shutil.copytree(PACKAGE, place / "refimpl")
    about = place / "refimpl-0.dist-info"
    about.mkdir()
    with (about / "RECORD").open("w") as record:
        for path in sorted((place / "refimpl").rglob("*.py")):
            found = hashlib.sha256(path.read_bytes()).digest()
            written = base64.urlsafe_b64encode(found).rstrip(b"=").decode()
            record.write(f"{path.relative_to(place)},sha256={written},1\n")
    return {**os.environ, "PYTHONPATH": str(place)}


def the_package_is_read_only_to_a_target(place: Path) -> None:
    _guarded()
    for path in (PACKAGE / "registry.py", PACKAGE / "new.py", Path(os.__file__)):
        assert "Errno" in _tries(place, f"open({str(path)!r}, 'a').close()")
    assert not (PACKAGE / "new.py").exists()


def the_memory_of_the_oracle_is_closed_to_a_target(place: Path) -> None:
    _guarded()
    said = _tries(place, f"open('/proc/{os.getpid()}/mem', 'rb')")
    assert said.startswith("raised PermissionError")


def what_root_may_is_not_what_its_target_may(place: Path) -> None:
    _guarded()
    held = [line for line in Path("/proc/self/status").read_text().splitlines() if "CapEff" in line]
    if int(held[0].split()[1], 16) & ~6 == 0:
        pytest.skip("nothing is held here that could be given up")
    says = _tries(place, "raise ValueError(open('/proc/self/status').read()[-700:])")
    assert "NoNewPrivs:\t1" in says
    assert int(says.partition("CapEff:")[2].split()[0], 16) & ~6 == 0


def a_target_writes_where_its_user_writes(place: Path) -> None:
    there = place / "there"
    there.mkdir()
    moved = f"open({str(place / 'a')!r}, 'w').close(); os.rename({str(place / 'a')!r}, "
    assert _tries(place, f"{moved}{str(there / 'b')!r}); raise ValueError('written')") == (
        "raised ValueError: written at mine.py:3"
    )
    assert (there / "b").exists()


def what_a_user_opens_is_open_and_said(place: Path) -> None:
    environment = {**os.environ, "REFIMPL_OPEN": "1"}
    words = ("verify", target(place, GOOD), "--op", "sigmoid", "--profile", "quick")
    ended = command(*words, env=environment)
    assert ended.returncode == 0
    assert b"not prevented here: a target may change" in ended.stdout


def a_package_that_was_changed_judges_nothing(place: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("a target is judged on Linux")
    environment = {**_installed(place / "site"), "REFIMPL_OPEN": "1"}
    words = ("--op", "sigmoid", "--profile", "quick")
    ended = command("verify", target(place, CHANGES + GOOD), *words, env=environment, cwd=place)
    assert (ended.returncode, b"changed while a target ran" in ended.stderr) == (3, True)
    ended = command("verify", target(place, GOOD), *words, env=environment, cwd=place)
    assert (ended.returncode, b"is not as it was installed" in ended.stderr) == (3, True)
