"""`refimpl vectors`: check the golden vectors, or export them."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from refimpl.commands.chapters import add_chapters, bring_chapters
from refimpl.commands.endings import CONFORMS, DEVIATES

DRAWN = 24  # cases of an operation that is not ours


def add(commands: Any) -> None:
    """The command and its options."""
    vectors = commands.add_parser("vectors", help="the golden vectors")
    actions = vectors.add_subparsers(dest="action", required=True, metavar="check|export")
    check = actions.add_parser("check", help="digests, structure, and every value derived again")
    check.add_argument("--op", action="append", default=[], metavar="NAME", dest="ops")
    check.add_argument("--dir", type=Path, help="another folder of vectors")
    check.set_defaults(run=run_vectors_check)
    export = actions.add_parser("export", help="for programs in other languages")
    export.add_argument("dir", type=Path, metavar="DIR")
    export.add_argument("--format", choices=("json", "safetensors", "raw"), default="json")
    export.add_argument(
        "--large", action="store_true", help="cases of model size, made here, as safetensors"
    )
    export.add_argument("--op", action="append", default=[], metavar="NAME", dest="ops")
    add_chapters(export)
    export.set_defaults(run=run_vectors_export)


def run_vectors_check(options: argparse.Namespace) -> int:
    """Check the vectors and say what was checked."""
    from refimpl.oracle.vectors import golden
    from refimpl.registry import find

    for name in options.ops:
        find(name)
    started = time.monotonic()
    found = golden.check(options.dir, tuple(options.ops))
    verdict = "the vectors hold" if not found.problems else f"{len(found.problems)} problems"
    print(f"{verdict}: {found.cases} cases, {found.values} values")
    if found.rederived:
        print(f"{found.rederived} values derived again, largest radius {found.radius:.1e} ulp")
    else:
        print("values not derived again: python-flint is not installed")
    print(f"{time.monotonic() - started:.1f} s")
    for problem in found.problems:
        print(f"  {problem}")
    return DEVIATES if found.problems else CONFORMS


def run_vectors_export(options: argparse.Namespace) -> int:
    """Write the vectors to a folder; an error of the disk names it."""
    try:
        return _export(options)
    except OSError as error:
        error.filename = error.filename or str(options.dir)
        raise


def _export(options: argparse.Namespace) -> int:
    from refimpl.oracle.vectors import golden
    from refimpl.own import OwnOp
    from refimpl.registry import find

    if options.large:
        from refimpl.oracle.judging import large

        wrong = large.export(options.dir)
        for name in large.LARGE:
            says = "the digest does not fit" if name in wrong else "as it should be"
            print(f"{name}.safetensors: {says}")
        return DEVIATES if wrong else CONFORMS
    brought = bring_chapters(options)
    for name in options.ops:
        find(name)
    named = options.ops or brought
    own = [name for name in named if name in brought or isinstance(find(name), OwnOp)]
    count = sum(_export_own(options.dir, name) for name in own)
    if not named or len(own) < len(named):
        golden_ones = tuple(name for name in named if name not in own)
        count += golden.export(options.dir, options.format, golden_ones)
    print(f"{count} cases written to {options.dir}")
    return CONFORMS


def _export_own(place: Path, name: str) -> int:
    """Write drawn cases of an operation that is not ours, and its probes."""
    from refimpl.oracle.cases.drawn import generate
    from refimpl.oracle.vectors import failing_cases
    from refimpl.registry import OPS

    return failing_cases.write_all(place, OPS[name], generate(OPS[name], "float32", DRAWN))
