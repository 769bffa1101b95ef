"""What is known about objectives."""

from refimpl.ops.objectives.spec.corrupt_tokens import CORRUPT_TOKENS
from refimpl.ops.objectives.spec.masked_cross_entropy import (
    MASKED_CROSS_ENTROPY,
    MASKED_CROSS_ENTROPY_VJP,
)
from refimpl.ops.objectives.spec.next_token_loss import NEXT_TOKEN_LOSS, NEXT_TOKEN_LOSS_VJP
from refimpl.ops.objectives.spec.perplexity import PERPLEXITY
from refimpl.ops.objectives.spec.shift_right import SHIFT_RIGHT
from refimpl.ops.objectives.spec.smoothed_cross_entropy import (
    SMOOTHED_CROSS_ENTROPY,
    SMOOTHED_CROSS_ENTROPY_VJP,
)
from refimpl.ops.objectives.spec.token_log_probs import TOKEN_LOG_PROBS, TOKEN_LOG_PROBS_VJP

OPS = (
    SHIFT_RIGHT,
    TOKEN_LOG_PROBS,
    TOKEN_LOG_PROBS_VJP,
    MASKED_CROSS_ENTROPY,
    MASKED_CROSS_ENTROPY_VJP,
    NEXT_TOKEN_LOSS,
    NEXT_TOKEN_LOSS_VJP,
    SMOOTHED_CROSS_ENTROPY,
    SMOOTHED_CROSS_ENTROPY_VJP,
    PERPLEXITY,
    CORRUPT_TOKENS,
)
