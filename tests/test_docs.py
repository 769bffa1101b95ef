"""The documents say what is so: every example runs, every generated part is current."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

import refimpl.testing  # noqa: F401  loaded before the examples use it
from tests.pages import README, render

DOCS = [README, *sorted((README.parent / "docs").glob("*.md"))]


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_the_examples_run(path: Path):
    flags = doctest.ELLIPSIS
    assert doctest.testfile(str(path), module_relative=False, optionflags=flags).failed == 0


def test_the_file_of_the_guide_conforms(tmp_path):
    import re

    from refimpl.oracle.verify import verify

    guide = (README.parent / "docs" / "verify.md").read_text()
    (block,) = re.findall(r"```python\n(# mine\.py\n.*?)```", guide, re.S)
    (tmp_path / "mine.py").write_text(block)
    (report,) = verify(str(tmp_path / "mine.py"), profile="quick")
    assert report.conforms
    assert report.findings[0].op == "silu"


def test_the_generated_parts_of_the_readme_are_current():
    text = README.read_text()
    assert render(text) == text, "run: make pages"


def test_links_within_the_repository_lead_somewhere():
    import re

    for path in DOCS:
        for link in re.findall(r"\]\((?!http)([^)#]+)", path.read_text()):
            assert (path.parent / link).exists(), f"{path.name}: {link}"
