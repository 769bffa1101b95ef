"""Whole models that make images: single layers, real weights, what they refuse."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util

import numpy as np
import pytest

from refimpl.axes import AxesError
from refimpl.models.registry import family, find_model
from refimpl.models.weights import check
from refimpl.oracle.diagnosis.structure import judge_layers
from refimpl.oracle.judging.layers import walk as walk_recording
from refimpl.oracle.targets.models import inputs_for
from tests.small import random_params


def zeros_on_all_sides(self, x, *_):
    return torch_functional().conv2d(x, self.conv.weight, self.conv.bias, 2, 1)


def halves_exchanged(self, x, *_):
    gate, up = self.proj(x).chunk(2, dim=-1)
    return up * torch_functional().gelu(gate)


def not_added(self, x, *_, **__):
    rest = torch_functional()
    y = self.conv1(rest.silu(self.norm1(x)))
    return self.conv2(rest.silu(self.norm2(y)))


def torch_functional():
    return importlib.import_module("torch").nn.functional


BROKEN = {  # a method of the library that is replaced, and what that is called
    "vae/zeros-on-all-sides": ("vae-testing", "downsampling.Downsample2D", zeros_on_all_sides),
    "vae/no-shortcut": ("vae-testing", "resnet.ResnetBlock2D", not_added),
    "sd-unet/gate-and-up-exchanged": ("sd-unet-testing", "activations.GEGLU", halves_exchanged),
}


@pytest.mark.parametrize("slug", BROKEN)
def test_a_library_that_is_broken_in_one_place_is_found_out(slug, monkeypatch):
    pytest.importorskip("torch")
    pytest.importorskip("diffusers")
    name, place, wrong = BROKEN[slug]
    library = importlib.import_module("refimpl.backends.parts.diffusers_models")
    module, _, kind = place.rpartition(".")
    module = importlib.import_module(f"diffusers.models.{module}")
    monkeypatch.setattr(getattr(module, kind), "forward", wrong)
    judgement = judge_layers(library.record(find_model(name), seed=1))
    (found,) = judgement.explanations
    assert [edit.id for edit in found.edits] == [slug]


def test_an_autoencoder_refuses_images_that_its_levels_cannot_halve():
    config = find_model("vae-testing")
    given = inputs_for(config, 0) | {"images": np.zeros((1, 3, 5, 4))}
    with pytest.raises(AxesError, match="sides that 2 divides"):
        family(config).text(**given, params=random_params(config), config=config)


def test_what_is_decoded_does_not_depend_on_the_scale_of_the_latents():
    config = find_model("vae-testing")
    params, given = random_params(config), inputs_for(config, 0)
    half, quarter = (
        family(config).text(**given, params=params, config=dataclasses.replace(config, scale=scale))
        for scale in (0.5, 0.25)  # by which nothing is rounded
    )
    assert np.array_equal(half, quarter)


def test_a_code_that_is_moved_in_the_book_changes_nothing():
    config = find_model("vqgan-testing")
    params, given = random_params(config), inputs_for(config, 0)
    text, book = family(config).text, params["quantize.embedding.weight"]
    other = params | {"quantize.embedding.weight": book[::-1]}
    first, second = (text(**given, params=one, config=config) for one in (params, other))
    assert np.array_equal(first, second)


class Far(Exception):
    """Enough was judged."""


def test_the_trained_adm_of_a_package_computes_its_first_blocks_in_onnx_runtime():
    for package in ("onnx", "onnxruntime", "terrain_diffusion"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    terrain = importlib.import_module("refimpl.backends.terrain")
    recording = terrain.record(find_model("terrain-adm"), seed=1)
    check(recording.params, recording.config)
    judged = []

    def meet(name, ours):
        found = recording.layers[name]
        judged.append((np.abs(found - ours.value) <= ours.error).all())
        if name == "input_blocks.2.0":
            raise Far

    with pytest.raises(Far):
        walk_recording(recording, recording.config, "float32", meet)
    assert len(judged) == 23
    assert all(judged)
    assert len(recording.layers) == 675


def test_at_the_smallest_level_a_consistency_model_leaves_an_image_as_it_is():
    config = find_model("consistency-adm-testing")
    params, given = random_params(config), inputs_for(config, 0)
    given |= {"noisy": np.clip(given["noisy"], -1, 1), "sigma": np.array([config.sigma_min])}
    text = family(config).text
    assert np.array_equal(text(**given, params=params, config=config), given["noisy"])
