"""Known deviations, each with a reason and a day on which it stops being one.

A baseline is a TOML file:

    [[known]]
    op = "group_norm"
    precision = "float32"     # any, if it is not given
    target = "onnxruntime"    # any, if it is not given
    cause = "group_norm/one-pass-variance"     # any, if it is not given
    reason = "the kernel computes E[x²] - E[x]²; reported upstream"
    expires = 2027-06-30
"""

from __future__ import annotations

import datetime
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from refimpl.oracle.findings import UNJUDGED, WRONG, Finding, Report
from refimpl.oracle.numbers.precisions import PRECISIONS
from refimpl.oracle.targets.sessions import TargetError
from refimpl.registry import OPS

REQUIRED = ("op", "reason", "expires")
HIDING = ("raises", "crashes", *UNJUDGED)  # what is known may stand behind it
WHY = {
    "not complete": "is not judged to the end",
    "raises": "raises on some inputs",
    "crashes": "crashes",
    "unsupported": "is not judged",
    "too few": "is hardly judged",
}
OPTIONAL = ("precision", "target", "cause")


@dataclass(frozen=True)
class Known:
    """One known deviation."""

    op: str
    reason: str
    expires: datetime.date
    precision: str = ""
    target: str = ""
    cause: str = ""

    def __str__(self) -> str:
        where = f" of {self.target}" if self.target else ""
        return f"{self.op}{where}{f' in {self.precision}' if self.precision else ''}"

    def is_about(self, report: Report, finding: Finding) -> bool:
        """Whether this is the operation, precision and target of a finding."""
        return (
            self.op == finding.op
            and self.precision in ("", finding.precision)
            and self.target in ("", report.target, Path(report.target).name)
        )

    def covers(self, report: Report, finding: Finding) -> bool:
        """Whether a finding is this deviation, and no other cause was found beside it."""
        causes = {cause.id for cause in finding.causes}
        return (
            self.is_about(report, finding)
            and finding.status in WRONG
            and (not self.cause or causes == {self.cause})
        )


def read(path: Path) -> list[Known]:
    """The entries of a baseline; TargetError says what is wrong with one."""
    if path.exists() and not path.is_file():
        raise TargetError(f"{path}: is no regular file")
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TargetError(f"{path}: cannot be read as a baseline: {error}") from None
    entries = content.get("known")
    if set(content) != {"known"} or not isinstance(entries, list):
        raise TargetError(f"{path}: expected entries [[known]] and nothing else")
    return [_entry(path, number, entry) for number, entry in enumerate(entries, 1)]


def _entry(path: Path, number: int, entry: object) -> Known:
    where = f"{path}: entry {number}"
    if not isinstance(entry, dict):
        raise TargetError(f"{where} is no table")
    for name in REQUIRED:
        if not entry.get(name):
            raise TargetError(f"{where} has no {name}")
    for name, value in entry.items():
        if name not in (*REQUIRED, *OPTIONAL):
            raise TargetError(f"{where} has {name}; known are {', '.join((*REQUIRED, *OPTIONAL))}")
        if name != "expires" and not isinstance(value, str):
            raise TargetError(f"{where}: {name} is {value!r}, expected a text")
    if type(entry["expires"]) is not datetime.date:
        raise TargetError(f"{where}: expires is {entry['expires']!r}, expected a day: 2027-06-30")
    if entry["op"] not in OPS:
        raise TargetError(f"{where}: there is no operation {entry['op']}")
    if entry.get("precision", "float32") not in PRECISIONS:
        raise TargetError(f"{where}: there is no precision {entry['precision']}")
    return Known(**entry)


def apply(
    reports: Sequence[Report], known: Sequence[Known], today: datetime.date | None = None
) -> list[str]:
    """Allow what is known and has not expired; what there is to say about each entry."""
    today = today or datetime.date.today()
    says = []
    for entry in known:
        judged = [(r, f) for r in reports for f in r.findings if entry.is_about(r, f)]
        covered = [(report, finding) for report, finding in judged if entry.covers(report, finding)]
        if covered and today > entry.expires:
            says.append(f"no longer allowed since {entry.expires}: {entry}: {entry.reason}")
        elif covered:
            says.append(f"allowed until {entry.expires}: {entry}: {entry.reason}")
            for report, finding in covered:
                report.known.add((finding.op, finding.precision, finding.status))
        elif hidden := [f for _, f in judged if f.status in HIDING or not f.complete]:
            why = "not complete" if not hidden[0].complete else hidden[0].status
            says.append(f"cannot be seen while the operation {WHY[why]}: {entry}: {entry.reason}")
        elif judged:
            says.append(f"not seen any more, to be removed: {entry}: {entry.reason}")
    return says
