"""What is said of a deviation that nothing explains: answers to questions to the target."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from refimpl.oracle.cases.drawn import Case
from refimpl.oracle.diagnosis.evidence import Evidence
from refimpl.oracle.diagnosis.facts import facts
from refimpl.oracle.diagnosis.outputs import factor_in_words
from refimpl.registry import OPS
from tests.harness import cases

FLOAT32 = np.dtype(np.float32)
WRONG: dict[str, tuple[Callable, str]] = {}  # a target for each sentence


def says(sentence: str) -> Callable:
    def keep(function: Callable) -> Callable:
        WRONG[function.__name__] = (function, sentence)
        return function

    return keep


def right(op: str, **inputs: Any) -> Any:
    with np.errstate(all="ignore"):
        return OPS[op].text(**inputs)


def answering(op: str, target: Callable) -> Callable[[Case], list[np.ndarray]]:
    def ask(case: Case) -> list[np.ndarray]:
        result = target(**case.typed(OPS[op]))
        outputs = result if isinstance(result, tuple) else (result,)
        return [np.asarray(x).astype(np.float32) for x in outputs]

    return ask


def facts_of(name: str, count: int = 16) -> list[str]:
    op = name.partition("__")[0]
    ask = answering(op, WRONG[name][0])
    seen = [(case, ask(case)) for case in cases(OPS[op], "float32", count)]
    return facts(Evidence(OPS[op], "float32", seen, ask))


@says("wrong only where an input is not row-major in memory (column-major, reversed, strided)")
def rms_norm__strides(x, gain, eps):
    base = x if x.base is None else x.base
    buffer = base.ravel(order="K")[: x.size].reshape(x.shape)
    return right("rms_norm", x=buffer.astype(np.float64), gain=gain, eps=eps)


@says("the result does not depend on scale")
def classifier_free_guidance__scale(eps_uncond, eps_cond, scale):
    return right("classifier_free_guidance", eps_uncond=eps_uncond, eps_cond=eps_cond, scale=3.3)


@says("the error does not depend on up")
def geglu__tail(gate, up):
    gate = gate.astype(np.float64)
    return right("geglu", gate=gate, up=up.astype(np.float64)) + np.cos(9 * gate) * (gate > 0.5)


@says("right where eps_uncond is 0 throughout")
def classifier_free_guidance__tilted(eps_uncond, eps_cond, scale):
    plain = right("classifier_free_guidance", eps_uncond=eps_uncond, eps_cond=eps_cond, scale=scale)
    return plain + np.sin(eps_uncond.astype(np.float64)) ** 3


@says("wrong at each size of N that was tried, from 1 to 160")
def itc_loss__at_any_size(similarity, temperature, smoothing):
    loss = right("itc_loss", similarity=similarity, temperature=temperature, smoothing=smoothing)
    return loss + 1 + np.sin(similarity.astype(np.float64).sum()) ** 2


@says("wrong numbers are too large, all ")
def clip_loss__too_large(image_features, text_features, log_scale):
    one, other = image_features.astype(np.float64), text_features.astype(np.float64)
    loss = right("clip_loss", image_features=one, text_features=other, log_scale=log_scale)
    return loss + 1 + np.cos(one.sum()) ** 2


@says("the output is 2 ln 2 = 1.38629 times the right one")
def gelu__factor(x):
    return 2 * np.log(2) * right("gelu", x=x.astype(np.float64))


@says("the output is right in 4 digits, counted from its largest number")
def silu__short_constants(x):
    return 1.00003 * right("silu", x=x.astype(np.float64))


@says("the output is transposed")
def clip_logits__turned(image_features, text_features, log_scale):
    features = {"image_features": text_features, "text_features": image_features}
    return right("clip_logits", **features, log_scale=log_scale)


@says("the output has one entry too many: the first, 1 is added")
def alpha_bar__longer(betas):
    return np.append(1, right("alpha_bar", betas=betas.astype(np.float64)))


@says("deviates only where bias is given")
def linear__bias(x, weight, bias):
    y = right("linear", x=x.astype(np.float64), weight=weight, bias=None)
    return y if bias is None else y + np.sin(bias) * bias


@says("the output is 0 throughout")
def log_softmax__nothing(z):
    return np.zeros(z.shape)


@says("the output has both halves averaged along axis")
def swiglu__halves(gate, up):
    y = right("swiglu", gate=gate.astype(np.float64), up=up)
    axis = y.ndim - 1
    if y.shape[-1] % 2:
        return y
    mean = sum(np.split(y, 2, axis=axis)) / 2
    return np.concatenate((mean, mean), axis=axis)


@says("the output is wrong in")
def relu__every_tenth(x):
    y = np.maximum(x, 0).astype(np.float64)
    place = np.arange(y.size).reshape(y.shape)
    return np.where(place % 10 == 9, y + np.sin(1 + place) ** 2, y)


@says("the same call gives other numbers the next time")
def silu__random(x, rng=np.random.default_rng(5)):  # noqa: B008
    return right("silu", x=x.astype(np.float64)) * rng.uniform(1, 2)


@pytest.mark.parametrize("name", list(WRONG))
def test_what_is_known_is_said(name):
    assert any(fact.startswith(WRONG[name][1]) for fact in facts_of(name)), facts_of(name)


def test_entries_of_a_long_axis_are_not_compared_each_with_all():
    """A million pairs of a number are too many to look at; the shares of wrong ones are told."""
    op = OPS["softmax"]
    z = np.where(np.arange(1 << 14)[:, None] % 2, [0.0, 1.0], [2.0, 0.0])
    case = Case("softmax", "float32", "0-0", "long", {"z": z})
    ask = answering("softmax", lambda z: right("softmax", z=z.astype(np.float64)[::-1]))
    asked: list[Case] = []
    found = facts(Evidence(op, "float32", [(case, ask(case))], asked.append))
    assert not any("axis" in fact for fact in found), found


def test_nothing_is_said_of_a_target_that_is_right():
    op = OPS["silu"]
    ask = answering("silu", lambda x: right("silu", x=x.astype(np.float64)))
    seen = [(case, ask(case)) for case in cases(op, "float32", 12)]
    assert facts(Evidence(op, "float32", seen, ask)) == []


def test_without_a_target_to_ask_the_outputs_alone_are_looked_at():
    op = OPS["gelu"]
    ask = answering("gelu", WRONG["gelu__factor"][0])
    seen = [(replace(c, layout="C"), ask(c)) for c in cases(op, "float32", 12)]
    (fact,) = [f for f in facts(Evidence(op, "float32", seen, None)) if "times" in f]
    assert "2 ln 2" in fact


@pytest.mark.parametrize(("factor", "words"), [(np.pi, "π"), (-1.0, "-1"), (0.7, "0.7")])
def test_a_factor_that_has_a_name_is_called_by_it(factor, words):
    assert factor_in_words(float(factor)).startswith(words)
