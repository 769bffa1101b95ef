"""Reports for people: the verdict first, then a line for each operation and target."""

from __future__ import annotations

import os
import sys
from typing import TextIO

from refimpl.oracle.diagnosis.cause import UNLISTED, Cause
from refimpl.oracle.findings import SEVERITY, UNJUDGED, WRONG, Finding, Report

WRITTEN = 200  # numbers of a call that is printed; a longer one stands in its file
DIGITS = 8  # and signs of each
FINE = ("conforms", "unsupported")
COLOURS = {
    "conforms": "32",
    "dialect": "36",
    "unsupported": "2",
    "too few": "33",
    "raises": "33",
    "deviates": "31",
    "crashes": "31",
    "not judged": "33",
}


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
    worst = max(findings, key=lambda f: (SEVERITY.index(f.status), f.worst))
    line = Finding(**vars(worst))
    line.left_out = {}
    for finding in findings:
        for kind, count in finding.left_out.items():
            line.left_out[kind] = line.left_out.get(kind, 0) + count
    line.cases = sum(f.cases for f in findings)
    line.refused = sum(f.refused for f in findings)
    line.elements = sum(f.elements for f in findings)
    for name in ("unbounded", "inside", "likely"):
        setattr(line, name, sum(getattr(f, name) for f in findings))
    line.worst = max(f.worst for f in findings)
    return line


def lines(report: Report) -> dict[str, Finding]:
    """The findings of a target, an operation a line."""
    grouped: dict[str, list[Finding]] = {}
    for finding in report.findings:
        grouped.setdefault(finding.op, []).append(finding)
    return {op: merge(found) for op, found in grouped.items()}


def word(report: Report) -> str:
    """The verdict on a target: `conforms`, `deviates`, or `not judged` where too little was."""
    if report.wrong:
        return "deviates"
    judged = any(finding.judged for finding in report.findings)
    return "conforms" if judged and not report.unjudged else "not judged"


def share(finding: Finding) -> str:
    """How many cases were judged, of how many, and what was left out.

    >>> share(Finding("gelu", "float32", cases=128, refused=124))
    '4 of 128 cases judged, 124 refused'
    """
    judged = f"{finding.cases} cases"
    if finding.refused:
        judged = f"{finding.judged} of {finding.cases} cases judged, {finding.refused} refused"
    only = [f"only {', '.join(finding.only)}"] if finding.only else []
    without = [f"{count} left out: {kind}" for kind, count in finding.left_out.items()]
    return ", ".join([judged, *only, *without])


def counts(report: Report) -> str:
    """What the verdict on a target stands on."""
    table = lines(report)
    counts = {status: sum(f.status == status for f in table.values()) for status in SEVERITY}
    bad = sum(counts[status] for status in WRONG)
    permitted = sum(report.allows(f) for f in table.values())
    judged = f"{len(table)} operation{'s' if len(table) != 1 else ''}"
    parts = [f"{bad} of {judged} deviate{'s' if bad == 1 else ''}" if bad else judged]
    if permitted:
        parts.append(f"{permitted} of them as allowed")
    if counts["dialect"]:
        parts.append(f"{counts['dialect']} in a dialect")
    if counts["unsupported"]:
        parts.append(f"{counts['unsupported']} unsupported")
    if counts["too few"]:
        parts.append(f"{counts['too few']} with too few cases")
    if report.findings:
        parts.append(share(merge(report.findings)))
    if not report.complete:
        parts.append("stopped before its end")
    return ", ".join(parts)


def verdict(report: Report) -> str:
    """One sentence on a target."""
    name = f"{report.target} {report.version}".strip()
    return f"{name:<20} {word(report):<9} {counts(report)}"


def show(reports: list[Report], stream: TextIO | None = None) -> None:
    """Print verdicts, the table, and what to look at next."""
    stream = stream or sys.stdout
    for report in reports:
        print(paint(verdict(report), word(report), stream), file=stream)
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
                partly = finding.refused or finding.left_out or finding.only
                notes = f" ({share(finding)})" if partly else ""
                notes += " (allowed)" if report.allows(finding) else ""
                status = paint(finding.status, finding.status, stream)
                print(row + status + notes, file=stream)
                first = ""
    print("\nworst: the largest error ÷ the error allowed", file=stream)
    for report in reports:
        for finding in report.findings:
            for remark in remarks(finding):
                print(f"\n{label(report)}: {remark}", file=stream)
        for finding in report.unjudged:
            print(f"\n{label(report)}: {unjudged(finding)}", file=stream)
        for findings in alike(report):
            explain(report, findings, stream)


def remarks(finding: Finding) -> list[str]:
    """What a verdict stands on besides the bound of its precision, or what it leaves open.

    >>> remarks(Finding("softmax", "float16", elements=200, unbounded=3))
    ['softmax in float16: 3 of 200 elements have no bound below their size and were not judged']
    """
    said = (
        (finding.unbounded, "have no bound below their size and were not judged"),
        (finding.likely, "were judged by what independent roundings come to, √n of n"),
        (finding.inside, _inside(finding.precision)),
    )
    where, of = f"{finding.op} in {finding.precision}", f"of {finding.elements} elements"
    return [f"{where}: {count} {of} {what}" for count, what in said if count]


def _inside(precision: str) -> str:
    return (
        f"are further off than kernels, which sum in float32 and store in {precision}: "
        f"it computes in half inside"
    )


def unjudged(finding: Finding) -> str:
    """Why nothing can be said of an operation.

    >>> unjudged(Finding("gelu", "float32", 3, 3, status="unsupported"))
    'gelu in float32 was not judged: 0 of 3 cases judged, 3 refused'
    """
    if 0 < finding.elements == finding.unbounded:
        return remarks(finding)[0]
    word = "not" if finding.status == "unsupported" else "hardly"
    return f"{finding.op} in {finding.precision} was {word} judged: {share(finding)}"


def alike(report: Report) -> list[list[Finding]]:
    """What deviates or speaks a dialect; the precisions of one cause stand together."""
    groups: dict[tuple, list[Finding]] = {}
    for finding in report.findings:
        if finding.status not in (*FINE, *UNJUDGED):
            causes = tuple((cause.id, cause.says) for cause in finding.causes)
            says = finding.says if finding.status == "raises" else ""
            groups.setdefault((finding.op, finding.status, causes, says), []).append(finding)
    return list(groups.values())


def cause_lines(cause: Cause) -> list[str]:
    """A cause in words, and the lines of the text that it changes."""
    if cause.kind == "unknown":
        return ["cause: unknown; no known mistake fits every case"]
    if cause.kind in ("calls", "condition"):
        return [f"cause: {cause.says}"]
    verb = "conforms to dialect" if cause.kind == "dialect" else "looks like"
    name = "a change not in the catalogue" if cause.id == UNLISTED else cause.id
    changed = [f"  {line}" for line in cause.diff.splitlines()[2:]]
    return [f"{verb} {name}: {cause.says}", *changed]


def more(finding: Finding) -> str:
    """How many inputs beside those of the run confirmed the one cause that is named."""
    count = finding.causes[0].confirmed if len(finding.causes) == 1 else 0
    return f"; the cause fits them all, and {count} more that were asked for" if count else ""


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
        for line in cause_lines(cause):
            print(f"  {line}", file=stream)
    if finding.deviating:
        print(
            f"  seen in {finding.deviating} of {finding.judged} cases{more(finding)}", file=stream
        )
    for fact in finding.facts:
        print(f"  known: {fact}", file=stream)
    if finding.step:
        step, _, says = finding.step.partition("\n")
        print(f"  first wrong step: {step}\n    {says}", file=stream)
    small = finding.smallest
    if small:
        print(f"  smallest input, {amount(small.numbers)}:", file=stream)
        fits = small.numbers <= WRITTEN or len(small.call) <= WRITTEN * DIGITS
        written = f"{small.call}\n    " if fits else ""
        print(f"    {written}{small.says}", file=stream)
    replays = [small.replay] if small and small.replay else []
    for replay in (*replays, finding.replay):
        print(f"  again: {replay}", file=stream)
