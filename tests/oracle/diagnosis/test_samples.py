"""Targets that are wrong for some samples alone, as the index of the sample says."""

from __future__ import annotations

import numpy as np

from refimpl.oracle.cases.drawn import Case
from refimpl.oracle.cases.sizes import profile_cases
from refimpl.oracle.diagnosis.evidence import Evidence
from refimpl.oracle.diagnosis.samples import wrong_samples
from refimpl.registry import OPS


def told(op, target):
    def ask(case: Case) -> list[np.ndarray]:
        with np.errstate(all="ignore"):
            return [np.asarray(target(**case.typed(OPS[op]))).astype(np.float32)]

    drawn = profile_cases(OPS[op], "float32", "quick", 24)
    evidence = Evidence(OPS[op], "float32", [(case, ask(case)) for case in drawn], ask)
    with np.errstate(all="ignore"):
        return wrong_samples(evidence)


def stepped(x, t_next, t, eps, alpha_bar):
    """From a time to a later one, the table read at an index as Python does."""
    table, shape = alpha_bar.astype(np.float64), (-1,) + (1,) * (x.ndim - 1)
    here, there = table[t].reshape(shape), table[t_next].reshape(shape)
    start = (x - np.sqrt(1 - here) * eps) / np.sqrt(here)
    return np.sqrt(there) * start + np.sqrt(1 - there) * eps


def test_a_negative_index_wraps_to_the_end_of_a_table():
    says, counts = told("ddim_inversion", stepped)
    assert says.startswith("wrong only in samples where t is -1: -1 finds the last entry (3 of")
    assert "right elsewhere" in counts


def test_the_first_time_may_be_wrong_alone():
    def target(x_start, t, noise, alpha_bar):
        y = OPS["q_sample"].text(x_start, t, noise, alpha_bar.astype(np.float64))
        return np.where(np.reshape(t == 0, (-1,) + (1,) * (y.ndim - 1)), x_start, y)

    says, _ = told("q_sample", target)
    assert says == "wrong only in samples where t is 0"


def test_what_is_wrong_in_any_sample_has_no_condition():
    def target(x_start, t, noise, alpha_bar):
        return 1 + OPS["q_sample"].text(x_start, t, noise, alpha_bar.astype(np.float64))

    assert told("q_sample", target) == ("", "")
