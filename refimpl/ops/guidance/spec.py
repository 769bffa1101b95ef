"""What is known about guidance: laws, probes, mistakes and dialects."""

import numpy as np

from refimpl.constants import pi
from refimpl.gradients import LINEAR_IN_GRAD
from refimpl.op import Edit, Law, Op, Probe, values
from refimpl.ops.diffusion import reference as diffusion
from refimpl.ops.guidance import reference as text
from refimpl.ops.layers.reference import l2_normalize

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

# --- distances of features ------------------------------------------------------------------------


def directions(features):
    """1 for a vector that has a direction, 0 for a zero vector."""
    return np.where(np.any(values(features) != 0, axis=-1), 1, 0)


def own_sides(x):
    """The distance of each vector from itself, or the gradient of it."""
    return x[np.arange(len(x)), np.arange(len(x))]


def distance_exchanged(f, image_features, text_features):
    yield f(text_features, image_features).T, f(image_features, text_features)


def distance_lengths(f, image_features, text_features):
    yield f(3 * image_features, text_features / 2), f(image_features, text_features)


def distance_one_image(f, image_features, text_features):
    yield f(image_features[:1], text_features), f(image_features, text_features)[:1]


def distance_reordered_axes(f, image_features, text_features):
    turned = image_features[:, ::-1], text_features[:, ::-1]
    yield f(*turned), f(image_features, text_features)


def cosine_distance_equation(f, image_features, text_features):
    u, v = l2_normalize(image_features), l2_normalize(text_features)
    apart = u[:, None] - v  # N M D
    known = directions(image_features)[:, None] * directions(text_features)
    halves = np.sum(apart * apart, axis=-1) / 2
    yield np.where(known, f(image_features, text_features), 1), np.where(known, halves, 1)


def cosine_distance_opposite(f, image_features, text_features):
    there, back = f(-image_features, text_features), f(image_features, text_features)
    yield there + back, 2


def cosine_distance_itself(f, image_features, text_features):
    yield own_sides(f(image_features, image_features)), 1 - directions(image_features)


def several_directions():
    """Features of lengths from 0.1 to 30, near and far from each other."""
    return {
        "image_features": samples(21, (3, 5)) * np.array([[0.1], [1.0], [30.0]]),
        "text_features": samples(22, (4, 5)) * np.array([[7.0], [0.2], [1.0], [3.0]]),
    }


def as_many_prompts():
    return {
        "image_features": samples(23, (3, 4)),
        "text_features": samples(23, (3, 4)) + 0.3 * samples(24, (3, 4)),
    }


def right_angles():
    return {
        "image_features": np.array([[2.0, 0.0, 0.0], [0.0, 1.0, 1.0]]),
        "text_features": np.array([[0.0, 3.0, 0.0], [1.0, 0.0, 1.0], [-1.0, 0.0, 0.5]]),
    }


DISTANCE_PROBES = (
    Probe("lengths from 0.1 to 30", several_directions),
    Probe("as many prompts as cutouts", as_many_prompts),
    Probe("right angles and others", right_angles),
)
U_V = "l2_normalize(image_features), l2_normalize(text_features)"


def unnormalised(op, old, new):
    """Features not normalised before their distance is taken."""
    return Edit(
        f"{op}/not-normalised",
        "takes the features as they come",
        old,
        new,
        effect="long features are far from everything; half a chord above 1 is NaN",
        invisible_when="features have length one",
    )


COSINE_DISTANCE = Op(
    text.cosine_distance,
    laws=(
        Law("is half the squared chord", cosine_distance_equation),
        Law("images and texts may be exchanged", distance_exchanged),
        Law("lengths do not matter", distance_lengths),
        Law("distances to opposite directions sum to two", cosine_distance_opposite),
        Law("nothing is far from itself", cosine_distance_itself),
        Law("cutouts do not see each other", distance_one_image),
        Law("the order of the features does not matter", distance_reordered_axes),
    ),
    probes=DISTANCE_PROBES,
    mistakes=(
        unnormalised(
            "cosine_distance",
            "l2_normalize(image_features) @ l2_normalize(text_features).T",
            "image_features @ text_features.T",
        ),
        Edit(
            "cosine_distance/texts-not-normalised",
            "normalises the images alone",
            "l2_normalize(text_features).T",
            "text_features.T",
            effect="long prompts win",
            source="https://github.com/patrickjohncyh/fashion-clip/issues/31",
            invisible_when="text features have length one",
        ),
        Edit(
            "cosine_distance/similarity",
            "returns the cosine, which is larger for nearer directions",
            "1 - l2_normalize",
            "l2_normalize",
            effect="guidance flees the prompt",
        ),
        Edit(
            "cosine_distance/squared-chord",
            "returns the squared chord, twice the distance",
            "return 1 - l2_normalize(image_features) @ l2_normalize(text_features).T",
            "return 2 - 2 * (l2_normalize(image_features) @ l2_normalize(text_features).T)",
            effect="guidance twice as strong",
            invisible_when="the directions are equal",
        ),
        Edit(
            "cosine_distance/normalised-over-the-batch",
            "normalises every feature over the images",
            "l2_normalize(image_features)",
            "l2_normalize(image_features.T).T",
            effect="a cutout's distance depends on the other cutouts",
            source="https://github.com/xmed-lab/CLIP_Surgery/issues/35",
        ),
    ),
    dialects=(
        Edit(
            "cosine_distance/without-the-one",
            "minus the cosine as the loss",
            "return 1 - l2_normalize",
            "return -l2_normalize",
            effect="lower by one, with the same gradient",
        ),
    ),
)


def distance_vjp_across(f, image_features, text_features, grad):
    images_grad, texts_grad = f(image_features, text_features, grad)
    yield np.sum(image_features * images_grad, axis=-1), 0
    yield np.sum(text_features * texts_grad, axis=-1), 0


def distance_vjp_exchanged(f, image_features, text_features, grad):
    images_grad, texts_grad = f(image_features, text_features, grad)
    back = f(text_features, image_features, grad.T)
    yield back[0], texts_grad
    yield back[1], images_grad


def distance_vjp_lengths(f, image_features, text_features, grad):
    images_grad, texts_grad = f(image_features, text_features, grad)
    there = f(4 * image_features, text_features / 2, grad)
    yield np.where(directions(image_features)[:, None], 4, 1) * there[0], images_grad
    yield there[1], np.where(directions(text_features)[:, None], 2, 1) * texts_grad


def cosine_distance_vjp_equation(f, image_features, text_features, grad):
    u, v = l2_normalize(image_features), l2_normalize(text_features)
    cosines = u @ v.T  # N M
    known = directions(image_features)[:, None]
    across = u * np.sum(grad * cosines, axis=1)[:, None] - grad @ v  # N D
    size = np.sqrt(np.sum(image_features * image_features, axis=-1, keepdims=True))
    yield f(image_features, text_features, grad)[0], across / np.where(known, size, 1)


def cosine_distance_vjp_opposite(f, image_features, text_features, grad):
    there, back = (f(x, text_features, grad) for x in (-image_features, image_features))
    yield there[0], back[0]
    yield there[1], -back[1]


def with_grad(inputs):
    shape = len(inputs["image_features"]), len(inputs["text_features"])
    return inputs | {"grad": samples(25, shape)}


GRADIENT_PROBES = (
    Probe("lengths from 0.1 to 30", lambda: with_grad(several_directions())),
    Probe("as many prompts as cutouts", lambda: with_grad(as_many_prompts())),
    Probe("right angles and others", lambda: with_grad(right_angles())),
)


def gradient_mistakes(op, images_grad):
    """What goes wrong with the gradient of any distance of directions."""
    found = f"l2_normalize_vjp(image_features, {images_grad})"
    return (
        Edit(
            f"{op}/of-normalised-features",
            "returns the gradient of the normalised features",
            found,
            images_grad,
            effect="gradients along the features, and not over their lengths",
        ),
        Edit(
            f"{op}/length-held-fixed",
            "divides by the length as though it did not change with the feature",
            found,
            f"{images_grad} / np.sqrt(np.sum(image_features**2, axis=-1, keepdims=True))",
            effect="gradients along the feature, which only make it longer",
        ),
        Edit(
            f"{op}/texts-as-images",
            "gives the texts the sign of the images' gradient",
            "l2_normalize_vjp(text_features, ",
            "-l2_normalize_vjp(text_features, ",
            effect="texts flee their images",
        ),
    )


COSINE_DISTANCE_VJP = Op(
    text.cosine_distance_vjp,
    laws=(
        Law("pulls along what of a text lies across the image", cosine_distance_vjp_equation),
        Law("a gradient lies across its own feature", distance_vjp_across),
        Law("images and texts may be exchanged", distance_vjp_exchanged),
        Law("longer features have smaller gradients", distance_vjp_lengths),
        Law(
            "opposite images keep their gradients, and those of the texts turn",
            cosine_distance_vjp_opposite,
        ),
        LINEAR_IN_GRAD,
    ),
    probes=GRADIENT_PROBES,
    mistakes=(
        Edit(
            "cosine_distance_vjp/sign",
            "returns the gradient of the cosine, not of the distance",
            "-(grad @ texts), -(grad.T @ images)",
            "grad @ texts, grad.T @ images",
            effect="guidance flees the prompt",
        ),
        Edit(
            "cosine_distance_vjp/not-transposed",
            "gives text i the gradients of image i's distances",
            "grad.T @ images",
            "grad @ images",
            effect="prompts are pulled to the wrong cutouts; other numbers of them fail",
        ),
        Edit(
            "cosine_distance_vjp/texts-not-normalised",
            "pulls towards texts of their own length",
            "-(grad @ texts)",
            "-(grad @ text_features)",
            effect="long prompts pull harder",
            invisible_when="text features have length one",
        ),
        *gradient_mistakes("cosine_distance_vjp", "images_grad"),
    ),
    outputs=("image_features_grad", "text_features_grad"),
)


def spherical_distance_itself(f, image_features, text_features):
    yield own_sides(f(image_features, image_features)), 0


def spherical_distance_on_a_circle(f, image_features, text_features):
    angles = np.array([0.0, 0.3, 1.2, 2.1])
    on_circle = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    turn = angles[:, None] - angles
    yield f(on_circle, 3 * on_circle), turn * turn / 2


def spherical_distance_right_angle(f, image_features, text_features):
    axes = np.eye(3)
    quarter = pi(image_features) / 2
    yield f(2 * axes, axes), (1 - axes) * (quarter * quarter / 2)


def spherical_distance_cosine(f, image_features, text_features):
    known = directions(image_features)[:, None] * directions(text_features)
    twice = 2 * f(image_features, text_features)
    cosines = np.cos(np.sqrt(twice))
    straight = 1 - text.cosine_distance(image_features, text_features)
    yield np.where(known, cosines, 0), np.where(known, straight, 0)


def spherical_distance_longer_than_chord(f, image_features, text_features):
    known = directions(image_features)[:, None] * directions(text_features)
    arc = f(image_features, text_features)
    chord = text.cosine_distance(image_features, text_features)
    yield np.minimum(np.where(known, arc - chord, 0), 0), 0


SPHERICAL_DISTANCE = Op(
    text.spherical_distance,
    laws=(
        Law("the cosine of the root of twice it is the cosine", spherical_distance_cosine),
        Law(
            "on a circle it is half the squared difference of angles",
            spherical_distance_on_a_circle,
        ),
        Law("a right angle costs π²/8", spherical_distance_right_angle),
        Law("images and texts may be exchanged", distance_exchanged),
        Law("lengths do not matter", distance_lengths),
        Law("nothing is far from itself", spherical_distance_itself),
        Law(
            "the way along the sphere is never shorter than the chord",
            spherical_distance_longer_than_chord,
        ),
        Law("cutouts do not see each other", distance_one_image),
    ),
    probes=DISTANCE_PROBES,
    mistakes=(
        unnormalised(
            "spherical_distance",
            "images, texts = " + U_V,
            "images, texts = image_features, text_features",
        ),
        Edit(
            "spherical_distance/arcsine-not-squared",
            "forgets the square of the arc sine",
            "2 * (half_angle * half_angle)",
            "2 * half_angle",
            effect="guidance does not weaken as the prompt is reached",
        ),
        Edit(
            "spherical_distance/whole-chord",
            "takes the arc sine of the chord, not of half of it",
            "chord / 2",
            "chord",
            effect="NaN, or a distance that ends at sixty degrees",
        ),
        Edit(
            "spherical_distance/squared-angle",
            "returns the squared angle, twice the distance",
            "2 * (half_angle * half_angle)",
            "4 * (half_angle * half_angle)",
            effect="guidance twice as strong",
        ),
        Edit(
            "spherical_distance/squared-half-angle",
            "forgets the factor 2",
            "2 * (half_angle * half_angle)",
            "half_angle * half_angle",
            effect="guidance half as strong",
        ),
        Edit(
            "spherical_distance/no-root",
            "takes the squared chord for the chord",
            "np.sqrt(np.sum(apart * apart, axis=-1))",
            "np.sum(apart * apart, axis=-1)",
            effect="near prompts pull too little, far ones not at all",
        ),
        Edit(
            "spherical_distance/texts-not-normalised",
            "normalises the images alone",
            U_V,
            "l2_normalize(image_features), text_features",
            effect="NaN for prompts longer than three",
            invisible_when="text features have length one",
        ),
    ),
)


def spherical_distance_vjp_equation(f, image_features, text_features, grad):
    u, v = l2_normalize(image_features), l2_normalize(text_features)
    cosines = u @ v.T  # N M
    angles = 2 * text.spherical_distance(image_features, text_features)
    if not np.all(directions(image_features)) or not np.all(directions(text_features)):
        return
    if np.max(np.abs(values(cosines)), initial=0) > 0.99:  # the quotient as it stands loses digits
        return
    factor = grad * np.sqrt(angles) / np.sin(np.sqrt(angles))
    across = u * np.sum(factor * cosines, axis=1)[:, None] - factor @ v  # N D
    size = np.sqrt(np.sum(image_features * image_features, axis=-1, keepdims=True))
    yield f(image_features, text_features, grad)[0], across / size


def spherical_distance_vjp_length(f, image_features, text_features, grad):
    images, texts = l2_normalize(image_features), l2_normalize(text_features)
    ones = np.ones((1, 1))
    if not np.all(directions(image_features)) or not np.all(directions(text_features)):
        return
    first = f(images[:1], texts[:1], ones)[0]
    twice = 2 * text.spherical_distance(images[:1], texts[:1])
    yield np.sum(first * first), np.sum(twice)


def spherical_distance_vjp_on_a_circle(f, image_features, text_features, grad):
    angles = np.array([0.4, 1.2, 2.1])
    on_circle = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    across = np.stack([-np.sin(angles), np.cos(angles)], axis=-1)
    start = np.array([[5.0, 0.0]])
    yield f(on_circle, start, np.ones((3, 1)))[0], angles[:, None] * across


SPHERICAL_DISTANCE_VJP = Op(
    text.spherical_distance_vjp,
    laws=(
        Law("pulls by angle over sine along what lies across", spherical_distance_vjp_equation),
        Law("is as long as the angle where all lengths are one", spherical_distance_vjp_length),
        Law("on a circle it is the difference of angles", spherical_distance_vjp_on_a_circle),
        Law("a gradient lies across its own feature", distance_vjp_across),
        Law("images and texts may be exchanged", distance_vjp_exchanged),
        Law("longer features have smaller gradients", distance_vjp_lengths),
        LINEAR_IN_GRAD,
    ),
    probes=GRADIENT_PROBES,
    mistakes=(
        Edit(
            "spherical_distance_vjp/sign",
            "returns the direction in which the distance falls",
            "pull = (grad * ratio)",
            "pull = (-grad * ratio)",
            effect="whoever subtracts it flees the prompt",
        ),
        Edit(
            "spherical_distance_vjp/chord-alone",
            "differentiates half the squared chord instead of the angle",
            "np.arcsin(sine) / sine / cosine",
            "1",
            effect="far prompts pull too little",
        ),
        Edit(
            "spherical_distance_vjp/arcsine-held-fixed",
            "forgets the derivative of the arc sine",
            "np.arcsin(sine) / sine / cosine",
            "np.arcsin(sine) / sine",
            effect="far prompts pull too little",
        ),
        Edit(
            "spherical_distance_vjp/arcsine-not-squared",
            "differentiates twice the half angle, not its square",
            "np.arcsin(sine) / sine / cosine",
            "1 / (2 * sine * cosine)",
            effect="guidance does not weaken as the prompt is reached",
        ),
        Edit(
            "spherical_distance_vjp/summed-over-the-wrong-axis",
            "gives every text all pulls of its number among the images",
            "-np.sum(pull, axis=0)",
            "-np.sum(pull, axis=1)",
            effect="prompts get the gradients of cutouts; other numbers of them fail",
        ),
        unnormalised(
            "spherical_distance_vjp",
            "images, texts = " + U_V,
            "images, texts = image_features, text_features",
        ),
        *gradient_mistakes("spherical_distance_vjp", "np.sum(pull, axis=1)"),
    ),
    outputs=("image_features_grad", "text_features_grad"),
)


# --- what guidance by CLIP minimises --------------------------------------------------------------


def guidance_loss_equation(f, distances, weights):
    B, N, M = distances.shape
    rows = np.reshape(distances, (B * N, M)) @ weights[:, None]
    yield f(distances, weights), np.sum(rows) / N


def guidance_loss_doubled_cutouts(f, distances, weights):
    twice = np.concatenate([distances, distances], axis=1)
    yield f(twice, weights), f(distances, weights)


def guidance_loss_samples_add_up(f, distances, weights):
    yield f(distances[:1], weights) + f(distances[1:], weights), f(distances, weights)


def guidance_loss_prompts_add_up(f, distances, weights):
    one_by_one = [f(distances[..., m : m + 1], weights[m : m + 1]) for m in range(len(weights))]
    yield np.sum(np.stack(one_by_one)), f(distances, weights)


def guidance_loss_avoids(f, distances, weights):
    yield f(distances, -weights), -f(distances, weights)


def cutouts(B=2, N=3, M=4):
    return {"distances": 1 + 0.5 * samples(26, (B, N, M)), "weights": samples(27, (M,))}


CLIP_GUIDANCE_LOSS = Op(
    text.clip_guidance_loss,
    laws=(
        Law("is a sum over prompts and samples and a mean over cutouts", guidance_loss_equation),
        Law("cutouts given twice change nothing", guidance_loss_doubled_cutouts),
        Law("samples add up", guidance_loss_samples_add_up),
        Law("prompts add up", guidance_loss_prompts_add_up),
        Law("weights of the other sign avoid what was wanted", guidance_loss_avoids),
    ),
    probes=(
        Probe("two samples, three cutouts, four prompts", cutouts),
        Probe("as many cutouts as samples and prompts", lambda: cutouts(3, 3, 3)),
        Probe("one prompt", lambda: cutouts(2, 5, 1) | {"weights": np.ones(1)}),
    ),
    mistakes=(
        Edit(
            "clip_guidance_loss/cutouts-added-up",
            "adds the cutouts up instead of averaging them",
            "np.sum(np.mean(distances * weights, axis=1))",
            "np.sum(distances * weights)",
            effect="guidance grows with the number of cutouts",
            invisible_when="there is one cutout",
        ),
        Edit(
            "clip_guidance_loss/samples-averaged",
            "averages over the samples too",
            "np.sum(np.mean(distances * weights, axis=1))",
            "np.sum(np.mean(distances * weights, axis=1)) / max(len(distances), 1)",
            effect="guidance weakens as the batch grows",
            source="https://github.com/openai/guided-diffusion/issues/51",
            invisible_when="the batch has one sample",
        ),
        Edit(
            "clip_guidance_loss/mean-over-prompts",
            "averages over the prompts too",
            "np.sum(np.mean(distances * weights, axis=1))",
            "np.sum(np.mean(distances * weights, axis=1)) / len(weights)",
            effect="every prompt added weakens the others",
            invisible_when="there is one prompt",
        ),
        Edit(
            "clip_guidance_loss/weights-ignored",
            "takes all prompts alike",
            "distances * weights",
            "distances",
            effect="what was to be avoided is sought",
            invisible_when="all weights are one",
        ),
        Edit(
            "clip_guidance_loss/first-cutout",
            "looks at the first cutout alone",
            "np.mean(distances * weights, axis=1)",
            "(distances * weights)[:, 0]",
            effect="a noisier gradient for the price of all cutouts",
            invisible_when="there is one cutout",
        ),
        Edit(
            "clip_guidance_loss/absolute-weights",
            "drops the signs of the weights",
            "distances * weights",
            "distances * np.abs(weights)",
            effect="what was to be avoided is sought",
            invisible_when="no weight is negative",
        ),
    ),
    dialects=(
        Edit(
            "clip_guidance_loss/weights-that-sum-to-one",
            "divides the weights by the size of their sum: Disco Diffusion",
            "distances * weights",
            "distances * (weights / np.abs(np.sum(weights)))",
            effect="the scale does not grow with the prompts",
            invisible_when="the weights sum to one",
        ),
    ),
)


def guidance_loss_vjp_share(f, distances, weights, grad):
    distances_grad, _ = f(distances, weights, grad)
    yield (
        np.sum(distances_grad, axis=1),
        np.broadcast_to(grad * weights, (len(distances), len(weights))),
    )


def guidance_loss_vjp_bilinear(f, distances, weights, grad):
    distances_grad, weights_grad = f(distances, weights, grad)
    loss = grad * text.clip_guidance_loss(distances, weights)
    yield np.sum(distances * distances_grad), loss
    yield np.sum(weights * weights_grad), loss


def guidance_loss_vjp_cutouts_alike(f, distances, weights, grad):
    distances_grad, weights_grad = f(distances, weights, grad)
    turned = f(distances[:, ::-1], weights, grad)
    yield turned[0], distances_grad
    yield turned[1], weights_grad


def guidance_loss_vjp_samples(f, distances, weights, grad):
    distances_grad, weights_grad = f(distances, weights, grad)
    first, rest = f(distances[:1], weights, grad), f(distances[1:], weights, grad)
    yield np.concatenate([first[0], rest[0]]), distances_grad
    yield first[1] + rest[1], weights_grad


CLIP_GUIDANCE_LOSS_VJP = Op(
    text.clip_guidance_loss_vjp,
    laws=(
        Law("cutouts share the weight of a prompt", guidance_loss_vjp_share),
        Law("distances or weights times their gradients are the loss", guidance_loss_vjp_bilinear),
        Law("all cutouts gain alike", guidance_loss_vjp_cutouts_alike),
        Law("samples do not see each other", guidance_loss_vjp_samples),
        LINEAR_IN_GRAD,
    ),
    probes=(
        Probe("the gradient for a sampler", lambda: cutouts() | {"grad": np.array(-1000.0)}),
        Probe("as many cutouts as all else", lambda: cutouts(3, 3, 3) | {"grad": np.array(1.0)}),
        Probe("one prompt", lambda: cutouts(2, 5, 1) | {"grad": np.array(0.3)}),
    ),
    mistakes=(
        Edit(
            "clip_guidance_loss_vjp/cutouts-added-up",
            "forgets the mean over the cutouts",
            "grad / distances.shape[1]",
            "grad",
            effect="guidance grows with the number of cutouts",
            invisible_when="there is one cutout",
        ),
        Edit(
            "clip_guidance_loss_vjp/divided-by-samples",
            "divides by the number of samples instead of the cutouts",
            "distances.shape[1]",
            "max(distances.shape[0], 1)",
            effect="guidance weakens as the batch grows",
            source="https://github.com/openai/guided-diffusion/issues/51",
            invisible_when="there are as many samples as cutouts",
        ),
        Edit(
            "clip_guidance_loss_vjp/sign",
            "turns the sign that the caller has turned already",
            "share = grad",
            "share = -grad",
            effect="guidance flees the prompt",
            invisible_when="the scale is 0",
        ),
        Edit(
            "clip_guidance_loss_vjp/weights-ignored",
            "pulls towards all prompts alike",
            "share * weights",
            "share * (0 * weights + 1)",
            effect="what was to be avoided is sought",
            invisible_when="all weights are one",
        ),
        Edit(
            "clip_guidance_loss_vjp/scale-ignored",
            "takes the loss for the end of the chain",
            "share = grad /",
            "share = (0 * grad + 1) /",
            effect="the guidance scale has no effect",
            invisible_when="the gradient of the loss is 1",
        ),
    ),
    outputs=("distances_grad", "weights_grad"),
)


# --- guidance of the velocity ---------------------------------------------------------------------


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
        Law("the noise it implies is guided by the score", velocity_of_the_noise),
        Law("a scale of 0 changes nothing", velocity_zero_scale),
        Law("guiding twice is guiding with twice the scale", velocity_scales_add),
        Law("clean samples cannot be guided", velocity_of_clean_samples),
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
            "multiplies by sigma, as for a prediction of the noise",
            "np.sqrt((1 - share) / np.where(share > 0, share, 1))",
            "np.sqrt(1 - share)",
            effect="guidance is too weak where there is much noise",
            invisible_when="there is little noise",
        ),
        Edit(
            "classifier_guidance_velocity/factor-turned-around",
            "multiplies by alpha / sigma",
            "(1 - share) / np.where(share > 0, share, 1)",
            "share / np.where(share < 1, 1 - share, 1)",
            effect="guidance is strongest on clean samples",
            invisible_when="half the variance is signal",
        ),
        Edit(
            "classifier_guidance_velocity/no-root",
            "multiplies by sigma² / alpha²",
            "np.sqrt((1 - share) / np.where(share > 0, share, 1))",
            "(1 - share) / np.where(share > 0, share, 1)",
            effect="guidance is too strong where there is much noise",
            source="https://github.com/crowsonkb/k-diffusion/issues/20",
            invisible_when="half the variance is signal",
        ),
        Edit(
            "classifier_guidance_velocity/no-factor",
            "subtracts the gradient as it is",
            "ratio * (scale * gradient)",
            "scale * gradient",
            effect="clean samples are pushed on",
            invisible_when="half the variance is signal",
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
            "takes the factor of the first time for all",
            "at(alpha_bar, t, v)",
            "at(alpha_bar, 0 * t, v)",
            effect="guidance is as weak as at the end throughout",
            invisible_when="the time is 0",
        ),
    ),
)

OPS = (
    CLASSIFIER_GUIDANCE,
    CLASSIFIER_GUIDANCE_SCORE,
    CLASSIFIER_GUIDANCE_VELOCITY,
    CLASSIFIER_FREE_GUIDANCE,
    DYNAMIC_THRESHOLD,
    COSINE_DISTANCE,
    COSINE_DISTANCE_VJP,
    SPHERICAL_DISTANCE,
    SPHERICAL_DISTANCE_VJP,
    CLIP_GUIDANCE_LOSS,
    CLIP_GUIDANCE_LOSS_VJP,
)
