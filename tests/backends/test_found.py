"""docs/found.md: what it says of other libraries is still so, and each entry can be run."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import math
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from typing import Any

import numpy as np
import pytest

from refimpl.oracle.judging.judge import expect, judge
from refimpl.oracle.numbers.precisions import PRECISIONS
from refimpl.oracle.targets.sessions import KNOWN
from refimpl.oracle.vectors import failing_cases
from refimpl.registry import OPS
from tests import ROOT

PLACE = ROOT / "examples" / "found"
PAGE = (ROOT / "docs" / "found.md").read_text(encoding="utf-8")
REPLAYED = re.findall(r"refimpl replay examples/found/([a-z0-9-]+)\.json (\w+)", PAGE)
RUN = re.findall(r"python examples/found (\w+)", PAGE)
SCRIPT: dict[str, Any] = runpy.run_path(str(PLACE / "__main__.py"), run_name="found")
FRAMEWORKS = ("tensorflow", "keras", "openvino", "mlx", "tinygrad")
# an interpreter that is chosen before anything imports it; a compiler that warns of its own past
ALONE = ("liger_group_norm", "compiled_expm1")
BY_PROCESSOR = ("all_noise", "weight-gradient-of-patches")  # its roundings, as the page says
LIBRARY = {
    "lp_normalization": "onnx",
    "jax_attention": "jax",
    "column": "torch",
    "guided_ddim": "torch",
    "nearest_factor": "torch",
    "compiled_expm1": "torch",
    "liger_group_norm": "liger_kernel",
    "pallas_bias": "jax",
    "pallas_epsilon": "jax",
    "splash_hidden_row": "jax",
    "video_positions": "transformers",
    "rounded_root": "transformers",
    "whitened_mean": "torchtune",
    "t5_head_tied": "transformers",
    "top_p_of_equals": "transformers",
    "top_p_precision": "transformers",
    "double_norms": "transformers",
    "idefics_gates": "transformers",
    "idefics_interval": "transformers",
}


def test_the_page_has_a_command_for_every_finding():
    assert {f"{name}.json" for name, _ in REPLAYED} == {path.name for path in PLACE.glob("*.json")}
    assert set(RUN) == set(SCRIPT["FOUND"])
    entries = PAGE.split("\n### ")[1:]
    assert len(entries) >= 8
    for entry in entries:
        assert re.search(r"refimpl (replay|verify) |python (examples/found|-m)", entry), entry[:40]


@pytest.mark.parametrize(("name", "target"), REPLAYED)
def test_the_stored_input_still_deviates(name, target):
    pytest.importorskip(target.partition("_")[0])
    op, case, _ = failing_cases.read(PLACE / f"{name}.json")
    backend = importlib.import_module(f"refimpl.backends.{target}")
    expected = expect(op, case.inputs, case.precision)
    try:
        with np.errstate(all="ignore"):  # as the worker calls it
            actual = getattr(backend, op.name)(**case.typed(op))
    except RuntimeError:
        return  # a crash is a deviation too
    found = judge(op, expected, actual, PRECISIONS[case.precision].dtype())
    if found.conforms and name in BY_PROCESSOR:
        pytest.skip("the library computes otherwise on this processor")
    assert not found.conforms


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("name", RUN)
def test_the_library_still_gives_something_else(name):
    library = name.partition("_")[0]
    pytest.importorskip(library if library in FRAMEWORKS else LIBRARY.get(name, "diffusers"))
    if name.startswith("compiled") and not shutil.which("g++"):
        pytest.skip("torch.compile needs a compiler")
    if name in ALONE:
        done = subprocess.run([sys.executable, PLACE, name], capture_output=True, text=True)
        pairs = re.findall(r": (\S+); right is (\S+)", done.stdout)
        assert pairs, done.stderr[-1000:]
        assert all(got != right for got, right in pairs)
        return
    pairs = list(SCRIPT["FOUND"][name]())
    if name in BY_PROCESSOR and all(got == right for _, got, right in pairs):
        pytest.skip("the library computes otherwise on this processor")
    assert any(got != right for _, got, right in pairs)


def test_a_finding_that_is_no_number_is_named():
    pytest.importorskip("diffusers")
    before, after = (got for _, got, _ in SCRIPT["FOUND"]["fixed_large_log"]())
    assert before == 0.15456
    assert math.isnan(after)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_framework_that_is_judged_where_named_is_an_extra_and_takes_the_operations_arguments(
    framework,
):
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    assert extras[framework]
    assert framework in KNOWN
    tree = ast.parse((ROOT / "refimpl" / "backends" / f"{framework}.py").read_text())
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    offered = [function for function in functions if function.name in OPS]
    assert len(offered) >= 10
    for function in offered:
        assert [a.arg for a in function.args.args] == list(OPS[function.name].specs)
        assert ast.get_docstring(function)
