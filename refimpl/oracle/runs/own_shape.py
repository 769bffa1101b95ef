"""A target at its own shape: inputs from a file, the answer judged on a sample of its rows.

A generated kernel is often made for one shape, such as 4,096 × 4,096, whose bound would not fit
memory. The target answers for the whole input; the text is computed for some rows alone, where the
rows of the answer do not depend on each other. That is not taken for granted: the text must give
the same for a row alone as among others, or the answer is judged whole.
"""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from refimpl import registry
from refimpl.axes import AxesError
from refimpl.op import Op
from refimpl.oracle.cases.drawn import Case, rounded
from refimpl.oracle.diagnosis.cause import Cause
from refimpl.oracle.diagnosis.statistics import both_readings, measure
from refimpl.oracle.findings import Finding, Report
from refimpl.oracle.judging.judge import Verdict, expect, judge
from refimpl.oracle.numbers.precisions import PRECISIONS
from refimpl.oracle.targets.sessions import Session, TargetError

ROWS = 24  # of a sample: both ends, and the others anywhere between
LARGEST = 1 << 33  # bytes of an answer
WHOLE = 1 << 22  # numbers of all inputs together, where the answer is judged whole

NOT_SOUGHT = Cause("unknown", says="not looked for")

Inputs = dict[str, Any]


def read(op: Op, path: Path, precision: str) -> Inputs:
    """The arguments in a file of NumPy arrays; TargetError where they do not fit."""
    if path.exists() and not path.is_file():
        raise TargetError(f"{path}: is no regular file")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            given = {name: x.item() if not x.ndim else x for name, x in dict(arrays).items()}
        absent: Inputs = {name: None for name in op.specs if name not in given}
        return rounded(op, op.read(**absent, **given), precision)
    except (OSError, ValueError, TypeError, AxesError) as error:
        raise TargetError(f"{path}: {error}") from None


def sample(op: Op, inputs: Inputs, rng: np.random.Generator) -> tuple[list[str], np.ndarray]:
    """The arguments that are cut along their first axis, and which rows are looked at."""
    names = carrying_rows(op, inputs)
    if not names:
        return [], np.arange(0)
    count = len(inputs[names[0]])
    inner = rng.permutation(np.arange(1, count - 1))[: ROWS - 2]
    return names, np.unique([0, *inner, count - 1])


def carrying_rows(op: Op, inputs: Inputs) -> list[str]:
    """The arguments whose first axis is that of the output, if its rows are independent."""
    arrays = [name for name, x in inputs.items() if np.ndim(x) > 1]
    if not arrays:
        return []
    axis, count = op.specs[arrays[0]].dims[0], len(inputs[arrays[0]])
    alike = [n for n in arrays if op.specs[n].dims[0] == axis and len(inputs[n]) == count]
    for names in (alike, arrays[:1]):
        if count > ROWS and independent(op, inputs, names):
            return names
    return []


def independent(op: Op, inputs: Inputs, names: list[str]) -> bool:
    """Whether the text gives the same for a row alone as among two others."""
    three, one = (cut(inputs, names, np.arange(n)) for n in (3, 1))
    try:
        among, alone = expect(op, three, "float64"), expect(op, one, "float64")
    except (ValueError, IndexError):
        return False
    for a, b in zip(among, alone, strict=True):
        if a.value.ndim == 0 or len(a.value) != 3 or len(b.value) != 1:
            return False
        if np.any(np.abs(a.value[:1] - b.value) > a.allowed[:1] + b.allowed):
            return False
    return True


def cut(inputs: Inputs, names: list[str], rows: np.ndarray) -> Inputs:
    """Some rows of some arguments, and the others as they are."""
    return inputs | {name: inputs[name][rows] for name in names}


def judged(
    op: Op, session: Session, case: Case, rng: np.random.Generator
) -> tuple[str, Verdict, int]:
    """How one call ended, the verdict on its answer, and on how many rows it stands."""
    outcome = session.call(op, case, LARGEST)
    if outcome.status != "returned":
        return outcome.status, _wrong(op, outcome.says), 0
    names, rows = sample(op, case.inputs, rng)
    numbers = sum(np.size(x) for x in case.inputs.values())
    if not names and numbers > WHOLE:
        says = f"its rows depend on each other, and {numbers} numbers are too many to judge whole"
        raise TargetError(f"{op.name}: {says}")
    inputs, found = case.inputs, list(outcome.outputs)
    if names:
        whole = len(inputs[names[0]])
        if short := [x.shape for x in found if x.ndim == 0 or len(x) != whole]:
            return outcome.status, _wrong(op, f"has shape {short[0]}, expected {whole} rows"), 0
        inputs, found = cut(inputs, names, rows), [x[rows] for x in found]
    wanted = expect(op, inputs, case.precision)
    actual: Any = found if len(found) > 1 else found[0]
    verdict = judge(op, wanted, actual, PRECISIONS[case.precision].dtype())
    return outcome.status, verdict, len(rows)


def _wrong(op: Op, says: str) -> Verdict:
    return Verdict(np.inf, op.outputs[0], reason=f"{op.name}: {says}")


def verify_own_shape(
    target: str, op: Op, path: Path, precision: str = "float32", limit: float = 30.0, seed: int = 0
) -> Report:
    """Judge a target on the inputs of a file, and on the same with every first axis turned around.

    The second call has the shape of the first and other numbers: what is kept by shape shows.
    """
    rng = np.random.default_rng(seed)
    inputs = read(op, path, precision)
    turned = {n: x[::-1] if np.ndim(x) > 1 else x for n, x in inputs.items()}
    finding = Finding(op.name, precision, complete=True)
    with Session(target, limit) as session:
        if op.name not in session.ops:
            raise TargetError(f"{target}: does not define {op.name}")
        for key, given in (("own", inputs), ("turned", turned)):
            case = Case(op.name, precision, key, str(path), given)
            note(finding, *judged(op, session, case, rng), case)
        if finding.status == "conforms" and precision != "float64":
            spread(finding, op, session, inputs, rng)
        report = Report(target, session.about["version"], [finding], seed=seed)
    words = ["refimpl", "verify", target, "--op", op.name, "--inputs", str(path)]
    finding.replay = shlex.join([*words, *registry.whence(op.name)])
    return report


def spread(
    finding: Finding, op: Op, session: Session, inputs: Inputs, rng: np.random.Generator
) -> None:
    """Judge the errors of long sums together, on independent normal numbers of the same shape.

    A sum of thousands of terms has a wide bound; independent roundings come to far less.
    """
    real = [n for n, x in inputs.items() if isinstance(x, np.ndarray) and x.dtype.kind == "f"]
    if not real or not all(np.min(inputs[n]) < 0 < np.max(inputs[n]) for n in real):
        return  # probabilities, variances: normal numbers are none
    drawn = {name: rng.standard_normal(inputs[name].shape) for name in real}
    case = Case(
        op.name, finding.precision, "normal", "", rounded(op, inputs | drawn, finding.precision)
    )
    outcome = session.call(op, case, LARGEST)
    names, rows = sample(op, case.inputs, rng)
    if outcome.status != "returned" or not names:
        return
    some = replace(case, inputs=cut(case.inputs, names, rows))
    answered = [(some, [x[rows] for x in outcome.outputs])]
    found = measure(answered, lambda case: both_readings(op, None, case))
    if found is not None:
        finding.cases += 1
        finding.variance, finding.bias = found.variance, found.bias
        if not found.conforms:
            finding.status, finding.says = "deviates", f"{op.name}: {found}"
            finding.worst, finding.case = max(found.variance, found.bias), case.id
            finding.causes = [NOT_SOUGHT]


def note(finding: Finding, status: str, verdict: Verdict, rows: int, case: Case) -> None:
    """Add one call to a finding."""
    finding.cases += 1
    finding.worst = max(finding.worst, verdict.worst)
    finding.only = (f"{rows or 'all'} rows of its own shape",)
    if status == "refused":
        finding.refused += 1
    elif not verdict.conforms and finding.status == "conforms":
        finding.status = "deviates" if status == "returned" else "crashes"
        finding.says, finding.case = str(verdict), case.id
        finding.deviating += 1
        finding.causes = [NOT_SOUGHT]
    if finding.refused == finding.cases:
        finding.status, finding.says = "unsupported", f"{finding.op}: not one case was judged"
    elif finding.status == "unsupported":
        finding.status = "conforms"
