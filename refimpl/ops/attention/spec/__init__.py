"""What is known about attention and its masks: laws, probes, mistakes and dialects."""

from refimpl.ops.attention.spec.attention import ATTENTION
from refimpl.ops.attention.spec.attention_vjp import ATTENTION_VJP
from refimpl.ops.attention.spec.block_diagonal_bias import BLOCK_DIAGONAL_BIAS
from refimpl.ops.attention.spec.cache_biases import CACHED_CAUSAL_BIAS, SLIDING_WINDOW_BIAS
from refimpl.ops.attention.spec.causal_bias import CAUSAL_BIAS, CAUSAL_BIAS_LOWER_RIGHT
from refimpl.ops.attention.spec.multi_head_attention import MULTI_HEAD_ATTENTION
from refimpl.ops.attention.spec.multi_head_attention_vjp import MULTI_HEAD_ATTENTION_VJP
from refimpl.ops.attention.spec.padding_bias import PADDING_BIAS
from refimpl.ops.attention.spec.prefix_bias import PREFIX_BIAS

OPS = (
    ATTENTION,
    ATTENTION_VJP,
    MULTI_HEAD_ATTENTION,
    MULTI_HEAD_ATTENTION_VJP,
    CAUSAL_BIAS,
    CAUSAL_BIAS_LOWER_RIGHT,
    PADDING_BIAS,
    PREFIX_BIAS,
    BLOCK_DIAGONAL_BIAS,
    SLIDING_WINDOW_BIAS,
    CACHED_CAUSAL_BIAS,
)
