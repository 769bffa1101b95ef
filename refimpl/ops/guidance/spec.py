"""What is known about guidance: laws, probes, mistakes and dialects."""

import numpy as np

from refimpl.op import Edit, Law, Op, Probe, values
from refimpl.ops.diffusion import reference as diffusion
from refimpl.ops.guidance import reference as text

S = 0.8 * np.sin(np.arange(1, 5))[None]  # small formulas whose every digit can be printed
C = 0.5 * np.cos(np.arange(1, 5))[None]


# --- inputs ---------------------------------------------------------------------------------------


def samples(seed, shape=(3, 4)):
    return np.random.default_rng(seed).standard_normal(shape)


def linear_chain():
    return diffusion.alpha_bar(diffusion.linear_schedule(1000, 1e-4, 0.02))


def one_per_sample(x, like):
    """A number for each sample, shaped to meet a batch like `like`."""
    return np.reshape(x, (-1,) + (1,) * (like.ndim - 1))


# --- classifier guidance of the mean --------------------------------------------------------------


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
        Law("a Gaussian times a log-linear classifier is Gaussian there", mean_tilts_the_gaussian),
        Law("a scale of 0 changes nothing", mean_zero_scale),
        Law("guiding twice is guiding with twice the scale", mean_scales_add),
        Law("a step without variance cannot be guided", mean_certain_step),
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
                "mean": samples(1),
                "variance": np.array([[1e-4], [0.01], [0.02]]) * np.ones(4),
                "gradient": 30 * samples(2),
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
            effect="small variances push hard, and away from the label",
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
            "adds the gradient of the loss, which is minus the log probability",
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
            "scales the standard deviation: the scale enters squared",
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


# --- classifier guidance of the predicted noise ---------------------------------------------------


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
        Law("the clean sample moves by (1 - ᾱ) / √ᾱ gradients", noise_moves_the_clean_sample),
        Law("a scale of 0 changes nothing", noise_zero_scale),
        Law("guiding twice is guiding with twice the scale", noise_scales_add),
        Law("all of the gradient counts in pure noise, none of it without", noise_at_both_ends),
        Law("each sample has its own time", noise_each_sample_has_its_time),
    ),
    probes=(
        Probe(
            "first, middle and last time of the linear schedule",
            lambda: {
                "eps": samples(3),
                "gradient": 10 * samples(4),
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
            "looks the share of signal up one time earlier",
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


# --- classifier-free guidance ---------------------------------------------------------------------


def free_scale_one(f, eps_uncond, eps_cond, scale):
    yield f(eps_uncond, eps_cond, 1.0), eps_cond


def free_scale_zero(f, eps_uncond, eps_cond, scale):
    yield f(eps_uncond, eps_cond, 0.0), eps_uncond


def free_paper(f, eps_uncond, eps_cond, scale):
    weight = scale - 1
    yield f(eps_uncond, eps_cond, scale), (1 + weight) * eps_cond - weight * eps_uncond


def free_roles_exchanged(f, eps_uncond, eps_cond, scale):
    there, back = f(eps_uncond, eps_cond, scale), f(eps_cond, eps_uncond, scale)
    yield there + back, eps_uncond + eps_cond


def free_common_shift(f, eps_uncond, eps_cond, scale):
    shifted = f(eps_uncond + 3, eps_cond + 3, scale)
    yield shifted, f(eps_uncond, eps_cond, scale) + 3


def free_implicit_classifier(f, eps_uncond, eps_cond, scale):
    t, share = np.zeros(len(eps_cond), int), np.array([0.75])
    gradient = 2 * (eps_uncond - eps_cond)  # of the log odds, where √(1 - ᾱ) = 1/2
    by_classifier = text.classifier_guidance_score(eps_uncond, gradient, t, share, scale)
    yield f(eps_uncond, eps_cond, scale), by_classifier


def free_in_the_space_of_clean_samples(f, eps_uncond, eps_cond, scale):
    x_t, t, share = eps_cond[::-1], np.zeros(len(eps_cond), int), np.array([0.64])
    clean_uncond, clean_cond, guided = (
        diffusion.x0_from_eps(x_t, t, eps, share)
        for eps in (eps_uncond, eps_cond, f(eps_uncond, eps_cond, scale))
    )
    yield f(clean_uncond, clean_cond, scale), guided


CLASSIFIER_FREE_GUIDANCE = Op(
    text.classifier_free_guidance,
    laws=(
        Law("a scale of 1 is the conditional prediction", free_scale_one),
        Law("a scale of 0 is the unconditional prediction", free_scale_zero),
        Law("equals (1 + w) conditional - w unconditional, s = 1 + w", free_paper),
        Law("exchanging the roles goes as far the other way", free_roles_exchanged),
        Law("a constant added to both is added to the result", free_common_shift),
        Law("equals guidance by the implied classifier", free_implicit_classifier),
        Law("guiding noise guides clean samples alike", free_in_the_space_of_clean_samples),
    ),
    probes=(
        Probe(
            "scale 3 on half a sine and nine tenths of it",
            lambda: {"eps_uncond": 0.625 * S, "eps_cond": 1.125 * S, "scale": 3.0},
        ),
        Probe(
            "scale 7.5 on four channels",
            lambda: {
                "eps_uncond": samples(5, (2, 4, 3, 2)),
                "eps_cond": samples(6, (2, 4, 3, 2)),
                "scale": 7.5,
            },
        ),
        Probe(
            "half the way",
            lambda: {"eps_uncond": samples(7), "eps_cond": samples(8), "scale": 0.5},
        ),
    ),
    mistakes=(
        Edit(
            "classifier_free_guidance/plus-unconditional",
            "adds (s - 1) times the unconditional prediction instead of subtracting it",
            "eps_uncond + scale * (eps_cond - eps_uncond)",
            "scale * eps_cond + (scale - 1) * eps_uncond",
            effect="the weights do not sum to one and the result grows with the scale",
            source="https://github.com/labmlai/annotated_deep_learning_paper_implementations/issues/177",
            invisible_when="the scale is 1",
        ),
        Edit(
            "classifier_free_guidance/branches-swapped",
            "takes the halves of the batch in the wrong order",
            "eps_uncond + scale * (eps_cond - eps_uncond)",
            "eps_cond + scale * (eps_uncond - eps_cond)",
            effect="what was to be avoided is sought",
            source="https://github.com/hako-mikan/sd-webui-regional-prompter/issues/13",
            invisible_when="the scale is one half",
        ),
        Edit(
            "classifier_free_guidance/label-in-both-passes",
            "asks for the same label in both passes",
            "eps_uncond + scale * (eps_cond - eps_uncond)",
            "eps_cond + scale * (eps_cond - eps_cond)",
            effect="the scale has no effect",
            source="https://github.com/QiaoyuHu89/DiffGui/issues/5",
            invisible_when="the scale is 1",
        ),
        Edit(
            "classifier_free_guidance/no-base",
            "returns the scaled difference without the prediction it starts from",
            "eps_uncond + scale",
            "scale",
            effect="what both predictions share is lost",
            invisible_when="the unconditional prediction is 0",
        ),
        Edit(
            "classifier_free_guidance/weight-for-scale",
            "hands s - 1 to a function that expects s",
            "scale * (eps_cond - eps_uncond)",
            "(scale - 1) * (eps_cond - eps_uncond)",
            effect="guidance is weaker by one: a scale of 1 is not the conditional prediction",
            invisible_when="both predictions are equal",
        ),
        Edit(
            "classifier_free_guidance/clipped-before",
            "clips both predictions to [-1, 1] before it combines them",
            "return eps_uncond",
            "eps_cond, eps_uncond = np.clip(eps_cond, -1, 1), np.clip(eps_uncond, -1, 1)\n"
            "    return eps_uncond",
            effect="large values of both cancel, where one should win",
            invisible_when="all predictions lie in [-1, 1]",
        ),
    ),
    dialects=(
        Edit(
            "classifier_free_guidance/paper-weight",
            "the paper's weight counts from the conditional prediction",
            "eps_uncond + scale * (eps_cond - eps_uncond)",
            "(1 + scale) * eps_cond - scale * eps_uncond",
            source="https://github.com/lucidrains/denoising-diffusion-pytorch/issues/207",
        ),
        Edit(
            "classifier_free_guidance/only-above-one",
            "diffusers guides above a scale of 1 only",
            "return eps_uncond + scale * (eps_cond - eps_uncond)",
            "return eps_uncond + max(scale, 1) * (eps_cond - eps_uncond)",
            source="https://github.com/huggingface/diffusers/issues/5882",
        ),
        Edit(
            "classifier_free_guidance/three-channels",
            "DiT guides the first three channels and keeps the others conditional",
            "return eps_uncond + scale * (eps_cond - eps_uncond)",
            "guided = eps_uncond + scale * (eps_cond - eps_uncond)\n"
            "    return np.concatenate((guided[:, :3], eps_cond[:, 3:]), axis=1)",
            source="https://github.com/facebookresearch/DiT/issues/41",
        ),
    ),
)


# --- dynamic thresholding -------------------------------------------------------------------------


def draw_quantile(source, sizes):
    return source.choice([0.995, 0.95, 0.5, 1.0, 0.0, float(source.uniform((), 0, 1))])


def threshold_equation(f, x_start, quantile):
    B, size = len(x_start), int(np.prod(x_start.shape[1:]))
    flat = np.reshape(np.abs(x_start), (B, size))
    ordered = flat[np.arange(B)[:, None], np.argsort(values(flat), axis=1)]  # B size
    place = quantile * (size - 1)
    below = int(values(place))
    above = min(below + 1, size - 1)
    rise = (place - below) * (ordered[:, above] - ordered[:, below])
    limit = one_per_sample(np.maximum(ordered[:, below] + rise, 1), x_start)
    yield f(x_start, quantile), np.minimum(np.maximum(x_start / limit, -1), 1)


def threshold_bounded(f, x_start, quantile):
    yield np.minimum(1 - np.abs(f(x_start, quantile)), 0), 0


def threshold_within_range_nothing(f, x_start, quantile):
    inside = x_start / (1 + np.max(np.abs(values(x_start)), initial=0))
    yield f(inside, quantile), inside


def threshold_twice_is_once(f, x_start, quantile):
    once = f(x_start, quantile)
    yield f(once, quantile), once


def threshold_odd(f, x_start, quantile):
    yield f(-x_start, quantile), -f(x_start, quantile)


def threshold_larger_sample(f, x_start, quantile):
    sizes = np.abs(values(x_start))
    lowest = np.min(sizes, axis=tuple(range(1, sizes.ndim)), initial=np.inf)
    if np.all(lowest > 0):
        large = x_start / one_per_sample(lowest, x_start)  # every quantile is 1 or more
        yield f(4 * large, quantile), f(large, quantile)


def threshold_largest(f, x_start, quantile):
    size = np.max(np.abs(x_start), axis=tuple(range(1, x_start.ndim)), keepdims=True)
    yield f(x_start, 1.0), x_start / np.maximum(size, 1)


def threshold_pixels_reversed(f, x_start, quantile):
    yield f(x_start[..., ::-1], quantile), f(x_start, quantile)[..., ::-1]


def threshold_samples_are_independent(f, x_start, quantile):
    yield f(x_start[1:], quantile), f(x_start, quantile)[1:]


DYNAMIC_THRESHOLD = Op(
    text.dynamic_threshold,
    laws=(
        Law(
            "equals clipping to [-1, 1] after division by the sorted neighbours", threshold_equation
        ),
        Law("nothing leaves the range of the data", threshold_bounded),
        Law("a sample within the range stays", threshold_within_range_nothing),
        Law("a second time changes nothing", threshold_twice_is_once),
        Law("a negative picture gives the negative", threshold_odd),
        Law("samples beyond the range lose their scale", threshold_larger_sample),
        Law("a quantile of 1 divides by the largest and clips nothing", threshold_largest),
        Law("the order of the pixels does not matter", threshold_pixels_reversed),
        Law("samples are independent", threshold_samples_are_independent),
    ),
    probes=(
        Probe(
            "the median of four",
            lambda: {"x_start": np.array([[-3.0, -1.0, 0.5, 2.5]]), "quantile": 0.5},
        ),
        Probe(
            "nearly the largest of four",
            lambda: {"x_start": np.array([[-3.0, -1.0, 0.5, 2.5]]), "quantile": 0.95},
        ),
        Probe(
            "a calm and a wild sample, mostly negative",
            lambda: {
                "x_start": (samples(9, (2, 3, 5, 4)) - 1)
                * np.array([0.5, 8.0])[:, None, None, None],
                "quantile": 0.9,
            },
        ),
        Probe(
            "a sample of small values",
            lambda: {"x_start": 0.1 * samples(10, (2, 12)), "quantile": 0.995},
        ),
    ),
    mistakes=(
        Edit(
            "dynamic_threshold/quantile-over-batch",
            "takes one quantile for the whole batch",
            "np.reshape(np.abs(x_start), (B, size))",
            "np.reshape(np.abs(x_start), (1, B * size)) + np.zeros((B, 1))",
            effect="the result depends on the other samples of the batch",
            invisible_when="the batch has one sample",
        ),
        Edit(
            "dynamic_threshold/quantile-without-absolute",
            "takes the quantile of the values instead of their sizes",
            "np.abs(x_start)",
            "x_start",
            effect="mostly negative samples saturate",
            invisible_when="no value is negative",
        ),
        Edit(
            "dynamic_threshold/descending",
            "sorts in descending order and so takes the quantile 1 - p",
            ", quantile, axis",
            ", 1 - quantile, axis",
            effect="the threshold comes from the smallest values and the picture saturates",
            invisible_when="p is one half",
        ),
        Edit(
            "dynamic_threshold/no-clipping",
            "divides by the threshold without clipping first",
            "np.minimum(np.maximum(x_start, -limit), limit) / limit",
            "x_start / limit",
            effect="the largest values stay outside the range",
            invisible_when="no value exceeds the quantile",
        ),
        Edit(
            "dynamic_threshold/no-division",
            "clips at the threshold without dividing by it",
            ", limit) / limit",
            ", limit)",
            effect="the sample stays outside the range",
            invisible_when="the threshold is 1",
        ),
        Edit(
            "dynamic_threshold/no-lower-limit",
            "lets the threshold fall below 1",
            "np.maximum(largest, 1)",
            "largest",
            effect="samples within the range are stretched, black ones are divided by 0",
            invisible_when="the quantile exceeds 1",
        ),
        Edit(
            "dynamic_threshold/floor-at-the-cap",
            "raises the threshold to the largest one allowed, here 1.5, instead of limiting it",
            "np.maximum(largest, 1)",
            "np.maximum(largest, 1.5)",
            effect="samples within the range fade",
            source="https://github.com/huggingface/diffusers/pull/3003",
            invisible_when="the quantile exceeds the largest threshold allowed",
        ),
    ),
    dialects=(
        Edit(
            "dynamic_threshold/capped-at-one",
            "diffusers caps the threshold, by default at 1: plain clipping",
            "np.maximum(largest, 1)",
            "np.ones(B)",
            source="https://github.com/huggingface/diffusers/pull/3003",
        ),
        Edit(
            "dynamic_threshold/nearest-rank",
            "the quantile is a value of the sample, the next one below",
            "quantile, axis=-1)",
            "quantile, axis=-1, method='lower')",
        ),
    ),
    values={"quantile": draw_quantile},
)

OPS = (
    CLASSIFIER_GUIDANCE,
    CLASSIFIER_GUIDANCE_SCORE,
    CLASSIFIER_FREE_GUIDANCE,
    DYNAMIC_THRESHOLD,
)
