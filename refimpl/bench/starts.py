"""What it takes to begin: an import, the first calls of all twins, a verification of them."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

EVERY_KERNEL = """
from refimpl import fast
from refimpl.oracle.cases.drawn import generate
from refimpl.registry import OPS
for op in OPS.values():
    given = next(iter(generate(op, "float32", 1))).typed(op)
    call = getattr(fast, op.name)
    started = perf_counter()
    call(**given)
    spent += perf_counter() - started

import numpy as np
from refimpl.models import compiled
from refimpl.models.shipped import small_denoiser
(config, params), ops = small_denoiser(), compiled.Remembering()
tokens = np.zeros((4, 3, config.trunk.width), np.float32)
started = perf_counter()
ops.transformer(tokens, params, "", config.trunk, None, None)
ops.transformer_vjp(tokens)
spent += perf_counter() - started
"""


@dataclass
class Start:
    """What somebody waits for once: seconds in a process of its own, and how many may pass."""

    what: str
    seconds: float
    target: float


def starts() -> list[Start]:
    """What an import, the first calls of all twins and a verification of them take."""
    verify = [sys.executable, "-m", "refimpl", "verify", "fast"]
    with tempfile.TemporaryDirectory() as folder:
        cold = _first_calls(folder)
        warm = _first_calls(folder)
    _run([*verify, "--profile", "quick"])  # what it needs is compiled from here on
    return [
        Start("import refimpl", statistics.median(_import() for _ in range(5)), 0.15),
        Start("first calls of all twins, compiled", cold, 60),
        Start("first calls of all twins, from the cache", warm, 2),
        Start("refimpl verify fast --profile quick", _run([*verify, "--profile", "quick"]), 20),
        Start("refimpl verify fast --profile ci", _run([*verify, "--profile", "ci"]), 180),
    ]


def _import() -> float:
    return _told("started = perf_counter()\nimport refimpl\nspent = perf_counter() - started")


def _first_calls(cache: str) -> float:
    return _told("import numba\n" + EVERY_KERNEL, NUMBA_CACHE_DIR=cache)


def _told(code: str, **environment: str) -> float:
    """The seconds that a program counts as spent, in a process of its own."""
    code = f"from time import perf_counter\nspent = 0.0\n{code}\nprint(spent)"
    told = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return float(told.stdout.split()[-1])


def _run(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started
