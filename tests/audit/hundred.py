"""Are the bounds of texts that are not ours sound? A hundred texts, honest orders, drawn inputs.

`python -m tests.audit.hundred --inputs 1000` draws inputs for every text of examples/kernels and
computes each in several honest ways: NumPy in float32, float64 rounded once, and simulated orders
of summation, fused or not; with `--torch` torch's own functions as well, eager and compiled.
Whatever lies outside the bound is a false rejection, and printed. `--kept FILE` keeps the line of
each text that is done, and a later run leaves those out.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from refimpl import own
from refimpl.op import Op
from refimpl.oracle.cases.drawn import Case, random_case
from refimpl.oracle.judging.judge import error_ratio, expect
from refimpl.oracle.numbers.places import NoRule
from tests import ROOT
from tests.audit.simulated import STYLES, Style, simulate

PLACE = ROOT / "examples" / "kernels"


def texts() -> Iterator[Op]:
    """The operations of all pages."""
    for path in sorted(PLACE.glob("[a-z]*.py")):
        yield from own.page(path)


Way = Callable[[Op, Case], Any]


def _numpy(op: Op, case: Case) -> Any:
    return op.text(**case.typed(op))


def _wide(op: Op, case: Case) -> Any:
    return op.text(**case.inputs)


def _simulated(style: Style) -> Way:
    def way(op: Op, case: Case) -> Any:
        (found,) = simulate(op.text, case.inputs, case.precision, style)
        return found

    return way


WAYS: dict[str, Way] = {
    "NumPy in float32": _numpy,
    "float64, rounded once": _wide,
    **{style.name: _simulated(style) for style in STYLES},
}


def by_torch(name: str) -> dict[str, Way]:
    """The ways of torch to compute one text: eager, and compiled."""
    from tests.audit.torch_forms import FORMS, compiled, tensors

    form = FORMS[name]
    fused = compiled(form)
    return {
        "torch": lambda op, case: form(*tensors(case.typed(op)).values()).numpy(),
        "torch.compile": lambda op, case: fused(*tensors(case.typed(op)).values()).numpy(),
    }


def judged(op: Op, case: Case, ways: dict[str, Way]) -> Iterator[tuple[str, float]]:
    """The error ÷ allowed of each honest result; exact choices and infinities count as well."""
    (want,) = expect(op, case.inputs, case.precision)
    for name, way in ways.items():
        try:
            found = np.asarray(way(op, case))
        except NoRule:
            continue
        if want.allowed.any() and want.choice is None:
            found = found.astype(np.float32)
        if found.shape != want.value.shape:
            raise ValueError(f"{op.name} by {name}: {found.shape}, expected {want.value.shape}")
        yield name, float(np.max(error_ratio(want, found.astype(np.float64)), initial=0.0))


def refuses(op: Op, case: Case) -> bool:
    """Whether the text has no answer: NumPy takes no -1 for a size beside one of 0."""
    try:
        op.text(**case.typed(op))
    except ValueError:
        return True
    return False


def audit(op: Op, count: int, seed: int, ways: dict[str, Way]) -> dict[str, Any]:
    """How many results were judged, the worst ratio of each way, and what was rejected."""
    results, worst, rejected = 0, dict.fromkeys(ways, 0.0), []
    for i in range(count):
        case = random_case(op, "float32", seed, i)
        if refuses(op, case):
            continue
        for name, ratio in judged(op, case, ways):
            results, worst[name] = results + 1, max(worst[name], ratio)
            if ratio > 1:
                rejected.append(f"{case.id} by {name}: {ratio:.3g} × the allowed error")
    return {"op": op.name, "results": results, "worst": worst, "rejected": rejected}


def kept(path: Path | None, inputs: int) -> dict[str, dict[str, Any]]:
    """What an earlier run with as many inputs found, by text."""
    if path is None or not path.exists():
        return {}
    found = [json.loads(line) for line in path.read_text().splitlines()]
    return {row["op"]: row for row in found if row["inputs"] == inputs}


def rows(chosen: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """What is found of each text, until the time is over."""
    end, done = time.monotonic() + chosen.seconds, kept(chosen.kept, chosen.inputs)
    for op in texts():
        row = done.get(op.name)
        if row is None:
            if time.monotonic() > end:
                print("the time is over")
                return
            ways = WAYS | (by_torch(op.name) if chosen.torch else {})
            row = audit(op, chosen.inputs, chosen.seed, ways) | {"inputs": chosen.inputs}
            if chosen.kept is not None:
                with chosen.kept.open("a") as file:
                    file.write(json.dumps(row) + "\n")
        yield row


def main() -> None:
    """Print a line a text, and every false rejection."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--inputs", type=int, default=20)
    options.add_argument("--seconds", type=float, default=np.inf, help="for all texts together")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--torch", action="store_true", help="torch's own functions as well")
    options.add_argument("--kept", type=Path, help="a file of lines, one for each text done")
    total, wrong = 0, 0
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for row in rows(options.parse_args()):
            total, wrong = total + row["results"], wrong + len(row["rejected"])
            way = max(row["worst"], key=row["worst"].get)
            ratio = row["worst"][way]
            print(f"{row['op']:<32} {row['results']:>7} {ratio:8.3f}  {way}", flush=True)
            print(*(f"  {line}\n" for line in row["rejected"][:3]), sep="", end="")
    print(f"{wrong} of {total} honest results rejected")


if __name__ == "__main__":
    main()
