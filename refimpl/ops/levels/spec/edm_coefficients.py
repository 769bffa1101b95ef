"""What is known about edm_coefficients: laws, probes and mistakes."""

import numpy as np

from refimpl.op import Law, Op, Probe
from refimpl.ops.common import mistakes_of
from refimpl.ops.levels import reference as text


def unit_input(f, sigma, sigma_data):
    _, _, into, _ = f(sigma, sigma_data)
    yield into * into * (sigma**2 + sigma_data**2), 0 * sigma + 1


def skip_and_input(f, sigma, sigma_data):
    skip, _, into, _ = f(sigma, sigma_data)
    yield skip, (sigma_data * into) ** 2


def output_and_skip(f, sigma, sigma_data):
    skip, out, _, _ = f(sigma, sigma_data)
    yield out * out, sigma**2 * skip


def same_level(f, sigma, sigma_data):
    skip, *_ = f(0 * sigma + sigma_data, sigma_data)
    yield skip, (0 * sigma + 1) / 2


def unit(f, sigma, sigma_data):
    for found, want, factor in zip(
        f(4 * sigma, 4 * sigma_data)[:3], f(sigma, sigma_data)[:3], (1, 4, 0.25), strict=True
    ):
        yield found, factor * want


def level_squared(f, sigma, sigma_data):
    yield f(sigma**2, sigma_data)[3], 2 * f(sigma, sigma_data)[3]


wrong = mistakes_of("edm_coefficients")


EDM_COEFFICIENTS = Op(
    text.edm_coefficients,
    laws=(
        Law("the network's input has variance one", unit_input),
        Law("c_skip is (c_in σ_data)²", skip_and_input),
        Law("c_out² is c_skip σ²", output_and_skip),
        Law("c_skip is 1/2 at σ = σ_data", same_level),
        Law("the unit of the levels does not matter", unit),
        Law("c_noise is a logarithm of the level", level_squared),
    ),
    probes=(
        Probe(
            "three levels of the paper",
            lambda: {"sigma": np.array([0.5, 1.0, 80.0]), "sigma_data": 0.5},
        ),
        Probe("other data", lambda: {"sigma": np.array([0.25, 3.0]), "sigma_data": 1.5}),
    ),
    outputs=("skip", "out", "into", "noise"),
    mistakes=(
        wrong(
            "skip-of-the-noise",
            "uses σ² instead of σ_data² in the skip coefficient",
            "sigma_data**2 / total",
            "sigma**2 / total",
            "the skip is largest where the sample is nearly pure noise",
            "the level is the data's deviation",
        ),
        wrong(
            "output-not-rooted",
            "does not take the root in the output's coefficient",
            "sigma * sigma_data / root",
            "sigma * sigma_data / total",
            "the output is too small at high noise",
            "the variance is 1",
        ),
        wrong(
            "input-not-rooted",
            "does not take the root in the input's coefficient",
            "1 / root",
            "1 / total",
            "the input vanishes at high noise",
            "the variance is 1",
        ),
        wrong(
            "deviations-added",
            "adds deviations instead of variances",
            "sigma**2 + sigma_data**2",
            "(sigma + sigma_data) ** 2",
            "input and target have a variance below one",
            "one is far above the other",
        ),
        wrong(
            "level-not-divided",
            "gives the network log σ instead of log σ / 4",
            "np.log(sigma) / 4",
            "np.log(sigma)",
            "the network sees levels that it was not trained on",
            "the level is 1",
        ),
        wrong(
            "unit-data",
            "assumes σ_data = 1 for the input, as unit-variance schedules do",
            "1 / root",
            "1 / np.sqrt(sigma**2 + 1)",
            "the coefficients no longer belong together",
            "the data has deviation one",
            source="https://github.com/NVIDIA/physicsnemo/pull/1534",
        ),
    ),
)
