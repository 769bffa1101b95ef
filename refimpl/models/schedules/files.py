"""What a scheduler_config.json asks for, what it says in vain, and what cannot be said here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from refimpl.exceptions import RefimplError

TABLE = {
    "num_train_timesteps": 1000,
    "beta_start": 0.0001,
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "trained_betas": None,
    "prediction_type": "epsilon",
    "timestep_spacing": "leading",
    "steps_offset": 0,
}
THRESHOLD = {
    "thresholding": False,
    "dynamic_thresholding_ratio": 0.995,
    "sample_max_value": 1.0,
}
CLIPPED = {"clip_sample": True, "clip_sample_range": 1.0, "rescale_betas_zero_snr": False}
LEVELS = TABLE | {"timestep_spacing": "linspace"}
CURVED = {f"use_{name}_sigmas": False for name in ("karras", "exponential", "beta")}
ENDS = {"rescale_betas_zero_snr": False, "final_sigmas_type": "zero"}
DEFAULTS: dict[str, dict[str, Any]] = {
    "DDIMScheduler": TABLE | CLIPPED | THRESHOLD | {"set_alpha_to_one": True},
    "DDPMScheduler": TABLE | CLIPPED | THRESHOLD | {"variance_type": "fixed_small"},
    "PNDMScheduler": TABLE | {"set_alpha_to_one": False, "skip_prk_steps": False},
    "EulerDiscreteScheduler": LEVELS
    | CURVED
    | ENDS
    | {"sigma_min": None, "sigma_max": None}
    | {"interpolation_type": "linear", "timestep_type": "discrete"},
    "EulerAncestralDiscreteScheduler": LEVELS | {"rescale_betas_zero_snr": False},
    "HeunDiscreteScheduler": LEVELS
    | CURVED
    | {"beta_start": 0.00085, "beta_end": 0.012}
    | {"clip_sample": False, "clip_sample_range": 1.0},
    "DPMSolverMultistepScheduler": LEVELS
    | CURVED
    | ENDS
    | THRESHOLD
    | {"algorithm_type": "dpmsolver++", "solver_order": 2, "solver_type": "midpoint"}
    | {"lower_order_final": True, "euler_at_final": False, "variance_type": None}
    | {"use_lu_lambdas": False, "use_flow_sigmas": False, "flow_shift": 1.0}
    | {"lambda_min_clipped": -float("inf"), "use_dynamic_shifting": False},
    "FlowMatchEulerDiscreteScheduler": CURVED
    | {"num_train_timesteps": 1000, "shift": 1.0, "shift_terminal": None}
    | {"use_dynamic_shifting": False, "invert_sigmas": False, "stochastic_sampling": False},
}
SAME = {"fixed_small_log": "fixed_small", "fixed_large_log": "fixed_large"}  # two ways to compute
BOTH = (False, True)
VALUES: dict[str, tuple] = {  # what can be said here
    "beta_schedule": ("linear", "scaled_linear", "squaredcos_cap_v2"),
    "prediction_type": ("epsilon", "v_prediction", "sample"),
    "timestep_spacing": ("leading", "linspace", "trailing"),
    "variance_type": ("fixed_small", "fixed_large", None),
    "skip_prk_steps": (True,),
    "set_alpha_to_one": BOTH,
    "clip_sample": BOTH,
    "thresholding": BOTH,
    "rescale_betas_zero_snr": BOTH,
    "use_karras_sigmas": BOTH,
    "use_exponential_sigmas": BOTH,
    "use_beta_sigmas": (False,),
    "final_sigmas_type": ("zero", "sigma_min"),
    "interpolation_type": ("linear",),
    "timestep_type": ("discrete",),
    "algorithm_type": ("dpmsolver++", "sde-dpmsolver++"),
    "solver_order": (1, 2),
    "solver_type": ("midpoint", "heun"),
    "lower_order_final": BOTH,
    "euler_at_final": BOTH,
    "use_lu_lambdas": (False,),
    "use_flow_sigmas": (False,),
    "lambda_min_clipped": (-float("inf"),),
    "use_dynamic_shifting": (False,),
    "invert_sigmas": (False,),
    "stochastic_sampling": BOTH,
}
SLIPS: dict[str, tuple[tuple[str, ...], str]] = {  # what loops do beside their configuration
    "previous/equal": (
        ("DDIM", "DDPM", "PNDM"),
        "steps T // K down, whatever the list of times says",
    ),
    "history/outputs": (
        ("PNDM",),
        "combines what was predicted at several times and takes it for noise afterwards",
    ),
    "start/one": (("Euler", "Heun"), "starts from noise of deviation one"),
    "start/other": (
        ("Euler", "Heun"),
        "starts from the other deviation: σ for √(σ² + 1), or the reverse",
    ),
    "input/unscaled": (
        ("Euler", "Heun"),
        "hands samples to the network without dividing by √(σ² + 1)",
    ),
    "times/cut": (("DPM",), "cuts times of levels off to whole ones, in place of rounding them"),
    "shift/twice": (("FlowMatch",), "shifts the ends of the list of times twice"),
}


class ConfigError(RefimplError, ValueError):
    """A configuration that is no configuration of a sampler, or one that cannot be said here."""


@dataclass(frozen=True)
class Schedule:
    """What a configuration asks for, and what a loop does otherwise: keys of SLIPS."""

    kind: str
    settings: Mapping[str, Any]
    unread: tuple[str, ...] = ()  # settings of the file that samplers of this kind do not have
    slipped: tuple[str, ...] = ()

    def but(self, **settings: Any) -> Schedule:
        """The same with other settings."""
        return replace(self, settings={**self.settings, **settings})


def slips(schedule: Schedule) -> list[tuple[str, str, Schedule]]:
    """What loops of this kind do wrong whatever is configured: a name, words, and how it walks."""
    return [
        (name, says, replace(schedule, slipped=(*schedule.slipped, name)))
        for name, (kinds, says) in SLIPS.items()
        if schedule.kind.startswith(kinds) and name not in schedule.slipped
    ]


def read(source: Path | Mapping[str, Any]) -> Schedule:
    """What a configuration file, or what is in it, asks for.

    >>> read({"_class_name": "DDIMScheduler", "skip_prk_steps": True}).unread
    ('skip_prk_steps',)
    """
    given = dict(source) if isinstance(source, Mapping) else _loaded(source)
    kind = given.get("_class_name")
    if kind not in DEFAULTS:
        raise ConfigError(f"_class_name is {kind!r}, expected one of {', '.join(DEFAULTS)}")
    given = {name: x for name, x in given.items() if name[0] != "_"}
    if "variance_type" in given:
        given["variance_type"] = SAME.get(given["variance_type"], given["variance_type"])
    settings = {name: given.get(name, usual) for name, usual in DEFAULTS[kind].items()}
    for name, known in VALUES.items():
        if name in settings and settings[name] not in known:
            says = ", ".join(map(repr, known))
            raise ConfigError(f"{kind}: {name} is {settings[name]!r}, expressed here is {says}")
    if settings.get("use_karras_sigmas") and settings.get("use_exponential_sigmas"):
        raise ConfigError(f"{kind}: use_karras_sigmas and use_exponential_sigmas are both true")
    return Schedule(kind, settings, tuple(n for n in given if n not in settings))


def _loaded(path: Path) -> dict[str, Any]:
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    if not isinstance(given, dict):
        raise ConfigError(f"{path}: holds {type(given).__name__}, expected settings with names")
    return given


def conflicts(schedule: Schedule) -> list[str]:
    """What a file says in vain, or against itself."""
    found = [f"{name}: {schedule.kind} does not read it" for name in schedule.unread]
    return [*found, *_of_times(schedule.settings), *_of_values(schedule.settings)]


def _of_times(settings: Mapping[str, Any]) -> Iterator[str]:
    spacing = settings.get("timestep_spacing")
    if settings.get("steps_offset") and spacing != "leading":
        yield f"steps_offset: not read with {spacing} times"
    if settings.get("rescale_betas_zero_snr"):
        if settings["prediction_type"] == "epsilon":
            yield "rescale_betas_zero_snr: noise says nothing where there is no signal"
        if spacing == "leading":
            yield "rescale_betas_zero_snr: leading times never visit the last one"
    if not curved(settings):
        for name in ("sigma_min", "sigma_max"):
            if settings.get(name) is not None:
                yield f"{name}: read with levels of Karras and exponential ones only"
    if settings.get("flow_shift", 1.0) != 1.0:
        yield "flow_shift: not read without use_flow_sigmas"


def _of_values(settings: Mapping[str, Any]) -> Iterator[str]:
    if settings.get("thresholding"):
        if settings.get("clip_sample"):
            yield "clip_sample: not read, thresholding comes in its place"
        if settings["sample_max_value"] <= 1:
            yield "dynamic_thresholding_ratio: thresholds of at most 1 clip, whatever it is"


def curved(settings: Mapping[str, Any]) -> bool:
    """Whether the levels lie on a curve of their own, between two ends."""
    return any(settings.get(f"use_{name}_sigmas") for name in ("karras", "exponential"))
