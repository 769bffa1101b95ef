"""What the suite cannot do where libraries are absent: noted, so that it alone is run with them.

`--note-lacking FOLDER` writes down which test files skipped something or asked for a module that
is not installed; `--only-lacking FOLDER`, where more is installed, runs those files alone, and
those that name what was asked for: a process of its own may have asked, which is not seen.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from tests import ROOT


class Lacking:
    """Notes for each test file: skipped tests, and the modules that were not found.

    Stands last among the finders of modules, so that it is asked for what nobody else has found.
    """

    def __init__(self) -> None:
        self.file = ""  # whose turn it is; the next file imports what the last one has left out
        self.skipped: dict[str, int] = defaultdict(int)
        self.asked: dict[str, set[str]] = defaultdict(set)

    def find_spec(self, name, path=None, target=None):
        if path is None:
            self.asked[self.file].add(name.partition(".")[0])

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self, collector):
        if isinstance(collector, pytest.File):
            self.file = collector.nodeid
        return (yield)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collectreport(self, report):
        self.skipped[report.nodeid.partition("::")[0]] += report.skipped

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logstart(self, nodeid):
        self.file = nodeid.partition("::")[0]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report):
        self.skipped[report.nodeid.partition("::")[0]] += report.skipped

    def write(self, folder: Path, process: str) -> None:
        files = {**self.skipped, **self.asked}
        notes = {file: [self.skipped[file], sorted(self.asked[file])] for file in sorted(files)}
        (folder / f"{process}.json").write_text(json.dumps(notes), encoding="utf-8")


NOTES = pytest.StashKey[Lacking]()


def to_run_again(folder: Path) -> set[str]:
    """The files that skipped something, asked in vain for what is here now, or name it."""
    notes = [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.json")]
    if not notes:
        raise pytest.UsageError(f"{folder}: no notes; run pytest with --note-lacking first")
    asked = {name for note in notes for _, names in note.values() for name in names}
    here = {name for name in asked if importlib.util.find_spec(name)}
    word = re.compile(rf"\b({'|'.join(map(re.escape, here))})\b" if here else r"(?!)")
    return {
        file
        for note in notes
        for file, (skipped, names) in note.items()
        if file and (skipped or here.intersection(names))
    } | {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "tests").rglob("*.py")
        if word.search(path.read_text(encoding="utf-8"))  # a process of its own may ask for it
    }


def pytest_addoption(parser):
    group = parser.getgroup("libraries that may be absent")
    group.addoption("--note-lacking", metavar="FOLDER", help="note what needs more libraries")
    group.addoption("--only-lacking", metavar="FOLDER", help="run the files that were noted")


def pytest_configure(config):
    if folder := config.getoption("--note-lacking"):
        if not hasattr(config, "workerinput"):
            shutil.rmtree(folder, ignore_errors=True)
            Path(folder).mkdir(parents=True)
        config.stash[NOTES] = notes = Lacking()
        config.pluginmanager.register(notes)
        sys.meta_path.append(notes)


def pytest_collection_modifyitems(config, items):
    if folder := config.getoption("--only-lacking"):
        again = to_run_again(Path(folder))
        dropped = [item for item in items if item.nodeid.partition("::")[0] not in again]
        items[:] = [item for item in items if item.nodeid.partition("::")[0] in again]
        config.hook.pytest_deselected(items=dropped)


def pytest_unconfigure(config):
    if (notes := config.stash.get(NOTES, None)) is not None:
        sys.meta_path.remove(notes)
        worker = getattr(config, "workerinput", {}).get("workerid", "main")
        notes.write(Path(config.getoption("--note-lacking")), worker)
