"""What is known about editing."""

from refimpl.ops.editing.spec.bound import DISCRETIZED_GAUSSIAN_NLL, VLB_BITS
from refimpl.ops.editing.spec.gaussian_kl import GAUSSIAN_KL
from refimpl.ops.editing.spec.guidance_rescale import GUIDANCE_RESCALE
from refimpl.ops.editing.spec.guidance_two import GUIDANCE_TWO
from refimpl.ops.editing.spec.img2img_start import IMG2IMG_START, IMG2IMG_START_FLOW
from refimpl.ops.editing.spec.inpaint_blend import INPAINT_BLEND
from refimpl.ops.editing.spec.min_snr_weights import MIN_SNR_WEIGHTS

OPS = (
    IMG2IMG_START,
    IMG2IMG_START_FLOW,
    INPAINT_BLEND,
    GUIDANCE_TWO,
    GUIDANCE_RESCALE,
    MIN_SNR_WEIGHTS,
    GAUSSIAN_KL,
    DISCRETIZED_GAUSSIAN_NLL,
    VLB_BITS,
)
