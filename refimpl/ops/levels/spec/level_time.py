"""What is known about level_time: laws, probes and mistakes."""

import numpy as np

from refimpl.op import Law, Op, Probe
from refimpl.ops.common import FLOATS, mistakes_of
from refimpl.ops.diffusion.spec.shared import printed
from refimpl.ops.levels import reference as text
from refimpl.ops.levels.spec.shared import draw_table, latent_table


def entries(f, sigma, table):
    yield f(table, table), np.arange(len(table))


def cut_off(f, sigma, table):
    yield f(table[:1] / 4, table), np.zeros(1)
    yield f(4 * table[-1:], table), np.full(1, len(table) - 1)


def half_way(f, sigma, table):
    middles = np.sqrt(table[1:] * table[:-1])
    yield f(middles, table), np.arange(len(table) - 1) + 0.5


def any_unit(f, sigma, table):
    yield f(4 * sigma, 4 * table), f(sigma, table)


def each_by_itself(f, sigma, table):
    yield f(sigma[::-1], table), f(sigma, table)[::-1]


def earlier_entries(f, sigma, table):
    """Entries that are added below shift all times within the table."""
    more = np.concatenate((table[:1] / 4, table[:1] / 2, table))
    yield f(table, more), f(table, table) + 2


def published(f, sigma, table):
    levels = 0 * table[0] + np.array([0.1, 1, 10])
    times = "10.38219681104 353.89041059494 933.506773949"
    yield printed(f(levels, latent_table()), times)


wrong = mistakes_of("level_time")
PART = "(np.log(sigma) - logs[low]) / (logs[low + 1] - logs[low])"
CUT = "np.minimum(np.maximum(part, 0), 1)"

LEVEL_TIME = Op(
    text.level_time,
    laws=(
        Law("an entry has its own time", entries),
        Law("levels outside the table have the times of its ends", cut_off),
        Law("half way between two times is their geometric mean", half_way),
        Law("the unit of the levels does not matter", any_unit),
        Law("each level is treated by itself", each_by_itself),
        Law("two lower entries more make times later by two", earlier_entries),
        Law("gives the published times of Stable Diffusion", published),
    ),
    probes=(
        Probe(
            "Stable Diffusion's",
            lambda: {"sigma": np.array([0.1, 1, 10]), "table": latent_table()},
        ),
        Probe(
            "below, at an entry, between and above",
            lambda: {"sigma": np.array([0.5, 4, 6, 9]), "table": np.array([1.0, 4.0, 8.0])},
        ),
    ),
    mistakes=(
        wrong(
            "straight-in-levels",
            "draws straight lines between levels, not between their logarithms",
            PART,
            "(sigma - np.exp(logs[low])) / (np.exp(logs[low + 1]) - np.exp(logs[low]))",
            "times are a little early where entries lie far apart",
            "the level is an entry",
            where="time_above",
        ),
        wrong(
            "not-cut-off",
            "goes on along the last line outside the table",
            CUT,
            "part",
            "negative times, or times behind the last",
            "the levels lie within the table",
            where="time_above",
        ),
        wrong(
            "rounded",
            "rounds times to whole ones",
            f"low + {CUT}",
            f"np.round(low + {CUT})",
            "two levels come to one time, and a look-up by time finds the wrong one",
            "the level is an entry",
            where="time_above",
            source="https://github.com/huggingface/diffusers/pull/10740",
        ),
        wrong(
            "lower-entry",
            "takes the entry below",
            f"low + {CUT}",
            f"np.floor(low + {CUT})",
            "the network is told times that are up to one too small",
            "the level is an entry",
            where="time_above",
        ),
        wrong(
            "counted-from-one",
            "counts times from one",
            f"low + {CUT}",
            f"1 + low + {CUT}",
            "the last time is outside the network's table",
            "never",
            where="time_above",
        ),
        wrong(
            "counted-backwards",
            "counts times from the noisy end, as samplers list levels",
            "return time_above(entry_below(sigma, table), sigma, rising",
            "return len(table) - 1 - time_above(entry_below(sigma, table), sigma, rising",
            "the network takes noise for an almost clean sample",
            "the level lies in the middle",
        ),
        wrong(
            "scaled-deviation",
            "looks up σ/√(1 + σ²), the noise in the scaled sample",
            "return time_above(",
            "sigma = sigma / np.sqrt(1 + sigma**2)\n    return time_above(",
            "times are too early at high noise",
            "the level is small",
        ),
    ),
    precisions=FLOATS,
    values={"table": draw_table},
)
