"""What is known about CLIP: laws, probes, mistakes and dialects."""

from refimpl.ops.clip.spec.clip_logits import CLIP_LOGITS, CLIP_LOGITS_VJP
from refimpl.ops.clip.spec.clip_loss import CLIP_LOSS, CLIP_LOSS_VJP
from refimpl.ops.clip.spec.siglip_loss import SIGLIP_LOSS, SIGLIP_LOSS_VJP

OPS = (
    CLIP_LOGITS,
    CLIP_LOGITS_VJP,
    CLIP_LOSS,
    CLIP_LOSS_VJP,
    SIGLIP_LOSS,
    SIGLIP_LOSS_VJP,
)
