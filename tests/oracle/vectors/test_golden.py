"""The golden vectors: certified, explained, witnessed; and hostile files are refused."""

from __future__ import annotations

import json
import math
import shutil
import sys
from pathlib import Path

import jsonschema_rs
import numpy as np
import pytest

from refimpl.oracle.judging.large import LARGE, compute, counter
from refimpl.oracle.numbers.balls import ball, certified
from refimpl.oracle.runs.foreign_outputs import read_folder, verify_recorded
from refimpl.oracle.targets.sessions import TargetError
from refimpl.oracle.vectors import golden
from refimpl.oracle.vectors.golden import VectorError
from refimpl.registry import OPS
from tests.tools.golden import GOLDEN, round_up


@pytest.fixture(scope="module")
def everything():
    return list(golden.vectors())


def test_every_value_is_derived_again_and_correctly_rounded():
    found = golden.check()
    assert not found.problems
    assert found.cases >= 1000
    assert found.rederived == found.values > 0
    assert found.radius < 0.5


def test_every_operation_has_cases(everything):
    assert {vector.op for vector in everything} == set(OPS)


def test_every_known_mistake_and_dialect_is_caught_by_a_case(everything):
    caught = {flag for vector in everything for flag in vector.flags}
    known = {edit.id for op in OPS.values() for edit in (*op.mistakes, *op.dialects)}
    assert known - caught == set()


def test_every_case_has_two_witnesses_that_agree(everything):
    for vector in everything:
        assert len(vector.witnesses) >= 2
        assert all(entry["ratio"] <= 1 for entry in vector.witnesses)


def test_the_files_are_small_and_fit_the_schema():
    schema = json.loads((GOLDEN / "schema.json").read_text())
    validator = jsonschema_rs.validator_for(schema)
    size = 0
    for path in GOLDEN.glob("*/*.json"):
        size += path.stat().st_size
        validator.validate(json.loads(path.read_text()))
    assert size < 80_000 * len(OPS)


def test_the_files_are_those_of_the_manifest():
    listed = set(golden.manifest(GOLDEN))
    present = {p.relative_to(GOLDEN).as_posix() for p in GOLDEN.glob("*/*.json")}
    assert present <= listed


@pytest.fixture
def copy(tmp_path):
    """A folder with the vectors of one operation."""
    (tmp_path / "layers").mkdir()
    shutil.copy(GOLDEN / "layers" / "silu.json", tmp_path / "layers")
    shutil.copy(GOLDEN / "flags.json", tmp_path)
    return tmp_path


def sign(place: Path) -> None:
    """Write a manifest that fits whatever the files hold."""
    import hashlib

    path = place / "layers" / "silu.json"
    files = {"layers/silu.json": hashlib.sha256(path.read_bytes()).hexdigest()}
    (place / "manifest.json").write_text(json.dumps({"format": 1, "files": files}))


def spoil(place: Path, change, resign: bool = True) -> None:
    path = place / "layers" / "silu.json"
    content = json.loads(path.read_text())
    change(content["cases"][0])
    if resign:
        content["cases"][0]["digest"] = golden.digest(content["cases"][0])
    path.write_text(json.dumps(content))
    sign(place)


def wrong_value(case):
    case["expected"]["result"]["data"][0] += 1e-9


def generous(case):
    case["allowed"]["float32"]["result"][0] = 1.0


HOSTILE = {
    "a shape that lies": (
        lambda c: c["inputs"]["x"].update(shape=[10**9, 10**9]),
        "does not hold",
    ),
    "a negative size": (lambda c: c["inputs"]["x"].update(shape=[-1]), "a shape holds sizes"),
    "another dtype": (lambda c: c["inputs"]["x"].update(dtype="object"), "expected float64"),
    "text for a number": (lambda c: c["inputs"]["x"]["data"].__setitem__(0, "1"), "not a number"),
    "a missing input": (lambda c: c["inputs"].pop("x"), "expected the inputs"),
    "an unknown operation": (lambda c: c.update(op="os.system"), "no operation is called"),
    "an extra key": (lambda c: c.update(extra=1), "expected the keys"),
    "an unknown precision": (lambda c: c["allowed"].update(float8={}), "are not expected"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_file_is_a_clear_error(kind, copy):
    change, says = HOSTILE[kind]
    spoil(copy, change)
    with pytest.raises(VectorError, match=says):
        list(golden.vectors(copy))


def test_a_changed_case_does_not_fit_its_digest(copy):
    spoil(copy, wrong_value, resign=False)
    with pytest.raises(VectorError, match="digest does not fit"):
        list(golden.vectors(copy))


def test_a_changed_file_does_not_fit_the_manifest(copy):
    sign(copy)
    path = copy / "layers" / "silu.json"
    path.write_text(path.read_text().replace("1", "2", 1))
    with pytest.raises(VectorError, match=r"manifest\.json does not fit"):
        list(golden.vectors(copy))


@pytest.mark.parametrize(("change", "says"), [(wrong_value, "certified"), (generous, "allowed")])
def test_a_wrong_number_with_right_digests_is_found_by_the_check(change, says, copy):
    spoil(copy, change)
    problems = golden.check(copy).problems
    assert any(says in problem for problem in problems)


def test_truncated_oversized_and_nested_files_are_refused(copy, monkeypatch):
    path = copy / "layers" / "silu.json"
    whole = path.read_text()
    path.write_text(whole[: len(whole) // 2])
    with pytest.raises(VectorError, match="cannot be read"):
        golden.read_file(path)
    path.write_text("[" * 100_000)
    with pytest.raises(VectorError, match="cannot be read"):
        golden.read_file(path)
    path.write_text('{"format": 1, "cases": [NaN]}')
    with pytest.raises(VectorError, match="NaN is not JSON"):
        golden.read_file(path)
    monkeypatch.setattr(golden, "LARGEST_FILE", 10)
    with pytest.raises(VectorError, match="bytes are more than"):
        golden.read_file(path)


def test_a_manifest_cannot_lead_out_of_its_folder(copy):
    (copy / "manifest.json").write_text('{"format": 1, "files": {"../secret.json": "0"}}')
    with pytest.raises(VectorError, match="unexpected entry"):
        list(golden.vectors(copy))


def test_a_rounded_float_is_refused_by_the_balls():
    assert ball(1.702).contains(ball(851) / 500)
    for rounded in (math.pi, np.sqrt(48), 1 / 3):
        with pytest.raises(TypeError, match="was rounded before it entered the text"):
            ball(rounded)


def test_balls_know_what_float64_does_not():
    (value, radius) = certified(OPS["silu"].text, {"x": np.array([1.0])})[0]
    assert value[0] == 0.7310585786300049
    assert 0 < radius[0] < 1e-55


def test_allowed_errors_are_rounded_up():
    for x in (1.0, 1.2345e-7, 9.999e5, 3.141592e-300):
        assert x <= round_up(x) <= 1.01 * x


@pytest.mark.parametrize("name", LARGE)
def test_a_case_of_model_size_has_its_digest_and_a_bound_that_means_something(name):
    arrays, found = compute(name)
    assert found == LARGE[name].digest
    for output, _, _ in LARGE[name].steps:
        assert arrays[f"allowed/{output}"].max() < 1e-2 * np.abs(arrays[f"expected/{output}"]).max()


def test_the_counter_is_what_its_ten_lines_say():
    mask = 2**64 - 1
    for stream in (0, 3):
        for i, x in enumerate(counter(stream, (100,))):
            z = (stream * 2**32 + i + 1) * 0x9E3779B97F4A7C15 & mask
            z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & mask
            z = (z ^ z >> 27) * 0x94D049BB133111EB & mask
            z = z ^ z >> 31
            assert x == (z >> 56) / 128 - 1


PROGRAM = """
import json, sys
import numpy as np
request = json.load(open(sys.argv[1]))
outputs = {}
for case in request["cases"]:
    if case["op"] == "silu":
        x = np.array([float(v) for v in case["inputs"]["x"]["data"]], dtype=np.float32)
        with np.errstate(all="ignore"):
            y = FORMULA
        entry = {"shape": case["inputs"]["x"]["shape"], "data": [float(v) for v in y]}
        outputs[case["id"]] = {"result": entry}
json.dump({"outputs": outputs}, open(sys.argv[2], "w"))
"""
RIGHT, WRONG = "x / (1 + np.exp(-x))", "x / (1 + np.exp(-1.702 * x))"


def command(tmp_path, formula, ending=""):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.replace("FORMULA", formula) + ending)
    return f"{sys.executable} {program} {{in}} {{out}}"


def test_a_program_in_any_language_is_judged_once_for_all_cases(tmp_path):
    (report,) = verify_recorded(command=command(tmp_path, RIGHT))
    (finding,) = report.findings
    assert (finding.op, finding.status) == ("silu", "conforms")
    assert finding.cases > 10


def test_a_programs_mistake_is_named(tmp_path):
    (report,) = verify_recorded(command=command(tmp_path, WRONG))
    (finding,) = report.findings
    assert finding.status == "deviates"
    assert finding.causes[0].kind == "mistake"
    assert "--cmd" in finding.replay


@pytest.mark.parametrize(
    ("ending", "says"),
    [("\nsys.exit(3)", "conforms"), ("\nopen(sys.argv[2], 'w').write('{')", "unreadable")],
)
def test_a_program_that_ends_badly_is_a_verdict(tmp_path, ending, says):
    (report,) = verify_recorded(command=command(tmp_path, RIGHT, ending), ops=["silu"])
    (finding,) = report.findings
    assert says in (finding.status, *finding.says.split()) or says in finding.says


def test_a_missing_case_is_a_deviation(tmp_path):
    ending = "\noutputs.popitem()\njson.dump({'outputs': outputs}, open(sys.argv[2], 'w'))"
    (report,) = verify_recorded(command=command(tmp_path, RIGHT, ending))
    assert [finding.status for finding in report.wrong] == ["crashes"]
    assert "no output for this case" in report.wrong[0].says


def test_a_program_that_hangs_or_is_absent(tmp_path):
    program = command(tmp_path, RIGHT, "\nimport time; time.sleep(60)")
    (report,) = verify_recorded(command=program, ops=["silu"], limit=2.0)
    assert report.findings[0].status == "crashes"
    assert "did not end within 2 s" in report.findings[0].says
    with pytest.raises(TargetError, match="cannot be started"):
        verify_recorded(command="/no/such/program {in} {out}")


def test_outputs_from_a_folder_are_judged(tmp_path):
    outputs = {
        vector.id: {"result": golden.array_entry(vector.expected["result"])}
        for vector in golden.vectors(ops=("softmax",))
    }
    (tmp_path / "outputs.json").write_text(json.dumps({"outputs": outputs}))
    (report,) = verify_recorded(place=tmp_path)
    assert report.conforms
    assert report.findings[0].op == "softmax"


def test_outputs_as_safetensors_are_judged(tmp_path):
    from safetensors.numpy import save_file

    tensors = {
        f"{vector.id}/result": np.ascontiguousarray(vector.expected["result"])
        for vector in golden.vectors(ops=("silu",))
    }
    save_file(tensors, tmp_path / "out.safetensors")
    assert len(read_folder(tmp_path)) == len(tensors)
    assert verify_recorded(place=tmp_path)[0].conforms
    (tmp_path / "out.safetensors").write_bytes(b"\xff" * 100)
    with pytest.raises(VectorError, match="cannot be read"):
        read_folder(tmp_path)


def test_an_empty_folder_is_a_usage_error(tmp_path):
    with pytest.raises(TargetError, match="holds no outputs"):
        verify_recorded(place=tmp_path)


@pytest.mark.parametrize("form", ["json", "safetensors", "raw"])
def test_vectors_are_exported(form, tmp_path):
    count = golden.export(tmp_path, form, ("silu",))
    assert count == len(list(golden.vectors(ops=("silu",))))
    if form == "json":
        assert len(golden.read_file(tmp_path / "layers" / "silu.json")) == count
    if form == "raw":
        entry = json.loads((tmp_path / "index.json").read_text())[0]
        data = np.fromfile(tmp_path / entry["file"], dtype=entry["dtype"])
        assert data.size == math.prod(entry["shape"])
