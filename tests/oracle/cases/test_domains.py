"""The domain of a target: what it is made for is drawn, and the verdict says so."""

import numpy as np
import pytest

from refimpl.commands.main import main
from refimpl.oracle.cases.domains import domain
from refimpl.oracle.cases.regimes import UnknownRegime
from refimpl.oracle.cases.sizes import profile_cases
from refimpl.oracle.runs.verify import replay, verify
from refimpl.oracle.targets.sessions import TargetError
from refimpl.registry import OPS

SIZES = {"B": 0, "G": 2, "R": 3, "N": 5, "M": 7, "E": 20, "F": 3}


def fitted(*names):
    found = domain(OPS["attention"], names)
    return {axis: n for axis, n in found.fit(SIZES).items() if n != SIZES[axis]}


@pytest.mark.parametrize(
    ("names", "moved"),
    [
        (["N = M"], {"M": 5}),
        (["F = 64"], {"F": 64}),
        (["E in 16, 32, 64"], {"E": 32}),
        (["E in 8, 16"], {"E": 16}),
        (["N a power of two"], {"N": 8}),
        (["M a multiple of 16"], {"M": 16}),
        (["M up to 4"], {"M": 4}),
        (["M from 9"], {"M": 9}),
        (["no grouped heads"], {"R": 1}),
        (["no empty batches"], {"B": 1}),
        (["N = M", "N a power of two", "N from 10"], {"N": 16, "M": 16}),
    ],
)
def test_drawn_sizes_move_to_the_nearest_inside(names, moved):
    assert fitted(*names) == moved


def test_what_an_operation_does_not_have_is_no_restriction_of_it():
    assert domain(OPS["softmax"], ["N = M", "no bias"]) is None
    assert domain(OPS["attention"], ["N = M", "D = 4"]).names == ("N = M",)


@pytest.mark.parametrize("name", ["N equals M", "whole tiles", "no hard inputs at all", "N in x"])
def test_a_line_that_says_nothing_is_an_error_with_what_may_be_said(name):
    with pytest.raises(UnknownRegime, match=r"ONLY names .*; known are 'N = M', 'E in 16, 32'"):
        domain(OPS["attention"], [name])


def test_all_cases_of_every_profile_lie_inside():
    from dataclasses import replace

    names = ("N = M", "N a multiple of 8", "E in 4, 16", "no bias", "no other layouts")
    op = OPS["attention"]
    op = replace(op, domain=domain(op, names))
    drawn = [c for c in profile_cases(op, "float32", "quick", 12) if c.key[0] != "p"]
    assert len(drawn) > 30
    for case in drawn:
        sizes = op._sizes(case.inputs)
        assert sizes["N"] == sizes["M"]
        assert sizes["N"] % 8 == 0
        assert sizes["E"] in (4, 16)
        assert case.inputs["bias"] is None
        assert case.layout == "C"
        assert not any(regime.holds(op, case) for regime in op.domain.outside)


SQUARE = """
import numpy as np

ONLY = {"attention": ("N = M", "no bias", "no grouped heads", "no empty batches")}

def attention(query, key, value, bias):
    if bias is not None or query.shape[1:3] != key.shape[1:3]:
        raise RuntimeError("not made for this")
    scores = query @ np.swapaxes(key, -1, -2) / np.sqrt(np.float32(query.shape[-1]))
    weight = np.exp(scores - scores.max(-1, keepdims=True))
    return weight / weight.sum(-1, keepdims=True) @ value
"""


def test_a_kernel_for_square_masks_is_judged_on_as_many_cases_as_any_other(tmp_path, capsys):
    target = tmp_path / "square.py"
    target.write_text(SQUARE)
    (report,) = verify(str(target), profile="quick", seed=4)
    (finding,) = report.findings
    assert finding.status == "conforms"
    assert finding.judged > 40
    assert finding.only == ("N = M", "no bias", "no grouped heads", "no empty batches")
    with pytest.raises(SystemExit) as end:
        main(["verify", str(target), "--profile", "quick", "--seed", "4"])
    assert end.value.code == 0
    assert "only N = M, no bias, no grouped heads, no empty batches" in capsys.readouterr().out


def test_a_wrong_kernel_has_a_cause_and_a_replay_inside_its_domain(tmp_path):
    target = tmp_path / "halves.py"
    target.write_text(
        "import numpy as np\nONLY = ('K a multiple of 4', 'K from 4')\n"
        "def softmax(z):\n    assert z.shape[-1] % 4 == 0\n"
        "    e = np.exp2(z - z.max(-1, keepdims=True))\n"
        "    return e / e.sum(-1, keepdims=True)\n"
    )
    (report,) = verify(str(target), profile="quick", seed=4)
    (finding,) = report.findings
    assert [cause.id for cause in finding.causes] == ["softmax/base-two"]
    assert finding.smallest.case.inputs["z"].shape[-1] == 4
    assert replay(finding.case, str(target)).says == "STILL FAILING"


def test_a_domain_is_said_of_one_operation_and_not_of_another(tmp_path):
    target = tmp_path / "two.py"
    target.write_text(
        "import numpy as np\nONLY = {'silu': ('no other layouts',)}\n"
        "def silu(x):\n    assert x.flags.c_contiguous\n    return x / (1 + np.exp(-x))\n"
        "def softmax(z):\n    e = np.exp(z - z.max(-1, keepdims=True))\n"
        "    return e / e.sum(-1, keepdims=True)\n"
    )
    (report,) = verify(str(target), ops=["silu", "softmax"], profile="quick", seed=1)
    known = {finding.op: finding.only for finding in report.findings}
    assert known["silu"] == ("no other layouts",)
    assert known["softmax"] == ()
    target.write_text(SQUARE.replace("N = M", "tiles"))
    with pytest.raises(TargetError, match="ONLY names 'tiles'"):
        verify(str(target), profile="quick")
    assert np.isfinite(report.findings[0].worst)
