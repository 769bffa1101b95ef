"""The table of contents: every operation by name."""

from __future__ import annotations

import importlib
from types import MappingProxyType

from refimpl.op import Op

CHAPTERS = (
    "layers",
    "gates",
    "images",
    "patch_embedding",
    "attention",
    "clip",
    "diffusion",
    "guidance",
)


def _collect() -> dict[str, Op]:
    ops = {}
    for chapter in CHAPTERS:
        spec = importlib.import_module(f"refimpl.ops.{chapter}.spec")
        ops.update({op.name: op for op in spec.OPS})
    return ops


OPS = MappingProxyType(_collect())


def find(name: str) -> Op:
    """The operation of this name, or a KeyError that lists near misses."""
    if name in OPS:
        return OPS[name]
    import difflib

    near = difflib.get_close_matches(name, OPS, n=3)
    hint = f"; did you mean {', '.join(near)}?" if near else ""
    raise KeyError(f"no operation is called {name!r}{hint}")
