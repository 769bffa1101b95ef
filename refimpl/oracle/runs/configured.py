"""Judge samplers as a configuration describes them: betas, shares, times, and whole loops."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from refimpl.models import schedulers
from refimpl.models.schedulers import ConfigError, Schedule
from refimpl.ops.diffusion import reference as diffusion
from refimpl.oracle.cases.drawn import rounded
from refimpl.oracle.diagnosis.cause import UNKNOWN, Cause
from refimpl.oracle.findings import Finding, Report
from refimpl.oracle.judging.judge import expect
from refimpl.oracle.targets.models import Crashed
from refimpl.oracle.targets.schedulers import scheduled
from refimpl.own import as_operation

STEPS = (10, 7)  # seven part no schedule of a thousand times evenly
LOOP = ("x", "noise", "alpha_bar", "slope", "offset", "samples")
SHAPE = (2, 3, 2, 2)


def verify_config(
    *targets: str,
    path: Path,
    seed: int = 0,
    allow: Sequence[str] = (),
    reports: list[Report] | None = None,
) -> list[str]:
    """Judge the samplers of targets as configured in float32; what the file says in vain.

    A target is diffusers, or a file ending in .py that defines `scheduled(settings, steps, x,
    noise, slope, offset)` and returns a dict of betas, alpha_bar, timesteps and the
    samples behind each answer of the network.
    """
    reports = [] if reports is None else reports
    schedule = schedulers.read(path)
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
    return schedulers.conflicts(schedule)


def drawn(schedule: Schedule, steps: int, seed: int) -> dict[str, np.ndarray]:
    """Noise to begin with and for each step, and a network of lines, another one at each time."""
    rng = np.random.default_rng([seed, steps])
    total = schedule.settings["num_train_timesteps"]
    given = {
        "x": rng.standard_normal(SHAPE),
        "noise": rng.standard_normal((steps, *SHAPE)),
        "slope": rng.uniform(-0.5, 0.5, total),
        "offset": rng.standard_normal(total) / 2,
    }
    return {name: x.astype(np.float32) for name, x in given.items()}


def judged(
    schedule: Schedule,
    steps: int,
    given: dict[str, np.ndarray],
    found: dict[str, np.ndarray],
    again: str,
) -> Iterator[Finding]:
    """A finding for each part; each step is judged from where the last one really ended."""
    for name in ("betas", "alpha_bar", "timesteps", "samples"):
        if name in ("betas", "alpha_bar") and steps != STEPS[0]:
            continue
        title = name if name in ("betas", "alpha_bar") else f"{name} of {steps}"
        entry = Finding(title, "float32", 1, replay=again)
        entry.worst, entry.says = apart(schedule, name, steps, given, found)
        if np.isnan(entry.worst):
            entry.status, entry.cases, entry.worst = "unsupported", 0, 0.0
        elif entry.worst > 1:
            entry.status = "deviates"
            entry.causes = causes(schedule, name, steps, given, found) or [UNKNOWN]
        yield entry


def apart(
    schedule: Schedule,
    name: str,
    steps: int,
    given: dict[str, np.ndarray],
    found: dict[str, np.ndarray],
) -> tuple[float, str]:
    """The largest error ÷ allowed of one part, and what it is about in words."""
    if name not in found:
        return np.inf, f"{name}: nothing was returned"
    actual = np.asarray(found[name])
    if name == "timesteps":
        listed = schedulers.times(schedule, steps)
        same = actual.shape == (len(listed),) and np.array_equal(actual, listed)
        return (0.0 if same else np.inf), f"found {[*map(float, actual)]}, expected {listed}"
    value, allowed = expected(schedule, name, steps, given, found)
    if actual.shape != np.shape(value):
        return np.inf, f"{name}: found shape {actual.shape}, expected {np.shape(value)}"
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
    schedule: Schedule,
    name: str,
    steps: int,
    given: dict[str, np.ndarray],
    found: dict[str, np.ndarray],
) -> tuple[Any, Any]:
    """The value of one part, and the error that is allowed."""
    if name == "betas":
        made, inputs = schedulers.beta_text(schedule)
        if schedule.settings.get("rescale_betas_zero_snr"):
            return bound(diffusion.zero_terminal_snr, betas=made(**inputs))
        return bound(made, **inputs)
    if name == "alpha_bar":
        return bound(diffusion.alpha_bar, betas=found["betas"].astype(float))

    def loop(x, noise, alpha_bar, slope, offset, samples):
        seen: list[Any] = []

        def network(x, t):
            return slope[t] * x + offset[t]

        def reach(x):
            seen.append(x)
            return samples[min(len(seen), len(samples)) - 1]

        schedulers.run(schedule, steps, x, noise, alpha_bar, network, reach)
        return np.stack(seen)

    arrays = {n: x.astype(float) for n, x in (given | found).items() if n in LOOP}
    return bound(loop, **arrays)


def others(schedule: Schedule) -> Iterator[tuple[str, str, Schedule]]:
    """Configurations that differ in one thing: what it is called, says, and asks for."""
    yield (
        "previous/equal",
        "steps T // K down, whatever the list of times says",
        replace(schedule, previous="equal"),
    )
    if schedule.kind == "PNDMScheduler":
        yield (
            "history/outputs",
            "combines what was predicted at several times and takes it for noise afterwards",
            replace(schedule, history="outputs"),
        )
    if schedule.settings["timestep_spacing"] == "leading":
        offset = 0 if schedule.settings["steps_offset"] else 1
        yield _with(schedule, "steps_offset", offset)
    for name, known in schedulers.VALUES.items():
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
    given: dict[str, np.ndarray],
    found: dict[str, np.ndarray],
) -> list[Cause]:
    """Which other configurations give what was returned."""
    fitting = []
    for title, says, other in others(schedule):
        try:
            worst, _ = apart(other, name, steps, given, found)
        except ConfigError:
            continue
        if worst <= 1:
            fitting.append(Cause("mistake", f"{schedule.kind}/{title}", says))
    return fitting
