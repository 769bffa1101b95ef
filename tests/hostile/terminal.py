"""terminal"""

from __future__ import annotations

import io
import os
import re
import shlex
from pathlib import Path

from refimpl.commands.terminal import Screen
from tests.hostile.common import GOOD, command, target

ORDERS = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]")


def what_a_target_says_gives_no_orders(place: Path) -> None:
    says = r"\x1b]0;owned\x07\x1b[2J\x9b31m\r"
    source = f"VERSION = '{says}'\ndef sigmoid(z):\n    raise ValueError('{says}')\n"
    ended = command("verify", target(place, source), "--profile", "quick")
    assert ended.returncode == 1
    assert rb"\x1b]0;owned\x07" in ended.stdout
    assert not ORDERS.search(ended.stdout + ended.stderr)


def a_target_that_cannot_be_loaded_gives_no_orders(place: Path) -> None:
    ended = command("verify", target(place, r"raise ValueError('\x1b[2J\x1b[32m')"))
    assert ended.returncode == 4
    assert not ORDERS.search(ended.stdout + ended.stderr)


def names_of_files_give_no_orders(place: Path) -> None:
    ended = command("verify", "\x1b[2J.py")
    assert ended.returncode == 4
    assert not ORDERS.search(ended.stdout + ended.stderr)


def commands_to_copy_are_quoted(place: Path) -> None:
    folder = place / "my files; echo"
    folder.mkdir()
    path = target(folder, "def sigmoid(z):\n    return z\n")
    ended = command("verify", path, "--profile", "quick", "--op", "sigmoid", cwd=place)
    (line, *_) = [x for x in ended.stdout.decode().splitlines() if "again: refimpl replay" in x]
    assert shlex.split(line.partition("again: ")[2])[-1] == path


def every_encoding_can_be_written_to(place: Path) -> None:
    wrong = target(place, "def sigmoid(z):\n    return z\n", "wrong.py")
    right = target(place, GOOD)
    for encoding, path in (("ascii", wrong), ("cp1252", right), ("latin-1", right)):
        environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
        ended = command("verify", path, "--profile", "quick", env=environment, cwd=place)
        assert ended.returncode == (path == wrong), ended.stderr
        assert b"the error allowed" in ended.stdout
        assert (b"the allowed error" in ended.stdout) == (path == wrong)


def our_own_colours_are_kept(place: Path) -> None:
    stream = io.StringIO()
    Screen(stream).write("\r\x1b[K\x1b[32mconforms\x1b[0m \x1b[8mhidden\u202e\n")
    assert stream.getvalue() == "\r\x1b[K\x1b[32mconforms\x1b[0m \\x1b[8mhidden\\u202e\n"


def a_right_target_in_a_folder_with_a_strange_name_conforms(place: Path) -> None:
    folder = place / "a\x1b[2J\nb"
    folder.mkdir()
    ended = command("verify", target(folder, GOOD), "--profile", "quick")
    assert ended.returncode == 0
    assert not ORDERS.search(ended.stdout)
