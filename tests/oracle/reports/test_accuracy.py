"""The table of accuracy says what the reports say."""

from __future__ import annotations

import json

from refimpl.oracle.runs.verify import verify
from tests.audit.accuracy import cell, load, page

WRONG = """
import numpy as np

def silu(x):
    return x / (1 + np.exp(-x))

def sigmoid(z):
    return 1.01 / (1 + np.exp(-z))
"""


def finding(**changes):
    entry = {"op": "silu", "precision": "float32", "cases": 3, "worst": 0.5, "status": "conforms"}
    return {**entry, "causes": [], "variance": None, "bias": None, **changes}


def test_a_cell_has_the_worst_error_and_the_statistics():
    assert cell(finding()) == "0.5"
    assert cell(finding(variance=0.25, bias=0.125)) == "0.5 (0.25, 0.12)"
    assert cell(finding(worst="Infinity", status="crashes")) == "**∞**"
    assert cell(finding(status="unsupported")) == "refused"


def test_the_page_holds_every_finding_of_a_report(tmp_path):
    (tmp_path / "mine.py").write_text(WRONG)
    (report,) = verify(str(tmp_path / "mine.py"), profile="quick")
    (tmp_path / "report.json").write_text(json.dumps(report.as_json()))
    text = page(load([tmp_path / "report.json"]), "2000-01-01", "refimpl verify mine.py")
    (judged,) = (finding.cases for finding in report.findings if finding.op == "silu")
    assert f"| `silu` | {judged} |" in text
    assert "Measured on 2000-01-01" in text
    (row,) = (line for line in text.splitlines() if line.startswith("| `sigmoid`"))
    assert "deviates" in row
    assert "**" in row


def test_reports_of_one_target_become_one(tmp_path):
    for precision in ("float32", "float64"):
        entry = finding(precision=precision)
        report = {"target": "torch", "version": "2", "ops": [entry]}
        (tmp_path / f"{precision}.json").write_text(json.dumps(report))
    (merged,) = load(sorted(tmp_path.glob("*.json")))
    assert [entry["precision"] for entry in merged["ops"]] == ["float32", "float64"]
