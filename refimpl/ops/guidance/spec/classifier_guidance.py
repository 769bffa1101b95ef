"""What is known about classifier guidance: laws, probes, mistakes and dialects."""

import numpy as np

from refimpl.op import Edit, Law, Op, Probe, values
from refimpl.ops.common import cosines, samples
from refimpl.ops.diffusion import reference as diffusion
from refimpl.ops.guidance import reference as text
from refimpl.ops.guidance.spec.shared import S

C = cosines(1, 4)


def linear_chain():
    return diffusion.alpha_bar(diffusion.linear_schedule(1000, 1e-4, 0.02))


def mean_tilts_the_gaussian(f, mean, variance, gradient, scale):
    if values(variance).all():
        guided = f(mean, variance, gradient, scale)

        def log_of_quotient(x):
            tilted = scale * gradient * x - (x - mean) ** 2 / (2 * variance)
            return tilted + (x - guided) ** 2 / (2 * variance)

        yield log_of_quotient(0 * mean), log_of_quotient(0 * mean + 1)


def mean_zero_scale(f, mean, variance, gradient, scale):
    yield f(mean, variance, gradient, 0.0), mean


def mean_scales_add(f, mean, variance, gradient, scale):
    once = f(mean, variance, gradient, scale)
    yield f(once, variance, gradient, scale), f(mean, variance, gradient, 2 * scale)


def mean_certain_step(f, mean, variance, gradient, scale):
    yield f(mean, 0 * variance, gradient, scale), mean


def mean_unit_gaussian_is_the_score_in_pure_noise(f, mean, variance, gradient, scale):
    t, nothing = np.zeros(len(mean), int), np.zeros(1)
    by_score = text.classifier_guidance_score(-mean, gradient, t, nothing, scale)
    yield f(mean, 0 * variance + 1, gradient, scale), -by_score


def mean_samples_are_independent(f, mean, variance, gradient, scale):
    whole = f(mean, variance, gradient, scale)
    yield f(mean[1:], variance[1:], gradient[1:], scale), whole[1:]


CLASSIFIER_GUIDANCE = Op(
    text.classifier_guidance,
    laws=(
        Law("is the mean of the Gaussian times exp(gradient · x)", mean_tilts_the_gaussian),
        Law("a scale of 0 changes nothing", mean_zero_scale),
        Law("guiding twice is guiding with twice the scale", mean_scales_add),
        Law("a step of variance 0 stays as it is", mean_certain_step),
        Law(
            "with unit variance it is guidance of the score in pure noise",
            mean_unit_gaussian_is_the_score_in_pure_noise,
        ),
        Law("samples are independent", mean_samples_are_independent),
    ),
    probes=(
        Probe(
            "a late step of the linear schedule, small variances, scale 10",
            lambda: {
                "mean": samples(1, (3, 4)),
                "variance": np.array([[1e-4], [0.01], [0.02]]) * np.ones(4),
                "gradient": 30 * samples(2, (3, 4)),
                "scale": 10.0,
            },
        ),
        Probe(
            "step 500 of the linear schedule, printed digits",
            lambda: {
                "mean": np.array([[0.4414983, 5.29e-6, -0.4443041, -0.4779970]]),
                "variance": np.full((1, 4), 0.01005995996),
                "gradient": np.array([[-0.3977944, 2.5184262, 3.1192174, 0.8522145]]),
                "scale": 2.0,
            },
        ),
        Probe(
            "no variance",
            lambda: {"mean": S, "variance": 0 * S, "gradient": 100 * C, "scale": 7.5},
        ),
    ),
    mistakes=(
        Edit(
            "classifier_guidance/standard-deviation",
            "multiplies the gradient by the standard deviation instead of the variance",
            "scale * variance * gradient",
            "scale * np.sqrt(variance) * gradient",
            effect="guidance is far too strong in the last, small steps",
            source="https://github.com/huggingface/diffusers/pull/884",
            invisible_when="the variance is 0 or 1",
        ),
        Edit(
            "classifier_guidance/log-variance",
            "multiplies by the logarithm of the variance, as networks give it",
            "scale * variance * gradient",
            "scale * np.log(variance) * gradient",
            effect="small variances push strongly, and away from the label",
        ),
        Edit(
            "classifier_guidance/batch-mean-gradient",
            "takes the gradient of the mean over the batch instead of the sum",
            "* gradient",
            "* gradient / max(len(gradient), 1)",
            effect="guidance weakens as the batch grows",
            source="https://github.com/openai/guided-diffusion/issues/51",
            invisible_when="the batch has one sample",
        ),
        Edit(
            "classifier_guidance/loss-gradient",
            "adds the gradient of the loss instead of the log probability",
            "mean + scale",
            "mean - scale",
            effect="the label is avoided",
            invisible_when="the scale is 0",
        ),
        Edit(
            "classifier_guidance/one-variance-for-all",
            "uses the first sample's variance for the whole batch",
            "scale * variance * gradient",
            "scale * variance[:1] * gradient",
            effect="samples at other times are guided too much or too little",
            invisible_when="all samples are at one time and the variance is fixed",
        ),
        Edit(
            "classifier_guidance/scale-in-the-variance",
            "multiplies by the square of the scale",
            "scale * variance",
            "scale**2 * variance",
            effect="guidance grows with the square of the scale",
            invisible_when="the scale is 0 or 1",
        ),
    ),
    dialects=(
        Edit(
            "classifier_guidance/plain-gradient",
            "planning models may add the gradient without the variance",
            "scale * variance * gradient",
            "scale * gradient",
            source="https://github.com/huggingface/diffusers/pull/884",
        ),
    ),
)


def noise_adds_to_the_score(f, eps, gradient, t, alpha_bar, scale):
    guided = diffusion.score_from_eps(f(eps, gradient, t, alpha_bar, scale), t, alpha_bar)
    yield guided, diffusion.score_from_eps(eps, t, alpha_bar) + scale * gradient


def noise_moves_the_clean_sample(f, eps, gradient, t, alpha_bar, scale):
    share = diffusion.at(alpha_bar, t, eps)
    if np.min(values(share), initial=1) > 1e-12:
        x_t = gradient + eps
        guided = f(eps, gradient, t, alpha_bar, scale)
        x_start = diffusion.x0_from_eps(x_t, t, eps, alpha_bar)
        variance = (1 - share) / np.sqrt(share) * np.ones(eps.shape)
        yield (
            diffusion.x0_from_eps(x_t, t, guided, alpha_bar),
            text.classifier_guidance(x_start, variance, gradient, scale),
        )


def noise_zero_scale(f, eps, gradient, t, alpha_bar, scale):
    yield f(eps, gradient, t, alpha_bar, 0.0), eps


def noise_scales_add(f, eps, gradient, t, alpha_bar, scale):
    once = f(eps, gradient, t, alpha_bar, scale)
    twice = f(once, gradient, t, alpha_bar, scale)
    yield twice, f(eps, gradient, t, alpha_bar, 2 * scale)


def noise_at_both_ends(f, eps, gradient, t, alpha_bar, scale):
    yield f(eps, gradient, t, 0 * alpha_bar, scale), eps - scale * gradient
    yield f(eps, gradient, t, 0 * alpha_bar + 1, scale), eps


def noise_each_sample_has_its_time(f, eps, gradient, t, alpha_bar, scale):
    whole = f(eps, gradient, t, alpha_bar, scale)
    yield f(eps[::-1], gradient[::-1], t[::-1], alpha_bar, scale), whole[::-1]


CLASSIFIER_GUIDANCE_SCORE = Op(
    text.classifier_guidance_score,
    laws=(
        Law("the scaled gradient is added to the score", noise_adds_to_the_score),
        Law(
            "the predicted clean sample moves by (1 - ᾱ)/√ᾱ times the gradient",
            noise_moves_the_clean_sample,
        ),
        Law("a scale of 0 changes nothing", noise_zero_scale),
        Law("guiding twice is guiding with twice the scale", noise_scales_add),
        Law("at ᾱ = 0 the whole gradient is subtracted, at ᾱ = 1 none", noise_at_both_ends),
        Law("each sample uses its own t", noise_each_sample_has_its_time),
    ),
    probes=(
        Probe(
            "first, middle and last time of the linear schedule",
            lambda: {
                "eps": samples(3, (3, 4)),
                "gradient": 10 * samples(4, (3, 4)),
                "t": np.array([0, 500, 999]),
                "alpha_bar": linear_chain(),
                "scale": 10.0,
            },
        ),
        Probe(
            "half signal, half noise",
            lambda: {
                "eps": S,
                "gradient": C,
                "t": np.array([1]),
                "alpha_bar": np.array([1.0, 0.5, 0.0]),
                "scale": 2.0,
            },
        ),
    ),
    mistakes=(
        Edit(
            "classifier_guidance_score/sign-flipped",
            "adds the gradient to the noise, as if noise were the score",
            "eps - np.sqrt",
            "eps + np.sqrt",
            effect="the label is avoided",
            source="https://github.com/Yukun66/Video_Director/issues/6",
            invisible_when="the scale is 0",
        ),
        Edit(
            "classifier_guidance_score/no-root-factor",
            "subtracts the scaled gradient without the factor √(1 - ᾱ)",
            "np.sqrt(1 - at(alpha_bar, t, eps)) * (scale * gradient)",
            "scale * gradient",
            effect="guidance is too strong at early times",
            invisible_when="nearly no signal is left",
        ),
        Edit(
            "classifier_guidance_score/root-of-signal",
            "multiplies by √ᾱ instead of √(1 - ᾱ)",
            "np.sqrt(1 - at(alpha_bar, t, eps))",
            "np.sqrt(at(alpha_bar, t, eps))",
            effect="guidance is strong at early times and vanishes at late ones",
            invisible_when="ᾱ is one half",
        ),
        Edit(
            "classifier_guidance_score/variance-instead-of-root",
            "multiplies by the variance 1 - ᾱ instead of its root",
            "np.sqrt(1 - at(alpha_bar, t, eps))",
            "(1 - at(alpha_bar, t, eps))",
            effect="guidance is too weak at early times",
            invisible_when="nearly no signal is left",
        ),
        Edit(
            "classifier_guidance_score/one-time-early",
            "uses ᾱ of t - 1",
            "at(alpha_bar, t, eps)",
            "at(alpha_bar, np.maximum(t - 1, 0), eps)",
            effect="guidance is slightly too weak, most at early times",
            invisible_when="t is 0",
        ),
        Edit(
            "classifier_guidance_score/one-time-for-all",
            "uses the first sample's time for the whole batch",
            "at(alpha_bar, t, eps)",
            "at(alpha_bar, t[:1], eps)",
            effect="samples at other times are guided too much or too little",
            invisible_when="all samples are at one time",
        ),
        Edit(
            "classifier_guidance_score/batch-mean-gradient",
            "takes the gradient of the mean over the batch instead of the sum",
            "(scale * gradient)",
            "(scale * gradient / max(len(gradient), 1))",
            effect="guidance weakens as the batch grows",
            source="https://github.com/openai/guided-diffusion/issues/51",
            invisible_when="the batch has one sample",
        ),
    ),
)


def velocity_of_the_noise(f, v, gradient, t, alpha_bar, scale):
    if np.all(values(alpha_bar)[t] > 0):
        x_t = v[..., ::-1]
        guided = f(v, gradient, t, alpha_bar, scale)
        before = diffusion.eps_from_v(x_t, t, v, alpha_bar)
        by_score = text.classifier_guidance_score(before, gradient, t, alpha_bar, scale)
        yield diffusion.eps_from_v(x_t, t, guided, alpha_bar), by_score


def velocity_zero_scale(f, v, gradient, t, alpha_bar, scale):
    yield f(v, gradient, t, alpha_bar, 0.0), v


def velocity_scales_add(f, v, gradient, t, alpha_bar, scale):
    once = f(v, gradient, t, alpha_bar, scale)
    yield f(once, gradient, t, alpha_bar, scale), f(v, gradient, t, alpha_bar, 2 * scale)


def velocity_of_clean_samples(f, v, gradient, t, alpha_bar, scale):
    yield f(v, gradient, t, 0 * alpha_bar + 1, scale), v


def velocity_of_pure_noise(f, v, gradient, t, alpha_bar, scale):
    yield f(v, gradient, t, 0 * alpha_bar, scale), v


def velocity_half_way(f, v, gradient, t, alpha_bar, scale):
    yield f(v, gradient, t, 0 * alpha_bar + 0.5, scale), v - scale * gradient


def velocity_samples_are_independent(f, v, gradient, t, alpha_bar, scale):
    whole = f(v, gradient, t, alpha_bar, scale)
    yield f(v[1:], gradient[1:], t[1:], alpha_bar, scale), whole[1:]


def velocities(*share):
    t = np.arange(len(share))
    shape = (len(share), 4)
    return {
        "v": samples(28, shape),
        "gradient": samples(29, shape),
        "t": t,
        "alpha_bar": np.array(share),
        "scale": 5.0,
    }


CLASSIFIER_GUIDANCE_VELOCITY = Op(
    text.classifier_guidance_velocity,
    laws=(
        Law(
            "the noise that it implies is that of classifier_guidance_score", velocity_of_the_noise
        ),
        Law("a scale of 0 changes nothing", velocity_zero_scale),
        Law("guiding twice is guiding with twice the scale", velocity_scales_add),
        Law("clean samples stay as they are", velocity_of_clean_samples),
        Law("pure noise is not guided", velocity_of_pure_noise),
        Law("half-way the factor is the scale", velocity_half_way),
        Law("samples are independent", velocity_samples_are_independent),
    ),
    probes=(
        Probe("early and late", lambda: velocities(0.99, 0.5, 0.04)),
        Probe("half-way and nothing left", lambda: velocities(0.5, 0.3, 0.0)),
    ),
    mistakes=(
        Edit(
            "classifier_guidance_velocity/sign",
            "adds the gradient of the log probability",
            "v - ratio",
            "v + ratio",
            effect="the label is avoided",
            invisible_when="the scale is 0",
        ),
        Edit(
            "classifier_guidance_velocity/factor-of-the-noise",
            "multiplies by σ, as for a predicted noise",
            "np.sqrt((1 - share) / np.where(share > 0, share, 1))",
            "np.sqrt(1 - share)",
            effect="guidance is too weak where there is much noise",
            invisible_when="there is little noise",
        ),
        Edit(
            "classifier_guidance_velocity/factor-turned-around",
            "multiplies by α/σ instead of σ/α",
            "(1 - share) / np.where(share > 0, share, 1)",
            "share / np.where(share < 1, 1 - share, 1)",
            effect="guidance is strongest on clean samples",
            invisible_when="signal and noise are equal",
        ),
        Edit(
            "classifier_guidance_velocity/no-root",
            "multiplies by σ²/α² instead of σ/α",
            "np.sqrt((1 - share) / np.where(share > 0, share, 1))",
            "(1 - share) / np.where(share > 0, share, 1)",
            effect="guidance is too strong where there is much noise",
            source="https://github.com/crowsonkb/k-diffusion/issues/20",
            invisible_when="signal and noise are equal",
        ),
        Edit(
            "classifier_guidance_velocity/no-factor",
            "subtracts the gradient without a factor",
            "ratio * (scale * gradient)",
            "scale * gradient",
            effect="clean samples are changed",
            invisible_when="signal and noise are equal",
        ),
        Edit(
            "classifier_guidance_velocity/batch-mean-gradient",
            "takes the gradient of the mean over the batch instead of the sum",
            "(scale * gradient)",
            "(scale * gradient) / max(len(v), 1)",
            effect="guidance weakens as the batch grows",
            source="https://github.com/openai/guided-diffusion/issues/51",
            invisible_when="the batch has one sample",
        ),
        Edit(
            "classifier_guidance_velocity/next-time",
            "uses ᾱ₀ for every time",
            "at(alpha_bar, t, v)",
            "at(alpha_bar, 0 * t, v)",
            effect="guidance is as weak at every time as in the last step",
            invisible_when="the time is 0",
        ),
    ),
)
