"""`python -m tests.audit.accuracy REPORT…`: what libraries come to, as one page.

The reports are the JSON files of `refimpl verify --json`; nothing is measured here.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from refimpl.oracle.reports.text import number

PRECISIONS = ("float64", "float32", "bfloat16", "float16")
HEAD = """# How accurate the libraries are

Written by `make accuracy`; do not edit. Each number is the largest error ÷ the error allowed
([bound.md](bound.md)). An honest implementation comes to 1 at most, whatever its order of
summation. Operations with long sums have two more numbers in brackets: the spread and the bias of
the errors, divided by what independent roundings come to
(`refimpl/oracle/diagnosis/statistics.py`). They are 1 at most as well.

*dialect*: the result differs exactly as a known convention does. *refused*: the target takes no
such input. [found.md](found.md) explains what deviates.
"""


def load(paths: Iterable[Path]) -> list[dict[str, Any]]:
    """The reports in these files, one or a list each; those of one target become one."""
    reports: dict[tuple[str, str], dict[str, Any]] = {}
    for path in paths:
        content = json.loads(path.read_text(encoding="utf-8"))
        for report in content if isinstance(content, list) else [content]:
            name = report["target"], report["version"]
            if name in reports:
                reports[name]["ops"] += report["ops"]
            else:
                reports[name] = report
    return list(reports.values())


def cell(finding: dict[str, Any]) -> str:
    """One operation in one precision."""
    if finding["status"] == "unsupported":
        return "refused"
    worst = "∞" if finding["worst"] == "Infinity" else number(finding["worst"])
    text = f"**{worst}**" if finding["status"] in ("deviates", "crashes") else worst
    if finding["variance"] is not None:
        text += f" ({number(finding['variance'])}, {number(finding['bias'])})"
    return text


def remark(findings: list[dict[str, Any]]) -> str:
    """Statuses other than conforming, and their causes, each once."""
    said: dict[str, list[str]] = {}
    for finding in findings:
        if finding["status"] in ("conforms", "unsupported"):
            continue
        causes = [cause["id"] or "no cause found" for cause in finding["causes"]]
        what = f"{finding['status']}: {', '.join(causes)}" if causes else finding["status"]
        said.setdefault(what, []).append(finding["precision"])
    return "; ".join(f"{what} ({', '.join(where)})" for what, where in said.items())


def table(report: dict[str, Any]) -> str:
    """One library: an operation a line."""
    lines = [
        f"## {report['target']} {report['version']}".rstrip(),
        "",
        f"| operation | cases | {' | '.join(PRECISIONS)} | |",
        "|---|--:|" + "--:|" * len(PRECISIONS) + "---|",
    ]
    grouped: dict[str, list[dict[str, Any]]] = {}
    for finding in report["ops"]:
        grouped.setdefault(finding["op"], []).append(finding)
    for op, findings in grouped.items():
        by = {finding["precision"]: cell(finding) for finding in findings}
        cells = " | ".join(by.get(precision, "") for precision in PRECISIONS)
        cases = sum(finding["cases"] for finding in findings)
        lines.append(f"| `{op}` | {cases} | {cells} | {remark(findings)} |")
    return "\n".join(lines) + "\n"


def counts(report: dict[str, Any]) -> dict[str, int]:
    """How many pairs of operation and precision came to which status."""
    found: dict[str, int] = {}
    for finding in report["ops"]:
        found[finding["status"]] = found.get(finding["status"], 0) + 1
    return found


def summary(reports: list[dict[str, Any]]) -> str:
    """All libraries, one a line: pairs of operation and precision by their status."""
    lines = [
        "| library | version | cases | pairs of operation and precision | conform | dialect "
        "| deviate | crash | refused |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for report in reports:
        found = counts(report)
        columns = ("conforms", "dialect", "deviates", "crashes", "unsupported")
        cells = " | ".join(str(found.get(status, 0)) for status in columns)
        cases = sum(finding["cases"] for finding in report["ops"])
        name = f"{report['target']} | {report['version']}"
        lines.append(f"| {name} | {cases} | {len(report['ops'])} | {cells} |")
    return "\n".join(lines) + "\n"


def page(reports: list[dict[str, Any]], date: str, command: str) -> str:
    """The whole page."""
    where = reports[0]["environment"]
    measured = (
        f"Measured on {date}, {where['system']}, {os.cpu_count()} cores, CPU only, Python "
        f"{where['python']},\nNumPy {where['numpy']}, refimpl {reports[0]['refimpl']}, with "
        f"`{command}`.\n"
    )
    return "\n".join([HEAD, measured, summary(reports), *map(table, reports)])


def main() -> None:
    """Read reports, write the page."""
    options = argparse.ArgumentParser()
    options.add_argument("reports", nargs="+", type=Path)
    options.add_argument("--page", type=Path, required=True)
    options.add_argument("--date", default=datetime.date.today().isoformat())
    options.add_argument("--command", default="refimpl verify TARGET --profile ci --json FILE")
    given = options.parse_args()
    reports = load(given.reports)
    given.page.write_text(page(reports, given.date, given.command), encoding="utf-8")
    print(summary(reports))


if __name__ == "__main__":
    main()
