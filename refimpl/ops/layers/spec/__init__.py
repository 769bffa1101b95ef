"""What is known about the layers: laws, probes, mistakes and dialects."""

from refimpl.ops.layers.spec.cross_entropy import CROSS_ENTROPY, CROSS_ENTROPY_VJP
from refimpl.ops.layers.spec.gelu import GELU, GELU_VJP
from refimpl.ops.layers.spec.gelu_tanh import GELU_TANH, GELU_TANH_VJP
from refimpl.ops.layers.spec.group_norm import GROUP_NORM, GROUP_NORM_VJP
from refimpl.ops.layers.spec.l2_normalize import L2_NORMALIZE, L2_NORMALIZE_VJP
from refimpl.ops.layers.spec.layer_norm import LAYER_NORM, LAYER_NORM_VJP
from refimpl.ops.layers.spec.linear import LINEAR, LINEAR_VJP
from refimpl.ops.layers.spec.log_softmax import LOG_SOFTMAX, LOG_SOFTMAX_VJP
from refimpl.ops.layers.spec.quick_gelu import QUICK_GELU, QUICK_GELU_VJP
from refimpl.ops.layers.spec.rms_norm import RMS_NORM, RMS_NORM_VJP
from refimpl.ops.layers.spec.sigmoid import SIGMOID, SIGMOID_VJP
from refimpl.ops.layers.spec.silu import SILU, SILU_VJP
from refimpl.ops.layers.spec.softmax import SOFTMAX, SOFTMAX_VJP

OPS = (
    LINEAR,
    LINEAR_VJP,
    LAYER_NORM,
    LAYER_NORM_VJP,
    RMS_NORM,
    RMS_NORM_VJP,
    GROUP_NORM,
    GROUP_NORM_VJP,
    SOFTMAX,
    SOFTMAX_VJP,
    LOG_SOFTMAX,
    LOG_SOFTMAX_VJP,
    CROSS_ENTROPY,
    CROSS_ENTROPY_VJP,
    SIGMOID,
    SIGMOID_VJP,
    GELU,
    GELU_VJP,
    GELU_TANH,
    GELU_TANH_VJP,
    QUICK_GELU,
    QUICK_GELU_VJP,
    SILU,
    SILU_VJP,
    L2_NORMALIZE,
    L2_NORMALIZE_VJP,
)
