"""The process a target lives in: it reads a call, makes it, and sends back what came out.

Started by a `Session` through `start.py` with the arguments TARGET IN OUT, the last two pipes; the
names of the operations and of their outputs are in the environment: no text need be here.
The target's own standard output goes wherever the session sends it, never into the pipes.
"""

from __future__ import annotations

import copy
import hashlib
import importlib
import importlib.util
import json
import os
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from refimpl.oracle.cases.drawn import lay
from refimpl.oracle.numbers.precisions import PRECISIONS
from refimpl.oracle.targets import wire

OFFERED: dict[str, list[str]] = json.loads(os.environ.pop("REFIMPL_OFFERED", "{}"))

PACKAGE = Path(wire.__file__).resolve().parents[2]
PLAIN = (float, int, str, type(None))  # of which nothing can be changed
LONGEST = 400  # characters of an exception's message
RETURNED: list[tuple[np.ndarray, bytes]] = []  # what the last call returned, and a copy


def load(target: str) -> ModuleType:
    """Import a target: our twins, a framework's adapter, or a file."""
    if target == "fast":
        return importlib.import_module("refimpl.fast")
    if not target.endswith(".py"):
        return importlib.import_module(f"refimpl.backends.{target}")
    path = Path(target).resolve()
    name = path.stem if not _taken(path.stem) else f"target_{path.stem}"
    sys.path.append(str(path.parent))  # last: a file beside it hides no library
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"cannot import {target}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _taken(name: str) -> bool:
    """Whether a module of this name can be imported, which a target would hide."""
    try:
        return name in sys.modules or importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def describe(module: ModuleType) -> dict[str, Any]:
    """What a target offers: its operations, precisions and version."""
    names = dir(module)
    offered = [name for name in OFFERED if name in names and callable(getattr(module, name))]
    return {
        "status": "ready",
        "ops": offered,
        "precisions": precisions("PRECISIONS", getattr(module, "PRECISIONS", ())),
        "supports": {
            str(op): precisions(f"SUPPORTS[{op!r}]", names)
            for op, names in getattr(module, "SUPPORTS", {}).items()
        },
        "without": _names(getattr(module, "WITHOUT", ())),
        "only": _by_operation(getattr(module, "ONLY", ())),
        "imported": imported(),
        "version": str(getattr(module, "VERSION", "")),
    }


def imported() -> str:
    """A digest of the sources that a target brought along: all from outside the installation."""
    installed = tuple({*map(os.path.realpath, (sys.prefix, sys.base_prefix)), str(PACKAGE)})
    files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    mine = sorted({os.path.realpath(path) for path in files if isinstance(path, str)})
    found = hashlib.sha256()
    for path in mine:
        if not path.startswith(installed) and "site-packages" not in path and os.path.isfile(path):
            found.update(hashlib.sha256(Path(path).read_bytes()).digest())
    return found.hexdigest()[:32]


def precisions(where: str, names: Any) -> list[str]:
    """What a target says that it computes in; one name alone is taken for a mistake."""
    if isinstance(names, str) or not all(name in PRECISIONS for name in names):
        known = ", ".join(PRECISIONS)
        raise TypeError(f'{where} is {names!r}, expected a tuple such as ("float32",) of {known}')
    return list(names)


def _names(value: Any) -> list[str]:
    """A text, or several."""
    return [value] if isinstance(value, str) else [str(name) for name in value]


def _by_operation(value: Any) -> dict[str, list[str]]:
    """Texts by the operation that they speak of; under no name what is said of all."""
    given = value if isinstance(value, dict) else {"": value}
    return {str(op): _names(names) for op, names in given.items()}


def arguments(header: dict[str, Any], arrays: list[np.ndarray]) -> dict[str, Any]:
    """Rebuild the arguments: arrays in their memory layout, read-only."""
    inputs: dict[str, Any] = {
        name: x if isinstance(x, PLAIN) else copy.deepcopy(x)  # a target may change a list
        for name, x in header["scalars"].items()
    }
    for name, array in zip(header["names"], arrays, strict=True):
        inputs[name] = lay(array, header["layout"])
        inputs[name].flags.writeable = False
    return inputs


def as_numpy(output: Any) -> np.ndarray:
    """Read an output back as an array, tensors that carry gradients included."""
    array = np.asarray(wire.detached(output))
    if array.dtype.kind not in wire.READABLE and array.dtype.name != "bfloat16":
        raise TypeError(f"returned {type(output).__name__} of dtype {array.dtype}")
    return array


def parts(op: str, result: Any) -> tuple[list[Any], dict[str, Any]]:
    """Outputs, and what else a dict holds: the intermediate values by name."""
    names = OFFERED[op]
    if not isinstance(result, dict):
        several = isinstance(result, (tuple, list)) and len(names) > 1
        return list(result) if several else [result], {}
    missing = [name for name in names if name not in result]
    if missing:
        raise KeyError(f"the dict returned has no {missing[0]!r}")
    rest = {str(name): x for name, x in result.items() if name not in names and x is not None}
    return [result[name] for name in names], rest


@np.errstate(all="ignore")
def answer(module: ModuleType, header: dict[str, Any], arrays: list[np.ndarray]) -> tuple:
    """Make one call and describe what came of it."""
    inputs = arguments(header, arrays)
    before = {name: x.tobytes() for name, x in inputs.items() if isinstance(x, np.ndarray)}
    try:
        result = getattr(module, header["op"])(**inputs)
        outputs, steps = parts(header["op"], result)
        outputs = [as_numpy(output) for output in outputs]
        steps = {name: as_numpy(x) for name, x in steps.items()} if header["steps"] else {}
    except NotImplementedError as error:
        return {"status": "refused", "says": words(error)}, []
    except Exception as error:
        says = f"raised {type(error).__name__}: {words(error)}{place(module, error)}"
        return {"status": "raised", "says": says}, []
    changed = [name for name, data in before.items() if inputs[name].tobytes() != data]
    if changed:
        return {"status": "raised", "says": f"changed its input {changed[0]}"}, []
    if any(x.tobytes() != told for x, told in RETURNED):
        return {"status": "raised", "says": "changed what an earlier call had returned"}, []
    RETURNED[:] = [(x, x.tobytes()) for x in outputs]
    told = {"steps": list(steps)} if steps else {}
    return {"status": "returned", **told}, [*outputs, *steps.values()]


def words(error: BaseException) -> str:
    """The message of an exception, if it has one that can be read."""
    try:
        return str(error)[:LONGEST]
    except Exception:
        return "with a message that cannot be read"


def place(module: ModuleType, error: BaseException) -> str:
    """Where an exception came from: the last line of the target's own, or of whatever it called."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename == getattr(module, "__file__", None)]
    files = own or [frame for frame in frames if frame.filename != __file__]
    return f" at {Path(files[-1].filename).name}:{files[-1].lineno}" if files else ""


def main(target: str, read_fd: int, write_fd: int) -> None:
    """Serve calls until the pipe closes."""
    try:
        module = load(target)
        wire.send(write_fd, describe(module), [])
    except BaseException as error:
        says = f"{type(error).__name__}: {words(error)}"
        wire.send(write_fd, {"status": "unloadable", "says": says}, [])
        return
    process, calls = os.getpid(), wire.Reader(read_fd)
    while True:
        try:
            header, arrays = calls.receive(None, 1 << 40)
        except wire.Closed:
            return
        reply, outputs = answer(module, header, arrays)
        if os.getpid() != process:  # a fork that the target let return answers nobody
            os._exit(0)
        wire.send(write_fd, reply, outputs, header["id"])


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
