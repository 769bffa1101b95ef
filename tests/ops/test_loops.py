"""Loops of samplers as targets: whoever wrote one finds out which of its times is wrong."""

from __future__ import annotations

import pytest

import refimpl

OPS = ("ddim_loop", "euler_loop", "flow_loop")
STEP = """
import numpy as np

def share(alphas, t):
    return 1.0 if t < 0 else float(alphas[t])

def to(x, eps, now, then):
    clean = (x - (1 - now) ** 0.5 * eps) / now ** 0.5
    return then ** 0.5 * clean + (1 - then) ** 0.5 * eps
"""

DDIM = """
def sample(model, x, schedule, alphas):
    x = np.asarray(x, np.float64)
    pairs = {pairs}
    for t, after in pairs:
        eps = model(x, {asked})
        x = to(x, eps, share(alphas, t), share(alphas, after))
    return x

def ddim_loop(x, timesteps, alpha_bar, slope, offset):
    def model(x, t):
        return slope[t].astype(float) * x + offset[t].astype(float)
    return sample(model, x, [int(t) for t in timesteps], alpha_bar).astype(slope.dtype)
"""

EULER = """
def euler_loop(noise, sigmas, slope, offset):
    s = [float(sigma) for sigma in sigmas] + [0.0]
    x = np.asarray(noise, np.float64) * {start}
    for i in range(len(sigmas)):
        guess = float(slope[i]) * x + float(offset[i])
        x = guess + (x - guess) * s[i + 1] / s[i]
    return x.astype(slope.dtype)
"""

FLOW = """
def flow_loop(noise, times, slope, offset):
    x, n = np.asarray(noise, np.float64), len(times)
    now = float(times[0])
    for i in range(n):
        after = {after}
        x = x - (now - after) * (float(slope[i]) * x + float(offset[i]))
        now = after
    return x.astype(slope.dtype)
"""

DOWN = "list(zip(schedule[::-1], [*schedule[:-1][::-1], -1]))"
LISTED = "float(times[i + 1]) if i + 1 < n else 0.0"


def loop(op, pairs=DOWN, asked="t", start="s[0]", after=LISTED):
    """A loop by hand, as the text of a file."""
    texts = {
        "ddim_loop": DDIM.format(pairs=pairs, asked=asked),
        "euler_loop": EULER.format(start=start),
        "flow_loop": FLOW.format(after=after),
    }
    return STEP + texts[op]


WRONG = {
    "ddim_loop/last-step-missing": {"pairs": f"{DOWN}[:-1]"},
    "ddim_loop/neighbouring-time": {"pairs": "[(t, t - 1) for t in schedule[::-1]]"},
    "ddim_loop/index-for-time": {"asked": "schedule.index(t)"},
    "euler_loop/start-not-scaled": {"start": "1.0"},
    "flow_loop/one-step-short": {"after": "now - float(times[0]) / (n + 1)"},
}


@pytest.fixture(scope="module")
def findings(tmp_path_factory):
    """What is found in three right loops in one file, and in a file for each mistake."""
    place = tmp_path_factory.mktemp("loops")
    files = {"right": "".join(map(loop, OPS))}
    files |= {name: loop(name.partition("/")[0], **wrong) for name, wrong in WRONG.items()}
    paths = [place / f"{i}.py" for i in range(len(files))]
    for path, text in zip(paths, files.values(), strict=True):
        path.write_text(text)
    reports = refimpl.verify(*map(str, paths), ops=OPS, precisions=["float32"], profile="quick")
    return {name: report.findings for name, report in zip(files, reports, strict=True)}


def test_loops_by_hand_conform(findings):
    assert [found.status for found in findings["right"]] == ["conforms"] * 3


@pytest.mark.parametrize("name", WRONG)
def test_a_planted_mistake_of_a_loop_is_named(name, findings):
    (found,) = findings[name]
    assert found.causes[0].id == name
