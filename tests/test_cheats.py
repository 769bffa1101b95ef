"""What candidates do to be accepted: each is rejected, and honest kernels are not.

A rule of atol = rtol = 1e-2 on one drawn input stands beside, where it accepts.
"""

from __future__ import annotations

import numpy as np
import pytest

from refimpl import own, registry
from refimpl.oracle.cases.sizes import profile_cases
from refimpl.oracle.judging.judge import expect
from refimpl.oracle.runs.op_run import OpRun
from refimpl.oracle.targets.sessions import Session

PAGE = """
import numpy as np
from refimpl.axes import Array, Float

def product(a: Float[Array, "M K"], b: Float[Array, "K N"]):
    return a @ b
"""
HEAD = "import numpy as np\ncalls = 0\nkept = {}\n\ndef right(a, b):\n    return a @ b\n\n"
HONEST = {
    "as written": "def product(a, b):\n    return a @ b\n",
    "in float64, rounded once": (
        "def product(a, b):\n    return np.float32(a.astype(float) @ b.astype(float))\n"
    ),
    "backwards": (
        "def product(a, b):\n    y = np.zeros((len(a), b.shape[1]), np.float32)\n"
        "    for k in reversed(range(len(b))):\n        y = y + a[:, k, None] * b[k]\n"
        "    return y\n"
    ),
    "in blocks of seven": (
        "def product(a, b):\n    y = np.zeros((len(a), b.shape[1]), np.float32)\n"
        "    for k in range(0, len(b), 7):\n        y = y + a[:, k : k + 7] @ b[k : k + 7]\n"
        "    return y\n"
    ),
}
CHEATS = {
    "zeros": "def product(a, b):\n    return np.zeros((len(a), b.shape[1]), np.float32)\n",
    "a constant": (
        "def product(a, b):\n    return np.full((len(a), b.shape[1]), 0.01, np.float32)\n"
    ),
    "a copy of the input": (
        "def product(a, b):\n    return np.resize(a, (len(a), b.shape[1])).astype(np.float32)\n"
    ),
    "float16 inside": (
        "def product(a, b):\n    return np.float32(np.float16(a)) @ np.float32(np.float16(b))\n"
    ),
    "no tail": (
        "def product(a, b):\n    k = len(b) // 4 * 4 or len(b)\n    return a[:, :k] @ b[:k]\n"
    ),
    "the first rows alone": ("def product(a, b):\n    y = a @ b\n    y[4:] = 0\n    return y\n"),
    "the buffer of an earlier call": (
        "def product(a, b):\n    key = len(a), b.shape[1]\n"
        "    there = key in kept\n    y = kept.setdefault(key, np.empty(key, np.float32))\n"
        "    if not there:\n        y[:] = a @ b\n    return y\n"
    ),
    "cached by shape": (
        "def product(a, b):\n    return kept.setdefault((a.shape, b.shape), right(a, b))\n"
    ),
    "cached by identity": (
        "def product(a, b):\n    key = a.__array_interface__['data'][0], a.shape, b.shape\n"
        "    return kept.setdefault(key, right(a, b))\n"
    ),
    "mutated inputs": (
        "def product(a, b):\n    y = a @ b\n    a = np.lib.stride_tricks.as_strided(a)\n"
        "    a.flags.writeable = True\n    a[...] = 0\n    return y\n"
    ),
    "a patched NumPy": (
        "for name in ('allclose', 'isclose', 'array_equal', 'abs', 'max', 'all', 'any'):\n"
        "    setattr(np, name, lambda *x, **y: True)\n"
        "np.testing.assert_allclose = lambda *x, **y: None\n"
        "def product(a, b):\n    return np.zeros((len(a), b.shape[1]), np.float32)\n"
    ),
    "right in the first calls": (
        "def product(a, b):\n    global calls\n    calls += 1\n"
        "    return right(a, b) if calls <= 20 else np.float32(1.001) * right(a, b)\n"
    ),
    "wrong in the first call": (
        "def product(a, b):\n    global calls\n    calls += 1\n"
        "    return right(a, b) * np.float32(calls > 1)\n"
    ),
    "one wrong call in fifty": (
        "def product(a, b):\n    global calls\n    calls += 1\n"
        "    return right(a, b) + np.float32(calls % 50 == 49)\n"
    ),
    "expected values from the process": (
        "import gc\ndef product(a, b):\n"
        "    shape = len(a), b.shape[1]\n"
        "    for x in gc.get_objects():\n"
        "        x = getattr(x, 'value', x)\n"
        "        known = isinstance(x, np.ndarray) and x.dtype == float and x.shape == shape\n"
        "        if known and x is not a and x is not b:\n            return np.float32(x)\n"
        "    return np.zeros(shape, np.float32)\n"
    ),
}


@pytest.fixture(scope="module")
def op(tmp_path_factory):
    page = tmp_path_factory.mktemp("page") / "page.py"
    page.write_text(PAGE)
    before = dict(registry._TABLE)
    (found,) = own.page(page)
    registry.bring([found])
    yield found
    registry._TABLE.clear()
    registry._TABLE.update(before)


@pytest.fixture(scope="module")
def cases(op):
    drawn = list(profile_cases(op, "float32", "quick", 24, seed=5))
    return [(case, expect(op, case.inputs, "float32")) for case in drawn]


def rejected(op, cases, file):
    """Whether any case, or any later call, shows it; causes are not looked for."""
    with Session(str(file)) as session:
        op_run = OpRun(op, session, "float32")
        for case, expected in cases:
            op_run.add(case, expected)
        op_run.repeat()
    assert op_run.finding.judged + len(op_run.failures) > 20
    return bool(op_run.finding.deviating or op_run.differing or op_run.failures)


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_kernel_is_accepted(op, cases, tmp_path, name):
    (tmp_path / "kernel.py").write_text(HEAD + HONEST[name])
    assert not rejected(op, cases, tmp_path / "kernel.py")


@pytest.mark.parametrize("name", CHEATS)
def test_a_cheat_is_rejected(op, cases, tmp_path, name):
    (tmp_path / "kernel.py").write_text(HEAD + CHEATS[name])
    assert rejected(op, cases, tmp_path / "kernel.py")


ACCEPTED_ON_ONE_INPUT = ("float16 inside", "cached by shape", "cached by identity")


@pytest.mark.parametrize("name", ACCEPTED_ON_ONE_INPUT)
def test_the_customary_rule_accepts_it_on_one_input(name):
    names: dict = {}
    exec(HEAD + CHEATS[name], names)
    rng = np.random.default_rng(0)
    a, b = (np.float32(rng.uniform(size=shape)) for shape in ((16, 48), (48, 12)))
    assert np.allclose(names["product"](a, b), a.astype(float) @ b, atol=1e-2, rtol=1e-2)


def test_nothing_that_judges_is_in_the_process_that_is_judged(op, cases, tmp_path):
    (tmp_path / "kernel.py").write_text(
        "import sys\ndef product(a, b):\n"
        "    rooms = ('judging', 'vectors', 'diagnosis', 'numbers.errors', 'runs', 'findings')\n"
        "    judges = tuple(f'refimpl.oracle.{room}' for room in rooms)\n"
        "    judges += ('refimpl.ops', 'refimpl_page')\n"
        "    there = [m for m in sys.modules if m.startswith(judges)]\n"
        "    if there:\n        raise RuntimeError(f'{there[0]} is here')\n    return a @ b\n"
    )
    assert not rejected(op, cases, tmp_path / "kernel.py")
