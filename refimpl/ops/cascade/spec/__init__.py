"""What is known about cascades."""

from refimpl.ops.cascade.spec.conditions import (
    NULL_CONDITION,
    NULL_CONDITION_VJP,
    PAD_TEXT,
    PAD_TEXT_VJP,
)
from refimpl.ops.cascade.spec.embeddings import (
    AUGMENT_EMBEDDING,
    AUGMENT_EMBEDDING_VJP,
    STANDARDIZE_EMBEDDING,
    STANDARDIZE_EMBEDDING_VJP,
)
from refimpl.ops.cascade.spec.prior import (
    CONTEXT_TOKENS,
    CONTEXT_TOKENS_VJP,
    PRIOR_BIAS,
    PRIOR_TOKENS,
    PRIOR_TOKENS_VJP,
)
from refimpl.ops.cascade.spec.times import CONTINUOUS_POSTERIOR, LOG_SNR_COSINE, LOG_SNR_LINEAR

OPS = (
    STANDARDIZE_EMBEDDING,
    STANDARDIZE_EMBEDDING_VJP,
    AUGMENT_EMBEDDING,
    AUGMENT_EMBEDDING_VJP,
    PRIOR_TOKENS,
    PRIOR_TOKENS_VJP,
    PRIOR_BIAS,
    CONTEXT_TOKENS,
    CONTEXT_TOKENS_VJP,
    NULL_CONDITION,
    NULL_CONDITION_VJP,
    PAD_TEXT,
    PAD_TEXT_VJP,
    LOG_SNR_COSINE,
    LOG_SNR_LINEAR,
    CONTINUOUS_POSTERIOR,
)
