"""programs"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from refimpl.oracle.runs.foreign_outputs import verify_recorded
from refimpl.oracle.targets.sessions import TargetError
from tests.hostile.common import command

SILU = """
import json, math, struct, sys, time
request = json.load(open(sys.argv[1]))
outputs = {}
def single(x):
    return struct.unpack("f", struct.pack("f", x))[0]
def silu(x):
    x = float(x)
    if x == -math.inf:
        return math.nan
    return x / (1 + math.exp(-x)) if x > -700 else x * math.exp(x)
for case in request["cases"]:
    x = case["inputs"]["x"]
    written = []
    for v in x["data"]:
        y = silu(v)
        text = FORMAT % single(y)
        written.append(float(text) if math.isfinite(y) else {math.inf: "Infinity"}.get(y, "NaN"))
    outputs[case["id"]] = {"result": {"shape": x["shape"], "data": written}}
json.dump({"outputs": outputs}, open(sys.argv[2], "w"))
"""


def _program(place: Path, source: str) -> str:
    path = place / "program.py"
    path.write_text(source)
    return f"{sys.executable} {path} {{in}} {{out}}"


def nine_digits_of_a_float32_are_all_of_it(place: Path) -> None:
    (report,) = verify_recorded(
        command=_program(place, SILU.replace("FORMAT", "'%.9g'")), ops=["silu"]
    )
    assert report.findings[0].status == "conforms", report.findings[0].says
    assert report.findings[0].cases > 5


def four_digits_are_not_enough(place: Path) -> None:
    (report,) = verify_recorded(
        command=_program(place, SILU.replace("FORMAT", "'%.4g'")), ops=["silu"]
    )
    assert report.findings[0].status == "deviates"


def a_program_that_writes_and_hangs_does_not_conform(place: Path) -> None:
    source = SILU.replace("FORMAT", "'%.9g'") + "time.sleep(100)\n"
    ended = command("verify", "--cmd", _program(place, source), "--op", "silu", "--limit", "3")
    assert ended.returncode == 1
    assert b"the program did not end within 3 s" in ended.stdout


def what_a_program_complains_of_is_shown(place: Path) -> None:
    program = _program(place, "import sys\nsys.exit('no license found')\n")
    (report,) = verify_recorded(command=program, ops=["silu"])
    assert report.findings[0].status == "crashes"
    assert "exit code 1: no license found" in report.findings[0].says
    assert "case silu/probe0" in report.findings[0].replay


def a_program_that_is_not_there_is_a_sentence(place: Path) -> None:
    with pytest.raises(TargetError, match="cannot be started"):
        verify_recorded(command="/no/such/program {in} {out}")
