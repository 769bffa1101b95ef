"""docs/kernels.md: its files are judged as it says, each in the interpreter that it needs."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys

import pytest

from refimpl.oracle.targets.sessions import KERNELS, KNOWN, installed
from tests import ROOT

PAGE = (ROOT / "docs" / "kernels.md").read_text(encoding="utf-8")
FILES = {
    name: f"# {name}{rest}"
    for name, rest in re.findall(r"```python\n# (\w+\.py)(\n.*?)```", PAGE, re.S)
}
NEEDS = {"softmax_triton.py": ("triton", "torch"), "square_pallas.py": ("jax",)}
JUDGE = """
import runpy, sys, warnings
import numpy as np
from refimpl.testing import check
file, op = sys.argv[1:]
module = runpy.run_path(file)
for width in (3, 33):
    x = np.random.default_rng(width).standard_normal((2, width)).astype(np.float32)
    name = "z" if op == "softmax" else "x"
    right = check(np.asarray(module[op](x)), op, {name: x})
    wrong = check(np.asarray(module[op](x)) * np.float32(1.001), op, {name: x})
    assert right.conforms and not wrong.conforms, (width, str(right))
print("judged", module.get("ONLY"))
"""


def lacks(names):
    return [name for name in names if not importlib.util.find_spec(name)]


def test_the_page_shows_a_file_for_each_interpreter():
    assert set(FILES) == {*NEEDS, "silu_cuda.py"}


@pytest.mark.parametrize("file", FILES)
def test_a_kernel_of_the_page_is_judged_in_its_interpreter(tmp_path, file):
    if lacking := lacks(NEEDS.get(file, ())):
        pytest.skip(f"needs {', '.join(lacking)}")
    (tmp_path / file).write_text(FILES[file])
    op = "softmax" if file.startswith("softmax") else "silu"
    done = subprocess.run(
        [sys.executable, "-c", JUDGE, file, op], cwd=tmp_path, capture_output=True, text=True
    )
    assert "judged ('no empty batches',)" in done.stdout, done.stderr[-800:]


def test_each_extra_of_the_page_is_one_of_the_package():
    import tomllib

    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = set(re.findall(r"pip install refimpl\[(\w+)\]", PAGE))
    assert named <= set(extras["optional-dependencies"])
    assert set(re.findall(r"`(\w+)`", PAGE)) >= set(KERNELS)


LAYERS = """
import importlib, json, sys
import numpy as np
from refimpl.testing import check
from tests import ROOT
module = importlib.import_module("refimpl.backends." + sys.argv[1])
x, ones = np.float32([[1, -2, 3.5], [0.5, 0, 2]]), np.ones(3, np.float32)
heads = dict.fromkeys(("query", "key", "value"), x[None, None])
inputs = {
    "silu": {"x": x},
    "softmax": {"z": x},
    "rms_norm": {"x": x, "gain": ones, "eps": 1e-5},
    "attention": {**heads, "bias": None},
}
found = {}
for op, given in inputs.items():
    if hasattr(module, op):
        found[op] = check(np.asarray(getattr(module, op)(**given)), op, given).conforms
print(json.dumps(found))
"""


@pytest.mark.parametrize("target", sorted(set(KERNELS) & set(installed(KNOWN))))
def test_a_kernel_that_is_judged_by_name_gives_what_the_operation_says(target):
    done = subprocess.run(
        [sys.executable, "-c", LAYERS, target], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr[-800:]
    found = json.loads(done.stdout.strip().splitlines()[-1])
    assert found
    assert all(found.values()), found
