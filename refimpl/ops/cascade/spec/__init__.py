"""What is known about cascades."""

from refimpl.ops.cascade.spec.conditions import (
    NULL_CONDITION,
    NULL_CONDITION_VJP,
    PAD_TEXT,
    PAD_TEXT_VJP,
)
from refimpl.ops.cascade.spec.embeddings import (
    AUGMENT_EMBEDDING,
    STANDARDIZE_EMBEDDING,
    STANDARDIZE_EMBEDDING_VJP,
)
from refimpl.ops.cascade.spec.prior import CONTEXT_TOKENS, PRIOR_BIAS, PRIOR_TOKENS
from refimpl.ops.cascade.spec.times import CONTINUOUS_POSTERIOR, LOG_SNR_COSINE, LOG_SNR_LINEAR

OPS = (
    STANDARDIZE_EMBEDDING,
    STANDARDIZE_EMBEDDING_VJP,
    AUGMENT_EMBEDDING,
    PRIOR_TOKENS,
    PRIOR_BIAS,
    CONTEXT_TOKENS,
    NULL_CONDITION,
    NULL_CONDITION_VJP,
    PAD_TEXT,
    PAD_TEXT_VJP,
    LOG_SNR_COSINE,
    LOG_SNR_LINEAR,
    CONTINUOUS_POSTERIOR,
)
