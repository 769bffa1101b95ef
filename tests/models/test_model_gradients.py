"""The gradients of whole image towers, by hand, against PyTorch's autograd and against slopes."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

import refimpl
from refimpl.models import TEXT, recorder
from refimpl.models.clip import clip_image
from refimpl.models.gradients import clip_image_vjp
from refimpl.models.spec.vit import MODEL as VIT
from refimpl.oracle.diagnosis.structure import judge_layers
from refimpl.oracle.judging.layers import bounded
from refimpl.oracle.targets.models import Recording, inputs_for
from tests.small import SMALL, random_params

TOWERS = {  # name: the tower, its gradient, and the width of what it returns
    "vit": (VIT.text, VIT.gradient, 5),
    "vit-mean": (VIT.text, VIT.gradient, 24),
    "vit-scaled": (VIT.text, VIT.gradient, 24),
    "clip": (clip_image, clip_image_vjp, 12),
    "clip-resnet": (clip_image, clip_image_vjp, 12),
}


ONE_BLOCK = {name: dataclasses.replace(SMALL[name], layers=1) for name in TOWERS if "vit" in name}
ONE_BLOCK["clip"] = dataclasses.replace(
    SMALL["clip"], vision=dataclasses.replace(SMALL["clip"].vision, layers=1)
)


def given_to(name, dtype=np.float64, of=SMALL):
    """Images, parameters and a gradient of what the tower returns."""
    config, (_, _, width) = of[name], TOWERS[name]
    images = inputs_for(config, 0)["images"].astype(dtype)
    grad = np.random.default_rng(1).normal(size=(len(images), width)).astype(dtype)
    return config, random_params(config, dtype=dtype), images, grad


def torch_operations(torch):
    """The operations of a tower in PyTorch's own functions, on tensors."""
    F = torch.nn.functional

    def patch_embed(images, weight, bias):
        return F.conv2d(images, weight, bias, stride=weight.shape[-1]).flatten(2).mT

    def vit_tokens(patches, class_token, positions):
        first = class_token.expand(len(patches), 1, -1)
        return torch.cat((first, patches), 1) + positions

    return SimpleNamespace(
        linear=F.linear,
        layer_norm=lambda x, gain, bias, eps: F.layer_norm(x, gain.shape, gain, bias, eps),
        gelu=F.gelu,
        quick_gelu=lambda x: x * torch.sigmoid(1.702 * x),
        patch_embed=patch_embed,
        vit_tokens=vit_tokens,
        attention=F.scaled_dot_product_attention,
    )


def answering_numpy(torch):
    """Tensors that answer the few NumPy functions which a tower calls itself."""

    def alike(parts):
        dtype = next(x.dtype for x in parts if isinstance(x, torch.Tensor))
        return [torch.as_tensor(x, dtype=dtype) for x in parts]

    functions = {
        "reshape": torch.reshape,
        "swapaxes": torch.swapaxes,
        "mean": lambda x, axis, keepdims=False: torch.mean(x, axis, keepdim=keepdims),
        "stack": torch.stack,
        "concatenate": lambda parts, axis: torch.cat(alike(parts), axis),
        "sqrt": torch.sqrt,
        "maximum": torch.clamp,
    }

    class Tensor(torch.Tensor):
        def __array_function__(self, func, types, args, kwargs):
            return functions[func.__name__](*args, **kwargs)

        def __array_ufunc__(self, ufunc, method, *args):
            return functions[ufunc.__name__](*args)

    return lambda x: torch.tensor(x).as_subclass(Tensor)


def by_autograd(name, dtype, of=SMALL):
    """Every value of the tower and every gradient as PyTorch finds them, and that of the images."""
    torch = pytest.importorskip("torch")
    read = answering_numpy(torch)
    config, params, images, grad = given_to(name, dtype, of)
    tensors = {n: read(x) for n, x in params.items()}
    pixels, kept = read(images).requires_grad_(), {}

    def tap(layer, x):
        kept[layer] = x.view_as(x)  # where a mean is over one pixel, a layer passes on its input
        kept[layer].retain_grad()
        return kept[layer]

    tower = TOWERS[name][0]
    tower(pixels, tensors, config, torch_operations(torch), tap).backward(read(grad))
    layers = {layer: x.detach().numpy() for layer, x in kept.items()}
    last = list(kept)[-1]  # its gradient is given
    grads = {f"{layer}.grad": x.grad.numpy() for layer, x in kept.items() if layer != last}
    at = "visual." if name.startswith("clip") else ""
    grads[f"{at}images.grad"] = pixels.grad.numpy()
    del layers[last]
    if "visual.attnpool.mixed" in layers:
        del grads["visual.pooled.grad"]  # the same as that of the features
    recording = Recording(config, params, {"images": images, "grad": grad}, {**layers, **grads})
    return recording, pixels.grad.numpy()


@pytest.mark.parametrize("name", ONE_BLOCK)
def test_the_whole_gradient_through_one_block_is_within_its_bound_of_autograd(name):
    recording, found = by_autograd(name, np.float64, ONE_BLOCK)
    whole = bounded(
        TOWERS[name][1], recording.params, "float64", **recording.inputs, config=recording.config
    )
    assert whole.error.max() < np.abs(whole.value).max() / 100  # a bound that can be missed
    assert (np.abs(found - whole.value) <= 2 * whole.error).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", TOWERS)
def test_the_gradient_of_every_layer_is_within_its_bound_of_autograd(name, dtype):
    recording, _ = by_autograd(name, dtype)
    judgement = judge_layers(recording, np.dtype(dtype).name, run=TOWERS[name][1])
    assert judgement.first is None
    assert sum(layer.name.endswith(".grad") for layer in judgement.layers) >= 26
    assert max(layer.relative_bound for layer in judgement.layers) < 0.01


@pytest.mark.parametrize("name", TOWERS)
def test_on_the_compiled_twins_every_gradient_is_within_its_bound(name):
    config, params, images, grad = given_to(name, np.float32)
    layers: dict = {}
    found = TOWERS[name][1](images, params, config, grad, refimpl.fast, recorder(layers))
    assert found.dtype == np.float32
    recording = Recording(config, params, {"images": images, "grad": grad}, layers)
    assert judge_layers(recording, run=TOWERS[name][1]).first is None


@pytest.mark.parametrize("name", ONE_BLOCK)  # a ResNet has kinks wherever a sum crosses zero
def test_the_gradient_is_the_slope_of_the_tower_in_a_random_direction(name):
    config, params, images, grad = given_to(name)
    tower, vjp, _ = TOWERS[name]
    direction = np.random.default_rng(2).normal(size=images.shape)
    slope = np.sum(vjp(images, params, config, grad) * direction)
    steps = 2.0 ** -np.arange(3, 12)
    errors = []
    for h in steps:
        ahead, behind = (tower(images + s * h * direction, params, config) for s in (1, -1))
        errors.append(abs(np.sum(grad * (ahead - behind)) / (2 * h) - slope))
    falls = np.log2(np.array(errors[:-1]) / errors[1:])
    assert np.median(falls[-4:]).round(1) == 2  # a central difference is off by a multiple of h²


def test_the_gradient_of_a_logit_reaches_the_pixels():
    config, params, images, _ = given_to("clip")
    texts = np.random.default_rng(3).normal(size=(3, 12))
    scale, which = float(params["logit_scale"]), np.zeros((2, 3))
    which[1, 2] = 1
    features = clip_image(images, params, config)
    into = TEXT.clip_logits_vjp(features, texts, scale, which)[0]
    pixels = clip_image_vjp(images, params, config, into)
    assert not pixels[0].any()  # the logit of the second image does not depend on the first
    radial = np.sum(into * features, axis=-1)  # nor on how long the features are
    bound = bounded(
        lambda params, ops, f: np.sum(ops.clip_logits_vjp(f, texts, scale, which)[0] * f, axis=-1),
        params,
        "float64",
        f=features,
    )
    assert (np.abs(radial) <= 2 * bound.error).all()


def test_a_mistake_in_the_gradient_is_found_in_its_layer():
    recording, _ = by_autograd("vit", np.float32)
    name = "transformer.resblocks.0.mlp.c_fc"
    wrong = recording.layers[f"{name}.grad"] * np.float32(1.01)
    layers = {**recording.layers, f"{name}.grad": wrong}
    judgement = judge_layers(dataclasses.replace(recording, layers=layers), run=VIT.gradient)
    assert judgement.first.name == f"{name}.grad"
