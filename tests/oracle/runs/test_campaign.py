"""Campaigns: killed workers, interruptions and dying targets change no verdict."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from dataclasses import asdict, replace

import pytest

distributed = pytest.importorskip("distributed")

from refimpl.oracle.runs import campaign as campaigns  # noqa: E402  after Dask was found
from refimpl.oracle.runs.campaign import Result, Store, Unit, campaign, judge_unit  # noqa: E402
from refimpl.oracle.targets.sessions import Session, TargetError  # noqa: E402

FRAIL = """
import os
import numpy as np

def sigmoid(z):
    if z.size and z.flat[0] > 60:
        os._exit(3)
    return (1 / (1 + np.exp(-z))).astype(z.dtype)

def silu(x):
    return (x / (1 + np.exp(-1.702 * x))).astype(x.dtype)
"""
COUNT = 80
UNITS = 8  # of 20 cases, for two operations


@pytest.fixture
def frail(tmp_path, monkeypatch):
    monkeypatch.setattr(campaigns, "UNIT", 20)
    path = tmp_path / "frail.py"
    path.write_text(FRAIL)
    return str(path)


@contextlib.contextmanager
def cluster(workers):
    with distributed.LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        dashboard_address="127.0.0.1:0",
        silence_logs=logging.CRITICAL,
    ) as made:
        yield made


def known_as(target):
    with Session(target) as session:
        return campaigns.identity(session)


def test_a_target_is_another_when_what_it_imports_changes(tmp_path):
    (tmp_path / "kernel_of_mine.py").write_text("FACTOR = 1\n")
    target = tmp_path / "mine.py"
    target.write_text("from kernel_of_mine import FACTOR\n\ndef silu(x):\n    return FACTOR * x\n")
    before = known_as(str(target))
    assert known_as(str(target)) == before
    (tmp_path / "kernel_of_mine.py").write_text("FACTOR = 2\n")
    assert known_as(str(target)) != before


def contents(reports):
    return [report.as_json() for report in reports]


def test_a_killed_worker_and_an_interrupted_run_change_nothing(frail, tmp_path):
    quiet = campaign(frail, count=COUNT, results=tmp_path / "quiet", workers=1)
    said = []

    with cluster(2) as local:

        def kill_and_interrupt(what):
            said.append(what)
            if what == f"2 of {UNITS} units":
                os.kill(next(iter(local.workers.values())).pid, signal.SIGKILL)
            if what == f"5 of {UNITS} units":
                raise KeyboardInterrupt

        where = {"results": tmp_path / "troubled", "scheduler": local.scheduler_address}
        with pytest.raises(KeyboardInterrupt):
            campaign(frail, count=COUNT, **where, progress=kill_and_interrupt)
        again = []
        troubled = campaign(frail, count=COUNT, **where, progress=again.append)
    assert said[0] == f"0 of {UNITS} units"
    assert again[0] == f"5 of {UNITS} units", "an interrupted campaign repeats nothing"
    assert contents(troubled) == contents(quiet)

    by_op = {finding.op: finding for finding in quiet[0].findings}
    probes = by_op["silu"].cases - COUNT
    assert probes > 0
    assert by_op["silu"].status == "deviates"
    assert [cause.id for cause in by_op["silu"].causes] == ["silu/quick-gelu"]
    right, fatal = (finding for finding in quiet[0].findings if finding.op == "sigmoid")
    assert (right.status, fatal.status) == ("conforms", "crashes")
    assert right.cases + fatal.cases >= COUNT, "it went on after each crash"


def test_a_dying_target_costs_the_case_it_dies_on(frail):
    known = known_as(frail)
    unit = Unit(frail, known, "sigmoid", "float32", 0, 20, 40, 30.0)
    fatal = [case for case in unit.cases() if (case.inputs["z"].flat[:1] > 60).any()]
    result = Result(**judge_unit(unit))
    assert result.failed == len(fatal) > 0
    assert result.cases == 40
    assert result.deviating == 0


def test_results_add_up_in_any_grouping():
    parts = [
        Result(1, worst=0.5, case="a"),
        Result(1, deviating=1, worst=3.0, status="deviates", case="b", kept=["b"]),
        Result(1, deviating=1, worst=3.0, status="deviates", case="c", kept=["c"]),
        Result(1, failed=1, failures=[("d", "crashes", "died")]),
    ]

    def total(*some):
        into = Result()
        for part in some:
            into.add(replace(part, kept=list(part.kept)))
        return into

    left, right = total(*parts[:2]), total(*parts[2:])
    assert asdict(total(*parts)) == asdict(total(left, right))
    assert total(*parts[:3]).case == "b", "the first of equals"


def test_a_result_depends_on_the_target_the_cases_and_the_text(frail):
    unit = Unit(frail, "version 1", "silu", "float32", 0, 0, 20, 30.0)
    others = [
        replace(unit, identity="version 2"),
        replace(unit, op="gelu"),
        replace(unit, precision="float64"),
        replace(unit, seed=1),
        replace(unit, first=20),
        replace(unit, count=10),
    ]
    assert len({each.key for each in (unit, *others)}) == 7
    assert replace(unit, target="/elsewhere/frail.py").key == unit.key


def test_half_a_result_is_none(tmp_path):
    store = Store(tmp_path)
    (tmp_path / "broken.json").write_text('{"cases": 2')
    assert store.read("broken") is None
    assert store.read("absent") is None
    store.write("whole", {"cases": 2})
    assert store.read("whole") == {"cases": 2}


def test_another_file_of_the_same_name_is_refused(frail):
    unit = Unit(frail, "0" * 32, "silu", "float32", 0, 0, 1, 30.0)
    with pytest.raises(TargetError, match="not the same on every machine"):
        judge_unit(unit)


def test_an_address_without_a_scheduler_is_named(frail, tmp_path, monkeypatch):
    def refuse(address, timeout):
        raise OSError("nobody there")

    monkeypatch.setattr(distributed, "Client", refuse)
    with pytest.raises(TargetError, match=r"tcp://10.0.0.1:1: no Dask scheduler answers"):
        campaign(frail, count=1, results=tmp_path, scheduler="tcp://10.0.0.1:1")
