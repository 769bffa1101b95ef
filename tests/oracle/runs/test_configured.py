"""Samplers as a configuration file describes them are judged, and what it says in vain is told."""

from __future__ import annotations

import json

import numpy as np
import pytest

from refimpl.commands.main import main
from refimpl.models import schedules
from refimpl.oracle.runs.configured import drawn, judged, verify_config

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

EULER, FLOW = "EulerDiscreteScheduler", "FlowMatchEulerDiscreteScheduler"
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
    "Euler of Stable Diffusion": {"_class_name": "EulerDiscreteScheduler", **LATENT},
    "Stable Diffusion XL": {
        "_class_name": "EulerDiscreteScheduler",
        "timestep_spacing": "leading",
        "interpolation_type": "linear",
        **LATENT,
    },
    "Euler with fresh noise": {"_class_name": "EulerAncestralDiscreteScheduler", **LATENT},
    "Heun on levels of Karras": {
        "_class_name": "HeunDiscreteScheduler",
        "use_karras_sigmas": True,
        "prediction_type": "v_prediction",
        **LATENT,
    },
    "DPM-Solver++ on levels of Karras": {
        "_class_name": "DPMSolverMultistepScheduler",
        "use_karras_sigmas": True,
        **LATENT,
    },
    "DPM-Solver++ with fresh noise": {
        "_class_name": "DPMSolverMultistepScheduler",
        "algorithm_type": "sde-dpmsolver++",
        "final_sigmas_type": "sigma_min",
        "timestep_spacing": "trailing",
        **LATENT,
    },
    "thresholds": {
        "_class_name": "DDIMScheduler",
        "thresholding": True,
        "sample_max_value": 1.5,
        "dynamic_thresholding_ratio": 0.7,
        **LATENT,
    },
    "a flow": {"_class_name": "FlowMatchEulerDiscreteScheduler", "stochastic_sampling": True},
}
PARTS = {"DDIM": 6, "DDPM": 6, "PNDM": 6, "Flow": 6}  # of ten and of seven steps; 8 with levels
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
DOWN = """
import numpy as np

def scheduled(settings, steps, x, noise, slope, offset):
    ends = [settings[name] ** 0.5 for name in ("beta_start", "beta_end")]
    betas = (np.linspace(*ends, 1000) ** 2).astype(np.float32)
    shares = np.cumprod(1 - betas.astype(float)).astype(np.float32)
    chain = ((1 - shares.astype(float)) / shares) ** 0.5
    times = np.linspace(999, 0, steps).astype(np.float32)
    sigmas = np.append({levels}, 0).astype(np.float32)
    x, samples = x.astype(float) * {start}, []
    for t, now, then in zip(times, sigmas[:-1].astype(float), sigmas[1:].astype(float)):
        seen = {seen}
        a, b = (np.interp(t, np.arange(1000), line.astype(float)) for line in (slope, offset))
        x = x + ({clean}) * (then - now)
        samples.append(x)
    found = {{"betas": betas, "alpha_bar": shares, "sigmas": sigmas, "timesteps": times}}
    return found | {{"samples": np.stack(samples).astype(np.float32)}}
"""
LEVEL = {
    "levels": "np.interp(times, np.arange(1000), chain)",
    "start": "sigmas[0]",
    "seen": "x / (now**2 + 1) ** 0.5",
    "clean": "a * seen + b",
}
WRONG_LEVEL = {
    "use_karras_sigmas/true": (
        {
            "levels": "np.linspace(chain[-1] ** (1 / 7), chain[0] ** (1 / 7), steps) ** 7",
            "clean": "a * seen + b",
        },
        "sigmas of 10",
    ),
    "start/one": ({"start": "1"}, "samples of 10"),
    "start/other": ({"start": "(sigmas[0] ** 2 + 1) ** 0.5"}, "samples of 10"),
    "input/unscaled": ({"seen": "x"}, "samples of 10"),
    "prediction_type/sample": ({"clean": "(x - a * seen - b) / now"}, "samples of 10"),
}
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
    verify_config(target, path=path, reports=reports)
    return {found.op: found for found in reports[0].findings}


def of_diffusers(settings, steps):
    """What is found about diffusers, without a process of its own."""
    pytest.importorskip("diffusers")
    from refimpl.backends.parts.diffusers_schedulers import scheduled

    schedule = schedules.read(settings)
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
    assert len(found) == PARTS.get(PUBLIC[name]["_class_name"][:4], 8)


def test_a_loop_by_hand_conforms(tmp_path):
    assert {entry.status for entry in by_hand(tmp_path).values()} == {"conforms"}


@pytest.mark.parametrize("setting", WRONG)
def test_a_loop_that_reads_one_setting_otherwise_is_told_which(setting, tmp_path):
    changed, where = WRONG[setting]
    entry = by_hand(tmp_path, **changed)[where]
    assert entry.status == "deviates"
    assert f"DDIMScheduler/{setting}" in [cause.id for cause in entry.causes]


def down(tmp_path, **changed):
    path = tmp_path / "mine.py"
    path.write_text(DOWN.format(**LEVEL | changed))
    return findings(tmp_path, PUBLIC["Euler of Stable Diffusion"], str(path))


def test_a_loop_by_hand_down_noise_levels_conforms(tmp_path):
    assert {entry.status for entry in down(tmp_path).values()} == {"conforms"}


@pytest.mark.parametrize("mistake", WRONG_LEVEL)
def test_a_loop_down_noise_levels_that_goes_wrong_is_told_how(mistake, tmp_path):
    changed, where = WRONG_LEVEL[mistake]
    entry = down(tmp_path, **changed)[where]
    assert entry.status == "deviates"
    assert [cause.id for cause in entry.causes] == [f"EulerDiscreteScheduler/{mistake}"]


def test_samples_are_not_judged_where_levels_are_missing(tmp_path):
    found = down(tmp_path, levels="np.interp(times, np.arange(1000), chain)[1:]")
    assert found["sigmas of 10"].status == "deviates"
    assert found["samples of 10"].status == "unsupported"
    assert "9 levels and 10 times of 10 steps" in found["samples of 10"].says


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
        (
            PUBLIC["Stable Diffusion 1.5"] | {"timestep_spacing": "linspace"},
            "PNDMScheduler/previous/equal",
        ),
        (
            PUBLIC["Stable Diffusion 1.5"]
            | {"timestep_spacing": "linspace", "prediction_type": "v_prediction"},
            "PNDMScheduler/history/outputs+previous/equal",
        ),
        (PUBLIC["a flow"] | {"shift": 3.0}, "FlowMatchEulerDiscreteScheduler/shift/twice"),
        (
            {
                "_class_name": "DPMSolverMultistepScheduler",
                "use_exponential_sigmas": True,
                **LATENT,
            },
            "DPMSolverMultistepScheduler/times/cut",
        ),
    ],
    ids=["linspace", "velocities", "plms", "both", "shifted", "cut"],
)
def test_what_diffusers_does_otherwise_is_named(settings, cause):
    found = of_diffusers(settings, 10).values()
    assert [[reason.id for reason in x.causes] for x in found if x.causes] == [[cause]]


def test_noise_that_is_no_number_deviates():
    found = of_diffusers(PUBLIC["DDPM of CIFAR-10"] | {"variance_type": "fixed_large_log"}, 10)
    assert found["samples of 10"].status == "deviates"


def test_what_a_file_says_in_vain_is_told():
    told = schedules.conflicts(schedules.read(PUBLIC["Stable Diffusion 2.1"]))
    assert told == ["skip_prk_steps: DDIMScheduler does not read it"]
    flat = {"thresholding": True, "clip_sample": True, "steps_offset": 1}
    flat |= {"timestep_spacing": "trailing"}
    told = schedules.conflicts(schedules.read({"_class_name": "DDIMScheduler", **flat}))
    names = ["steps_offset", "clip_sample", "dynamic_thresholding_ratio"]
    assert [says.partition(":")[0] for says in told] == names
    told = schedules.conflicts(schedules.read({"_class_name": EULER, "sigma_min": 0.1}))
    assert [says.partition(":")[0] for says in told] == ["sigma_min"]
    odd = {"timestep_spacing": "leading", "rescale_betas_zero_snr": True}
    told = schedules.conflicts(schedules.read({"_class_name": "DDIMScheduler", **odd}))
    assert [says.partition(":")[0] for says in told] == ["rescale_betas_zero_snr"] * 2


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"_class_name": "UniPCMultistepScheduler"}, "_class_name is 'UniPCMultistepScheduler'"),
        ({"_class_name": EULER, "use_beta_sigmas": True}, "use_beta_sigmas is True"),
        ({"_class_name": EULER, "timestep_type": "continuous"}, "timestep_type is 'continuous'"),
        (
            {"_class_name": EULER, "use_karras_sigmas": True, "use_exponential_sigmas": True},
            "are both true",
        ),
        ({"_class_name": FLOW, "use_dynamic_shifting": True}, "use_dynamic_shifting is True"),
        ({"_class_name": "DPMSolverMultistepScheduler", "solver_order": 3}, "solver_order is 3"),
        ({"_class_name": "PNDMScheduler"}, "skip_prk_steps is False, expressed here is True"),
        (
            {"_class_name": "DDPMScheduler", "variance_type": "learned"},
            "variance_type is 'learned'",
        ),
    ],
)
def test_what_cannot_be_expressed_is_named(settings, says):
    with pytest.raises(schedules.ConfigError, match=says):
        schedules.read(settings)


@pytest.mark.parametrize("name", sorted(set(PUBLIC) - {"a flow", "thresholds"}))
def test_our_samplers_end_at_the_sample_that_a_perfect_network_knows(name):
    settings = PUBLIC[name] | {"set_alpha_to_one": True, "final_sigmas_type": "zero"}
    if schedules.in_levels(schedules.read(settings)):  # whose times may be those of other levels
        settings["prediction_type"] = "sample"
    schedule = schedules.read(settings)
    table = np.cumprod(1 - schedules.betas(schedule))
    clean, kind = np.array([[0.25, -0.75]]), schedule.settings["prediction_type"]

    def network(x, t):
        if kind == "sample":
            return clean
        eps = (x - np.sqrt(table[t]) * clean) / np.sqrt(1 - table[t])
        if kind == "epsilon":
            return eps
        return np.sqrt(table[t]) * eps - np.sqrt(1 - table[t]) * clean

    noise = np.sin(np.arange(20.0)).reshape(10, 1, 2)
    ended = schedules.run(schedule, 10, noise[0], noise, table, network)
    assert np.abs(ended - clean).max() < 1e-9


def test_our_flow_ends_at_the_sample_along_its_straight_line():
    schedule = schedules.read({"_class_name": FLOW, "shift": 3.0})
    start, clean = np.array([[1.5, -2.0]]), np.array([[0.25, -0.75]])
    ended = schedules.run(schedule, 4, start, start[None], np.ones(1), lambda x, t: start - clean)
    assert np.abs(ended - clean).max() < 1e-12


def test_the_command_names_in_a_sentence_what_cannot_be_expressed(tmp_path, capsys):
    path = tmp_path / "scheduler_config.json"
    path.write_text(json.dumps({"_class_name": "DPMSolverMultistepScheduler", "solver_order": 3}))
    with pytest.raises(SystemExit) as end:
        main(["verify", "diffusers", "--config", str(path)])
    assert end.value.code == 4
    told = "DPMSolverMultistepScheduler: solver_order is 3, expressed here is 1, 2"
    assert capsys.readouterr().err == f"refimpl: {told}\n"
