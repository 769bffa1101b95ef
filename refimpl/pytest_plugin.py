"""A pytest plugin: `pytest --refimpl-target mine.py` makes every case of every operation a test.

Without the option nothing is loaded but this file.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from refimpl.exceptions import RefimplError

if TYPE_CHECKING:
    from refimpl.op import Op
    from refimpl.oracle.findings import Finding
    from refimpl.oracle.targets.sessions import Session

OPEN = pytest.StashKey[contextlib.ExitStack]()  # the processes of the targets
REMARKS = pytest.StashKey[list[str]]()  # on the entries of a baseline
VERDICT = "verdict"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options."""
    group = parser.getgroup("refimpl", "judge an implementation by the reference")
    group.addoption(
        "--refimpl-target",
        action="append",
        default=[],
        metavar="TARGET",
        help="fast, onnxruntime, torch, jax, or a file ending in .py; may be repeated",
    )
    group.addoption(
        "--refimpl-profile",
        choices=("quick", "ci", "deep"),
        default="ci",
        help="how many random cases: 12, 60 or 1000 an operation and precision",
    )
    group.addoption(
        "--refimpl-precision",
        action="append",
        default=[],
        choices=("float64", "float32", "tf32", "bfloat16", "float16"),
        help="default: what the target says it computes in; may be repeated",
    )
    group.addoption(
        "--refimpl-limit", type=float, default=30.0, metavar="SECONDS", help="of a call"
    )
    group.addoption(
        "--refimpl-page",
        action="append",
        default=[],
        metavar="FILE",
        help="functions of your own, by which those of the same name are judged; may be repeated",
    )
    group.addoption(
        "--refimpl-allow",
        action="append",
        default=[],
        metavar="ID",
        help="a cause that does not count; may be repeated",
    )
    group.addoption(
        "--refimpl-baseline",
        metavar="FILE",
        help="known deviations as TOML, each with a reason and the day on which it expires",
    )


def pytest_configure(config: pytest.Config) -> None:
    """The marker, by which -m selects these tests."""
    config.addinivalue_line("markers", "refimpl: a case of an operation, from --refimpl-target")
    config.stash[REMARKS] = []
    config.stash[OPEN] = contextlib.ExitStack()
    config.add_cleanup(config.stash[OPEN].close)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What there is to say about a baseline."""
    for remark in terminalreporter.config.stash[REMARKS]:
        terminalreporter.write_line(f"baseline: {remark}")


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Put the targets beside whatever else the session collects."""
    report = yield
    if isinstance(collector, pytest.Session):
        for target in dict.fromkeys(collector.config.getoption("--refimpl-target")):
            path = Path(target).resolve() if target.endswith(".py") else collector.path
            node = Target.from_parent(collector, name=target, nodeid=target, path=path)
            report.result.append(node)
    return report


class Deviation(RefimplError):
    """The target is wrong on a case, or was not judged."""


class Target(pytest.Collector):
    """One target, which answers from a process of its own until pytest ends."""

    def collect(self) -> Iterator[CaseItem]:
        """An item for each case, and one for the verdict; cases are drawn when they run."""
        from refimpl.oracle.cases.sizes import keys, leading
        from refimpl.oracle.runs.op_run import PROFILES
        from refimpl.oracle.targets.sessions import Session, TargetError
        from refimpl.own import OperationError
        from refimpl.registry import OPS

        option = self.config.getoption
        try:
            brought = self._bring(option("--refimpl-page"))
            session = Session(self.name, option("--refimpl-limit"))
            self.config.stash[OPEN].enter_context(session)
            if not session.ops:
                raise TargetError(f"{self.name}: defines no function named like an operation")
            chosen = tuple(option("--refimpl-precision"))
            op_runs = [
                Judged(self.config, OPS[name], session, precision)
                for name in session.ops
                if not brought or name in brought
                for precision in OPS[name].precisions
                if precision in session.precisions(name, chosen)
            ]
        except (TargetError, OperationError) as error:
            raise self.CollectError(str(error)) from None
        profile = option("--refimpl-profile")
        for judged in op_runs:
            judged.lead = leading([j.precision for j in op_runs if j.op.name == judged.op.name])
            drawn = keys(judged.op, judged.precision, profile, PROFILES[profile], lead=judged.lead)
            for key in (*drawn, VERDICT):
                name = f"{judged.op.name}/{judged.precision}/{key}"
                yield CaseItem.from_parent(self, name=name, judged=judged)

    @staticmethod
    def _bring(pages: list[str]) -> list[str]:
        """Add the operations of pages; their names."""
        from refimpl import own, registry

        return [name for path in pages for name in registry.bring(own.page(path), "--page", path)]


class Judged:
    """One operation of one target in one precision, judged as the command judges it."""

    def __init__(self, config: pytest.Config, op: Op, session: Session, precision: str) -> None:
        from refimpl.oracle.findings import Report
        from refimpl.oracle.runs import baseline
        from refimpl.oracle.runs.judges import op_run_of

        self.config = config
        self.precision = precision
        self.op_run = op_run_of(op, session, precision)
        self.op = self.op_run.op
        allowed = frozenset(config.getoption("--refimpl-allow"))
        self.report = Report(session.target, session.about["version"], allowed=allowed)
        path = config.getoption("--refimpl-baseline")
        self.known = baseline.read(Path(path)) if path else []
        self.lead = precision  # the one in which all sizes are drawn
        self.shown: dict[int, str] = {}  # findings, and the test that failed for each

    def findings(self) -> list[Finding]:
        """What was found; the first test that asks has all cases judged."""
        from refimpl.oracle.runs import baseline
        from refimpl.oracle.runs.op_run import judge_op

        if not self.report.findings:
            profile = self.config.getoption("--refimpl-profile")
            op_runs = [(self.op_run, self.report.target)]
            judge_op(self.op, self.precision, op_runs, profile, lead=self.lead)
            self.report.findings = self.op_run.findings
            self.config.stash[REMARKS] += baseline.apply([self.report], self.known)
        return self.report.findings

    def show(self, finding: Finding, test: str, says: str) -> None:
        """Fail for a finding once; what else it shows in is expected to fail."""
        from refimpl.oracle.reports import text

        if finding.status == "dialect":
            pytest.xfail(f"conforms to dialect {finding.causes[0].id}")
        if self.report.allows(finding):
            pytest.xfail(f"allowed: {says}")
        before = self.shown.setdefault(id(finding), test)
        if before != test:
            pytest.xfail(f"for the same reason as {before}")
        stream = io.StringIO()
        text.explain(self.report, [finding], stream)
        raise Deviation(stream.getvalue().strip())


class CaseItem(pytest.Item):
    """One case of an operation, or the verdict on all of them."""

    def __init__(self, *, judged: Judged, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.judged = judged
        self.add_marker("refimpl")

    def runtest(self) -> None:
        """Say what the case came to; a refusal skips, a dialect is an expected failure."""
        judged = self.judged
        main, *_ = judged.findings()
        if self.name.endswith(f"/{VERDICT}"):
            self._conclude()
            return
        result = judged.op_run.results.get(self.name)
        if result is None:
            pytest.skip(f"not run after an earlier case: {judged.findings()[-1].says}")
        if result.status in ("refused", "left out"):
            pytest.skip(f"{result.status} {result.says}".strip())
        if result.status != "conforms":
            judged.show(judged.op_run.found_in.get(self.name, main), self.name, result.says)

    def _conclude(self) -> None:
        """Fail for what no single case shows, and where too little was judged."""
        from refimpl.oracle.reports.text import unjudged

        for finding in self.judged.report.unjudged:
            raise Deviation(unjudged(finding))
        for finding in self.judged.report.wrong:
            if id(finding) not in self.judged.shown:
                self.judged.show(finding, self.name, finding.says)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The verdict without a traceback through the oracle."""
        if isinstance(excinfo.value, Deviation):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        """Where the report places it."""
        return self.path, None, self.name
