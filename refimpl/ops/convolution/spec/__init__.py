"""What is known about convolution, and about changes of size."""

from refimpl.ops.convolution.spec.adaptive_avg_pool2d import (
    ADAPTIVE_AVG_POOL2D,
    ADAPTIVE_AVG_POOL2D_VJP,
)
from refimpl.ops.convolution.spec.avg_pool2d import AVG_POOL2D, AVG_POOL2D_VJP
from refimpl.ops.convolution.spec.conv2d import CONV2D, CONV2D_VJP
from refimpl.ops.convolution.spec.conv_transpose2d import (
    CONV_TRANSPOSE2D,
    CONV_TRANSPOSE2D_VJP,
)
from refimpl.ops.convolution.spec.resize_nearest import RESIZE_NEAREST, RESIZE_NEAREST_VJP

OPS = (
    CONV2D,
    CONV2D_VJP,
    CONV_TRANSPOSE2D,
    CONV_TRANSPOSE2D_VJP,
    RESIZE_NEAREST,
    RESIZE_NEAREST_VJP,
    AVG_POOL2D,
    AVG_POOL2D_VJP,
    ADAPTIVE_AVG_POOL2D,
    ADAPTIVE_AVG_POOL2D_VJP,
)
