"""The documents say what is so: every example runs, every generated part is current."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

import refimpl.testing  # noqa: F401  loaded before the examples use it
from refimpl.registry import CHAPTERS, OPS
from tests.textbook import DOCS as FOLDER
from tests.textbook import GENERATED, front
from tests.tools.pages import PICTURE, README, render

CHAPTER_PAGES = [FOLDER / "chapters" / f"{name}.md" for name in CHAPTERS]
PAGES = [path for path in sorted(FOLDER.glob("*.md")) if path.name not in GENERATED]
DOCS = [README, *PAGES, *CHAPTER_PAGES]
EXAMPLES = [path for path in DOCS if path.name != "new_operation.md"]  # has a test of its own
BUILT = {*GENERATED, *(f"ops/{name}.md" for name in OPS)}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_examples_run(path: Path):
    flags = doctest.ELLIPSIS
    assert doctest.testfile(str(path), module_relative=False, optionflags=flags).failed == 0


@pytest.mark.parametrize(
    ("page", "file", "op"), [("verify", "mine.py", "silu"), ("porting", "port.py", "layer_norm")]
)
def test_the_file_of_the_guide_conforms(tmp_path, page, file, op):
    import re

    from refimpl.oracle.runs.verify import verify

    guide = (FOLDER / f"{page}.md").read_text()
    (block,) = re.findall(rf"```python\n(# {file}\n.*?)```", guide, re.S)
    (tmp_path / file).write_text(block)
    (report,) = verify(str(tmp_path / file), profile="quick")
    assert report.conforms
    assert report.findings[0].op == op


def test_the_generated_parts_of_the_readme_are_current():
    text = README.read_text()
    assert render(text) == text, "run: make pages"


def test_the_picture_of_the_readme_is_current():
    assert PICTURE.read_text() == front.svg(), "run: make pages"
    assert PICTURE.stat().st_size < 20_000


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_every_block_of_code_is_closed(path: Path):
    fences = [line for line in path.read_text().splitlines() if line.startswith("```")]
    opened, closed = fences[::2], fences[1::2]
    assert len(opened) == len(closed)
    assert set(closed) <= {"```"}  # what names a language opens


@pytest.mark.parametrize("path", CHAPTER_PAGES, ids=lambda path: path.stem)
def test_what_a_chapter_begins_with_leads_nowhere_as_it_stands_on_the_front_page_too(path):
    assert "](" not in path.read_text().split("\n\n")[1]


def test_links_within_the_repository_lead_somewhere():
    import re

    for path in DOCS:
        for link in re.findall(r"\]\((?!http)([^)#]+)", path.read_text()):
            target = (path.parent / link).resolve()
            built = target.is_relative_to(FOLDER) and str(target.relative_to(FOLDER)) in BUILT
            assert built or target.exists(), f"{path.name}: {link}"


def test_the_build_writes_nothing_that_is_not_ignored():
    ignored = (README.parent / ".gitignore").read_text().split()
    written = {*GENERATED, "ops/", "decks/", "drawn/"}
    assert {f"docs/{name}" for name in written} <= set(ignored)


def blocks_of_whole_models():
    """The files that the page on whole models shows, by name."""
    import re

    page = (FOLDER / "whole_models.md").read_text()
    found = re.findall(r"```python\n(# (\w+)\.py\n.*?)```", page, re.S)
    return {name: block for block, name in found}


@pytest.mark.parametrize("file", ["mine", "torch_mine"])
def test_the_files_of_the_page_on_whole_models_are_judged_layer_by_layer(file, tmp_path):
    from refimpl.oracle.runs.models import verify_models

    if file.startswith("torch"):
        pytest.importorskip("torch")
    (tmp_path / f"{file}.py").write_text(blocks_of_whole_models()[file])
    (report,) = verify_models(str(tmp_path / f"{file}.py"), models=["vit-testing"])
    assert report.conforms
    assert len(report.findings) > 10


def test_the_model_of_the_page_on_whole_models_runs_and_its_mistake_is_an_edit(
    tmp_path, monkeypatch
):
    import importlib

    import numpy as np

    from refimpl.models import recorder
    from refimpl.op import Op

    (tmp_path / "page_models.py").write_text(blocks_of_whole_models()["my_models"])
    monkeypatch.syspath_prepend(tmp_path)
    (model,) = importlib.import_module("page_models").MODELS
    (config,) = model.sizes.values()
    params = {name: np.ones(shape) for name, shape in config.shapes().items()}
    given, right, wrong = model.inputs(config, np.random.default_rng(0)), {}, {}
    model.text(**given, params=params, config=config, tap=recorder(right))
    edited = Op(model.text).edited(*model.mistakes)
    edited(**given, params=params, config=config, tap=recorder(wrong))
    assert list(right) == ["mix", "mixed", "norm"]
    assert np.allclose(right["mixed"] - wrong["mixed"], given["tokens"])
