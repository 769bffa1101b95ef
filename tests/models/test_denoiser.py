"""The denoiser and both small CLIPs: what was trained in PyTorch is what the texts compute."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

from refimpl import fast
from refimpl.axes import AxesError
from refimpl.models import TEXT, recorder
from refimpl.models.denoiser import denoise, infer, label_condition, text_condition
from refimpl.models.shipped import folder, small_clip, small_denoiser
from refimpl.oracle.diagnosis.structure import judge_layers
from refimpl.oracle.judging.layers import Lifted, exact
from refimpl.oracle.targets.models import Recording
from tests.models.walks import FLOAT32, deviations

BLOCK = re.compile(r"(.*resblocks\.\d+)(\.(ln_1|attn|ln_2|mlp\.c_fc|mlp\.gelu|mlp\.c_proj))?")


def in_torch(name):
    """The module that the weights were trained as, in float32."""
    torch = pytest.importorskip("torch")
    path = folder() / "torch_models.py"
    spec = importlib.util.spec_from_file_location("torch_models", path)
    modules = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(modules)
    if name == "denoiser":
        config, params = small_denoiser()
        trunk = config.trunk
        module = modules.Denoiser(
            trunk.patch, trunk.width, trunk.layers, config.text, config.labels
        )
    else:
        model = small_clip(name)
        config, params = model.config, model.params
        vision, text = config.vision, config.text
        module = modules.CLIP(
            text.vocabulary, text.context, vision.patch, vision.width, vision.layers, text.layers
        )
    module.load_state_dict({key: torch.tensor(value) for key, value in params.items()})
    return module.eval(), torch


def recorded(module, run):
    """What the modules of a Transformer gave, under the names of our taps."""
    layers = {}

    def keep(name):
        def hook(_, __, output):
            layers[name] = output.detach().numpy().copy()

        return hook

    for name, part in module.named_modules():
        if found := BLOCK.fullmatch(name):
            keeps = found[1] + (found[2] or "").replace("gelu", "activation")
            part.register_forward_hook(keep(keeps))
    for name in ("ln_post", "head"):
        if hasattr(module, name):
            getattr(module, name).register_forward_hook(keep(name))
    run()
    return layers


def noisy_batch(count=3):
    rng = np.random.default_rng(4)
    x_t = rng.standard_normal((count, 1, 28, 28)).astype(np.float32)
    return x_t, np.array([0, 431, 999][:count], dtype=np.float32)


def wrong_layers(layers, *inputs):
    config, params = small_denoiser()
    given = [exact(x, FLOAT32) for x in inputs]
    lifted = Lifted(params, FLOAT32)
    return deviations(layers, denoise, lambda tap: denoise(*given, lifted, config, TEXT, tap))


def torch_layers():
    module, torch = in_torch("denoiser")
    x_t, t = noisy_batch()
    _, params = small_denoiser()
    condition = label_condition(np.array([7, 3, 10]), params)
    results = []

    def run():
        with torch.no_grad():
            results.append(module(torch.tensor(x_t), torch.tensor(t), torch.tensor(condition)))

    layers = recorded(module, run)
    layers["x_start"] = results[0].numpy()
    return layers, x_t, t, condition


def test_every_layer_of_the_denoiser_in_torch_is_within_the_bound():
    layers, *inputs = torch_layers()
    assert len(layers) > 20
    assert wrong_layers(layers, *inputs) == []


def test_a_wrong_layer_of_the_denoiser_is_found():
    layers, *inputs = torch_layers()
    name = "transformer.resblocks.1.attn"
    layers[name] = layers[name][:, ::-1].copy()
    assert name in wrong_layers(layers, *inputs)


def test_every_layer_of_the_compiled_denoiser_is_within_the_bound():
    x_t, t = noisy_batch()
    config, params = small_denoiser()
    condition = label_condition(np.array([0, 10, 9]), params)
    layers: dict = {}
    result = denoise(x_t, t, condition, params, config, fast, recorder(layers))
    assert result.dtype == np.float32
    assert wrong_layers(layers, x_t, t, condition) == []


@pytest.mark.parametrize("name", ["clip", "noised_clip"])
def test_every_layer_of_both_clips_in_torch_is_within_the_bound(name):
    module, torch = in_torch(name)
    model, (images, _) = small_clip(name), noisy_batch(2)
    ids = model.rows(["a handwritten seven", "8"])
    results = []

    def run():
        with torch.no_grad():
            results.append(module.visual(torch.tensor(images)))
            results.append(module.encode_text(torch.tensor(ids)))

    layers = recorded(module, run)
    layers |= dict(zip(("image_features", "text_features"), (x.numpy() for x in results)))
    inputs = {"images": images, "ids": ids}
    judged = judge_layers(Recording(model.config, model.params, inputs, layers))
    assert len(judged.layers) > 40
    assert judged.status == "conforms"


def test_the_shapes_tell_the_configuration():
    config, params = small_denoiser()
    assert infer(params) == config
    assert {name: x.shape for name, x in params.items()} == config.shapes()


def test_condition_and_time_matter_and_samples_of_a_batch_do_not_meet():
    config, params = small_denoiser()
    params = {name: value.astype(np.float64) for name, value in params.items()}
    x_t, t = (x.astype(np.float64) for x in noisy_batch())
    seven, none = label_condition(np.array([7] * 3), params), label_condition([10] * 3, params)
    result = denoise(x_t, t, seven, params, config)
    assert not np.allclose(result, denoise(x_t, t, none, params, config))
    assert not np.allclose(result, denoise(x_t, t[::-1], seven, params, config))
    alone = denoise(x_t[1:2], t[1:2], seven[1:2], params, config)
    assert np.allclose(alone, result[1:2])


def test_only_the_direction_of_a_text_counts():
    _, params = small_denoiser()
    features = np.random.default_rng(0).standard_normal((2, small_denoiser()[0].text))
    assert np.allclose(text_condition(features, params), text_condition(3 * features, params))


def test_images_of_another_size_are_refused():
    config, params = small_denoiser()
    with pytest.raises(AxesError, match=r"images has shape \(1, 1, 32, 32\)"):
        denoise(np.zeros((1, 1, 32, 32)), np.zeros(1), np.zeros((1, 128)), params, config)


def test_the_weights_are_small_and_described():
    files = list(folder().glob("*.safetensors"))
    assert sum(file.stat().st_size for file in files) < 25_000_000
    card = Path(folder() / "README.md").read_text()
    assert all(file.name in card for file in files)
