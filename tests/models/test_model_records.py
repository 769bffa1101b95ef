"""A family of whole models is one record in one file: judged, explained, recorded with hooks."""

from __future__ import annotations

import pytest

from refimpl.commands.main import main
from refimpl.models import registry
from refimpl.models.registry import families, family, find_model
from refimpl.op import Op

MIXER = '''
"""Tokens that are mixed by a matrix of their own, added, normalised, and read from their mean."""

from dataclasses import dataclass

import numpy as np

from refimpl.models import TEXT, untouched
from refimpl.models.model import Choice, Model
from refimpl.op import Edit


@dataclass(frozen=True)
class Mixer:
    tokens: int
    width: int
    classes: int
    eps: float = 1e-5

    def shapes(self):
        return {
            "mix.weight": (self.tokens, self.tokens),
            "norm.weight": (self.width,),
            "norm.bias": (self.width,),
            "head.weight": (self.classes, self.width),
        }


def mixer(tokens, params, config, ops=TEXT, tap=untouched):
    """Mixed tokens, normalised and read: B N D -> B classes."""
    y = tap("mix", ops.linear(np.swapaxes(tokens, 1, 2), params["mix.weight"], None))  # B D N
    x = tap("mixed", tokens + np.swapaxes(y, 1, 2))  # B N D
    x = tap("norm", ops.layer_norm(x, params["norm.weight"], params["norm.bias"], config.eps))
    return tap("logits", ops.linear(np.mean(x, axis=1), params["head.weight"], None))


def inputs(config, rng):
    return {"tokens": rng.normal(size=(2, config.tokens, config.width)).astype(np.float32)}


MODELS = (
    Model(
        "mixer",
        mixer,
        Mixer,
        inputs,
        sizes={"mixer-small": Mixer(5, 8, 3)},
        choices=(Choice("eps", (1e-5, 1e-3), "an epsilon of "),),
        mistakes=(
            Edit("mixer/no-residual", "does not add the tokens", "tokens + ", "", "mixer"),
            Edit("mixer/doubled", "adds the tokens twice", "tokens + ", "tokens * 2 + ", "mixer"),
        ),
        entering=((r"^norm$", "mixed"),),
    ),
)
'''
TARGET = """
import torch
from refimpl.backends import hooks

NAMES = {{r"^tokens_of\\.": "mix.", r"^ln\\.": "norm.", r"^fc\\.": "head."}}


class Module(torch.nn.Module):
    def __init__(self, config):
        super().__init__()
        self.tokens_of = torch.nn.Linear(config.tokens, config.tokens, bias=False)
        self.ln = torch.nn.LayerNorm(config.width, eps={eps})
        self.fc = torch.nn.Linear(config.width, config.classes, bias=False)

    def forward(self, x):
        x = {residual} + self.tokens_of(x.mT).mT
        return self.fc(self.ln(x).mean(1))


def record(config, seed):
    torch.manual_seed(seed)
    return hooks.record(Module(config), config, NAMES, seed=seed, version="7")
"""
MADE = {  # how the module is made, the exit code, and what is said
    "right": ({"eps": 1e-5, "residual": "x"}, 0, "conforms"),
    "another epsilon": ({"eps": 1e-3, "residual": "x"}, 0, "an epsilon of 0.001 in place of 1e-05"),
    "no residual": ({"eps": 1e-5, "residual": "0 * x"}, 1, "does not add the tokens"),
    "nothing known": ({"eps": 1e-5, "residual": "0.5 * x"}, 1, "no known mistake of the structure"),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of the user's with a family of models in one file."""
    (tmp_path / "my_mixer.py").write_text(MIXER)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry, "_FAMILIES", dict(registry._FAMILIES))
    monkeypatch.setattr(registry, "_BROUGHT", [])  # what is brought here is gone behind it
    return tmp_path


@pytest.mark.parametrize("made", MADE)
def test_a_model_of_ones_own_is_one_record_and_is_judged_by_its_name(made, folder, capsys):
    pytest.importorskip("torch")
    how, code, says = MADE[made]
    (folder / "mine.py").write_text(TARGET.format(**how))
    with pytest.raises(SystemExit) as end:
        main(["verify", "mine.py", "--chapter", "my_mixer", "--model", "mixer-small"])
    said = capsys.readouterr()
    assert end.value.code == code, said
    assert says in said.out
    assert "norm" in said.out
    assert "logits" in said.out
    if made == "no residual":
        assert '-    x = tap("mixed", tokens + np.swapaxes(y, 1, 2))' in said.out
        assert "twice" not in said.out


def test_a_chapter_whose_models_are_no_records_is_refused(folder, capsys):
    (folder / "no_models.py").write_text("MODELS = (3,)\n")
    with pytest.raises(SystemExit) as end:
        main(["verify", "mine.py", "--chapter", "no_models", "--model", "vit-testing"])
    assert end.value.code == 4
    assert "MODELS has int, expected Model" in capsys.readouterr().err


def test_a_configuration_of_no_family_is_refused():
    says = "int belongs to no family of models, expected .*Clip, .*Gpt2, .*Vit"
    with pytest.raises(TypeError, match=says):
        family(3)


@pytest.mark.parametrize("model", families(), ids=lambda model: model.name)
def test_every_size_is_found_by_its_name_and_belongs_to_its_family(model):
    for name, config in model.sizes.items():
        assert find_model(name) is config
        assert family(config) is model


@pytest.mark.parametrize("model", families(), ids=lambda model: model.name)
def test_every_mistake_of_a_family_changes_its_text_once(model):
    assert len({edit.id for edit in model.mistakes}) == len(model.mistakes)
    for edit in model.mistakes:
        assert callable(Op(model.text).edited(edit))
