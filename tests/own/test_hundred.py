"""examples/kernels: a hundred texts, what other libraries say of them, and who accepts what."""

from __future__ import annotations

import runpy
import warnings

import numpy as np
import pytest

from refimpl import own, testing
from tests import ROOT
from tests.audit.hundred import WAYS, audit

PLACE = ROOT / "examples" / "kernels"
SCRIPT = runpy.run_path(str(PLACE / "__main__.py"), run_name="hundred")
PAGES = {group: own.page(PLACE / f"{group}.py") for group in SCRIPT["GROUPS"]}


@pytest.fixture(scope="module")
def counts():
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return SCRIPT["table"]()


def test_there_are_a_hundred_each_under_a_name_of_its_own():
    names = [op.name for ops in PAGES.values() for op in ops]
    assert len(names) == len(set(names)) == 100


def test_every_right_candidate_is_accepted_and_no_cheat(counts):
    for row in counts.values():
        assert row["right"][2] == row["right"][0]
        for cheat in ("zeros", "no_tail", "wrong_axis"):
            assert row[cheat][2] == 0, cheat


def test_float16_inside_is_rejected_wherever_it_shows(counts):
    there, them, us = np.sum([row["half_inside"] for row in counts.values()], axis=0)
    assert there >= 98
    assert them > 0.7 * there
    assert us == 0


def test_the_table_of_the_page_is_the_one_that_the_command_prints(counts):
    half = 3  # the column that depends on how a machine rounds
    cells = lambda line: [c.strip() for c in line.split("|")[1:-1]]  # noqa: E731
    page = (ROOT / "docs" / "kernels.md").read_text(encoding="utf-8")
    shown = [cells(line) for line in page.splitlines() if line.startswith("|") and "·" in line]
    made = [cells(line) for line in SCRIPT["lines"](counts)][2:]
    assert [row[:half] + row[half + 1 :] for row in shown] == [
        row[:half] + row[half + 1 :] for row in made
    ]


@pytest.mark.parametrize("group", PAGES)
def test_no_honest_way_to_compute_a_text_is_rejected(group):
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for op in PAGES[group][:6]:
            row = audit(op, 2, 9, WAYS)
            assert row["results"] >= 8
            assert not row["rejected"]
            assert max(row["worst"].values()) <= 1


ALL = [op for ops in PAGES.values() for op in ops]


@pytest.mark.parametrize("op", ALL, ids=lambda op: op.name)
def test_a_text_is_what_pytorch_makes_of_it(op):
    pytest.importorskip("torch")
    from tests.audit.torch_forms import FORMS, tensors

    inputs = SCRIPT["inputs_of"](op, seed=3)
    found = FORMS[op.name](*tensors(SCRIPT["typed"](inputs)).values()).numpy()
    testing.assert_conforms(found, op, inputs)
