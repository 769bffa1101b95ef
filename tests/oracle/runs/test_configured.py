"""Samplers as a configuration file describes them are judged, and what it says in vain is told."""

from __future__ import annotations

import json

import numpy as np
import pytest

from refimpl.models import schedulers
from refimpl.oracle.runs.configured import drawn, judged, verify_config

LATENT = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
}
PUBLIC = {
    "Stable Diffusion 1.5": {"_class_name": "PNDMScheduler", **LATENT},
    "Stable Diffusion 2.1": {
        "_class_name": "DDIMScheduler",
        "prediction_type": "v_prediction",
        **LATENT,
    },
    "DDPM of CIFAR-10": {
        "_class_name": "DDPMScheduler",
        "beta_start": 0.0001,
        "beta_end": 0.02,
        "beta_schedule": "linear",
        "clip_sample": True,
        "variance_type": "fixed_large",
    },
}
BY_HAND = """
import numpy as np

def scheduled(settings, steps, x, noise, slope, offset):
    ends = [settings[name] ** {power} for name in ("beta_start", "beta_end")]
    betas = np.linspace(*ends, 1000) ** (1 / {power})
    shares = np.cumprod(1 - betas).astype(np.float32).astype(float)
    times = [k * (1000 // steps) + {first} for k in range(steps)][::-1]
    samples = []
    for t, before in zip(times, [*times[1:], -1]):
        then = shares[before] if before >= 0 else {last}
        signal, rest = shares[t] ** 0.5, (1 - shares[t]) ** 0.5
        output = slope[t] * x + offset[t]
        clean, eps = {parts}
        x = then ** 0.5 * clean + (1 - then) ** 0.5 * eps
        samples.append(x)
    found = {{"betas": betas, "alpha_bar": shares, "samples": np.stack(samples)}}
    return {{n: a.astype(np.float32) for n, a in found.items()}} | {{"timesteps": np.array(times)}}
"""
RIGHT = {
    "power": "0.5",
    "first": "1",
    "last": "shares[0]",
    "parts": "(signal * x - rest * output, signal * output + rest * x)",
}
WRONG = {
    "beta_schedule/linear": ({"power": "1"}, "betas"),
    "steps_offset/0": ({"first": "0"}, "timesteps of 10"),
    "set_alpha_to_one/true": ({"last": "1.0"}, "samples of 10"),
    "prediction_type/epsilon": (
        {"parts": "((x - rest * output) / signal, output)"},
        "samples of 10",
    ),
}


def findings(tmp_path, settings, target):
    path = tmp_path / "scheduler_config.json"
    path.write_text(json.dumps(settings))
    reports = []
    said = verify_config(target, path=path, reports=reports)
    assert said == ["skip_prk_steps: a DDIMScheduler does not read it"]
    return {found.op: found for found in reports[0].findings}


def of_diffusers(settings, steps):
    """What is found about diffusers, without a process of its own."""
    pytest.importorskip("diffusers")
    from refimpl.backends.parts.diffusers_schedulers import scheduled

    schedule = schedulers.read(settings)
    given = drawn(schedule, steps, 0)
    found = scheduled(settings, steps, **given)
    return {entry.op: entry for entry in judged(schedule, steps, given, found, "")}


def by_hand(tmp_path, **changed):
    path = tmp_path / "mine.py"
    path.write_text(BY_HAND.format(**RIGHT | changed))
    return findings(tmp_path, PUBLIC["Stable Diffusion 2.1"], str(path))


@pytest.mark.parametrize("name", PUBLIC)
def test_diffusers_walks_as_public_configurations_say(name):
    found = of_diffusers(PUBLIC[name], 10) | of_diffusers(PUBLIC[name], 7)
    assert {entry.status for entry in found.values()} == {"conforms"}
    assert len(found) == 6


def test_a_loop_by_hand_conforms(tmp_path):
    assert {entry.status for entry in by_hand(tmp_path).values()} == {"conforms"}


@pytest.mark.parametrize("setting", WRONG)
def test_a_loop_that_reads_one_setting_otherwise_is_told_which(setting, tmp_path):
    changed, where = WRONG[setting]
    entry = by_hand(tmp_path, **changed)[where]
    assert entry.status == "deviates"
    assert f"DDIMScheduler/{setting}" in [cause.id for cause in entry.causes]


@pytest.mark.parametrize(
    ("settings", "cause"),
    [
        (
            PUBLIC["Stable Diffusion 2.1"] | {"timestep_spacing": "linspace"},
            "DDIMScheduler/previous/equal",
        ),
        (
            PUBLIC["Stable Diffusion 1.5"] | {"prediction_type": "v_prediction"},
            "PNDMScheduler/history/outputs",
        ),
    ],
    ids=["linspace", "velocities"],
)
def test_what_diffusers_does_otherwise_is_named(settings, cause):
    found = of_diffusers(settings, 10)
    assert [reason.id for reason in found["samples of 10"].causes] == [cause]


def test_what_a_file_says_in_vain_is_told():
    told = schedulers.conflicts(schedulers.read(PUBLIC["Stable Diffusion 2.1"]))
    assert told == ["skip_prk_steps: a DDIMScheduler does not read it"]
    odd = {"timestep_spacing": "leading", "rescale_betas_zero_snr": True}
    told = schedulers.conflicts(schedulers.read({"_class_name": "DDIMScheduler", **odd}))
    assert [says.partition(":")[0] for says in told] == ["rescale_betas_zero_snr"] * 2


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"_class_name": "UniPCMultistepScheduler"}, "_class_name is 'UniPCMultistepScheduler'"),
        ({"_class_name": "DDIMScheduler", "thresholding": True}, "thresholding is true"),
        ({"_class_name": "PNDMScheduler"}, "skip_prk_steps is False, expressed here is True"),
        (
            {"_class_name": "DDPMScheduler", "variance_type": "learned"},
            "variance_type is 'learned'",
        ),
    ],
)
def test_what_cannot_be_expressed_is_named(settings, says):
    with pytest.raises(schedulers.ConfigError, match=says):
        schedulers.read(settings)


@pytest.mark.parametrize("name", PUBLIC)
def test_our_samplers_end_at_the_sample_that_a_perfect_network_knows(name):
    settings = PUBLIC[name] | {"set_alpha_to_one": True}
    schedule = schedulers.read(settings)
    table = np.cumprod(1 - schedulers.betas(schedule))
    clean, kind = np.array([[0.25, -0.75]]), schedule.settings["prediction_type"]

    def network(x, t):
        eps = (x - np.sqrt(table[t]) * clean) / np.sqrt(1 - table[t])
        if kind == "epsilon":
            return eps
        return np.sqrt(table[t]) * eps - np.sqrt(1 - table[t]) * clean

    noise = np.sin(np.arange(20.0)).reshape(10, 1, 2)
    ended = schedulers.run(schedule, 10, noise[0], noise, table, network)
    assert np.abs(ended - clean).max() < 1e-9
