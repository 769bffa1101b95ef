"""Whether pip finds everything that `make test` installs, for each Python that we name.

    python -m tests.tools.pythons

Nothing is installed. Only wheels count: a bare machine has no compiler. pip decides on markers by
the Python it runs on, so ours are decided here.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import tomllib

from packaging.requirements import Requirement

from tests import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = ("onnxruntime", "test")


def named() -> list[str]:
    """The versions of Python that the package says it runs on."""
    versions = (re.fullmatch(r".*Python :: (3\.\d+)", line) for line in PROJECT["classifiers"])
    return [match[1] for match in versions if match]


def needed(python: str) -> list[str]:
    """The requirements of the package and of the extras that apply to a version of Python.

    >>> any("instant" in line for line in needed("3.12"))
    True
    >>> any("instant" in line for line in needed("3.13"))
    False
    """
    extras = (PROJECT["optional-dependencies"][name] for name in EXTRAS)
    lines = [*PROJECT["dependencies"], *(line for extra in extras for line in extra)]
    found = [Requirement(line) for line in lines]
    here = {"python_version": python, "python_full_version": f"{python}.0"}
    found = [each for each in found if each.marker is None or each.marker.evaluate(here)]
    for each in found:
        each.marker = None
    return [str(each) for each in found]


def problem(python: str) -> str:
    """What pip says where it cannot install for this version of Python, or nothing."""
    with tempfile.TemporaryDirectory() as nowhere:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run"]
        command += ["--only-binary=:all:", "--python-version", python, "--target", nowhere]
        command += ["-c", str(ROOT / "constraints.txt"), *needed(python)]
        done = subprocess.run(command, capture_output=True, text=True)
    return done.stderr if done.returncode else ""


if __name__ == "__main__":
    bad = 0
    for version in named():
        says = problem(version)
        print(f"Python {version}: {says.strip() or 'everything is there'}", flush=True)
        bad += bool(says)
    sys.exit(bad > 0)
