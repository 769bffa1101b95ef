"""The table of a whole model, layer by layer, on a terminal."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import TextIO

from refimpl.oracle.findings import Finding, Report
from refimpl.oracle.reports.text import FINE, number, paint

BLOCK = re.compile(r"(.*?\.\d+)(\..*)?")  # a block is called by the first number in its name


def show(reports: Sequence[Report], stream: TextIO | None = None) -> None:
    """Print a table for each model, a line for each block, and the first layer that deviates.

    A layer whose bound is too wide to judge it is unsupported, and the reason stands below.
    """
    stream = stream or sys.stdout
    for report in reports:
        if not report.findings:
            continue  # interrupted before it was judged
        bad = [f for f in report.findings if f.status not in FINE]
        first = bad[0] if bad else report.findings[0]
        layers = sum(f.cases for f in report.findings)
        status = first.status if bad else "conforms" if layers else "not judged"
        left = [f for f in report.findings if f.status == "unsupported"]
        says = f"{layers} layers" if layers else f"{first.says}"
        says += f", {len(left)} not judged" if layers and left else ""
        title = f"{report.target} ({report.version})" if report.version else report.target
        print(f"{title}: {paint(status, status, stream)}, {says}", file=stream)
        if not layers:
            continue
        groups: dict[str, list[Finding]] = {}
        for f in report.findings:
            block = BLOCK.fullmatch(f.op)
            groups.setdefault(block[1] if block else f.op, []).append(f)
        wide = max(map(len, groups))
        print(f"\n  {'layer':<{wide}} {'values':>6} {'worst':>9}  status", file=stream)
        for name, group in groups.items():
            row = max(group, key=lambda f: (f.status not in FINE, f.status != "conforms", f.worst))
            row_status = paint(row.status, row.status, stream)
            line = f"  {name:<{wide}} {len(group):>6} {number(row.worst):>9}  {row_status}"
            print(line, file=stream)
        says = "the largest error ÷ the error allowed, given the target's own input"
        print(f"\n  worst: {says}", file=stream)
        for f in left:
            print(f"  not judged: {f.op}: {f.says}", file=stream)
        if bad:
            print(f"  first: {first.says}", file=stream)
            verb = "conforms to dialect" if status == "dialect" else "cause"
            for found in first.causes:
                print(f"  {verb}: {found.says}", file=stream)
                for line in found.diff.splitlines():
                    print(f"    {line}", file=stream)
            print(f"  again: {first.replay}", file=stream)
        print(file=stream)
