"""Samplers as a configuration file of diffusers describes them: their table, times and loop.

`read` says what a file asks for, and refuses by name what cannot be said here. `run` walks from
noise to samples with any network; the same lines, on error-carrying numbers, judge a library.
"""

from refimpl.models.schedules.files import (
    VALUES,
    ConfigError,
    Schedule,
    conflicts,
    read,
    slips,
)
from refimpl.models.schedules.spacing import (
    FLOW,
    before,
    beta_text,
    betas,
    follows_levels,
    in_levels,
    levels,
    shares,
    times,
    times_of,
    whole,
)
from refimpl.models.schedules.walks import loop, run, steps_of, told

__all__ = [
    "FLOW",
    "VALUES",
    "ConfigError",
    "Schedule",
    "before",
    "beta_text",
    "betas",
    "conflicts",
    "follows_levels",
    "in_levels",
    "levels",
    "loop",
    "read",
    "run",
    "shares",
    "slips",
    "steps_of",
    "times",
    "times_of",
    "told",
    "whole",
]
