"""Vision Transformers by hand in NumPy, wrong as people get them wrong, have a cause."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import erf

from refimpl.oracle.diagnosis.structure import judge_layers
from refimpl.oracle.runs.models import findings
from refimpl.oracle.targets.models import Recording, inputs_for
from tests.small import SMALL, random_params

CONFIG = SMALL["vit"]


class ByHand:
    """A Vision Transformer with methods to be replaced, written without our texts."""

    def __init__(self):
        self.params, self.layers = random_params(CONFIG), {}
        self.inputs = inputs_for(CONFIG, 3)

    def say(self, name, x):
        self.layers[name] = np.float32(x)
        return self.layers[name]

    def norm(self, name, x):
        centred = x - np.einsum("bnd->bn", x)[..., None] / x.shape[-1]
        power = np.einsum("bnd,bnd->bn", centred, centred)[..., None] / x.shape[-1]
        y = centred / np.sqrt(power + np.float32(CONFIG.eps)) * self.params[f"{name}.weight"]
        return self.say(name, y + self.params[f"{name}.bias"])

    def dense(self, name, x):
        return (
            np.einsum("...i,oi->...o", x, self.params[f"{name}.weight"])
            + self.params[f"{name}.bias"]
        )

    def place(self, patches):
        first = np.tile(self.params["class_embedding"], (len(patches), 1, 1))
        return np.concatenate((first, patches), axis=1) + self.params["positional_embedding"]

    def read(self, x):
        return x[:, 0]

    def shares(self, at, y):
        weight, bias = self.params[f"{at}.in_proj_weight"], self.params[f"{at}.in_proj_bias"]
        joint = np.einsum("bni,oi->bno", y, weight) + bias
        return np.split(joint, 3, axis=-1)

    def scale(self):
        return np.sqrt(np.float32(CONFIG.width // CONFIG.heads))

    def merge(self, heads):
        return np.concatenate(list(heads), axis=-1)  # H times B N E

    def attention(self, at, y):
        named = zip(("query", "key", "value"), self.shares(at, y), strict=True)
        split = [np.split(self.say(f"{at}.{part}", x), CONFIG.heads, -1) for part, x in named]
        heads = []
        for query, key, value in zip(*split, strict=True):
            scores = np.einsum("bne,bme->bnm", query, key) / self.scale()
            weights = np.exp(scores - scores.max(-1, keepdims=True))
            heads.append(np.einsum("bnm,bme->bne", weights, value) / weights.sum(-1)[..., None])
        mixed = self.say(f"{at}.mixed", self.merge(np.stack(heads)))
        return self.say(at, self.dense(f"{at}.out_proj", mixed))

    def perceptron(self, at, y):
        y = self.say(f"{at}.c_fc", self.dense(f"{at}.c_fc", y))
        y = self.say(f"{at}.activation", y * (1 + erf(y / np.sqrt(2, dtype=np.float32))) / 2)
        return self.say(f"{at}.c_proj", self.dense(f"{at}.c_proj", y))

    def block(self, at, x):
        x = self.say(f"{at}.middle", x + self.attention(f"{at}.attn", self.norm(f"{at}.ln_1", x)))
        return x + self.perceptron(f"{at}.mlp", self.norm(f"{at}.ln_2", x))

    def run(self):
        images, P = self.inputs["images"], CONFIG.patch
        rows = CONFIG.image // P
        cut = images.reshape(len(images), 3, rows, P, rows, P)
        patches = np.einsum("bcipjq,dcpq->bijd", cut, self.params["conv1.weight"])
        patches = patches.reshape(len(images), rows * rows, -1) + self.params["conv1.bias"]
        x = self.say("tokens", self.place(self.say("patches", patches)))
        for i in range(CONFIG.layers):
            at = f"transformer.resblocks.{i}"
            x = self.say(at, self.block(at, x))
        pooled = self.say("pooled", self.read(self.norm("ln_post", x)))
        self.say("logits", self.dense("head", pooled))
        return self


class ClassTokenLast(ByHand):
    def place(self, patches):
        last = np.tile(self.params["class_embedding"], (len(patches), 1, 1))
        return np.concatenate((patches, last), axis=1) + self.params["positional_embedding"]

    def read(self, x):
        return x[:, -1]


class MeanPooled(ByHand):
    def read(self, x):
        return x[:, 1:].mean(axis=1)


class MergedWithoutTransposition(ByHand):
    def merge(self, heads):
        H, B, N, E = heads.shape
        return heads.swapaxes(0, 1).reshape(B, N, H * E)


class KeysFromQueries(ByHand):
    def shares(self, at, y):
        query, _, value = super().shares(at, y)
        return query, query, value


class PostNorm(ByHand):
    def block(self, at, x):
        x = self.say(f"{at}.middle", x + self.attention(f"{at}.attn", x))
        x = self.norm(f"{at}.ln_1", x)
        return self.norm(f"{at}.ln_2", x + self.perceptron(f"{at}.mlp", x))


class NoResidual(ByHand):
    def block(self, at, x):
        x = self.say(f"{at}.middle", self.attention(f"{at}.attn", self.norm(f"{at}.ln_1", x)))
        return x + self.perceptron(f"{at}.mlp", self.norm(f"{at}.ln_2", x))


class NoScale(ByHand):
    def scale(self):
        return np.float32(1)


class WholeScale(ByHand):
    def scale(self):
        return np.sqrt(np.float32(CONFIG.width))


WRONG = {
    ClassTokenLast: "vit/class-token-last",
    MeanPooled: "vit/mean-of-patches",
    MergedWithoutTransposition: "vit/heads-merged-without-transposition",
    KeysFromQueries: "vit/keys-from-queries",
    PostNorm: "vit/post-norm",
    NoResidual: "vit/no-residual-of-attention",
    NoScale: "vit/scores-not-scaled",
    WholeScale: "vit/scores-scaled-by-whole-width",
}
TAPPED = {  # what a recording leaves out
    "every step": (),
    "no queries": (".query", ".key", ".value"),
    "no heads": (".query", ".key", ".value", ".mixed"),
}


def recorded(model, without=()):
    made = model().run()
    layers = {name: x for name, x in made.layers.items() if not name.endswith(without)}
    return Recording(CONFIG, made.params, made.inputs, layers)


@pytest.mark.parametrize("tapped", TAPPED)
def test_the_model_by_hand_is_right(tapped):
    assert judge_layers(recorded(ByHand, TAPPED[tapped])).status == "conforms"


@pytest.mark.parametrize("tapped", TAPPED)
@pytest.mark.parametrize("model", WRONG, ids=lambda model: model.__name__)
def test_a_wrong_model_by_hand_has_one_cause_with_a_diff(model, tapped):
    judgement = judge_layers(recorded(model, TAPPED[tapped]))
    entry = next(x for x in findings(judgement, "vit", "") if x.status == "deviates")
    assert [cause.id for cause in entry.causes] == [WRONG[model]]
    assert entry.causes[0].diff


class LastOfTwo(ClassTokenLast, NoResidual):
    """Two of these mistakes."""


def test_two_mistakes_in_one_model_by_hand_are_both_named():
    judgement = judge_layers(recorded(LastOfTwo))
    entry = next(x for x in findings(judgement, "vit", "") if x.status == "deviates")
    found = {cause.id for cause in entry.causes}
    assert found == {"vit/class-token-last", "vit/no-residual-of-attention"}
