"""What is known about sinusoidal_positions: laws, probes, mistakes and dialects."""

import numpy as np

from refimpl.op import Edit, Law, Op, Probe
from refimpl.ops.patch_embedding import reference as text
from refimpl.ops.patch_embedding.spec.shared import geometric_frequencies


def sinusoidal_positions_equation(f, positions, half):
    angles = positions[:, None] * geometric_frequencies(positions, half)
    table = f(positions, half)
    yield table[:, 0::2], np.sin(angles)
    yield table[:, 1::2], np.cos(angles)


def sinusoidal_positions_unit_circle(f, positions, half):
    table = f(positions, half)
    yield table[:, 0::2] ** 2 + table[:, 1::2] ** 2, np.ones((len(positions), half))


def sinusoidal_positions_origin(f, positions, half):
    yield f(0 * positions, half), np.tile([0.0, 1.0], (len(positions), half))


def sinusoidal_positions_rotation(f, positions, half):
    table, step = f(positions, half), f(positions[:1], half)
    sine, cosine = table[:, 0::2], table[:, 1::2]
    moved = f(positions + positions[:1], half)
    yield moved[:, 0::2], sine * step[:, 1::2] + cosine * step[:, 0::2]
    yield moved[:, 1::2], cosine * step[:, 1::2] - sine * step[:, 0::2]


def sinusoidal_positions_refined(f, positions, half):
    N = len(positions)
    fine = np.reshape(f(positions, 2 * half), (N, 2 * half, 2))
    yield np.reshape(fine[:, ::2], (N, 2 * half)), f(positions, half)


def sinusoidal_positions_distances(f, positions, half):
    table = f(positions, half)
    offsets = positions - positions[:1]
    waves = np.cos(offsets[:, None] * geometric_frequencies(positions, half))
    yield np.sum(table * table[:1], axis=-1), np.sum(waves, axis=-1)


SINUSOIDAL_POSITIONS = Op(
    text.sinusoidal_positions,
    laws=(
        Law("frequencies fall by a constant ratio", sinusoidal_positions_equation),
        Law("every pair lies on the unit circle", sinusoidal_positions_unit_circle),
        Law("position zero has sines 0 and cosines 1", sinusoidal_positions_origin),
        Law("a step in position rotates every pair", sinusoidal_positions_rotation),
        Law("twice as many frequencies contain these", sinusoidal_positions_refined),
        Law("inner products depend on distances alone", sinusoidal_positions_distances),
    ),
    probes=(
        Probe("positions 0 to 5", lambda: {"positions": np.arange(6.0), "half": 3}),
        Probe("width 64", lambda: {"positions": np.array([23.0, 24.0, 25.0]), "half": 32}),
        Probe("a single frequency", lambda: {"positions": np.array([1.0, 2.0]), "half": 1}),
        Probe("a fraction", lambda: {"positions": np.array([0.5, 999.25]), "half": 4}),
    ),
    mistakes=(
        Edit(
            "sinusoidal_positions/base-1000",
            "takes 1000 for the base",
            "constant(10000",
            "constant(1000",
            effect="frequencies too high in all but the first pair",
            source="https://github.com/maxjcohen/transformer/issues/62",
            invisible_when="there is one frequency",
        ),
        Edit(
            "sinusoidal_positions/cosine-with-its-own-exponent",
            "takes the exponent from the column, so that sine and cosine differ in frequency",
            "np.cos(angles)",
            "np.cos(angles * np.exp(-log_base / (2 * half)))",
            effect="a pair is no longer a point on the unit circle",
            source="https://github.com/maxjcohen/transformer/issues/62",
            invisible_when="the position is zero",
        ),
        Edit(
            "sinusoidal_positions/precedence",
            "floor-divides -log(base) by the width before multiplying",
            "np.exp(-log_base * np.arange(half) / half)",
            "np.exp(2 * np.arange(half) * (-log_base / half // 2))",
            effect="the frequencies are powers of e; all but a few vanish",
            source="https://github.com/zju3dv/LoFTR/issues/41",
            invisible_when="the position is zero",
        ),
        Edit(
            "sinusoidal_positions/power-swapped",
            "raises the exponent to the power of the base",
            "np.exp(-log_base * np.arange(half) / half)",
            "(np.arange(half) / half) ** 1e-4",
            effect="nearly all columns are equal",
            source="https://github.com/ivanvovk/WaveGrad/issues/12",
            invisible_when="the position is zero",
        ),
        Edit(
            "sinusoidal_positions/rising-frequencies",
            "forgets the minus sign in the exponent",
            "np.exp(-log_base",
            "np.exp(log_base",
            effect="neighbouring positions have unrelated columns",
            invisible_when="the position is zero, or there is one frequency",
        ),
        Edit(
            "sinusoidal_positions/exponent-over-width",
            "divides the index of the pair by the width instead of its half",
            "np.arange(half) / half",
            "np.arange(half) / (2 * half)",
            effect="the lowest frequencies are missing",
            invisible_when="the position is zero, or there is one frequency",
        ),
        Edit(
            "sinusoidal_positions/counts-from-one",
            "counts positions from one",
            "positions[:, None]",
            "(positions[:, None] + 1)",
            effect="every row is that of the next position",
            invisible_when="only differences of positions matter",
        ),
    ),
    dialects=(
        Edit(
            "sinusoidal_positions/blocks",
            "puts all sines before all cosines: MAE",
            "np.cos(angles)), axis=-1)",
            "np.cos(angles)), axis=-2)",
            effect="a permutation of the columns",
            invisible_when="there is one frequency",
        ),
        Edit(
            "sinusoidal_positions/tensor2tensor",
            "puts all sines before all cosines; the last frequency is 1/10000",
            "/ half)  # E\n"
            "    angles = positions[:, None] * frequencies  # N E\n"
            "    pairs = np.stack((np.sin(angles), np.cos(angles)), axis=-1)",
            "/ max(half - 1, 1))\n"
            "    angles = positions[:, None] * frequencies\n"
            "    pairs = np.stack((np.sin(angles), np.cos(angles)), axis=-2)",
            effect="a permutation, and slightly lower frequencies",
            invisible_when="there is one frequency",
        ),
    ),
    precisions=("float64", "float32"),
)
