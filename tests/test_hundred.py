"""examples/kernels: a hundred texts, what other libraries say of them, and who accepts what."""

from __future__ import annotations

import inspect
import re
import runpy
import warnings
from pathlib import Path

import numpy as np
import pytest

from refimpl import own, testing
from tests.audit.hundred import audit

ROOT = Path(__file__).resolve().parents[1]
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


def test_float16_inside_is_rejected_but_where_long_sums_hide_it(counts):
    there, them, us = np.sum([row["half_inside"] for row in counts.values()], axis=0)
    assert them > 0.8 * there
    assert us < 0.05 * there


def test_the_table_of_the_page_is_the_one_that_the_command_prints(counts):
    half = 3  # the column that depends on how a machine rounds
    cells = lambda line: [c.strip() for c in line.split("|")[1:-1]]  # noqa: E731
    page = (ROOT / "docs" / "kernels.md").read_text(encoding="utf-8")
    shown = [cells(line) for line in page.splitlines() if line.startswith("|") and "·" in line]
    made = [cells(line) for line in SCRIPT["lines"](counts)][2:]
    assert [row[:half] + row[half + 1 :] for row in shown] == [
        row[:half] + row[half + 1 :] for row in made
    ]


@pytest.mark.parametrize("op", PAGES["convolutions"], ids=lambda op: op.name)
def test_a_convolution_is_what_pytorch_makes_of_it(op):
    torch = pytest.importorskip("torch")
    kind, words = re.search(r"_(\w+)\(x, w(.*)\)$", inspect.getsource(op.text).strip()).groups()
    settings = eval(f"dict({words.lstrip(', ')})")
    x, w = (torch.from_numpy(op.example[name]) for name in ("x", "w"))
    name = f"conv{'_transpose' if kind == 'transposed' else ''}{x.ndim - 2}d"
    found = getattr(torch.nn.functional, name)(x, w, **settings).numpy()
    testing.assert_conforms(found, op, op.example)


@pytest.mark.parametrize("group", PAGES)
def test_no_honest_way_to_compute_a_text_is_rejected(group):
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for op in PAGES[group][:6]:
            results, worst, rejected = audit(op, 2, seed=9)
            assert results >= 8
            assert not rejected
            assert worst <= 1


TORCH = {
    "largest_of_a_line": (
        "max_pool1d",
        {"kernel_size": 4, "stride": 1, "padding": 2, "dilation": 3},
    ),
    "largest_of_a_square": ("max_pool2d", {"kernel_size": 4, "stride": 1, "padding": 1}),
    "largest_of_a_cube": ("max_pool3d", {"kernel_size": 3, "stride": 2, "padding": 1}),
    "mean_of_a_line": ("avg_pool1d", {"kernel_size": 4, "stride": 1, "padding": 2}),
    "mean_of_a_square": ("avg_pool2d", {"kernel_size": 3}),
    "mean_of_a_cube": ("avg_pool3d", {"kernel_size": 3, "stride": 2, "padding": 1}),
    "gaussian_unit": ("gelu", {}),
    "scaled_exponential": ("selu", {}),
    "hard_logistic": ("hardsigmoid", {}),
    "softplus": ("softplus", {}),
    "gaussian_by_tanh": ("gelu", {"approximate": "tanh"}),
    "over_batch": ("batch_norm", {"running_mean": None, "running_var": None, "training": True}),
    "over_instance": ("instance_norm", {}),
    "over_groups": ("group_norm", {"num_groups": 2}),
    "squared": ("mse_loss", {}),
    "huber": ("smooth_l1_loss", {}),
    "cross": ("cross_entropy", {}),
    "attended": ("scaled_dot_product_attention", {}),
}


@pytest.mark.parametrize("name", TORCH)
def test_a_text_is_what_pytorch_makes_of_it(name):
    torch = pytest.importorskip("torch")
    (op,) = [op for ops in PAGES.values() for op in ops if op.name == name]
    inputs = SCRIPT["inputs_of"](op, seed=3)
    tensors = [torch.from_numpy(x) for x in SCRIPT["typed"](inputs).values()]
    function, settings = TORCH[name]
    found = getattr(torch.nn.functional, function)(*tensors, **settings).numpy()
    testing.assert_conforms(found, op, inputs)
