"""The frameworks: each backend is a target file, and deviates from the text only where listed."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from refimpl.oracle.cases.drawn import Case, generate, rounded
from refimpl.oracle.judging.judge import expect, judge
from refimpl.oracle.numbers.precisions import PRECISIONS
from refimpl.oracle.runs.verify import verify
from refimpl.oracle.targets.sessions import KNOWN, LIBRARIES, TargetError, installed
from refimpl.registry import OPS

FRAMEWORKS = ("torch", "jax", "onnxruntime")
BACKENDS = (*FRAMEWORKS, *LIBRARIES)
COMPILES = ("torch_compile",)  # half a minute for each function
INSTALLED = [name for name in installed(KNOWN) if name in BACKENDS and name not in COMPILES]
PARTIAL = (  # diffusers has one offset alone, and one section
    ("diffusers", "cosine_schedule"),
    ("diffusers", "respaced_timesteps"),
)
FLOAT32 = np.dtype(np.float32)


@dataclass(frozen=True)
class Deviation:
    """Where a framework computes something else; `shows` is an input on which it is seen."""

    backend: str
    op: str
    reason: str
    applies: Callable[[dict[str, Any]], bool]
    shows: dict[str, Any]


def hides_a_row(name: str) -> Callable[[dict[str, Any]], bool]:
    """Some row of this argument is -inf alone."""
    return lambda x: x[name] is not None and bool(np.any(np.all(np.isneginf(x[name]), axis=-1)))


def cancels(inputs: dict[str, Any]) -> bool:
    """Some mean exceeds its standard deviation, so that E[x²] - E[x]² cancels."""
    x, groups = inputs["x"], inputs.get("groups")
    rows = x if groups is None else x.reshape(len(x), groups, -1)
    return bool(np.any(np.mean(rows, axis=-1) ** 2 > np.var(rows, axis=-1)))


def lengths(inputs: dict[str, Any]) -> np.ndarray:
    """Of all vectors that are divided by theirs."""
    vectors = [x for name, x in inputs.items() if name.endswith("features") or name == "x"]
    return np.concatenate([np.ravel(np.linalg.norm(x, axis=-1)) for x in vectors])


def no_longer_than(limit: float) -> Callable[[dict[str, Any]], bool]:
    """Some vector is zero, or shorter than a limit."""
    return lambda inputs: bool(np.any(lengths(inputs) <= limit))


def short(limit: float) -> Callable[[dict[str, Any]], bool]:
    """Some vector is not zero, but shorter than a limit."""

    def applies(inputs: dict[str, Any]) -> bool:
        found = lengths(inputs)
        return bool(np.any((found > 0) & (found < limit)))

    return applies


def falls(name: str) -> Callable[[dict[str, Any]], bool]:
    """Some number lies so far below the largest of its row that its softmax is no float32."""

    def applies(inputs: dict[str, Any]) -> bool:
        top = np.max(inputs[name], axis=-1, keepdims=True)
        return bool(np.any(inputs[name] - np.where(np.isfinite(top), top, 0) < -87))

    return applies


def starts(inputs: dict[str, Any]) -> bool:
    """Some sample is at t = 0, or all times are asked for."""
    return 0 in inputs.get("t", [0])


def spends_all(inputs: dict[str, Any]) -> bool:
    """Some sample gets as much fresh noise as its next time holds, to a rounding."""
    shares = np.append(inputs["alpha_bar"], 1.0)
    share, earlier = shares[inputs["t"]], shares[inputs["t_prev"]]
    fresh = inputs["eta"] ** 2 * (1 - earlier) / (1 - share) * (1 - share / earlier)
    return bool(np.any(1 - earlier - fresh < 1e-6 * (1 - earlier)))


def differences_drift(inputs: dict[str, Any]) -> bool:
    """Whether T/n taken off again and again comes to other times than its multiples."""
    steps, levels = inputs["steps"], max(inputs["levels"], 1)
    walked = np.round(np.arange(steps, 0, -steps / levels))
    return not np.array_equal(
        walked, [round(Fraction(i * steps, levels)) for i in range(levels, 0, -1)]
    )


def differs_in_float32(inputs: dict[str, Any]) -> bool:
    """Whether a factor rounded to float32 finds another pixel than whole numbers do."""
    sides = zip(inputs["images"].shape[2:], (inputs["tall"], inputs["wide"]), strict=True)
    return any(
        int(np.float32(i) * (np.float32(n) / np.float32(m))) != i * n // m
        for n, m in sides
        for i in range(m)
    )


TO_82 = {"images": np.arange(2.0).reshape(1, 1, 2, 1), "tall": 82, "wide": 1}
HIDDEN = np.array([[-np.inf, -np.inf], [0.0, 1.0]])
HIDDEN_GRADIENT = {"z": HIDDEN, "grad": np.eye(2)}
ONE_SIDED = np.array([[1.0, 1.01, 0.99, 1.02]])
HEADS = {
    "query": np.ones((1, 1, 1, 2)),
    "key": np.ones((1, 1, 2, 2)),
    "value": np.ones((1, 1, 2, 2)),
    "bias": HIDDEN[:1],
}
LAYER = {
    "x": np.ones((1, 1, 2)),
    "memory": np.ones((1, 2, 2)),
    "in_weight": np.ones((6, 2)),
    "in_bias": None,
    "out_weight": np.ones((2, 2)),
    "out_bias": None,
    "heads": 1,
    "bias": HIDDEN[:1],
}
PAIRS = {
    "image_features": 1e-9 * np.eye(2),
    "text_features": np.eye(2),
    "log_scale": 1.0,
    "bias": 0.0,
}
EMPTY = {
    "image_features": np.array([[3.0, 4.0], [0.0, 0.0]]),
    "text_features": np.array([[1.0, 1.0], [0.0, -2.0]]),
    "log_scale": 1.0,
    "bias": 0.0,
}
NORM = {"gain": np.ones(4), "bias": np.zeros(4), "eps": 1e-12, "grad": np.eye(4)[:1]}
GROUPED = {"x": ONE_SIDED[..., None, None], **NORM, "groups": 1}
GROUPED_FAR = next(p for p in OPS["group_norm"].probes if "constant group" in p.says).inputs()

FAR = np.array([[0.0, -200.0]])
STEPS = {
    "x_start": np.zeros((1, 1)),
    "x_t": np.zeros((1, 1)),
    "t": np.array([0]),
    "betas": np.array([0.1, 0.2]),
}

ALL_NOISE = {
    "x_t": np.zeros((1, 1)),
    "t": np.array([1]),
    "t_prev": np.array([0]),
    "eps": np.zeros((1, 1)),
    "noise": np.ones((1, 1)),
    "alpha_bar": np.array([0.36, 1e-12]),
    "eta": 1.0,
}


def far_above_zero(inputs):
    """Whether 1 - p, from the rounded probability p, has lost digits."""
    return np.max(inputs["z"], initial=0) > 3


def has_ties(inputs):
    """Whether some words of a row are equal."""
    return any(len(set(row)) < len(row) for row in inputs["logits"].tolist())


def shrinks_a_square(inputs):
    """Whether a square is too large: then the quotient by a root may be a whole number."""
    return inputs["height"] == inputs["width"] and inputs["height"] ** 2 > inputs["high"]


SQUARE = {"height": 3621, "width": 3621, "factor": 28, "low": 3136, "high": 16384 * 28**2}
DEVIATIONS = [
    Deviation("transformers", "smart_resize", "divides by a root", shrinks_a_square, SQUARE),
    Deviation(
        "transformers",
        "keep_top_p",
        "of equal words the higher index stays",
        has_ties,
        {"logits": np.zeros((1, 4)), "mass": 0.4},
    ),
    *(
        Deviation(
            backend,
            "sigmoid_vjp",
            "1 - p of a rounded probability",
            far_above_zero,
            {"z": np.array([20.0]), "grad": np.array([1.0])},
        )
        for backend in ("torch", "jax")
    ),
    Deviation(
        "diffusers",
        "linspace_timesteps",
        "a single time is 0",
        lambda inputs: inputs["levels"] == 1 < inputs["steps"],
        {"steps": 10.0, "levels": 1},
    ),
    Deviation(
        "diffusers",
        "trailing_timesteps",
        "adds T/n up",
        differences_drift,
        {"steps": 1000, "levels": 61},
    ),
    Deviation("diffusers", "ddim_step", "the root of a negative rounding", spends_all, ALL_NOISE),
    Deviation(
        "transformers", "attention", "a query without keys is NaN", hides_a_row("bias"), HEADS
    ),
    *(
        Deviation(backend, op, "a row of -inf alone is NaN", hides_a_row("z"), {"z": HIDDEN})
        for backend in (*FRAMEWORKS, "onnx_reference")
        for op in ("softmax", "log_softmax")
    ),
    *(
        Deviation(backend, op, "a row of -inf alone is NaN", hides_a_row("z"), HIDDEN_GRADIENT)
        for backend in ("torch", "jax")
        for op in ("softmax_vjp", "log_softmax_vjp")
    ),
    Deviation(
        "torch",
        "l2_normalize_vjp",
        "a length below 1e-12 counts as 1e-12",
        no_longer_than(1e-12),
        {"x": np.array([[3e-13, 4e-13]]), "grad": np.ones((1, 2))},
    ),
    Deviation(
        "jax",
        "l2_normalize_vjp",
        "the zero vector is NaN",
        no_longer_than(0),
        {"x": np.zeros((1, 2)), "grad": np.ones((1, 2))},
    ),
    *(
        Deviation("jax", op, "a fully masked row takes the mean of V", hides_a_row("bias"), shows)
        for op, shows in (
            ("attention", HEADS),
            ("attention_vjp", HEADS | {"grad": np.ones((1, 1, 1, 2))}),
            ("multi_head_attention", LAYER),
            ("multi_head_attention_vjp", LAYER | {"grad": np.ones((1, 1, 2))}),
        )
    ),
    Deviation(
        "torch",
        "l2_normalize",
        "a length below 1e-12 counts as 1e-12",
        short(1e-12),
        {"x": np.array([[3e-13, 4e-13]])},
    ),
    *(
        Deviation("torch", op, "a length below 1e-8 counts as 1e-8", short(1e-8), PAIRS)
        for op in ("clip_logits", "clip_loss", "siglip_loss")
    ),
    *(
        Deviation(backend, op, reason, no_longer_than(limit), EMPTY | {"grad": grad})
        for backend, reason, limit in (
            ("torch", "a length below 1e-8 counts as 1e-8", 1e-8),
            ("jax", "the zero vector is NaN", 0),
        )
        for op, grad in (
            ("clip_logits_vjp", np.eye(2)),
            ("clip_loss_vjp", np.array(1.0)),
            ("siglip_loss_vjp", np.array(1.0)),
        )
    ),
    *(
        Deviation("jax", op, "variance is E[x²] - E[x]²", cancels, {"x": ONE_SIDED, **NORM})
        for op in ("layer_norm", "layer_norm_vjp")
    ),
    Deviation("onnxruntime", "group_norm", "variance is E[x²] - E[x]²", cancels, GROUPED),
    Deviation("onnx_reference", "group_norm", "variance is E[x²] - E[x]²", cancels, GROUPED_FAR),
    *(
        Deviation("onnx_reference", op, "takes the logarithm of a softmax", falls(name), shows)
        for op, name, shows in (
            ("log_softmax", "z", {"z": FAR}),
            ("cross_entropy", "logits", {"logits": FAR, "labels": np.array([1])}),
        )
    ),
    *(
        Deviation("torch", op, "the factor is rounded to float32", differs_in_float32, shows)
        for op, shows in (
            ("resize_nearest", TO_82),
            ("resize_nearest_vjp", TO_82 | {"grad": np.ones((1, 1, 82, 1))}),
        )
    ),
    *(
        Deviation("diffusers", op, f"at t = 0 {what}", starts, {**STEPS, "v": np.zeros((1, 1))})
        for op, what in (
            ("q_posterior", "the variance is 1e-20"),
            ("learned_range_log_variance", "the smaller variance is 1e-20"),
            ("fixed_small_log_variance", "the variance is 1e-20"),
            ("fixed_large_log_variance", "the forward variance is kept"),
        )
    ),
]


def module(backend: str) -> Any:
    return importlib.import_module(f"refimpl.backends.{backend}")


HOOKS = ("record", "scheduled")  # of whole models and of configured samplers: no operations


def functions(backend: str) -> dict[str, Callable]:
    """The public functions that a backend defines."""
    own = module(backend)
    homes = (own.__name__, "refimpl.backends.parts.")
    return {
        name: function
        for name, function in inspect.getmembers(own, inspect.isfunction)
        if not name.startswith("_") and name not in HOOKS and function.__module__.startswith(homes)
    }


def conforms(backend: str, op: Any, case: Any) -> bool:
    expected = expect(op, case.inputs, "float32")
    try:
        with np.errstate(all="ignore"):  # as the worker calls them
            actual = functions(backend)[op.name](**case.typed(op))
    except NotImplementedError:
        empty = any(np.size(x) == 0 for x in case.inputs.values())
        assert empty or (backend, op.name) in PARTIAL
        return True  # a framework may refuse an empty batch
    return judge(op, expected, actual, FLOAT32).conforms


FUNCTIONS = [
    pytest.param(backend, name, id=f"{backend}-{name}")
    for backend in INSTALLED
    for name in functions(backend)
]


@pytest.mark.parametrize(("backend", "name"), FUNCTIONS)
def test_a_function_is_an_operation_and_takes_its_arguments(backend, name):
    function = functions(backend)[name]
    assert list(inspect.signature(function).parameters) == list(OPS[name].specs)
    assert function.__doc__
    assert "\n" not in function.__doc__


@pytest.mark.parametrize("backend", INSTALLED)
def test_the_precisions_are_known(backend):
    own = module(backend)
    assert set(own.PRECISIONS) <= set(PRECISIONS)
    supports = getattr(own, "SUPPORTS", {})
    assert set(supports) <= set(functions(backend))
    for precisions in supports.values():
        assert set(precisions) < set(own.PRECISIONS)


@pytest.mark.parametrize(("backend", "name"), FUNCTIONS)
def test_a_function_stays_within_the_bound(backend, name):
    op = OPS[name]
    known = [d.applies for d in DEVIATIONS if (d.backend, d.op) == (backend, name)]
    for case in generate(op, "float32", 4):
        if not any(applies(case.inputs) for applies in known):
            assert conforms(backend, op, case), case.id


@pytest.mark.parametrize(
    "deviation",
    [pytest.param(d, id=f"{d.backend}-{d.op}") for d in DEVIATIONS if d.backend in INSTALLED],
)
def test_a_known_deviation_is_still_seen(deviation):
    op = OPS[deviation.op]
    inputs = op.read(**{name: deviation.shows[name] for name in op.specs})
    assert deviation.applies(inputs)
    case = Case(op.name, "float32", "shows", deviation.reason, rounded(op, inputs, "float32"))
    assert not conforms(deviation.backend, op, case), "no longer deviates"


@pytest.mark.parametrize("backend", [name for name in INSTALLED if name in FRAMEWORKS])
def test_the_deviations_listed_are_explained_by_a_dialect_or_a_lossy_form(backend):
    listed = sorted({d.op for d in DEVIATIONS if d.backend == backend})
    (report,) = verify(backend, ops=listed, profile="quick")
    for finding in report.findings:
        causes = {cause.kind for cause in finding.causes}
        assert causes <= {"dialect", "precision"}, (finding.op, finding.causes)


@pytest.mark.skipif("torch" not in INSTALLED, reason="needs torch")
def test_a_target_on_another_device_gives_what_it_gives_at_home():
    from refimpl.backends import tensors
    from refimpl.backends import torch as home

    placed = tensors.on_device(home, "cpu")
    assert set(placed) == {name for name in OPS if hasattr(home, name)}
    inputs = {"z": np.float32([[1.0, -2.0], [3.0, 0.5]])}
    np.testing.assert_array_equal(placed["softmax"](**inputs), home.softmax(**inputs))


@pytest.mark.skipif("torch" not in INSTALLED, reason="needs torch")
def test_a_kernel_that_does_not_apply_refuses():
    from torch.nn.attention import SDPBackend

    from refimpl.backends import tensors
    from refimpl.backends import torch as home

    tokens = np.ones((1, 2, 3, 4), np.float32)
    inputs = {"query": tokens, "key": tokens, "value": tokens, "bias": None}
    plain = tensors.by_kernel(home, "cpu", SDPBackend.MATH)
    np.testing.assert_array_equal(plain(**inputs), tokens)
    with pytest.raises(NotImplementedError, match="CUDNN_ATTENTION"):
        tensors.by_kernel(home, "cpu", SDPBackend.CUDNN_ATTENTION)(**inputs)


@pytest.mark.skipif("torch" not in INSTALLED, reason="needs torch")
def test_a_missing_device_is_named():
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(TargetError, match=r"NVIDIA driver|CUDA device"):
        verify("torch_cuda", ops=["softmax"])
