"""The command `refimpl`."""

from __future__ import annotations

import argparse
import contextlib
import secrets
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import refimpl
from refimpl.commands import arguments
from refimpl.commands import models as cli_models
from refimpl.commands.terminal import Screen, Unheard

CONFORMS, DEVIATES, INTERRUPTED, INTERNAL, USAGE, NOTHING = range(6)
ENDINGS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        prog="refimpl",
        description="Is my implementation right, and if not, what did I do wrong?",
        epilog="exit codes: 0 conforms, 1 deviates, 2 interrupted, 3 internal error, "
        "4 usage error, target cannot be loaded or report not written, "
        "5 nothing, or too little, was judged",
    )
    top.add_argument("--version", action="version", version=f"refimpl {refimpl.__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    verify = commands.add_parser("verify", help="judge implementations, operation by operation")
    verify.add_argument(
        "targets",
        nargs="*",
        metavar="TARGET",
        help="fast, onnxruntime, torch, jax, a library such as diffusers, or a file ending in .py; "
        "default: the first four, as far as they are found here",
    )
    _add_chapters(verify)
    verify.add_argument("--op", action="append", default=[], metavar="NAME", dest="ops")
    verify.add_argument(
        "--precision",
        action="append",
        default=[],
        choices=("float64", "float32", "tf32", "bfloat16", "float16"),
        dest="precisions",
    )
    verify.add_argument(
        "--profile", choices=("quick", "ci", "deep", "campaign"), help="default: ci"
    )
    verify.add_argument(
        "--count",
        type=arguments.natural,
        default=10_000,
        metavar="N",
        help="random cases of each operation and precision in a campaign; default: %(default)s",
    )
    verify.add_argument(
        "--scheduler",
        default="",
        metavar="ADDRESS",
        help="the Dask scheduler of a campaign; default: processes of this machine",
    )
    verify.add_argument("--workers", type=arguments.natural, metavar="N", help="how many of them")
    verify.add_argument(
        "--results",
        metavar="DIR",
        type=Path,
        default=Path(".refimpl", "campaign"),
        help="what a campaign knows already, so that it can go on; default: %(default)s",
    )
    verify.add_argument(
        "--seed",
        type=arguments.seed,
        metavar="N",
        help="of the drawn cases; default: a fresh one, which is printed; of a campaign, which can "
        "go on: 0",
    )
    verify.add_argument(
        "--limit",
        type=arguments.seconds,
        metavar="SECONDS",
        help=f"of a call, default {arguments.CALL:g}; of a program, default {arguments.PROGRAM:g}",
    )
    verify.add_argument(
        "--allow", action="append", default=[], metavar="ID", help="a cause that does not count"
    )
    verify.add_argument(
        "--baseline",
        metavar="FILE",
        type=Path,
        help="known deviations as TOML, each with a reason and the day on which it expires",
    )
    verify.add_argument(
        "--cmd",
        type=arguments.program,
        metavar="'PROGRAM {in} {out}'",
        help="a program in any language, started once with the inputs of the golden vectors",
    )
    verify.add_argument(
        "--from", metavar="DIR", type=Path, dest="place", help="outputs computed elsewhere"
    )
    verify.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="NAME",
        dest="models",
        help="a whole model, layer by layer, such as vit-b-16 or clip-vit-b-32, of transformers, "
        "open_clip, timm, onnxruntime or a file ending in .py",
    )
    verify.add_argument(
        "--cases",
        metavar="DIR",
        type=Path,
        default=Path(".refimpl", "cases"),
        help="where the smallest failing inputs are stored; default: %(default)s",
    )
    verify.add_argument("--json", metavar="FILE", type=Path)
    verify.add_argument("--junit", metavar="FILE", type=Path, help="the report as JUnit XML")
    verify.add_argument("--html", metavar="FILE", type=Path, help="the report as one HTML page")
    verify.set_defaults(run=run_verify)

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
    export.set_defaults(run=run_vectors_export)

    cli_models.add(commands)

    replay = commands.add_parser("replay", help="run one case again")
    replay.add_argument(
        "case",
        metavar="CASE",
        help="as in a report: attention/float32/0-17; a stored file: .refimpl/cases/….json; or a "
        "golden case: attention/probe0",
    )
    replay.add_argument("target", metavar="TARGET")
    _add_chapters(replay)
    replay.add_argument("--precision", default="", help="of a golden case; default: float32")
    replay.set_defaults(run=run_replay)

    explain = commands.add_parser("explain", help="an operation, or a mistake as a diff")
    explain.add_argument("name", metavar="OP|MISTAKE")
    _add_chapters(explain)
    explain.set_defaults(run=run_explain)

    bench = commands.add_parser("bench", help="the compiled twins' speed, next to frameworks")
    bench.add_argument(
        "--against",
        metavar="PEER,…",
        default="",
        help="torch, torch.compile, jax, onnxruntime; default: those installed here",
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

    listing = commands.add_parser("list", help="the operations")
    _add_chapters(listing)
    listing.set_defaults(run=run_list)
    commands.add_parser("doctor", help="what is installed here").set_defaults(run=run_doctor)
    return top


def _add_chapters(command: argparse.ArgumentParser) -> None:
    """Where operations that are not ours come from."""
    command.add_argument(
        "--page",
        action="append",
        default=[],
        metavar="FILE",
        dest="pages",
        help="your own functions, annotated with axes: judge functions of the same name by them",
    )
    command.add_argument(
        "--chapter",
        action="append",
        default=[],
        metavar="MODULE",
        dest="chapters",
        help="a module with OPS or MODELS of its own",
    )


def bring_chapters(options: argparse.Namespace) -> list[str]:
    """Add what installed packages, chapters and pages offer; the operations of the last two."""
    from refimpl import own, registry
    from refimpl.models.registry import bring as bring_models

    installed = own.installed_chapters()
    for name in installed:
        registry.bring(own.chapter(name))
    asked: list[str] = []
    for path in options.pages:
        asked += registry.bring(own.page(path), "--page", path)
    for name in options.chapters:
        asked += registry.bring(own.chapter(name), "--chapter", name)
    for name in (*installed, *options.chapters):
        bring_models(own.chapter_models(name), name)
    return asked


def run_verify(options: argparse.Namespace) -> int:
    """Judge, print, write the reports; what was measured survives an interruption."""
    from refimpl.oracle.findings import Report
    from refimpl.oracle.reports import files
    from refimpl.oracle.reports import models as layerwise
    from refimpl.oracle.reports import text as report
    from refimpl.oracle.runs import baseline, campaign
    from refimpl.oracle.runs.foreign_outputs import verify_recorded
    from refimpl.oracle.runs.models import verify_models
    from refimpl.oracle.runs.verify import verify
    from refimpl.oracle.targets.sessions import TargetError
    from refimpl.registry import OPS, find

    brought = bring_chapters(options)
    if options.models and (options.ops or options.precisions or options.cmd or options.place):
        raise TargetError("--model judges whole models in float32: no --op, --precision, --cmd")
    options.ops = options.ops or ([] if options.models else brought)
    for name in options.ops:
        find(name)
    arguments.check_verify(options)
    for path in (options.json, options.junit, options.html):
        if path and not path.parent.is_dir():
            raise TargetError(f"{path}: there is no such folder")
        if path:
            files.check_place(path)
    known = baseline.read(options.baseline) if options.baseline else []
    seed = options.seed
    if seed is None:
        seed = 0 if options.profile == "campaign" else secrets.randbelow(1 << 31)
    remarks: list[str] = []
    reports: list[Report] = []
    code = INTERNAL
    try:
        if options.cmd or options.place:
            if options.targets or (options.cmd and options.place):
                raise TargetError("give targets, --cmd or --from, one of them")
            verify_recorded(
                command=options.cmd or "",
                place=options.place,
                ops=options.ops,
                precisions=options.precisions,
                limit=options.limit,
                allow=options.allow,
                reports=reports,
            )
        elif options.models:
            verify_models(
                *options.targets,
                models=options.models,
                seed=seed,
                allow=options.allow,
                reports=reports,
                progress=_progress(len(options.targets) * len(options.models)),
            )
        elif options.profile == "campaign":
            campaign.campaign(
                *options.targets,
                count=options.count,
                results=options.results,
                ops=options.ops,
                precisions=options.precisions,
                seed=seed,
                limit=options.limit,
                allow=options.allow,
                scheduler=options.scheduler,
                workers=options.workers,
                reports=reports,
                progress=_counted,
            )
        else:
            verify(
                *options.targets,
                ops=options.ops,
                precisions=options.precisions,
                profile=options.profile,
                seed=seed,
                limit=options.limit,
                allow=options.allow,
                reports=reports,
                cases=options.cases,
                progress=_progress(len(options.ops) or len(OPS)),
            )
        remarks = baseline.apply(reports, known)
        code = DEVIATES if any(r.wrong for r in reports) else CONFORMS
        judged = any(finding.judged for r in reports for finding in r.findings)
        if code == CONFORMS and not (judged and all(r.conforms for r in reports)):
            code = NOTHING
    except KeyboardInterrupt:
        code = INTERRUPTED
    finally:
        _clear_progress()
        complete = code in (CONFORMS, DEVIATES, NOTHING)
        lost = files.write(
            reports, json=options.json, junit=options.junit, html=options.html, complete=complete
        )
        if any(r.findings for r in reports):
            layerwise.show(reports) if options.models else report.show(reports)
            if not (options.cmd or options.place):
                print(f"\nseed {seed}: the same cases again with --seed {seed}")
        for remark in remarks:
            print(f"baseline: {remark}")
        for says in lost:
            print(f"refimpl: {says}", file=sys.stderr)
    if code == NOTHING and any(r.findings for r in reports):
        print("not judged: what is refused or left out is not known to be right", file=sys.stderr)
    elif code == NOTHING:
        print("nothing to verify: no target offers any of these operations", file=sys.stderr)
    if code == INTERRUPTED:
        print("interrupted; the above is what was measured", file=sys.stderr)
    return USAGE if lost and code == CONFORMS else code


def _progress(total: int) -> Callable[[str], None]:
    if not sys.stderr.isatty():
        return lambda _: None
    started, seen = time.monotonic(), set()

    def show(what: str) -> None:
        seen.add(what.split(" in ")[0])
        if time.monotonic() - started > 2:
            line = f"{min(len(seen), total)}/{total}  {what}"
            print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)

    return show


def _counted(what: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{what}", end="", file=sys.stderr, flush=True)


def _clear_progress() -> None:
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)


def run_replay(options: argparse.Namespace) -> int:
    """Say FIXED, STILL FAILING or FLAKY."""
    from refimpl.oracle.runs.verify import replay

    bring_chapters(options)
    found = replay(options.case, options.target, precision=options.precision)
    print(f"{found.says}: {found.verdict}")
    if found.cause:
        print(found.cause)
    return CONFORMS if found.says == "FIXED" else DEVIATES


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
    """Write the vectors to a folder."""
    from refimpl.oracle.vectors import golden
    from refimpl.registry import find

    if options.large:
        from refimpl.oracle.judging import large

        wrong = large.export(options.dir)
        for name in large.LARGE:
            says = "the digest does not fit" if name in wrong else "as it should be"
            print(f"{name}.safetensors: {says}")
        return DEVIATES if wrong else CONFORMS
    for name in options.ops:
        find(name)
    count = golden.export(options.dir, options.format, tuple(options.ops))
    print(f"{count} cases written to {options.dir}")
    return CONFORMS


def run_explain(options: argparse.Namespace) -> int:
    """Print an operation with all that is known about it, or one mistake as a diff."""
    import inspect

    from refimpl.oracle.diagnosis.causes import diff
    from refimpl.registry import find

    bring_chapters(options)
    name, _, slug = options.name.partition("/")
    op = find(name)
    known = {edit.id: edit for edit in (*op.dialects, *op.mistakes, *op.lossy)}
    if slug:
        if options.name not in known:
            raise KeyError(f"{name} has no mistake or dialect {slug!r}; see refimpl explain {name}")
        edit = known[options.name]
        print(f"{edit.id}: {edit.says}")
        for label, text in (("effect", edit.effect), ("seen", edit.source)):
            if text:
                print(f"  {label}: {text}")
        print(diff(op, edit))
        return CONFORMS
    print(inspect.getsource(op.text))
    print("laws:", *(law.says for law in op.laws), sep="\n  ")
    for title, edits in (
        ("dialects", op.dialects),
        ("mistakes", op.mistakes),
        ("lossy forms", op.lossy),
    ):
        if edits:
            print(f"{title}:", *(f"{edit.id}: {edit.says}" for edit in edits), sep="\n  ")
    return CONFORMS


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
            progress=_progress(len(works)),
            start=options.starts,
        )
        _clear_progress()
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
    from refimpl.oracle.targets.sessions import KNOWN, installed

    for name, value in environment().items():
        print(f"{name:<20} {value}")
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


def main(words: list[str] | None = None) -> Any:
    """Parse, run, and turn every ending into an exit code."""
    with (
        contextlib.redirect_stdout(cast(Any, Screen(cast(Any, Unheard(sys.stdout))))),
        contextlib.redirect_stderr(cast(Any, Screen(sys.stderr))),
    ):
        code = _main(words)
        sys.stdout.flush()
    raise SystemExit(code)


def _main(words: list[str] | None) -> int:
    from refimpl.oracle.targets.sessions import TargetError
    from refimpl.oracle.vectors.golden import VectorError
    from refimpl.own import OperationError

    if sys.flags.optimize > 1:
        print("refimpl: reads its own docstrings, which python -OO removes", file=sys.stderr)
        return USAGE
    try:
        options = parser().parse_args(words)
    except SystemExit as end:
        return USAGE if end.code else CONFORMS
    try:
        with _endings_as_interruptions():
            return options.run(options)
    except (TargetError, VectorError, OperationError, KeyError) as error:
        print(f"refimpl: {error.args[0]}", file=sys.stderr)
        return USAGE
    except KeyboardInterrupt:
        return INTERRUPTED
    except (OSError, MemoryError) as error:
        print(f"refimpl: {error or 'out of memory'}", file=sys.stderr)
        return USAGE
    except Exception:
        import traceback

        traceback.print_exc()
        print("refimpl: internal error; please report the above", file=sys.stderr)
        return INTERNAL


@contextlib.contextmanager
def _endings_as_interruptions() -> Iterator[None]:
    """Whoever ends the command gets what was measured, as after an interruption."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, interrupt) for number in ENDINGS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    main()
