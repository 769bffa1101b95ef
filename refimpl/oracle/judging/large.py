"""Vectors of model size, made on demand: inputs from a counter, so that they need not ship.

The number at position i of stream s, on any machine and in any language with 64-bit integers:

    z = (s * 2^32 + i + 1) * 0x9E3779B97F4A7C15        all arithmetic modulo 2^64
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB
    z = z ^ (z >> 31)
    x = (z >> 56) / 128 - 1                            256 values in [-1, 1), exact in every format

Arrays are filled with the last axis running fastest; each input has a stream of its own, numbered
from 0 in the order of the arguments, and is multiplied by its scale, a power of two.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from refimpl.ops.attention.reference import attention, multi_head_attention
from refimpl.ops.diffusion.reference import alpha_bar, at, fixed_large_log_variance, p_sample
from refimpl.ops.layers.reference import gelu, layer_norm, linear
from refimpl.oracle.numbers.errors import bounded


def counter(stream: int, shape: tuple[int, ...]) -> np.ndarray:
    """The numbers of one stream.

    >>> counter(0, (4,)).tolist()
    [0.765625, -0.140625, -0.953125, 0.9375]
    """
    mask = np.uint64(0xFFFFFFFFFFFFFFFF)
    with np.errstate(over="ignore"):
        i = np.arange(1, int(np.prod(shape)) + 1, dtype=np.uint64)
        z = (np.uint64(stream << 32) + i) * np.uint64(0x9E3779B97F4A7C15) & mask
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9) & mask
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB) & mask
    z = z ^ (z >> np.uint64(31))
    return ((z >> np.uint64(56)).astype(np.float64) / 128 - 1).reshape(shape)


EPS = 2.0**-20


def attention_1024(query: Any, key: Any, value: Any) -> Any:
    """Eight heads of width 64 over 1,024 tokens."""
    return attention(query, key, value, None)


def block_attention(x: Any, normal: Any, weight: Any, bias: Any, out: Any, out_bias: Any) -> Any:
    """The first half of a ViT block: 12 heads, and the residual."""
    return x + multi_head_attention(normal, normal, weight, bias, out, out_bias, 12, None)


def block_norm(x: Any, gain: Any, bias: Any) -> Any:
    """Layer normalisation with ε = 2⁻²⁰."""
    return layer_norm(x, gain, bias, EPS)


def block_up(normal: Any, weight: Any, bias: Any) -> Any:
    """The wide layer of the second half, exact GELU."""
    return gelu(linear(normal, weight, bias))


def block_down(x: Any, hidden: Any, weight: Any, bias: Any) -> Any:
    """Back to the width, and the residual."""
    return x + linear(hidden, weight, bias)


def trajectory(x_t: Any, noise: Any) -> Any:
    """Fifty ancestral steps with a noise tape, for data that is standard normal.

    There the best prediction of the noise is known: ε̂ = √(1 - ᾱ_t) x_t. Returns every x_{t-1}.
    """
    betas = np.arange(1, 51) / 1024
    share, log_variance = alpha_bar(betas), fixed_large_log_variance(betas)
    states = []
    for step in range(49, -1, -1):
        t = np.full(len(x_t), step)
        eps = np.sqrt(1 - at(share, t, x_t)) * x_t
        spread = at(log_variance, t, x_t)
        x_t = p_sample(x_t, t, eps, noise[49 - step], betas, spread, np.inf)
        states.append(x_t)
    return np.stack(states)


@dataclass(frozen=True)
class Large:
    """A case of model size: the shape and scale of each input, and its steps.

    A step is the name of its output, its text, and the names of its arguments. Each step is fed
    what is stored, rounded to float32, so that errors do not pile up from step to step.
    """

    inputs: dict[str, tuple[tuple[int, ...], float]]
    steps: tuple[tuple[str, Callable[..., Any], str], ...]
    quantum: float  # expected values are digested as whole multiples of this
    digest: str

    def made(self) -> dict[str, np.ndarray]:
        """The inputs."""
        return {
            name: scale * counter(stream, shape)
            for stream, (name, (shape, scale)) in enumerate(self.inputs.items())
        }


def value_digest(value: np.ndarray, allowed: np.ndarray, quantum: float) -> str:
    """SHA-256 of values as multiples of a quantum; values near a half multiple are left out.

    Float64 results differ in their last bits from machine to machine; which values are left out
    does not, as long as the distance that decides is far above those bits.
    """
    scaled = value / quantum
    clear = np.abs(scaled - np.floor(scaled) - 0.5) > 2.0**-12
    if np.any(allowed / quantum > 2.0**-14):
        raise ValueError("float64 is not exact enough for this digest")
    whole = np.where(clear, np.rint(scaled), 0).astype("<i8")
    return hashlib.sha256(whole.tobytes()).hexdigest()


D, HIDDEN = 768, 3072
SMALL = 2.0**-6
LARGE = {
    "attention_1024": Large(
        dict.fromkeys(("query", "key", "value"), ((1, 8, 1024, 64), 2.0)),
        (("result", attention_1024, "query key value"),),
        2.0**-20,
        "05c685f019bf684ed9bc4bdfd4fa4ac1b58f8b18b5b23c18cd3d02830a4a9549",
    ),
    "vit_block": Large(
        {
            "x": ((1, 197, D), 1.0),
            "gain_1": ((D,), 1.0),
            "bias_1": ((D,), 1.0),
            "in_weight": ((3 * D, D), SMALL),
            "in_bias": ((3 * D,), SMALL),
            "out_weight": ((D, D), SMALL),
            "out_bias": ((D,), SMALL),
            "gain_2": ((D,), 1.0),
            "bias_2": ((D,), 1.0),
            "up_weight": ((HIDDEN, D), SMALL),
            "up_bias": ((HIDDEN,), SMALL),
            "down_weight": ((D, HIDDEN), SMALL),
            "down_bias": ((D,), SMALL),
        },
        (
            ("normal_1", block_norm, "x gain_1 bias_1"),
            ("middle", block_attention, "x normal_1 in_weight in_bias out_weight out_bias"),
            ("normal_2", block_norm, "middle gain_2 bias_2"),
            ("hidden", block_up, "normal_2 up_weight up_bias"),
            ("result", block_down, "middle hidden down_weight down_bias"),
        ),
        2.0**-20,
        "b26e486057a394d314c9882d804986d6e579952ed969a359d253b3c659b76819",
    ),
    "trajectory": Large(
        {"x_t": ((2, 3, 32, 32), 2.0), "noise": ((50, 2, 3, 32, 32), 2.0)},
        (("result", trajectory, "x_t noise"),),
        2.0**-20,
        "d0995f00991194974998c8e4879302f7ee9b1ea6b3ebf7e1bf151cbd51b2a2d3",
    ),
}


def compute(name: str) -> tuple[dict[str, np.ndarray], str]:
    """All arrays of a large case, and the digest of its values.

    Inputs, expected values and allowed float32 errors, as `inputs/…`, `expected/…`, `allowed/…`.
    """
    case = LARGE[name]
    known = case.made()
    arrays: dict[str, np.ndarray] = {
        f"inputs/{key}": array.astype(np.float32) for key, array in known.items()
    }
    digests = ""
    for output, text, arguments in case.steps:
        names = list(inspect.signature(text).parameters)
        inputs = {n: known[a] for n, a in zip(names, arguments.split(), strict=True)}
        (ours,) = bounded(text, inputs, "float64")
        (theirs,) = bounded(text, inputs, "float32")
        digests += value_digest(ours.value, ours.error, case.quantum)
        known[output] = ours.value.astype(np.float32).astype(np.float64)
        arrays[f"expected/{output}"] = ours.value
        arrays[f"allowed/{output}"] = ours.error + theirs.error
    return arrays, hashlib.sha256(digests.encode()).hexdigest()


def export(place: Path) -> list[str]:
    """Write every large case to a safetensors file; returns the names whose digest differs."""
    from safetensors.numpy import save_file

    place.mkdir(parents=True, exist_ok=True)
    wrong = []
    for name, case in LARGE.items():
        arrays, found = compute(name)
        path = place / f"{name}.safetensors"
        save_file({key: np.ascontiguousarray(array) for key, array in arrays.items()}, path)
        if found != case.digest:
            wrong.append(name)
    return wrong
