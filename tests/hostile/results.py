"""results"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import refimpl
from refimpl import testing
from refimpl.axes import AxesError
from refimpl.oracle.runs.verify import verify
from refimpl.oracle.targets.sessions import Session, TargetError
from tests.hostile.common import GOOD, SIGMOID, target


def results_in_another_byte_order_are_right(place: Path) -> None:
    source = f"def sigmoid(z):\n    return ({SIGMOID}).astype('>f4')\n"
    (report,) = verify(target(place, source), profile="quick")
    assert report.findings[0].status == "conforms"
    assert report.findings[0].cases > 10


def one_precision_written_as_a_string_is_a_sentence(place: Path) -> None:
    path = target(place, "PRECISIONS = 'float32'\n" + GOOD)
    with pytest.raises(TargetError, match="PRECISIONS is 'float32', expected a tuple"):
        Session(path)


def an_unknown_precision_is_a_sentence(place: Path) -> None:
    path = target(place, "SUPPORTS = {'sigmoid': ('fp32',)}\n" + GOOD)
    with pytest.raises(TargetError, match=r"fp32.*expected a tuple"):
        Session(path)


def a_target_of_half_precision_alone_is_judged_in_it(place: Path) -> None:
    path = target(place, "PRECISIONS = ('float16',)\n" + GOOD)
    with Session(path) as session:
        assert session.precisions("sigmoid", ()) == ("float16",)
        assert session.precisions("sigmoid", ("float32",)) == ()


def nan_is_in_no_range(place: Path) -> None:
    with pytest.raises(AxesError, match="eps has nan"):
        refimpl.layer_norm(np.ones((1, 2)), np.ones(2), np.ones(2), np.nan)


def a_precision_that_is_none_is_a_sentence(place: Path) -> None:
    with pytest.raises(ValueError, match="precision is 'fp32', expected one of float64"):
        testing.check(np.zeros(1), "silu", {"x": [0.0]}, precision="fp32")


def a_wrong_name_of_an_argument_shows_the_right_ones(place: Path) -> None:
    for namespace in (refimpl, refimpl.fast):
        with pytest.raises(TypeError, match=r"expected attention\(query, key, value, bias\)"):
            namespace.attention(q=np.zeros((1, 1, 1, 1)))
