"""What is known about classifier_free_guidance: laws, probes, mistakes and dialects."""

import numpy as np

from refimpl.op import Edit, Law, Op, Probe
from refimpl.ops.common import samples
from refimpl.ops.diffusion import reference as diffusion
from refimpl.ops.guidance import reference as text
from refimpl.ops.guidance.spec.shared import S


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
        Law("exchanging the predictions gives s → 1 - s", free_roles_exchanged),
        Law("a constant added to both is added to the result", free_common_shift),
        Law("equals guidance by the implied classifier", free_implicit_classifier),
        Law(
            "guiding the noise is guiding the predicted clean sample",
            free_in_the_space_of_clean_samples,
        ),
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
            "scale 1/2",
            lambda: {
                "eps_uncond": samples(7, (3, 4)),
                "eps_cond": samples(8, (3, 4)),
                "scale": 0.5,
            },
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
            "exchanges the two predictions",
            "eps_uncond + scale * (eps_cond - eps_uncond)",
            "eps_cond + scale * (eps_uncond - eps_cond)",
            effect="guidance moves towards what it should avoid",
            source="https://github.com/hako-mikan/sd-webui-regional-prompter/issues/13",
            invisible_when="the scale is one half",
        ),
        Edit(
            "classifier_free_guidance/label-in-both-passes",
            "uses the same label in both passes",
            "eps_uncond + scale * (eps_cond - eps_uncond)",
            "eps_cond + scale * (eps_cond - eps_cond)",
            effect="the scale has no effect",
            source="https://github.com/QiaoyuHu89/DiffGui/issues/5",
            invisible_when="the scale is 1",
        ),
        Edit(
            "classifier_free_guidance/no-base",
            "returns the scaled difference without adding the unconditional prediction",
            "eps_uncond + scale",
            "scale",
            effect="what both predictions share is lost",
            invisible_when="the unconditional prediction is 0",
        ),
        Edit(
            "classifier_free_guidance/weight-for-scale",
            "uses s - 1 as the scale",
            "scale * (eps_cond - eps_uncond)",
            "(scale - 1) * (eps_cond - eps_uncond)",
            effect="guidance is weaker by one: a scale of 1 is not the conditional prediction",
            invisible_when="both predictions are equal",
        ),
        Edit(
            "classifier_free_guidance/clipped-before",
            "clips both predictions to [-1, 1] before combining them",
            "return eps_uncond",
            "eps_cond, eps_uncond = np.clip(eps_cond, -1, 1), np.clip(eps_uncond, -1, 1)\n"
            "    return eps_uncond",
            effect="differences between large predictions are lost",
            invisible_when="all predictions lie in [-1, 1]",
        ),
    ),
    dialects=(
        Edit(
            "classifier_free_guidance/paper-weight",
            "uses the paper's weight w = s - 1",
            "eps_uncond + scale * (eps_cond - eps_uncond)",
            "(1 + scale) * eps_cond - scale * eps_uncond",
            source="https://github.com/lucidrains/denoising-diffusion-pytorch/issues/207",
        ),
        Edit(
            "classifier_free_guidance/only-above-one",
            "guides only for scales above 1: diffusers",
            "return eps_uncond + scale * (eps_cond - eps_uncond)",
            "return eps_uncond + max(scale, 1) * (eps_cond - eps_uncond)",
            source="https://github.com/huggingface/diffusers/issues/5882",
        ),
        Edit(
            "classifier_free_guidance/three-channels",
            "guides the first three channels and keeps the others conditional: DiT",
            "return eps_uncond + scale * (eps_cond - eps_uncond)",
            "guided = eps_uncond + scale * (eps_cond - eps_uncond)\n"
            "    return np.concatenate((guided[:, :3], eps_cond[:, 3:]), axis=1)",
            source="https://github.com/facebookresearch/DiT/issues/41",
        ),
    ),
)
