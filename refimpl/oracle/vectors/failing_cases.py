"""Failing cases as files: one golden-format JSON each, to be run again.

They may come from anywhere: nothing is unpickled, and how large the axes are is checked before
anything of their size is computed.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from refimpl.axes.shapes import bind
from refimpl.op import Op
from refimpl.oracle.cases.drawn import LAYOUTS, Case, rounded
from refimpl.oracle.judging.judge import expect
from refimpl.oracle.numbers.errors import bounded
from refimpl.oracle.vectors import golden
from refimpl.registry import OPS

LARGEST = 1 << 26  # the product of all axes of an input that is run again


LONG = 8  # numbers


def call(op: Op, case: Case) -> str:
    """The call as Python to paste.

    >>> x = np.array([[0.0, 1.5]])
    >>> call(OPS["softmax"], Case("softmax", "float32", "0", "", {"z": x}))
    'softmax(z=np.float32([[0.0, 1.5]]))'
    """
    typed = case.typed(op).items()
    written = (f"{name}={laid(literal(value), value, case.layout)}" for name, value in typed)
    return f"{op.name}({', '.join(written)})"


def laid(text: str, value: Any, layout: str) -> str:
    """An argument that lies in memory as its case says.

    >>> laid("np.eye(2)", np.eye(2), "F"), laid("np.eye(2)", np.eye(2), "strided")
    ('np.asfortranarray(np.eye(2))', 'np.repeat(np.eye(2), 2, axis=-1)[..., ::2]')
    """
    if not isinstance(value, np.ndarray) or not value.ndim or layout == "C":
        return text
    if layout == "F":
        return f"np.asfortranarray({text})"
    if layout == "reversed":
        axes = tuple(range(value.ndim))
        return f"np.flip(np.ascontiguousarray(np.flip({text}, {axes})), {axes})"
    return f"np.repeat({text}, 2, axis=-1)[..., ::2]"


def literal(value: Any) -> str:
    """An argument as Python: arrays in their dtype, each number as short as that allows.

    A long array of one number throughout is said to be that.

    >>> literal(np.ones((3, 11), np.float32))
    'np.full((3, 11), np.float32(1.0))'
    >>> literal(np.float32([0.02, -np.inf])), literal(np.zeros((0, 2))), literal(None)
    ('np.float32([0.02, -np.inf])', 'np.zeros((0, 2), dtype=np.float64)', 'None')
    """
    if not isinstance(value, np.ndarray):
        return _number(repr(value))
    name = value.dtype.name
    if not value.size:
        return f"np.zeros({value.shape}, dtype=np.{name})"
    if value.size > LONG and len({x.tobytes() for x in value.ravel()}) == 1:
        return f"np.full({value.shape}, {literal(value.ravel()[0].reshape(()))})"
    if name == "bfloat16":
        text = str(value.astype(np.float64).tolist())
        return f"np.array({_number(text)}, dtype=ml_dtypes.bfloat16)"
    written = np.array([str(x) for x in value.ravel()], dtype=object).reshape(value.shape)
    text = _number(str(written.tolist()).replace("'", ""))
    return f"np.{name}({text})" if name in ("float32", "float16") else f"np.array({text})"


def _number(text: str) -> str:
    return text.replace("inf", "np.inf").replace("nan", "np.nan")


def entry(op: Op, case: Case, comment: str, causes: Sequence[str]) -> dict[str, Any]:
    """A failing case as a golden case; `causes` are its flags."""
    values = bounded(op.text, case.inputs, "float64")
    expected = {
        name: {
            "shape": list(want.value.shape),
            "data": [golden.encode(float(x)) for x in want.value.ravel()],
            "radius": golden.encode(float(np.max(want.error, initial=0.0))),
        }
        for name, want in zip(op.outputs, values, strict=True)
    }
    allowed = {
        want.name: [golden.encode(float(x)) for x in want.allowed.ravel()]
        for want in expect(op, case.inputs, case.precision)
    }
    content = {
        "id": f"{op.name}/{case.key}",
        "op": op.name,
        "comment": comment,
        "flags": list(causes),
        "inputs": {name: golden.array_entry(x) for name, x in case.inputs.items()},
        "expected": expected,
        "allowed": {case.precision: allowed},
        "witnesses": [],
    }
    return {**content, "digest": golden.digest(content)}


def digest(case: Case) -> str:
    """A name for an input, eight hexadecimal digits, and its layout where that is not row-major."""
    inputs = {name: golden.array_entry(x) for name, x in case.inputs.items()}
    text = json.dumps([case.op, case.precision, inputs], sort_keys=True)
    name = hashlib.sha256(text.encode()).hexdigest()[:8]
    return name if case.layout == "C" else f"{name}-{case.layout}"


def write(place: Path, op: Op, case: Case, comment: str, causes: Sequence[str]) -> Path:
    """Write a failing case to a folder."""
    place.mkdir(parents=True, exist_ok=True)
    path = place / f"{op.name}-{case.key}.json"
    content = {"format": 1, "op": op.name, "cases": [entry(op, case, comment, causes)]}
    path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return path


def write_all(place: Path, op: Op, cases: Iterable[Case]) -> int:
    """Write cases of an operation that is not ours, as golden vectors are written; their number.

    Left out are those in which honest implementations may choose other indices.
    """
    kept = [
        entry(op, case, case.says, ())
        for case in cases
        if all(want.choice is None for want in expect(op, case.inputs, case.precision))
    ]
    place.mkdir(parents=True, exist_ok=True)
    content = {"format": 1, "op": op.name, "cases": kept}
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    (place / f"{op.name}.json").write_text(text, encoding="utf-8")
    return len(kept)


def read(path: Path) -> tuple[Op, Case, tuple[str, ...]]:
    """A failing case and the causes noted with it; VectorError where the file is none."""
    vectors = golden.read_file(path)
    if len(vectors) != 1:
        raise golden.VectorError(f"{path.name}: holds {len(vectors)} cases, expected one")
    vector = vectors[0]
    if len(vector.allowed) != 1:
        raise golden.VectorError(f"{path.name}: expected the allowed errors of one precision")
    op, (precision,) = OPS[vector.op], vector.allowed
    sizes = bind(op.name, op.specs, op.read(**vector.inputs))
    elements = math.prod(max(size, 1) for size in sizes.values())
    if elements > LARGEST:
        raise golden.VectorError(
            f"{path.name}: the axes span {elements} elements, expected {LARGEST} at most"
        )
    inputs = rounded(op, vector.inputs, precision)
    key = vector.id.partition("/")[2]
    ending = key.rpartition("-")[2]
    layout = ending if ending in LAYOUTS else "C"
    return op, Case(op.name, precision, key, vector.comment, inputs, layout), vector.flags
