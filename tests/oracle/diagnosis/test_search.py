"""Mistakes that nobody has listed are found by the search over small edits of the text."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from refimpl.op import Op
from refimpl.oracle.cases.drawn import Case
from refimpl.oracle.diagnosis.causes import causes, fits
from refimpl.oracle.diagnosis.evidence import Evidence, Observation
from refimpl.oracle.diagnosis.search import NUMPY, Candidate, explain, matches, single_edits
from refimpl.oracle.diagnosis.search.rules import DETOURS, FORMATS, RULES, padding
from refimpl.registry import OPS
from tests.harness import cases, twin
from tests.planted.unlisted import BEYOND, PLANTED

FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)


def op_of(name: str) -> Op:
    """The operation that a wrong implementation is for, its known mistakes withheld."""
    op = OPS[name.partition("__")[0]]
    return dataclasses.replace(op, mistakes=(), dialects=(), lossy=())


def returned(implementation: Callable, case: Case, inputs: dict[str, Any]) -> list[np.ndarray]:
    with np.errstate(all="ignore"):
        result = implementation(**inputs)
    outputs = result if isinstance(result, tuple) else (result,)
    storage = FLOAT32 if case.precision == "float32" else FLOAT64
    return [np.asarray(output).astype(storage) for output in outputs]


def seen_by(op: Op, implementation: Callable, count: int = 20) -> list:
    return [(c, returned(implementation, c, c.typed(op))) for c in cases(op, "float32", count)]


def is_same(op: Op, candidate: Candidate, implementation: Callable) -> bool:
    """Whether an edited text is the planted function, on inputs that the search has not seen."""
    fresh = cases(op, "float64", 24, seed=7)
    return all(
        fits(op, candidate.text, Observation(c, returned(implementation, c, c.inputs), [], True))
        for c in fresh
    )


@functools.cache
def found_for(name: str) -> list[Candidate]:
    op = op_of(name)
    return matches(Evidence(op, "float32", seen_by(op, (PLANTED | BEYOND)[name])))


@pytest.mark.parametrize("name", PLANTED)
def test_what_explains_a_planted_mistake_is_that_mistake(name):
    op, found = op_of(name), found_for(name)
    assert len(found) <= 3
    assert all(is_same(op, candidate, PLANTED[name]) for candidate in found[:1])
    for candidate in found:
        assert candidate.diff.count("\n-") >= len(candidate.names)
        assert candidate.id.count("\n") == 0


def test_most_planted_mistakes_are_explained():
    explained = [
        name
        for name in PLANTED
        if any(is_same(op_of(name), candidate, PLANTED[name]) for candidate in found_for(name))
    ]
    assert len(PLANTED) >= 20
    assert len(explained) >= 0.8 * len(PLANTED), set(PLANTED) - set(explained)


@pytest.mark.parametrize("name", BEYOND)
def test_what_no_small_edit_gives_stays_unknown(name):
    assert not found_for(name)


def test_the_diagnosis_shows_the_edit():
    op = op_of("layer_norm")
    implementation = PLANTED["layer_norm__divided_by_the_variance"]
    (cause,) = causes(Evidence(op, "float32", seen_by(op, implementation)))
    assert cause.kind == "mistake"
    assert cause.id == "unlisted"
    assert cause.says.startswith("in layer_norm, a function left out: `np.sqrt(variance + eps)`")
    added = [line for line in cause.diff.splitlines() if line.startswith("+ ")]
    assert added == ["+    return gain * (centred / (variance + eps)) + bias"]


def test_a_listed_mistake_goes_before_the_search():
    op = OPS["gelu_tanh"]
    edit = next(edit for edit in op.mistakes if edit.id == "gelu_tanh/no-cubic-term")
    found = causes(Evidence(op, "float32", seen_by(op, op.edited(edit))))
    assert edit.id in {cause.id for cause in found}


def test_a_diagnosis_without_explanation_is_unknown():
    op = op_of("attention")
    (cause,) = causes(Evidence(op, "float32", seen_by(op, BEYOND["attention__soft_capped"])))
    assert cause.kind == "unknown"


def test_a_mistake_of_a_function_that_is_called_explains_the_caller():
    op = op_of("silu")
    (cause,) = causes(Evidence(op, "float32", seen_by(op, BEYOND["silu__piecewise"])))
    assert cause.id == "sigmoid/hard"


@pytest.mark.parametrize("name", OPS)
def test_an_honest_implementation_needs_no_explanation(name):
    op = op_of(name)
    assert explain(Evidence(op, "float32", seen_by(op, twin(op), count=4))) == []


@pytest.mark.parametrize("name", ["attention", "gelu", "layer_norm", "p_sample", "q_posterior"])
def test_a_result_blurred_at_random_has_no_explanation(name):
    op, rng = op_of(name), np.random.default_rng(0)
    seen = [
        (case, [y * (1 + rng.uniform(-1e-3, 1e-3, y.shape)).astype(y.dtype) for y in outputs])
        for case, outputs in seen_by(op, op.text)
    ]
    assert not explain(Evidence(op, "float32", seen), budget_s=3.0)


@pytest.mark.parametrize("form", ["nan", "shape", "number"])
def test_outputs_that_no_edit_gives_are_given_up(form):
    op = op_of("layer_norm")
    seen = [
        (case, {"nan": [outputs[0] * np.nan], "shape": [outputs[0][..., :0]], "number": []}[form])
        for case, outputs in seen_by(op, op.text, count=4)
    ]
    assert not explain(Evidence(op, "float32", seen))
    assert not explain(Evidence(op, "float32", []))


def test_the_budget_ends_the_search():
    op, implementation = op_of("attention"), BEYOND["attention__soft_capped"]
    seen = seen_by(op, implementation)
    start = time.process_time()
    assert not explain(Evidence(op, "float32", seen), budget_s=0.2)
    assert time.process_time() - start < 2


@pytest.mark.parametrize("name", OPS)
def test_the_edits_of_an_operation_are_texts_and_all_different(name):
    op = OPS[name]
    edits = single_edits(op)
    assert edits is single_edits(dataclasses.replace(op, mistakes=()))
    assert [edit.rank for edit in edits] == sorted(edit.rank for edit in edits)
    sources = {tuple((page.function, source) for page, source in edit.pages()) for edit in edits}
    assert len(sources) == len(edits) >= 30
    for edit in edits[:: len(edits) // 20]:
        assert edit.names
        assert edit.diff.startswith(f"--- {edit.names[0]}\n+++ unlisted\n")
        with contextlib.suppress(SyntaxError):
            assert callable(edit.text)


def test_an_edit_reaches_the_functions_that_call_the_edited_one():
    op = OPS["multi_head_attention"]
    names = {name for edit in single_edits(op) for name in edit.names}
    assert names == {"multi_head_attention", "split_heads", "attention", "linear", "softmax"}
    edit = next(edit for edit in single_edits(op) if edit.names == ("softmax",))
    assert edit.text is not op.text
    assert op.text(**cases(op)[0].inputs) is not None  # the text itself is as it was


def test_an_edited_text_cannot_ask_for_unreasonable_arrays():
    for call in (
        lambda: NUMPY.arange(10**9),
        lambda: NUMPY.ones((10**5, 10**5)),
        lambda: NUMPY.eye(10**5),
        lambda: NUMPY.repeat(np.ones(2), 10**9, axis=0),
        lambda: NUMPY.linspace(0.0, 1.0, 10**9),
    ):
        with pytest.raises(ValueError, match="more than"):
            call()
    assert NUMPY.arange(3).tolist() == [0, 1, 2]


def test_each_rule_is_a_small_function_with_an_example():
    rules = [*RULES, *FORMATS, *DETOURS]
    assert len(rules) > 70
    for rule in rules:
        assert f"{rule.__name__}.tried(" in rule.__doc__
        lines = inspect.getsource(rule.__wrapped__).partition('    """\n')[2].count("\n")
        assert 0 < lines <= 25, rule.__name__


def test_padding_of_one_axis_is_counted_once_in_the_number_of_entries():
    mean = "np.mean(x, axis=(0, 1))"
    (first, second) = padding.padding_counted.tried(mean, "x")
    x = np.zeros((5, 3))
    counts = [eval(new.rpartition(" / ")[2], {"x": x}) for new in (first, second)]
    assert counts == [8 * 3, 5 * 4]


def test_no_edit_puts_a_list_into_itself():
    """Nothing that is made of such a list has an end, and the search would have none."""
    pages = [source for edit in single_edits(OPS["gae"]) for _, source in edit.pages()]
    assert any("advantages.append(surprise)" in page for page in pages)
    assert not any("advantages.append(advantages)" in page for page in pages)
