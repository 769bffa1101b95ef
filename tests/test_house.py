"""The house: which room stands on which, how long a file may be, what every reading knows.

What still offends is listed by name. A list only shrinks: an entry that no longer offends fails.
"""

import ast
import builtins
import re

import pytest

import refimpl
from refimpl.oracle.numbers.balls import Balls
from refimpl.oracle.numbers.composed import COMPOSED
from refimpl.oracle.numbers.errors import ErrorArray
from tests import ROOT
from tests.audit.simulated import Simulated

LONGEST = 500  # lines; a reference.py is a chapter that is read in one piece

ROOMS = (  # from the ground up: a room may import only those before it
    "exceptions",
    "moved",
    "axes",
    "constants",
    "text",
    "op",
    "gradients",
    "compiled",
    "ops",
    "registry",
    "fast",
    "models",
    "oracle.numbers",
    "oracle.cases",
    "own",
    "oracle.targets",
    "oracle.judging",
    "oracle.vectors",
    "oracle.diagnosis",
    "oracle.findings",
    "oracle.reports",
    "oracle.runs",
    "testing",
    "backends",
    "bench",
    "pytest_plugin",
    "commands",
)
UPWARD: set[tuple[str, str]] = set()  # (module, room above it)
TOO_LONG: set[str] = set()


def sources():
    """The package's modules by dotted name; its doors, which may open on anything, left out."""
    paths = sorted((ROOT / "refimpl").rglob("*.py"))
    doors = ("__init__", "__main__")
    return {
        ".".join(path.relative_to(ROOT / "refimpl").with_suffix("").parts).removesuffix(
            ".__init__"
        ): path
        for path in paths
        if path.parent.name != "refimpl" or path.stem not in doors
    }


def room(module):
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == "oracle" and len(parts) > 1 else parts[0]


def imported(source, modules):
    """The modules of the package that a source imports anywhere, in functions too."""
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            name = name.removeprefix("refimpl.") if name.startswith("refimpl.") else ""
            while name and name not in modules:
                name = name.rpartition(".")[0]
            if name:
                yield name


def upward(modules):
    """What imports a room above its own, as pairs of module and room."""
    height = {name: floor for floor, name in enumerate(ROOMS)}
    return {
        (module, room(other))
        for module, source in modules.items()
        for other in imported(source, modules)
        if height[room(other)] > height[room(module)]
    }


def test_every_module_is_in_a_room():
    assert {room(module) for module in sources()} - {"oracle"} == set(ROOMS)


def test_no_module_imports_from_a_room_above_its_own():
    found = upward({m: path.read_text() for m, path in sources().items() if m != "oracle"})
    assert found == UPWARD


@pytest.mark.parametrize(
    "line",
    [
        "from refimpl.commands.main import run",
        "import refimpl.commands.main",
        "from refimpl import commands",
        "def f():\n    from refimpl.commands import main",
    ],
)
def test_an_import_that_goes_up_is_seen_wherever_it_stands(line):
    modules = {"ops.x": line, "commands": "", "commands.main": "from refimpl.ops import x"}
    assert upward(modules) == {("ops.x", "commands")}


def test_no_file_is_longer_than_a_sitting():
    found = {
        str(path.relative_to(ROOT))
        for folder in ("refimpl", "tests", "docs", "golden", "examples")
        for path in (ROOT / folder).rglob("*.py")
        if path.name != "reference.py" and len(path.read_text().splitlines()) > LONGEST
    }
    assert found == TOO_LONG


def test_every_reading_knows_the_same_functions():
    known = {kind: {*kind.rules, *COMPOSED} for kind in (ErrorArray, Balls, Simulated)}
    every = set.union(*known.values())
    assert {kind.__name__: every - functions for kind, functions in known.items()} == {
        "ErrorArray": set(),
        "Balls": set(),
        "Simulated": set(),
    }


def written_twice(modules):
    """The functions of several modules that have the same arguments and do the same."""
    places = {}
    for module, source in modules.items():
        for node in ast.parse(source).body:
            if isinstance(node, ast.FunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                does = ast.dump(node.args) + "".join(map(ast.dump, body))
                places.setdefault(does, []).append(f"{module}.{node.name}")
    return sorted(names for names in places.values() if len(names) > 1)


def test_what_specifications_share_is_written_once():
    specs = {
        m: p.read_text() for m, p in sources().items() if re.search(r"\.spec\.|^ops.common", m)
    }
    assert len(specs) > 50
    assert written_twice(specs) == []


def test_a_helper_that_is_written_twice_is_seen_under_any_name():
    modules = {"a": 'def f(x):\n    """One."""\n    return x', "b": "def g(x):\n    return x"}
    assert written_twice(modules) == [["a.f", "b.g"]]


SIGNALS = {"OutOfTime"}  # no error, and not to be taken for one by whoever catches Exception


def raised(texts):
    """The exceptions that sources define, by name, and whether they have our base."""
    bases = {
        node.name: {ast.unparse(base).rpartition(".")[2] for base in node.bases}
        for text in texts
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ClassDef)
    }

    def above(name):
        return {name}.union(*(above(base) for base in bases.get(name, ())))

    known = {n for n, x in vars(builtins).items() if isinstance(x, type)}
    ends = {n for n in known if issubclass(getattr(builtins, n), BaseException)}
    return {name: "RefimplError" in above(name) for name in bases if above(name) & ends}


def test_whatever_the_package_raises_has_one_base():
    found = raised(path.read_text() for path in sources().values())
    assert {name for name, ours in found.items() if not ours} == SIGNALS
    assert len(found) > 15


def test_an_exception_without_the_base_is_seen_also_below_another_of_its_kind():
    text = "class A(ValueError): ...\nclass B(A): ...\nclass C(RefimplError, A): ...\nclass D: ..."
    assert raised([text]) == {"A": False, "B": False, "C": True}


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda: refimpl.softmax("text"), ValueError),
        (lambda: refimpl.operation(3), TypeError),
        (lambda: refimpl.verify("no_such_target"), RuntimeError),
    ],
)
def test_what_a_user_catches_is_ours_and_the_error_built_in(call, kind):
    with pytest.raises(kind) as caught:
        call()
    assert isinstance(caught.value, refimpl.RefimplError)


def test_tests_stand_in_folders_that_mirror_the_package():
    own = {"", "docs", "meta"}
    folders = {
        path.parent.relative_to(ROOT / "tests").as_posix().removeprefix(".")
        for path in (ROOT / "tests").rglob("test_*.py")
    }
    package = ROOT / "refimpl"
    there = {f for f in folders if (package / f).is_dir() or (package / f"{f}.py").is_file()}
    assert folders - there == own - {""}
