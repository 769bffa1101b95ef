"""A sampler as a scheduler_config.json describes it, for a network that predicts the noise.

The file belongs to a network: one that says otherwise how the network was trained is refused.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from refimpl.models import schedules
from refimpl.models.sampling import Step
from refimpl.models.schedules import FLOW, Schedule
from refimpl.models.solvers import Eps, Levels
from refimpl.op import DomainError


def walk(
    schedule: Schedule, eps: Eps, x: np.ndarray, noise: np.ndarray, betas: np.ndarray, steps: int
) -> Iterator[Step]:
    """From noise to a clean sample, `noise` being the fresh noise of each step.

    The samples are as the sampler has them, those of noise levels not scaled.

    Raises DomainError for a file of another network, and ConfigError for steps it does not have.
    """
    check(schedule, betas)
    chain, table = Levels(eps, betas), schedules.shares(schedule, betas)
    told = schedules.told(schedule, steps, table)
    clean = x

    def noise_of(x: np.ndarray, t: float) -> np.ndarray:
        nonlocal clean
        found, sigma = eps(x, t), np.interp(t, np.arange(len(table)), chain.sigmas)
        clean = x * np.sqrt(1 + sigma**2) - sigma * found
        return found

    def velocity(x: np.ndarray, t: float) -> np.ndarray:
        """Of a flow at its times, asked of the network at the nearest level it has."""
        t = t / schedule.settings["num_train_timesteps"]
        noise_of(x / np.hypot(t, 1 - t), chain.time(t / max(1 - t, np.finfo(float).tiny)))
        return (x - clean) / t

    network = velocity if schedule.kind == FLOW else noise_of
    visited = schedules.steps_of(schedules.loop(schedule, steps, x, noise, table, network))
    for t, reached in zip([*told[1:], -1], visited, strict=True):
        yield Step(round(t), reached, clean)


def check(schedule: Schedule, betas: np.ndarray) -> None:
    """Raise DomainError for a file that does not belong to a network of noise with these betas."""
    if schedule.kind == FLOW:
        return
    kind = schedule.settings["prediction_type"]
    if kind != "epsilon":
        raise DomainError(f"sample: prediction_type is {kind!r}, the network predicts 'epsilon'")
    given = schedules.betas(schedule)
    if not np.array_equal(given, betas):
        its, ours = (
            f"{len(b)} betas, {b[0]:.5g} to {b[-1]:.5g} with {b[len(b) // 2]:.5g} in the middle"
            for b in (given, betas)
        )
        raise DomainError(f"sample: {schedule.kind} has {its}; the network was trained with {ours}")
