"""What is known about guidance: laws, probes, mistakes and dialects."""

from refimpl.ops.guidance.spec.classifier_free_guidance import CLASSIFIER_FREE_GUIDANCE
from refimpl.ops.guidance.spec.classifier_guidance import (
    CLASSIFIER_GUIDANCE,
    CLASSIFIER_GUIDANCE_SCORE,
    CLASSIFIER_GUIDANCE_VELOCITY,
)
from refimpl.ops.guidance.spec.clip_guidance_loss import CLIP_GUIDANCE_LOSS, CLIP_GUIDANCE_LOSS_VJP
from refimpl.ops.guidance.spec.cosine_distance import COSINE_DISTANCE, COSINE_DISTANCE_VJP
from refimpl.ops.guidance.spec.dynamic_threshold import DYNAMIC_THRESHOLD
from refimpl.ops.guidance.spec.spherical_distance import SPHERICAL_DISTANCE, SPHERICAL_DISTANCE_VJP

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
