"""What is known about rotary_angles: laws, probes and mistakes."""

import numpy as np

from refimpl.op import Edit, Law, Op, Probe
from refimpl.ops.positions import reference as text

LINE = "positions[:, None] * frequencies"
IN_BFLOAT16 = "np.ldexp(np.rint(np.ldexp(np.frexp({0})[0], 8)), np.frexp({0})[1] - 8)"


def origin(f, positions, half, base):
    yield f(0 * positions, half, base), np.zeros((len(positions), half))


def first_frequency(f, positions, half, base):
    yield f(positions, half, base)[:, 0], positions


def linear_in_positions(f, positions, half, base):
    yield f(3 * positions, half, base), 3 * f(positions, half, base)


def constant_ratio(f, positions, half, base):
    angles = f(positions, half, base)
    yield angles[:, 1:], angles[:, :-1] * np.exp(-np.log(base) / half)


def refined(f, positions, half, base):
    yield f(positions, 2 * half, base)[:, ::2], f(positions, half, base)


def squared_base(f, positions, half, base):
    steep, angles = f(positions, half, base * base), f(positions, half, base)
    yield steep[:, : -(-half // 2)], angles[:, ::2]


ROTARY_ANGLES = Op(
    text.rotary_angles,
    laws=(
        Law("position zero turns nothing", origin),
        Law("the first angle is the position", first_frequency),
        Law("is linear in the position", linear_in_positions),
        Law("frequencies fall by a constant ratio", constant_ratio),
        Law("twice as many pairs contain these", refined),
        Law("a squared base skips every other frequency", squared_base),
    ),
    probes=(
        Probe(
            "positions of a long text, the base of Qwen2",
            lambda: {"positions": np.array([0.0, 1.0, 257.0, 4095.0]), "half": 4, "base": 1e6},
        ),
        Probe(
            "width 128, the base of the paper",
            lambda: {"positions": np.array([3.0, 1000.0]), "half": 64, "base": 1e4},
        ),
        Probe(
            "a single pair",
            lambda: {"positions": np.array([1.0, 2.0]), "half": 1, "base": 1e4},
        ),
    ),
    mistakes=(
        Edit(
            "rotary_angles/base-ignored",
            "takes the base 10000, whatever the configuration says",
            "np.log(base)",
            "np.log(constant(10000, positions))",
            effect="nearby positions are nearly right, distant ones wrong",
            source="https://github.com/sgl-project/SpecForge/issues/265",
            invisible_when="the base is 10000, or there is one pair",
        ),
        Edit(
            "rotary_angles/exponent-over-width",
            "divides the index by the width instead of its half, as for twice as many pairs",
            "np.arange(half) / half",
            "np.arange(half) / (2 * half)",
            effect="the lowest frequencies are missing",
            source="https://github.com/pie-project/pie/issues/602",
            invisible_when="the position is 0, or there is one pair",
        ),
        Edit(
            "rotary_angles/half-minus-one",
            "lets the exponents run to one inclusive",
            "np.arange(half) / half",
            "np.arange(half) / max(half - 1, 1)",
            effect="frequencies are too low, the last by most",
            invisible_when="the position is 0, or there is one pair",
        ),
        Edit(
            "rotary_angles/rising-frequencies",
            "forgets the minus sign in the exponent",
            "np.exp(-np.log(base)",
            "np.exp(np.log(base)",
            effect="neighbouring positions have unrelated angles",
            invisible_when="the position is 0, or there is one pair",
        ),
        Edit(
            "rotary_angles/frequencies-in-bfloat16",
            "rounds the frequencies to bfloat16 before they meet the position",
            LINE,
            "positions[:, None] * " + IN_BFLOAT16.format("frequencies"),
            effect="the error grows with the position, to 0.8 at 4095",
            source="https://github.com/sgl-project/sglang-jax/issues/1472",
            invisible_when="the position is 0, or there is one pair",
        ),
        Edit(
            "rotary_angles/positions-in-bfloat16",
            "rounds the positions to bfloat16",
            LINE,
            IN_BFLOAT16.format("positions") + "[:, None] * frequencies",
            effect="above 256 neighbours share an angle",
            source="https://github.com/huggingface/candle/pull/3520",
            invisible_when="the position is a whole number up to 256",
        ),
        Edit(
            "rotary_angles/counts-from-one",
            "counts positions from one",
            LINE,
            "(positions[:, None] + 1) * frequencies",
            effect="none if queries and keys both do it; wrong with a cache that counts from zero",
        ),
    ),
    precisions=("float64", "float32"),
)
