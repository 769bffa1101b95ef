"""The record of VQGAN."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from refimpl.models.diffusers_names import ENTERING, MODULES
from refimpl.models.mistakes_maps import VQ_MISTAKES
from refimpl.models.model import Choice, Model
from refimpl.models.vqgan import Vqgan, vqgan


def inputs(config: Vqgan, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Two small images, wider than tall."""
    shape = (2, config.channels, 2 * config.step, 3 * config.step)
    return {"images": rng.uniform(-1, 1, shape).astype(np.float32)}


F_16 = Vqgan((128, 128, 256, 256, 512), 2, 256, attention=(4,))
MODEL = Model(
    name="vqgan",
    text=vqgan,
    config=Vqgan,
    inputs=inputs,
    sizes={
        "vqgan-testing": Vqgan((8, 16), 1, 6, groups=4, attention=(1,), codes=20, code=5),
        "vqgan-f16-1024": F_16,
        "vqgan-f16-16384": replace(F_16, codes=16384),
        "vq-f4": Vqgan((128, 256, 512), 2, 3, codes=8192, code=3),
    },
    choices=(Choice("eps", (1e-6, 1e-5), "an epsilon of "),),
    mistakes=VQ_MISTAKES,
    modules=MODULES,
    entering=ENTERING,
    sign="quantize.embedding.weight",
    says="VQModel",
)
