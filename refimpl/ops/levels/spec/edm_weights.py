"""What is known about edm_weights: laws, probes and mistakes."""

import numpy as np

from refimpl.op import Law, Op, Probe
from refimpl.ops.common import mistakes_of
from refimpl.ops.levels import reference as text


def undo_the_output(f, sigma, sigma_data):
    _, out, _, _ = text.edm_coefficients(sigma, sigma_data)
    yield f(sigma, sigma_data) * out * out, np.ones(len(sigma))


def sum_of_both(f, sigma, sigma_data):
    yield f(sigma, sigma_data), 1 / sigma**2 + 1 / sigma_data**2


def any_unit(f, sigma, sigma_data):
    yield 16 * f(4 * sigma, 4 * sigma_data), f(sigma, sigma_data)


def level_of_the_data(f, sigma, sigma_data):
    yield f(0 * sigma + sigma_data, sigma_data) * sigma_data**2, np.full(len(sigma), 2.0)


def each_by_itself(f, sigma, sigma_data):
    yield f(sigma[::-1], sigma_data), f(sigma, sigma_data)[::-1]


wrong = mistakes_of("edm_weights")
BOTH = "(sigma * sigma_data) ** 2"

EDM_WEIGHTS = Op(
    text.edm_weights,
    laws=(
        Law("the weight times c_out² is one", undo_the_output),
        Law("is the sum of 1/σ² and 1/σ_data²", sum_of_both),
        Law("the unit of the levels does not matter", any_unit),
        Law("at σ = σ_data it is 2/σ_data²", level_of_the_data),
        Law("each level is treated by itself", each_by_itself),
    ),
    probes=(
        Probe(
            "from low to high", lambda: {"sigma": np.array([0.01, 0.5, 1, 80]), "sigma_data": 0.5}
        ),
        Probe("other data", lambda: {"sigma": np.array([0.25, 3.0]), "sigma_data": 2.0}),
    ),
    mistakes=(
        wrong(
            "data-of-a-half",
            "uses σ_data = 0.5 whatever the data",
            f"(sigma**2 + sigma_data**2) / {BOTH}",
            "(sigma**2 + (0 * sigma_data + 0.5) ** 2) / (sigma * (0 * sigma_data + 0.5)) ** 2",
            "the weight no longer cancels c_out",
            "sigma_data is 0.5",
            source="https://github.com/NVIDIA/physicsnemo/pull/1534",
        ),
        wrong(
            "not-squared",
            "divides by σ σ_data instead of its square",
            BOTH,
            "(sigma * sigma_data)",
            "low levels have too little weight",
            "the product is 1",
        ),
        wrong(
            "sum-in-place-of-product",
            "divides by the square of the sum",
            BOTH,
            "(sigma + sigma_data) ** 2",
            "all levels have similar weights",
            "sum and product are equal",
        ),
        wrong(
            "of-noise",
            "returns the weight for an error of the predicted noise",
            BOTH,
            "sigma_data**2",
            "high levels dominate",
            "sigma is 1",
        ),
        wrong(
            "inverse",
            "inverts the weight",
            "(sigma**2 + sigma_data**2) / (sigma * sigma_data) ** 2",
            "(sigma * sigma_data) ** 2 / (sigma**2 + sigma_data**2)",
            "the weight is c_out² itself",
            "the weight is 1",
        ),
    ),
)
