"""The small denoiser of pixels, led by a CLIP, a classifier, or by itself told the text."""

from __future__ import annotations

from refimpl.models.generate import SAMPLERS, SCALES, generate
from refimpl.models.shipped import TIMES
from refimpl.models.systems import System

SYSTEM = System(generate, SCALES, SAMPLERS, steps=50, most=TIMES)
