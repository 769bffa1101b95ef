"""A table over a folder of target files: what verify says of each, and the first cause.

python -m tests.audit.folder DIRECTORY [--precision float32] [--profile quick] [--only PART ...]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

LIMIT = 400  # seconds for one file


def verified(file: Path, precision: str, profile: str) -> list[dict]:
    """The findings of `refimpl verify` on one file, or one that says how the run ended."""
    with tempfile.TemporaryDirectory() as place:
        report = Path(place) / "report.json"
        command = [sys.executable, "-m", "refimpl", "verify", str(file), "--profile", profile]
        command += ["--precision", precision, "--json", str(report), "--cases", place]
        try:
            run = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
        except subprocess.TimeoutExpired:
            return [{"op": "", "status": f"no end in {LIMIT} s", "causes": []}]
        if not report.exists():
            last = (run.stderr or run.stdout).strip().splitlines()[-1:]
            return [{"op": "", "status": f"exit {run.returncode}: {' '.join(last)}", "causes": []}]
        written = json.loads(report.read_text())
    reports = written if isinstance(written, list) else written.get("reports", [written])
    return [finding for one in reports for finding in one["ops"]]


def row(file: Path, finding: dict) -> str:
    """One line: file, operation, verdict, number of causes, the first of them, smallest input."""
    causes = finding["causes"]
    first = (causes[0]["id"] + ": " + causes[0]["says"]) if causes else ""
    if causes and causes[0]["kind"] == "unknown":
        first = " · ".join(("unknown", *finding.get("facts", ())))
    small = finding.get("smallest")
    size = f"{small['numbers']} numbers" if small else ""
    cells = (file.name, finding["op"], finding["status"], str(len(causes)), first, size)
    return " | ".join(cells)


def table(folder: Path, only: list[str], precision: str, profile: str) -> Iterator[str]:
    """The rows of a folder, file by file."""
    for file in sorted(folder.glob("*.py")):
        if not only or any(file.name.startswith(part) for part in only):
            for finding in verified(file, precision, profile):
                yield row(file, finding)


def main() -> None:
    """Print the table of a folder while it is made."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--profile", default="quick")
    parser.add_argument("--only", nargs="*", default=[], metavar="PART")
    args = parser.parse_args()
    print("file | operation | verdict | causes | the first | smallest input")
    for line in table(args.folder, args.only, args.precision, args.profile):
        print(line, flush=True)


if __name__ == "__main__":
    main()
