"""Samplers of diffusers, made of a configuration and run to the end."""

from __future__ import annotations

import contextlib
import inspect
import sys
from unittest import mock

import diffusers
import torch

from refimpl.backends.tensors import read, write


def scheduled(settings, steps, x, noise, slope, offset):
    """The tables, the times, and the samples after each answer of a network of lines."""
    scheduler = getattr(diffusers, settings["_class_name"]).from_config(settings)
    scheduler.set_timesteps(steps)
    x, noise, slope, offset = (read(given) for given in (x, noise, slope, offset))
    given: dict[str, float] = {"return_dict": False}
    if "eta" in inspect.signature(scheduler.step).parameters:
        given["eta"] = 0.0
    x = x * getattr(scheduler, "init_noise_sigma", 1.0)
    reached = []
    for i, t in enumerate(scheduler.timesteps):
        seen = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
        output = line(slope, t) * seen + line(offset, t)
        fresh = noise[min(i, len(noise) - 1)]
        with noise_is(scheduler, fresh):
            x = scheduler.step(output, t, x, **given)[0]
        reached.append(x)
    return {name: write(tensor) for name, tensor in listed(scheduler).items()} | {
        "samples": write(torch.stack(reached))
    }


def line(values, t):
    """What lies at a time, on a straight line between whole ones."""
    low = min(int(t), len(values) - 2)
    return values[low] + (t - low) * (values[low + 1] - values[low])


def noise_is(scheduler, fresh):
    """Have a step draw such noise, if it draws any."""
    module = sys.modules[type(scheduler).__module__]
    if not hasattr(module, "randn_tensor"):
        return contextlib.nullcontext()
    return mock.patch.object(module, "randn_tensor", return_value=fresh)


def listed(scheduler):
    """The tables, and the levels and the times once each."""
    times = torch.as_tensor(scheduler.timesteps)
    found = {"timesteps": torch.unique_consecutive(times)}
    if hasattr(scheduler, "alphas_cumprod"):
        found |= {"betas": scheduler.betas, "alpha_bar": scheduler.alphas_cumprod}
    if hasattr(scheduler, "sigmas"):
        inner = scheduler.sigmas[1:-1]
        inner = inner[::2] if scheduler.order == 2 else inner  # both phases of a step have theirs
        found["sigmas"] = torch.cat((scheduler.sigmas[:1], inner, scheduler.sigmas[-1:]))
    return found
