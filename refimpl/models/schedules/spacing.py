"""The tables of a configured sampler: betas, visited times, and the noise levels of its steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from refimpl.axes import AxesError
from refimpl.constants import constant
from refimpl.models.schedules.files import ConfigError, Schedule, curved
from refimpl.ops.diffusion import reference as diffusion
from refimpl.ops.flow.reference import flow_shift
from refimpl.ops.levels.reference import (
    entry_below,
    exponential_sigmas,
    karras_sigmas,
    leading_timesteps,
    linspace_timesteps,
    sigmas_from_alpha_bar,
    time_above,
    trailing_timesteps,
)

RHO = 7.0  # of the levels of Karras, as the paper has it
FLOW, DPM = "FlowMatchEulerDiscreteScheduler", "DPMSolverMultistepScheduler"
LEAST = 2.0**-24  # the share of signal at the last time, where a level of no signal has no end


def in_levels(schedule: Schedule) -> bool:
    """Whether the loop walks down a list of noise levels, rather than times of a table."""
    return schedule.kind not in ("DDIMScheduler", "DDPMScheduler", "PNDMScheduler")


def whole(schedule: Schedule) -> bool:
    """Whether times are whole even where levels are not those of whole times."""
    return schedule.kind == DPM


def follows_levels(schedule: Schedule) -> bool:
    """Whether times are those of levels, in place of the other way round."""
    return schedule.kind == FLOW or curved(schedule.settings)


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


def shares(schedule: Schedule, betas: Any) -> Any:
    """The share of signal at each time; never none of it where levels are to be had."""
    found = diffusion.alpha_bar(betas)
    if in_levels(schedule) and schedule.settings.get("rescale_betas_zero_snr"):
        return np.concatenate((found[:-1], np.full(1, LEAST)))
    return found


def times(schedule: Schedule, steps: int, like: Any = None) -> Any:
    """The times that are visited, the latest first, as the spacing has them.

    Those between whole ones are computed in such numbers as `like`.

    >>> from refimpl.models.schedules.files import read
    >>> times(read({"_class_name": "DDIMScheduler", "steps_offset": 1}), 5)
    array([801, 601, 401, 201,   1])
    >>> times(read({"_class_name": "EulerDiscreteScheduler"}), 5)[:2]
    array([999.  , 749.25])
    """
    settings = schedule.settings
    total, spacing = settings["num_train_timesteps"], settings["timestep_spacing"]
    if not 2 <= steps <= total:
        raise ConfigError(f"{steps} steps of {total}, expected at least 2 and no more than all")
    more = schedule.kind == DPM  # one more is laid out, and the least of them left out
    if spacing == "trailing":
        return trailing_timesteps(total, steps)  # steps
    if spacing == "leading":
        try:
            found = leading_timesteps(total, steps + more, settings["steps_offset"])
        except AxesError as error:
            raise ConfigError(f"steps_offset of {steps} steps: {error}") from None
    elif in_levels(schedule) and not more:
        found = linspace_timesteps(constant(total, like), steps)
    else:
        found = np.round(linspace_timesteps(total, steps + more))  # half to even
    return found[:steps]  # steps


def levels(schedule: Schedule, steps: int, table: Any) -> Any:
    """The noise level before each step, and the one at the end; `table` holds shares of signal.

    Of a flow, which has no shares, `table` only says in which numbers to compute.
    """
    if schedule.kind == FLOW:
        return _flow_levels(schedule, steps, table)
    chain = sigmas_from_alpha_bar(table)  # T
    low = np.minimum(times(schedule, steps).astype(int), len(chain) - 2)  # steps
    visited = chain[low] + (times(schedule, steps, table) - low) * (chain[low + 1] - chain[low])
    ends = (chain[-1], chain[0]) if schedule.kind == DPM else (visited[0], visited[-1])
    visited = _curve(schedule, steps, visited, *ends)
    last = schedule.settings.get("final_sigmas_type", "zero")
    return np.concatenate((visited, (chain[:1] if last == "sigma_min" else 0 * chain[:1])))


def _flow_levels(schedule: Schedule, steps: int, table: Any) -> Any:
    """Falling times of a flow, which are its levels."""
    settings = schedule.settings
    total, shift = settings["num_train_timesteps"], settings["shift"]
    high, low = constant(1, table), constant(1, table) / total
    if "shift/twice" in schedule.slipped:
        low = flow_shift(low, shift)
    ramp = np.arange(steps) / constant(steps - 1, table)  # steps
    visited = flow_shift(high + ramp * (low - high), shift)
    if settings["shift_terminal"]:
        visited = 1 - (1 - visited) * ((1 - settings["shift_terminal"]) / (1 - visited[-1]))
    visited = _curve(schedule, steps, visited, visited[0], visited[-1])
    return np.concatenate((visited, 0 * visited[:1]))


def _curve(schedule: Schedule, steps: int, visited: Any, high: Any, low: Any) -> Any:
    """Levels as they are, or as many on a curve between two ends."""
    settings = schedule.settings
    if not curved(settings):
        return visited
    high = high if settings.get("sigma_max") is None else settings["sigma_max"]
    low = low if settings.get("sigma_min") is None else settings["sigma_min"]
    if settings["use_karras_sigmas"]:
        return karras_sigmas(steps, low, high, RHO)
    return exponential_sigmas(steps, low, high)


def times_of(schedule: Schedule, steps: int, table: Any, levels: Any, low: Any = None) -> Any:
    """The time that the network is told at each level; `low` is what `before` finds."""
    total = schedule.settings["num_train_timesteps"]
    if schedule.kind == FLOW:
        return levels[:-1] * total
    if not follows_levels(schedule):
        return times(schedule, steps, table)
    low = before(table, levels) if low is None else low
    return time_above(low, levels[:-1], np.log(sigmas_from_alpha_bar(table)))


def before(table: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """The whole time before that of each level."""
    return entry_below(levels[:-1], sigmas_from_alpha_bar(table))
