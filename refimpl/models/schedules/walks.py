"""From noise to samples as a configuration says, with any network; a loop for each kind.

The text of each loop runs on plain arrays and on error-carrying ones. A loop yields the samples
behind each answer of the network, and whether that ends a step; it is sent where to go on from.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from refimpl.models.schedules.files import Schedule
from refimpl.models.schedules.spacing import in_levels, levels, times, times_of, whole
from refimpl.ops.samplers.reference import euler_ancestral_step, euler_step, plms_eps

Network = Callable[[Any, float], Any]
Reach = Callable[[Any], Any]
Walk = Generator[tuple[Any, bool], Any, None]


def run(
    schedule: Schedule,
    steps: int,
    x: Any,
    noise: Any,
    table: Any,
    network: Network,
    reach: Reach = lambda x: x,
    listed: tuple[Any, Sequence[float]] | None = None,
) -> Any:
    """Walk from noise to samples; `noise` holds fresh noise for each step, `table` the shares.

    `reach` sees the samples behind each answer of the network, and says where to go on from. What
    walks down noise levels takes them and their times from `listed`, where they are given.
    """
    walk = loop(schedule, steps, x, noise, table, network, listed)
    found = next(walk)
    while True:
        x = reach(found[0])
        try:
            found = walk.send(x)
        except StopIteration:
            return x


def steps_of(walk: Walk) -> Iterator[Any]:
    """The samples at the end of each step of a loop."""
    found = next(walk, None)
    while found is not None:
        x, whole_step = found
        if whole_step:
            yield x
        try:
            found = walk.send(x)
        except StopIteration:
            return


def loop(
    schedule: Schedule,
    steps: int,
    x: Any,
    noise: Any,
    table: Any,
    network: Network,
    listed: tuple[Any, Sequence[float]] | None = None,
) -> Walk:
    """The loop of this kind of sampler at its first step."""
    if in_levels(schedule):
        listed = listed or (levels(schedule, steps, table), told(schedule, steps, table))
        return LOOPS[schedule.kind](schedule, x, noise, *listed, network)
    visited = told(schedule, steps, table)
    stride = schedule.settings["num_train_timesteps"] // steps
    equal = [t - stride for t in visited]
    earlier = equal if "previous/equal" in schedule.slipped else [*visited[1:], -1]
    pairs = list(zip(visited, earlier, strict=True))
    return LOOPS[schedule.kind](schedule, x, noise, table, pairs, network)


def told(schedule: Schedule, steps: int, table: Any) -> list[Any]:
    """The times that the network is told at each step, the latest first."""
    if not in_levels(schedule):
        return [int(t) for t in times(schedule, steps)]
    found = times_of(schedule, steps, table, levels(schedule, steps, table))
    return [float(t) for t in (np.round(found) if whole(schedule) else found)]


def parts(x: Any, output: Any, share: Any, kind: str) -> tuple[Any, Any]:
    """The clean sample and the noise, by what a network predicted."""
    signal, noise = np.sqrt(share), np.sqrt(1 - share)
    if kind == "epsilon":
        return (x - noise * output) / signal, output
    if kind == "sample":
        return output, (x - signal * output) / noise
    return signal * x - noise * output, signal * output + noise * x


def _then(schedule: Schedule, table: Any, time: int) -> Any:
    """The share of signal after a step; behind the last one that of a clean sample."""
    if time >= 0:
        return table[time]
    return 1.0 if schedule.settings.get("set_alpha_to_one", True) else table[0]


def _kept(schedule: Schedule, clean: Any) -> Any:
    """A guessed clean sample, cut off where the configuration asks for it."""
    settings = schedule.settings
    if settings.get("thresholding"):
        shape, size = clean.shape, int(np.prod(clean.shape[1:]))
        rows = np.reshape(clean, (len(clean), size))
        ratio, most = settings["dynamic_thresholding_ratio"], settings["sample_max_value"]
        limit = np.quantile(np.abs(rows), ratio, axis=-1)[:, np.newaxis]  # B 1
        limit = np.minimum(np.maximum(limit, 1), most)
        return np.reshape(np.minimum(np.maximum(rows, -limit), limit) / limit, shape)
    if not settings.get("clip_sample"):
        return clean
    reach = settings["clip_sample_range"]
    return np.minimum(np.maximum(clean, -reach), reach)


def _ddim(schedule, x, noise, table, pairs, network):
    for t, before in pairs:
        then = _then(schedule, table, before)
        output = network(x, t)
        clean, eps = parts(x, output, table[t], schedule.settings["prediction_type"])
        x = yield np.sqrt(then) * _kept(schedule, clean) + np.sqrt(1 - then) * eps, True


def _ddpm(schedule, x, noise, table, pairs, network):
    large = schedule.settings["variance_type"] == "fixed_large"
    for i, (t, before) in enumerate(pairs):
        share, then = table[t], _then(schedule, table, before)
        output = network(x, t)
        clean, _ = parts(x, output, share, schedule.settings["prediction_type"])
        clean, added = _kept(schedule, clean), 1 - share / then
        x_share = np.sqrt(share / then) * (1 - then) / (1 - share)
        x = np.sqrt(then) * added / (1 - share) * clean + x_share * x
        if t > 0:
            variance = added if large else (1 - then) / (1 - share) * added
            x = x + np.sqrt(variance) * noise[i]
        x = yield x, True


def _plms(schedule, x, noise, table, pairs, network):
    kind = schedule.settings["prediction_type"]
    early = "history/outputs" not in schedule.slipped  # outputs are noise before they are combined
    newest: list[Any] = []

    def heard(x, t):
        output = network(x, t)
        return parts(x, output, table[t], kind)[1] if early else output

    def moved(x, combined, t, before):
        share, then = table[t], _then(schedule, table, before)
        eps = combined if early else parts(x, combined, share, kind)[1]
        clean = (x - np.sqrt(1 - share) * eps) / np.sqrt(share)
        return np.sqrt(then) * clean + np.sqrt(1 - then) * eps

    for i, (t, before) in enumerate(pairs):
        newest = [heard(x, t), *newest[:3]]
        combined = plms_eps(np.stack(newest))
        if i == 0:
            ahead = yield moved(x, combined, t, before), False
            if "previous/equal" in schedule.slipped:  # and it begins from a stride above the second
                t, before = pairs[1][0] + t - before, pairs[1][0]
            combined = (combined + heard(ahead, before)) / 2
        x = yield moved(x, combined, t, before), True


def _started(schedule, x, sigmas):
    """Noise as large as the first level, or as samples with that noise are."""
    root = schedule.settings["timestep_spacing"] == "leading"
    if "start/one" in schedule.slipped:
        return x
    if "start/other" in schedule.slipped:
        root = not root
    return x * (np.sqrt(sigmas[0] ** 2 + 1) if root else sigmas[0])


def _denoised(schedule, x, sigma, t, network):
    """The clean sample that the network guesses from samples x₀ + σε."""
    kind, square = schedule.settings["prediction_type"], sigma**2 + 1
    unscaled = "input/unscaled" in schedule.slipped
    output = network(x if unscaled else x / np.sqrt(square), t)
    if kind == "epsilon":
        clean = x - sigma * output
    elif kind == "sample":
        clean = output
    else:
        clean = x / square - sigma / np.sqrt(square) * output
    return _kept(schedule, clean)


def _euler(schedule, x, noise, sigmas, times, network):
    x = _started(schedule, x, sigmas)
    for i, t in enumerate(times):
        clean = _denoised(schedule, x, sigmas[i], t, network)
        x = yield euler_step(x, clean, sigmas[i], sigmas[i + 1]), True


def _ancestral(schedule, x, noise, sigmas, times, network):
    x = _started(schedule, x, sigmas)
    for i, t in enumerate(times):
        clean = _denoised(schedule, x, sigmas[i], t, network)
        x = yield euler_ancestral_step(x, clean, noise[i], sigmas[i], sigmas[i + 1], 1.0), True


def _heun(schedule, x, noise, sigmas, times, network):
    x = _started(schedule, x, sigmas)
    for i, (sigma, after) in enumerate(pairwise(sigmas)):
        slope = (x - _denoised(schedule, x, sigma, times[i], network)) / sigma
        last = i + 1 == len(times)
        ahead = yield x + slope * (after - sigma), last
        if not last:
            clean = _denoised(schedule, ahead, after, times[i + 1], network)
            mean = (slope + (ahead - clean) / after) / 2
            ahead = yield x + mean * (after - sigma), True
        x = ahead


def _dpm(schedule, x, noise, sigmas, times, network):
    settings, older = schedule.settings, None
    few = settings["lower_order_final"] and len(times) < 15
    single = few or settings["euler_at_final"] or settings["final_sigmas_type"] == "zero"
    for i, t in enumerate(times):
        share = 1 / (sigmas[i] ** 2 + 1)
        clean = parts(x, network(x, t), share, settings["prediction_type"])[0]
        clean, last = _kept(schedule, clean), i + 1 == len(times)
        two = settings["solver_order"] == 2 and i > 0 and not (last and single)
        if last and settings["final_sigmas_type"] == "zero":
            x = clean
        else:
            fresh = noise[i] if settings["algorithm_type"] == "sde-dpmsolver++" else None
            levels = sigmas[max(i - 1, 0) : i + 2]
            x = _dpm_step(x, clean, older if two else None, levels, fresh, settings)
        x = yield x, True
        older = clean


def _dpm_step(x, clean, older, sigmas, noise, settings):
    """A step in λ = ln(α / σ), with fresh noise where some is given."""
    alpha = 1 / np.sqrt(sigmas**2 + 1)
    beta = sigmas * alpha
    lamb = np.log(alpha) - np.log(beta)
    h = lamb[-1] - lamb[-2]
    span = h if noise is None else 2 * h
    kept = beta[-1] / beta[-2] * (1 if noise is None else np.exp(-h))
    rest = 1 - np.exp(-span)
    x = kept * x + alpha[-1] * rest * clean
    if older is not None:
        change = (clean - older) * (h / (lamb[-2] - lamb[-3]))
        heun = settings["solver_type"] == "heun"
        x = x + alpha[-1] * (1 - rest / span if heun else rest / 2) * change
    if noise is not None:
        x = x + beta[-1] * np.sqrt(1 - np.exp(-span)) * noise
    return x


def _flow(schedule, x, noise, sigmas, times, network):
    for i, t in enumerate(times):
        now, then = sigmas[i], sigmas[i + 1]
        velocity = network(x, t)
        if schedule.settings["stochastic_sampling"]:
            x = (1 - then) * (x - now * velocity) + then * noise[i]
        else:
            x = x + (then - now) * velocity
        x = yield x, True


LOOPS: dict[str, Callable[..., Walk]] = {
    "DDIMScheduler": _ddim,
    "DDPMScheduler": _ddpm,
    "PNDMScheduler": _plms,
    "EulerDiscreteScheduler": _euler,
    "EulerAncestralDiscreteScheduler": _ancestral,
    "HeunDiscreteScheduler": _heun,
    "DPMSolverMultistepScheduler": _dpm,
    "FlowMatchEulerDiscreteScheduler": _flow,
}
