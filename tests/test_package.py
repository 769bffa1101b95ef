"""The house: what importing costs, what the package must not contain."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import refimpl
from refimpl.moved import NOW
from refimpl.registry import OPS

ROOT = Path(refimpl.__file__).parent
HEAVY = ("numba", "hypothesis", "scipy", "torch", "jax", "onnxruntime", "pytest", "PIL")


def modules_after(statement: str) -> set[str]:
    code = f"import sys, json\n{statement}\nprint(json.dumps(list(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return set(json.loads(result.stdout))


@pytest.mark.parametrize("statement", ["import refimpl", "import refimpl; refimpl.softmax([0.0])"])
def test_importing_loads_numpy_alone(statement):
    assert not modules_after(statement) & set(HEAVY)


def test_the_import_guard_can_fail():
    assert "numba" in modules_after("import refimpl; refimpl.fast.softmax([0.0])")


def test_no_literal_tolerance_stands_in_the_package():
    word = re.compile(r"\b(rtol|atol|allclose|isclose|assert_almost_equal|approx)\b")
    for path in ROOT.rglob("*.py"):
        assert not word.search(path.read_text()), path


@pytest.mark.parametrize("op", OPS.values(), ids=OPS)
def test_a_textbook_function_fits_on_a_page(op):
    import ast
    import inspect
    import textwrap

    function = ast.parse(textwrap.dedent(inspect.getsource(op.text))).body[0]
    assert isinstance(function, ast.FunctionDef)
    first = function.body[1] if len(function.body) > 1 else function.body[0]
    assert function.end_lineno - first.lineno + 1 <= 25


@pytest.mark.parametrize("op", OPS.values(), ids=OPS)
def test_text_twin_and_public_function_share_one_signature(op):
    import inspect

    public = getattr(refimpl, op.name)
    kernel = getattr(__import__(f"refimpl.ops.{op.chapter}.fast", fromlist=["x"]), op.name)
    assert list(inspect.signature(public).parameters) == list(op.specs)
    assert list(inspect.signature(kernel).parameters) == list(op.specs)


def test_every_package_is_installed():
    import tomllib

    project = ROOT.parent / "pyproject.toml"
    listed = tomllib.loads(project.read_text())["tool"]["setuptools"]["packages"]
    folders = {path.parent.relative_to(ROOT.parent) for path in ROOT.rglob("__init__.py")}
    assert {".".join(folder.parts) for folder in folders} == set(listed) - {"refimpl.golden"}


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_thing"):
        refimpl.no_such_thing  # noqa: B018
    assert "softmax" in dir(refimpl)


@pytest.mark.parametrize("former", NOW)
def test_modules_are_found_under_their_former_names_and_say_where_they_are_now(former):
    sys.modules.pop(former, None)
    with pytest.warns(DeprecationWarning, match=f"is {re.escape(NOW[former])} now"):
        found = vars(importlib.import_module(former))
    now = vars(importlib.import_module(NOW[former]))
    assert {name for name in now if not name.startswith("__")} <= set(found)
