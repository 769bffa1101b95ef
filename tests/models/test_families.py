"""Families of whole models: published sizes, structures that are wrong, a library's layers."""

from __future__ import annotations

import functools
import importlib

import numpy as np
import pytest

from refimpl.models.configs import count
from refimpl.models.registry import family, find_model
from refimpl.models.weights import check
from refimpl.oracle.diagnosis.structure import judge_layers
from tests.models.walks import moved, recorded, walk

PUBLISHED = {  # numbers that are trained, a table that serves twice counted once
    "bert-base": 109_482_240,
    "bert-base-masked": 109_514_298,
    "bert-base-pretraining": 110_106_428,
    "bert-large": 335_141_888,
    "bert-large-masked": 335_174_458,
    "bert-large-pretraining": 336_226_108,
    "minilm-l6": 22_713_216,
    "gpt1": 116_534_784,
    "gpt-notebook": 5_809_168,
    "bart-base": 139_420_416,
    "bart-large": 406_291_456,
    "t5-small": 60_506_624,
    "t5-base": 222_903_552,
    "t5-large": 737_668_096,
    "t5-3b": 2_851_598_336,
    "t5-11b": 11_307_321_344,
    "t5-v1.1-small": 76_961_152,
    "t5-v1.1-base": 247_577_856,
    "t5-v1.1-large": 783_150_080,
    "t5-v1.1-xl": 2_849_757_184,
    "t5-v1.1-xxl": 11_135_332_352,
    "llama-2-7b": 6_738_415_616,
    "llama-3-8b": 8_030_261_248,
    "qwen2.5-0.5b": 494_032_768,
    "qwen2.5-3b": 3_085_938_688,
    "qwen2.5-7b": 7_615_616_512,
    "glassllm": 852_608,
    "ruaccent": 7_488_736,
    "sd-vae": 83_653_863,
    "sdxl-vae": 83_653_863,
    "sd3-vae": 83_819_683,
    "flux-vae": 83_819_683,
    "vqgan-f16-1024": 72_141_699,
    "vqgan-f16-16384": 76_073_859,
    "vq-f4": 55_322_782,
    "ddpm-cifar10": 35_746_307,
    "ddpm-256": 113_673_219,
    "sd-1.5-unet": 859_520_964,
    "sd-1.5-inpainting-unet": 859_535_364,
    "sd-2.1-unet": 865_910_724,
    "sdxl-unet": 2_567_463_684,
    "sdxl-refiner-unet": 2_259_526_660,
    "terrain-adm": 10_456_656 - 111,  # of a file that keeps so many constants beside them
    "blip2-itm-vit-g": 1_172_032_258,
    "llava-1.5-7b": 7_063_427_072,
    "idefics-9b": 8_929_679_632,
    "glide-text": 76_695_808,  # by the sizes of its code, summed by hand
    "karlo-prior": 1_022_030_080,
    "kandinsky-2.2-prior": 1_026_225_920,
    "if-i-xl": 4_304_695_110,
    "kandinsky-2.2-decoder": 1_253_057_288,
    "qwen2.5-vl-3b": 3_754_622_976,
    "qwen2.5-vl-7b": 8_292_166_656,
    "qwen2.5-vl-72b": 73_410_777_344,
}
MILLIONS = {  # as the table of the paper has them
    "adm-64": 296,
    "adm-128": 422,
    "adm-256": 554,
    "adm-512": 559,
}
TOWERS = {  # that are a part of these
    "blip2-itm-vit-g": 985_952_256,
    "llava-1.5-7b": 303_507_456,
    "qwen2.5-vl-3b": 668_684_288,
    "qwen2.5-vl-7b": 676_550_144,
    "qwen2.5-vl-72b": 704_573_696,
}
LIBRARIES = {  # where the small models of each are recorded
    "transformers": (
        *("bert", "gpt1", "gpt2", "bart", "t5", "t5-v1.1", "llama", "qwen2"),
        *("qwen2.5-vl", "blip2", "llava", "flamingo", "open-flamingo"),
    ),
    "diffusers": (
        *("vae", "vae-16", "vqgan", "ddpm-unet", "sd-unet", "sdxl-unet", "adm"),
        *("prior", "imagen", "imagen-enlarging", "unclip"),
    ),
    "parts.torch_whole": ("transformer", "adm-classifier", "glide"),
}
RECORDED = {f"{name}-testing": where for where, names in LIBRARIES.items() for name in names}
SMALL = (*RECORDED, "consistency-adm-testing")
UNSEEN = {  # parts of no module, and what modules have in another shape
    "gpt1": ("query", "key", "value", "mixed", "activation"),
    "adm-classifier": ("proj_out", "tokens"),
}
FAMILIES = {name: family(find_model(name)) for name in SMALL}
MISTAKES = {edit.id: (model, edit) for model in FAMILIES.values() for edit in model.mistakes}
WRONG = (
    "transformer-testing translator/sines-before-all-cosines",
    "transformer-testing translator/no-norm-behind-the-memory",
    "gpt1-testing gpt1/norm-before-adding",
    "bert-testing bert/pre-norm",
    "bert-testing bert/guess-without-norm",
    "bart-testing bart/values-from-keys-of-the-memory",
    "t5-testing t5/scores-of-words-not-scaled",
    "t5-v1.1-testing t5/gate-and-up-exchanged",
    "qwen2-testing llama/groups-interleaved",
    "qwen2-testing llama/bias-dropped",
    "vae-testing vae/latents-not-scaled",
    "vqgan-testing vqgan/directions",
    "ddpm-unet-testing ddpm-unet/frequencies-of-half",
    "ddpm-unet-testing ddpm-unet/kept-map-before-the-features",
    "ddpm-unet-testing ddpm-unet/time-behind-the-norm",
    "sdxl-unet-testing sd-unet/target-before-crop",
    "adm-testing adm/shift-before-scale",
    "adm-classifier-testing adm-classifier/mean-of-tokens",
    "glide-testing glide/padding-hidden",
    "glide-testing glide/read-at-the-last-word",
    "consistency-adm-testing consistency-adm/factors-of-edm",
    "qwen2.5-vl-testing qwen-vl/frames-not-separated",
)
right_walk = functools.cache(walk)


@pytest.mark.parametrize(("name", "parameters"), PUBLISHED.items())
def test_the_model_has_as_many_parameters_as_was_published(name, parameters):
    assert count(find_model(name)) == parameters


@pytest.mark.parametrize(("name", "millions"), MILLIONS.items())
def test_adm_has_as_many_parameters_as_its_paper_says(name, millions):
    assert round(count(find_model(name)) / 1e6) == millions


@pytest.mark.parametrize(("name", "parameters"), TOWERS.items())
def test_its_tower_has_as_many_parameters_as_was_published(name, parameters):
    shapes = find_model(name).shapes()
    assert sum(np.prod(x) for at, x in shapes.items() if at.startswith("visual.")) == parameters


@pytest.mark.parametrize("slug", MISTAKES)
def test_every_mistake_changes_what_a_model_of_the_family_computes(slug):
    model, edit = MISTAKES[slug]
    several = [name for name in SMALL if FAMILIES[name] is model]
    assert max(moved(right_walk(name), walk(name, edit)) for name in several) > 1e-3


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_structure_is_named_and_nothing_else(wrong):
    name, slug = wrong.split()
    _, edit = MISTAKES[slug]
    judgement = judge_layers(recorded(name, edit))
    assert [found.edits for found in judgement.explanations] == [(edit,)]


@pytest.mark.parametrize("name", RECORDED)
def test_a_library_computes_every_layer_of_it(name):
    where = RECORDED[name]
    for package in ("torch", where) if "." not in where else ("torch",):
        pytest.importorskip(package)
    recording = importlib.import_module(f"refimpl.backends.{where}").record(
        find_model(name), seed=1
    )
    check(recording.params, recording.config)
    judgement = judge_layers(recording)
    assert judgement.status == "conforms"
    unseen = UNSEEN.get(FAMILIES[name].name, ())
    named = {layer for layer in right_walk(name) if layer.rpartition(".")[2] not in unseen}
    assert {layer.name for layer in judgement.layers} == named
    assert all(layer.judged for layer in judgement.layers)
