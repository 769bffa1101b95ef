"""Samplers as a configuration file of diffusers describes them: their table, times and loop.

`read` says what a file asks for, and refuses by name what cannot be said here. `run` walks from
noise to samples with any network; the same lines, on error-carrying numbers, judge a library.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from refimpl.exceptions import RefimplError
from refimpl.ops.diffusion import reference as diffusion
from refimpl.ops.samplers.reference import plms_eps

COMMON = {
    "num_train_timesteps": 1000,
    "beta_start": 0.0001,
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "trained_betas": None,
    "prediction_type": "epsilon",
    "timestep_spacing": "leading",
    "steps_offset": 0,
}
CLIPPED = {"clip_sample": True, "clip_sample_range": 1.0, "rescale_betas_zero_snr": False}
THRESHOLD = ("thresholding", "dynamic_thresholding_ratio", "sample_max_value")
DEFAULTS: dict[str, dict[str, Any]] = {
    "DDIMScheduler": COMMON | CLIPPED | {"set_alpha_to_one": True},
    "DDPMScheduler": COMMON | CLIPPED | {"variance_type": "fixed_small"},
    "PNDMScheduler": COMMON | {"set_alpha_to_one": False, "skip_prk_steps": False},
}
VALUES: dict[str, tuple] = {  # what can be said here
    "beta_schedule": ("linear", "scaled_linear", "squaredcos_cap_v2"),
    "prediction_type": ("epsilon", "v_prediction", "sample"),
    "timestep_spacing": ("leading", "linspace", "trailing"),
    "variance_type": ("fixed_small", "fixed_large"),
    "skip_prk_steps": (True,),
    "set_alpha_to_one": (True, False),
    "clip_sample": (True, False),
    "rescale_betas_zero_snr": (True, False),
}
Network = Callable[[Any, int], Any]


class ConfigError(RefimplError, ValueError):
    """A configuration that is no configuration of a sampler, or one that cannot be said here."""


@dataclass(frozen=True)
class Schedule:
    """What a configuration asks for; `previous` and `history` say how a loop reads it."""

    kind: str
    settings: Mapping[str, Any]
    unread: tuple[str, ...] = ()  # settings of the file that samplers of this kind do not have
    previous: str = "listed"  # or "equal": T // K before, whatever the list of times says
    history: str = "noise"  # or "outputs": what a multistep combines, before or after conversion

    def but(self, **settings: Any) -> Schedule:
        """The same with other settings."""
        return replace(self, settings={**self.settings, **settings})


def read(source: Path | Mapping[str, Any]) -> Schedule:
    """What a configuration file, or what is in it, asks for.

    >>> read({"_class_name": "DDIMScheduler", "skip_prk_steps": True}).unread
    ('skip_prk_steps',)
    """
    given = dict(source) if isinstance(source, Mapping) else _loaded(source)
    kind = given.get("_class_name")
    if kind not in DEFAULTS:
        raise ConfigError(f"_class_name is {kind!r}, expected one of {', '.join(DEFAULTS)}")
    if given.get("thresholding"):
        raise ConfigError("thresholding is true, which cannot be expressed here")
    given = {n: x for n, x in given.items() if n[0] != "_" and n not in THRESHOLD}
    settings = {name: given.get(name, usual) for name, usual in DEFAULTS[kind].items()}
    for name, known in VALUES.items():
        if name in settings and settings[name] not in known:
            says = ", ".join(map(repr, known))
            raise ConfigError(f"{kind}: {name} is {settings[name]!r}, expressed here is {says}")
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
    settings = schedule.settings
    found = [f"{name}: a {schedule.kind} does not read it" for name in schedule.unread]
    if settings["steps_offset"] and settings["timestep_spacing"] != "leading":
        found.append(f"steps_offset: not read with {settings['timestep_spacing']} times")
    if settings.get("rescale_betas_zero_snr"):
        if settings["prediction_type"] == "epsilon":
            found.append("rescale_betas_zero_snr: noise says nothing where there is no signal")
        if settings["timestep_spacing"] == "leading":
            found.append("rescale_betas_zero_snr: leading times never visit the last one")
    return found


def betas(schedule: Schedule) -> np.ndarray:
    """The noise that each time adds."""
    made, inputs = beta_text(schedule)
    given = made(**inputs)
    if schedule.settings.get("rescale_betas_zero_snr"):
        given = diffusion.zero_terminal_snr(given)
    return given


def beta_text(schedule: Schedule) -> tuple[Callable[..., Any], dict[str, Any]]:
    """The operation that makes the betas, and what it is given."""
    settings = schedule.settings
    if settings["trained_betas"] is not None:
        return (lambda given: given), {"given": np.asarray(settings["trained_betas"], float)}
    steps = settings["num_train_timesteps"]
    if settings["beta_schedule"] == "squaredcos_cap_v2":
        return diffusion.cosine_schedule, {"steps": steps, "offset": 0.008, "beta_max": 0.999}
    ends = {"beta_start": settings["beta_start"], "beta_end": settings["beta_end"]}
    return getattr(diffusion, f"{settings['beta_schedule']}_schedule"), {"steps": steps, **ends}


def times(schedule: Schedule, steps: int) -> list[int]:
    """The times that are visited, the latest first.

    >>> times(read({"_class_name": "DDIMScheduler", "steps_offset": 1}), 5)
    [801, 601, 401, 201, 1]
    """
    settings = schedule.settings
    total, spacing = settings["num_train_timesteps"], settings["timestep_spacing"]
    if not 2 <= steps <= total:
        raise ConfigError(f"{steps} steps of {total}, expected at least 2 and no more than all")
    if spacing == "leading":
        rising = [k * (total // steps) + settings["steps_offset"] for k in range(steps)]
    elif spacing == "linspace":
        rising = [round(k * (total - 1) / (steps - 1)) for k in range(steps)]
    else:
        rising = [round(total - k * total / steps) - 1 for k in range(steps)][::-1]
    if rising[-1] >= total:
        raise ConfigError(f"steps_offset: the latest of {steps} times is {rising[-1]} of {total}")
    return rising[::-1]


def parts(x: Any, output: Any, share: Any, kind: str) -> tuple[Any, Any]:
    """The clean sample and the noise, by what a network predicted."""
    signal, noise = np.sqrt(share), np.sqrt(1 - share)
    if kind == "epsilon":
        return (x - noise * output) / signal, output
    if kind == "sample":
        return output, (x - signal * output) / noise
    return signal * x - noise * output, signal * output + noise * x


def run(
    schedule: Schedule,
    steps: int,
    x: Any,
    noise: Any,
    table: Any,
    network: Network,
    reach: Callable[[Any], Any] = lambda x: x,
) -> Any:
    """Walk from noise to samples; `noise` holds fresh noise for each step, `table` the shares.

    `reach` sees the samples behind each answer of the network, and says where to go on from.
    """
    visited = times(schedule, steps)
    stride = schedule.settings["num_train_timesteps"] // steps
    listed = [*visited[1:], -1]
    before = listed if schedule.previous == "listed" else [t - stride for t in visited]
    return LOOPS[schedule.kind](
        schedule, x, noise, table, list(zip(visited, before)), network, reach
    )


def _then(schedule: Schedule, table: Any, time: int) -> Any:
    """The share of signal after a step; behind the last one that of a clean sample."""
    if time >= 0:
        return table[time]
    return 1.0 if schedule.settings.get("set_alpha_to_one", True) else table[0]


def _clipped(schedule: Schedule, clean: Any) -> Any:
    if not schedule.settings["clip_sample"]:
        return clean
    reach = schedule.settings["clip_sample_range"]
    return np.minimum(np.maximum(clean, -reach), reach)


def _ddim(schedule, x, noise, table, pairs, network, reach):
    for t, before in pairs:
        then = _then(schedule, table, before)
        output = network(x, t)
        clean, eps = parts(x, output, table[t], schedule.settings["prediction_type"])
        x = reach(np.sqrt(then) * _clipped(schedule, clean) + np.sqrt(1 - then) * eps)
    return x


def _ddpm(schedule, x, noise, table, pairs, network, reach):
    large = schedule.settings["variance_type"] == "fixed_large"
    for i, (t, before) in enumerate(pairs):
        share, then = table[t], _then(schedule, table, before)
        output = network(x, t)
        clean, _ = parts(x, output, share, schedule.settings["prediction_type"])
        clean, added = _clipped(schedule, clean), 1 - share / then
        x_share = np.sqrt(share / then) * (1 - then) / (1 - share)
        x = np.sqrt(then) * added / (1 - share) * clean + x_share * x
        if t > 0:
            variance = added if large else (1 - then) / (1 - share) * added
            x = x + np.sqrt(variance) * noise[i]
        x = reach(x)
    return x


def _plms(schedule, x, noise, table, pairs, network, reach):
    kind = schedule.settings["prediction_type"]
    early = schedule.history == "noise"  # outputs become noise before they are combined
    newest: list[Any] = []
    for i, (t, before) in enumerate(pairs):
        share, then = table[t], _then(schedule, table, before)

        def heard(x, t):
            output = network(x, t)
            return parts(x, output, table[t], kind)[1] if early else output

        def moved(combined, x=x, share=share, then=then):
            eps = combined if early else parts(x, combined, share, kind)[1]
            clean = (x - np.sqrt(1 - share) * eps) / np.sqrt(share)
            return np.sqrt(then) * clean + np.sqrt(1 - then) * eps

        newest = [heard(x, t), *newest[:3]]
        combined = plms_eps(np.stack(newest))
        if i == 0:
            ahead = heard(reach(moved(combined)), before)
            combined = (combined + ahead) / 2
        x = reach(moved(combined))
    return x


LOOPS = {"DDIMScheduler": _ddim, "DDPMScheduler": _ddpm, "PNDMScheduler": _plms}
