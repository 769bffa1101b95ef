"""Whatever a target does, it becomes a verdict and the run goes on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from refimpl.oracle.runs.verify import Finding, Report, find_case, replay, verify
from refimpl.oracle.targets.sessions import Session, TargetError

GOOD_SILU = "def silu(x):\n    return x / (1 + np.exp(-x))\n"
HOSTILE = {
    "raises": ("raise ValueError('no')", "crashes", "raised ValueError: no"),
    "exits": ("import os; os._exit(7)", "crashes", "exit code 7"),
    "segfaults": ("import ctypes; ctypes.string_at(0)", "crashes", "SIGSEGV"),
    "hangs": ("import time; time.sleep(60)", "crashes", "did not answer within 1 s"),
    "prints": ("print('x' * 10**6); return sigmoid_of(z)", "conforms", ""),
    "writes": ("z[...] = 0; return z", "crashes", "read-only"),
    "sets_writeable": (
        "z.flags.writeable = True; z += 1; return z",
        "crashes",
        "changed its input",
    ),
    "returns_nothing": ("return None", "crashes", "dtype object"),
    "returns_nan": ("return np.full(z.shape, np.nan, z.dtype)", "deviates", "nan"),
    "wrong_shape": ("return np.ones(3, z.dtype)", "deviates", "shape (3,)"),
    "wrong_dtype": ("return sigmoid_of(z).astype(np.float16)", "deviates", "dtype float16"),
    "second_call": (
        "global calls\n    calls += 1\n    return sigmoid_of(z) + (calls % 2 == 0)",
        "deviates",
        "on a second call",
    ),
    "huge": ("return np.broadcast_to(np.float32(0), (10**6, 10**6))", "crashes", ""),
}
PRELUDE = (
    "import numpy as np\ncalls = 0\n"
    "def sigmoid_of(z):\n    return np.exp(np.minimum(z, 0)) / (1 + np.exp(-np.abs(z)))\n"
)


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_target_becomes_a_verdict_and_the_next_operation_is_judged(kind, tmp_path):
    body, status, says = HOSTILE[kind]
    target = tmp_path / "target.py"
    target.write_text(PRELUDE + f"def sigmoid(z):\n    {body}\n" + GOOD_SILU)
    (report,) = verify(str(target), ops=["sigmoid", "silu"], profile="quick", limit=1.0)
    found = {finding.op: finding for finding in report.findings}
    assert found["sigmoid"].status == status
    assert says in found["sigmoid"].says
    assert found["silu"].status == "conforms"
    assert found["silu"].cases > 10


def test_a_target_that_dies_on_its_third_call_keeps_the_cases_before(tmp_path):
    target = tmp_path / "target.py"
    target.write_text(
        PRELUDE + "def sigmoid(z):\n    global calls\n    calls += 1\n"
        "    if calls == 5:\n        import os; os._exit(1)\n    return sigmoid_of(z)\n"
    )
    (report,) = verify(str(target), ops=["sigmoid"], profile="quick")
    assert report.findings[0].status == "crashes"
    assert report.findings[0].cases == 3


def test_a_refused_case_is_counted_and_is_no_success(tmp_path):
    target = tmp_path / "target.py"
    target.write_text("def sigmoid(z):\n    raise NotImplementedError\n")
    (report,) = verify(str(target), ops=["sigmoid"], profile="quick")
    assert report.findings[0].status == "unsupported"
    assert report.findings[0].refused == report.findings[0].cases > 0


def test_the_known_mistake_is_named(tmp_path):
    target = tmp_path / "target.py"
    target.write_text(
        "import numpy as np\ndef quick_gelu(x):\n    return x / (1 + np.exp(-1.702 * x)) * 1.5\n"
        "def silu(x):\n    return 1 / (1 + np.exp(-x))\n"
    )
    (report,) = verify(str(target), profile="quick")
    found = {finding.op: finding for finding in report.findings}
    (cause,) = found["quick_gelu"].causes
    assert (cause["kind"], cause["id"]) == ("mistake", "unlisted")
    assert "* 1.5" in cause["says"]
    assert {cause["kind"] for cause in found["silu"].causes} == {"mistake"}


def test_the_example_of_the_guide_is_explained():
    example = Path(__file__).parent.parent / "examples" / "bad_attention.py"
    (report,) = verify(str(example), profile="quick")
    (finding,) = report.findings
    assert finding.status == "deviates"
    assert [cause["id"] for cause in finding.causes] == ["attention/scale-by-model-width"]


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("nowhere.py", "no such file"),
        ("nothing", "not a target"),
        ("{tmp}/broken.py", "cannot be loaded"),
        ("{tmp}/empty.py", "no function named like an operation"),
        ("{tmp}/exits.py", "cannot be loaded"),
    ],
)
def test_a_target_that_cannot_be_loaded_is_a_usage_error(target, says, tmp_path):
    (tmp_path / "broken.py").write_text("import nowhere_to_be_found\n")
    (tmp_path / "empty.py").write_text("x = 1\n")
    (tmp_path / "exits.py").write_text("import os; os._exit(3)\n")
    with pytest.raises(TargetError, match=says):
        verify(target.format(tmp=tmp_path))


def test_a_case_is_found_again_by_its_name_and_replayed(tmp_path):
    case = find_case("softmax/float32/0-3")[1]
    assert case.id == "softmax/float32/0-3"
    again = find_case(case.id)[1]
    assert np.array_equal(again.inputs["z"], case.inputs["z"])
    assert replay(case.id, "fast").says == "FIXED"
    target = tmp_path / "target.py"
    target.write_text("def softmax(z):\n    return z\n")
    assert replay(case.id, str(target)).says == "STILL FAILING"
    with pytest.raises(TargetError, match="no such case"):
        find_case("softmax/float32/nowhere")


def test_inputs_reach_the_target_in_their_memory_layout(tmp_path):
    target = tmp_path / "target.py"
    target.write_text(
        "def sigmoid(z):\n"
        "    raise ValueError(f'{z.flags.writeable} {min(z.strides, default=1) < 0}')\n"
    )
    (report,) = verify(str(target), ops=["sigmoid"], profile="quick")
    assert "False" in report.findings[0].says


def cli(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "refimpl", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        **options,
    )


def test_exit_codes_say_what_happened(tmp_path):
    good, bad = tmp_path / "good.py", tmp_path / "bad.py"
    good.write_text("import numpy as np\n" + GOOD_SILU)
    bad.write_text("def silu(x):\n    return x\n")
    assert cli("verify", str(good), "--profile", "quick", "--seed", "0").returncode == 0
    assert cli("verify", str(bad), "--profile", "quick", "--seed", "0").returncode == 1
    assert cli("verify", "nowhere.py").returncode == 4
    assert cli("verify", str(good), "--op", "no_such_operation").returncode == 4
    assert cli("verify", str(good), "--op", "softmax").returncode == 5
    assert cli("verify", "--no-such-option").returncode == 4
    assert cli("list").returncode == 0
    assert cli("doctor").returncode == 0
    assert cli("explain", "attention").returncode == 0
    assert cli("explain", "no_such_operation").returncode == 4


def test_the_json_report_holds_what_the_table_says(tmp_path):
    bad = tmp_path / "bad.py"
    bad.write_text("def silu(x):\n    return x\n")
    output = tmp_path / "report.json"
    result = cli("verify", str(bad), "--json", str(output), "--profile", "quick", "--seed", "0")
    report = json.loads(output.read_text())
    assert {"refimpl", "target", "environment", "ops"} <= set(report)
    (entry,) = report["ops"]
    assert entry["op"] == "silu"
    assert entry["status"] == "deviates"
    assert entry["replay"] in result.stdout
    assert "Warning" not in result.stderr


def test_a_session_is_started_again_after_a_death(tmp_path):
    target = tmp_path / "target.py"
    target.write_text("import os\ndef sigmoid(z):\n    os._exit(1)\n")
    op, case = find_case("sigmoid/float32/0-1")
    with Session(str(target)) as session:
        assert session.call(op, case, 100).status == "died"
        assert session.call(op, case, 100).status == "died"


def test_only_a_cause_with_a_name_can_be_allowed():
    listed = Finding("silu", "float32", status="deviates", causes=[{"id": "silu/slope"}])
    unlisted = Finding("silu", "float32", status="deviates", causes=[{"id": "unlisted"}])
    report = Report("mine.py", allowed=frozenset({"silu/slope", "unlisted", ""}))
    assert report.allows(listed)
    assert not report.allows(unlisted)
    crashed = Finding("silu", "float32", status="crashes", causes=[{"id": "silu/slope"}])
    assert not report.allows(crashed)
