"""What is known about the blocks of U-Nets."""

from refimpl.ops.unet.spec.conditions import MICRO_CONDITIONS, TIME_MLP
from refimpl.ops.unet.spec.cross_attention import CROSS_ATTENTION
from refimpl.ops.unet.spec.residual import RESIDUAL_BLOCK, RESIDUAL_BLOCK_SCALE_SHIFT
from refimpl.ops.unet.spec.spatial_attention import SPATIAL_ATTENTION
from refimpl.ops.unet.spec.transformers import SPATIAL_TRANSFORMER, TRANSFORMER_BLOCK

OPS = (
    TIME_MLP,
    MICRO_CONDITIONS,
    RESIDUAL_BLOCK,
    RESIDUAL_BLOCK_SCALE_SHIFT,
    SPATIAL_ATTENTION,
    CROSS_ATTENTION,
    TRANSFORMER_BLOCK,
    SPATIAL_TRANSFORMER,
)
