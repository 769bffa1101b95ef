"""`python -m tests.audit.mutants`: which check kills which wrong text.

Every listed mistake and dialect and every small edit of every text (those that the diagnosis
searches through) is a mutant. Its outputs, computed in float64 and rounded to float32, are put
before each check: the probes, the drawn cases, the golden vectors, the laws (for small edits only
where no case refuses them); and the acceptance rules of others on the same inputs. What no check
kills is looked at in float64 on more inputs: it is the same function, differs by less than float32
arithmetic may, or needs inputs that are missing.
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from refimpl.op import Op
from refimpl.oracle.cases.drawn import Case, generate
from refimpl.oracle.diagnosis.search import single_edits
from refimpl.oracle.judging.judge import Expected, expect
from refimpl.oracle.vectors import golden
from refimpl.registry import OPS
from tests.audit.audits import LARGEST_CASE, size
from tests.audit.rules import RULES, accepted
from tests.harness import disagreement, law_sides

DRAWN = 60  # random cases, as in the profile ci
FRESH = 200  # further inputs on which a survivor is compared with the text in float64
FRESH_SEED = 4001
OURS = "our bound"
CHECKS = ("probes", "drawn cases", "golden vectors", "laws")
OTHERS = tuple(label for label in RULES if label != OURS)
ENDS = ("same function", "below the float32 bound", "found on further inputs only")


@dataclass
class Row:
    """What became of the mutants of one kind of one operation."""

    op: str
    kind: str
    mutants: int = 0
    killed: int = 0
    kills: Counter = field(default_factory=Counter)  # by check, and by rule
    alone: Counter = field(default_factory=Counter)  # killed by this check and no other
    survivors: list[tuple[str, str]] = field(default_factory=list)  # what it is, how it ends
    seconds: float = 0.0

    @staticmethod
    def read(line: str) -> Row:
        """The row that a line of a log describes."""
        entry = json.loads(line)
        for name in ("kills", "alone"):
            entry[name] = Counter(entry[name])
        return Row(**{**entry, "survivors": [tuple(pair) for pair in entry["survivors"]]})


@dataclass
class Bench:
    """The inputs of an operation and what is expected of them, once for all its mutants."""

    op: Op
    cases: dict[str, list[tuple[Case, list[Expected]]]]

    @classmethod
    def of(cls, op: Op) -> Bench:
        """Probes, drawn cases and golden vectors of an operation."""
        every = [c for c in generate(op, "float32", DRAWN) if size(c) <= LARGEST_CASE]
        judged = [(case, expect(op, case.inputs, "float32")) for case in every]
        stored = []
        for vector in golden.vectors(ops=(op.name,)):
            if "float32" in vector.allowed:
                case = Case(op.name, "float32", vector.id, vector.comment, vector.inputs)
                stored.append((case, vector.expectations("float32")))
        return cls(
            op,
            {
                "probes": [pair for pair in judged if pair[0].key.startswith("probe")],
                "drawn cases": [pair for pair in judged if pair[0].says == "random"],
                "golden vectors": stored,
            },
        )

    @functools.cached_property
    def in_float64(self) -> list[tuple[Case, list[Expected]]]:
        """The same inputs and further ones, judged as float64 would be."""
        near = [case for pairs in self.cases.values() for case, _ in pairs]
        fresh = generate(self.op, "float64", FRESH, FRESH_SEED)
        every = (*near, *(case for case in fresh if size(case) <= LARGEST_CASE))
        return [(case, expect(self.op, case.inputs, "float64")) for case in every]


def float32(outputs: list[np.ndarray]) -> list[np.ndarray]:
    """Outputs as a float32 implementation returns them."""
    return [out.astype(np.float32).astype(np.float64) for out in outputs]


def run(text: Callable, case: Case) -> list[np.ndarray] | None:
    """What a mutant gives in float64; None where it fails, which every check notices."""
    try:
        result = text(**case.inputs)
        outputs = result if isinstance(result, tuple) else (result,)
        return [np.asarray(out, dtype=np.float64) for out in outputs]
    except Exception:  # a mutant may go wrong in any way
        return None


def refused(text: Callable, bench: Bench) -> set[str]:
    """The kinds of cases on which our bound refuses a mutant, and the rules of others that do."""
    by: set[str] = set()
    for kind, pairs in bench.cases.items():
        for case, wants in pairs:
            left = [label for label in RULES if (kind if label == OURS else label) not in by]
            if not left:
                break
            outputs = run(text, case)
            fails = outputs is None or len(outputs) != len(wants)
            found = [] if outputs is None else float32(outputs)
            for label in left:
                if fails or not accepted(RULES[label], wants, found, case):
                    by.add(kind if label == OURS else label)
    return by


def breaks_a_law(op: Op, text: Callable, cases: list[Case]) -> bool:
    """Whether some law does not hold of a mutant."""
    for law in op.laws:
        for case in cases:
            try:
                pairs = law_sides(op, law, case, text)
                if any(disagreement(left, right) > 1 for left, right in pairs):
                    return True
            except Exception:
                return True
    return False


def end_of(op: Op, text: Callable, bench: Bench) -> str:
    """What a survivor is: the same function on everything tried, or nearer than float32."""
    for case, wants in bench.in_float64:
        outputs = run(text, case)
        if outputs is None or len(outputs) != len(wants):
            return ENDS[2]
        if accepted(RULES[OURS], wants, outputs, case):
            continue
        theirs = expect(op, case.inputs, "float32")
        inside = accepted(RULES[OURS], theirs, float32(outputs), case)
        return ENDS[1] if inside else ENDS[2]
    return ENDS[0]


def mutants(op: Op, kind: str, every: int) -> Iterator[tuple[str, Callable]]:
    """The mutants of one kind, by name; of the generic ones every so many."""
    if kind == "generic":
        for candidate in single_edits(op)[::every]:
            try:
                yield candidate.id, candidate.text
            except SyntaxError:
                continue  # no text any more
    else:
        for edit in op.mistakes if kind == "mistakes" else op.dialects:
            yield edit.id, op.edited(edit)


def judge_mutants(task: tuple[str, str, int]) -> Row:
    """Put all mutants of one kind of one operation before every check."""
    name, kind, every = task
    op, row, started = OPS[name], Row(name, kind), time.monotonic()
    bench = Bench.of(op)
    some = [case for pairs in bench.cases.values() for case, _ in pairs][:6]
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for says, text in mutants(op, kind, every):
            row.mutants += 1
            by = refused(text, bench)
            if (kind != "generic" or not by & set(CHECKS)) and breaks_a_law(op, text, some):
                by.add("laws")
            kills = [check for check in CHECKS if check in by]
            row.killed += bool(kills)
            row.kills.update(by)
            if len(kills) == 1:
                row.alone.update(kills)
            if not kills:
                row.survivors.append((says, end_of(op, text, bench)))
    row.seconds = time.monotonic() - started
    return row


def share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else ""


def table(rows: list[Row], kind: str) -> str:
    """Mutants, kills and survivors of one kind, by operation."""
    chosen = [row for row in rows if row.kind == kind and row.mutants]
    lines = [
        "| operation | mutants | killed | " + " | ".join(CHECKS) + " | same function | below |",
        "|---|" + "---:|" * (len(CHECKS) + 4),
    ]
    for row in chosen:
        ends = Counter(end for _, end in row.survivors)
        cells = [row.op, row.mutants, row.killed, *(row.kills[check] for check in CHECKS)]
        cells += [ends[end] for end in ENDS[:2]]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def summary(rows: list[Row]) -> str:
    """One line for each check and rule: how many mutants of each kind it kills."""
    kinds = ("mistakes", "dialects", "generic")
    totals = {kind: [row for row in rows if row.kind == kind] for kind in kinds}
    counts = {kind: sum(row.mutants for row in totals[kind]) for kind in kinds}
    lines = [
        "| check | " + " | ".join(f"{kind}, {counts[kind]}" for kind in kinds) + " |",
        "|---|---:|---:|---:|",
    ]
    killed = {kind: sum(row.killed for row in totals[kind]) for kind in kinds}
    cells = " | ".join(
        f"**{killed[kind]}** ({share(killed[kind], counts[kind])})" for kind in kinds
    )
    lines.append(f"| **any of ours** | {cells} |")
    for check in (*CHECKS, *OTHERS):
        numbers = [sum(row.kills[check] for row in totals[kind]) for kind in kinds]
        name = check if check in CHECKS else f"{check}, on all cases"
        lines.append(f"| {name} | " + " | ".join(map(str, numbers)) + " |")
    return "\n".join(lines)


PAGE = """# Which check kills which wrong text

Made by `make mutants`{sampled}.

A mutant is the text of an operation with one wrong edit: a listed mistake, a listed dialect, or
one of the small edits that the diagnosis searches through (`generic`: another constant, axis,
operator, name, argument order or function; a term, sign or step too few or too many; an index one
off). Its outputs are computed in float64 and rounded to float32. A wrong float32 implementation
cannot come nearer to right. Each check sees all mutants, with one exception: a generic edit is
shown to the laws only if no case refuses it.

{summary}

The rules of others (see [rules.md](rules.md)) judge the same probes, drawn cases and golden
vectors.

## Survivors

A mutant that no check kills is compared with the text in float64 on all those inputs and on
{fresh} more. {same} are the same function on everything tried, {below} differ by less than float32
arithmetic may, {further} are found on those further inputs only. Without those that are the same
function, the share of generic edits that is killed is **{score}**.

{survivors}

## Mistakes

{mistakes}

## Generic edits

{generic}
"""


def survivors(rows: list[Row]) -> str:
    """The survivors that are not the same function, one line each, and the others counted."""
    lines = []
    for end in reversed(ENDS[1:]):
        for row in rows:
            lines += [f"- {row.op}: {says} ({end})" for says, e in row.survivors if e == end]
    return "\n".join(lines)


def stored(log: Path | None) -> dict[tuple[str, str], Row]:
    """The rows of a log, by operation and kind; those of operations that are gone are left out."""
    if not log or not log.exists():
        return {}
    rows = map(Row.read, log.read_text().splitlines())
    return {(row.op, row.kind): row for row in rows if row.op in OPS}


def judged(tasks: list[tuple[str, str, int]], processes: int, log: Path | None) -> Iterator[Row]:
    """The rows of the tasks; each is told, and written to the log, as soon as it is there."""
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for row in pool.map(judge_mutants, tasks):
            if row.mutants:
                print(
                    f"{row.op:28} {row.kind:9} {row.killed:>5} of {row.mutants:>5} killed"
                    f"  {row.seconds:6.1f} s",
                    flush=True,
                )
            if log:
                with log.open("a") as file:
                    file.write(json.dumps(vars(row)) + "\n")
            yield row


def as_page(rows: list[Row], every: int) -> str:
    """The page docs/mutants.md."""
    generic = [row for row in rows if row.kind == "generic"]
    ends = Counter(end for row in rows for _, end in row.survivors)
    same = sum(end == ENDS[0] for row in generic for _, end in row.survivors)
    different = sum(row.mutants for row in generic) - same
    return PAGE.format(
        sampled=f", of the generic edits every {every}th" if every > 1 else "",
        summary=summary(rows),
        fresh=FRESH,
        same=ends[ENDS[0]],
        below=ends[ENDS[1]],
        further=ends[ENDS[2]],
        score=share(sum(row.killed for row in generic), different),
        survivors=survivors(rows),
        mistakes=table(rows, "mistakes"),
        generic=table(rows, "generic"),
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.audit.mutants", description=__doc__)
    parser.add_argument("ops", nargs="*", help="default: all")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--every", type=int, default=1, help="every so many generic edits only")
    parser.add_argument("--page", type=Path, help="write the matrix to this file")
    parser.add_argument("--log", type=Path, help="a line a row; what it holds is not judged again")
    options = parser.parse_args()
    kinds = ("mistakes", "dialects", "generic")
    done = stored(options.log)
    asked = [(n, k, options.every) for n in options.ops or OPS for k in kinds]
    for row in judged([t for t in asked if t[:2] not in done], options.processes, options.log):
        done[row.op, row.kind] = row
    rows = [done[name, kind] for name, kind, _ in asked]
    page = as_page(rows, options.every)
    print(page)
    if options.page:
        options.page.write_text(page)
    listed = [row for row in rows if row.kind != "generic"]
    return int(any(row.killed < row.mutants for row in listed))


if __name__ == "__main__":
    sys.exit(main())
