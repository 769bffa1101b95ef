"""What is known about what stands between an image tower and a language model."""

from refimpl.ops.qformer.spec.layer import QFORMER_LAYER
from refimpl.ops.qformer.spec.pairs import (
    HARD_NEGATIVE_WEIGHTS,
    ITC_LOSS,
    ITC_LOSS_VJP,
    ITC_SIMILARITY,
    ITC_SIMILARITY_VJP,
)
from refimpl.ops.qformer.spec.tokens import (
    QFORMER_EMBED,
    QFORMER_EMBED_VJP,
    SPLICE_TOKENS,
    SPLICE_TOKENS_VJP,
)
from refimpl.ops.qformer.spec.vqa import VQA_SCORE

OPS = (
    QFORMER_EMBED,
    QFORMER_EMBED_VJP,
    QFORMER_LAYER,
    ITC_SIMILARITY,
    ITC_SIMILARITY_VJP,
    ITC_LOSS,
    ITC_LOSS_VJP,
    HARD_NEGATIVE_WEIGHTS,
    SPLICE_TOKENS,
    SPLICE_TOKENS_VJP,
    VQA_SCORE,
)
