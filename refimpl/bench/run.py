"""How fast the compiled twins are, next to the frameworks and to what the machine allows.

Every work runs as interleaved pairs in one process, each side with the same number of threads:
ours, theirs, theirs, ours. A row gives medians, the ratio of the two with its quartiles, and the
least time that this machine needs to move the bytes or to multiply the matrices, measured before
and after its pairs.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import math
import os
import re
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import refimpl
from refimpl.bench.peers import SIDES, Unavailable, ours
from refimpl.bench.starts import Start, starts
from refimpl.bench.works import Call, Work, attention, choose, clip, convolution, decode, search
from refimpl.compiled import memory, threads

PEERS = tuple(SIDES)
SECONDS = 1.0  # that a pair may be repeated for
PAIRS = 5  # at least so many
LONG = 20.0  # seconds behind which two pairs are enough
SETTLING = 0.1  # seconds that a side runs untimed when its turn comes
ALONE = "-"  # the peer of a row that has none
GROWING: dict[str, tuple[Callable[[int], Work], tuple[int, ...]]] = {
    "attention over tokens": (
        lambda n: attention(1, 4, n, 64, grad=False),
        (1024, 2048, 4096, 8192),
    ),
    "clip_loss_vjp over pairs": (  # all too many to hold the logits
        lambda n: clip(n, 256),
        (3072, 4096, 6144, 8192, 12288),
    ),
    "conv2d over a side": (lambda n: convolution(1, 64, n, 64), (64, 128, 256, 512)),
    "decoding over a cache": (decode, (4096, 8192, 16384, 32768, 65536)),
    "search over rows": (lambda n: search(1, n), (65536, 131072, 262144, 524288)),
}

__all__ = ["PEERS", "Unavailable", "choose", "run", "write", "write_page"]


# Measuring


@dataclass(frozen=True)
class Limits:
    """What this machine can do: bytes moved and floating-point operations, each per second."""

    copy: float
    sgemm: float

    def seconds(self, work: Work) -> float:
        """The least time for a work; NaN for one whose cost is not known."""
        return max(work.bytes / self.copy, work.flops / self.sgemm) or math.nan


@dataclass
class Row:
    """A work, measured against one peer; seconds, and quartiles of the ratio ours ÷ theirs."""

    work: str
    peer: str
    ours: float = math.nan
    theirs: float = math.nan
    ratio: float = math.nan
    quartiles: tuple[float, float] = (math.nan, math.nan)
    pairs: int = 0
    limit: float = math.nan
    bytes: float = 0.0
    flops: float = 0.0
    target: float = math.nan
    near: float = math.nan
    says: str = ""

    @property
    def distance(self) -> float:
        """Our time in least times."""
        return self.ours / self.limit

    @property
    def met(self) -> str:
        """Are the targets of this row met? Empty where it has none."""
        wanted = ((self.ratio, self.target), (self.distance, self.near))
        known = [x <= most for x, most in wanted if not math.isnan(x + most)]
        return ("yes" if all(known) else "no") if known else ""


@dataclass
class Growth:
    """How time and additional memory grow with N: fitted exponents, with what was measured."""

    work: str
    sizes: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    bytes: list[float] = field(default_factory=list)

    @property
    def time(self) -> float:
        """The exponent of time."""
        return exponent(self.sizes, self.seconds)

    @property
    def memory(self) -> float:
        """The exponent of memory."""
        return exponent(self.sizes, self.bytes)


def limits(work: Work | None = None, repeat: int = 5) -> Limits:
    """Measure this machine: a copy that moves as many bytes as the work, and a large product.

    Few bytes stay in caches, and many come from memory: there is no one rate for both. Without a
    work, 128 MiB.
    """
    moved = work.bytes if work and work.bytes else 2**27
    source, target = np.ones((2, int(moved) // 8), np.float32)

    def copy(first: int, last: int) -> None:
        target[first:last] = source[first:last]

    a, b = np.ones((2, 1536, 1536), np.float32)
    c = np.empty_like(a)
    move = min(_seconds(lambda: threads.share(copy, source.size, 1)) for _ in range(repeat))
    multiply = min(_seconds(lambda: np.matmul(a, b, out=c)) for _ in range(repeat))
    return Limits(2 * source.nbytes / move, 2 * 1536**3 / multiply)


def _seconds(call: Call) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def pairs(mine: Call, theirs: Call, seconds: float, least: int) -> list[tuple[float, float]]:
    """Times of both, taken in turn, after each has run once to compile.

    Where `least` pairs take longer than LONG seconds, there are as many as fit, and two at least.
    """
    mine(), theirs()
    measured: list[tuple[float, float]] = []
    started = time.perf_counter()
    while True:
        if len(measured) % 2:
            later = _settled(theirs, measured[-1][1])
            measured.append((_settled(mine, measured[-1][0]), later))
        else:
            usual = measured[-1] if measured else (0.0, 0.0)
            measured.append((_settled(mine, usual[0]), _settled(theirs, usual[1])))
        spent, enough = time.perf_counter() - started, len(measured) >= least
        if (enough and spent >= seconds) or (spent > LONG and len(measured) > 1):
            return measured


def _settled(call: Call, usual: float = 0.0) -> float:
    """The seconds of a call when it has the machine to itself.

    Threads of a framework go on spinning after their work, those of ONNX Runtime for 60 ms, and
    would take a processor from whoever comes next; its numbers fill the caches. So the side whose
    turn it is runs untimed until that is over; one that usually takes long waits as long instead.
    """
    started = time.perf_counter()
    if usual > 10 * SETTLING:
        time.sleep(SETTLING)
    while time.perf_counter() - started < SETTLING:
        call()
    return _seconds(call)


def measure(work: Work, peer: str, seconds: float = SECONDS, least: int = PAIRS) -> Row:
    """One row of the table; a peer that is missing or refuses is said so."""
    row = Row(work.name, peer, bytes=work.bytes, flops=work.flops)
    row.target, row.near = work.targets.get(peer, math.nan), work.near
    if peer != ALONE and importlib.util.find_spec(peer.partition(".")[0]) is None:
        row.says = "not installed"
        return row
    inputs = work.inputs(np.random.default_rng(0))
    try:
        theirs = (lambda: None) if peer == ALONE else SIDES[peer](work, inputs)
        before = limits(work)
        taken = pairs(ours(work, inputs), theirs, seconds, least)
    except (Unavailable, ImportError) as error:
        row.says = str(error)
        return row
    row.limit = min(before.seconds(work), limits(work).seconds(work))
    row.ours, row.pairs = statistics.median(mine for mine, _ in taken), len(taken)
    if peer != ALONE:
        ratios = [mine / other for mine, other in taken]
        row.theirs = statistics.median(other for _, other in taken)
        low, row.ratio, high = statistics.quantiles(ratios, n=4)
        row.quartiles = low, high
    return row


def exponent(sizes: Sequence[float], measured: Sequence[float]) -> float:
    """The slope of a straight line through both on logarithmic axes.

    >>> round(exponent([1, 2, 4], [3, 12, 48]), 6)
    2.0
    """
    return float(np.polyfit(np.log(sizes), np.log(measured), 1)[0])


def growth(what: str) -> Growth:
    """Time and additional memory of one of those that grow."""
    sized, sizes = GROWING[what]
    found = Growth(what)
    for size in sizes:
        work = sized(size)
        call = ours(work, work.inputs(np.random.default_rng(0)))
        call()
        found.sizes.append(size)
        found.seconds.append(statistics.median(_seconds(call) for _ in range(3)))
        found.bytes.append(peak(call))
    return found


def peak(call: Call) -> float:
    """The bytes by which the resident memory of this process rises during a call; Linux alone."""
    with suppress(OSError, AttributeError):
        memory.clear()  # what is free already would hide the rise
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here on
        before = _status("VmRSS")
        call()
        return max(_status("VmHWM") - before, 4096.0)
    return math.nan


def _status(entry: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(entry):
            return 1024.0 * int(line.split()[1])
    raise OSError(f"no {entry}")


# The report


@dataclass
class Bench:
    """All that was measured in one run."""

    threads: int
    load: float
    limits: Limits
    rows: list[Row]
    growth: list[Growth]
    starts: list[Start]
    missing: list[str]

    def as_json(self) -> dict[str, Any]:
        """What `--json` writes; a number that was not measured is null."""
        from refimpl.oracle.findings import environment

        return {
            "refimpl": refimpl.__version__,
            "environment": environment(),
            "threads": self.threads,
            "load": None if math.isnan(self.load) else self.load,
            "limits": asdict(self.limits),
            "rows": [_without_nan(asdict(row)) for row in self.rows],
            "growth": [
                _without_nan(asdict(g) | {"time_exponent": g.time, "memory_exponent": g.memory})
                for g in self.growth
            ],
            "starts": [asdict(start) for start in self.starts],
            "missing": self.missing,
        }

    def machine(self) -> str:
        """What the run was made on, in one sentence."""
        return (
            f"{self.threads} threads each, load {self.load:.1f} when it began; this machine "
            f"copies {self.limits.copy / 1e9:.1f} GB/s and multiplies "
            f"{self.limits.sgemm / 1e9:.0f} GFLOP/s"
        )

    def cells(self) -> tuple[list[str], list[list[str]]]:
        """The table: its heads, and its rows as text."""
        heads = ["work", "peer", "ours", "theirs", "ratio", "quartiles", "target"]
        heads += ["× limit", "target", "met"]
        lines = []
        for row in self.rows:
            low, high = row.quartiles
            numbers = [
                _milliseconds(row.ours),
                _milliseconds(row.theirs),
                _number(row.ratio),
                f"{low:.2f}–{high:.2f}" if row.ratio == row.ratio else "",
                _number(row.target),
                _number(row.distance),
                _number(row.near),
                row.met,
            ]
            lines.append([row.work, row.peer, *([row.says] if row.says else numbers)])
        return heads, lines

    def remarks(self) -> list[str]:
        """What stands below the table."""
        told = [
            f"{g.work}, N = {g.sizes[0]} … {g.sizes[-1]}: time N^{g.time:.2f}, "
            f"additional memory N^{g.memory:.2f}, {max(g.bytes) / 2**20:.0f} MiB at the largest"
            for g in self.growth
        ]
        told += [f"{s.what}: {s.seconds:.2f} s, target {s.target:g} s" for s in self.starts]
        return told + [f"{peer}: not installed, left out" for peer in self.missing]

    def table(self) -> str:
        """What is printed."""
        heads, lines = self.cells()
        whole = [line for line in (heads, *lines) if len(line) == len(heads)]
        widths = [max(len(line[k]) for line in whole) for k in range(len(heads))]
        text = [self.machine()]
        for line in (heads, *lines):
            named = f"{line[0]:<{max(widths[0], 30)}}  {line[1]:<14}"
            rest = "  ".join(f"{cell:>{width}}" for cell, width in zip(line[2:], widths[2:]))
            text.append(f"{named}  {rest if len(line) == len(heads) else line[2]}".rstrip())
        return "\n".join(text + self.remarks())

    def page(self) -> str:
        """The same in Markdown, with machine, date and versions."""
        from refimpl.oracle.findings import environment

        heads, lines = self.cells()
        known = environment()
        for name in ("numba", *(peer for peer in PEERS if "." not in peer)):
            with suppress(ImportError):
                known[name] = importlib.import_module(name).__version__
        where = ", ".join(f"{name} {value}" for name, value in known.items())
        text = [
            f"Measured {time.strftime('%Y-%m-%d')} by `refimpl bench`, {_processor()}; {where}.",
            f"{self.machine()}.",
            "",
            f"| {' | '.join(heads)} |",
            f"|---|---|{'---:|' * (len(heads) - 3)}---|",
        ]
        text += [f"| {' | '.join(line + [''] * (len(heads) - len(line)))} |" for line in lines]
        return "\n".join([*text, "", *(f"- {remark}" for remark in self.remarks())])

    def plot(self, path: Path) -> None:
        """Growth on logarithmic axes with the fitted lines; the ratios as bars, where there are."""
        try:
            from matplotlib.figure import Figure
        except ImportError:
            raise Unavailable('a plot needs matplotlib: pip install "refimpl[plot]"') from None
        rows = [row for row in self.rows if row.ratio == row.ratio][::-1]
        panels = 2 * bool(self.growth) + bool(rows)
        height = max(4.0, 1 + 0.24 * len(rows)) if rows else 4.0
        figure = Figure(figsize=(6 * max(panels, 1), height), layout="constrained")
        if rows:
            axes = figure.add_subplot(1, panels, 1)
            axes.barh([f"{row.work}, {row.peer}" for row in rows], [row.ratio for row in rows])
            axes.axvline(1, color="black", linewidth=1)
            axes.set_xlabel("time of the twin ÷ time of the peer")
        for k, (label, unit, scale) in enumerate(
            (("time", "s", 1.0), ("additional memory", "MiB", 2.0**20))
        ):
            if not self.growth:
                break
            axes = figure.add_subplot(1, panels, panels - 1 + k)
            for g in self.growth:
                measured = [x / scale for x in (g.bytes if k else g.seconds)]
                slope = exponent(g.sizes, measured)
                line = np.exp(np.mean(np.log(measured)) - slope * np.mean(np.log(g.sizes)))
                axes.plot(g.sizes, measured, "o", label=f"{g.work}, N^{slope:.2f}")
                axes.plot(g.sizes, line * np.power(np.array(g.sizes, float), slope), "k:")
            axes.set(xscale="log", yscale="log", xlabel="N", ylabel=f"{label} ({unit})")
            axes.legend()
        figure.savefig(path)


def _processor() -> str:
    with suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(": ")[2] for line in lines if line.startswith("model name"))
    return "an unknown processor"


def _milliseconds(seconds: float) -> str:
    return "" if math.isnan(seconds) else f"{seconds * 1e3:.2f} ms"


def _number(x: float) -> str:
    return "" if math.isnan(x) else f"{x:.2f}"


def _without_nan(entry: dict[str, Any]) -> dict[str, Any]:
    def plain(x: Any) -> Any:
        if isinstance(x, (tuple, list)):
            return [plain(part) for part in x]
        return None if isinstance(x, float) and math.isnan(x) else x

    return {name: plain(x) for name, x in entry.items()}


def run(
    works: Sequence[Work],
    peers: Sequence[str],
    grow: bool = False,
    seconds: float = SECONDS,
    progress: Callable[[str], None] = lambda _: None,
    start: bool = False,
) -> Bench:
    """Measure works against peers, one pair at a time; a peer that is missing is left out."""
    for peer in peers:
        if peer not in SIDES:
            raise KeyError(f"no peer is called {peer!r}; there are {', '.join(SIDES)}")
    here = [peer for peer in peers if importlib.util.find_spec(peer.partition(".")[0])]
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else math.nan
    missing = [peer for peer in peers if peer not in here]
    bench = Bench(threads.count(), load, limits(), [], [], [], missing)
    for work in works:
        able = [peer for peer in here if peer in work.peers and not work.alone]
        for peer in able or [ALONE]:
            progress(f"{work.name} against {peer}")
            bench.rows.append(measure(work, peer, seconds))
    if grow:
        progress("growth")
        bench.growth = [growth(what) for what in GROWING]
    if start:
        progress("starts")
        bench.starts = starts()
    return bench


def write(bench: Bench, path: Path) -> None:
    """The run as JSON."""
    path.write_text(json.dumps(bench.as_json(), indent=1, allow_nan=False) + "\n")


def write_page(bench: Bench, path: Path) -> None:
    """Put the table between the marks of a Markdown page.

    Raises Unavailable where the page has no marks.
    """
    marks = re.compile(r"(<!-- bench -->\n).*?(<!-- end -->)", re.S)
    text = path.read_text()
    if not marks.search(text):
        raise Unavailable(f"{path} has no line <!-- bench --> with an <!-- end --> after it")
    path.write_text(marks.sub(lambda found: f"{found[1]}{bench.page()}\n{found[2]}", text))
