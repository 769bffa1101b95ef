"""Small models of every kind, with random parameters of realistic scale."""

from __future__ import annotations

import math

import numpy as np

from refimpl.models.configs import Clip, Config, ResNet, Text, Vit

TOWER = Vit(
    14,
    32,
    2,
    2,
    96,
    image=28,
    embed=12,
    activation="quick_gelu",
    eps=1e-5,
    patch_bias=False,
    pre_norm=True,
)
WORDS = Text(24, 2, 2, 72, 12, context=7, vocabulary=40)
SMALL: dict[str, Config] = {
    "vit": Vit(7, 24, 2, 3, 60, image=28, classes=5),
    "vit-mean": Vit(14, 24, 2, 3, 60, image=28, channels=1, class_token=False),
    "vit-scaled": Vit(14, 24, 2, 3, 72, image=42, layer_scale=True),
    "clip": Clip(TOWER, WORDS),
    "clip-resnet": Clip(ResNet((1, 2, 1, 1), 8, 12, image=64), WORDS),
}


def random_params(config: Config, seed: int = 0, dtype: type = np.float32) -> dict:
    """Matrices that keep the size of what they multiply; gains about one, variances positive."""
    rng = np.random.default_rng(seed)
    params = {}
    for name, shape in config.shapes().items():
        noise = rng.normal(size=shape)
        if name.endswith("running_var"):
            value = 0.5 + np.abs(noise)
        elif name.endswith((".weight", ".gamma")) and len(shape) == 1:
            value = 1 + 0.1 * noise
        elif ".alpha_" in name:
            value = 0.8 + 0.3 * noise  # gates that are open
        elif name == "logit_scale":
            value = np.log(1 / 0.07)
        elif len(shape) == 1 or "embedding" in name:
            value = 0.1 * noise
        else:
            into = shape[0] if name.endswith("proj") else math.prod(shape[1:])
            value = noise / math.sqrt(into)
        params[name] = np.asarray(value, dtype)
    return params
