"""What is known about clip_guidance_loss and its gradient: laws, probes, mistakes and dialects."""

import numpy as np

from refimpl.gradients import LINEAR_IN_GRAD
from refimpl.op import Edit, Law, Op, Probe
from refimpl.ops.common import samples
from refimpl.ops.guidance import reference as text


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
        Law("changing the sign of the weights changes the sign of the loss", guidance_loss_avoids),
    ),
    probes=(
        Probe("two samples, three cutouts, four prompts", cutouts),
        Probe("as many cutouts as samples and prompts", lambda: cutouts(3, 3, 3)),
        Probe("one prompt", lambda: cutouts(2, 5, 1) | {"weights": np.ones(1)}),
    ),
    mistakes=(
        Edit(
            "clip_guidance_loss/cutouts-added-up",
            "sums over the cutouts instead of averaging",
            "np.sum(np.mean(distances * weights, axis=1))",
            "np.sum(distances * weights)",
            effect="guidance grows with the number of cutouts",
            invisible_when="there is one cutout",
        ),
        Edit(
            "clip_guidance_loss/samples-averaged",
            "averages over the samples as well",
            "np.sum(np.mean(distances * weights, axis=1))",
            "np.sum(np.mean(distances * weights, axis=1)) / max(len(distances), 1)",
            effect="guidance weakens as the batch grows",
            source="https://github.com/openai/guided-diffusion/issues/51",
            invisible_when="the batch has one sample",
        ),
        Edit(
            "clip_guidance_loss/mean-over-prompts",
            "averages over the prompts as well",
            "np.sum(np.mean(distances * weights, axis=1))",
            "np.sum(np.mean(distances * weights, axis=1)) / len(weights)",
            effect="every prompt added weakens the others",
            invisible_when="there is one prompt",
        ),
        Edit(
            "clip_guidance_loss/weights-ignored",
            "ignores the weights",
            "distances * weights",
            "distances",
            effect="guidance moves towards what it should avoid",
            invisible_when="all weights are one",
        ),
        Edit(
            "clip_guidance_loss/first-cutout",
            "uses the first cutout only",
            "np.mean(distances * weights, axis=1)",
            "(distances * weights)[:, 0]",
            effect="a noisier gradient at the same cost",
            invisible_when="there is one cutout",
        ),
        Edit(
            "clip_guidance_loss/absolute-weights",
            "takes the absolute values of the weights",
            "distances * weights",
            "distances * np.abs(weights)",
            effect="guidance moves towards what it should avoid",
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
        Law("the weight of a prompt is divided among the cutouts", guidance_loss_vjp_share),
        Law(
            "distances times their gradients, and weights times theirs, sum to the loss",
            guidance_loss_vjp_bilinear,
        ),
        Law("all cutouts have the same gradient", guidance_loss_vjp_cutouts_alike),
        Law("each sample is treated by itself", guidance_loss_vjp_samples),
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
            "does not divide by the number of cutouts",
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
            "changes the sign, which the caller has done already",
            "share = grad",
            "share = -grad",
            effect="guidance moves away from the prompt",
            invisible_when="the scale is 0",
        ),
        Edit(
            "clip_guidance_loss_vjp/weights-ignored",
            "ignores the weights",
            "share * weights",
            "share * (0 * weights + 1)",
            effect="guidance moves towards what it should avoid",
            invisible_when="all weights are one",
        ),
        Edit(
            "clip_guidance_loss_vjp/scale-ignored",
            "ignores grad",
            "share = grad /",
            "share = (0 * grad + 1) /",
            effect="the guidance scale has no effect",
            invisible_when="the gradient of the loss is 1",
        ),
    ),
    outputs=("distances_grad", "weights_grad"),
)
