"""What is known about alibi_bias: laws, probes and mistakes."""

import numpy as np

from refimpl.op import Edit, Law, Op, Probe
from refimpl.ops.positions import reference as text

EXPONENTS = "np.append(np.arange(1, power + 1), np.arange(heads - power) + 0.5) * 8 / power"
BLOOM = "https://github.com/NVIDIA-NeMo/Speech/pull/7105"


def distances_alone(f, query_positions, key_positions, heads):
    moved = f(query_positions + 5, key_positions + 5, heads)
    yield moved, f(query_positions, key_positions, heads)


def either_way(f, query_positions, key_positions, heads):
    there = f(key_positions, query_positions, heads)
    yield f(query_positions, key_positions, heads), np.swapaxes(there, 1, 2)


def linear_in_distance(f, query_positions, key_positions, heads):
    far = f(3 * query_positions, 3 * key_positions, heads)
    yield far, 3 * f(query_positions, key_positions, heads)


def least_slope(f, query_positions, key_positions, heads):
    power = 2 ** (heads.bit_length() - 1)
    last = f(query_positions, key_positions, heads)[power - 1]
    yield last, -np.abs(query_positions[:, None] - key_positions) / 256


def two_powers(f, query_positions, key_positions, heads):
    power = 2 ** (heads.bit_length() - 1)
    bias = f(query_positions, key_positions, heads)
    yield bias[:power], f(query_positions, key_positions, power)
    yield bias[power:], f(query_positions, key_positions, 2 * power)[0 : 2 * (heads - power) : 2]


def slopes_multiply(f, query_positions, key_positions, heads):
    slopes = f(0 * query_positions[:1] + 1, 0 * key_positions[:1], 8)[:, 0, 0]
    yield slopes[1:], slopes[:-1] / 2


ALIBI_BIAS = Op(
    text.alibi_bias,
    laws=(
        Law("depends on differences of positions alone", distances_alone),
        Law("is the same in both directions", either_way),
        Law("is linear in the distance", linear_in_distance),
        Law("the least slope of a power of two is 1/256", least_slope),
        Law("begins like the lower power of two, then takes every other head", two_powers),
        Law("eight slopes halve one after another", slopes_multiply),
    ),
    probes=(
        Probe(
            "twelve heads, no power of two",
            lambda: {
                "query_positions": np.array([3.0]),
                "key_positions": np.arange(4.0),
                "heads": 12,
            },
        ),
        Probe(
            "eight heads, keys before and behind",
            lambda: {
                "query_positions": np.array([2.0, 5.0]),
                "key_positions": np.arange(7.0),
                "heads": 8,
            },
        ),
    ),
    mistakes=(
        Edit(
            "alibi_bias/one-sequence",
            "takes one geometric sequence for any number of heads",
            EXPONENTS,
            "np.arange(1, heads + 1) * 8 / heads",
            effect="models with 12 or 40 heads get slopes that they were not trained with",
            source="https://github.com/ml-explore/mlx/pull/3071",
            invisible_when="the number of heads is a power of two",
        ),
        Edit(
            "alibi_bias/favours-distance",
            "forgets the minus sign",
            "return -slopes",
            "return slopes",
            effect="distant keys are preferred",
            invisible_when="the distance is 0",
        ),
        Edit(
            "alibi_bias/counts-heads-from-zero",
            "starts with the slope 1 instead of the ratio",
            "np.arange(1, power + 1)",
            "np.arange(power)",
            effect="slopes are too steep, by a factor of 2 for eight heads",
        ),
        Edit(
            "alibi_bias/signed-distance",
            "forgets the absolute value: keys behind the query are rewarded",
            "np.abs(query_positions[:, None] - key_positions)",
            "query_positions[:, None] - key_positions",
            effect="none behind a causal bias; wrong in an encoder",
            invisible_when="no key stands behind its query",
        ),
        Edit(
            "alibi_bias/heads-backwards",
            "gives the steepest slope to the last head",
            "slopes[:, None, None]",
            "slopes[::-1, None, None]",
            effect="each head has the slope of another",
            invisible_when="there is one head",
        ),
        Edit(
            "alibi_bias/eight-for-any-power",
            "uses the slopes 1/2, 1/4, … for any number of heads",
            "* 8 / power",
            "* 1.0",
            effect="the last of 16 heads has a slope of 2⁻¹⁶ instead of 2⁻⁸",
            invisible_when="there are eight heads",
        ),
        Edit(
            "alibi_bias/logarithm",
            "penalises the logarithm of the distance",
            "slopes[:, None, None] * distances",
            "slopes[:, None, None] * np.log1p(distances)",
            effect="distant keys count nearly as much as near ones",
            invisible_when="the distance is 0",
        ),
    ),
    dialects=(
        Edit(
            "alibi_bias/key-positions",
            "adds the slope times the key's position, the same for every query: Bloom, MPT",
            "distances = np.abs(query_positions[:, None] - key_positions)",
            "distances = -(0 * query_positions[:, None] + key_positions)",
            effect="a constant more in each row, which softmax does not see behind a causal bias",
            source=BLOOM,
            invisible_when="the query stands at position 0 and all keys, too",
        ),
    ),
    precisions=("float64", "float32"),
)
