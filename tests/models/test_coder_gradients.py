"""The gradient of a decoder, by hand, is its slope in every kind of layer."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.models import recorder
from refimpl.models.autoencoder import decode
from refimpl.models.coder_gradients import decode_vjp
from refimpl.models.vqgan import Vqgan
from tests.small import random_params

CODER = Vqgan((4, 8), 1, latent=4, channels=2, groups=2, attention=(1,), codes=5, code=4)


def given():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(2, 4, 2, 3))
    return random_params(CODER), z, rng.normal(size=z.shape), rng.normal(size=(2, 2, 4, 6))


def test_the_gradient_of_a_decoder_is_its_slope():
    params, z, direction, grad = given()
    step = 1e-5
    rise = [np.sum(grad * decode(z + way * step * direction, params, CODER)) for way in (1, -1)]
    slope = (rise[0] - rise[1]) / (2 * step)
    assert np.sum(decode_vjp(z, params, CODER, grad) * direction) == pytest.approx(slope, rel=1e-6)


def test_every_value_on_the_way_back_has_a_name():
    params, z, _, grad = given()
    forth, back = {}, {}
    decode(z, params, CODER, tap=recorder(forth))
    decode_vjp(z, params, CODER, grad, tap=recorder(back), kept=forth)
    named = {name.removesuffix(".grad") for name in back}
    assert {"z", "decoder.conv_in", "decoder.up_blocks.0.upsamplers.0.conv"} <= named
    shapes = {name: back[f"{name}.grad"].shape for name in named - {"z"} if name in forth}
    assert shapes == {name: forth[name].shape for name in shapes}


def test_what_was_kept_on_the_way_there_gives_the_same_gradient():
    params, z, _, grad = given()
    kept = {}
    decode(z, params, CODER, tap=recorder(kept))
    once, again = (decode_vjp(z, params, CODER, grad, kept=found) for found in (kept, None))
    assert np.array_equal(once, again)
