"""`refimpl verify`: judge implementations, operation by operation or layer by layer."""

from __future__ import annotations

import argparse
import secrets
import sys
from pathlib import Path
from typing import Any

from refimpl.commands import arguments, progress
from refimpl.commands.chapters import add_chapters, bring_chapters
from refimpl.commands.endings import CONFORMS, DEVIATES, INTERNAL, INTERRUPTED, NOTHING, USAGE


def add(commands: Any) -> None:
    """The command and its options."""
    verify = commands.add_parser("verify", help="judge implementations, operation by operation")
    verify.add_argument(
        "targets",
        nargs="*",
        metavar="TARGET",
        help="fast, onnxruntime, torch, jax, a library such as diffusers, or a file ending in .py; "
        "default: the first four, as far as they are found here",
    )
    add_chapters(verify)
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
    verify.add_argument(
        "--workers",
        type=arguments.natural,
        metavar="N",
        help="processes that judge side by side; default: one for each core, up to 8, where there "
        "are operations enough",
    )
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
        "--inputs",
        metavar="FILE",
        type=Path,
        help="the arguments of one operation as an .npz file, at the shape that a kernel is made "
        "for; its answer is judged on a sample of rows",
    )
    verify.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="NAME",
        dest="models",
        help="a whole model, layer by layer, such as vit-b-16 or clip-vit-b-32, of transformers, "
        "open_clip, timm, diffusers, onnxruntime or a file ending in .py",
    )
    verify.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        help="a scheduler_config.json: diffusers' sampler, or that of a file ending in .py, is "
        "judged as configured",
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


def run_verify(options: argparse.Namespace) -> int:
    """Judge, print, write the reports; what was measured survives an interruption."""
    from refimpl.oracle.findings import Report
    from refimpl.oracle.reports import files
    from refimpl.oracle.reports import models as layerwise
    from refimpl.oracle.reports import text as report
    from refimpl.oracle.runs import baseline, campaign, workers
    from refimpl.oracle.runs.configured import verify_config
    from refimpl.oracle.runs.foreign_outputs import verify_recorded
    from refimpl.oracle.runs.models import verify_models
    from refimpl.oracle.runs.own_shape import verify_own_shape
    from refimpl.oracle.runs.pages import keep_pages
    from refimpl.oracle.runs.verify import verify
    from refimpl.oracle.targets.processes import unguarded
    from refimpl.oracle.targets.sessions import TargetError
    from refimpl.registry import OPS, find

    keep_pages()
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
        elif options.inputs:
            if len(options.targets) != 1 or len(options.ops) != 1:
                raise TargetError("--inputs judges one target and one --op")
            precision = next(iter(options.precisions), "float32")
            at = (find(options.ops[0]), options.inputs, precision, options.limit, seed)
            reports.append(verify_own_shape(options.targets[0], *at))
        elif options.config:
            for says in verify_config(
                *options.targets,
                path=options.config,
                seed=seed,
                allow=options.allow,
                reports=reports,
            ):
                print(f"{options.config.name}: {says}")
        elif options.models:
            verify_models(
                *options.targets,
                models=options.models,
                seed=seed,
                allow=options.allow,
                reports=reports,
                progress=progress.of(len(options.targets) * len(options.models)),
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
                progress=progress.say,
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
                progress=progress.of(len(options.ops) or len(OPS)),
                workers=options.workers or workers.sensible(len(options.ops) or len(OPS)),
            )
        remarks = baseline.apply(reports, known)
        code = DEVIATES if any(r.wrong for r in reports) else CONFORMS
        judged = any(finding.judged for r in reports for finding in r.findings)
        if code == CONFORMS and not (judged and all(r.conforms for r in reports)):
            code = NOTHING
    except KeyboardInterrupt:
        code = INTERRUPTED
    finally:
        progress.clear()
        complete = code in (CONFORMS, DEVIATES, NOTHING)
        lost = files.write(
            reports, json=options.json, junit=options.junit, html=options.html, complete=complete
        )
        if any(r.findings for r in reports):
            layerwise.show(reports) if options.models else report.show(reports)
            if not (options.cmd or options.place):
                print(f"\nseed {seed}: the same cases again with --seed {seed}")
            for can in unguarded():
                print(f"not prevented here: a target may {can} (docs/verify.md)")
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
