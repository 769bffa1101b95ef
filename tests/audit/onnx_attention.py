"""`python -m tests.audit.onnx_attention`: are the expected outputs of ONNX's own tests right?

The test cases of ONNX's Attention come with stored outputs. Here they stand trial: the text below
says what the specification of the operator says, the bounds derived from it say how far an honest
result may be, and each stored number is within its bound or off. The other way round, the right
answer, rounded once, is handed to ONNX's own acceptance rule.

The bound is that of the inputs' precision; a softmax in a wider one is honest by it as well.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from refimpl.constants import constant
from refimpl.ops.attention.reference import attention, split_heads
from refimpl.ops.layers.reference import softmax
from refimpl.oracle.judging.judge import Expected, error_ratio
from refimpl.oracle.numbers.balls import certified
from refimpl.oracle.numbers.errors import bounded
from refimpl.oracle.numbers.precisions import PRECISIONS
from refimpl.oracle.reports.text import number

OUTPUTS = ("Y", "present_key", "present_value", "qk_matmul_output")
SOFTMAX = {1: "float32", 10: "float16", 11: "float64", 16: "bfloat16"}  # softmax_precision
DEFAULTS: dict[str, Any] = {
    "scale": None,
    "softcap": 0.0,
    "is_causal": 0,
    "q_num_heads": None,
    "kv_num_heads": None,
    "qk_matmul_output_mode": 0,
    "left_window_size": -1,
    "right_window_size": -1,
}
# expected outputs of ONNX outside the bound, and why; none in onnx 1.23.2
EXPLAINED: dict[str, str] = {}
ARGUMENTS = ("Q", "K", "V", "attn_mask", "past_key", "past_value", "nonpad_kv_seqlen")


def onnx_attention(
    Q: Any,
    K: Any,
    V: Any,
    attn_mask: Any,
    past_key: Any,
    past_value: Any,
    nonpad_kv_seqlen: Any,
    scale: Any,
    softcap: Any,
    is_causal: int,
    q_num_heads: int | None,
    kv_num_heads: int | None,
    qk_matmul_output_mode: int,
    left_window_size: int,
    right_window_size: int,
) -> tuple:
    """What the specification of ONNX's Attention says, opsets 23 to 25; all four outputs."""
    flat = Q.ndim == 3
    if flat:
        Q, K, V = split_heads(Q, q_num_heads), *(split_heads(x, kv_num_heads) for x in (K, V))
    past = 0
    if past_key is not None:
        past = past_key.shape[2]
        K, V = np.concatenate([past_key, K], axis=2), np.concatenate([past_value, V], axis=2)
    B, H, N, E = Q.shape
    M = K.shape[2]

    # which keys are seen, and what is added to their scores
    first = past  # keys before the first query
    if nonpad_kv_seqlen is not None:
        first = (nonpad_kv_seqlen - N)[:, None, None, None]
    place, j = first + np.arange(N)[:, None], np.arange(M)
    visible = np.ones((1, 1, N, M), dtype=bool)
    if is_causal:
        visible = visible & (j <= place)
    if left_window_size >= 0:
        visible = visible & (j >= place - left_window_size)
    if right_window_size >= 0:
        visible = visible & (j <= place + right_window_size)
    if nonpad_kv_seqlen is not None:
        visible = visible & (j < nonpad_kv_seqlen[:, None, None, None])
    added: Any = 0.0
    if attn_mask is not None:
        missing = M - attn_mask.shape[-1]
        tail = np.full((*attn_mask.shape[:-1], missing), -np.inf)
        if isinstance(attn_mask, np.ndarray) and attn_mask.dtype.kind == "b":
            attn_mask = np.where(attn_mask, 0.0, -np.inf)
        added = np.concatenate([attn_mask, tail], axis=-1) if missing else attn_mask
    bias = np.where(visible, added, -np.inf)  # B or 1, H or 1, N, M

    key = np.repeat(K, H // K.shape[1], axis=1)
    raw = Q @ np.swapaxes(key, -1, -2)
    raw = raw / np.sqrt(constant(E, Q)) if scale is None else raw * scale
    capped = raw if softcap is None else softcap * np.tanh(raw / softcap)
    biased = capped + bias
    weights = softmax(biased)
    if scale is None and softcap is None:
        mixed = attention(Q, K, V, bias)
    else:
        mixed = weights @ np.repeat(V, H // V.shape[1], axis=1)
    if flat:
        mixed = np.reshape(np.swapaxes(mixed, 1, 2), (B, N, H * V.shape[-1]))
    return mixed, K, V, (raw, capped, biased, weights)[qk_matmul_output_mode]


@dataclass
class OnnxCase:
    """One test case of ONNX: what goes into the text, and what ONNX stores as the answer."""

    name: str
    precision: str
    inputs: dict[str, Any]
    stored: dict[str, np.ndarray]
    rtol: float
    atol: float
    reason: str = ""  # why the text cannot say what the node says


@dataclass
class Finding:
    """What became of one case."""

    case: OnnxCase
    worst: float = 0.0  # error ÷ allowed
    output: str = ""
    index: tuple[int, ...] = ()
    found: float = np.nan
    allowed: float = np.nan
    elements: int = 0
    off: int = 0
    unbounded: int = 0  # elements whose allowed error is infinite: nothing was judged
    unrounded: int = 0  # elements that are not the exact result rounded once
    ulps: float = 0.0  # how far the worst of those is from it
    tightness: list[np.ndarray] = field(default_factory=list)  # ONNX's tolerance ÷ allowed error
    rejected: int = 0  # elements whose right value the stored tolerances refuse
    excess: float = 0.0  # error ÷ tolerance of the worst of those
    runner_rejects: bool = False  # whether the installed test runner refuses the right answer

    @property
    def certified(self) -> float:
        """The exact result at the worst element."""
        values = certified(onnx_attention, self.case.inputs)[OUTPUTS.index(self.output)][0]
        return float(values[self.index])


def cases() -> list[OnnxCase]:
    """The Attention cases of the installed onnx; their `_expanded` twins carry the same numbers."""
    importlib.import_module("onnx.backend.test.case.node.attention")
    registered = importlib.import_module("onnx.backend.test.case.node")._NodeTestCases
    found = []
    for case in registered:
        nodes = case.model.graph.node
        if len(nodes) == 1 and nodes[0].op_type == "Attention" and nodes[0].domain == "":
            found += [read(case, data) for data in case.data_sets]
    return found


def read(case: Any, data: tuple) -> OnnxCase:
    """Arguments of the text from the node's inputs and attributes."""
    from onnx.helper import get_attribute_value

    node = case.model.graph.node[0]
    named = dict(zip([name for name in node.input if name], data[0], strict=True))
    arrays = {
        argument: named.get(name) for argument, name in zip(ARGUMENTS, node.input, strict=False)
    }
    places = dict(zip(node.output, OUTPUTS, strict=False))
    stored = zip([places[name] for name in node.output if name], data[1], strict=True)
    attributes = {a.name: get_attribute_value(a) for a in node.attribute}
    precision = arrays["Q"].dtype.name
    width = attributes.pop("softmax_precision", None)
    inner = precision if width is None else SOFTMAX.get(width, f"type {width}")
    settings = DEFAULTS | attributes
    settings["softcap"] = settings["softcap"] or None
    inputs = {name: plain(arrays.get(name)) for name in ARGUMENTS} | settings
    reason = ""
    if unknown := sorted(attributes.keys() - DEFAULTS.keys()):
        reason = f"attributes {', '.join(unknown)} are not in the text"
    elif precision not in PRECISIONS:
        reason = f"no bound for {precision}"
    elif inner not in PRECISIONS or PRECISIONS[inner].bits < PRECISIONS[precision].bits:
        reason = f"no bound for a softmax in {inner} between arrays of {precision}"
    return OnnxCase(case.name, precision, inputs, dict(stored), case.rtol, case.atol, reason)


def plain(x: np.ndarray | None) -> np.ndarray | None:
    """Floating-point arrays as float64, which holds all of their numbers."""
    return x if x is None or x.dtype.kind in "biu" else x.astype(np.float64)


def expected(case: OnnxCase) -> dict[str, Expected]:
    """Reference value and allowed error of each output that the case stores."""
    ours, theirs = (bounded(onnx_attention, case.inputs, p) for p in ("float64", case.precision))
    return {
        name: Expected(name, own.value, own.error + other.error)
        for name, own, other in zip(OUTPUTS, ours, theirs, strict=True)
        if name in case.stored
    }


def examine(case: OnnxCase) -> Finding:
    """Judge the stored outputs, then let ONNX's rules judge the right ones."""
    finding = Finding(case)
    right = []
    for name, want in expected(case).items():
        stored = case.stored[name]
        if stored.shape != want.value.shape or stored.dtype.name != case.precision:
            raise AssertionError(f"{case.name}: {name} is {stored.dtype}{list(stored.shape)}")
        found = stored.astype(np.float64)
        ratio = error_ratio(want, found)
        finding.elements += ratio.size
        finding.off += int(np.sum(ratio > 1))
        finding.unbounded += int(np.sum(np.isinf(want.allowed)))
        index = np.unravel_index(int(np.argmax(ratio)), ratio.shape)
        if not finding.output or ratio[index] > finding.worst:
            finding.worst, finding.output = float(ratio[index]), name
            finding.index = tuple(int(i) for i in index)
            finding.found, finding.allowed = float(found[index]), float(want.allowed[index])
        best = PRECISIONS[case.precision].round(want.value)
        right.append(best.astype(stored.dtype))
        _compare(finding, want, found, best)
    finding.runner_rejects = runner_rejects(case, right)
    return finding


def _compare(finding: Finding, want: Expected, found: np.ndarray, best: np.ndarray) -> None:
    """Stored numbers, and the right ones rounded once, by ONNX's tolerances."""
    finite = np.isfinite(best) & np.isfinite(found)
    allowed, found, best = want.allowed[finite], found[finite], best[finite]
    distance = np.abs(best - found)
    tolerance = finding.case.atol + finding.case.rtol * np.abs(found)
    ulp = np.ldexp(1.0, np.frexp(best)[1] - PRECISIONS[finding.case.precision].bits)
    finding.unrounded += int(np.sum(distance > 0))
    finding.ulps = max(finding.ulps, float(np.max(distance / ulp)))
    finding.rejected += int(np.sum(distance > tolerance))
    finding.excess = max(finding.excess, float(np.max(distance / tolerance)))
    finding.tightness.append(tolerance[allowed > 0] / allowed[allowed > 0])


def runner_rejects(case: OnnxCase, outputs: list[np.ndarray]) -> bool:
    """Whether the installed test runner, which widens some tolerances, refuses these outputs."""
    from onnx.backend.test.runner import Runner

    try:
        Runner.assert_similar_outputs(list(case.stored.values()), outputs, case.rtol, case.atol)
    except AssertionError:
        return True
    return False


def examine_all() -> tuple[list[Finding], list[OnnxCase]]:
    """Findings, the worst first, and the cases that the text or the bounds cannot express."""
    every = cases()
    findings = [examine(case) for case in every if not case.reason]
    findings.sort(key=lambda f: (-f.worst, f.case.name))
    return findings, [case for case in every if case.reason]


def table(findings: list[Finding], left: list[OnnxCase]) -> Iterator[str]:
    """Every case, the worst first."""
    yield "| case | precision | outputs | error ÷ allowed | verdict |"
    yield "|---|---|---|---:|---|"
    for f in findings:
        verdict = f"off in {f.off} of {f.elements}" if f.off else "within"
        outputs = ", ".join(f.case.stored)
        yield f"| {f.case.name} | {f.case.precision} | {outputs} | {number(f.worst)} | {verdict} |"
    for case in left:
        outputs = ", ".join(case.stored)
        yield f"| {case.name} | {case.precision} | {outputs} | | not judged: {case.reason} |"


def summary(findings: list[Finding], left: list[OnnxCase]) -> Iterator[str]:
    """The figures, the cases that are off, and the right answers that ONNX's rules refuse."""
    off = [f for f in findings if f.off]
    unbounded = sum(f.unbounded for f in findings)
    yield f"{len(findings)} cases judged, {len(left)} not judged, {len(off)} off."
    yield f"{sum(f.elements for f in findings)} numbers, {unbounded} of them without a bound."
    for precision in PRECISIONS:
        group = [f for f in findings if f.case.precision == precision]
        if group:
            tightness = np.median(np.concatenate([t for f in group for t in f.tightness]))
            yield (
                f"{precision}: {len(group)} cases, {sum(bool(f.off) for f in group)} off; worst "
                f"{number(max(f.worst for f in group))} × the allowed error; "
                f"{sum(f.unrounded for f in group)} of {sum(f.elements for f in group)} stored "
                f"numbers are not the exact result rounded once, by up to "
                f"{max(f.ulps for f in group):.0f} ulp; ONNX's tolerance is "
                f"{number(float(tightness))} × the allowed error (median)."
            )
    for f in off:
        yield (
            f"off: {f.case.name}: {f.output}{list(f.index)} is {f.found:.9g}, certified "
            f"{f.certified:.9g} ± {f.allowed:.2g}: {number(f.worst)} × the allowed error; "
            f"{EXPLAINED.get(f.case.name, 'unexplained')}"
        )
    refused = [f for f in findings if f.rejected]
    yield f"The right answer, rounded once, fails the stored tolerances in {len(refused)} cases."
    for f in sorted(refused, key=lambda f: f.case.name):
        yield (
            f"refused: {f.case.name}: {f.rejected} of {f.elements} numbers, the worst at "
            f"{number(f.excess)} × the tolerance, {f.ulps:.0f} ulp"
        )
    runner = sum(f.runner_rejects for f in findings)
    yield f"It fails the installed test runner's own comparison in {runner} cases."


def main() -> int:
    findings, left = examine_all()
    print("\n".join([*table(findings, left), "", *summary(findings, left)]))
    return 1 if {f.case.name for f in findings if f.off} != EXPLAINED.keys() else 0


if __name__ == "__main__":
    sys.exit(main())
