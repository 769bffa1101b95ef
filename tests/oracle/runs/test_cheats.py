"""What candidates do to be accepted: each is rejected, and honest kernels are not.

A rule of atol = rtol = 1e-2 on one drawn input stands beside, where it accepts.
"""

from __future__ import annotations

import numpy as np
import pytest

import refimpl
from refimpl import own, registry
from refimpl.oracle.cases.drawn import Case, random_case
from refimpl.oracle.cases.exchanged import exchanged
from refimpl.oracle.cases.sizes import of_key, profile_cases
from refimpl.oracle.diagnosis.case_ids import find_case
from refimpl.oracle.judging.judge import expect
from refimpl.oracle.runs.op_run import OpRun
from refimpl.oracle.targets.processes import unguarded
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
    "cached by a corner": (
        "def product(a, b):\n    key = a.shape, b.shape, *a.ravel()[:1], *b.ravel()[:1]\n"
        "    return kept.setdefault(key, right(a, b))\n"
    ),
    "cached by a sum": (
        "def product(a, b):\n    key = a.shape, b.shape, round(float(a.sum()), 2)\n"
        "    return kept.setdefault(key, right(a, b))\n"
    ),
    "one buffer for all results of a shape": (
        "def product(a, b):\n    key = len(a), b.shape[1]\n"
        "    y = kept.setdefault(key, np.empty(key, np.float32))\n"
        "    y[:] = right(a, b)\n    return y\n"
    ),
    "wrong where it was called before": (
        "def product(a, b):\n    key = a.tobytes(), b.tobytes()\n    old = key in kept\n"
        "    kept[key] = 1\n    return np.float32(0 if old else 1) * right(a, b)\n"
    ),
    "one wrong call in fifty, at random": (
        "chance = np.random.default_rng(1)\ndef product(a, b):\n"
        "    return right(a, b) * np.float32(1 + 0.01 * (chance.uniform() < 0.02))\n"
    ),
    "wrong in the odd millisecond": (
        "import time\ndef product(a, b):\n"
        "    return right(a, b) * np.float32(1 + 0.01 * (int(1000 * time.time()) % 2))\n"
    ),
    "NaN in the place of numbers": (
        "def product(a, b):\n    return np.full((len(a), b.shape[1]), np.nan, np.float32)\n"
    ),
    "one row for all": ("def product(a, b):\n    return right(a[:1], b)\n"),
    "float16 in large products alone": (
        "def product(a, b):\n    if len(b) < 32:\n        return right(a, b)\n"
        "    return np.float32(np.float16(a)) @ np.float32(np.float16(b))\n"
    ),
    "memory read without its strides": (
        "def product(a, b):\n"
        "    flat = lambda x: np.ravel(x, 'K').reshape(x.shape)\n"
        "    return right(flat(a), flat(b))\n"
    ),
    "an array that says other things later": (
        "class Lying(np.ndarray):\n    def astype(self, *x, **y):\n        return 0 * self\n"
        "    def __array__(self, *x, **y):\n        return np.zeros(self.shape, np.float32)\n"
        "    def __sub__(self, other):\n        return np.zeros(self.shape)\n"
        "def product(a, b):\n"
        "    return np.zeros((len(a), b.shape[1]), np.float32).view(Lying)\n"
    ),
    "expected values from the disk": (
        "import glob, json, os, sys\ndef product(a, b):\n"
        "    for root in {os.getcwd(), *sys.path}:\n"
        "        for path in glob.glob(os.path.join(root, 'golden', '*.json')):\n"
        "            for case in json.load(open(path)).get('cases', []):\n"
        "                for x in case.get('expected', {}).values():\n"
        "                    if tuple(x['shape']) == (len(a), b.shape[1]):\n"
        "                        return np.float32(x['data']).reshape(x['shape'])\n"
        "    return np.zeros((len(a), b.shape[1]), np.float32)\n"
    ),
    "expected values from the memory of whoever calls": (
        "import os\ndef product(a, b):\n    want = np.float64(a) @ np.float64(b)\n"
        "    there = f'/proc/{os.getppid()}/'\n"
        "    try:\n        memory = open(there + 'mem', 'rb', 0)\n"
        "        for row in open(there + 'maps'):\n"
        "            low, high = (int(x, 16) for x in row.split()[0].split('-'))\n"
        "            if 'rw' in row and high - low < 1 << 28:\n"
        "                memory.seek(low)\n"
        "                if want.tobytes() in memory.read(high - low):\n"
        "                    return np.float32(want)\n"
        "    except OSError:\n        pass\n    return np.float32(0 * want)\n"
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
    if "memory of whoever" in name and unguarded():
        pytest.skip("this system lets a target read its caller's memory, and the report says so")
    (tmp_path / "kernel.py").write_text(HEAD + CHEATS[name])
    assert rejected(op, cases, tmp_path / "kernel.py")


def run_of(op, cases, file):
    with Session(str(file)) as session:
        op_run = OpRun(op, session, "float32")
        for case, expected in cases:
            op_run.add(case, expected)
        op_run.repeat()
        op_run.conclude()
    return op_run


def test_an_answer_that_is_kept_for_what_looks_alike_is_said_to_be_kept(op, cases, tmp_path):
    (tmp_path / "kernel.py").write_text(HEAD + CHEATS["cached by a sum"])
    finding = run_of(op, cases, tmp_path / "kernel.py").finding
    assert (finding.status, finding.causes[0].id) == ("deviates", "answers-kept")
    again = find_case(finding.case)[1]
    assert again.says.endswith("exchanged")
    other = of_key(op, "float32", again.key.removesuffix("-exchanged"))
    assert not np.array_equal(again.inputs["a"], other.inputs["a"])
    assert np.array_equal(np.sort(again.inputs["a"], None), np.sort(other.inputs["a"], None))


def test_numbers_of_a_strategy_or_a_table_stay_in_their_order():
    by_strategy = refimpl.operation(lambda x: x, draw=lambda source: {"x": np.arange(4.0)})
    case = random_case(by_strategy, "float32", 0, 0)
    assert exchanged(by_strategy, case) is None
    by_example = refimpl.operation(lambda x: x, example={"x": np.float32([1, 2, 3, 5])})
    case = Case(by_example.name, "float32", "0-0", "", {"x": np.array([1.0, 2, 3, 5])})
    assert exchanged(by_example, case).inputs["x"].tolist() == [1, 5, 3, 2]
    table = registry.find("alpha_bar")
    assert exchanged(table, random_case(table, "float32", 0, 3)) is None


def test_a_result_that_a_later_call_changes_is_said_to_be_changed(op, cases, tmp_path):
    (tmp_path / "kernel.py").write_text(HEAD + CHEATS["one buffer for all results of a shape"])
    run = run_of(op, cases, tmp_path / "kernel.py")
    assert any("changed what an earlier call had returned" in f.says for f in run.findings)


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
