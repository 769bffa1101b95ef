"""What is known about sigma_at: laws, probes, mistakes and dialects."""

import numpy as np

from refimpl.op import Edit, Law, Op, Probe
from refimpl.ops.common import FLOATS, mistakes_of
from refimpl.ops.diffusion.spec.shared import printed
from refimpl.ops.levels import reference as text
from refimpl.ops.levels.spec.shared import draw_table, latent_table


def entries(f, t, table):
    yield f(np.arange(len(table)) + 0.0, table), table


def half_way(f, t, table):
    middles = f(np.arange(len(table) - 1) + 0.5, table)
    yield middles * middles, table[1:] * table[:-1]


def inverse(f, t, table):
    times = np.arange(len(table) - 1) + 0.25
    yield text.level_time(f(times, table), table), times


def last_behind(f, t, table):
    yield f(np.array([1.0, 1.5, 7.0]) * (len(table) - 1), table)[1:], table[[-1, -1]]


def any_unit(f, t, table):
    yield f(t, 4 * table), 4 * f(t, table)


def each_by_itself(f, t, table):
    yield f(t[::-1], table), f(t, table)[::-1]


def published(f, t, table):
    times = 0 * table[0] + np.array([10.38219681104, 353.89041059494, 933.506773949])
    yield printed(f(times, latent_table()), "0.1000000000 1.0000000000 10.000000000")


wrong = mistakes_of("sigma_at")
MIXED = "np.exp((1 - part) * logs[low] + part * logs[low + 1])"

SIGMA_AT = Op(
    text.sigma_at,
    laws=(
        Law("a whole time has its entry", entries),
        Law("half way between two times is their geometric mean", half_way),
        Law("level_time finds the time again", inverse),
        Law("times behind the last have its level", last_behind),
        Law("the unit of the levels does not matter", any_unit),
        Law("each time is treated by itself", each_by_itself),
        Law("gives the levels of Stable Diffusion at published times", published),
    ),
    probes=(
        Probe(
            "Stable Diffusion's, by equal steps",
            lambda: {"t": np.array([999, 749.25, 499.5, 249.75, 0]), "table": latent_table()},
        ),
        Probe(
            "at an entry, between, and behind",
            lambda: {"t": np.array([0, 1, 1.25, 1.5, 2.5]), "table": np.array([1.0, 4.0, 8.0])},
        ),
    ),
    mistakes=(
        wrong(
            "rounded",
            "takes the entry of the nearest whole time",
            "    part =",
            "    t = np.round(t)\n    low = entry_below(t, np.arange(len(table)))\n    part =",
            "levels lie up to half an entry off",
            "the time is whole",
        ),
        wrong(
            "lower-entry",
            "takes the entry at or below",
            "    part =",
            "    t = np.floor(t)\n    part =",
            "levels are too low",
            "the time is whole",
        ),
        wrong(
            "parts-exchanged",
            "exchanges the parts of the two entries",
            "(1 - part) * logs[low] + part * logs[low + 1]",
            "part * logs[low] + (1 - part) * logs[low + 1]",
            "levels jump back within each interval",
            "half way between whole times",
        ),
        wrong(
            "not-cut-off",
            "goes on along the last line behind the table",
            "np.minimum(t - low, 1)",
            "t - low",
            "levels that no network was trained on",
            "the times lie within the table",
        ),
        wrong(
            "logarithms-left",
            "returns logarithms of levels",
            MIXED,
            MIXED.removeprefix("np.exp(").removesuffix(")"),
            "negative levels",
            "never",
        ),
        wrong(
            "counted-backwards",
            "counts times from the noisy end, as samplers list levels",
            'rising("sigma_at", table)',
            'rising("sigma_at", table)[::-1]',
            "the first steps remove hardly any noise",
            "the time lies in the middle",
        ),
    ),
    dialects=(
        Edit(
            "sigma_at/straight-in-levels",
            "draws straight lines between levels: diffusers, unless told otherwise",
            MIXED,
            "(1 - part) * np.exp(logs[low]) + part * np.exp(logs[low + 1])",
            invisible_when="the time is whole",
        ),
    ),
    precisions=FLOATS,
    values={
        "table": draw_table,
        "t": lambda source, sizes: np.floor(8 * source.uniform((sizes["B"],), 0, sizes["T"])) / 8,
    },
)
