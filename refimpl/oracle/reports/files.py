"""Reports as files: JUnit XML, one HTML page that needs no network, and a GitHub step summary."""

from __future__ import annotations

import html
import io
import json as jsons
import os
import re
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

import refimpl
from refimpl.op import Op
from refimpl.oracle.diagnosis.case_ids import find_case
from refimpl.oracle.diagnosis.cause import Cause
from refimpl.oracle.findings import UNJUDGED, WRONG, Finding, Report, environment
from refimpl.oracle.reports.escaped import clean, esc
from refimpl.oracle.reports.heat_map import heat_map
from refimpl.oracle.reports.text import (
    FINE,
    alike,
    counts,
    explain,
    lines,
    number,
    remarks,
    share,
    unjudged,
    word,
)
from refimpl.oracle.targets.sessions import TargetError
from refimpl.registry import OPS

STOPPED = "The run stopped before its end; this is what was measured."
EXPLAINED = 30  # deviations that a step summary explains; GitHub refuses large ones
STYLE = """
:root { color-scheme: light dark; --page: #fff; --ink: #1b1f24; --soft: #5b6470; --line: #d5dae0;
  --box: #f5f7f9; --good: #116329; --bad: #b3261e; --other: #0b5cad; --plus: #dcf5e3;
  --minus: #fde4e2; --l0: #e6ebf0; --l1: #a9c9e6; --l2: #fdd08a; --l3: #f58b4c; --l4: #c9251b;
  --l5: #000; }
@media (prefers-color-scheme: dark) { :root { --page: #14171b; --ink: #e4e8ec; --soft: #9aa5b1;
  --line: #343b44; --box: #1d2229; --good: #66d084; --bad: #ff8a80; --other: #7cbcff;
  --plus: #123d22; --minus: #4f1d1b; --l0: #29313a; --l1: #2c5f8c; --l2: #a8731a; --l3: #e8762f;
  --l4: #ff4a3d; --l5: #fff; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem; max-width: 64rem; background: var(--page);
  color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.7rem; margin: 0 0 .5rem; } h2 { font-size: 1.3rem; margin-top: 2.5rem; }
h3 { font-size: 1.1rem; margin: 0; } h4 { font-size: .9rem; margin: 1rem 0 .25rem; }
p, ul, dl { margin: .5rem 0; overflow-wrap: anywhere; }
pre, code { font: .85rem/1.45 ui-monospace, monospace; }
pre { margin: .25rem 0; padding: .6rem .8rem; background: var(--box); border-radius: .3rem;
  overflow-x: auto; }
td pre { max-height: 16rem; overflow: auto; margin: 0; }
a { color: inherit; }
small, footer, th { color: var(--soft); }
footer { margin-top: 3rem; font-size: .85rem; }
table { border-collapse: collapse; } .wide { overflow-x: auto; }
th, td { padding: .3rem .9rem .3rem 0; text-align: left; border-bottom: 1px solid var(--line);
  vertical-align: top; }
section { margin: 1.5rem 0; padding: 1rem 1.2rem; border: 1px solid var(--line);
  border-left: .3rem solid var(--bad); border-radius: .3rem; }
section.dialect { border-left-color: var(--other); }
b.conforms, td.conforms a { color: var(--good); }
.deviates > b, b.deviates, td.deviates a, td.crashes a, td.raises a { color: var(--bad); }
td.dialect a { color: var(--other); } td.unsupported { color: var(--soft); }
td a { font-weight: 600; }
ins, del { display: block; text-decoration: none; }
ins { background: var(--plus); } del { background: var(--minus); }
svg { display: block; max-width: 100%; height: auto; }
svg rect { fill: none; stroke: var(--other); stroke-width: .15; }
.l0 { fill: var(--l0); color: var(--l0); } .l1 { fill: var(--l1); color: var(--l1); }
.l2 { fill: var(--l2); color: var(--l2); } .l3 { fill: var(--l3); color: var(--l3); }
.l4 { fill: var(--l4); color: var(--l4); } .l5 { fill: var(--l5); color: var(--l5); }
.legend span { margin-right: 1.2rem; white-space: nowrap; } .legend i { font-style: normal; }
"""


def write(
    reports: Sequence[Report],
    *,
    json: Path | None = None,
    junit: Path | None = None,
    html: Path | None = None,
    complete: bool = True,
) -> list[str]:
    """Write the files that were asked for, and the step summary where GitHub wants one.

    Each is written whatever became of the others; returns what could not be written, in words.
    """
    shown = measured(reports)
    asked: list[tuple[Path | None, Sequence[Report], Callable[[], bytes]]] = [
        (json, reports, lambda: as_json(reports)),
        (junit, shown, lambda: junit_xml(shown, complete)),
        (html, shown, lambda: page(shown, complete).encode()),
    ]
    lost = []
    for path, some, made in asked:
        if path and some:
            try:
                path.write_bytes(made())
            except OSError as error:
                lost.append(f"{path}: cannot be written: {error.strerror or error}")
    summarise(shown, complete)
    return lost


def as_json(reports: Sequence[Report]) -> bytes:
    """The JSON report: an object for one target, a list for several."""
    entries = [report.as_json() for report in reports]
    content = entries[0] if len(entries) == 1 else entries
    return (jsons.dumps(content, indent=1, allow_nan=False) + "\n").encode()


def check_place(path: Path) -> None:
    """Raise TargetError where a report could not be written, before anything is computed."""
    known = path.exists()
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK, 0o666))
    except OSError as error:
        raise TargetError(f"{path}: cannot be written: {error.strerror}") from None
    if not known:
        path.unlink()


def summarise(reports: Sequence[Report], complete: bool) -> None:
    """Add to the step summary where GitHub wants one."""
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary and any(report.findings for report in reports):
        try:
            with open(summary, "a", encoding="utf-8") as stream:
                stream.write(markdown(reports, complete))
        except OSError as error:  # a verdict does not depend on it
            print(f"refimpl: no step summary: {error}", file=sys.stderr)


def measured(reports: Sequence[Report]) -> list[Report]:
    """The reports without what an interruption left at zero cases."""
    return [replace(report, findings=[f for f in report.findings if f.cases]) for report in reports]


def story(report: Report, findings: list[Finding]) -> str:
    """What a terminal says about one deviation."""
    stream = io.StringIO()
    explain(report, findings, stream)
    return clean(stream.getvalue()).strip()


def name_of(report: Report) -> str:
    """A target with its version."""
    return f"{report.target} {report.version}".strip()


def sentence(report: Report) -> tuple[str, str]:
    """The verdict on a target: one word, and the counts behind it."""
    if not report.findings:
        return "not judged", "no operation was run"
    return word(report), counts(report)


def headline(reports: Sequence[Report]) -> str:
    """The verdict on everything."""
    judged = [report for report in reports if report.findings]
    bad = [report for report in judged if report.wrong]
    open_ = [report for report in judged if word(report) == "not judged"]
    if not judged:
        return "nothing was verified"
    if len(judged) == 1:
        return (
            f"{name_of(judged[0])}: {word(judged[0])}"
            if open_
            else (f"{name_of(judged[0])} {word(judged[0])}")
        )
    if bad:
        return f"{len(bad)} of {len(judged)} targets deviate"
    if open_:
        return f"{len(open_)} of {len(judged)} targets were not judged to the full"
    return "every target conforms"


def junit_xml(reports: Sequence[Report], complete: bool = True) -> bytes:
    """JUnit XML: a suite for each target, a test case for each operation and precision."""
    root = ET.Element("testsuites", name="refimpl")
    totals = dict.fromkeys(("tests", "failures", "errors", "skipped"), 0)
    for report in reports:
        suite = ET.SubElement(root, "testsuite", name=clean(name_of(report)))
        counts = dict.fromkeys(totals, 0)
        properties = ET.SubElement(suite, "properties")
        for name, value in {"refimpl": refimpl.__version__, **environment()}.items():
            ET.SubElement(properties, "property", name=name, value=clean(value))
        for finding in report.findings:
            label = clean(f"{finding.op}/{finding.precision}")
            case = ET.SubElement(
                suite, "testcase", classname=clean(report.target) or "refimpl", name=label
            )
            counts["tests"] += 1
            if finding.refused == finding.cases:
                counts["skipped"] += 1
                ET.SubElement(case, "skipped", message=f"refused all {finding.cases} cases")
            elif finding.status == "too few":
                counts["skipped"] += 1
                ET.SubElement(case, "skipped", message=clean(unjudged(finding)))
            elif finding.status in WRONG and not report.allows(finding):
                counts["failures"] += 1
                failure = ET.SubElement(
                    case, "failure", type=finding.status, message=clean(finding.says)
                )
                failure.text = story(report, [finding])
            else:
                note = ET.SubElement(case, "system-out")
                note.text = f"{share(finding)}, worst {number(finding.worst)} of the allowed"
                note.text += "".join(f"\n{remark}" for remark in remarks(finding))
                if finding.status not in FINE:
                    note.text += f"\n{story(report, [finding])}"
        if not complete and report is reports[-1]:
            counts["tests"] += 1
            counts["errors"] += 1
            case = ET.SubElement(suite, "testcase", classname="refimpl", name="the whole run")
            ET.SubElement(case, "error", message=STOPPED)
        suite.attrib |= {name: str(count) for name, count in counts.items()}
        for name, count in counts.items():
            totals[name] += count
    root.attrib |= {name: str(count) for name, count in totals.items()}
    ET.indent(root)
    return ET.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"


def literal(text: object) -> str:
    """Text that Markdown leaves as it is, on one line.

    >>> literal("a|b_c")
    'a&#124;b&#95;c'
    """
    line = " ".join(clean(text).split())
    return re.sub(r"[^\w ,.;()=/×÷±+-]|_", lambda found: f"&#{ord(found[0])};", line)


def markdown(reports: Sequence[Report], complete: bool = True) -> str:
    """A step summary: verdicts, the table, and what to look at."""
    said = [f"### refimpl: {literal(headline(reports))}", ""]
    said += [] if complete else [f"**{STOPPED}**", ""]
    for report in reports:
        word, counts = sentence(report)
        said.append(f"- {literal(name_of(report))}: **{literal(word)}**, {literal(counts)}")
    said += ["", "| operation |" + "".join(f" {literal(name_of(r))} |" for r in reports)]
    said.append("|---|" + "---|" * len(reports))
    tables = [(report, lines(report)) for report in reports]
    for op in dict.fromkeys(op for _, table in tables for op in table):
        cells = [markdown_cell(report, table.get(op)) for report, table in tables]
        said.append(f"| {literal(op)} | {' | '.join(cells)} |")
    said += ["", "The number is the largest error ÷ the error allowed.", ""]
    groups = [(report, findings) for report in reports for findings in alike(report)]
    for report, findings in groups[:EXPLAINED]:
        finding = findings[0]
        title = f"{finding.op}: {finding.status} ({name_of(report)})"
        said += ["<details><summary>" + html.escape(clean(title)) + "</summary>", ""]
        said += [f"<pre>{html.escape(story(report, findings))}</pre>", "", "</details>", ""]
    if len(groups) > EXPLAINED:
        said += [f"{len(groups) - EXPLAINED} more are in the full report.", ""]
    return "\n".join(said) + "\n"


def markdown_cell(report: Report, finding: Finding | None) -> str:
    """What one target makes of one operation, for Markdown."""
    if finding is None:
        return ""
    if finding.status in UNJUDGED:
        return f"{finding.status} ({share(finding)})"
    status = finding.status if finding.status in FINE else f"**{finding.status}**"
    allowed = ", allowed" if report.allows(finding) else ""
    return f"{status} ({number(finding.worst)}{allowed})"


def page(reports: Sequence[Report], complete: bool = True) -> str:
    """The HTML page: the verdict, the table, then each deviation with all that is known of it."""
    groups = [(report, findings) for report in reports for findings in alike(report)]
    anchors = {
        (id(report), f.op): f"d{i}"
        for i, (report, fs) in reversed([*enumerate(groups)])
        for f in fs
    }
    body = [f"<h1>{esc(headline(reports))}</h1>"]
    if not complete:
        body.append(f"<p><strong>{STOPPED}</strong></p>")
    body.append("<ul>")
    for report in reports:
        word, counts = sentence(report)
        body.append(
            f'<li>{esc(name_of(report))} <b class="{esc(word)}">{esc(word)}</b>: {esc(counts)}</li>'
        )
    body += ["</ul>", *overview(reports, anchors)]
    if groups:
        body.append("<h2>What deviates</h2>")
    for i, (report, findings) in enumerate(groups):
        body += deviation(f"d{i}", report, findings)
    about = " · ".join(f"{name} {value}" for name, value in environment().items())
    body.append(f"<footer>refimpl {esc(refimpl.__version__)} · {esc(about)}</footer>")
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta http-equiv="Content-Security-Policy"'
            " content=\"default-src 'none'; style-src 'unsafe-inline'\">",
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>refimpl: {esc(headline(reports))}</title>",
            f"<style>{STYLE}</style></head><body>",
            *body,
            "</body></html>\n",
        ]
    )


def overview(reports: Sequence[Report], anchors: dict[tuple[int, str], str]) -> list[str]:
    """The table of operations and targets."""
    tables = [(report, lines(report)) for report in reports]
    heads = "".join(f'<th scope="col">{esc(name_of(report))}</th>' for report in reports)
    rows = []
    for op in dict.fromkeys(op for _, table in tables for op in table):
        cells = [overview_cell(report, table.get(op), anchors) for report, table in tables]
        rows.append(f'<tr><th scope="row"><code>{esc(op)}</code></th>{"".join(cells)}</tr>')
    return [
        '<div class="wide"><table>',
        f'<tr><th scope="col">operation</th>{heads}</tr>',
        *rows,
        "</table></div>",
        "<p><small>The number is the largest error ÷ the error allowed.</small></p>",
    ]


def overview_cell(
    report: Report, finding: Finding | None, anchors: dict[tuple[int, str], str]
) -> str:
    """What one target makes of one operation."""
    if finding is None:
        return "<td></td>"
    status, anchor = esc(finding.status), anchors.get((id(report), finding.op))
    shown = f'<a href="#{anchor}">{status}</a>' if anchor else status
    notes = [] if finding.status == "unsupported" else [number(finding.worst)]
    notes.append(share(finding))
    if finding.unbounded:
        notes.append(f"{finding.unbounded} of {finding.elements} elements not judged")
    if finding.likely:
        notes.append(f"{finding.likely} by √n of n roundings")
    if finding.inside:
        notes.append("computes in half inside")
    notes += ["allowed"] if report.allows(finding) else []
    return f'<td class="{status}">{shown} <small>{esc(", ".join(notes))}</small></td>'


def deviation(anchor: str, report: Report, findings: list[Finding]) -> list[str]:
    """One deviation: what is said, what should be, what was probably done, and how to see it."""
    finding = max(findings, key=lambda f: f.worst)
    op = OPS.get(finding.op)
    precisions = " and ".join(f.precision for f in findings)
    allowed = " (allowed)" if report.allows(finding) else ""
    said = [
        f'<section id="{anchor}" class="{esc(finding.status)}">',
        f"<h3><code>{esc(finding.op)}</code> in {esc(precisions)} {esc(finding.status)}{allowed}"
        f" <small>{esc(name_of(report))}</small></h3>",
        f"<p>{esc(finding.says)}</p>",
    ]
    equation = re.search(r"\$\$(.+?)\$\$", op.text.__doc__ or "", re.DOTALL) if op else None
    if equation:
        source = "\n".join(line.strip() for line in equation[1].strip().splitlines())
        said += ["<h4>The equation</h4>", f"<pre>{esc(source)}</pre>"]
    if len(finding.causes) > 1:
        said.append(f"<p>{len(finding.causes)} causes fit; no input tried tells them apart.</p>")
    for cause in finding.causes:
        said += cause_lines(cause)
    if finding.deviating:
        said.append(f"<p>Seen in {finding.deviating} of {finding.judged} cases.</p>")
    if finding.facts:
        known = "".join(f"<li>{esc(fact)}</li>" for fact in finding.facts)
        said += ["<h4>What is known</h4>", f"<ul>{known}</ul>"]
    if finding.step:
        said += ["<h4>The first wrong step</h4>", f"<pre>{esc(finding.step)}</pre>"]
    small = finding.smallest
    if small:
        said += ["<h4>The smallest input</h4>", f"<pre>{esc(small.call)}</pre>"]
        said += [f"<p>{esc(small.says)}</p>"]
    again = [finding.replay] if small is None else [small.replay, finding.replay]
    said += ["<h4>Again</h4>", f"<pre>{esc(chr(10).join(filter(None, again)))}</pre>"]
    if finding.ratios is not None and finding.ratios.size:
        said += ["<h4>Error ÷ allowed</h4>", *heat_map(finding.ratios)]
    if op:
        said += input_lines(op, finding)
    return [*said, "</section>"]


def cause_lines(cause: Cause) -> list[str]:
    """What explains a deviation, with the lines it changes in colour."""
    if cause.kind == "unknown":
        return ["<h4>Cause</h4>", "<p>Unknown; no known mistake fits every case.</p>"]
    if cause.kind in ("calls", "condition"):
        return ["<h4>Cause</h4>", f"<p>{esc(cause.says)}</p>"]
    verb = "Conforms to dialect" if cause.kind == "dialect" else "Looks like"
    shown = []
    for line in cause.diff.splitlines()[2:]:
        head = line.startswith(("+++ ", "--- "))  # of a second function
        mark = "" if head else {"+": "ins", "-": "del"}.get(line[:1])
        shown.append(f"<{mark}>{esc(line)}</{mark}>" if mark else esc(line) + "\n")
    return [
        "<h4>Cause</h4>",
        f"<p>{verb} <code>{esc(cause.id)}</code>: {esc(cause.says)}</p>",
        f"<pre>{''.join(shown)}</pre>",
    ]


def input_lines(op: Op, finding: Finding) -> list[str]:
    """The failing input, where it can be made again."""
    if not finding.replay.startswith("refimpl replay "):
        return []  # a golden vector: its name may also be that of another case
    try:
        case = find_case(finding.case, finding.only)[1]
    except TargetError:
        return []
    layout = "" if case.layout == "C" else f", memory layout {case.layout}"
    rows = []
    for name, value in case.typed(op).items():
        kind = f"{value.dtype}{list(value.shape)}" if isinstance(value, np.ndarray) else ""
        rows.append(
            f'<tr><th scope="row"><code>{esc(name)}</code><br>'
            f"<small>{esc(op.specs[name].axes)}<br>{esc(kind)}</small></th>"
            f"<td><pre>{esc(numbers(value))}</pre></td></tr>"
        )
    return [
        f"<h4>The failing input: {esc(case.key)}, {esc(case.says)}{esc(layout)}</h4>",
        f'<div class="wide"><table>{"".join(rows)}</table></div>',
    ]


def numbers(value: object) -> str:
    """An argument in full, or its corners if it is large."""
    if not isinstance(value, np.ndarray):
        return repr(value)
    if value.dtype.kind == "V":  # bfloat16
        value = value.astype(np.float32)
    return np.array2string(
        value, max_line_width=110, threshold=300, edgeitems=4, floatmode="unique"
    )
