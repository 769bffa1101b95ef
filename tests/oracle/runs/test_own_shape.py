"""A target at its own shape: the answer to a whole input, judged on a sample of its rows."""

import numpy as np
import pytest

from refimpl import own, registry
from refimpl.commands.main import main
from refimpl.oracle.runs.own_shape import carrying_rows
from refimpl.registry import OPS

PAGE = """
import numpy as np
from refimpl.axes import Array, Float

def product(a: Float[Array, "M K"], b: Float[Array, "K N"]):
    return a @ b

def standard(x: Float[Array, "N D"]):
    return (x - np.mean(x, axis=0)) / np.sqrt(np.var(x, axis=0) + 1)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    before = dict(registry._TABLE)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "page.py").write_text(PAGE)
    rng = np.random.default_rng(0)
    a, b = (np.float32(rng.standard_normal(s)) for s in ((300, 200), (200, 70)))
    np.savez("own.npz", a=a, b=b)
    np.savez("rows.npz", x=a)
    yield tmp_path
    registry._TABLE.clear()
    registry._TABLE.update(before)


def judge(body, op="product", file="own.npz"):
    with open("kernel.py", "w") as kernel:
        kernel.write("import numpy as np\nkept = {}\n" + body)
    with pytest.raises(SystemExit) as end:
        main(["verify", "kernel.py", "--page", "page.py", "--op", op, "--inputs", file])
    return end.value.code


def test_a_right_kernel_conforms_and_the_verdict_says_on_how_many_rows(folder, capsys):
    assert judge("def product(a, b):\n    return a @ b\n") == 0
    assert "only 24 rows of its own shape" in capsys.readouterr().out


@pytest.mark.parametrize(
    "body",
    [
        "def product(a, b):\n    return np.zeros((300, 70), np.float32)\n",
        "def product(a, b):\n    return a[:, :-1] @ b[:-1]\n",
        "def product(a, b):\n    return kept.setdefault(a.shape, a @ b)\n",
        "def product(a, b):\n    return (a @ b)[:-1]\n",
        "def product(a, b):\n    y = a @ b\n    y[-1] = 0\n    return y\n",
    ],
    ids=["zeros", "no tail", "cached by shape", "a row less", "the last row missing"],
)
def test_a_wrong_kernel_deviates_at_its_own_shape(folder, capsys, body):
    assert judge(body) == 1
    assert "refimpl verify kernel.py --op product --inputs own.npz" in capsys.readouterr().out


LONG = {
    "as written": ("def product(a, b):\n    return a @ b\n", 0),
    "one after another": (
        "def product(a, b):\n    y = np.zeros((len(a), b.shape[1]), np.float32)\n"
        "    for k in range(len(b)):\n        y = y + a[:, k, None] * b[k]\n    return y\n",
        0,
    ),
    "float16 inside": (
        "def product(a, b):\n    return np.float32(np.float16(a)) @ np.float32(np.float16(b))\n",
        1,
    ),
}


@pytest.mark.parametrize("name", LONG)
def test_what_a_long_sum_hides_shows_in_all_its_errors_together(folder, capsys, name):
    rng = np.random.default_rng(1)
    a, b = (np.float32(rng.standard_normal(s)) for s in ((40, 3000), (3000, 9)))
    np.savez("own.npz", a=a, b=b)
    body, code = LONG[name]
    assert judge(body) == code
    assert ("every error is within its bound" in capsys.readouterr().out) == bool(code)


def test_rows_that_depend_on_each_other_are_judged_whole(folder, capsys):
    registry.bring(own.page("page.py"))
    with np.load("rows.npz") as arrays:
        assert carrying_rows(OPS["standard"], dict(arrays)) == []
    text = PAGE[PAGE.index("    return (x") :]
    assert judge(f"def standard(x):\n{text}", "standard", "rows.npz") == 0
    assert "only all rows" in capsys.readouterr().out


def test_a_file_that_does_not_fit_is_a_usage_error(folder, capsys):
    assert judge("def product(a, b):\n    return a @ b\n", file="rows.npz") == 4
    assert "rows.npz: product" in capsys.readouterr().err
    assert judge("def product(a, b):\n    return a @ b\n", file="nowhere.npz") == 4
