"""`python -m tests.tools.golden` writes golden/: certified cases with a purpose and two witnesses.

Expected values come from balls, allowed errors from the error-carrying reading, and each case is
kept only if the loops over scalars and a second witness (frameworks in float64, or the laws) agree.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import itertools
import json
import math
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from decimal import Decimal
from multiprocessing import get_context
from typing import Any

import numpy as np

from refimpl.op import DomainError, Edit, Op
from refimpl.oracle.cases.drawn import RandomSource, draw, rounded
from refimpl.oracle.judging.judge import Expected, error_ratio, expect
from refimpl.oracle.numbers.balls import certified
from refimpl.oracle.vectors.golden import array_entry, digest, encode, read_file
from refimpl.registry import OPS
from tests import ROOT
from tests.harness import disagreement, law_sides, witness

GOLDEN = ROOT / "golden"
POOL = 80  # random inputs of each kind to choose from
FIRST_SHARE = 15  # ordinary cases of an operation, beside its probes
LARGEST_RANDOM = 160  # numbers in a random case
LARGEST_PROBE = 2_500
CERTAINLY = 2  # a mistake this many times over the bound is caught by any honest consumer
FRAMEWORKS = ("torch", "onnxruntime")


@dataclass
class Candidate:
    """An input that may become a case."""

    key: str
    comment: str
    inputs: dict[str, Any]
    flags: frozenset[str] = frozenset()
    printed: str = ""
    source: str = ""


def numbers(inputs: dict[str, Any]) -> int:
    return sum(np.size(x) for x in inputs.values() if x is not None)


def grid(inputs: dict[str, Any], op: Op) -> dict[str, Any]:
    """Inputs that bfloat16 and float16 both hold, where the operation knows half formats."""
    for precision in ("float32", "float16", "bfloat16"):
        if precision in op.precisions:
            inputs = rounded(op, inputs, precision)
    return inputs


def pool(op: Op) -> Iterator[Candidate]:
    """The probes, then random inputs of every family."""
    for i, probe in enumerate(op.probes):
        inputs = rounded(op, op.read(**probe.inputs()), "float32")
        if numbers(inputs) <= LARGEST_PROBE:
            kept = {"printed": probe.printed, "source": probe.source}
            yield Candidate(f"probe{i}", probe.says, inputs, **kept)
    yield from subnormal(op)
    yield from drawn(op, RandomSource, "drawn", "drawn from the annotations")
    yield from drawn(op, PlainSource, "plain", "plain numbers, which show few mistakes at once")


class PlainSource(RandomSource):
    """Small sizes and plain numbers: most mistakes are invisible on them, so few stand out."""

    def integer(self, low: int, high: int) -> int:
        return low if self.rng.random() < 0.4 else super().integer(low, high)

    def normal(self, shape: tuple[int, ...]) -> np.ndarray:
        plain = (np.zeros(shape), np.ones(shape), -np.ones(shape), self.rng.integers(-2, 3, shape))
        return np.asarray(plain[self.rng.integers(len(plain))], dtype=np.float64)

    def uniform(self, shape: tuple[int, ...], low: float, high: float) -> np.ndarray:
        return low + (high - low) * self.rng.choice([1e-3, 0.25, 0.5, 0.999], shape)


def drawn(op: Op, source: type[RandomSource], name: str, comment: str) -> Iterator[Candidate]:
    """Small random inputs without empty arrays."""
    found = 0
    for seed in range(20 * POOL):
        try:
            inputs = grid(draw(op, source([2026, seed, *op.name.encode()])), op)
            op.evaluate(inputs)
        except DomainError:
            continue  # plain numbers meet corners where the operation is not defined
        empty = any(np.size(x) == 0 for x in inputs.values() if x is not None)
        if numbers(inputs) <= LARGEST_RANDOM and not empty:
            found += 1
            yield Candidate(f"{name}{seed}", comment, inputs)
        if found == POOL:
            return


def subnormal(op: Op) -> Iterator[Candidate]:
    """An input whose numbers float32 holds only below its smallest normal number."""
    inputs = draw(op, RandomSource([7, *op.name.encode()]))
    small = {
        name: np.asarray(np.round(8 * x) * 2.0**-140)
        for name, x in inputs.items()
        if x is not None and op.specs[name].kind.free and not op.specs[name].scalar
    }
    if small:
        yield Candidate("subnormal", "numbers below the smallest normal float32", inputs | small)


def caught(op: Op, edits: tuple[Edit, ...], inputs: dict[str, Any]) -> frozenset[str]:
    """The mistakes and dialects that a case is certain to catch in float32."""
    expected = expect(op, inputs, "float32")
    found = set()
    for edit in edits:
        try:
            with np.errstate(all="ignore"):
                result = _edited(op, edit)(**inputs)
        except (ValueError, IndexError, TypeError, ZeroDivisionError):
            continue
        outputs = result if isinstance(result, tuple) else (result,)
        for want, out in zip(expected, outputs, strict=True):
            out = np.asarray(out, dtype=np.float64)
            if out.shape != want.value.shape or np.any(error_ratio(want, out) > CERTAINLY):
                found.add(edit.id)
    return frozenset(found)


_COMPILED: dict[str, Any] = {}


def _edited(op: Op, edit: Edit) -> Any:
    if edit.id not in _COMPILED:
        _COMPILED[edit.id] = op.edited(edit)
    return _COMPILED[edit.id]


def choose(op: Op) -> list[Candidate]:
    """All probes, ordinary cases, for each mistake the case that shows it most alone, and for each
    two mistakes a case that tells them apart."""
    edits = (*op.mistakes, *op.dialects)
    candidates = [replace(c, flags=caught(op, edits, c.inputs)) for c in pool(op)]
    chosen = [c for c in candidates if not c.key.startswith(("drawn", "plain"))]
    chosen += [c for c in candidates if c.key.startswith("drawn")][:FIRST_SHARE]
    for edit in edits:
        showing = [c for c in candidates if edit.id in c.flags]
        if showing:
            alone = min(showing, key=lambda c: (len(c.flags), numbers(c.inputs)))
            seen = [len(c.flags) for c in chosen if edit.id in c.flags]
            if not seen or len(alone.flags) < min(seen):
                chosen.append(alone)
    for one, other in itertools.combinations((edit.id for edit in edits), 2):
        if not any((one in c.flags) != (other in c.flags) for c in chosen):
            splitting = [c for c in candidates if (one in c.flags) != (other in c.flags)]
            if splitting:
                chosen.append(min(splitting, key=lambda c: numbers(c.inputs)))
    return sorted(chosen, key=lambda c: candidates.index(c))


def round_up(x: float) -> float:
    """The next larger number with three significant digits.

    >>> round_up(0.0012341)
    0.00124
    """
    if x == 0 or math.isinf(x):
        return x
    digits = 2 - math.floor(math.log10(x))
    text = f"{x:.2e}"
    up = float(text)
    return up if up >= x else float(f"{up + 10.0**-digits:.2e}")


def allowed(op: Op, inputs: dict[str, Any]) -> dict[str, Any]:
    """The allowed error in every precision whose storage holds the inputs.

    Those are left out in which honest implementations may choose other indices: a reader would have
    to know the scores.
    """
    entries = {}
    for precision in op.precisions:
        held = rounded(op, inputs, precision)
        if all(
            np.array_equal(held[name], inputs[name]) for name in inputs if inputs[name] is not None
        ):
            wanted = expect(op, inputs, precision)
            if all(want.choice is None for want in wanted):
                entries[precision] = {
                    want.name: [encode(round_up(float(e))) for e in want.allowed.ravel()]
                    for want in wanted
                }
    return entries


def power_of_ten(ratio: float) -> float:
    """A measured ratio as the next power of ten, so that it reads the same on every machine."""
    return 0.0 if ratio == 0 else float(f"1e{math.ceil(math.log10(ratio))}")


def worst(op: Op, wants: list[Expected], result: Any) -> float:
    outputs = result if isinstance(result, (tuple, list)) and len(wants) > 1 else (result,)
    return max(
        float(np.max(error_ratio(want, np.asarray(out, dtype=np.float64)), initial=0.0))
        if np.shape(out) == want.value.shape
        else math.inf
        for want, out in zip(wants, outputs, strict=True)
    )


def witnesses(op: Op, candidate: Candidate, wants: list[Expected]) -> list[dict[str, Any]]:
    """Who else computed this case, and how near they came, as error ÷ allowed in float64."""
    inputs = candidate.inputs
    found = [{"name": "loops over scalars", "ratio": worst(op, wants, witness(op)(**inputs))}]
    for name in FRAMEWORKS:
        module = importlib.import_module(f"refimpl.backends.{name}")
        if not hasattr(module, op.name):
            continue
        if "float64" not in module.SUPPORTS.get(op.name, module.PRECISIONS):
            continue
        try:
            result = getattr(module, op.name)(**inputs)
        except NotImplementedError:
            continue
        ratio = worst(op, wants, result)
        if ratio <= 1:  # elsewhere it speaks a dialect, which is no witness
            call = getattr(module, op.name).__doc__.strip()
            found.append({"name": f"{name} {module.VERSION.split('+')[0]}: {call}", "ratio": ratio})
    if candidate.printed:
        found.append({"name": f"printed: {candidate.source}", "ratio": _printed(candidate, wants)})
    held = [
        max(disagreement(left, right) for left, right in pairs)
        for law in op.laws
        if (pairs := law_sides(op, law, _case(op, inputs)))
    ]
    if held:
        found.append({"name": f"{len(held)} laws", "ratio": max(held)})
    for entry in found:
        entry["ratio"] = power_of_ten(entry["ratio"])
    return found


def _printed(candidate: Candidate, wants: list[Expected]) -> float:
    """Distance from printed numbers, in halves of their last printed digit."""
    (want,) = wants
    ratio = 0.0
    for text, value in zip(candidate.printed.split(), want.value.ravel(), strict=True):
        half = 0.5 * 10.0 ** Decimal(text).as_tuple().exponent
        ratio = max(ratio, float(abs(Decimal(text) - Decimal(float(value)))) / half)
    return ratio


def _case(op: Op, inputs: dict[str, Any]) -> Any:
    from refimpl.oracle.cases.drawn import Case

    return Case(op.name, "float64", "golden", "", inputs)


def build(name: str) -> list[dict[str, Any]]:
    """All cases of one operation."""
    op = OPS[name]
    cases = []
    for candidate in choose(op):
        certain = certified(op.text, candidate.inputs)
        reference = expect(op, candidate.inputs, "float64")
        wants = [
            Expected(want.name, value, want.allowed)
            for want, (value, _) in zip(reference, certain, strict=True)
        ]
        agreed = witnesses(op, candidate, wants)
        if len(agreed) < 2 or any(entry["ratio"] > 1 for entry in agreed):
            raise SystemExit(f"{op.name}/{candidate.key}: witnesses do not agree: {agreed}")
        case = {
            "id": f"{op.name}/{candidate.key}",
            "op": op.name,
            "comment": candidate.comment,
            "flags": sorted(candidate.flags),
            "inputs": {k: array_entry(v) for k, v in candidate.inputs.items()},
            "expected": {
                output: {
                    "shape": list(value.shape),
                    "data": [encode(x) for x in value.ravel().tolist()],
                    "radius": float(f"{np.max(radii, initial=0.0):.3g}"),
                }
                for output, (value, radii) in zip(op.outputs, certain, strict=True)
            },
            "allowed": allowed(op, candidate.inputs),
            "witnesses": agreed,
        }
        cases.append({**case, "digest": digest(case)})
    return cases


def file_text(op: Op, cases: list[dict[str, Any]]) -> str:
    """The file of an operation: a case a block, an argument a line."""
    blocks = []
    for case in cases:
        lines = []
        for key, value in case.items():
            if isinstance(value, dict):
                inner = ",\n".join(
                    f"      {json.dumps(k)}: {_compact(v)}" for k, v in value.items()
                )
                lines.append(f'    "{key}": {{\n{inner}\n    }}')
            else:
                lines.append(f'    "{key}": {_compact(value)}')
        blocks.append("  {\n" + ",\n".join(lines) + "\n  }")
    body = ",\n".join(blocks)
    return f'{{"format": 1, "op": "{op.name}", "cases": [\n{body}\n]}}\n'


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def flag_table() -> dict[str, dict[str, str]]:
    """What each flag means."""
    return {
        edit.id: {
            "kind": kind,
            "says": edit.says,
            "effect": edit.effect,
            "invisible_when": edit.invisible_when,
            "source": edit.source,
        }
        for op in OPS.values()
        for kind, edits in (("mistake", op.mistakes), ("dialect", op.dialects))
        for edit in edits
    }


def coverage(cases: list[dict[str, Any]]) -> str:
    """The table of mistakes and the cases that catch them."""
    lines = [
        "# Which golden case catches which mistake",
        "",
        "Written by `make golden`. `cases`: golden cases on which the mistake is certain to be",
        "caught in float32. `fewest others`: how many other mistakes the case catches that shows",
        "it most alone; 0 means that one case names it. `caught together with`: those that no case",
        "here tells apart from it.",
        "",
        "| mistake or dialect | cases | fewest others | shown by | caught together with |",
        "|---|---:|---:|---|---|",
    ]
    for op in OPS.values():
        edits = [edit.id for edit in (*op.mistakes, *op.dialects)]
        mine = [set(case["flags"]) for case in cases if case["op"] == op.name]
        for edit in (*op.mistakes, *op.dialects):
            same = [e for e in edits if all((e in f) == (edit.id in f) for f in mine)]
            showing = [case for case in cases if edit.id in case["flags"]]
            best = min(showing, key=lambda c: len(c["flags"]), default=None)
            others, name = (len(best["flags"]) - 1, best["id"]) if best else ("", "")
            apart = ", ".join(e.partition("/")[2] for e in same if e != edit.id)
            lines.append(f"| {edit.id} | {len(showing)} | {others} | {name} | {apart} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.tools.golden", description=__doc__)
    parser.add_argument("ops", nargs="*", help="default: all")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument(
        "--bounds", action="store_true", help="derive the allowed errors again, and nothing else"
    )
    options = parser.parse_args()
    names = options.ops or list(OPS)
    if options.bounds:
        print(f"{sum(bound_again(name) for name in names)} cases have other allowed errors")
        write_manifest()
        return 0
    everything: list[dict[str, Any]] = []
    with ProcessPoolExecutor(options.processes, mp_context=get_context("spawn")) as workers:
        for name, cases in zip(names, workers.map(build, names), strict=True):
            op = OPS[name]
            path = GOLDEN / op.chapter / f"{name}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(file_text(op, cases), encoding="utf-8")
            everything += cases
            print(f"{name}: {len(cases)} cases", file=sys.stderr, flush=True)
    flags = json.dumps(flag_table(), indent=1, ensure_ascii=False)
    (GOLDEN / "flags.json").write_text(flags + "\n", encoding="utf-8")
    if not options.ops:
        (GOLDEN / "coverage.md").write_text(coverage(everything), encoding="utf-8")
    write_manifest()
    print(f"{len(everything)} cases")
    return 0


def bound_again(name: str) -> int:
    """Derive the allowed errors of an operation's cases anew; how many cases changed."""
    op, changed, cases = OPS[name], 0, []
    path = GOLDEN / op.chapter / f"{name}.json"
    written = json.loads(path.read_text(encoding="utf-8"))["cases"]
    for vector, case in zip(read_file(path), written, strict=True):
        again = {**case, "allowed": allowed(op, vector.inputs)}
        cases.append({**again, "digest": digest({k: again[k] for k in again if k != "digest"})})
        changed += cases[-1]["digest"] != case["digest"]
    if changed:
        path.write_text(file_text(op, cases), encoding="utf-8")
    return changed


def write_manifest() -> None:
    """Digests of all files, in one file."""
    files = sorted(
        path.relative_to(GOLDEN).as_posix()
        for path in GOLDEN.rglob("*.json")
        if path.name not in ("manifest.json", "schema.json") and "examples" not in path.parts
    )
    digests = {name: hashlib.sha256((GOLDEN / name).read_bytes()).hexdigest() for name in files}
    content = json.dumps({"format": 1, "files": digests}, indent=1)
    (GOLDEN / "manifest.json").write_text(content + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
