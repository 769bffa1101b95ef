"""Targets in other languages: outputs for the golden vectors, computed by a program or found in a
folder."""

from __future__ import annotations

import json
import math
import shlex
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from refimpl.models.weights import WeightsError, load
from refimpl.op import Op
from refimpl.oracle.cases.drawn import Case
from refimpl.oracle.findings import Report
from refimpl.oracle.numbers.precisions import PRECISIONS
from refimpl.oracle.runs.op_run import OpRun
from refimpl.oracle.targets.processes import PROGRAM, Child, plain
from refimpl.oracle.targets.sessions import Outcome, TargetError
from refimpl.oracle.vectors import golden
from refimpl.registry import OPS

INDEX = "index.json"  # of outputs as bytes
BYTES = ("file", "dtype")
STORED = ("float64", "float32", "float16", "int64", "int32")


class Recorded:
    """Outputs by case, seen as a target that answers calls."""

    def __init__(self, target: str, outputs: dict[str, Any], ending: str, option: str) -> None:
        self.target = target
        self.outputs = outputs
        self.ending = ending  # why outputs may be missing
        self.option = option
        self.ops: list[str] = []  # nothing new can be asked

    def call(
        self, op: Op, case: Case, answer_bytes: int, limit: float = np.inf, steps: bool = False
    ) -> Outcome:
        """The recorded outputs of a case."""
        entry = self.outputs.get(f"{case.op}/{case.key}")
        if entry is None:
            return Outcome("died", says=self.ending or "gave no output for this case")
        try:
            found = [_output(entry, name, case.precision) for name in op.outputs]
            return Outcome("returned", found)
        except golden.VectorError as error:
            return Outcome("raised", says=str(error))

    def replay(self, case: Case) -> str:
        """The command that judges this operation again."""
        again = f"refimpl verify {self.option} --op {case.op} --precision {case.precision}"
        return f"{again}  # case {case.op}/{case.key}"


def _output(entry: Any, name: str, precision: str) -> np.ndarray:
    """An output as the precision stores it: digits that a program prints are no digits beyond."""
    if not isinstance(entry, dict) or name not in entry:
        raise golden.VectorError(f"no output {name}")
    array = golden.read_array(entry[name], name)
    return PRECISIONS[precision].round(array) if array.dtype.kind == "f" else array


def request(vectors: Sequence[golden.Vector], precision: str) -> dict[str, Any]:
    """What a program reads: the inputs of all cases, without the answers."""
    return {
        "format": 1,
        "precision": precision,
        "cases": [
            {
                "id": v.id,
                "op": v.op,
                "inputs": {name: golden.array_entry(x) for name, x in v.inputs.items()},
            }
            for v in vectors
        ],
    }


def run_command(
    command: str, vectors: Sequence[golden.Vector], precision: str, limit: float
) -> tuple[dict[str, Any], str]:
    """Start a program once for all cases; returns its outputs and how it ended if badly."""
    with tempfile.TemporaryDirectory() as scratch:
        source, sink = Path(scratch, "in.json"), Path(scratch, "out.json")
        source.write_text(json.dumps(request(vectors, precision)))
        words = [
            word.replace("{in}", str(source)).replace("{out}", str(sink))
            for word in shlex.split(command)
        ]
        if shutil.which(words[0]) is None:
            raise TargetError(f"{words[0]}: cannot be started: no such program")
        program = Child(PROGRAM, *words)
        try:
            code = program.wait(limit)
            ending = "" if code == 0 else plain(f"the program {program.epitaph(code)}")
        finally:
            program.close()
        if code is None:  # what it wrote before may be half of it
            return {}, f"the program did not end within {limit:g} s"
        if not sink.exists():
            return {}, ending or "the program wrote no output"
        try:
            return _read_outputs(sink), ending
        except golden.VectorError as error:
            return {}, f"unreadable output: {error}"


def _read_outputs(path: Path) -> dict[str, Any]:
    content = golden.read_json(path)
    outputs = content.get("outputs") if isinstance(content, dict) else None
    if not isinstance(outputs, dict):
        raise golden.VectorError(f'{path.name}: expected {{"outputs": {{CASE: {{NAME: ...}}}}}}')
    return outputs


def read_folder(place: Path) -> dict[str, Any]:
    """Outputs computed elsewhere: *.json as programs write them, *.safetensors by CASE/NAME, or
    bytes in CASE/NAME.bin that index.json lists."""
    outputs: dict[str, Any] = {}
    for path in sorted(place.glob("*.json")):
        outputs |= _read_bytes(place) if path.name == INDEX else _read_outputs(path)
    for path in sorted(place.glob("*.safetensors")):
        golden.check_file(path)
        try:
            tensors = load(path)
        except WeightsError as error:
            raise golden.VectorError(f"cannot be read: {error}") from None
        for name, array in tensors.items():
            _put(outputs, name, array)
    if not outputs:
        raise TargetError(f"{place}: holds no outputs (*.json or *.safetensors)")
    return outputs


def _put(outputs: dict[str, Any], name: str, array: np.ndarray) -> None:
    """Add an output called CASE/NAME."""
    case, _, output = name.rpartition("/")
    data = [golden.encode(float(x)) for x in array.astype(float).ravel()]
    outputs.setdefault(case, {})[output] = {"shape": list(array.shape), "data": data}


def _read_bytes(place: Path) -> dict[str, Any]:
    """Outputs as little-endian bytes, listed as the exported inputs are: file, dtype and shape."""
    listed = golden.read_json(place / INDEX)
    if not isinstance(listed, list):
        raise golden.VectorError(f"{INDEX}: expected a list of {{file, dtype, shape}}")
    outputs: dict[str, Any] = {}
    for number, entry in enumerate(listed):
        where = f"{INDEX}: entry {number}"
        if not isinstance(entry, dict) or not all(isinstance(entry.get(k), str) for k in BYTES):
            raise golden.VectorError(f"{where}: expected file, dtype and shape")
        name, dtype, shape = entry["file"], entry["dtype"], entry.get("shape")
        if dtype not in STORED or not isinstance(shape, list):
            raise golden.VectorError(f"{where}: dtype {dtype[:40]!r}, expected one of {STORED}")
        if not all(type(n) is int and n >= 0 for n in shape):
            raise golden.VectorError(f"{where}: a shape holds sizes, found {str(shape)[:60]}")
        path = place / name
        if place.resolve() not in path.resolve().parents or not path.is_file():
            raise golden.VectorError(f"{where}: {name[:80]!r} is no file in this folder")
        golden.check_file(path)
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if path.stat().st_size != size:
            raise golden.VectorError(
                f"{where}: {name[:80]} has {path.stat().st_size} bytes, its shape takes {size}"
            )
        array = np.fromfile(path, np.dtype(dtype).newbyteorder("<")).reshape(shape)
        _put(outputs, name.removesuffix(".bin"), array)
    return outputs


def verify_recorded(
    *,
    command: str = "",
    place: Path | None = None,
    ops: Sequence[str] = (),
    precisions: Sequence[str] = (),
    limit: float = 600.0,
    allow: Sequence[str] = (),
    reports: list[Report] | None = None,
) -> list[Report]:
    """Judge a program, or a folder of outputs, by the golden vectors.

    Operations of which no case was answered count as not offered, unless they were asked for.
    """
    reports = [] if reports is None else reports
    option = f"--cmd {shlex.quote(command)}" if command else f"--from {shlex.quote(str(place))}"
    name = "program" if command else "folder"
    report = Report(name, command or str(place), allowed=frozenset(allow))
    reports.append(report)
    everything = list(golden.vectors(ops=tuple(ops)))
    for precision in precisions or ("float32",):
        asked = [v for v in everything if precision in v.allowed]
        if command:
            outputs, ending = run_command(command, asked, precision, limit)
        else:
            outputs, ending = read_folder(place or Path()), ""
        target = Recorded(name, outputs, ending, option)
        for op_name in dict.fromkeys(v.op for v in asked):
            mine = [v for v in asked if v.op == op_name]
            if not ops and not ending and not any(v.id in outputs for v in mine):
                continue
            op_run = OpRun(OPS[op_name], target, precision)
            for vector in mine:
                key = vector.id.partition("/")[2]
                case = Case(op_name, precision, key, vector.comment, vector.inputs)
                op_run.add(case, vector.expectations(precision))
                op_run.deaths = 0  # one missing case says nothing about the next
            op_run.conclude()
            report.findings += op_run.findings
    return reports
