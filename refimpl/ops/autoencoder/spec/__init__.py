"""What is known about autoencoders."""

from refimpl.ops.autoencoder.spec.codes import GUMBEL_SOFTMAX, NEAREST_CODE
from refimpl.ops.autoencoder.spec.gaussian import (
    GAUSSIAN_MOMENTS,
    POSTERIOR_KL,
    POSTERIOR_KL_VJP,
)
from refimpl.ops.autoencoder.spec.inward import INWARD_GRADIENT
from refimpl.ops.autoencoder.spec.latents import (
    POSTERIOR_SAMPLE,
    SCALE_LATENTS,
    UNSCALE_LATENTS,
)
from refimpl.ops.autoencoder.spec.vq_loss import VQ_GRADIENTS, VQ_LOSS

OPS = (
    GAUSSIAN_MOMENTS,
    POSTERIOR_KL,
    POSTERIOR_KL_VJP,
    POSTERIOR_SAMPLE,
    SCALE_LATENTS,
    UNSCALE_LATENTS,
    NEAREST_CODE,
    VQ_LOSS,
    VQ_GRADIENTS,
    INWARD_GRADIENT,
    GUMBEL_SOFTMAX,
)
