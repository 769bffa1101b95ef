"""`python -m tests.audit`: soundness and sharpness of every bound, as one table."""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from refimpl.oracle.judging.allowances import LIKELY
from refimpl.oracle.reports.text import number
from refimpl.registry import OPS
from tests.audit import judged
from tests.audit.audits import Audit, audit_op

HEAD = [
    "| operation | inputs | ways | trials | rejected | worst honest | way | mistakes | least |",
    "|---|---:|---:|---:|---:|---:|---|---:|---:|",
]


def row(a: Audit) -> str:
    """One operation's audit as a line of Markdown."""
    worst = "exact" if a.exact else "choice" if a.chosen else number(a.worst)
    least = number(a.least_mistake) if a.mistakes else "–"
    return (
        f"| {a.op} | {a.inputs} | {a.ways} | {a.trials} | {a.rejections} | {worst} "
        f"| {'' if a.exact or a.chosen else a.way} | {a.mistakes} | {least} |"
    )


PAGE = """# Is the bound sound and sharp?

Made by `make audit`. A bound is *sound* if it accepts every honest way of computing. `rejected`
counts the trials in which it did not; it must be 0. A bound is *sharp* if it is hardly larger than
it must be. Two columns show that. `worst honest` is the largest error ÷ allowed that a search over
honest ways and float32 inputs found. `least` belongs to the known mistake that is hardest to see:
how many times over the bound it is, on the input that shows it best. "exact" marks operations that
move numbers about and allow no error at all. "choice" marks those that return places: a choice is
right or wrong, and how near its scores come to the bound cannot be seen in it.

There are three kinds of honest ways. One is the operation in float32 NumPy. Another is the text in
a simulated precision, with another summation order, fused products, powers of two, reciprocals or
sloppy elementary functions (float32 first, then float64, tf32, bfloat16 and float16 on fewer
inputs). The third are rewritten forms that real libraries compute.

{table}

## What is not judged

An element is judged where the error allowed to it is smaller than the largest number of its answer;
else an answer of zeros would do. In a half format the bound admits arithmetic in that format
throughout; where that says nothing, the one for kernels applies, which compute in float32 and
store in half. Where that says nothing either, n roundings are taken to be independent and count
as {likely:.1f} √n, which they exceed once in 2⁴⁰. `throughout` counts the elements that the first
of these bounds leaves unjudged, `not judged` those that all of them do, `by √n` those that the last
one judges. More than {most:.0f} % not judged fail this audit, except where the draws themselves are
so ill-conditioned that the format cannot hold the answer: those are listed with a ceiling of their
own in `tests/audit/judged.py`.

{judged}
"""


def page(audits: list[Audit], before: str) -> str:
    """The audit as a page; what it says of operations that were not audited now it says still."""
    audited = {a.op for a in audits}
    bounds, counts = (kept(part, audited) for part in (*before.split("\n## ", 1), "")[:2])
    for a in audits:
        bounds[a.op] = [row(a)]
        counts[a.op] = judged.rows(a.counts)
    return PAGE.format(
        table="\n".join(HEAD + in_order(bounds)),
        judged="\n".join(judged.HEAD + in_order(counts)),
        likely=LIKELY,
        most=100 * judged.MOST,
    )


def kept(table: str, audited: set[str]) -> dict[str, list[str]]:
    """The lines of a table by operation, of those that are not audited now."""
    found: dict[str, list[str]] = {}
    for line in table.splitlines():
        name = line.strip("|").split("|")[0].strip()
        if line.startswith("| ") and name in OPS and name not in audited:
            found.setdefault(name, []).append(line)
    return found


def in_order(rows: dict[str, list[str]]) -> list[str]:
    """The lines of all operations, in the order of the chapters."""
    return [line for name in OPS for line in rows.get(name, ())]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.audit", description=__doc__)
    parser.add_argument("ops", nargs="*", help="default: all")
    parser.add_argument("--inputs", type=int, default=200, help="random inputs in float32")
    parser.add_argument("--others", type=int, default=40, help="in each other precision")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--page", type=Path, help="write the table to this file")
    options = parser.parse_args()
    audits = []
    with ProcessPoolExecutor(options.processes, mp_context=get_context("spawn")) as pool:
        names = options.ops or list(OPS)
        jobs = {
            n: pool.submit(audit_op, n, options.inputs, options.others, options.seed) for n in names
        }
        for i, name in enumerate(names):
            audits.append(jobs[name].result())
            a = audits[-1]
            print(
                f"{i + 1}/{len(names)} {a.op}: {a.rejections} rejected of {a.trials}, worst "
                f"{number(a.worst)} ({a.way}), {a.seconds:.0f} s {a.example}",
                file=sys.stderr,
                flush=True,
            )
    print("\n".join([*HEAD, *map(row, audits)]))
    if options.page:
        before = options.page.read_text() if options.page.exists() else ""
        options.page.write_text(page(audits, before))
    failures: list[object] = [a for a in audits if a.rejections or a.least_mistake < 10]
    failures += [count for a in audits for count in a.counts if not count.enough]
    for a in audits:
        for count in a.counts:
            if not count.enough:
                print(count, file=sys.stderr)
    dull = [a.op for a in audits if not (a.exact or a.chosen) and a.worst < 0.05]
    if dull:
        print(f"not sharp (below 0.05): {', '.join(dull)}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
