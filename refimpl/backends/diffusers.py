"""diffusers: its schedulers, embeddings, normalisation and guidance; its whole models.

A scheduler is made of the given variances, or has its table `alphas_cumprod` replaced by the given
one. It steps a whole batch at one time, so samples of different times are stepped one by one.
"""

from __future__ import annotations

import warnings
from unittest import mock

import diffusers
import torch
from diffusers.guiders import ClassifierFreeGuidance
from diffusers.models.activations import FP32SiLU
from diffusers.models.embeddings import get_timestep_embedding
from diffusers.models.normalization import FP32LayerNorm, RMSNorm
from diffusers.schedulers import scheduling_ddim, scheduling_ddpm

from refimpl.backends.tensors import on_tensors as _on_tensors

VERSION = diffusers.__version__
PRECISIONS = ("float64", "float32", "bfloat16", "float16")
_FLOAT32 = ("linear_schedule", "scaled_linear_schedule", "cosine_schedule", "alpha_bar")
_TABLES = ("fixed_small_log_variance", "fixed_large_log_variance")
SUPPORTS = {
    **dict.fromkeys(
        (*_FLOAT32, *_TABLES, "linspace_timesteps"), ("float32",)
    ),  # tables are float32, and say so
    **dict.fromkeys(
        ("q_posterior", "learned_range_log_variance", "layer_norm", "silu", "euler_step"),
        ("float32", "bfloat16", "float16"),
    ),
    **dict.fromkeys(("respaced_timesteps", "p_sample"), ("float64", "float32")),
}
_DDPM, _DDIM = scheduling_ddpm.DDPMScheduler, scheduling_ddim.DDIMScheduler
_OFFSET = 0.008  # of the cosine schedule, a constant there


def record(config, seed):
    """The whole model of this configuration's sizes, with random weights."""
    from refimpl.backends.parts import diffusers_models

    return diffusers_models.record(config, seed)


def scheduled(settings, steps, x, noise, slope, offset):
    """The table, times and samples of a scheduler of this configuration."""
    from refimpl.backends.parts import diffusers_schedulers

    return diffusers_schedulers.scheduled(settings, steps, x, noise, slope, offset)


# Layers


@_on_tensors
def layer_norm(x, gain, bias, eps):
    """FP32LayerNorm"""
    layer = FP32LayerNorm(len(gain), eps=eps).to(x.dtype)
    layer.load_state_dict({"weight": gain, "bias": bias})
    return layer(x)


@_on_tensors
def rms_norm(x, gain, eps):
    """RMSNorm"""
    layer = RMSNorm(len(gain), eps=eps).to(x.dtype)
    layer.load_state_dict({"weight": gain})
    return layer(x)


@_on_tensors
def silu(x):
    """FP32SiLU"""
    return FP32SiLU()(x)


@_on_tensors
def timestep_embedding(t, half):
    """get_timestep_embedding(flip_sin_to_cos=True, downscale_freq_shift=0)"""
    return get_timestep_embedding(t, 2 * half, flip_sin_to_cos=True, downscale_freq_shift=0)


# Schedules


def _made(steps, beta_start, beta_end, kind):
    scheduler = _DDPM(steps, beta_start=beta_start, beta_end=beta_end, beta_schedule=kind)
    return scheduler.betas


@_on_tensors
def linear_schedule(steps, beta_start, beta_end):
    """DDPMScheduler(beta_schedule="linear").betas"""
    return _made(steps, beta_start, beta_end, "linear")


@_on_tensors
def scaled_linear_schedule(steps, beta_start, beta_end):
    """DDPMScheduler(beta_schedule="scaled_linear").betas"""
    return _made(steps, beta_start, beta_end, "scaled_linear")


@_on_tensors
def cosine_schedule(steps, offset, beta_max):
    """betas_for_alpha_bar"""
    if offset != _OFFSET:
        raise NotImplementedError(f"knows the offset {_OFFSET} alone")
    return scheduling_ddpm.betas_for_alpha_bar(steps, max_beta=beta_max)


@_on_tensors
def alpha_bar(betas):
    """DDPMScheduler(trained_betas=betas).alphas_cumprod"""
    return _DDPM(len(betas), trained_betas=betas.tolist()).alphas_cumprod


@_on_tensors
def zero_terminal_snr(betas):
    """rescale_zero_terminal_snr"""
    return scheduling_ddim.rescale_zero_terminal_snr(betas)


@_on_tensors
def respaced_timesteps(steps, counts):
    """DDPMScheduler(timestep_spacing="linspace").set_timesteps"""
    if len(counts) != 1 or not counts[0]:
        raise NotImplementedError("one section, of one time at least")
    scheduler = _DDPM(steps, timestep_spacing="linspace")
    scheduler.set_timesteps(int(counts[0]))
    return scheduler.timesteps.flip(0)


def _times(steps, levels, **settings):
    scheduler = _DDIM(steps, **settings)
    scheduler.set_timesteps(levels)
    return scheduler.timesteps


@_on_tensors
def leading_timesteps(steps, levels, offset):
    """DDIMScheduler(timestep_spacing="leading").set_timesteps"""
    return _times(steps, levels, timestep_spacing="leading", steps_offset=offset)


@_on_tensors
def linspace_timesteps(steps, levels):
    """EulerDiscreteScheduler(timestep_spacing="linspace").set_timesteps"""
    scheduler = diffusers.EulerDiscreteScheduler(int(steps), timestep_spacing="linspace")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a tensor read by NumPy, its table
        scheduler.set_timesteps(levels)
    return scheduler.timesteps


@_on_tensors
def trailing_timesteps(steps, levels):
    """DDIMScheduler(timestep_spacing="trailing").set_timesteps"""
    return _times(steps, levels, timestep_spacing="trailing")


# Noise, and what is predicted


def _with_table(alpha_bar, **settings):
    """A scheduler of this table; its variances are not asked."""
    scheduler = _DDPM(len(alpha_bar), clip_sample=False, **settings)
    scheduler.alphas_cumprod = alpha_bar
    return scheduler


def _one_by_one(step, samples, times, *others):
    """Each sample alone, as a batch of one, at its own time."""
    each = [
        step(x[None], int(t), *(other[None] for other in rest))
        for x, t, *rest in zip(samples, times, *others, strict=True)
    ]
    return torch.cat(each) if each else samples.clone()


@_on_tensors
def q_sample(x_start, t, noise, alpha_bar):
    """DDPMScheduler.add_noise"""
    return _with_table(alpha_bar).add_noise(x_start, noise, t)


@_on_tensors
def velocity(x_start, t, noise, alpha_bar):
    """DDPMScheduler.get_velocity"""
    return _with_table(alpha_bar).get_velocity(x_start, noise, t)


def _clean(x_t, t, predicted, alpha_bar, kind):
    scheduler = _with_table(alpha_bar, prediction_type=kind)

    def step(x, time, output):
        return scheduler.step(output, time, x).pred_original_sample

    return _one_by_one(step, x_t, t, predicted)


@_on_tensors
def x0_from_eps(x_t, t, eps, alpha_bar):
    """DDPMScheduler.step(...).pred_original_sample"""
    return _clean(x_t, t, eps, alpha_bar, "epsilon")


@_on_tensors
def x0_from_v(x_t, t, v, alpha_bar):
    """DDPMScheduler(prediction_type="v_prediction").step(...).pred_original_sample"""
    return _clean(x_t, t, v, alpha_bar, "v_prediction")


@_on_tensors
def dynamic_threshold(x_start, quantile):
    """DDPMScheduler(thresholding=True, sample_max_value=inf).step(...).pred_original_sample"""
    scheduler = _DDPM(
        prediction_type="sample",
        thresholding=True,
        dynamic_thresholding_ratio=quantile,
        sample_max_value=float("inf"),
    )
    images = x_start[..., None]  # of two axes a batch has too few
    return scheduler.step(images, 0, images).pred_original_sample[..., 0]


# Reverse steps


def _with_betas(betas, **settings):
    return _DDPM(len(betas), trained_betas=betas.tolist(), clip_sample=False, **settings)


def _step(scheduler, output, time, x, noise):
    """One step that takes this noise instead of drawing some."""
    with mock.patch.object(scheduling_ddpm, "randn_tensor", return_value=noise):
        return scheduler.step(output, time, x).prev_sample


@_on_tensors
def q_posterior(x_start, x_t, t, betas):
    """DDPMScheduler(prediction_type="sample").step without noise, and its _get_variance"""
    scheduler = _with_betas(betas, prediction_type="sample")

    def mean(x, time, start):
        return _step(scheduler, start, time, x, torch.zeros_like(x))

    def variance(x, time):
        return scheduler._get_variance(time).expand(x.shape)

    variances = _one_by_one(variance, x_t, t)
    return _one_by_one(mean, x_t, t, x_start), variances, variances.log()


def _log_variances(betas, kind):
    scheduler = _with_betas(betas, variance_type=kind)
    return torch.stack([scheduler._get_variance(t) for t in range(len(betas))]).log()


@_on_tensors
def fixed_small_log_variance(betas):
    """DDPMScheduler(variance_type="fixed_small")._get_variance"""
    return _log_variances(betas, "fixed_small")


@_on_tensors
def fixed_large_log_variance(betas):
    """DDPMScheduler(variance_type="fixed_large")._get_variance"""
    return _log_variances(betas, "fixed_large")


@_on_tensors
def learned_range_log_variance(v, t, betas):
    """DDPMScheduler(variance_type="learned_range")._get_variance"""
    scheduler = _with_betas(betas, variance_type="learned_range")
    return _one_by_one(lambda v, time: scheduler._get_variance(time, v), v, t)


@_on_tensors
def p_sample(x_t, t, eps, noise, betas, log_variance, clip):
    """DDPMScheduler(variance_type="learned").step"""
    limits = {"clip_sample": True, "clip_sample_range": clip}
    scheduler = _DDPM(len(betas), trained_betas=betas.tolist(), variance_type="learned", **limits)
    variance = log_variance.exp().expand(x_t.shape)

    def step(x, time, output, z, learned):
        return _step(scheduler, torch.cat((output, learned), dim=1), time, x, z)

    return _one_by_one(step, x_t, t, eps, noise, variance)


@_on_tensors
def ddim_step(x_t, t, t_prev, eps, noise, alpha_bar, eta):
    """DDIMScheduler.step"""

    def step(x, time, before, output, z):
        scheduler = _DDIM(time - int(before), clip_sample=False)
        scheduler.set_timesteps(1)  # one step of the given length
        scheduler.alphas_cumprod = alpha_bar
        return scheduler.step(output, time, x, eta=eta, variance_noise=z).prev_sample

    return _one_by_one(step, x_t, t, t_prev, eps, noise)


# Samplers in the space of noise levels


def _between(kind, x, levels, **settings):
    """A scheduler that stands before a step between given levels."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # tensors that NumPy copies
        scheduler = kind(**settings)
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    scheduler.sigmas = torch.tensor(levels, dtype=dtype)
    scheduler._step_index, scheduler.is_scale_input_called = 0, True
    return scheduler


@_on_tensors
def euler_step(x, denoised, sigma, sigma_next):
    """EulerDiscreteScheduler(prediction_type="sample").step"""
    scheduler = _between(
        diffusers.EulerDiscreteScheduler, x, (sigma, sigma_next), prediction_type="sample"
    )
    return scheduler.step(denoised, 0.0, x).prev_sample


@_on_tensors
def heun_step(x, denoised, denoised_next, sigma, sigma_next):
    """HeunDiscreteScheduler(prediction_type="sample").step, twice"""
    scheduler = _between(
        diffusers.HeunDiscreteScheduler, x, (sigma, sigma_next), prediction_type="sample"
    )
    ahead = scheduler.step(denoised, 0.0, x).prev_sample
    return scheduler.step(denoised_next, 0.0, ahead).prev_sample


@_on_tensors
def dpm_solver_step(x, denoised, denoised_before, sigma_before, sigma, sigma_next):
    """DPMSolverMultistepScheduler.multistep_dpm_solver_second_order_update"""
    levels = sigma_before, sigma, sigma_next
    scheduler = _between(diffusers.DPMSolverMultistepScheduler, x, levels)
    scheduler._step_index = 1
    scaled = x / (1 + sigma**2) ** 0.5
    update = scheduler.multistep_dpm_solver_second_order_update
    return update([denoised_before, denoised], sample=scaled) * (1 + sigma_next**2) ** 0.5


@_on_tensors
def plms_eps(history):
    """PNDMScheduler.step_plms, without the step"""
    scheduler = diffusers.PNDMScheduler(skip_prk_steps=True)
    scheduler.set_timesteps(4)
    scheduler.counter = len(history) - 1 if len(history) == 1 else 4
    newest, *older = history
    scheduler.ets = older[::-1]
    with mock.patch.object(scheduler, "_get_prev_sample", lambda x, t, before, eps: eps):
        return scheduler.step_plms(newest, 500, newest).prev_sample


@_on_tensors
def ddim_inversion(x, t_next, t, eps, alpha_bar):
    """DDIMInverseScheduler.step"""

    def step(x, time, before, output):
        scheduler = diffusers.DDIMInverseScheduler(1, clip_sample=False)
        scheduler.num_inference_steps = len(alpha_bar)  # of steps of the given length
        scheduler.register_to_config(num_train_timesteps=(time - int(before)) * len(alpha_bar))
        scheduler.alphas_cumprod = alpha_bar
        return scheduler.step(output, time, x).prev_sample

    return _one_by_one(step, x, t_next, t, eps)


# Guidance


@_on_tensors
def classifier_free_guidance(eps_uncond, eps_cond, scale):
    """ClassifierFreeGuidance"""
    return ClassifierFreeGuidance(guidance_scale=scale).forward(eps_cond, eps_uncond).pred
