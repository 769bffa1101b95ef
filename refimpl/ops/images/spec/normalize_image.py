"""What is known about normalize_image and its gradient: laws, probes, mistakes and dialects."""

import numpy as np

from refimpl.gradients import LINEAR_IN_GRAD
from refimpl.op import Edit, Law, Op, Probe, values
from refimpl.ops.common import cosines, sines
from refimpl.ops.images import reference as text
from refimpl.ops.images.spec.shared import product, ramp

CLIP = {
    "mean": np.array([0.48145466, 0.4578275, 0.40821073]),
    "std": np.array([0.26862954, 0.26130258, 0.27577711]),
}


def normalize_equation(f, images, mean, std):
    channels = [(images[:, c] - mean[c]) / std[c] for c in range(len(mean))]
    yield f(images, mean, std), np.stack(channels, axis=1)


def normalize_undone(f, images, mean, std):
    yield f(images, mean, std) * std[:, None, None] + mean[:, None, None], images


def normalize_mean_is_zero(f, images, mean, std):
    flat = np.broadcast_to(mean[:, None, None], images.shape)
    yield f(flat, mean, std), np.zeros(images.shape)


def normalize_standard(f, images, mean, std):
    yield f(images, 0 * values(mean), np.ones(len(mean))), images


def normalize_unit(f, images, mean, std):
    yield f(4 * images, 4 * mean, 4 * std), f(images, mean, std)


def normalize_channels_permuted(f, images, mean, std):
    yield f(images[:, ::-1], mean[::-1], std[::-1]), f(images, mean, std)[:, ::-1]


BLACK_AND_WHITE = np.stack([np.zeros((3, 2)), np.ones((3, 2))], axis=1)[None]

NORMALIZE_IMAGE = Op(
    text.normalize_image,
    laws=(
        Law("each channel has its own mean and deviation", normalize_equation),
        Law(
            "multiplying by the deviation and adding the mean gives the image back",
            normalize_undone,
        ),
        Law("an image of means is zero", normalize_mean_is_zero),
        Law("mean 0 and deviation 1 change nothing", normalize_standard),
        Law("the unit of the pixels does not matter", normalize_unit),
        Law(
            "permuting the channels with their statistics permutes the result",
            normalize_channels_permuted,
        ),
    ),
    probes=(
        Probe(
            "black and white with CLIP's statistics",
            lambda: {"images": BLACK_AND_WHITE, **CLIP},
        ),
        Probe(
            "three channels, two images",
            lambda: {"images": (1 + sines(2, 3, 2, 4)) / 2, **CLIP},
        ),
        Probe(
            "the unit of 255",
            lambda: {
                "images": 255 * BLACK_AND_WHITE,
                "mean": 255 * CLIP["mean"],
                "std": 255 * CLIP["std"],
            },
        ),
    ),
    mistakes=(
        Edit(
            "normalize_image/not-normalised",
            "returns the pixels unchanged",
            "return (images - mean[:, None, None]) / std[:, None, None]",
            "return images + 0 * mean[:, None, None]",
            effect="features are off, often too little to notice",
            source="https://github.com/k1rezaei/Text-to-concept/issues/2",
            invisible_when="mean 0 and deviation 1",
        ),
        Edit(
            "normalize_image/statistics-of-imagenet",
            "uses the statistics of ImageNet whatever it is given",
            "return (images - mean[:, None, None]) / std[:, None, None]",
            "return (images - np.array([0.485, 0.456, 0.406])[:, None, None]) / "
            "np.array([0.229, 0.224, 0.225])[:, None, None]",
            effect="up to a fifth too much contrast in blue",
            source="https://github.com/openai/CLIP/issues/20",
            invisible_when="these are the statistics of the model",
        ),
        Edit(
            "normalize_image/first-channel-for-all",
            "reads the statistics of the first channel for every channel",
            "mean[:, None, None]) / std[:, None, None]",
            "mean[:1, None, None]) / std[:1, None, None]",
            effect="green and blue are tinted",
            source="https://github.com/monatis/clip.cpp/issues/99",
            invisible_when="the statistics of all channels are equal",
        ),
        Edit(
            "normalize_image/blue-first",
            "takes the first channel for blue, as OpenCV reads images",
            "return (images - mean[:, None, None])",
            "return (images[:, ::-1] - mean[:, None, None])",
            effect="red and blue are exchanged",
            source="https://github.com/pixelite1201/CameraHMR/issues/20",
            invisible_when="the image is grey",
        ),
        Edit(
            "normalize_image/rescaled-twice",
            "divides pixels in [0, 1] by 255 once more",
            "return (images - mean[:, None, None])",
            "return (images / 255 - mean[:, None, None])",
            effect="every image is almost black",
            source="https://github.com/huggingface/transformers/issues/24857",
            invisible_when="the image is black",
        ),
        Edit(
            "normalize_image/divided-by-the-variance",
            "divides by the square of the deviation",
            "/ std[:, None, None]",
            "/ (std * std)[:, None, None]",
            effect="contrast is several times too high",
            invisible_when="the deviation is 1",
        ),
        Edit(
            "normalize_image/mean-after-division",
            "divides first and subtracts the mean from the quotient",
            "(images - mean[:, None, None]) / std[:, None, None]",
            "images / std[:, None, None] - mean[:, None, None]",
            effect="brightness is off",
            invisible_when="mean 0 or deviation 1",
        ),
        Edit(
            "normalize_image/divided-by-256",
            "divides by 256 instead of 255",
            "return (images - mean[:, None, None])",
            "return (images * (255 / constant(256, images)) - mean[:, None, None])",
            effect="white is too dark by four thousandths",
            source="https://github.com/Daniil-Osokin/"
            "lightweight-human-pose-estimation.pytorch/issues/140",
            invisible_when="the image is black",
        ),
    ),
    dialects=(
        Edit(
            "normalize_image/half",
            "mean and deviation 1/2 for all channels: SigLIP and some checkpoints of open_clip",
            "return (images - mean[:, None, None]) / std[:, None, None]",
            "return (images + 0 * mean[:, None, None] - 0.5) / 0.5",
            effect="right for those checkpoints, wrong for the others",
            source="https://github.com/mlfoundations/open_clip/issues/204",
            invisible_when="these are the statistics of the model",
        ),
    ),
)


def normalize_vjp_adjoint(f, images, mean, std, grad):
    images_grad, mean_grad, _ = f(images, mean, std, grad)
    shifted = (images - mean[:, None, None]) / std[:, None, None]
    through = product(images_grad, images) + product(mean_grad, mean)
    yield product(grad, shifted), through


def normalize_vjp_scale_invariance(f, images, mean, std, grad):
    """Scaling pixels and statistics together changes nothing, so the gradients cancel."""
    images_grad, mean_grad, std_grad = f(images, mean, std, grad)
    along = np.sum(images_grad * images, axis=(0, 2, 3)) + mean_grad * mean + std_grad * std
    yield along, np.zeros(len(mean))


def normalize_vjp_shift_invariance(f, images, mean, std, grad):
    images_grad, mean_grad, _ = f(images, mean, std, grad)
    yield np.sum(images_grad, axis=(0, 2, 3)) + mean_grad, np.zeros(len(mean))


def normalize_vjp_images(f, images, mean, std, grad):
    images_grad, _, _ = f(images, mean, std, grad)
    yield images_grad * std[:, None, None], grad


def normalize_vjp_at_the_mean(f, images, mean, std, grad):
    flat = np.broadcast_to(mean[:, None, None], images.shape)
    yield f(flat, mean, std, grad)[2], np.zeros(len(mean))


NORMALIZE_IMAGE_VJP = Op(
    text.normalize_image_vjp,
    outputs=("images_grad", "mean_grad", "std_grad"),
    laws=(
        Law("it is the adjoint of normalising, mean included", normalize_vjp_adjoint),
        Law(
            "scaling image, mean and deviation together changes nothing",
            normalize_vjp_scale_invariance,
        ),
        Law("shifting image and mean together changes nothing", normalize_vjp_shift_invariance),
        Law("the gradient by the image is divided by the deviation", normalize_vjp_images),
        Law(
            "for an image of means the gradient of the deviation is zero", normalize_vjp_at_the_mean
        ),
        LINEAR_IN_GRAD,
    ),
    probes=(
        Probe(
            "three channels, two images",
            lambda: {
                "images": (1 + sines(2, 3, 2, 4)) / 2,
                **CLIP,
                "grad": cosines(2, 3, 2, 4),
            },
        ),
        Probe(
            "one bright pixel",
            lambda: {
                "images": (ramp(1, 3, 2, 2) == 5) * 1.0,
                **CLIP,
                "grad": 1 + ramp(1, 3, 2, 2),
            },
        ),
    ),
    mistakes=(
        Edit(
            "normalize_image_vjp/deviation-forgotten",
            "returns the gradient of the image unchanged",
            "images_grad = grad / std[:, None, None]",
            "images_grad = grad + 0 * std[:, None, None]",
            effect="guidance is about four times too weak",
            invisible_when="the deviation is 1",
        ),
        Edit(
            "normalize_image_vjp/multiplied",
            "multiplies by the deviation",
            "images_grad = grad / std[:, None, None]",
            "images_grad = grad * std[:, None, None]",
            effect="guidance is about fourteen times too weak",
            invisible_when="the deviation is 1",
        ),
        Edit(
            "normalize_image_vjp/normalised-itself",
            "normalises the gradient as if it were an image",
            "images_grad = grad / std[:, None, None]",
            "images_grad = (grad - mean[:, None, None]) / std[:, None, None]",
            effect="a constant is subtracted from every gradient",
            invisible_when="the mean is 0",
        ),
        Edit(
            "normalize_image_vjp/mean-with-plus",
            "forgets the minus sign in the gradient of the mean",
            "mean_grad = -np.sum",
            "mean_grad = np.sum",
            effect="descent moves the mean away from the optimum",
            invisible_when="the gradients of a channel cancel",
        ),
        Edit(
            "normalize_image_vjp/deviation-without-mean",
            "uses the image itself, not the centred image, in the deviation's gradient",
            "centered = (images - mean[:, None, None]) / std[:, None, None]",
            "centered = images / std[:, None, None]",
            effect="the deviation's gradient is off by a multiple of the mean",
            invisible_when="the mean is 0",
        ),
        Edit(
            "normalize_image_vjp/batch-not-summed",
            "averages over the batch instead of adding up",
            "mean_grad = -np.sum(images_grad, axis=(0, 2, 3))",
            "mean_grad = -np.sum(images_grad, axis=(0, 2, 3)) / max(len(grad), 1)",
            effect="the mean's gradient is divided by the batch",
            invisible_when="there is one image",
        ),
    ),
)
