"""`refimpl bench`: the speed of the compiled twins, next to frameworks."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from refimpl.commands import arguments, progress
from refimpl.commands.endings import CONFORMS


def add(commands: Any) -> None:
    """The command and its options."""
    bench = commands.add_parser("bench", help="the compiled twins' speed, next to frameworks")
    bench.add_argument(
        "--against",
        metavar="PEER,…",
        default="",
        help="torch, torch.compile, jax, onnxruntime, faiss, numpy; default: those installed here",
    )
    bench.add_argument(
        "--work", nargs="+", default=[], metavar="NAME", help="default: most; none: none"
    )
    bench.add_argument("--threads", type=int, default=0, help="default: all processors")
    bench.add_argument(
        "--seconds", type=arguments.seconds, default=1.0, help="a pair is repeated for; default: 1"
    )
    bench.add_argument("--growth", action="store_true", help="exponents of time and memory")
    bench.add_argument("--json", metavar="FILE", type=Path)
    bench.add_argument("--starts", action="store_true", help="import, first calls, verification")
    bench.add_argument(
        "--plot", metavar="FILE", type=Path, help="growth, and the ratios; needs matplotlib"
    )
    bench.add_argument("--page", metavar="FILE", type=Path, help="a Markdown page with marks")
    bench.set_defaults(run=run_bench)


def run_bench(options: argparse.Namespace) -> int:
    """Measure, print the table, write the files."""
    from refimpl.bench import run as bench
    from refimpl.compiled import threads
    from refimpl.oracle.targets.sessions import TargetError

    for path in (options.json, options.plot, options.page):
        if path and not path.parent.is_dir():
            raise TargetError(f"{path}: there is no such folder")
    if options.threads < 0:
        raise TargetError(f"--threads is {options.threads}, expected at least 1")
    if options.page and not options.page.is_file():
        raise TargetError(f"{options.page}: there is no such page")
    works = bench.choose(options.work)
    peers = options.against.split(",") if options.against else list(bench.PEERS)
    threads.use(options.threads or threads.count())
    try:
        result = bench.run(
            works,
            peers,
            grow=options.growth or bool(options.plot),
            seconds=options.seconds,
            progress=progress.of(len(works)),
            start=options.starts,
        )
        progress.clear()
        print(result.table())
        if options.json:
            bench.write(result, options.json)
        if options.plot:
            result.plot(options.plot)
        if options.page:
            bench.write_page(result, options.page)
    except bench.Unavailable as error:
        raise TargetError(str(error)) from None
    return CONFORMS
