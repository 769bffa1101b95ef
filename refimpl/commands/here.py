"""`refimpl list` and `refimpl doctor`: what there is, and what is installed."""

from __future__ import annotations

import argparse
from typing import Any

from refimpl.commands.chapters import add_chapters, bring_chapters
from refimpl.commands.endings import CONFORMS


def add(commands: Any) -> None:
    """Both commands and their options."""
    listing = commands.add_parser("list", help="the operations")
    add_chapters(listing)
    listing.set_defaults(run=run_list)
    commands.add_parser("doctor", help="what is installed here").set_defaults(run=run_doctor)


def run_list(options: argparse.Namespace) -> int:
    """The table of operations."""
    from refimpl.registry import OPS

    bring_chapters(options)
    for op in OPS.values():
        first = ((op.text.__doc__ or "").strip().splitlines() or [""])[0]
        print(f"{op.chapter:<16} {op.name:<27} {first}")
    return CONFORMS


def run_doctor(_: argparse.Namespace) -> int:
    """Versions, and what can be judged here."""
    from importlib.metadata import PackageNotFoundError, version

    from refimpl.compiled import loading, threads
    from refimpl.oracle.findings import environment
    from refimpl.oracle.runs.models import libraries
    from refimpl.oracle.targets.processes import unguarded
    from refimpl.oracle.targets.sessions import KNOWN, installed

    for name, value in environment().items():
        print(f"{name:<20} {value}")
    print(f"{'targets may':<20} {', '.join(unguarded()) or 'change nothing of the oracle'}")
    for name in ("numba", "scipy", "hypothesis", "ml_dtypes"):
        try:
            print(f"{name:<20} {version(name)}")
        except PackageNotFoundError:
            print(f"{name:<20} not installed")
    for name in KNOWN:
        found = name in installed(KNOWN)
        print(f"{name:<20} {'can be judged' if found else 'not installed'}")
    print(f"{'whole models':<20} {', '.join(libraries()) or 'of no library'}")
    folder = loading.cache()
    kept = [path for path in folder.rglob("*.nbc") if path.is_file()]
    size = sum(path.stat().st_size for path in kept) / 2**20
    print(f"{'kernels':<20} {folder}: {len(kept)} compiled, {size:.1f} MiB")
    print(f"{'threads':<20} {threads.count()} share a kernel or a matrix product")
    for library in threads.openblas():
        print(f"{'BLAS':<20} {library.package}: {library.file}, {library.get()} threads")
    return CONFORMS
