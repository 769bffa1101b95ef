"""The command, the pytest plugin and a campaign share one diagnosis: they name the same cause."""

from __future__ import annotations

import io
import json
from dataclasses import asdict

import pytest

from refimpl.oracle.findings import Finding
from refimpl.oracle.reports.text import explain
from refimpl.oracle.runs import campaign
from refimpl.oracle.runs.verify import verify
from refimpl.oracle.targets.sessions import Session
from tests.own.test_pytest_plugin import judged

UNLISTED = (
    "import numpy as np\ndef silu(x):\n    return (x / (1 + np.exp(-1.25 * x))).astype(x.dtype)\n"
)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """What the command found, as `refimpl verify` prints and writes it."""
    target = tmp_path_factory.mktemp("target") / "mine.py"
    target.write_text(UNLISTED)
    (report,) = verify(str(target), profile="quick")
    return report


def test_an_edit_that_no_catalogue_has_is_the_cause(report):
    (finding,) = report.findings
    (cause,) = finding.causes
    assert (cause.kind, cause.id) == ("mistake", "unlisted")
    assert "1.25" in cause.says


def test_the_plugin_says_of_it_what_the_command_says(report, tmp_path):
    stream = io.StringIO()
    explain(report, report.findings, stream)
    said = [line.strip() for line in stream.getvalue().splitlines() if "again:" not in line]
    shown = {line.strip() for line in judged(tmp_path, UNLISTED).stdout.splitlines()}
    assert [line for line in said if line not in shown] == []


def test_a_campaign_comes_to_the_same_cause(report):
    with Session(report.target) as session:
        known = campaign.identity(session)
    unit = campaign.Unit(report.target, known, "silu", "float32", 0, 0, 12, 30.0)
    total = campaign.Result(**campaign.judge_unit(unit))
    (entry,) = json.loads(json.dumps(campaign.conclude(unit, asdict(total))))["findings"]
    assert Finding.read(entry).causes == report.findings[0].causes
