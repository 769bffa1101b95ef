"""Draws reach what a mistake may touch alone: the last sample dropped, and wide predictions."""

from __future__ import annotations

from refimpl.oracle.cases.sizes import profile_cases
from refimpl.oracle.runs.verify import PROFILES
from refimpl.registry import OPS


def drawn(op, profile="ci"):
    of = OPS[op], "float32", profile, PROFILES[profile], 0, "float32"
    return [case.inputs for case in profile_cases(*of)]


def test_the_last_sample_may_be_the_one_that_is_dropped():
    keeps = [inputs["keep"] for inputs in drawn("null_condition_vjp") if len(inputs["keep"]) > 1]
    assert sum(keep[-1] == 0 for keep in keeps) >= 10
    assert sum(keep[0] == 0 for keep in keeps) >= 10


def test_predictions_of_noise_are_as_wide_as_other_arrays():
    widths = {inputs["history"].shape[-1] for inputs in drawn("plms_eps")}
    assert {8, 9, 31, 32, 33, 63, 64, 65, 127, 128, 129, 257, 1025} <= widths
