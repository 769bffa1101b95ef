"""Reports for people: the verdict first, then a line for each operation and target."""

from __future__ import annotations

import os
import sys
from typing import TextIO

from refimpl.oracle.diagnosis.shrink import numbers
from refimpl.oracle.runs.verify import Finding, Report

FINE = ("conforms", "unsupported")
COLOURS = {"conforms": "32", "dialect": "36", "deviates": "31", "crashes": "31", "unsupported": "2"}


def paint(text: str, status: str, stream: TextIO) -> str:
    """Colour a word, on a terminal only."""
    if not stream.isatty() or os.environ.get("NO_COLOR"):
        return text
    return f"\033[{COLOURS.get(status, '0')}m{text}\033[0m"


def label(report: Report) -> str:
    """A target by its short name."""
    return os.path.basename(report.target)


def number(worst: float) -> str:
    """An error ÷ allowed in three digits.

    >>> number(0.03123), number(1234.5), number(float("inf")), number(0)
    ('0.031', '1.23e+03', 'inf', '0')
    """
    if worst == 0:
        return "0"
    return f"{worst:.2g}" if worst < 1 else f"{worst:.3g}"


def amount(count: int) -> str:
    """How many numbers, in words that agree.

    >>> amount(1), amount(4)
    ('1 number', '4 numbers')
    """
    return f"{count} number{'' if count == 1 else 's'}"


def merge(findings: list[Finding]) -> Finding:
    """One line for all precisions of an operation: the worst of them."""
    rank = ("unsupported", "conforms", "dialect", "deviates", "crashes")
    worst = max(findings, key=lambda f: (rank.index(f.status), f.worst))
    line = Finding(**vars(worst))
    line.cases = sum(f.cases for f in findings)
    line.refused = sum(f.refused for f in findings)
    line.worst = max(f.worst for f in findings)
    return line


def lines(report: Report) -> dict[str, Finding]:
    """The findings of a target, an operation a line."""
    grouped: dict[str, list[Finding]] = {}
    for finding in report.findings:
        grouped.setdefault(finding.op, []).append(finding)
    return {op: merge(found) for op, found in grouped.items()}


def verdict(report: Report) -> str:
    """One sentence on a target."""
    table = lines(report)
    counts = {status: sum(f.status == status for f in table.values()) for status in COLOURS}
    bad = counts["deviates"] + counts["crashes"]
    permitted = sum(report.allows(f) for f in table.values())
    cases = sum(f.cases for f in report.findings)
    head = "conforms" if report.conforms else "deviates"
    parts = [f"{bad} of {len(table)} operations deviate" if bad else f"{len(table)} operations"]
    if permitted:
        parts.append(f"{permitted} of them as allowed")
    if counts["dialect"]:
        parts.append(f"{counts['dialect']} in a dialect")
    if counts["unsupported"]:
        parts.append(f"{counts['unsupported']} unsupported")
    parts.append(f"{cases} cases")
    name = f"{report.target} {report.version}".strip()
    return f"{name:<20} {head:<9} {', '.join(parts)}"


def show(reports: list[Report], stream: TextIO | None = None) -> None:
    """Print verdicts, the table, and what to look at next."""
    stream = stream or sys.stdout
    for report in reports:
        status = "conforms" if report.conforms else "deviates"
        print(paint(verdict(report), status, stream), file=stream)
    print(file=stream)
    wide = max(len(label(report)) for report in reports)
    print(f"{'operation':<27} {'target':<{wide}} {'cases':>6} {'worst':>9}  status", file=stream)
    tables = [(report, lines(report)) for report in reports]
    names = dict.fromkeys(op for _, table in tables for op in table)
    for name in names:
        first = name
        for report, table in tables:
            if name in table:
                finding = table[name]
                row = f"{first:<27} {label(report):<{wide}} "
                row += f"{finding.cases:>6} {number(finding.worst):>9}  "
                refused = f" ({finding.refused} refused)" if finding.refused else ""
                refused += " (allowed)" if report.allows(finding) else ""
                status = paint(finding.status, finding.status, stream)
                print(row + status + refused, file=stream)
                first = ""
    print("\nworst: the largest error ÷ the error allowed", file=stream)
    for report in reports:
        for findings in alike(report):
            explain(report, findings, stream)


def alike(report: Report) -> list[list[Finding]]:
    """What deviates or speaks a dialect; the precisions of one cause stand together."""
    groups: dict[tuple, list[Finding]] = {}
    for finding in report.findings:
        if finding.status not in FINE:
            causes = tuple((cause["id"], cause["says"]) for cause in finding.causes)
            groups.setdefault((finding.op, finding.status, causes), []).append(finding)
    return list(groups.values())


def explain(report: Report, findings: list[Finding], stream: TextIO) -> None:
    """What is wrong with one operation, and the command that shows it again."""
    finding = max(findings, key=lambda f: f.worst)
    precisions = " and ".join(f.precision for f in findings)
    title = f"{label(report)}: {finding.op} in {precisions}"
    print(f"\n{paint(title + ' ' + finding.status, finding.status, stream)}", file=stream)
    print(f"  {finding.says}", file=stream)
    if len(finding.causes) > 1:
        count = len(finding.causes)
        print(f"  {count} causes fit, and no input tried tells them apart:", file=stream)
    for cause in finding.causes:
        if cause["kind"] == "unknown":
            print("  cause: unknown; no known mistake fits every case", file=stream)
            for fact in finding.facts:
                print(f"  known: {fact}", file=stream)
            continue
        verb = "conforms to dialect" if cause["kind"] == "dialect" else "looks like"
        name = "a change not in the catalogue" if cause["id"] == "unlisted" else cause["id"]
        print(f"  {verb} {name}: {cause['says']}", file=stream)
        for line in cause["diff"].splitlines()[2:]:
            print(f"    {line}", file=stream)
    if finding.step:
        step, _, says = finding.step.partition("\n")
        print(f"  first wrong step: {step}\n    {says}", file=stream)
    small = finding.smallest
    if small:
        print(f"  smallest input, {amount(numbers(small.case))}:", file=stream)
        print(f"    {small.call}\n    {small.says}", file=stream)
    replays = [small.replay] if small and small.replay else []
    for replay in (*replays, finding.replay):
        print(f"  again: {replay}", file=stream)
