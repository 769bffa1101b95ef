"""Judge samplers as a configuration describes them: betas, shares, times, and whole loops."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from refimpl.models import schedules
from refimpl.models.schedules import FLOW, ConfigError, Schedule
from refimpl.ops.diffusion import reference as diffusion
from refimpl.oracle.cases.drawn import rounded
from refimpl.oracle.diagnosis.cause import UNKNOWN, Cause
from refimpl.oracle.findings import Finding, Report
from refimpl.oracle.judging.judge import expect
from refimpl.oracle.targets.models import Crashed
from refimpl.oracle.targets.schedulers import scheduled
from refimpl.own import as_operation

STEPS = (10, 7)  # seven part no schedule of a thousand times evenly
TABLES = ("betas", "alpha_bar")
GIVEN = ("x", "noise", "slope", "offset")
SHAPE = (2, 3, 2, 2)
Arrays = dict[str, np.ndarray]


def verify_config(
    *targets: str,
    path: Path,
    seed: int = 0,
    allow: Sequence[str] = (),
    reports: list[Report] | None = None,
) -> list[str]:
    """Judge the samplers of targets as configured in float32; what the file says in vain.

    A target is diffusers, or a file ending in .py that defines `scheduled(settings, steps, x,
    noise, slope, offset)` and returns a dict of betas, alpha_bar, timesteps, for samplers that
    walk down noise levels their sigmas, and the samples behind each answer of the network.
    """
    reports = [] if reports is None else reports
    schedule = schedules.read(path)
    settings = json.loads(path.read_text(encoding="utf-8"))
    for target in targets or ("diffusers",):
        report = Report(f"{target} {path.name}", allowed=frozenset(allow))
        reports.append(report)
        again = f"refimpl verify {target} --config {path} --seed {seed}"
        for steps in STEPS:
            try:
                given = drawn(schedule, steps, seed)
                found = scheduled(target, settings, steps, given)
                report.findings += judged(schedule, steps, given, found, again)
            except Crashed as error:
                name = f"{steps} steps"
                crash = Finding(name, "float32", 1, worst=np.inf, status="crashes", replay=again)
                crash.says = f"{schedule.kind}: {error}"
                report.findings.append(crash)
    return schedules.conflicts(schedule)


def drawn(schedule: Schedule, steps: int, seed: int) -> Arrays:
    """Noise to begin with and for each step, and a network of lines, another one at each time.

    Between whole times its slope and its offset lie on straight lines.
    """
    rng = np.random.default_rng([seed, steps])
    total = schedule.settings["num_train_timesteps"] + (schedule.kind == FLOW)
    given = {
        "x": rng.standard_normal(SHAPE),
        "noise": rng.standard_normal((steps, *SHAPE)),
        "slope": rng.uniform(-0.5, 0.5, total),
        "offset": rng.standard_normal(total) / 2,
    }
    return {name: x.astype(np.float32) for name, x in given.items()}


def compared(schedule: Schedule) -> tuple[str, ...]:
    """The parts of a sampler that are judged, each from those before it as they were found."""
    if schedule.kind == FLOW:
        return "sigmas", "timesteps", "samples"
    levels = ("sigmas",) if schedules.in_levels(schedule) else ()
    return (*TABLES, *levels, "timesteps", "samples")


def judged(
    schedule: Schedule, steps: int, given: Arrays, found: Arrays, again: str
) -> Iterator[Finding]:
    """A finding for each part; each step is judged from where the last one really ended."""
    for name in compared(schedule):
        if name in TABLES and steps != STEPS[0]:
            continue
        title = name if name in TABLES else f"{name} of {steps}"
        entry = Finding(title, "float32", 1, replay=again)
        entry.worst, entry.says = apart(schedule, name, steps, given, found)
        if np.isnan(entry.worst):
            entry.status, entry.cases, entry.worst = "unsupported", 0, 0.0
        elif entry.worst > 1:
            entry.status = "deviates"
            entry.causes = causes(schedule, name, steps, given, found) or [UNKNOWN]
        yield entry


def apart(
    schedule: Schedule, name: str, steps: int, given: Arrays, found: Arrays
) -> tuple[float, str]:
    """The largest error ÷ allowed of one part, and what it is about in words."""
    for part in (name, *compared(schedule)[: compared(schedule).index(name)]):
        if part not in found:
            worst = np.inf if part == name else np.nan
            return worst, f"{name}: nothing was returned as {part}"
    actual = np.asarray(found[name])
    if name == "timesteps" and not schedules.follows_levels(schedule):
        listed = schedules.times(schedule, steps)
        if np.array_equal(listed, np.floor(listed)):
            same = np.array_equal(actual, listed)
            says = f"found {[*map(float, actual)]}, expected {[*map(int, listed)]}"
            return (0.0 if same else np.inf), says
    if name == "samples" and schedules.in_levels(schedule):
        lengths = len(found["sigmas"]) - 1, len(found["timesteps"])
        if lengths != (steps, steps):
            return np.nan, f"samples: {lengths[0]} levels and {lengths[1]} times of {steps} steps"
    value, allowed = expected(schedule, name, steps, given, found)
    if actual.shape != np.shape(value):
        return np.inf, f"{name}: found shape {actual.shape}, expected {np.shape(value)}"
    if np.any(np.isfinite(value) & ~np.isfinite(actual)):
        return np.inf, f"{name}: found what is no number, expected finite ones"
    if not np.all(allowed < np.abs(value) + 1):
        return np.nan, f"{name}: the bound is as wide as the values"
    with np.errstate(all="ignore"):
        ratio = np.abs(actual.astype(float) - value) / np.maximum(allowed, np.finfo(float).tiny)
    worst = float(np.max(np.where(np.isnan(ratio), np.inf, ratio), initial=0.0))
    return worst, f"{name}: the largest error is {worst:.3g} of what is allowed"


def bound(text: Callable[..., Any], **inputs: Any) -> tuple[Any, Any]:
    """The value of a text in float32, and the error that is allowed."""
    operation = as_operation(text, inputs)
    read = rounded(operation, operation.read(**inputs), "float32")
    (wanted,) = expect(operation, read, "float32")
    return wanted.value, wanted.allowed


def expected(
    schedule: Schedule, name: str, steps: int, given: Arrays, found: Arrays
) -> tuple[Any, Any]:
    """The value of one part, and the error that is allowed."""
    if name == "betas":
        made, inputs = schedules.beta_text(schedule)
        if schedule.settings.get("rescale_betas_zero_snr"):
            return bound(diffusion.zero_terminal_snr, betas=made(**inputs))
        return bound(made, **inputs)
    arrays = {n: x.astype(float) for n, x in found.items()}
    if name == "alpha_bar":
        return bound(lambda betas: schedules.shares(schedule, betas), betas=arrays["betas"])
    table = arrays.get("alpha_bar", np.ones(1))
    if name == "sigmas":
        return bound(lambda table: schedules.levels(schedule, steps, table), table=table)
    if name == "timesteps":
        return _times(schedule, steps, table, arrays["sigmas"])
    inputs = {n: x.astype(float) for n, x in given.items() if n in GIVEN}
    levels = arrays.get("sigmas", np.ones(1))
    return _samples(schedule, steps, found["timesteps"], arrays["samples"], table, levels, inputs)


def _times(schedule: Schedule, steps: int, table: Any, levels: Any) -> tuple[Any, Any]:
    """The times of levels; where whole ones are listed, any to which an honest one may round."""

    low = schedules.before(table, levels) if schedule.kind != FLOW else None

    def text(table, levels):
        return schedules.times_of(schedule, steps, table, levels, low)

    value, allowed = bound(text, table=table, levels=levels)
    if "times/cut" in schedule.slipped:
        near = np.minimum(value % 1, 1 - value % 1) < allowed  # to a whole one, of either side
        return np.floor(value), np.where(near, np.minimum(np.floor(value), 1), 0.0)
    return value, allowed + (0.5 if schedules.whole(schedule) else 0.0)


def _samples(
    schedule: Schedule,
    steps: int,
    visited: np.ndarray,
    samples: np.ndarray,
    table: np.ndarray,
    levels: np.ndarray,
    inputs: Arrays,
) -> tuple[Any, Any]:
    """All samples of a loop, each from the one before as it was found."""

    def loop(x, noise, slope, offset, table, levels, samples):
        seen: list[Any] = []

        def network(x, t):
            k = min(int(t), len(slope) - 2)
            line = [a[k] + (t - k) * (a[k + 1] - a[k]) if t > k else a[k] for a in (slope, offset)]
            return line[0] * x + line[1]

        def reach(x):
            seen.append(x)
            return samples[min(len(seen), len(samples)) - 1]

        listed = levels, [float(t) for t in visited]
        schedules.run(schedule, steps, x, noise, table, network, reach, listed)
        return np.stack(seen)

    return bound(loop, **inputs, table=table, levels=levels, samples=samples)


def others(schedule: Schedule) -> Iterator[tuple[str, str, Schedule]]:
    """Configurations that differ in one thing: what it is called, says, and asks for."""
    yield from schedules.slips(schedule)
    if schedule.settings.get("timestep_spacing") == "leading":
        offset = 0 if schedule.settings["steps_offset"] else 1
        yield _with(schedule, "steps_offset", offset)
    for name, known in schedules.VALUES.items():
        for value in known:
            if name in schedule.settings and value != schedule.settings[name]:
                yield _with(schedule, name, value)


def _with(schedule: Schedule, name: str, value: Any) -> tuple[str, str, Schedule]:
    """What a configuration with one other setting is called, and the configuration."""
    says = f"acts as though {name} were {json.dumps(value)}"
    return f"{name}/{json.dumps(value).strip(chr(34))}", says, schedule.but(**{name: value})


def causes(
    schedule: Schedule,
    name: str,
    steps: int,
    given: Arrays,
    found: Arrays,
) -> list[Cause]:
    """Which other configurations give what was returned."""
    tried = others(schedule)
    if name == "samples" and schedules.in_levels(schedule):  # the spacing only tells the start
        tried = (other for other in tried if not other[0].startswith("timestep_spacing"))
    fitting = _fitting(schedule, tried, name, steps, given, found)
    return fitting or _fitting(schedule, _pairs(schedule), name, steps, given, found)


def _pairs(schedule: Schedule) -> Iterator[tuple[str, str, Schedule]]:
    """Two things at once that loops do wrong whatever is configured."""
    for first, says, one in schedules.slips(schedule):
        for second, also, both in schedules.slips(one):
            if first < second:
                yield f"{first}+{second}", f"{says}; and {also}", both


def _fitting(
    schedule: Schedule,
    tried: Iterable[tuple[str, str, Schedule]],
    name: str,
    steps: int,
    given: Arrays,
    found: Arrays,
) -> list[Cause]:
    fitting = []
    for title, says, other in tried:
        try:
            worst, _ = apart(other, name, steps, given, found)
        except ConfigError:
            continue
        if worst <= 1:
            fitting.append(Cause("mistake", f"{schedule.kind}/{title}", says))
    return fitting
