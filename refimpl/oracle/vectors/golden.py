"""Golden vectors: read, check, export. They are JSON that any language reads.

A file holds the cases of one operation. Each case has its inputs, the expected outputs (every
number the float64 nearest to the exact one), the error allowed to each element in each precision,
the mistakes that it catches, the witnesses that agree with it, and a digest. Files may come from
anywhere: nothing is unpickled, and sizes, dtypes and shapes are checked before use.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from refimpl.exceptions import RefimplError
from refimpl.op import Op
from refimpl.oracle.judging.judge import Expected
from refimpl.registry import OPS

LARGEST_FILE = 64 << 20  # bytes
LARGEST_ARRAY = 1 << 24  # numbers
LARGEST_NUMBER = float(np.finfo(np.float64).max)
SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
DTYPES = {"float64": np.float64, "int64": np.int64}
CASE_KEYS = {
    "id",
    "op",
    "comment",
    "flags",
    "inputs",
    "expected",
    "allowed",
    "witnesses",
    "digest",
}


class VectorError(RefimplError, ValueError):
    """A vector file is not what it claims to be."""


@dataclass(frozen=True)
class Vector:
    """One golden case."""

    id: str
    op: str
    comment: str
    flags: tuple[str, ...]
    inputs: dict[str, Any]
    expected: dict[str, np.ndarray]
    radius: dict[str, float]
    allowed: dict[str, dict[str, np.ndarray]]
    witnesses: list[dict[str, Any]]
    digest: str

    def expectations(self, precision: str) -> list[Expected]:
        """Values and allowed errors, as `judge` wants them."""
        allowed = self.allowed[precision]
        return [Expected(name, self.expected[name], allowed[name]) for name in OPS[self.op].outputs]


def folder() -> Path:
    """Where the vectors are: beside the package in a checkout, inside it when installed."""
    beside = Path(__file__).parents[3] / "golden"
    inside = Path(__file__).parents[2] / "golden"
    for place in (beside, inside):
        if (place / "manifest.json").is_file():
            return place
    raise VectorError("the golden vectors are not installed")


def encode(number: float) -> float | int | str:
    """A number as JSON: the shortest decimal that reads back the same, NaN and infinities as text.

    >>> encode(0.1), encode(float("-inf")), encode(2.0)
    (0.1, '-Infinity', 2.0)
    """
    if isinstance(number, int):
        return number
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    return float(number)


def decode(number: Any, where: str) -> float:
    """The inverse of `encode`; anything else is refused."""
    if isinstance(number, str) and number in SPECIAL:
        return SPECIAL[number]
    if isinstance(number, bool) or not isinstance(number, (int, float)):
        raise VectorError(f"{where}: {str(number)[:40]!r} is not a number")
    if not abs(number) <= LARGEST_NUMBER:
        raise VectorError(f'{where}: a number beyond float64; infinity is written "Infinity"')
    return number


def array_entry(value: Any) -> dict[str, Any] | None:
    """An input as JSON."""
    if value is None:
        return None
    array = np.asarray(value)
    dtype = "int64" if array.dtype.kind in "iu" else "float64"
    data = [encode(x) for x in array.astype(dtype).ravel().tolist()]
    return {"dtype": dtype, "shape": list(array.shape), "data": data}


def read_array(entry: Any, where: str, dtype: str = "float64") -> np.ndarray:
    """An array of a vector file."""
    if not isinstance(entry, dict):
        raise VectorError(f"{where}: expected an object, found {type(entry).__name__}")
    name, shape, data = entry.get("dtype", dtype), entry.get("shape"), entry.get("data")
    if not isinstance(name, str) or name not in DTYPES:
        raise VectorError(f"{where}: dtype {str(name)[:40]!r}, expected float64 or int64")
    if not isinstance(shape, list) or not isinstance(data, list) or len(shape) > 32:
        raise VectorError(f"{where}: expected lists for shape and data")
    if not all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in shape):
        raise VectorError(f"{where}: a shape holds sizes, found {str(shape)[:60]}")
    if max(shape, default=0) > LARGEST_ARRAY or math.prod(shape) != len(data):
        raise VectorError(f"{where}: shape {str(shape)[:60]} does not hold {len(data)} numbers")
    numbers = [decode(x, where) for x in data]
    if name == "int64" and not all(isinstance(x, int) and -(2**63) <= x < 2**63 for x in numbers):
        raise VectorError(f"{where}: not all numbers are int64")
    return np.array(numbers, dtype=DTYPES[name]).reshape(shape)


def digest(case: dict[str, Any]) -> str:
    """SHA-256 of a case without its digest, as canonical JSON."""
    bare = {key: value for key, value in case.items() if key != "digest"}
    text = json.dumps(bare, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def read_case(case: Any, where: str) -> Vector:
    """Check one case of a file and read it."""
    if not isinstance(case, dict) or set(case) != CASE_KEYS:
        keys = sorted(case) if isinstance(case, dict) else type(case).__name__
        raise VectorError(
            f"{where}: expected the keys {sorted(CASE_KEYS)}, found {str(keys)[:200]}"
        )
    for key in ("id", "op", "comment", "digest"):
        if not isinstance(case[key], str):
            raise VectorError(f"{where}: {key} is not a string")
    where = f"{where}: {case['id'][:80]}"
    if case["op"] not in OPS:
        raise VectorError(f"{where}: no operation is called {case['op'][:40]!r}")
    if digest(case) != case["digest"]:
        raise VectorError(f"{where}: the digest does not fit; the case was changed")
    op = OPS[case["op"]]
    if not isinstance(case["flags"], list):
        raise VectorError(f"{where}: flags is not a list")
    for key in ("inputs", "expected", "allowed"):
        if not isinstance(case[key], dict):
            raise VectorError(f"{where}: {key} is not an object")
    if set(case["inputs"]) != set(op.specs):
        raise VectorError(f"{where}: expected the inputs {list(op.specs)}")
    if set(case["expected"]) != set(op.outputs):
        raise VectorError(f"{where}: expected the outputs {list(op.outputs)}")
    inputs = {name: _read_input(op, name, case["inputs"][name], where) for name in op.specs}
    try:
        op.read(**inputs)
    except (ValueError, TypeError) as error:
        raise VectorError(f"{where}: {error}") from None
    expected, radius = {}, {}
    for name, entry in case["expected"].items():
        expected[name] = read_array(entry, f"{where}: {name}")
        radius[name] = float(decode(entry.get("radius"), f"{where}: radius of {name}"))
    allowed = {}
    for precision, entries in case["allowed"].items():
        known = isinstance(entries, dict) and set(entries) == set(op.outputs)
        if precision not in op.precisions or not known:
            raise VectorError(f"{where}: allowed errors for {precision[:40]!r} are not expected")
        allowed[precision] = {
            name: read_array(
                {"shape": list(expected[name].shape), "data": data}, f"{where}: {name}"
            )
            for name, data in entries.items()
        }
    return Vector(
        case["id"],
        case["op"],
        case["comment"],
        tuple(map(str, case["flags"])),
        inputs,
        expected,
        radius,
        allowed,
        case["witnesses"],
        case["digest"],
    )


def _read_input(op: Op, name: str, entry: Any, where: str) -> Any:
    spec = op.specs[name]
    if entry is None:
        if not spec.optional:
            raise VectorError(f"{where}: {name} is null")
        return None
    array = read_array(entry, f"{where}: {name}")
    if (array.dtype.kind == "i") != spec.kind.integer:
        raise VectorError(f"{where}: {name} has dtype {array.dtype}")
    return array.item() if spec.scalar and array.size == 1 else array


def read_json(path: Path) -> Any:
    """Parse a file, its size checked first."""
    try:
        check_file(path)
        return json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_constant)
    except VectorError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise VectorError(f"{path.name}: cannot be read: {error}") from None


def check_file(path: Path) -> None:
    """Whether a path is a file that ends, neither a pipe nor a device, and not too large."""
    if path.exists() and not path.is_file():
        raise VectorError(f"{path.name}: is no regular file")
    size = path.stat().st_size
    if size > LARGEST_FILE:
        raise VectorError(f"{path.name}: {size} bytes are more than {LARGEST_FILE}")


def _no_constant(name: str) -> float:
    raise VectorError(f"{name} is not JSON")


def read_file(path: Path) -> list[Vector]:
    """All cases of one file."""
    content = read_json(path)
    if not isinstance(content, dict) or content.get("format") != 1:
        raise VectorError(f"{path.name}: expected a vector file of format 1")
    if not isinstance(content.get("cases"), list):
        raise VectorError(f"{path.name}: expected a list of cases")
    return [read_case(case, f"{path.name}[{i}]") for i, case in enumerate(content["cases"])]


def manifest(place: Path) -> dict[str, str]:
    """Names and digests of the files of a folder."""
    content = read_json(place / "manifest.json")
    files = content.get("files") if isinstance(content, dict) else None
    if not isinstance(files, dict):
        raise VectorError("manifest.json: expected an object of files")
    for name, sha in files.items():
        if not re.fullmatch(r"[a-z_]+(/[a-z0-9_]+)?\.json", name) or not isinstance(sha, str):
            raise VectorError(f"manifest.json: unexpected entry {name[:60]!r}")
    return files


def vectors(place: Path | None = None, ops: tuple[str, ...] = ()) -> Iterator[Vector]:
    """All vectors of a folder, or of some operations; the digests of the files are checked."""
    place = place or folder()
    for name, sha in manifest(place).items():
        file = name.partition("/")[2]
        if not file or (ops and file.removesuffix(".json") not in ops):
            continue
        path = place / name
        if not path.is_file() or path.stat().st_size > LARGEST_FILE:
            raise VectorError(f"{name}: missing or too large")
        if hashlib.sha256(path.read_bytes()).hexdigest() != sha:
            raise VectorError(f"{name}: the digest in manifest.json does not fit")
        yield from read_file(path)


@dataclass
class Checked:
    """What a check of the vectors found."""

    cases: int = 0
    values: int = 0
    rederived: int = 0
    radius: float = 0.0  # the largest, in ulp of its value
    problems: list[str] = field(default_factory=list)


def check(place: Path | None = None, ops: tuple[str, ...] = ()) -> Checked:
    """Verify digests and structure, and derive every value and allowed error again.

    Values need python-flint; without it `rederived` stays 0.
    """
    found = Checked()
    known = set(read_json((place or folder()) / "flags.json"))
    for vector in vectors(place, ops):
        found.cases += 1
        if not set(vector.flags) <= known:
            found.problems.append(f"{vector.id}: a flag is not explained in flags.json")
        if len(vector.witnesses) < 2:
            found.problems.append(f"{vector.id}: fewer than two witnesses")
        _check_values(vector, found)
        _check_allowed(vector, found)
    return found


def _check_values(vector: Vector, found: Checked) -> None:
    try:
        from refimpl.oracle.numbers.balls import certified
    except ImportError:
        found.values += sum(value.size for value in vector.expected.values())
        return
    op = OPS[vector.op]
    for name, (value, radius) in zip(op.outputs, certified(op.text, vector.inputs), strict=True):
        stored = vector.expected[name]
        found.values += stored.size
        found.rederived += stored.size
        if not np.array_equal(stored, value, equal_nan=True):
            found.problems.append(f"{vector.id}: {name} is not the certified value")
        with np.errstate(invalid="ignore"):
            ulps = (radius / np.spacing(np.abs(stored)))[np.isfinite(stored)]
        found.radius = max(found.radius, float(np.max(ulps, initial=0.0)))


def _check_allowed(vector: Vector, found: Checked) -> None:
    from refimpl.oracle.judging.judge import expect

    op = OPS[vector.op]
    for precision, entries in vector.allowed.items():
        for want in expect(op, vector.inputs, precision):
            stored = entries[want.name]
            # stored with three significant digits, rounded up
            with np.errstate(invalid="ignore"):
                fits = (stored >= want.allowed * (1 - 2**-30)) & (stored <= want.allowed * 1.011)
            if not np.all(fits | (stored == want.allowed)):
                found.problems.append(f"{vector.id}: allowed {precision} of {want.name} is off")


def export(place: Path, form: str = "json", ops: tuple[str, ...] = ()) -> int:
    """Write the vectors for programs in other languages; returns the number of cases.

    `json` copies the files as they are; `safetensors` writes a file an operation with tensors
    named CASE/inputs/NAME, CASE/expected/NAME and CASE/allowed/PRECISION/NAME; `raw` writes the
    same arrays as little-endian files, a folder a case, listed in index.json.
    """
    place.mkdir(parents=True, exist_ok=True)
    count = 0
    if form == "json":
        source = folder()
        names = [n for n in manifest(source) if not ops or Path(n).stem in ops or "/" not in n]
        for name in names:
            count += len(read_file(source / name)) if "/" in name else 0
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes((source / name).read_bytes())
        return count
    index = []
    files: dict[str, dict[str, np.ndarray]] = {}
    for vector in vectors(ops=ops):
        count += 1
        for name, array in _flat(vector).items():
            if form == "raw":
                path = place / f"{name}.bin"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(array.astype(array.dtype.newbyteorder("<")).tobytes())
                entry = {"file": f"{name}.bin", "dtype": array.dtype.name}
                index.append({**entry, "shape": list(array.shape)})
            else:
                files.setdefault(vector.op, {})[name] = np.ascontiguousarray(array)
    if form == "raw":
        (place / "index.json").write_text(json.dumps(index, indent=0) + "\n")
    for op, tensors in files.items():
        from safetensors.numpy import save_file

        save_file(tensors, place / f"{op}.safetensors")
    return count


def _flat(vector: Vector) -> dict[str, np.ndarray]:
    """Every array of a case by a path-like name."""
    arrays = {
        f"{vector.id}/inputs/{name}": np.asarray(value)
        for name, value in vector.inputs.items()
        if value is not None
    }
    arrays |= {f"{vector.id}/expected/{name}": value for name, value in vector.expected.items()}
    for precision, entries in vector.allowed.items():
        for name, value in entries.items():
            arrays[f"{vector.id}/allowed/{precision}/{name}"] = value
    return arrays
