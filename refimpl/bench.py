"""How fast the compiled twins are, next to the frameworks and to what the machine allows.

Every work runs as interleaved pairs in one process, each side with the same number of threads:
ours, theirs, ours, theirs. A row gives medians, the ratio of the two with its quartiles, and the
least time that this machine needs to move the bytes or to multiply the matrices, measured in the
same run.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import json
import math
import os
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import refimpl
from refimpl import threads

PEERS = ("torch", "torch.compile", "jax", "onnxruntime")
SECONDS = 1.0  # that a pair may be repeated for
PAIRS = 7  # at least so many

Inputs = dict[str, Any]
Call = Callable[..., Any]


class Unavailable(Exception):
    """A peer cannot do this work, and why."""


@dataclass(frozen=True)
class Work:
    """An operation on inputs of one size, and what it costs at least.

    `bytes` are its arguments read once and its result written once; `flops` those of its matrix
    products. `target` is the ratio to the faster peer that the twins are meant to reach.
    """

    op: str
    size: str
    inputs: Callable[[np.random.Generator], Inputs]
    bytes: float = 0.0
    flops: float = 0.0
    target: float = math.nan
    slow: bool = False  # runs only when it is named

    @property
    def name(self) -> str:
        """The operation and its size."""
        return f"{self.op} {self.size}"


# The works


def _floats(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape, dtype=np.float32)


def _one(name: str, *shape: int) -> Callable[[np.random.Generator], Inputs]:
    return lambda rng: {name: _floats(rng, *shape)}


def _diffusion(names: str, **more: Any) -> Callable[[np.random.Generator], Inputs]:
    """Batches of images under these names, times, and a schedule of a thousand steps."""

    def inputs(rng: np.random.Generator) -> Inputs:
        betas = np.linspace(1e-4, 0.02, 1000, dtype=np.float32)
        t = rng.integers(100, 1000, 16)
        known = {
            "t": t,
            "t_prev": t - 20,
            "betas": betas,
            "alpha_bar": np.cumprod(1 - betas),
            "log_variance": np.log(betas)[t].reshape(-1, 1, 1, 1),
        }
        given: Inputs = {name: _floats(rng, 16, 3, 256, 256) for name in names.split()}
        return given | {name: known[name] if x is None else x for name, x in more.items()}

    return inputs


def _attention(B: int, H: int, N: int, E: int, grad: bool) -> Work:
    def inputs(rng: np.random.Generator) -> Inputs:
        given: Inputs = {n: _floats(rng, B, H, N, E) for n in ("query", "key", "value")}
        given["bias"] = None
        return given | ({"grad": _floats(rng, B, H, N, E)} if grad else {})

    products = 7 if grad else 2  # those of the output once more, then five
    return Work(
        "attention_vjp" if grad else "attention",
        f"{B}×{H}×{N}×{E}",
        inputs,
        bytes=4 * (7 if grad else 4) * B * H * N * E,
        flops=2 * products * B * H * N * N * E,
        target=0.9,
    )


def _clip(n: int, d: int, slow: bool = False) -> Work:
    def inputs(rng: np.random.Generator) -> Inputs:
        given: Inputs = {n_: _floats(rng, n, d) for n_ in ("image_features", "text_features")}
        return given | {"log_scale": math.log(100.0), "grad": 1.0}

    return Work(
        "clip_loss_vjp",
        f"{n}×{d}",
        inputs,
        bytes=16 * n * d,
        flops=8 * n * n * d,
        target=0.6,
        slow=slow,
    )


def _patch_embed(rng: np.random.Generator) -> Inputs:
    weight = _floats(rng, 768, 3, 16, 16) / 28
    return {"images": _floats(rng, 8, 3, 224, 224), "weight": weight, "bias": _floats(rng, 768)}


def _layer_norm(rng: np.random.Generator) -> Inputs:
    x, gain, bias = _floats(rng, 8, 197, 768), _floats(rng, 768), _floats(rng, 768)
    return {"x": x, "gain": gain, "bias": bias, "eps": 1e-6}


BATCH = 4 * 16 * 3 * 256 * 256  # bytes of sixteen images
HIDDEN, WIDE = 4 * 8 * 197 * 768, 4 * 8 * 197 * 3072  # bytes of ViT-B's tokens and hidden layer
SCORES = 4 * 8 * 12 * 197 * 197
STEP = {"t": None, "t_prev": None, "alpha_bar": None, "eta": 0.5}
WORKS = (
    Work(
        "q_sample",
        "16×3×256×256",
        _diffusion("x_start noise", t=None, alpha_bar=None),
        bytes=3 * BATCH,
        target=0.35,
    ),
    Work(
        "p_sample",
        "16×3×256×256",
        _diffusion("x_t eps noise", t=None, betas=None, log_variance=None, clip=1.0),
        bytes=4 * BATCH,
        target=0.35,
    ),
    Work("ddim_step", "16×3×256×256", _diffusion("x_t eps noise", **STEP), 4 * BATCH, target=0.35),
    Work(
        "guided_step",
        "16×3×256×256",
        _diffusion("x_t eps_uncond eps_cond noise", scale=7.5, **STEP),
        bytes=5 * BATCH,
        target=0.35,
    ),
    Work("softmax", "8×12×197×197", _one("z", 8, 12, 197, 197), 2 * SCORES, target=0.8),
    Work("layer_norm", "8×197×768", _layer_norm, 2 * HIDDEN, target=0.8),
    Work("gelu", "8×197×3072", _one("x", 8, 197, 3072), 2 * WIDE, target=0.8),
    Work("gelu_tanh", "8×197×3072", _one("x", 8, 197, 3072), 2 * WIDE, target=0.8),
    Work("quick_gelu", "8×197×3072", _one("x", 8, 197, 3072), 2 * WIDE, target=0.8),
    *(
        _attention(*shape, grad)
        for grad in (False, True)
        for shape in ((8, 12, 197, 64), (1, 12, 1024, 64), (1, 8, 4096, 64))
    ),
    Work(
        "patch_embed",
        "8×3×224×224",
        _patch_embed,
        bytes=4 * (8 * 3 * 224 * 224 + 769 * 768 + 8 * 196 * 768),
        flops=2 * 8 * 196 * 768 * 768,
        target=0.7,
    ),
    _clip(2048, 512),
    _clip(8192, 512, slow=True),
)


def choose(names: Sequence[str]) -> list[Work]:
    """The works whose name begins with one of these; all that are not slow without any."""
    if not names:
        return [work for work in WORKS if not work.slow]
    for name in names:
        if not any(work.name.startswith(name) for work in WORKS):
            known = ", ".join(dict.fromkeys(work.op for work in WORKS))
            raise KeyError(f"no work is called {name!r}; there are {known}")
    return [work for work in WORKS if any(work.name.startswith(name) for name in names)]


# The sides


def _ours(work: Work, inputs: Inputs) -> Call:
    """The twin; a guided step is guidance, then a DDIM step on what it gives."""
    from refimpl import fast

    if work.op == "guided_step":
        return functools.partial(_guided, fast.classifier_free_guidance, fast.ddim_step, **inputs)
    if work.op == "attention_vjp":  # without the N M gradient of the scores, as all peers
        from refimpl.ops.attention.fast import attention_grads

        given = fast.prepare(refimpl.OPS[work.op], inputs)
        return functools.partial(attention_grads, **given)
    return functools.partial(getattr(fast, work.op), **inputs)


def _guided(
    guide: Call, advance: Call, eps_uncond: Any, eps_cond: Any, scale: float, **step: Any
) -> Any:
    return advance(eps=guide(eps_uncond=eps_uncond, eps_cond=eps_cond, scale=scale), **step)


def _guided_by(backend: Any) -> Callable[..., Any]:
    steps = backend.classifier_free_guidance.__wrapped__, backend.ddim_step.__wrapped__
    return functools.partial(_guided, *steps)


def _torch(work: Work, inputs: Inputs, compiled: bool = False) -> Call:
    import torch

    from refimpl.backends import torch as backend

    torch.set_num_threads(threads.count())
    given = {n: torch.from_numpy(x) if _is_array(x) else x for n, x in inputs.items()}
    function = _torch_function(work.op, backend)
    if compiled:
        function = torch.compile(function)
    keep = torch.enable_grad if work.op.endswith("_vjp") else torch.inference_mode

    def call() -> Any:
        with keep():
            return function(**given)

    return call


def _torch_function(op: str, backend: Any) -> Callable[..., Any]:
    import torch

    F = torch.nn.functional

    def attention_vjp(query: Any, key: Any, value: Any, bias: Any, grad: Any) -> Any:
        wanted = [x.detach().requires_grad_() for x in (query, key, value)]
        return torch.autograd.grad(F.scaled_dot_product_attention(*wanted), wanted, grad)

    def clip_loss_vjp(image_features: Any, text_features: Any, log_scale: Any, grad: Any) -> Any:
        given = image_features, text_features, torch.tensor(log_scale)
        wanted = [x.detach().requires_grad_() for x in given]
        images, texts = (F.normalize(x, dim=-1) for x in wanted[:2])
        logits = wanted[2].exp() * (images @ texts.T)  # N N
        labels = torch.arange(len(logits))
        loss = (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2
        return torch.autograd.grad(loss * grad, wanted)

    own: dict[str, Call] = {
        "attention_vjp": attention_vjp,
        "clip_loss_vjp": clip_loss_vjp,
        "guided_step": _guided_by(backend),
    }
    return own.get(op) or getattr(backend, op).__wrapped__


def _compiled(work: Work, inputs: Inputs) -> Call:
    call = _torch(work, inputs, compiled=True)
    try:
        call()
    except Exception as error:
        raise Unavailable(f"does not compile: {type(error).__name__}") from error
    return call


def _jax(work: Work, inputs: Inputs) -> Call:
    import jax

    from refimpl.backends import jax as backend

    arrays = {n: jax.numpy.asarray(x) for n, x in inputs.items() if _is_array(x)}
    constants = {n: x for n, x in inputs.items() if n not in arrays}

    def attention_vjp(query: Any, key: Any, value: Any, bias: Any, grad: Any) -> Any:
        attend = functools.partial(backend.attention.__wrapped__, bias=bias)
        return jax.vjp(lambda *x: attend(*x), query, key, value)[1](grad)

    def clip_loss_vjp(image_features: Any, text_features: Any, log_scale: Any, grad: Any) -> Any:
        given = image_features, text_features, jax.numpy.float32(log_scale)
        loss, back = jax.vjp(backend.clip_loss.__wrapped__, *given)
        return back(jax.numpy.asarray(grad, loss.dtype))

    own: dict[str, Call] = {
        "attention_vjp": attention_vjp,
        "clip_loss_vjp": clip_loss_vjp,
        "guided_step": _guided_by(backend),
    }
    function: Call = own.get(work.op) or getattr(backend, work.op).__wrapped__
    compiled = jax.jit(functools.partial(function, **constants))
    return lambda: jax.block_until_ready(compiled(**arrays))


def _onnxruntime(work: Work, inputs: Inputs) -> Call:
    from refimpl.backends import onnxruntime as backend

    if work.op not in ("softmax", "layer_norm", "gelu", "gelu_tanh", "quick_gelu", "attention"):
        raise Unavailable("no single node does this")
    function = getattr(backend, work.op).__wrapped__
    given = {n: backend.Tensor(x) if _is_array(x) else x for n, x in inputs.items()}
    return lambda: function(**given)


def _is_array(x: Any) -> bool:
    return isinstance(x, np.ndarray)


SIDES: dict[str, Callable[[Work, Inputs], Call]] = {
    "torch": _torch,
    "torch.compile": _compiled,
    "jax": _jax,
    "onnxruntime": _onnxruntime,
}


# Measuring


@dataclass(frozen=True)
class Limits:
    """What this machine can do: bytes moved and floating-point operations, each per second."""

    copy: float
    sgemm: float

    def seconds(self, work: Work) -> float:
        """The least time for a work."""
        return max(work.bytes / self.copy, work.flops / self.sgemm)


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
    target: float = math.nan
    says: str = ""


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


def limits() -> Limits:
    """Measure this machine: a parallel copy that fills no cache, and a large matrix product."""
    source, target = np.ones(1 << 24, np.float32), np.ones(1 << 24, np.float32)

    def copy(first: int, last: int) -> None:
        target[first:last] = source[first:last]

    a, b = np.ones((2, 1536, 1536), np.float32)
    c = np.empty_like(a)
    move = min(_seconds(lambda: threads.share(copy, source.size, 1)) for _ in range(9))
    multiply = min(_seconds(lambda: np.matmul(a, b, out=c)) for _ in range(9))
    return Limits(2 * source.nbytes / move, 2 * 1536**3 / multiply)


def _seconds(call: Call) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def pairs(ours: Call, theirs: Call, seconds: float, least: int) -> list[tuple[float, float]]:
    """Times of both, taken in turn, after each has run once to compile."""
    ours(), theirs()
    measured: list[tuple[float, float]] = []
    started = time.perf_counter()
    while len(measured) < least or time.perf_counter() - started < seconds:
        if len(measured) % 2:  # whoever runs second finds warmer caches: take turns
            later = _seconds(theirs)
            measured.append((_seconds(ours), later))
        else:
            measured.append((_seconds(ours), _seconds(theirs)))
    return measured


def measure(
    work: Work, peer: str, bound: Limits, seconds: float = SECONDS, least: int = PAIRS
) -> Row:
    """One row of the table; a peer that is missing or refuses is said so."""
    row = Row(work.name, peer, limit=bound.seconds(work), target=work.target)
    if importlib.util.find_spec(peer.partition(".")[0]) is None:
        row.says = "not installed"
        return row
    inputs = work.inputs(np.random.default_rng(0))
    try:
        theirs = SIDES[peer](work, inputs)
        taken = pairs(_ours(work, inputs), theirs, seconds, least)
    except (Unavailable, ImportError) as error:
        row.says = str(error)
        return row
    ratios = [a / b for a, b in taken]
    row.ours, row.theirs = (statistics.median(side) for side in zip(*taken))
    row.ratio, row.pairs = statistics.median(ratios), len(taken)
    low, _, high = statistics.quantiles(ratios, n=4)
    row.quartiles = low, high
    return row


def exponent(sizes: Sequence[float], measured: Sequence[float]) -> float:
    """The slope of a straight line through both on logarithmic axes.

    >>> round(exponent([1, 2, 4], [3, 12, 48]), 6)
    2.0
    """
    return float(np.polyfit(np.log(sizes), np.log(np.maximum(measured, 1)), 1)[0])


def growth(kind: str, sizes: Sequence[int]) -> Growth:
    """Time and additional memory of attention (over N) or of the CLIP loss's gradient (over n)."""
    found = Growth(kind)
    for size in sizes:
        work = _attention(1, 4, size, 64, grad=False) if kind == "attention" else _clip(size, 256)
        call = _ours(work, work.inputs(np.random.default_rng(0)))
        call()
        found.sizes.append(size)
        found.seconds.append(statistics.median(_seconds(call) for _ in range(5)) * 1e9)
        found.bytes.append(peak(call))
    found.seconds = [x / 1e9 for x in found.seconds]
    return found


def peak(call: Call) -> float:
    """The bytes by which the resident memory of this process rises during a call; Linux alone."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)  # what is free already would hide the rise
        Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here on
        before = _status("VmRSS")
        call()
        return _status("VmHWM") - before
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

    def as_json(self) -> dict[str, Any]:
        """What `--json` writes; a number that was not measured is null."""
        from refimpl.oracle.verify import environment

        return {
            "refimpl": refimpl.__version__,
            "environment": environment(),
            "threads": self.threads,
            "load": self.load,
            "limits": asdict(self.limits),
            "rows": [_without_nan(asdict(row)) for row in self.rows],
            "growth": [
                asdict(g) | {"time_exponent": g.time, "memory_exponent": g.memory}
                for g in self.growth
            ],
        }

    def table(self) -> str:
        """What is printed."""
        lines = [
            f"{self.threads} threads each, load {self.load:.1f}; this machine copies "
            f"{self.limits.copy / 1e9:.1f} GB/s and multiplies {self.limits.sgemm / 1e9:.0f} "
            "GFLOP/s",
            f"{'work':<30}{'peer':<15}{'ours':>9}{'theirs':>9}{'ratio':>7}{'quartiles':>13}"
            f"{'target':>8}{'× limit':>9}",
        ]
        for row in self.rows:
            start = f"{row.work:<30}{row.peer:<15}"
            if row.says:
                lines.append(f"{start}{row.says}")
                continue
            low, high = row.quartiles
            lines.append(
                f"{start}{_milliseconds(row.ours)}{_milliseconds(row.theirs)}{row.ratio:>7.2f}"
                f"{f'{low:.2f}–{high:.2f}':>13}{row.target:>8.2f}{row.ours / row.limit:>9.1f}"
            )
        for g in self.growth:
            lines.append(
                f"{g.work} over N = {g.sizes[0]} … {g.sizes[-1]}: time N^{g.time:.2f}, "
                f"memory N^{g.memory:.2f}"
            )
        return "\n".join(lines)

    def plot(self, path: Path) -> None:
        """The ratios as bars, one for each row."""
        try:
            from matplotlib.figure import Figure
        except ImportError:
            raise Unavailable('a plot needs matplotlib: pip install "refimpl[plot]"') from None
        rows = [row for row in self.rows if not row.says][::-1]
        figure = Figure(figsize=(8, 1 + 0.28 * len(rows)), layout="constrained")
        axes = figure.add_subplot()
        axes.barh([f"{row.work}, {row.peer}" for row in rows], [row.ratio for row in rows])
        axes.axvline(1, color="black", linewidth=1)
        axes.set_xlabel("time of the twin ÷ time of the peer")
        figure.savefig(path)


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:>7.2f}ms"


def _without_nan(entry: dict[str, Any]) -> dict[str, Any]:
    def plain(x: Any) -> Any:
        if isinstance(x, tuple):
            return [plain(part) for part in x]
        return None if isinstance(x, float) and math.isnan(x) else x

    return {name: plain(x) for name, x in entry.items()}


def run(
    works: Sequence[Work],
    peers: Sequence[str],
    grow: bool = False,
    seconds: float = SECONDS,
    progress: Callable[[str], None] = lambda _: None,
) -> Bench:
    """Measure works against peers, one pair at a time."""
    for peer in peers:
        if peer not in SIDES:
            raise KeyError(f"no peer is called {peer!r}; there are {', '.join(SIDES)}")
    threads.use(threads.count())
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else math.nan
    bench = Bench(threads.count(), load, limits(), [], [])
    for work in works:
        for peer in peers:
            progress(f"{work.name} against {peer}")
            bench.rows.append(measure(work, peer, bench.limits, seconds))
    if grow:
        progress("growth")
        bench.growth.append(growth("attention", (1024, 2048, 4096, 8192)))
        bench.growth.append(growth("clip_loss_vjp", (1024, 2048, 4096, 8192)))
    return bench


def write(bench: Bench, path: Path) -> None:
    """The run as JSON."""
    path.write_text(json.dumps(bench.as_json(), indent=1, allow_nan=False) + "\n")
