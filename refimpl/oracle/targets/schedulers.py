"""Samplers of a target, made of a configuration and run in a process of their own."""

from __future__ import annotations

import json
import sys
import tempfile
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from refimpl.oracle.targets.models import Crashed
from refimpl.oracle.targets.processes import Child, plain
from refimpl.oracle.targets.sessions import TargetError

LIMIT = 600.0  # seconds to import a library and to walk a few loops
GIVEN, FOUND = "given.npz", "found.npz"


def scheduled(
    target: str, settings: Mapping[str, Any], steps: int, arrays: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """What a target's `scheduled(settings, steps, x, noise, slope, offset)` returns.

    Raises TargetError for a target that cannot be loaded, Crashed for one that raises or dies.
    """
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        np.savez(place / GIVEN, **arrays)  # type: ignore[arg-type]
        (place / "settings.json").write_text(json.dumps(dict(settings)), encoding="utf-8")
        child = Child(__name__, target, str(steps), folder)
        try:
            code = child.wait(LIMIT)
            says = plain(child.epitaph(code))
        finally:
            child.close()
        for kind in (TargetError, Crashed):
            if (place / kind.__name__).exists():
                raise kind(plain((place / kind.__name__).read_text(encoding="utf-8")))
        if code is None:
            raise Crashed(f"did not answer within {LIMIT:g} s")
        if code or not (place / FOUND).exists():
            raise Crashed(says)
        with np.load(place / FOUND) as found:
            return {name: found[name] for name in found.files}


def serve(target: str, steps: int, place: Path) -> None:
    """Run one sampler and leave what it gave in a folder, or say there what went wrong."""
    from refimpl.oracle.targets.worker import load

    try:
        run = load(target).scheduled
    except Exception as error:
        says = f"{target}: has no samplers of a configuration: {error}"
        (place / TargetError.__name__).write_text(says, encoding="utf-8")
        return
    settings = json.loads((place / "settings.json").read_text(encoding="utf-8"))
    with np.load(place / GIVEN) as arrays:
        given = {name: arrays[name] for name in arrays.files}
    try:
        np.savez(place / FOUND, **run(settings, steps, **given))
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        at = f"{Path(where.filename).name}:{where.lineno}"
        says = f"raised {type(error).__name__} at {at}: {str(error)[:400]}"
        (place / Crashed.__name__).write_text(says, encoding="utf-8")


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
