"""What was found in diffusers' flows, PLMS and prior; `python examples/found NAME` prints it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

Pair = tuple[str, object, object]  # what is looked at, what the library gives, what is right


def flow_shifted_twice() -> Iterator[Pair]:
    """diffusers: the last time of a flow is shifted as the table is made, and once more."""
    from diffusers import FlowMatchEulerDiscreteScheduler

    def shifted(time: float) -> float:
        return 3 * time / (1 + 2 * time)

    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    scheduler.set_timesteps(4)
    for i, time in enumerate(np.linspace(1, 1 / 1000, 4)):
        got = round(scheduler.sigmas[i].item(), 6)
        yield f"time {i} of four, shifted by 3", got, round(shifted(time), 6)


def plms_velocity() -> Iterator[Pair]:
    """diffusers: PLMS combines velocities of several times and takes the sum for one of now."""
    from diffusers import PNDMScheduler

    for kind in ("epsilon", "v_prediction"):
        scheduler = PNDMScheduler(skip_prk_steps=True, set_alpha_to_one=True, prediction_type=kind)
        scheduler.set_timesteps(10)
        shares = scheduler.alphas_cumprod.double()
        x = shares[scheduler.timesteps[0]].sqrt().reshape(1)  # the sample 1, without noise
        for t in scheduler.timesteps:
            velocity = -(1 - shares[t]).sqrt().reshape(1)
            x = scheduler.step(0 * x if kind == "epsilon" else velocity, t, x).prev_sample
        yield f"the sample 1 behind ten steps, {kind}", round(x.item(), 4), 1.0


def dpm_times_cut() -> Iterator[Pair]:
    """diffusers: DPM-Solver++ cuts the times of exponential levels off to whole ones."""
    from diffusers import DPMSolverMultistepScheduler

    ends = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    scheduler = DPMSolverMultistepScheduler(use_exponential_sigmas=True, **ends)
    scheduler.set_timesteps(10)
    shares = scheduler.alphas_cumprod.double().numpy()
    chain = np.log((1 - shares) / shares) / 2
    levels = scheduler.sigmas[:-1].double().log().numpy()
    exact = np.interp(levels, chain, np.arange(1000))
    for i in (0, 2, 8):
        got = int(scheduler.timesteps[i])
        yield f"the time of level {i}, which is {exact[i]:.2f}", got, round(exact[i])


def dpm_cosine_levels() -> Iterator[Pair]:
    """diffusers: two equal times at the beginning, and the walk runs off the end of its levels."""
    import torch
    from diffusers import DPMSolverMultistepScheduler

    for schedule in ("linear", "squaredcos_cap_v2"):
        scheduler = DPMSolverMultistepScheduler(use_karras_sigmas=True, beta_schedule=schedule)
        scheduler.set_timesteps(10)
        x, walked = torch.zeros(1, 1, 1, 1), 0
        try:
            for t in scheduler.timesteps:
                x, walked = scheduler.step(x, t, x).prev_sample, walked + 1
        except IndexError:
            pass
        yield f"steps of ten that are walked, {schedule}", walked, 10


def prior_without_mask() -> Iterator[Pair]:
    """diffusers: the prior is causal only where a mask is given, though it hides nothing."""
    import torch

    from refimpl.backends.hooks import allow_broken_torchvision

    allow_broken_torchvision()
    from diffusers import PriorTransformer

    torch.manual_seed(0)
    sizes = {"num_attention_heads": 2, "attention_head_dim": 8, "num_layers": 2}
    prior = PriorTransformer(embedding_dim=8, num_embeddings=7, **sizes).eval()
    given = torch.randn(1, 8), 5, torch.randn(1, 8), torch.randn(1, 7, 8)
    with torch.no_grad():
        without = prior(*given).predicted_image_embedding
        seen = prior(*given, attention_mask=torch.ones(1, 7, dtype=torch.bool))
    apart = (seen.predicted_image_embedding - without).abs().max().item()
    yield "how much a mask that hides nothing changes", round(apart, 4), 0.0


FOUND = {
    f.__name__: f
    for f in (
        flow_shifted_twice,
        plms_velocity,
        dpm_times_cut,
        dpm_cosine_levels,
        prior_without_mask,
    )
}
