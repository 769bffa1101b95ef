"""The page that says how to add an operation is followed literally."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

import pytest

from tests import ROOT

PAGE = ROOT / "docs" / "new_operation.md"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A copy of the repository with the five blocks of the page appended."""
    copy = tmp_path_factory.mktemp("repository")
    shutil.copytree(
        ROOT / "refimpl", copy / "refimpl", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copytree(ROOT / "tests", copy / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    blocks = re.findall(r"```python\n# (\S+)\n(.*?)```", PAGE.read_text(), re.S)
    assert len(blocks) == 5
    for path, block in blocks:
        with open(copy / path, "a") as file:
            file.write("\n" + block)
    return copy


def run(place, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(place)}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True)


def test_the_tests_of_the_operation_pass(place):
    files = ("tests/ops/test_ops.py", "refimpl/ops/layers/reference.py")
    done = run(place, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files, "-k", "leaky_relu")
    assert done.returncode == 0, done.stdout[-3000:]
    (passed,) = re.findall(r"(\d+) passed", done.stdout)
    assert int(passed) > 15


def test_the_oracle_explains_a_mistake_in_it(place):
    (place / "mine.py").write_text(
        "import numpy as np\n\n\ndef leaky_relu(x, slope):\n    return np.maximum(x, 0 * x)\n"
    )
    done = run(place, "-m", "refimpl", "verify", "mine.py", "--profile", "quick", "--seed", "0")
    assert done.returncode == 1, done.stderr
    assert "looks like leaky_relu/rectifier" in done.stdout
