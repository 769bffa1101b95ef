"""What is known about images and videos of any size in a language model."""

from refimpl.ops.qwen.spec.angles import GRID_ANGLES, MROPE_ANGLES, MROPE_ANGLES_INTERLEAVED
from refimpl.ops.qwen.spec.patches import MERGE_ORDER, PATCHIFY_VIDEO, PATCHIFY_VIDEO_VJP
from refimpl.ops.qwen.spec.positions import MULTIMODAL_POSITIONS
from refimpl.ops.qwen.spec.smart_resize import SMART_RESIZE
from refimpl.ops.qwen.spec.windows import INVERSE_ORDER, WINDOW_ORDER

OPS = (
    SMART_RESIZE,
    PATCHIFY_VIDEO,
    PATCHIFY_VIDEO_VJP,
    MERGE_ORDER,
    GRID_ANGLES,
    WINDOW_ORDER,
    INVERSE_ORDER,
    MULTIMODAL_POSITIONS,
    MROPE_ANGLES,
    MROPE_ANGLES_INTERLEAVED,
)
