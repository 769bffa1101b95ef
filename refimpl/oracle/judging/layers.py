"""Judge a whole model layer by layer, each on the input that the target really had.

The model's text runs on error-carrying arrays. At each of its taps the target's recorded value is
compared with ours, within the bound, and then takes its place as an exact input: an error is found
in the layer that makes it, and no bound has to cover more than one layer.
"""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import Any, TextIO

import numpy as np

from refimpl.axes import AxesError
from refimpl.models import TEXT
from refimpl.models.clip import clip
from refimpl.models.configs import Clip, Config, Vit
from refimpl.models.mistakes import VIT
from refimpl.models.vit import vit, vit_logits
from refimpl.op import Edit, Op
from refimpl.oracle.diagnosis.causes import diff
from refimpl.oracle.findings import Finding, Report
from refimpl.oracle.judging.judge import Expected, Verdict, compare
from refimpl.oracle.numbers.errors import SLACK, ErrorArray
from refimpl.oracle.numbers.precisions import PRECISIONS, Precision
from refimpl.oracle.reports.text import FINE, number, paint
from refimpl.oracle.targets.models import (
    LIBRARIES,
    Crashed,
    Recording,
    Unsupported,
    find_model,
    record,
)

ACTIVATIONS = ("gelu", "gelu_tanh", "quick_gelu")
EPSILONS = (1e-5, 1e-6, 1e-12)


@dataclass(frozen=True)
class Layer:
    """What became of one layer."""

    name: str
    verdict: Verdict
    room: float  # what is allowed ÷ how large the values are, at the median

    @property
    def judged(self) -> bool:
        """Whether the bound is narrow enough to tell right from wrong."""
        return self.room < 1 or not self.verdict.conforms


@dataclass
class Judgement:
    """All layers in the order in which the model computes them, and what explains a deviation."""

    layers: list[Layer] = field(default_factory=list)
    dialect: str = ""
    mistakes: tuple[Edit, ...] = ()  # each alone explains every layer

    @property
    def first(self) -> Layer | None:
        """The first layer that deviates."""
        return next((layer for layer in self.layers if not layer.verdict.conforms), None)

    @property
    def worst(self) -> float:
        """The largest error ÷ allowed."""
        return max((layer.verdict.worst for layer in self.layers), default=0.0)

    @property
    def status(self) -> str:
        """`conforms`, `dialect` or `deviates`."""
        if self.first is None:
            return "conforms"
        return "dialect" if self.dialect else "deviates"


class LayerError(ValueError):
    """A recording does not belong to the model that it claims to be."""


class Lifted(Mapping):
    """Parameters read as exact error-carrying arrays, each when it is asked for."""

    def __init__(self, params: Mapping[str, np.ndarray], precision: Precision) -> None:
        self.params, self.precision = params, precision

    def __getitem__(self, name: str) -> ErrorArray:
        return exact(self.params[name], self.precision)

    def __iter__(self) -> Iterator[str]:
        return iter(self.params)

    def __len__(self) -> int:
        return len(self.params)


def exact(x: np.ndarray, precision: Precision) -> ErrorArray:
    """An input of the model, or a target's own value."""
    value = np.asarray(x, dtype=np.float64)
    return ErrorArray(value, np.broadcast_to(0.0, value.shape), precision)


def forward(config: Config) -> Callable[..., Any]:
    """The text of the whole model, with its arguments by name."""
    if isinstance(config, Clip):
        return clip
    return vit_logits if config.classes else vit


def walk(
    recording: Recording,
    config: Config,
    precision: str,
    meet: Callable[[str, ErrorArray], None],
    run: Callable | None = None,
) -> None:
    """Run the text; at each recorded tap show what it gives, and go on from the target's value."""
    p = PRECISIONS[precision]

    def tap(name: str, x: Any) -> Any:
        if name not in recording.layers:
            return x
        meet(name, ErrorArray(x.value, x.error * SLACK, p))
        found = recording.layers[name]
        return exact(found, p) if found.shape == x.shape else x

    run = run or forward(config)
    bounded(run, recording.params, precision, **recording.inputs, config=config, tap=tap)


def bounded(run: Callable, params: Mapping[str, np.ndarray], precision: str, **inputs: Any) -> Any:
    """Run a model on exact error-carrying arrays; what is no array of floats stays as it is.

    Over a whole model the bound grows by about four digits a block, so that it is of use for a few
    blocks in float64; `judge_layers` starts anew at every recorded value.
    """
    p = PRECISIONS[precision]
    floats = {n: x for n, x in inputs.items() if getattr(x, "dtype", None) and x.dtype.kind == "f"}
    lifted = {name: exact(x, p) for name, x in floats.items()}
    with np.errstate(all="ignore"):  # the rules know what to make of infinities
        return run(**{**inputs, **lifted}, params=Lifted(params, p), ops=TEXT)


def judge_layers(
    recording: Recording, precision: str = "float32", run: Callable | None = None
) -> Judgement:
    """Judge every recorded layer; where one deviates, look for the dialect that explains all.

    `run` is the text to judge by, if not that of the whole model forwards: a gradient, a tower.
    What our own float64 may be off is allowed as well, but computed only where it is needed.

    Raises LayerError for recorded layers that the model does not have.
    """
    op, storage = Op(run or forward(recording.config)), PRECISIONS[precision].dtype()
    verdicts: dict[str, Verdict] = {}
    rooms: dict[str, float] = {}
    outside: dict[str, ErrorArray] = {}

    def judge(name: str, theirs: ErrorArray) -> None:
        want = Expected(name, theirs.value, theirs.error)
        verdicts[name] = compare(op, want, recording.layers[name], storage)
        rooms[name] = room(theirs)
        if not verdicts[name].conforms:
            outside[name] = theirs

    def judge_again(name: str, ours: ErrorArray) -> None:
        if name in outside:
            want = Expected(name, ours.value, ours.error + outside[name].error)
            verdicts[name] = compare(op, want, recording.layers[name], storage)

    walk(recording, recording.config, precision, judge, run)
    unknown = [name for name in recording.layers if name not in verdicts]
    if unknown or not verdicts:
        raise LayerError(f"{op.name}: no layer is called {', '.join(unknown[:5]) or '(nothing)'}")
    if outside and precision != "float64":
        walk(recording, recording.config, "float64", judge_again, run)
    judgement = Judgement([Layer(name, v, rooms[name]) for name, v in verdicts.items()])
    if judgement.first is not None:
        judgement.dialect = explain(recording, precision, run)
        if run is None and not judgement.dialect:
            judgement.mistakes = tuple(wrong_structure(recording, precision))
    return judgement


def room(bound: ErrorArray) -> float:
    """The median of what is allowed where anything is, in units of the root mean square value."""
    error = np.broadcast_to(bound.error, bound.shape)
    allowed = float(np.median(error[error > 0])) if error.any() else 0.0
    size = float(np.sqrt(np.mean(np.square(bound.value)))) if bound.size else 0.0
    return allowed / size if size else (np.inf if allowed else 0.0)


class Deviates(Exception):
    """A layer that deviates was reached."""


def explain(recording: Recording, precision: str, run: Callable | None = None) -> str:
    """The other activation or epsilon, or both, with which every layer is within its bound."""
    op, storage = Op(run or forward(recording.config)), PRECISIONS[precision].dtype()

    def stop(name: str, theirs: ErrorArray) -> None:
        want = Expected(name, theirs.value, theirs.error)
        if not compare(op, want, recording.layers[name], storage).conforms:
            raise Deviates

    def fits(config: Config) -> bool:
        try:
            walk(recording, config, precision, stop, run)
        except Deviates:
            return False
        return True

    for changes in (1, 2):
        spoken = dialects(recording.config, changes)
        found = [says for says, config in spoken if fits(config)]
        if found:
            return ", or ".join(found)
    return ""


def wrong_structure(recording: Recording, precision: str) -> Iterator[Edit]:
    """The known mistakes of a model's text, each of which puts every layer within its bound.

    A bound as wide as the values explains nothing, nor does a text without the recorded layers.
    """
    config = recording.config
    if not isinstance(config, Vit):
        return
    op, storage = Op(forward(config)), PRECISIONS[precision].dtype()
    for edit in VIT:
        met: set[str] = set()

        def stop(name: str, theirs: ErrorArray, met: set[str] = met) -> None:
            met.add(name)
            want = Expected(name, theirs.value, theirs.error)
            fits = compare(op, want, recording.layers[name], storage).conforms
            if not fits or room(theirs) >= 1:
                raise Deviates

        try:
            walk(recording, config, precision, stop, op.edited(edit))
        except (Deviates, AxesError, ValueError):  # or its shapes are not those of the recording
            continue
        if met == set(recording.layers):
            yield edit


def dialects(config: Config, changes: int) -> Iterator[tuple[str, Config]]:
    """The model with another activation, another epsilon, or both, and what to call it."""
    tower = config if isinstance(config, Vit) else config.text
    for activation, eps in itertools.product(ACTIVATIONS, EPSILONS):
        says = []
        if activation != tower.activation:
            says.append(f"{activation} in place of {tower.activation}")
        if eps != tower.eps:
            says.append(f"an epsilon of {eps:g} in place of {tower.eps:g}")
        if len(says) == changes:
            yield " and ".join(says), _spoken(config, activation, eps)


def _spoken(config: Config, activation: str, eps: float) -> Config:
    if isinstance(config, Vit):
        return replace(config, activation=activation, eps=eps)
    vision = config.vision
    if isinstance(vision, Vit):
        vision = replace(vision, activation=activation, eps=eps)
    return Clip(vision, replace(config.text, activation=activation, eps=eps))


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
            entry.causes = [cause(judgement, model)]
        found.append(entry)
    return found


def cause(judgement: Judgement, model: str) -> dict[str, str]:
    """What explains every layer: a dialect, the one mistake that does, or nothing."""
    if judgement.dialect:
        name = f"{model}/{'-'.join(judgement.dialect.split())}"
        return {"kind": "dialect", "id": name, "says": judgement.dialect, "diff": ""}
    if len(judgement.mistakes) == 1:
        (edit,) = judgement.mistakes
        return {"kind": "mistake", "id": edit.id, "says": edit.says, "diff": diff(Op(vit), edit)}
    says = "no other activation, epsilon or known mistake of the structure fits"
    if judgement.mistakes:
        says = "cannot tell these apart: " + "; ".join(edit.says for edit in judgement.mistakes)
    return {"kind": "unknown", "id": "", "says": says, "diff": ""}


BLOCK = re.compile(r"(.*transformer\.resblocks\.\d+|.*layer\d\.\d+)(\..*)?")


def show(reports: Sequence[Report], stream: TextIO | None = None) -> None:
    """Print a table for each model, a line for each block, and the first layer that deviates.

    A layer whose bound is too wide to judge it is unsupported.
    """
    stream = stream or sys.stdout
    for report in reports:
        if not report.findings:
            continue  # interrupted before it was judged
        bad = [f for f in report.findings if f.status not in FINE]
        first = bad[0] if bad else report.findings[0]
        status = first.status if bad else "conforms"
        layers = sum(f.cases for f in report.findings)
        says = f"{layers} layers" if layers else f"{first.says}"
        title = f"{report.target} ({report.version})" if report.version else report.target
        print(f"{title}: {paint(status, status, stream)}, {says}", file=stream)
        if not layers:
            continue
        groups: dict[str, list[Finding]] = {}
        for f in report.findings:
            block = BLOCK.fullmatch(f.op)
            groups.setdefault(block[1] if block else f.op, []).append(f)
        wide = max(map(len, groups))
        print(f"\n  {'layer':<{wide}} {'values':>6} {'worst':>9}  status", file=stream)
        for name, group in groups.items():
            row = max(group, key=lambda f: (f.status not in FINE, f.status != "conforms", f.worst))
            row_status = paint(row.status, row.status, stream)
            line = f"  {name:<{wide}} {len(group):>6} {number(row.worst):>9}  {row_status}"
            print(line, file=stream)
        says = "the largest error ÷ the error allowed, given the target's own input"
        print(f"\n  worst: {says}", file=stream)
        if bad:
            print(f"  first: {first.says}", file=stream)
            verb = "conforms to dialect" if status == "dialect" else "cause"
            for found in first.causes:
                print(f"  {verb}: {found['says']}", file=stream)
                for line in found["diff"].splitlines():
                    print(f"    {line}", file=stream)
            print(f"  again: {first.replay}", file=stream)
        print(file=stream)
