"""Samplers that a configuration file describes, on networks whose answer is known."""

from __future__ import annotations

import json

import numpy as np
import pytest

from refimpl.commands.main import main
from refimpl.models import schedules, systems
from refimpl.models.configured import walk
from refimpl.op import DomainError
from tests.models.test_solvers import BETAS, START, of_a_gaussian, of_a_picture

LATENT = {
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "set_alpha_to_one": True,
    "clip_sample": False,
    "skip_prk_steps": True,
}
KINDS = (
    "DDIMScheduler",
    "DDPMScheduler",
    "PNDMScheduler",
    "EulerDiscreteScheduler",
    "EulerAncestralDiscreteScheduler",
    "HeunDiscreteScheduler",
    "DPMSolverMultistepScheduler",
)
FLOW = {"_class_name": schedules.FLOW, "shift": 3.0}
FILES = [{"_class_name": kind, **LATENT} for kind in KINDS] + [FLOW]
NAMED = pytest.mark.parametrize("file", FILES, ids=lambda file: file["_class_name"])
NOISE = np.cos(np.arange(40.0)).reshape(10, *START.shape)


def steps(file, eps, count):
    return list(walk(schedules.read(file), eps, START, NOISE, BETAS, count))


@NAMED
def test_a_network_that_knows_one_picture_leads_to_it(file):
    last = steps(file, of_a_picture, 7)[-1]
    assert np.max(np.abs(last.x - 0.25)) < 1e4 * np.finfo(float).eps
    assert np.max(np.abs(last.x_start - 0.25)) < 1e4 * np.finfo(float).eps


@NAMED
def test_every_step_is_seen_and_the_last_one_is_clean(file):
    times = [step.t for step in steps(file, of_a_gaussian, 5)]
    assert len(times) == 5
    assert times[-1] == -1
    assert times == sorted(times, reverse=True)


@pytest.mark.parametrize("end", [True, False])
def test_the_end_is_the_clean_sample_or_one_with_the_noise_of_the_first_time(end):
    last = steps(FILES[0] | {"set_alpha_to_one": end}, of_a_gaussian, 5)[-1]
    assert np.allclose(last.x, last.x_start) == end


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"prediction_type": "v_prediction"}, "prediction_type is 'v_prediction', the network"),
        ({"beta_end": 0.02}, "DDIMScheduler has 1000 betas, 0.00085 to 0.02 .* was trained with"),
        ({"num_train_timesteps": 500}, "has 500 betas"),
    ],
)
def test_the_file_of_another_network_is_refused(wrong, says):
    with pytest.raises(DomainError, match=f"sample: .*{says}"):
        steps({"_class_name": "DDIMScheduler", **LATENT, **wrong}, of_a_gaussian, 5)


def test_a_file_is_for_systems_that_can_follow_one_and_in_the_place_of_a_sampler():
    schedule = schedules.read(FLOW)
    made = systems.asked("stable-diffusion", "a seven", schedule=schedule)
    assert made.sampler == schedules.FLOW
    with pytest.raises(DomainError, match="is for stable-diffusion, not for dalle2"):
        systems.asked("dalle2", "a seven", schedule=schedule)
    with pytest.raises(DomainError, match="give a sampler or its configuration"):
        systems.asked("stable-diffusion", "a seven", sampler="ddim", schedule=schedule)


def test_the_command_samples_as_a_file_says_and_tells_what_it_says_in_vain(tmp_path, capsys):
    path, out = tmp_path / "scheduler_config.json", tmp_path / "seven.png"
    path.write_text(json.dumps({"_class_name": "DDIMScheduler", **LATENT}))
    asked = ["sample", "a seven", "--system", "stable-diffusion", "--config", str(path)]
    with pytest.raises(SystemExit) as ended:
        main([*asked, "--steps", "2", "--count", "1", "--out", str(out)])
    assert ended.value.code == 0
    said = capsys.readouterr()
    assert "skip_prk_steps: DDIMScheduler does not read it" in said.err
    assert said.out.rstrip().endswith("DDIMScheduler, 2 steps, seed 0")
    assert out.is_file()
