"""Golden vectors from other languages: the examples pass, and fail where a mistake is planted."""

import importlib.util
import sys

import pytest

from tests import ROOT

PATH = ROOT / "golden" / "examples" / "run.py"
LINES = 80  # that an example may have, without blank ones and comments
SOURCES = ("example.c", "example.cpp", "example.rs", "example.mjs", "Example.java")


def load():
    spec = importlib.util.spec_from_file_location("golden_examples_run", PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


examples = load()


@pytest.fixture(params=examples.LANGUAGES)
def language(request):
    missing = examples.absent(request.param)
    if missing:
        pytest.skip(f"{request.param}: {', '.join(missing)} absent")
    return request.param


def test_example(language, tmp_path):
    outcomes, problems = examples.examine(language, tmp_path)
    assert not problems, "\n".join(problems)
    assert set(outcomes) == {"", *examples.FILES}


@pytest.mark.parametrize("source", SOURCES)
def test_examples_are_short(source):
    lines = (PATH.parent / source).read_text(encoding="utf-8").splitlines()
    code, comment = 0, False
    for line in map(str.strip, lines):
        comment = comment or line.startswith("/*")
        code += bool(line) and not comment and not line.startswith("//")
        comment = comment and not line.endswith("*/")
    assert 40 < code <= LINES


def outcome(status, **worst):
    return examples.Outcome(status, {name: (3, ratio) for name, ratio in worst.items()}, "")


RIGHT = dict.fromkeys(examples.FILES, 0.5)
COUNTS = dict.fromkeys(examples.FILES, 3)


def test_what_is_right_has_no_problems():
    assert not examples.problems(outcome(0, **RIGHT), "", COUNTS)
    wrong = outcome(1, **RIGHT | {"clip_loss": 7.0})
    assert not examples.problems(wrong, "clip_loss", COUNTS)


@pytest.mark.parametrize(
    ("status", "worst", "mistake", "says"),
    [
        (1, {}, "", "exits with 1"),
        (0, {"attention": 2.0}, "", "rejects attention"),
        (0, {"q_sample": 2.0}, "q_sample", "exits with 0"),
        (1, {}, "q_sample", "accepts q_sample"),
        (1, {"q_sample": 2.0, "p_sample": 2.0}, "q_sample", "rejects p_sample"),
        (-11, {"q_sample": 2.0}, "q_sample", "exits with -11"),
        (0, {"attention": float("inf")}, "", "rejects attention"),
    ],
)
def test_a_bad_checker_is_found(status, worst, mistake, says):
    found = examples.problems(outcome(status, **RIGHT | worst), mistake, COUNTS)
    assert any(says in problem for problem in found)


def test_cases_that_were_not_checked_are_found():
    found = examples.problems(outcome(0, **RIGHT), "", COUNTS | {"attention": 4})
    assert found == ["without a mistake it checks 3 of 4 cases of attention"]
