"""What is known about images within a text."""

from refimpl.ops.flamingo.spec.gate import GATED_RESIDUAL, GATED_RESIDUAL_VJP
from refimpl.ops.flamingo.spec.masks import MEDIA_BIAS, MEDIA_BIAS_ALL, TEXT_TIMES
from refimpl.ops.flamingo.spec.perceiver import PERCEIVER_ATTENTION

OPS = (
    TEXT_TIMES,
    MEDIA_BIAS,
    MEDIA_BIAS_ALL,
    PERCEIVER_ATTENTION,
    GATED_RESIDUAL,
    GATED_RESIDUAL_VJP,
)
