"""Baselines: what is known is allowed until its day, and nothing else is."""

from __future__ import annotations

import datetime

import pytest

from refimpl.commands.endings import CONFORMS, DEVIATES
from refimpl.commands.main import main
from refimpl.oracle.diagnosis.cause import Cause
from refimpl.oracle.findings import Finding, Report
from refimpl.oracle.runs import baseline
from refimpl.oracle.targets.sessions import TargetError

ENTRY = """
[[known]]
op = "silu"
cause = "silu/quick-gelu"
reason = "the exported graph has the cheap form"
expires = {expires}
"""
WRONG = """
import numpy as np

def silu(x):
    return (x / (1 + np.exp(-1.702 * x))).astype(x.dtype)
"""
FUTURE, PAST = "2999-12-31", "2001-01-01"
TODAY = datetime.date(2026, 1, 1)


def finding(**changes):
    made = Finding("silu", "float32", 3, worst=5.0, status="deviates")
    made.causes = [Cause("mistake", "silu/quick-gelu")]
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def judged(entry, **changes):
    report = Report("mine.py", findings=[finding(**changes)])
    return report, baseline.apply([report], [entry], TODAY)


def known(expires=FUTURE, **changes):
    about = {"op": "silu", "reason": "known", "expires": datetime.date.fromisoformat(expires)}
    return baseline.Known(**{**about, **changes})


@pytest.mark.parametrize(
    "entry",
    [
        known(),
        known(target="mine.py"),
        known(precision="float32"),
        known(cause="silu/quick-gelu"),
    ],
)
def test_what_is_known_is_allowed(entry):
    report, (says,) = judged(entry)
    assert report.conforms
    assert says.startswith("allowed until 2999-12-31: silu")


@pytest.mark.parametrize("entry", [known(target="other.py"), known(precision="float64")])
def test_an_entry_about_something_else_allows_nothing_and_is_not_mentioned(entry):
    report, says = judged(entry)
    assert not report.conforms
    assert not says


def test_another_cause_is_not_covered():
    report, says = judged(known(cause="silu/gelu"))
    assert not report.conforms
    assert says == ["not seen any more, to be removed: silu: known"]


def test_on_its_last_day_an_entry_still_holds_and_the_day_after_it_does_not():
    assert judged(known(TODAY.isoformat()))[0].conforms
    report, (says,) = judged(known("2025-12-31"))
    assert not report.conforms
    assert says == "no longer allowed since 2025-12-31: silu: known"


def test_a_known_crash_is_allowed():
    assert judged(known(), status="crashes", causes=[])[0].conforms


def test_what_is_not_seen_any_more_is_said():
    report, (says,) = judged(known(), status="conforms", causes=[])
    assert report.conforms
    assert says.startswith("not seen any more")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[[known]]\nop = 'silu'\nexpires = 2027-01-01", "entry 1 has no reason"),
        ("[[known]]\nop = 'silu'\nreason = 'why'", "entry 1 has no expires"),
        ("[[known]]\nop = 'tan'\nreason = 'why'\nexpires = 2027-01-01", "no operation tan"),
        ("[[known]]\nop = 'silu'\nreason = 'why'\nexpires = 'never'", "expected a day"),
        ("[[known]]\nop = 'silu'\nreason = 1\nexpires = 2027-01-01", "expected a text"),
        (ENTRY.format(expires=FUTURE) + "until = 'now'", "has until"),
        ("known = 3", r"expected entries \[\[known\]\]"),
        ("[[known]", "cannot be read"),
    ],
)
def test_a_bad_entry_is_named(tmp_path, text, says):
    path = tmp_path / "known.toml"
    path.write_text(text)
    with pytest.raises(TargetError, match=says):
        baseline.read(path)


@pytest.mark.parametrize(("expires", "code"), [(FUTURE, CONFORMS), (PAST, DEVIATES)])
def test_the_command_fails_once_an_entry_has_expired(tmp_path, capsys, expires, code):
    (tmp_path / "mine.py").write_text(WRONG)
    (tmp_path / "known.toml").write_text(ENTRY.format(expires=expires))
    with pytest.raises(SystemExit) as end:
        main(
            f"verify {tmp_path}/mine.py --profile quick --baseline {tmp_path}/known.toml "
            f"--cases {tmp_path}/cases".split()
        )
    assert end.value.code == code
    printed = capsys.readouterr().out
    assert "the exported graph has the cheap form" in printed
    assert expires in printed


@pytest.mark.parametrize(
    ("status", "says"),
    [
        ("crashes", "crashes"),
        ("raises", "raises on some inputs"),
        ("unsupported", "is not judged"),
        ("too few", "is hardly judged"),
    ],
)
def test_what_a_crash_or_a_refusal_may_hide_is_not_to_be_removed(status, says):
    _, (remark,) = judged(known(cause="silu/quick-gelu"), status=status, causes=[])
    assert remark == f"cannot be seen while the operation {says}: silu: known"


def test_a_known_deviation_allows_no_exception_beside_it():
    report = Report("mine.py", findings=[finding(), finding(status="raises", causes=[])])
    baseline.apply([report], [known(cause="silu/quick-gelu")], TODAY)
    assert [each.status for each in report.wrong] == ["raises"]
