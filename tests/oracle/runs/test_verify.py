"""Whatever a target does, it becomes a verdict and the run goes on."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import ClassVar

import numpy as np
import pytest

from refimpl.oracle.diagnosis.cause import Cause
from refimpl.oracle.findings import Finding, Report
from refimpl.oracle.judging.judge import Expected, expect
from refimpl.oracle.reports.text import verdict, word
from refimpl.oracle.runs.op_run import OpRun
from refimpl.oracle.runs.verify import find_case, replay, verify
from refimpl.oracle.targets.sessions import Outcome, Session, TargetError
from tests import ROOT

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
    answered, ended = report.findings
    assert (answered.status, answered.cases) == ("conforms", 5)
    assert (ended.status, ended.cases) == ("crashes", 2)
    assert "2 of 7 cases: ended its process with exit code 1" in ended.says
    assert not report.conforms


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
    assert (cause.kind, cause.id) == ("mistake", "unlisted")
    assert "* 1.5" in cause.says
    assert {cause.kind for cause in found["silu"].causes} == {"mistake"}


def test_the_example_of_the_guide_is_explained():
    example = ROOT / "examples" / "bad_attention.py"
    (report,) = verify(str(example), profile="quick")
    (finding,) = report.findings
    assert finding.status == "deviates"
    assert [cause.id for cause in finding.causes] == ["attention/scale-by-model-width"]


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
    listed = Finding("silu", "float32", status="deviates", causes=[Cause("mistake", "silu/slope")])
    unlisted = Finding("silu", "float32", status="deviates", causes=[Cause("mistake", "unlisted")])
    report = Report("mine.py", allowed=frozenset({"silu/slope", "unlisted", ""}))
    assert report.allows(listed)
    assert not report.allows(unlisted)
    crashed = Finding("silu", "float32", status="crashes", causes=[Cause("mistake", "silu/slope")])
    assert not report.allows(crashed)


ONE_PASS = """
import numpy as np

def group_norm(x, gain, bias, groups, eps):
    grouped = x.reshape(x.shape[0], groups, -1)  # numpy refuses this for an empty batch
    mean = grouped.mean(-1, keepdims=True)
    variance = (grouped * grouped).mean(-1, keepdims=True) - mean * mean
    normal = ((grouped - mean) / np.sqrt(variance + eps)).reshape(x.shape)
    shape = (-1,) + (1,) * (x.ndim - 2)
    return normal * gain.reshape(shape) + bias.reshape(shape)
"""


def test_inputs_that_raise_hide_no_deviation_and_are_named_beside_it(tmp_path):
    target = tmp_path / "target.py"
    target.write_text(ONE_PASS)
    (report,) = verify(str(target), profile="ci")
    answered, raising = report.findings
    assert answered.status == "deviates"
    assert [cause.id for cause in answered.causes] == ["group_norm/one-pass-variance"]
    assert raising.status == "raises"
    assert "every case with an array that has no elements" in raising.says
    assert "raised ValueError" in raising.says
    assert not report.conforms


NO_SHARED_HEADS = """
import numpy as np
from tests import ROOT

def attention(query, key, value, bias):
    if query.shape[1] != key.shape[1]:
        raise ValueError("as many key heads as heads")
    scores = query @ np.swapaxes(key, -1, -2)
    scores = scores if bias is None else scores + bias
    top = scores.max(-1, keepdims=True)
    weight = np.exp(scores - np.where(top > -np.inf, top, 0))
    return weight / np.maximum(weight.sum(-1, keepdims=True), 1) @ value
"""


def test_the_regime_that_raises_is_said_in_words(tmp_path):
    target = tmp_path / "target.py"
    target.write_text(NO_SHARED_HEADS)
    (report,) = verify(str(target), profile="quick")
    answered, raising = report.findings
    assert [cause.id for cause in answered.causes] == ["attention/no-scale"]
    assert raising.says.startswith("attention: every case with fewer key heads than heads, ")
    assert 0 < answered.deviating <= answered.judged


def test_what_a_target_does_without_is_left_out_and_said(tmp_path):
    target = tmp_path / "target.py"
    target.write_text(NO_SHARED_HEADS + 'WITHOUT = ("grouped heads",)\n')
    (report,) = verify(str(target), profile="quick")
    (answered,) = report.findings
    assert answered.left_out["grouped heads"] > 0
    assert answered.judged >= 6, "others are drawn in their place"
    assert [cause.id for cause in answered.causes] == ["attention/no-scale"]


def test_a_target_cannot_do_without_everything_or_without_what_has_no_name(tmp_path):
    target = tmp_path / "target.py"
    target.write_text("import numpy as np\n" + GOOD_SILU + 'WITHOUT = "hard inputs"\n')
    with pytest.raises(TargetError, match="WITHOUT names 'hard inputs'; known are 'empty"):
        verify(str(target), profile="quick")
    target.write_text(
        "import numpy as np\ndef softmax(z):\n    return z\nWITHOUT = ('K above 0', 'K below 1')\n"
    )
    (report,) = verify(str(target), profile="quick")
    assert report.findings[0].status == "unsupported"
    assert not report.conforms


def test_a_target_that_answers_hardly_anything_does_not_conform(tmp_path):
    target = tmp_path / "target.py"
    target.write_text(
        PRELUDE + "def sigmoid(z):\n    if z.size > 2:\n        raise NotImplementedError\n"
        "    return sigmoid_of(z)\n"
    )
    (report,) = verify(str(target), profile="quick")
    assert report.findings[0].status == "too few"
    assert not report.conforms
    result = cli("verify", str(target), "--profile", "quick")
    assert result.returncode == 5
    assert "conforms" not in result.stdout
    assert "cases judged" in result.stdout


@pytest.mark.parametrize(
    ("beyond", "status"),
    [
        ("raise ValueError('too wide')", "raises"),
        ("import os; os._exit(1)", "crashes"),
        ("result[..., :] = np.nan", "deviates"),
        ("result[..., 1:] = 0", "deviates"),
    ],
)
def test_long_inputs_are_judged_like_all_others(tmp_path, beyond, status):
    target = tmp_path / "target.py"
    target.write_text(
        "import numpy as np\n\ndef linear(x, weight, bias):\n"
        "    result = x.astype(np.float64) @ weight.astype(np.float64).T\n"
        "    result = (result if bias is None else result + bias).astype(np.float32)\n"
        f"    if x.shape[-1] > 1500:\n        {beyond}\n    return result\n"
    )
    report_file = tmp_path / "report.json"
    result = cli("verify", str(target), "--profile", "ci", "--json", str(report_file), cwd=tmp_path)
    assert result.returncode == 1
    entries = json.loads(report_file.read_text())["ops"]
    found = next(entry for entry in entries if entry["status"] == status)
    assert "linear/float32/long0-" in found["replay"]
    if status in ("raises", "crashes"):
        assert "with D above" in found["says"] or status == "crashes"


def test_answers_that_differ_between_calls_are_the_cause(tmp_path):
    target = tmp_path / "target.py"
    target.write_text(
        PRELUDE + "rng = np.random.default_rng()\ndef sigmoid(z):\n"
        "    return np.asarray(sigmoid_of(z) * (rng.random(z.shape) > 0.1), z.dtype)\n"
    )
    (report,) = verify(str(target), profile="quick")
    (finding,) = report.findings
    (cause,) = finding.causes
    assert cause.says.startswith("answers differ between calls with the same input")


def test_a_target_that_is_wrong_once_in_fifty_calls_is_found(tmp_path):
    target = tmp_path / "target.py"
    target.write_text(
        PRELUDE + "def sigmoid(z):\n    global calls\n    calls += 1\n"
        "    return np.asarray(sigmoid_of(z) + (calls % 50 == 49), z.dtype)\n"
    )
    (report,) = verify(str(target), profile="quick")
    assert report.findings[0].status == "deviates"
    assert report.findings[0].causes[0].id == "answers-differ"


def test_roundings_that_differ_from_call_to_call_hide_no_mistake(tmp_path):
    target = tmp_path / "target.py"
    target.write_text(
        "import numpy as np\nup = False\ndef silu(x):\n    global up\n    up = not up\n"
        "    y = np.asarray(x / (1 + np.exp(-1.702 * x)), x.dtype)\n"
        "    return y * x.dtype.type(1 + 2**-23) if up else y\n"
    )
    (report,) = verify(str(target), profile="quick")
    assert [cause.id for cause in report.findings[0].causes] == ["silu/quick-gelu"]


def test_a_verdict_does_not_depend_on_who_reads_it(tmp_path):
    target = tmp_path / "target.py"
    names = ("linear", "softmax", "sigmoid", "silu", "gelu", "attention", "layer_norm")
    body = "def bad(**_):\n    raise ValueError('x' * 300)\n"
    target.write_text(body + "".join(f"{name} = bad\n" for name in names))
    report = tmp_path / "report.json"
    command = [sys.executable, "-m", "refimpl", "verify", str(target), "--profile", "quick"]
    process = subprocess.Popen([*command, "--json", str(report)], stdout=subprocess.PIPE)
    process.stdout.close()
    assert process.wait(timeout=120) == 1
    assert json.loads(report.read_text())["complete"]


def test_a_report_that_cannot_be_written_is_said_before_the_run(tmp_path):
    bad = tmp_path / "bad.py"
    bad.write_text("def silu(x):\n    return x\n")
    result = cli("verify", str(bad), "--json", str(tmp_path), "--profile", "quick")
    assert result.returncode == 4
    assert "cannot be written" in result.stderr
    assert not result.stdout


def test_a_report_that_is_lost_takes_no_other_with_it(tmp_path):
    bad = tmp_path / "bad.py"
    bad.write_text("def silu(x):\n    return x\n")
    (tmp_path / ".refimpl").write_text("a file where the folder of cases would be\n")
    page = tmp_path / "report.html"
    arguments = ("verify", str(bad), "--json", "/dev/full", "--html", str(page))
    result = cli(*arguments, "--profile", "quick", cwd=tmp_path)
    assert result.returncode == 1
    assert "/dev/full: cannot be written" in result.stderr
    assert "smallest input" in result.stdout
    assert "silu" in page.read_text()


def test_elements_without_a_bound_are_counted_and_nothing_else_is_no_success():
    op, case = find_case("sigmoid/float32/0-1")
    (want,) = expect(op, case.inputs, "float32")

    class Right:
        ops: ClassVar = ["sigmoid"]

        def call(self, op, case, answer_bytes, limit=np.inf, steps=False):
            return Outcome("returned", [want.value.astype(np.float32)])

        def replay(self, case):
            return ""

    def tried(without_bound):
        allowed = np.where(without_bound, np.inf, want.allowed)
        op_run = OpRun(op, Right(), "float32")
        op_run.add(case, [Expected("result", want.value, allowed)])
        op_run.conclude()
        return op_run.finding

    size, everywhere = want.value.size, np.ones(want.value.shape, bool)
    assert (tried(~everywhere).unbounded, tried(~everywhere).elements) == (0, size)
    some = everywhere.copy()
    some.flat[0] = False
    assert (tried(some).unbounded, tried(some).status) == (size - 1, "conforms")
    nothing = tried(everywhere)
    assert (nothing.unbounded, nothing.status) == (size, "unsupported")
    assert not Report("mine.py", findings=[nothing]).conforms


def test_a_run_that_stopped_before_its_first_answer_is_not_said_to_conform():
    report = Report("mine.py", findings=[Finding("silu", "float32", complete=False)])
    report.complete = False
    assert word(report) == "not judged"
    assert "stopped before its end" in verdict(report)
    report.findings = [Finding("silu", "float32", 3)]
    assert word(report) == "conforms"
    assert "stopped before its end" in verdict(report)
