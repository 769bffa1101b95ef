"""The planted implementations and what is wrong with each, read from their files."""

from __future__ import annotations

import ast
import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from refimpl.op import Op
from refimpl.oracle.targets.sessions import Session
from refimpl.registry import OPS

HERE = Path(__file__).parent
LANGUAGES = {
    "torch": "in_torch",
    "jax": "in_jax",
    "loops": "in_loops",
    "c": "in_c",
    "kernels": "in_kinds",  # faults by kind, in NumPy
}
KINDS = ("listed", "unlisted", "two", "honest")


@dataclass(frozen=True)
class Planted:
    """One implementation: a function OPERATION__NAME of a file, and its true cause."""

    language: str
    name: str
    kind: str
    cause: str

    @property
    def op(self) -> Op:
        """The operation that it is meant to compute."""
        return OPS[self.name.partition("__")[0]]


def corpus() -> list[Planted]:
    """Every planted implementation; the docstring says `KIND: cause`."""
    found = []
    for language, module in LANGUAGES.items():
        for node in ast.parse((HERE / f"{module}.py").read_text()).body:
            if isinstance(node, ast.FunctionDef) and "__" in node.name.strip("_"):
                kind, _, cause = (ast.get_docstring(node) or "").partition(": ")
                found.append(Planted(language, node.name, kind, cause))
    return found


@contextlib.contextmanager
def session() -> Iterator[Callable[[Planted], Session]]:
    """A target's process, and the function that says which implementation it is from now on."""
    with tempfile.TemporaryDirectory() as folder:
        choice = Path(folder) / "choice"
        with (
            mock.patch.dict(os.environ, {"PLANTED": str(choice)}),
            Session(str(HERE / "chosen.py")) as target,
        ):

            def become(planted: Planted) -> Session:
                choice.write_text(f"{LANGUAGES[planted.language]} {planted.name}")
                return target

            yield become
