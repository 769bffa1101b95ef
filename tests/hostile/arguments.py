"""arguments"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from refimpl.commands.endings import USAGE
from refimpl.commands.main import main
from tests.hostile.common import GOOD, command, target

BAD = (
    ("--limit", "nan"),
    ("--limit", "0"),
    ("--limit", "-3"),
    ("--limit", "inf"),
    ("--seed", "-1"),
    ("--seed", "x"),
    ("--count", "-5"),
    ("--count", "0"),
    ("--workers", "0"),
    ("--cmd", ""),
    ("--cmd", "./mine"),
    ("--cmd", "./mine {in}"),
    ("--cmd", "./mine 'oops {in} {out}"),
    ("--cmd", "./mine {in} {out}", "--profile", "deep"),
    ("--cmd", "./mine {in} {out}", "--seed", "3"),
    ("--from", "/no/such/folder"),
    ("--allow", "sigmoid/no-such-cause"),
    ("--precision", "fp32"),
    ("--op", "sigmiod"),
)


def _usage(*words: str) -> None:
    with pytest.raises(SystemExit) as end:
        main(["verify", *words])
    assert end.value.code == USAGE, words


def bad_options_are_sentences(place: Path) -> None:
    path = target(place, GOOD)
    for words in BAD:
        _usage(*([] if words[0] in ("--cmd", "--from") else [path]), *words)


def a_scheduler_that_is_no_address_is_a_sentence(place: Path) -> None:
    pytest.importorskip("distributed")
    path = target(place, GOOD)
    where = ("--results", str(place / "results"))
    _usage(path, "--profile", "campaign", "--scheduler", "foo://bar", "--op", "sigmoid", *where)


def a_cause_with_a_typing_error_names_its_neighbour(place: Path) -> None:
    path = target(place, GOOD)
    ended = command("verify", path, "--allow", "layer_norm/one-pass-varianse")
    assert ended.returncode == USAGE
    assert b"did you mean layer_norm/one-pass-variance?" in ended.stderr


def docstrings_are_needed(place: Path) -> None:
    import subprocess

    words = [sys.executable, "-OO", "-m", "refimpl", "list"]
    ended = subprocess.run(words, capture_output=True, check=False)
    assert ended.returncode == USAGE
    assert b"-OO" in ended.stderr


def a_full_disk_is_a_sentence(place: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no full disk here")
    ended = command("vectors", "export", "/dev/full/x")
    assert ended.returncode == USAGE
    assert b"Traceback" not in ended.stderr


def on_a_full_disk_the_other_reports_are_written(place: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no full disk here")
    kept = place / "report.json"
    words = ("--op", "sigmoid", "--profile", "quick", "--html", "/dev/full", "--json", str(kept))
    ended = command("verify", target(place, GOOD), *words)
    assert ended.returncode == USAGE
    assert b"/dev/full: cannot be written: No space left" in ended.stderr
    assert b"conforms" in ended.stdout
    assert kept.read_text()
