"""The models that `refimpl bench` races against are the models of the texts."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.models import TEXT
from refimpl.models.autoencoder import decode
from refimpl.models.feature_maps import convolve, residual
from refimpl.models.gpt2 import Gpt2, gpt2
from refimpl.models.sd_unet import read_words
from refimpl.models.spec.sd_unet import TESTING as UNET
from refimpl.models.spec.vae import TESTING as VAE
from refimpl.oracle.judging.layers import bounded
from tests.small import random_params

GPT2 = Gpt2(24, 2, 3, context=12, vocabulary=40)
RESIDUAL, READS = "down_blocks.0.resnets.0", "down_blocks.0.attentions.0"


def drawn(*shape):
    return np.random.default_rng(0).normal(size=shape)


def assert_is(found, text, params, **given):
    whole = bounded(text, params, "float64", **given)
    assert np.isfinite(whole.error).all()
    assert (np.abs(found.numpy() - whole.value) <= 2 * whole.error).all()


@pytest.fixture
def torch_maps():
    pytest.importorskip("torch")
    from refimpl.backends import torch_maps

    return torch_maps


def as_tensors(*arrays):
    import torch

    return map(torch.from_numpy, arrays)


def given_params(config):
    from refimpl.backends import torch_models

    params = random_params(config, dtype=np.float64)
    return params, torch_models.as_tensors(params)


def test_a_block_that_reads_words(torch_maps):
    params, tensors = given_params(UNET)
    x, emb, words = drawn(2, 8, 4, 4), drawn(2, UNET.emb), drawn(2, 5, 12)

    def text(x, emb, words, params, config, ops):
        y = residual(x, params, RESIDUAL, config, ops, emb=emb)
        return read_words(y, words, params, READS, 2, 1, config, ops)

    map_, told, read = as_tensors(x, emb, words)
    y = torch_maps.residual(map_, tensors, RESIDUAL, UNET, told)
    found = torch_maps.read_words(y, read, tensors, READS, 2, UNET)
    assert_is(found, text, params, x=x, emb=emb, words=words, config=UNET)


def test_a_decoder_of_latents(torch_maps):
    params, tensors = given_params(VAE)
    z = drawn(1, 4, 3, 3)
    expected = decode(convolve(z, params, "post_quant_conv", TEXT), params, VAE)
    found = torch_maps.decode(*as_tensors(z), tensors, VAE)
    assert np.allclose(found, expected, rtol=1e-9, atol=1e-9)  # the bound of the whole is infinite


def test_gpt2_at_once_and_word_by_word(torch_maps):
    import torch

    from refimpl.backends import torch_models

    params, tensors = given_params(GPT2)
    ids = np.random.default_rng(0).integers(0, 40, (2, 6))
    cache = torch.zeros((2, 2, 2, 3, 6, 8), dtype=torch.float64)
    steps = [
        torch_models.gpt2(
            torch.from_numpy(ids[:, n : n + 1]), tensors, GPT2, cache[..., : n + 1, :]
        )
        for n in range(6)
    ]
    for found in (torch_models.gpt2(torch.from_numpy(ids), tensors, GPT2), torch.cat(steps, 1)):
        assert_is(found, gpt2, params, ids=ids, config=GPT2)
