"""Systems that make pictures of words: each is a module with a `SYSTEM`, found by its name."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from refimpl.models.sampling import Step
from refimpl.models.schedules import Schedule
from refimpl.op import DomainError

MODULES = {  # the first one is taken where none is said
    "guided-diffusion": "guided_diffusion",
    "stable-diffusion": "stable_diffusion",
    "vqgan-clip": "vqgan_clip",
    "dalle2": "dalle2",
    "imagen": "imagen",
}
MOST = 1000  # pictures at once

Walk = Callable[[str, str, float, int, str, int, int], Iterator[Step]]


@dataclass(frozen=True)
class Asked:
    """What a system is asked for, every choice made."""

    text: str
    guidance: str
    scale: float
    steps: int
    sampler: str
    seed: int
    count: int
    schedule: Schedule | None = None  # what a file says of the sampler


Explain = Callable[[Asked, np.ndarray, str], str]
Configured = Callable[[Asked, Schedule], Iterator[Step]]


@dataclass(frozen=True)
class System:
    """A way from words to pictures.

    `walk(text, guidance, scale, steps, sampler, seed, count)` yields every step, `x` being the
    pictures, B channels height width in [-1, 1], and `x_start` what they are to become. `scales`
    has for each guidance the scale that is taken where none is said. Of guidances and samplers the
    first is taken where none is said. `explain(asked, pictures, words)` makes an HTML page on how
    they came about. `configured(asked, schedule)` walks as a configuration file says.
    """

    walk: Walk
    scales: Mapping[str, float]
    samplers: tuple[str, ...]
    steps: int
    most: int  # steps
    explain: Explain | None = None
    configured: Configured | None = None


def system(name: str) -> System:
    """The system of this name.

    Raises DomainError where there is none.

    >>> system("guided-diffusion").samplers
    ('ddim', 'ddpm')
    """
    if name not in MODULES:
        known = ", ".join(MODULES)
        raise DomainError(f"sample: system is {name!r}, expected one of {known}")
    found: System = importlib.import_module(f"{__name__}.{MODULES[name]}").SYSTEM
    return found


def asked(
    name: str,
    text: str,
    guidance: str | None = None,
    scale: float | None = None,
    steps: int | None = None,
    sampler: str | None = None,
    seed: int = 0,
    count: int = 16,
    schedule: Schedule | None = None,
) -> Asked:
    """What a system is asked for; what is None is as the system has it.

    Raises DomainError for a number or a choice outside what the system has.
    """
    chosen = system(name)
    guidance = next(iter(chosen.scales)) if guidance is None else guidance
    scale = chosen.scales.get(guidance, 0.0) if scale is None else scale
    steps = chosen.steps if steps is None else steps
    if schedule and chosen.configured is None:
        able = ", ".join(each for each in MODULES if system(each).configured)
        raise DomainError(f"sample: a configured sampler is for {able}, not for {name}")
    if schedule and sampler:
        raise DomainError("sample: give a sampler or its configuration")
    sampler = schedule.kind if schedule else sampler or chosen.samplers[0]
    whole = Asked(text, guidance, scale, steps, sampler, seed, count, schedule)
    _check(chosen, whole)
    return whole


def sample(name: str, what: Asked) -> Iterator[Step]:
    """Pictures by a system; every step of the walk is yielded.

    Raises TextError for a word that the system does not know.
    """
    chosen = system(name)
    if what.schedule and chosen.configured:
        return chosen.configured(what, what.schedule)
    return chosen.walk(
        what.text, what.guidance, what.scale, what.steps, what.sampler, what.seed, what.count
    )


def _check(chosen: System, what: Asked) -> None:
    wrong = ""
    if what.guidance not in chosen.scales:
        wrong = f"guidance is {what.guidance!r}, expected one of {', '.join(chosen.scales)}"
    elif not what.schedule and what.sampler not in chosen.samplers:
        wrong = f"sampler is {what.sampler!r}, expected one of {', '.join(chosen.samplers)}"
    elif not 0 <= what.scale < math.inf:
        wrong = f"scale is {what.scale}, expected a finite number, at least 0"
    elif not 2 <= what.steps <= chosen.most:
        wrong = f"steps is {what.steps}, expected 2 to {chosen.most}"
    elif not 0 <= what.seed < 2**64:
        wrong = f"seed is {what.seed}, expected 0 to 2^64 - 1"
    elif not 1 <= what.count <= MOST:
        wrong = f"count is {what.count}, expected 1 to {MOST}"
    if wrong:
        raise DomainError(f"sample: {wrong}")
