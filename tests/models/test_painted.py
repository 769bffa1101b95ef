"""Stable Diffusion and VQGAN+CLIP, small: they paint what was asked, a third network finds."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl import fast
from refimpl.models import systems, weights
from refimpl.models.shipped import folder

KNOWN = {"stable-diffusion": 8, "vqgan-clip": 20}  # steps that are enough to tell


def judged(images):
    """The digits that the judge reads, which no system has seen."""
    p, x = weights.load(folder() / "judge.safetensors"), np.clip(images, -1, 1)
    for at in (0, 4, 8):
        x = fast.conv2d(x, p[f"{at}.weight"], p[f"{at}.bias"], 1, 1, 1, 1, 1)
        mean, variance, gain, bias = (
            p[f"{at + 1}.{part}"][:, None, None]
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        x = np.maximum((x - mean) / np.sqrt(variance + 1e-5) * gain + bias, 0)
        B, C, rows, cols = x.shape
        x = x[:, :, : rows // 2 * 2, : cols // 2 * 2].reshape(B, C, rows // 2, 2, cols // 2, 2)
        x = x.max(axis=(3, 5))
    return np.argmax(x.reshape(len(x), -1) @ p["14.weight"].T + p["14.bias"], axis=1)


def painted(name, word, **options):
    *_, last = systems.sample(name, systems.asked(name, f"a handwritten {word}", **options))
    return last.x.astype(np.float32)


@pytest.mark.parametrize("name", KNOWN)
def test_what_was_asked_is_painted(name):
    images = painted(name, "seven", steps=KNOWN[name], count=4)
    assert images.shape == (4, 1, 28, 28)
    assert np.sum(judged(images) == 7) >= 3


def test_codes_that_nobody_changed_say_nothing():
    images = painted("vqgan-clip", "seven", scale=0.0, steps=2, count=8)
    assert np.sum(judged(images) == 7) <= 4
