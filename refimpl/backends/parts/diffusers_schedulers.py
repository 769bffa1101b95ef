"""Samplers of diffusers, made of a configuration and run to the end."""

from __future__ import annotations

import inspect
from unittest import mock

import diffusers
import torch
from diffusers.schedulers import scheduling_ddpm

from refimpl.backends.tensors import read, write


def scheduled(settings, steps, x, noise, slope, offset):
    """The table, the times, and the samples after each answer of a network of lines."""
    scheduler = getattr(diffusers, settings["_class_name"]).from_config(settings)
    scheduler.set_timesteps(steps)
    x, noise, slope, offset = (read(given) for given in (x, noise, slope, offset))
    given: dict[str, float] = {"return_dict": False}
    if "eta" in inspect.signature(scheduler.step).parameters:
        given["eta"] = 0.0
    reached = []
    for i, t in enumerate(scheduler.timesteps):
        output = slope[t] * x + offset[t]
        fresh = noise[min(i, len(noise) - 1)]
        with mock.patch.object(scheduling_ddpm, "randn_tensor", return_value=fresh):
            x = scheduler.step(output, t, x, **given)[0]
        reached.append(x)
    times = torch.unique_consecutive(torch.as_tensor(scheduler.timesteps))
    found = {"betas": scheduler.betas, "alpha_bar": scheduler.alphas_cumprod, "timesteps": times}
    return {
        name: write(tensor) for name, tensor in {**found, "samples": torch.stack(reached)}.items()
    }
