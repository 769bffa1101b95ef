"""Judge whole models of targets, a report for each model of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec

import numpy as np

from refimpl.models.registry import find_model
from refimpl.oracle.diagnosis.structure import Judgement, causes, judge_layers
from refimpl.oracle.findings import Finding, Report
from refimpl.oracle.judging.layers import LayerError
from refimpl.oracle.targets.models import LIBRARIES, Crashed, Unsupported, record


def verify_models(
    *targets: str,
    models: Sequence[str],
    seed: int = 0,
    allow: Sequence[str] = (),
    reports: list[Report] | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> list[Report]:
    """Judge whole models of targets in float32, a report for each model of each target.

    A target is one of the libraries, or a file ending in .py that defines `record(config, seed)`
    and returns a `Recording`; without one, every library found on the machine is judged.
    """
    reports = [] if reports is None else reports
    for name in models:
        find_model(name)
    for target in targets or libraries():
        for name in models:
            progress(f"{name} of {target}")
            report = Report(f"{target} {name}", allowed=frozenset(allow))
            reports.append(report)
            again = f"refimpl verify {target} --model {name} --seed {seed}"
            try:
                recording = record(target, name, seed)
                report.version = recording.version
                report.findings += findings(judge_layers(recording), name, again)
            except Unsupported as error:
                report.findings.append(
                    Finding(name, "float32", status="unsupported", says=str(error))
                )
            except (Crashed, LayerError) as error:
                entry = Finding(name, "float32", 1, worst=np.inf, status="crashes", replay=again)
                entry.says = f"{name}: {error}"
                report.findings.append(entry)
    return reports


def libraries() -> list[str]:
    """The libraries with whole models that are found on the machine."""
    return [name for name, needs in LIBRARIES.items() if all(map(find_spec, needs))]


def findings(judgement: Judgement, model: str, again: str) -> list[Finding]:
    """A finding for each layer."""
    found = []
    for layer in judgement.layers:
        entry = Finding(layer.name, "float32", 1, worst=layer.verdict.worst)
        if not layer.judged:
            entry.status, entry.cases = "unsupported", 0
            entry.says = "the bound is as wide as the values: record more of the layers before it"
        if not layer.verdict.conforms:
            entry.status, entry.says, entry.replay = judgement.status, str(layer.verdict), again
            entry.causes = causes(judgement, model)
        found.append(entry)
    return found
