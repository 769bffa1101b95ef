"""What is known about images: laws, probes, mistakes and dialects."""

from refimpl.ops.images.spec.center_crop import CENTER_CROP, CENTER_CROP_VJP
from refimpl.ops.images.spec.cutouts import CUTOUTS, CUTOUTS_VJP
from refimpl.ops.images.spec.normalize_image import NORMALIZE_IMAGE, NORMALIZE_IMAGE_VJP
from refimpl.ops.images.spec.resize_bicubic import RESIZE_BICUBIC, RESIZE_BICUBIC_VJP

OPS = (
    RESIZE_BICUBIC,
    RESIZE_BICUBIC_VJP,
    CENTER_CROP,
    CENTER_CROP_VJP,
    NORMALIZE_IMAGE,
    NORMALIZE_IMAGE_VJP,
    CUTOUTS,
    CUTOUTS_VJP,
)
