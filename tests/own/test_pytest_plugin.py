"""A target as a collection of tests, in any directory."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import refimpl
from refimpl.oracle.cases.sizes import keys
from refimpl.oracle.runs.verify import PROFILES
from refimpl.registry import OPS

ROOT = Path(refimpl.__file__).parent.parent
SIGMOID = (
    "import numpy as np\n"
    "def sigmoid(z):\n    return np.exp(np.minimum(z, 0)) / (1 + np.exp(-np.abs(z)))\n"
)
WRONG_SILU = "def silu(x):\n    return x * sigmoid(-x)\n"


def run(folder: Path, *arguments: str, plugin: bool = True, **variables: str):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    if plugin:  # as if the entry point had loaded it, whether or not the package is installed
        environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        arguments = ("-p", "refimpl.pytest_plugin", *arguments)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-W", "error", "-p", "no:cacheprovider", *arguments],
        cwd=folder,
        env={**environment, "PYTHONPATH": str(ROOT), **variables},
        capture_output=True,
        text=True,
        timeout=120,
    )


def counts(output: str) -> dict[str, int]:
    *_, last = output.strip().splitlines()
    return {word: int(n) for n, word in re.findall(r"(\d+) (\w+)", last)}


def judged(folder: Path, source: str, *arguments: str):
    (folder / "mine.py").write_text(source)
    target = ("--refimpl-target", "mine.py", "--refimpl-profile", "quick")
    return run(folder, *target, *arguments)


def test_every_case_is_an_item_and_a_failure_says_what_is_wrong(tmp_path):
    result = judged(tmp_path, SIGMOID + WRONG_SILU)
    assert result.returncode == 1
    assert "silu: result[" in result.stdout
    assert "looks like silu/sign" in result.stdout
    assert "+    return x * sigmoid(-x)" in result.stdout
    assert "again: refimpl replay silu/float32/" in result.stdout
    assert "Traceback" not in result.stdout
    assert "sigmoid: result" not in result.stdout
    assert counts(result.stdout)["passed"] >= 13
    assert counts(result.stdout)["failed"] == 1, "one failure a cause"
    assert counts(result.stdout)["xfailed"] >= 11


def test_other_tests_run_beside_it_and_options_select(tmp_path):
    (tmp_path / "test_mine.py").write_text("def test_other():\n    pass\n")
    everything = judged(tmp_path, SIGMOID)
    assert everything.returncode == 0
    total = counts(everything.stdout)["passed"]
    assert counts(judged(tmp_path, SIGMOID, "-m", "not refimpl").stdout)["passed"] == 1
    assert counts(judged(tmp_path, SIGMOID, "-m", "refimpl").stdout)["passed"] == total - 1
    assert counts(judged(tmp_path, SIGMOID, "-k", "sigmoid/float32/0-11").stdout)["passed"] == 1
    listed = judged(tmp_path, SIGMOID, "--collect-only", "-q", "-k", "probe0").stdout
    assert "mine.py::sigmoid/float32/probe0" in listed


def test_a_target_may_say_its_precisions_and_several_are_judged(tmp_path):
    (tmp_path / "both.py").write_text(SIGMOID + 'PRECISIONS = ("float32", "float64")\n')
    single = counts(judged(tmp_path, SIGMOID).stdout)["passed"]
    both = judged(tmp_path, SIGMOID, "--refimpl-target", "both.py")
    shared = list(keys(OPS["sigmoid"], "float64", "quick", PROFILES["quick"]))
    assert counts(both.stdout)["passed"] == 2 * single + len(shared) + 1, "and a verdict"


def test_a_refusal_is_skipped_and_an_operation_that_refuses_everything_fails(tmp_path):
    result = judged(tmp_path, "def silu(x):\n    raise NotImplementedError('too cold')\n", "-rs")
    assert result.returncode == 1
    assert set(counts(result.stdout)) == {"skipped", "failed"}
    assert counts(result.stdout)["failed"] == 1
    assert "too cold" in result.stdout
    assert "silu in float32 was not judged: 0 of" in result.stdout


def test_after_a_death_the_rest_of_the_operation_is_skipped(tmp_path):
    result = judged(tmp_path, SIGMOID + "def silu(x):\n    import os; os._exit(3)\n", "-rs")
    assert result.returncode == 1
    assert counts(result.stdout)["failed"] == 1
    assert "exit code 3" in result.stdout
    assert "not run after an earlier case" in result.stdout
    assert counts(result.stdout)["passed"] >= 13


def test_a_second_call_must_be_right_as_well(tmp_path):
    source = SIGMOID.replace("def ", "calls = []\ndef ").replace(
        "    return", "    calls.append(1)\n    return (len(calls) == 2) +"
    )
    result = judged(tmp_path, source)
    assert "on a second call: sigmoid" in result.stdout
    assert counts(result.stdout)["failed"] == 1


DIALECT = (
    "import numpy as np\n"
    "def rms_norm(x, gain, eps):\n"
    "    mean_square = np.mean(x * x, axis=-1, keepdims=True, dtype=np.float64)\n"
    "    return ((1 + gain) * x / np.sqrt(mean_square + eps)).astype(x.dtype)\n"
)


def test_a_dialect_is_an_expected_failure_unless_asked_otherwise(tmp_path):
    result = judged(tmp_path, DIALECT, "-rx")
    assert result.returncode == 0, result.stdout
    assert counts(result.stdout)["xfailed"] >= 12
    assert "conforms to dialect rms_norm/" in result.stdout
    assert judged(tmp_path, DIALECT, "--runxfail").returncode == 1


def test_who_speaks_a_dialect_sometimes_only_deviates(tmp_path):
    mixed = DIALECT.replace("(1 + gain)", "((x.ndim == 2) + gain)")
    result = judged(tmp_path, mixed, "-rx")
    assert result.returncode == 1
    assert "rms_norm in float32 deviates" in result.stdout
    assert "conforms to dialect" not in result.stdout


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("nowhere.py", "no such file"),
        ("nothing", "not a target"),
        ("broken.py", "cannot be loaded"),
        ("empty.py", "no function named like an operation"),
    ],
)
def test_a_target_that_cannot_be_loaded_is_an_error_of_collection(target, says, tmp_path):
    (tmp_path / "broken.py").write_text("import nowhere_to_be_found\n")
    (tmp_path / "empty.py").write_text("x = 1\n")
    result = run(tmp_path, "--refimpl-target", target)
    assert result.returncode == 2
    assert says in result.stdout
    assert "Traceback" not in result.stdout


def test_without_the_option_nothing_is_loaded_and_nothing_collected(tmp_path):
    (tmp_path / "test_light.py").write_text(
        "import sys\n"
        "def test_light():\n"
        "    assert 'refimpl.pytest_plugin' in sys.modules\n"
        "    loaded = {name for name in sys.modules if name.startswith('refimpl')}\n"
        "    doors = {'refimpl', 'refimpl.exceptions', 'refimpl.moved'}\n"
        "    assert loaded == {*doors, 'refimpl.pytest_plugin'}\n"
        "    assert 'numpy' not in sys.modules\n"
    )
    result = run(tmp_path)
    assert result.returncode == 0, result.stdout
    assert counts(result.stdout)["passed"] == 1


def test_the_entry_point_loads_it(tmp_path):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    about = tmp_path / "site" / "refimpl-0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: refimpl\nVersion: 0\n")
    lines = [f"{name} = {place}" for name, place in project["entry-points"]["pytest11"].items()]
    (about / "entry_points.txt").write_text("\n".join(["[pytest11]", *lines]))
    path = os.pathsep.join([str(tmp_path / "site"), str(ROOT)])
    result = run(tmp_path, "--help", plugin=False, PYTHONPATH=path)
    assert "--refimpl-target" in result.stdout


def test_what_is_allowed_or_in_a_baseline_is_an_expected_failure(tmp_path):
    allowed = judged(tmp_path, SIGMOID + WRONG_SILU, "--refimpl-allow", "silu/sign")
    assert allowed.returncode == 0, allowed.stdout
    (tmp_path / "known.toml").write_text(
        '[[known]]\nop = "silu"\nreason = "the sign is lost"\nexpires = 2999-12-31\n'
    )
    known = judged(tmp_path, SIGMOID + WRONG_SILU, "--refimpl-baseline", "known.toml")
    assert known.returncode == 0, known.stdout
    assert "baseline: allowed until 2999-12-31: silu: the sign is lost" in known.stdout


def test_limit_and_precision_can_be_chosen(tmp_path):
    slow = SIGMOID + "def silu(x):\n    import time; time.sleep(60)\n"
    chosen = ("--refimpl-limit", "0.5", "--refimpl-precision", "float64")
    result = judged(tmp_path, slow, *chosen, "-k", "silu and probe0")
    assert "silu in float64 crashes" in result.stdout
    assert "did not answer within 0.5 s" in result.stdout


def test_functions_of_a_page_judge_those_of_a_target(tmp_path):
    (tmp_path / "page.py").write_text(
        "from refimpl.axes import Array, Float\n"
        'def thrice(x: Float[Array, "N"]):\n    return x + x + x\n'
    )
    page = ("--refimpl-page", "page.py")
    right = judged(tmp_path, SIGMOID + "def thrice(x):\n    return 3 * x\n", *page)
    assert right.returncode == 0
    assert "sigmoid" not in right.stdout
    wrong = judged(tmp_path, "def thrice(x):\n    return 2 * x\n", *page)
    assert wrong.returncode == 1
    assert "thrice: result[" in wrong.stdout
    lost = judged(tmp_path, SIGMOID, "--refimpl-page", "nowhere.py")
    assert "nowhere.py: no such page" in lost.stdout
