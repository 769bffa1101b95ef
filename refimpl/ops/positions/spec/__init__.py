"""What is known about positions."""

from refimpl.ops.positions.spec.alibi_bias import ALIBI_BIAS
from refimpl.ops.positions.spec.embed_tokens import EMBED_TOKENS, EMBED_TOKENS_VJP
from refimpl.ops.positions.spec.halves_and_pairs import HALVES_FROM_PAIRS, PAIRS_FROM_HALVES
from refimpl.ops.positions.spec.relative_bias import RELATIVE_BIAS, RELATIVE_BIAS_VJP
from refimpl.ops.positions.spec.relative_buckets import (
    RELATIVE_BUCKETS,
    RELATIVE_BUCKETS_CAUSAL,
)
from refimpl.ops.positions.spec.resize_positions import RESIZE_POSITIONS, RESIZE_POSITIONS_VJP
from refimpl.ops.positions.spec.rotary_angles import ROTARY_ANGLES
from refimpl.ops.positions.spec.rotary_embedding import ROTARY_EMBEDDING, ROTARY_EMBEDDING_VJP

OPS = (
    EMBED_TOKENS,
    EMBED_TOKENS_VJP,
    ROTARY_ANGLES,
    ROTARY_EMBEDDING,
    ROTARY_EMBEDDING_VJP,
    HALVES_FROM_PAIRS,
    PAIRS_FROM_HALVES,
    ALIBI_BIAS,
    RELATIVE_BUCKETS,
    RELATIVE_BUCKETS_CAUSAL,
    RELATIVE_BIAS,
    RELATIVE_BIAS_VJP,
    RESIZE_POSITIONS,
    RESIZE_POSITIONS_VJP,
)
