"""Editing and the variational bound: known numbers, and programs as people write them."""

from __future__ import annotations

import numpy as np
import pytest

import refimpl
from refimpl.constants import log_ndtr
from refimpl.op import DomainError
from refimpl.oracle.numbers.balls import certified
from refimpl.oracle.numbers.errors import bounded
from tests.witnesses.editing import log_tail

STARTS = ("img2img_start", "img2img_start_flow")
OF_DIFFUSERS = """
def img2img_start(levels, strength):
    return max(levels - min(int(levels * strength), levels), 0)

def img2img_start_flow(levels, strength):
    return int(max(levels - min(levels * strength, levels), 0))
"""
EXCHANGED = OF_DIFFUSERS.replace("start_flow", "other").replace("start(", "start_flow(")
EXCHANGED = EXCHANGED.replace("other(", "start(")
BY_TANH = """
import numpy as np

def below(z):
    return 0.5 * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3)))

def discretized_gaussian_nll(x, mean, log_variance):
    x, mean, scale = x.astype(float), mean.astype(float), np.exp(-0.5 * log_variance.astype(float))
    up, down = below((x - mean + 1 / 255) * scale), below((x - mean - 1 / 255) * scale)
    inside = np.where(x < -0.999, up, np.where(x > 0.999, 1 - down, up - down))
    return -np.log(np.maximum(inside, 1e-12)).astype(log_variance.dtype)
"""


def judged(tmp_path, source, *ops):
    file = tmp_path / "mine.py"
    file.write_text(source)
    (report,) = refimpl.verify(str(file), ops=ops, precisions=["float32"], profile="quick")
    return {found.op: found for found in report.findings}


@pytest.mark.parametrize(
    ("levels", "strength", "start", "of_flows"),
    [(50, 0.75, 13, 12), (100, 0.29, 72, 71), (30, 1.0, 0, 0), (7, 0.5, 4, 3)],
)
def test_where_a_changed_picture_enters_the_list(levels, strength, start, of_flows):
    assert refimpl.img2img_start(levels, strength) == start
    assert refimpl.img2img_start_flow(levels, strength) == of_flows


@pytest.mark.parametrize("module", [refimpl, refimpl.fast])
def test_a_strength_that_leaves_no_step_is_refused(module):
    with pytest.raises(DomainError, match="no step is left: 3 steps"):
        module.img2img_start(3, 0.3)
    with pytest.raises(DomainError, match="strength is 0, expected above 0"):
        module.img2img_start_flow(3, 0.0)


def test_products_of_floats_conform_and_each_rule_is_a_dialect_of_the_other(tmp_path):
    assert {f.status for f in judged(tmp_path, OF_DIFFUSERS, *STARTS).values()} == {"conforms"}
    found = judged(tmp_path, EXCHANGED, *STARTS)
    assert [found[op].status for op in STARTS] == ["dialect"] * 2


def test_the_approximation_by_tanh_is_a_dialect(tmp_path):
    op = "discretized_gaussian_nll"
    found = judged(tmp_path, BY_TANH, op)[op]
    assert [cause.id for cause in found.causes] == [f"{op}/tanh-and-floor"]


def test_a_divergence_and_a_likelihood_have_the_digits_that_others_give():
    q, p = (np.array([0.1]), np.array([-0.5])), (np.array([0.3]), np.array([0.2]))
    assert f"{refimpl.gaussian_kl(*q, *p)[0]:.10f}" == "0.1146672670"
    pixel, variance = np.array([2 * 128 / 255 - 1]), np.log(np.array([0.01]))
    found = refimpl.discretized_gaussian_nll(pixel, np.array([0.02]), variance)
    assert f"{found[0]:.10f}" == "3.4776452633"


def test_the_logarithm_of_a_tail_is_the_same_in_every_reading():
    z = np.array([-40000.0, -50.0, -3.0, -0.5, 0.0, 2.0, 9.0, 40000.0])
    (carried,) = bounded(log_ndtr, {"x": z}, "float64")
    ((certain, _),) = certified(log_ndtr, {"x": z})
    assert (np.abs(carried.value - certain) <= carried.error).all()
    assert (np.abs(np.array([log_tail(-v) for v in z]) - certain) <= carried.error).all()
    assert certain[0] < -8e8
    assert certain[-1] == 0
