"""Any function is an operation: NumPy as people write it, bounds that hold, and verdicts."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import strategies as st

import refimpl
from refimpl import own, registry, testing
from refimpl.axes import Array, Float
from refimpl.commands.main import main
from refimpl.oracle.cases.sizes import profile_cases
from refimpl.oracle.judging.judge import expect
from refimpl.oracle.numbers.errors import bounded
from refimpl.oracle.numbers.places import Doubt, NoRule
from tests.audit.simulated import STYLES, simulate

RNG = np.random.default_rng(5)


def numbers(*shape, scale=1.0):
    return np.float32(scale * RNG.standard_normal(shape))


X, W, V = numbers(3, 4), numbers(4, 4), numbers(4)


def assigned(x):
    y = np.zeros_like(x)
    for i in range(len(x)):
        y[i] = x[i] / 3
    y[:, 0] += x[:, 1]
    return y


def masked(x):
    y = x * 1.5
    y[x < 0] = 0
    return y


def rotary(x):
    t = np.arange(3)[:, None] * 10000.0 ** (-np.arange(2) / 2)
    c, s = np.cos(t), np.sin(t)
    a, b = x[:, :2], x[:, 2:]
    return np.concatenate([a * c - b * s, a * s + b * c], axis=-1)


def carried_list(x, w):
    h, out = np.zeros(4), []
    for step in x:
        h = np.tanh(step @ w + h @ w)
        out.append(h)
    return np.stack(out)


WRITTEN = {
    "method sum": lambda x: x.sum(axis=1) / 3,
    "method mean": lambda x: x.mean(),
    "method var": lambda x: (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1),
    "method dot": lambda x, w: x.dot(w),
    "method T": lambda x: x.T @ x,
    "method max": lambda x: x - x.max(axis=0),
    "astype and copy": lambda x: x.copy().astype(np.float64) * 3,
    "einsum": lambda x, w: np.einsum("ij,jk->ik", x, w),
    "einsum of three": lambda x, w, v: np.einsum("ij,jk,k->i", x, w, v),
    "tensordot": lambda x, w: np.tensordot(x, w, axes=([1], [1])),
    "outer": lambda x, v: np.outer(x[0], v),
    "inner": lambda x, v: np.inner(x, v),
    "trace": lambda w: np.trace(w * w),
    "square": lambda x: np.square(x) + 1,
    "std": lambda x: np.std(x, axis=-1, ddof=1),
    "prod": lambda x: np.prod(x, axis=-1),
    "min": lambda x: np.min(x * 1.1, axis=0),
    "cumsum": lambda x: np.cumsum(x, axis=1),
    "cumprod": lambda x: np.cumprod(x, axis=1),
    "logaddexp": lambda x: np.logaddexp(x, 0),
    "expm1": lambda x: np.expm1(x),
    "hypot": lambda x: np.hypot(x, 1.5),
    "clip and sign": lambda x: np.clip(x / 3, -0.2, 0.2) * np.sign(x),
    "where": lambda x: np.where(x > 0, x, 0.1 * x),
    "power": lambda x: np.abs(x) ** 1.5 + x**3,
    "take along": lambda x: np.take_along_axis(x, np.argsort(x, -1), -1) * 3,
    "fancy": lambda x: x[np.arange(3), np.array([1, 0, 3])] / 7,
    "sort": lambda x: np.sort(x / 3, axis=-1),
    "windows": lambda x: np.lib.stride_tricks.sliding_window_view(x, 2, axis=-1).sum(-1),
    "convolve": lambda v: np.convolve(v, [1.0, 2.0, 0.5]),
    "norm": lambda x: x / np.linalg.norm(x, axis=-1, keepdims=True),
    "median": lambda x: np.median(x, axis=-1),
    "reduce": lambda x: np.add.reduce(x, axis=0) + np.maximum.reduce(x, axis=0),
    "padding": lambda x: np.max(np.pad(x, ((0, 0), (1, 1)), constant_values=-np.inf), axis=1) / 3,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tables": lambda x: x * (np.arange(4) / 3) + np.linspace(0.1, 1.0, 4),
    "our operations": lambda x: refimpl.softmax(x) * refimpl.silu(x @ x.T)[:, :1],
    "assigned": assigned,
    "masked": masked,
    "rotary": rotary,
    "a loop": carried_list,
}


def inputs_of(text, scale=1.0):
    given = {"x": X, "w": W, "v": V}
    names = text.__code__.co_varnames[: text.__code__.co_argcount]
    return {name: np.float32(scale * given[name]) for name in names}


@pytest.mark.parametrize("precision", ["float32", "float16"])
@pytest.mark.parametrize("name", WRITTEN)
def test_no_honest_way_to_compute_what_people_write_is_rejected(name, precision):
    text = WRITTEN[name]
    for scale in (0.03, 1.0, 4.0):
        stored = {k: x.astype(precision).astype(float) for k, x in inputs_of(text, scale).items()}
        value, allowed = testing.bound(text, precision, **stored)
        assert np.isfinite(allowed).all()
        for style in STYLES:
            (found,) = simulate(text, stored, precision, style)
            assert np.all(np.abs(found - value) <= allowed), style.name


@pytest.mark.parametrize("name", WRITTEN)
def test_the_bound_of_what_people_write_rejects_float16_inside(name):
    text = WRITTEN[name]
    given = inputs_of(text)
    (rough,) = simulate(text, {k: np.float16(x) for k, x in given.items()}, "float16", STYLES[0])
    value, allowed = testing.bound(text, **given)
    assert np.max(np.abs(rough - value) - allowed) > 0


@pytest.mark.parametrize("name", WRITTEN)
def test_what_people_write_is_certified_in_balls(name):
    pytest.importorskip("flint")
    if name in ("rotary", "tables", "a loop", "our operations"):
        return  # shown for their parts: the balls of whole tables take long
    text = WRITTEN[name]
    given = {k: np.float64(x) for k, x in inputs_of(text).items()}
    plain, sure = bounded(text, given, "float64")[0], testing.certify(text, **given)
    assert np.all(np.abs(plain.value - sure) <= plain.error + np.spacing(np.abs(sure)))


def in_order(x, w, start):
    total = np.broadcast_to(np.float32(start), (x.shape[0], w.shape[1])).astype(np.float32)
    for k in range(x.shape[1]):
        total = total + x[:, k, None] * w[k]
    return total


BIASED = {
    "plain": lambda x, w, b: x @ w + b,
    "reshaped": lambda x, w, b: np.reshape(np.reshape(x @ w, (3, 2, 2)) + b.reshape(2, 2), (3, 4)),
    "a sum of products": lambda x, w, b: np.sum(x[:, :, None] * w, axis=1) + b,
    "einsum": lambda x, w, b: np.einsum("ik,kj->ij", x, w) + b,
    "halves": lambda x, w, b: np.concatenate([x @ w[:, :2], x @ w[:, 2:]], axis=1) + b,
    "put in place": lambda x, w, b: put(x, w) + b,
}


def put(x, w):
    y = np.zeros((3, 4))
    y[:] = x @ w
    return y


@pytest.mark.parametrize("spelling", BIASED)
def test_an_accumulator_may_start_at_the_bias_however_the_product_is_spelled(spelling):
    x, w = numbers(3, 512, scale=0.01), numbers(512, 4, scale=0.01)
    b = np.float32(1000) + numbers(4)
    value, allowed = testing.bound(BIASED[spelling], x=x, w=w, b=b)
    assert np.all(np.abs(in_order(x, w, b) - value) <= allowed)
    assert np.all(np.abs(in_order(x, w, b) - value) <= 0.5 * allowed)


def test_a_logistic_function_may_come_from_tanh_however_it_is_spelled():
    x = np.linspace(-60, 10, 71).astype(np.float32)
    by_tanh = np.float32(0.5) + np.float32(0.5) * np.tanh(x / np.float32(2))
    for text in (
        lambda x: 1 / (1 + np.exp(-x)),
        lambda x: np.exp(np.minimum(x, 0)) / (1 + np.exp(-np.abs(x))),
    ):
        value, allowed = testing.bound(text, x=x)
        assert np.all(np.abs(by_tanh - value) <= allowed)


def test_a_logistic_function_whose_exponential_overflows_still_has_a_bound():
    x = np.float32([-120.0, -90.0, 120.0])
    _, allowed = testing.bound(lambda x: 1 / (1 + np.exp(-x)), x=x)
    assert np.all(allowed < 1e-5)


def test_what_is_added_to_a_quotient_may_be_added_before_the_division():
    x = numbers(4000, scale=3)
    value, allowed = testing.bound(lambda x: x / 6 + 0.5, x=x)
    assert np.all(np.abs((x + np.float32(3)) / np.float32(6) - value) <= allowed)


def test_a_table_made_inside_the_text_is_rounded_as_honest_ones_are():
    x = numbers(512, 4)

    def text(x):
        angle = np.arange(512)[:, None] * (np.arange(4) / 7)
        return x * np.cos(angle)

    angle = np.float32(np.arange(512))[:, None] * (np.arange(4, dtype=np.float32) / np.float32(7))
    value, allowed = testing.bound(text, x=x)
    honest = x * np.cos(angle)
    assert np.max(np.abs(honest - value)) > 1e-6, "the example shows nothing"
    assert np.all(np.abs(honest - value) <= allowed)


def test_both_branches_count_where_a_computed_number_decides():
    x, w = numbers(40, 64), numbers(64, 8)
    x[:, 32:], w[32:] = x[:, :32], -w[:32]
    value, allowed = testing.bound(lambda x, w: np.where(x @ w > 0, 1.0, -1.0), x=x, w=w)
    assert np.all((allowed == 0) | (allowed >= 2))
    assert np.any(allowed >= 2)
    assert np.all(np.abs(np.where(in_order(x, w, 0) > 0, 1, -1) - value) <= allowed)


REFUSED = {
    "np.fft": (lambda x: np.abs(np.fft.fft(x)), "matrices of cosines"),
    "np.inv": (lambda w: np.linalg.inv(w), "sums and quotients"),
    "x.strides": (lambda x: x.strides[0] * x, "sliding_window_view"),
    "logspace": (lambda x: x * np.logspace(0, 1, 4), "write"),
    "astype": (lambda x: x.astype(np.float16), "write"),
    "float": (lambda x: np.exp(float(x[0, 0])), "keep the array"),
    "plain array": (lambda x: np.float64(x.sum(-1)) * np.ones(3), "plain numbers"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_rule_is_named_with_its_line_and_what_to_write(name):
    text, cure = REFUSED[name]
    with pytest.raises(NoRule) as caught:
        testing.bound(text, **inputs_of(text))
    says = str(caught.value)
    assert f"test_own.py, line {text.__code__.co_firstlineno}" in says
    assert cure in says


def test_a_decision_by_a_computed_number_is_refused_with_its_line():
    def text(x):
        total = x.sum() - x.sum() + x[0, 0] - x[0, 0]
        return x if total > 0 else -x

    with pytest.raises(Doubt, match=r"test_own\.py, line \d+: return x if total > 0"):
        testing.bound(text, x=X)


def test_an_index_by_computed_numbers_must_be_certain():
    assert testing.bound(lambda x: x[0, np.argmax(x[0] / 3)], x=X).value == X[0].max()
    tied = np.float32([[1, 1, 1, 1]])
    with pytest.raises(Doubt, match="argmax"):
        testing.bound(lambda x: x[0, np.argmax(x[0] / 3)], x=tied)


def test_a_case_that_computed_numbers_decide_is_not_judged_instead_of_ending_the_run():
    expected = expect(
        refimpl.operation(lambda x: x[0, np.argmax(x[0] / 3)], example={"x": X}),
        {"x": np.ones((1, 4))},
        "float32",
    )
    assert np.isinf(expected[0].allowed)
    assert expected[0].value == 1


def test_our_operations_mean_their_text_inside_another():
    inside = testing.bound(lambda x: refimpl.softmax(x), x=X)
    itself = testing.bound("softmax", z=X)
    assert np.array_equal(inside.value, itself.value)
    assert np.array_equal(inside.allowed, itself.allowed)


def gated(x: Float[Array, "N D"], gate: Float[Array, "O D"], up: Float[Array, "O D"]):
    """A gated linear unit."""
    z = x @ gate.T
    return z / (1 + np.exp(-z)) * (x @ up.T)


def test_two_implementations_are_compared_on_one_text():
    swapped = lambda x, gate, up: gated(x, up, gate)  # noqa: E731
    with np.errstate(over="ignore"):
        right, wrong = testing.compare(gated, swapped, gated, count=12)
    assert right.conforms
    assert not wrong.conforms


def test_shapes_and_dtypes_come_from_an_example_or_a_strategy():
    def pick(table, ids, keep):
        return np.where(keep[:, None], table[ids], 0.0)

    example = {
        "table": numbers(6, 4),
        "ids": np.array([0, 5, 2]),
        "keep": np.array([True, False, True]),
    }
    op = refimpl.operation(pick, example=example)
    right, wrong = testing.compare(pick, lambda table, ids, keep: table[ids], op, count=12)
    assert right.conforms
    assert not wrong.conforms
    lengths = st.integers(1, 5).map(lambda n: {"x": np.linspace(-1, 1, n)})
    op = refimpl.operation(lambda x: x * x, draw=lengths)
    right, wrong = testing.compare(lambda x: x * x, lambda x: x, op, count=6)
    assert right.conforms
    assert not wrong.conforms


def test_no_case_has_another_shape_than_the_example_or_the_strategy():
    by_example = refimpl.operation(lambda x, eps: x + eps, example={"x": X, "eps": 1e-3})
    by_strategy = refimpl.operation(
        gated, draw=lambda source: dict(zip(("x", "gate", "up"), 3 * [W]))
    )
    for op, shape in ((by_example, X.shape), (by_strategy, W.shape)):
        for profile in ("quick", "deep"):
            cases = list(profile_cases(op, "float32", profile, 9, seed=2))
            assert len(cases) == 9
            assert {case.inputs["x"].shape for case in cases} == {shape}
            assert all(np.ndim(case.inputs.get("eps", 0)) == 0 for case in cases)


def test_a_function_without_axes_needs_an_example():
    with pytest.raises(own.OperationError, match="x has no axes"):
        refimpl.operation(lambda x: x)
    with pytest.raises(own.OperationError, match="expected x, w"):
        refimpl.operation(lambda x, w: x, example={"x": X})


PAGE = '''
import numpy as np
from refimpl.axes import Array, Float

def gated(x: Float[Array, "N D"], gate: Float[Array, "O D"], up: Float[Array, "O D"]):
    """A gated linear unit."""
    z = x @ gate.T
    return z / (1 + np.exp(-z)) * (x @ up.T)

def unit(x, eps):
    return x / np.sqrt(x.var(-1, keepdims=True) + eps)

EXAMPLES = {"unit": {"x": np.float32([[1, -2, 3.5], [0.5, 1, 2]]), "eps": 1e-5}}
'''
MINE = """
import numpy as np

def gated(x, gate, up):
    z = x @ up.T
    return z / (1 + np.exp(-z)) * (x @ up.T)

def unit(x, eps):
    return x / np.sqrt(x.var(-1, keepdims=True) + np.float32(eps))
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    before = dict(registry._TABLE)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "page.py").write_text(PAGE)
    (tmp_path / "mine.py").write_text(MINE)
    yield tmp_path
    registry._TABLE.clear()
    registry._TABLE.update(before)


def command(*words):
    with pytest.raises(SystemExit) as end:
        main(list(words))
    return end.value.code


def test_a_file_is_judged_by_a_page_with_cause_smallest_input_and_replay(folder, capsys):
    page = ("--page", "page.py")
    words = ("verify", "mine.py", *page, "--profile", "quick", "--seed", "0", "--json", "r.json")
    assert command(*words) == 1
    printed = capsys.readouterr().out
    assert "`gate` became `up`" in printed
    found = {entry["op"]: entry for entry in json.loads((folder / "r.json").read_text())["ops"]}
    assert found["unit"]["status"] == "conforms"
    assert found["gated"]["smallest"]["numbers"] <= 4
    again = found["gated"]["smallest"]["replay"].split()
    assert again[-2:] == list(page)
    assert command(*again[1:]) == 1
    assert "STILL FAILING" in capsys.readouterr().out


def test_a_page_that_offers_nothing_is_a_usage_error(folder, capsys):
    (folder / "empty.py").write_text("x = 1\n")
    assert command("verify", "mine.py", "--page", "empty.py") == 4
    assert "offers no operation" in capsys.readouterr().err
    assert command("verify", "mine.py", "--page", "nowhere.py") == 4
    assert "no such page" in capsys.readouterr().err


def test_a_chapter_brings_the_operations_of_a_module(folder, capsys, monkeypatch):
    monkeypatch.syspath_prepend(str(folder))
    (folder / "my_chapter.py").write_text(
        "import refimpl\nimport numpy as np\n"
        "def thrice(x): return 3 * x\n"
        "OPS = [refimpl.operation(thrice, example={'x': np.float32([1, -2])})]\n"
    )
    (folder / "mine.py").write_text("def thrice(x):\n    return x + x + x\n")
    assert command("verify", "mine.py", "--chapter", "my_chapter", "--profile", "quick") == 0
    assert "thrice" in capsys.readouterr().out


def test_cases_of_a_page_are_exported_as_golden_vectors_are(folder, capsys):
    from refimpl.oracle.vectors import golden

    assert command("vectors", "export", "out", "--page", "page.py") == 0
    assert "48 cases written to out" in capsys.readouterr().out
    (read,) = [v for v in golden.read_file(folder / "out" / "gated.json") if v.id == "gated/0-3"]
    given = {name: np.float32(x) for name, x in read.inputs.items()}
    off = np.abs(gated(**given) - read.expected["result"])
    assert np.all(off <= read.allowed["float32"]["result"])


def test_an_installed_chapter_is_listed_judged_and_exported_beside_ours(folder):
    about = folder / "site" / "theirs-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[refimpl.chapters]\ntheirs = thirds\n")
    (folder / "site" / "thirds.py").write_text(
        "import refimpl\nimport numpy as np\n"
        "def third(x): return x / 3\n"
        "OPS = [refimpl.operation(third, example={'x': np.float32([1, -2])})]\n"
    )
    (folder / "mine.py").write_text("import numpy as np\ndef third(x): return x / np.float32(3)\n")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(folder / "site"), *sys.path])}
    said = [
        subprocess.run(
            [sys.executable, "-m", "refimpl", *words.split()],
            env=environment,
            cwd=folder,
            capture_output=True,
            text=True,
        )
        for words in (
            "list",
            "verify mine.py --profile quick",
            "vectors export out --op third --op silu",
        )
    ]
    assert [done.returncode for done in said] == [0, 0, 0], said[-1].stderr
    assert "third" in said[0].stdout
    assert "1 operation," in said[1].stdout
    assert json.loads((folder / "out" / "third.json").read_text())["cases"]
    assert (folder / "out" / "layers" / "silu.json").exists()


def test_junit_and_html_tell_of_operations_of_a_page(folder, capsys):
    words = ("verify", "mine.py", "--page", "page.py", "--op", "unit", "--profile", "quick")
    assert command(*words, "--junit", "j.xml", "--html", "h.html") == 0
    assert 'name="unit' in (folder / "j.xml").read_text()
    assert "unit" in (folder / "h.html").read_text()


CHEATS = {
    "zeros": lambda x, gate, up: np.zeros((len(x), len(gate)), np.float32),
    "ones": lambda x, gate, up: np.ones((len(x), len(gate)), np.float32),
    "a factor alone": lambda x, gate, up: x @ up.T,
    "float16 inside": lambda x, gate, up: np.float32(
        gated(np.float32(np.float16(x)), np.float32(np.float16(gate)), np.float32(np.float16(up)))
    ),
    "no tail": lambda x, gate, up: np.concatenate(
        [gated(x[:, : len(x[0]) // 4 * 4], *(w[:, : len(x[0]) // 4 * 4] for w in (gate, up)))]
    ),
    "the first rows alone": lambda x, gate, up: np.concatenate(
        [gated(x[:1], gate, up), np.zeros((max(len(x) - 1, 0), len(gate)), np.float32)]
    )[: len(x)],
}


@pytest.mark.parametrize("name", CHEATS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_cheat_is_rejected_where_the_honest_kernel_conforms(name):
    right, wrong = testing.compare(gated, CHEATS[name], gated, count=24)
    assert right.conforms
    assert not wrong.conforms


def test_no_page_is_in_the_process_of_a_target(folder, capsys):
    (folder / "page.py").write_text(
        'from refimpl.axes import Array, Float\ndef thrice(x: Float[Array, "N"]): return 3 * x\n'
    )
    (folder / "mine.py").write_text(
        "import sys\nfrom refimpl import registry\n"
        "def thrice(x):\n"
        "    pages = [m for m in sys.modules if m.startswith('refimpl_page')]\n"
        "    if 'thrice' in registry.OPS or pages:\n"
        "        raise RuntimeError('the text is here')\n"
        "    return x + x + x\n"
    )
    code = command("verify", "mine.py", "--page", "page.py", "--profile", "quick")
    assert code == 0, capsys.readouterr().out
