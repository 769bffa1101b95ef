"""The smallest failing input, stored cases and their replay, and the first wrong step."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
import types

import numpy as np
import pytest

import refimpl
from refimpl.op import DomainError
from refimpl.oracle.cases.drawn import Case, generate
from refimpl.oracle.diagnosis.evidence import Evidence
from refimpl.oracle.diagnosis.shrink import SameCause, computing, numbers, small_sizes, smallest
from refimpl.oracle.diagnosis.steps import first_wrong, line_of
from refimpl.oracle.judging.judge import expect, judge
from refimpl.oracle.runs.op_run import OpRun
from refimpl.oracle.runs.verify import replay, verify
from refimpl.oracle.targets.sessions import Outcome, Session, TargetError
from refimpl.oracle.vectors import failing_cases, golden
from refimpl.registry import OPS
from tests import ROOT
from tests.oracle.runs.test_verify import cli

FLOAT32 = np.dtype(np.float32)
EXAMPLES = ROOT / "examples"
SHRUNK = (
    "attention/softmax-over-queries",
    "clip_loss/double-exponential",
    "layer_norm/not-centred",
    "linear_schedule/ends-exchanged",
    "p_sample/coefficients-exchanged",
    "patch_embed/no-bias",
    "q_posterior/log-of-zero",
)
RIGHT = (
    "import numpy as np\nimport refimpl\ndef silu(x):\n    return refimpl.silu(x).astype(x.dtype)\n"
)
WRONG = "    return (x * np.float32(0.5)).astype(x.dtype)\n"


def mistake(name):
    op = OPS[name.partition("/")[0]]
    return op, next(edit for edit in op.mistakes if edit.id == name)


def answering(op, text):
    """A target in this process: an edited text in float32."""

    def ask(case):
        with np.errstate(all="ignore"):
            result = text(**case.typed(op))
        several = result if isinstance(result, tuple) else (result,)
        return [np.asarray(output).astype(FLOAT32) for output in several]

    return ask


def judged(tmp_path, source, op="silu", **options):
    target = tmp_path / "target.py"
    target.write_text(RIGHT + source)
    (report,) = verify(str(target), ops=[op], profile="quick", **options)
    return report.findings[0]


@pytest.mark.parametrize("name", SHRUNK)
def test_the_smallest_input_is_small_and_shows_the_same_cause(name):
    op, edit = mistake(name)
    same = SameCause(Evidence(op, "float32", ask=answering(op, op.edited(edit))), op.edited(edit))
    case = smallest(op, "float32", same)
    assert case is not None
    assert numbers(case) <= 12
    assert same(case)


def test_a_schedule_of_a_thousand_steps_shrinks_to_a_few():
    op, edit = mistake("q_posterior/log-of-zero")
    assert any(len(case.inputs["betas"]) == 1000 for case in generate(op, "float32", 0))
    ask = answering(op, op.edited(edit))
    case = smallest(op, "float32", SameCause(Evidence(op, "float32", ask=ask), op.edited(edit)))
    assert case is not None
    assert len(case.inputs["betas"]) <= 3


def test_an_input_with_another_cause_is_not_the_same():
    op, edit = mistake("silu/gate-alone")
    other = op.edited(mistake("silu/rectifier")[1])
    ask = answering(op, op.edited(edit))
    case = Case("silu", "float32", "0", "", {"x": np.array([-1.0])})
    assert SameCause(Evidence(op, "float32", ask=ask), op.edited(edit))(case)
    assert not SameCause(Evidence(op, "float32", ask=ask), other)(case)
    assert SameCause(Evidence(op, "float32", ask=ask), None)(case)


def test_what_conforms_has_no_smallest_failing_input():
    op = OPS["softmax"]
    ask = answering(op, op.text)
    assert not any(
        SameCause(Evidence(op, "float32", ask=ask))(case) for case in generate(op, "float32", 20)
    )


def test_the_spaces_begin_with_the_fewest_numbers_and_keep_their_room():
    specs = tuple(OPS["attention"].specs.values())
    sizes = small_sizes(specs, 12)
    assert set(sizes[0][0].values()) == {1}
    assert len(sizes) < len(small_sizes(specs, 48))


def test_shrinking_ends_when_its_time_is_over():
    count = itertools.count()
    asked = []

    def clock():
        return next(count)

    assert smallest(OPS["silu"], "float32", lambda case: bool(asked.append(case)), 5, clock) is None
    assert 0 < len(asked) <= 5


def test_a_call_while_shrinking_has_no_more_time_than_is_left():
    limits = []

    class Slow:
        ops = ("silu",)

        def call(self, op, case, answer_bytes, limit=np.inf, steps=False):
            limits.append(limit)
            return Outcome("hung")

    op_run = OpRun(OPS["silu"], Slow(), "float32")
    op_run._shrink(None, 1.5)
    assert len(limits) == 1  # it hung: nothing more is asked
    assert limits[0] <= 1.5


def test_the_clock_of_shrinking_counts_what_is_computed_and_not_what_is_waited_for():
    child = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        clock = computing(types.SimpleNamespace(process=child))
        own = time.process_time
        waited, before, start = own(), clock(), time.monotonic()
        while clock() - before - (own() - waited) < 0.2 and time.monotonic() < start + 20:
            time.sleep(0.05)
        assert clock() - before - (own() - waited) >= 0.2  # what the child computed
    finally:
        child.kill()
        child.wait()
    idle, before = computing(types.SimpleNamespace(process=None)), time.process_time()
    time.sleep(0.3)
    assert idle() - before < 0.2


def test_hypothesis_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    smallest(OPS["silu"], "float32", lambda case: case.inputs["x"].sum() > 1)
    assert not list(tmp_path.iterdir())


READS_MEMORY = """
right = silu
def silu(x):
    return right(x.ravel(order="K").reshape(x.shape))
"""


def test_an_input_shrinks_in_the_layout_that_shows_the_deviation(tmp_path):
    finding = judged(tmp_path, READS_MEMORY)
    small = finding.smallest
    assert small is not None
    assert small.case.layout != "C"
    assert numbers(small.case) <= 12
    path = failing_cases.write(tmp_path, OPS["silu"], small.case, "", [])
    assert failing_cases.read(path)[1].layout == small.case.layout
    assert "np." in small.call.partition("silu(x=")[2]


def test_a_deviation_that_disappears_when_shrunk_is_not_shrunk_away(tmp_path):
    target = tmp_path / "target.py"
    source = "right = silu\ndef silu(x):\n    if x.size < 5:\n        return right(x)\n" + WRONG
    target.write_text(RIGHT + source)
    with Session(str(target)) as session:
        op_run = OpRun(OPS["silu"], session, "float32")
        op_run._shrink(None, 2.0)
    small = op_run.finding.smallest
    assert small is None or numbers(small.case) >= 5


def test_a_deviation_that_comes_and_goes_has_no_smallest_input():
    answers = itertools.chain([np.float32([0.5])] * 2, itertools.repeat(np.float32([0.0])))

    class Fading:
        ops = ("silu",)

        def call(self, op, case, answer_bytes, limit=np.inf, steps=False):
            right = expect(op, case.inputs, "float32")[0].value.astype(FLOAT32)
            return Outcome("returned", [right + next(answers)])

    op_run = OpRun(OPS["silu"], Fading(), "float32")
    op_run._shrink(None, 2.0)
    assert op_run.finding.smallest is None


def test_a_flaky_target_is_reported_and_its_cases_are_flaky(tmp_path):
    source = (
        "calls, right = 0, silu\ndef silu(x):\n    global calls\n    calls += 1\n"
        "    if calls % 3:\n        return right(x)\n" + WRONG
    )
    finding = judged(tmp_path, source)
    assert finding.status == "deviates"
    found = replay(finding.case, str(tmp_path / "target.py"))
    assert found.says == "FLAKY"
    assert "2 different answers" in found.cause


def test_a_crash_while_shrinking_costs_only_the_shrinking(tmp_path):
    source = (
        "import os\ndef silu(x):\n    if x.shape in ((1,), (1, 1), (2, 2)):\n        os._exit(1)\n"
        + WRONG
    )
    finding = judged(tmp_path, source)
    assert finding.status == "deviates"
    assert finding.causes
    assert finding.smallest is None or finding.smallest.says


def test_the_call_can_be_pasted(tmp_path):
    finding = judged(tmp_path, "def silu(x):\n" + WRONG)
    small = finding.smallest
    assert numbers(small.case) == 1
    with np.errstate(all="ignore"):
        found = eval(small.call, {"np": np, "silu": lambda x: x * np.float32(0.5)})
    op = OPS["silu"]
    expected = expect(op, small.case.inputs, "float32")
    assert str(judge(op, expected, found, FLOAT32)) == small.says
    right = eval(small.call, {"np": np, "silu": refimpl.silu})
    assert judge(op, expected, right, FLOAT32).conforms


@pytest.mark.parametrize("precision", ["float64", "float32", "float16"])
def test_every_argument_can_be_pasted(precision):
    for op in (OPS["attention"], OPS["respaced_betas"], OPS["dynamic_threshold"]):
        if precision not in op.precisions:
            continue
        for case in generate(op, precision, 12):
            kept = eval(failing_cases.call(op, case), {"np": np, op.name: lambda **inputs: inputs})
            for name, value in case.typed(op).items():
                assert np.array_equal(kept[name], value)
                assert np.asarray(kept[name]).dtype == np.asarray(value).dtype


def test_a_failing_case_is_stored_and_replayed_until_it_is_fixed(tmp_path):
    place = tmp_path / "cases"
    finding = judged(tmp_path, "def silu(x):\n" + WRONG, cases=place)
    (path,) = place.iterdir()
    assert finding.smallest.file == str(path)
    target = tmp_path / "target.py"
    found = replay(str(path), str(target))
    assert found.says == "STILL FAILING"
    assert "the same" in found.cause
    target.write_text("def silu(x):\n    return -x\n")
    found = replay(str(path), str(target))
    assert found.says == "STILL FAILING"
    assert "changed" in found.cause
    target.write_text(RIGHT)
    found = replay(str(path), str(target))
    assert found.says == "FIXED"
    assert not found.cause


def test_a_stored_case_is_a_golden_case(tmp_path):
    judged(tmp_path, "def silu(x):\n" + WRONG, cases=tmp_path / "cases")
    (path,) = (tmp_path / "cases").iterdir()
    (vector,) = golden.read_file(path)
    assert vector.op == "silu"
    exact = OPS["silu"].evaluate(vector.inputs)
    assert np.array_equal(vector.expected["result"], exact)
    assert set(vector.allowed) == {"float32"}


def test_nothing_is_stored_of_what_conforms_or_is_allowed(tmp_path):
    place = tmp_path / "cases"
    assert judged(tmp_path, "", cases=place).status == "conforms"
    gate = "def silu(x):\n    return (1 / (1 + np.exp(-x))).astype(x.dtype)\n"
    finding = judged(tmp_path, gate, cases=place, allow=["silu/gate-alone"])
    assert [cause.id for cause in finding.causes] == ["silu/gate-alone"]
    assert finding.smallest is not None
    assert not place.exists()


def test_a_golden_case_is_replayed(tmp_path):
    assert replay("silu/probe0", "fast").says == "FIXED"
    assert replay("silu/probe0", "fast", precision="float64").says == "FIXED"
    for name in ("silu/nowhere", "no_such_operation/probe0"):
        with pytest.raises(TargetError, match="no golden case"):
            replay(name, "fast")
    with pytest.raises(TargetError, match="float8 is none of"):
        replay("silu/probe0", "fast", precision="float8")


def signed(content):
    """A case that someone has changed, with a digest that fits."""
    (case,) = content["cases"]
    case["digest"] = golden.digest({key: x for key, x in case.items() if key != "digest"})
    return content


def huge(op, **inputs):
    content = failing_cases.entry(
        OPS["silu"], Case("silu", "float32", "0", "", {"x": np.ones(1)}), "", ()
    )
    content |= {"op": op, "inputs": {k: golden.array_entry(np.int64(n)) for k, n in inputs.items()}}
    return signed({"format": 1, "op": op, "cases": [content]})


def changed(**entries):
    case = Case("silu", "float32", "0", "", {"x": np.ones(1)})
    content = failing_cases.entry(OPS["silu"], case, "", ()) | entries
    return signed({"format": 1, "op": "silu", "cases": [content]})


HOSTILE = {
    "a pickle": (b"\x80\x04\x95", "cannot be read"),
    "no JSON": (b"{", "cannot be read"),
    "no vectors": ([], "expected a vector file"),
    "no cases": ({"format": 1, "cases": []}, "holds 0 cases"),
    "two cases": ({"format": 1, "cases": changed()["cases"] * 2}, "holds 2 cases"),
    "huge axes": (huge("causal_bias", queries=10**9, keys=10**9), "elements, expected"),
    "a wrong shape": (changed(inputs={"x": {"shape": [10**12], "data": [1]}}), "does not hold"),
    "no numbers": (changed(inputs={"x": {"shape": [1], "data": ["__import__"]}}), "not a number"),
    "no flags": (changed(flags=3), "flags is not a list"),
    "no allowed errors": (changed(allowed={}), "one precision"),
    "wrong allowed errors": (changed(allowed={"float32": 3}), "not expected"),
    "an unknown operation": (changed(op="os.system"), "no operation is called"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_case_file_is_refused_in_words(kind, tmp_path):
    content, says = HOSTILE[kind]
    path = tmp_path / "case.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    with pytest.raises(golden.VectorError, match=says):
        failing_cases.read(path)


def test_the_command_stores_and_replays(tmp_path):
    target = tmp_path / "bad.py"
    target.write_text("def silu(x):\n    return x\n")
    result = cli(
        "verify", str(target), "--profile", "quick", "--seed", "0", "--json", "r.json", cwd=tmp_path
    )
    (entry,) = json.loads((tmp_path / "r.json").read_text())["ops"]
    small = entry["smallest"]
    assert small["call"] in result.stdout
    assert small["replay"] in result.stdout
    assert (tmp_path / small["file"]).parent == tmp_path / ".refimpl" / "cases"
    again = cli("replay", small["file"], str(target), cwd=tmp_path)
    assert again.returncode == 1
    assert again.stdout.startswith("STILL FAILING")
    assert cli("replay", small["file"], "fast", cwd=tmp_path).returncode == 0
    assert cli("replay", "nowhere.json", "fast", cwd=tmp_path).returncode == 4


@pytest.mark.parametrize("op", OPS.values(), ids=lambda op: op.name)
def test_a_text_with_taps_is_the_same_text(op):
    named = []
    text = op.tapped(lambda name, value: [named.append(name), value][1])
    for case in generate(op, "float64", 3):
        try:
            right = op.evaluate(case.inputs)
        except DomainError:
            continue
        found = text(**case.inputs)
        pairs = zip(found, right) if isinstance(right, tuple) else [(found, right)]
        assert all(np.array_equal(a, b, equal_nan=True) for a, b in pairs)
    code = op.text.__code__
    assert set(named) <= {*code.co_varnames, *code.co_cellvars}


def attention_steps(scale=True, over=-1, shift=0.0):
    """Attention in float32 with its scores, before and after the bias, as it may go wrong."""
    query = np.float32([[[[1.0, 2.0], [0.5, -1.0]]]])
    key = np.float32([[[[1.0, 0.0], [2.0, 1.0], [0.0, -1.0]]]])
    value = np.float32([[[[1.0], [2.0], [4.0]]]])
    bias = np.float32([[0.0, 1.0, 2.0]])
    raw = query @ np.swapaxes(key, -1, -2) / np.float32(np.sqrt(2) if scale else 1)
    raw = raw + np.float32(shift)
    scores = raw + bias
    weights = np.exp(scores)
    result = weights / weights.sum(axis=over, keepdims=True) @ value
    inputs = {"query": query, "key": key, "value": value, "bias": bias}
    return Case("attention", "float32", "0", "", inputs), [result], raw, scores


@pytest.mark.parametrize("when", ["before", "after"])
def test_the_first_wrong_step_is_the_one_that_goes_wrong(when):
    op = OPS["attention"]

    def step(**mistake):
        case, outputs, raw, scores = attention_steps(**mistake)
        return first_wrong(op, case, outputs, {"scores": raw if when == "before" else scores})

    assert step() == ""
    assert step(scale=False).startswith("scores = ")
    assert "scores[" in step(scale=False)
    assert step(over=-2).startswith("return softmax(scores) @ value")
    both = step(scale=False, over=-2)
    assert both.startswith("scores = ")


def test_an_earlier_error_is_not_counted_again():
    op = OPS["layer_norm"]
    x = np.float32([[1.0, 2.0, 4.0]])
    inputs = {"x": x, "gain": np.ones(3), "bias": np.zeros(3), "eps": 1e-5}
    case = Case("layer_norm", "float32", "0", "", inputs)
    mean = x.mean(axis=-1, keepdims=True)
    centred = x - mean
    variance = (centred**2).sum(axis=-1, keepdims=True) / 2  # of a sample
    result = centred / np.sqrt(variance + np.float32(1e-5))
    found = {"mean": mean, "centred": centred, "variance": variance}
    says = first_wrong(op, case, [result], found)
    assert says.startswith("variance = np.mean(centred * centred")
    later = {"variance": variance * 0 + 1} | {"mean": mean + 1}
    assert first_wrong(op, case, [result], later).startswith("mean = ")


def test_a_step_of_another_shape_is_wrong_and_an_unknown_name_is_none():
    case, outputs, raw, _ = attention_steps()
    op = OPS["attention"]
    assert "has shape" in first_wrong(op, case, outputs, {"scores": raw[0]})
    assert first_wrong(op, case, outputs, {"anything": raw}) == ""
    assert first_wrong(op, case, outputs, {"heads": raw}) == ""  # a size, not an array


def test_every_named_step_has_a_line():
    assert line_of(OPS["attention"], "shared") == "shared = heads // key.shape[1]"
    assert line_of(OPS["silu"]) == "return x * sigmoid(x)"


CALLS = """
def linear(x, weight, bias):
    return refimpl.linear(x, weight, bias).astype(x.dtype)
def attention(query, key, value, bias):
    return refimpl.attention({query}, key, value, bias).astype(query.dtype)
def patchify(images, patch):
    return refimpl.patchify(images, patch).astype(images.dtype)
def multi_head_attention(x, memory, in_weight, in_bias, out_weight, out_bias, heads, bias):
    from refimpl.ops.attention.reference import split_heads
    b = (None,) * 3 if in_bias is None else np.split(in_bias, 3)
    w = np.split(in_weight, 3)
    packed = [linear(y, w[i], b[i]) for i, y in enumerate((x, memory, memory))]
    mixed = attention(*(split_heads(y, heads) for y in packed), bias)
    return linear(np.reshape(np.swapaxes(mixed, 1, 2), x.shape), out_weight, {out_bias})
"""


def test_the_first_wrong_operation_that_is_called_is_named(tmp_path):
    source = CALLS.format(query="2 * query", out_bias="out_bias")
    finding = judged(tmp_path, source, op="multi_head_attention")
    assert finding.step.startswith("attention, called by multi_head_attention")


def test_no_call_is_blamed_for_a_mistake_between_the_calls(tmp_path):
    source = CALLS.format(query="query", out_bias="None")
    finding = judged(tmp_path, source, op="multi_head_attention")
    assert finding.status == "deviates"
    assert finding.step == ""


def test_a_dict_without_the_result_is_no_answer(tmp_path):
    finding = judged(tmp_path, "def silu(x):\n    return {'gate': x}\n")
    assert finding.status == "crashes"
    assert "has no 'result'" in finding.says


def test_the_example_in_torch_is_explained_to_the_step():
    pytest.importorskip("torch")
    (report,) = verify(str(EXAMPLES / "bad_torch_attention.py"), profile="quick")
    (finding,) = report.findings
    assert [cause.id for cause in finding.causes] == ["attention/softmax-over-queries"]
    assert finding.step.startswith("return softmax(scores) @ value")
    assert numbers(finding.smallest.case) <= 12
