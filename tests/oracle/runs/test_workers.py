"""Operations judged side by side come to the same findings, whatever becomes of a process."""

from __future__ import annotations

import json
import multiprocessing
import multiprocessing.util
import os
import signal
import subprocess
import sys
import time

import pytest

from refimpl.commands.endings import INTERRUPTED, USAGE, as_interruptions
from refimpl.oracle.runs.judges import Plan
from refimpl.oracle.runs.verify import verify
from refimpl.oracle.runs.workers import Worker, WorkerLost, side_by_side
from refimpl.oracle.targets.sessions import TargetError
from refimpl.registry import OPS

TARGET = """
import numpy as np

def sigmoid(z):
    return 1 / (1 + np.exp(-z))

def silu(x):
    return x * 2

def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)
"""
HANGS = """
import pathlib, time

def hang(name):
    pathlib.Path(__file__).with_name(name).touch()
    time.sleep(60)

def layer_norm(**inputs):
    hang("first")

def gelu(**inputs):
    hang("last")
"""
NAMES = ["silu", "sigmoid", "softmax"]


@pytest.fixture
def target(tmp_path):
    path = tmp_path / "target.py"
    path.write_text(TARGET)
    return str(path)


def test_two_workers_find_what_one_finds_in_the_same_order(target):
    one, two = (verify(target, ops=NAMES, profile="quick", workers=n)[0] for n in (1, 2))
    assert [finding.as_json() for finding in two.findings] == [
        finding.as_json() for finding in one.findings
    ]
    assert [finding.status for finding in two.findings] == ["deviates", "conforms", "dialect"]
    assert two.complete
    assert two.version == one.version


def test_a_target_that_cannot_be_loaded_is_the_same_error(tmp_path):
    (tmp_path / "broken.py").write_text("import nowhere_to_be_found\n")
    with pytest.raises(TargetError, match="cannot be loaded"):
        verify(str(tmp_path / "broken.py"), ops=NAMES, profile="quick", workers=2)


def test_workers_that_all_fail_are_one_sentence():
    command = [sys.executable, "-m", "refimpl", "verify", "nowhere", "--workers", "2"]
    for _ in range(3):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.stderr.count("\n") == 1, done.stderr
        assert done.returncode == USAGE


def test_a_worker_that_is_ended_while_it_ends_says_nothing(monkeypatch, capfd):
    def ended():
        os.kill(os.getpid(), signal.SIGTERM)
        sum(range(1000))  # where a handler of this process would raise

    monkeypatch.setattr(multiprocessing.util, "_exit_function", ended)
    plan = Plan(("nowhere",), (), "quick", 0, 30.0)
    with as_interruptions():
        worker = Worker(plan, 1, [])
        assert isinstance(worker.pipe.recv(), TargetError)
        worker.process.join()
    assert worker.process.exitcode == 0
    assert capfd.readouterr().err == ""


def test_a_worker_that_is_killed_loses_its_operation_alone(target):
    found = []
    plan = Plan((target,), (), "quick", 0, 30.0)

    def keep(_, finding):
        found.append(finding.op)
        if len(found) == 1:
            for worker in multiprocessing.active_children():
                worker.kill()

    with pytest.raises(WorkerLost, match="ended with code -9"):
        side_by_side(plan, [OPS[name] for name in NAMES], 2, lambda _: None, keep, lambda _: None)
    assert found[0] in NAMES


@pytest.fixture
def heard():
    """Interruptions reach what is started: a shell lets its background commands ignore them."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard")
def test_an_interruption_keeps_what_the_workers_found(tmp_path):
    (tmp_path / "slow.py").write_text(TARGET + HANGS)
    report = tmp_path / "report.json"
    command = [sys.executable, "-m", "refimpl", "verify", "slow.py", "--profile", "quick"]
    command += ["--workers", "2", "--json", str(report), "--seed", "0"]
    for name in ("layer_norm", *NAMES, "gelu"):
        command += ["--op", name]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        while not all((tmp_path / name).exists() for name in ("first", "last")):
            assert running.poll() is None
            time.sleep(0.1)
        running.send_signal(signal.SIGINT)
        printed, _ = running.communicate(timeout=60)
    assert running.returncode == INTERRUPTED, printed
    one = json.loads(report.read_text())
    status = {finding["op"]: finding["status"] for finding in one["ops"]}
    assert status["silu"] == "deviates"
    assert (status["sigmoid"], status["softmax"]) == ("conforms", "dialect")
    assert not one["complete"]
