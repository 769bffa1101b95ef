"""What is known about the scaling laws: laws, probes and mistakes."""

import numpy as np

from refimpl.op import Edit, Law, Op, Probe
from refimpl.ops.common import FLOATS
from refimpl.ops.scaling import reference as text

FIT = {"width": 406.4, "alpha": 0.34, "length": 410.7, "beta": 0.28}
EQUAL = "https://github.com/rohitg00/ai-engineering-from-scratch/pull/57"


def draw_sizes_of(low, high):
    def draw(source, sizes):
        return 10.0 ** source.uniform((sizes["N"],), low, high)

    return draw


def near(number):
    """The customary value of a constant, or one beside it."""
    return lambda source, sizes: source.choice([number, number * 1.1, number * 0.9])


def scale_alone(f, sizes, scale, exponent):
    yield f(scale + 0 * sizes, scale, exponent), np.ones(sizes.shape)


def straight_line(f, sizes, scale, exponent):
    rise = np.log(f(4 * sizes, scale, exponent)) - np.log(f(sizes, scale, exponent))
    yield rise, -exponent * np.log(4 + 0 * sizes)


def only_the_quotient(f, sizes, scale, exponent):
    yield f(4 * sizes, 4 * scale, exponent), f(sizes, scale, exponent)


def exponents_multiply(f, sizes, scale, exponent):
    found = f(sizes, scale, exponent)
    yield f(sizes, scale, 2 * exponent), found * found


POWER_LAW_LOSS = Op(
    text.power_law_loss,
    laws=(
        Law("is one at its scale", scale_alone),
        Law("is a straight line in log-log axes", straight_line),
        Law("depends only on size over scale", only_the_quotient),
        Law("twice the exponent squares it", exponents_multiply),
    ),
    probes=(
        Probe(
            "parameters of GPT-2 to GPT-3",
            lambda: {"sizes": np.array([1e9, 1.75e11]), "scale": 8.8e13, "exponent": 0.076},
        ),
        Probe(
            "ten thousand million words",
            lambda: {"sizes": np.array([1e10]), "scale": 5.4e13, "exponent": 0.095},
        ),
    ),
    mistakes=(
        Edit(
            "power_law_loss/inverted",
            "divides the size by its scale",
            "scale / sizes",
            "sizes / scale",
            effect="larger models are worse",
        ),
        Edit(
            "power_law_loss/of-words",
            "uses the exponent for data instead of that for parameters",
            "sizes, exponent)",
            "sizes, exponent * 1.25)",
            effect="the loss falls too fast",
        ),
        Edit(
            "power_law_loss/log-linear",
            "is linear in the logarithm of the size",
            "np.power(scale / sizes, exponent)",
            "1 + exponent * np.log(scale / sizes)",
            effect="right only near the scale; a straight line on the wrong axes",
            invisible_when="the size is near its scale",
        ),
        Edit(
            "power_law_loss/base-ten",
            "raises e to a base-10 logarithm",
            "np.power(scale / sizes, exponent)",
            "np.exp(exponent * np.log10(scale / sizes))",
            effect="losses are much too low",
        ),
        Edit(
            "power_law_loss/with-tables",
            "counts the embedding table among the parameters",
            "scale / sizes",
            "scale / (sizes + 38.6e6)",
            effect="small models seem better than they are",
            invisible_when="models are large",
        ),
    ),
    precisions=FLOATS,
    values={
        "sizes": draw_sizes_of(6, 12),
        "scale": near(8.8e13),
        "exponent": near(0.076),
    },
)


def endless_size(f, parameters, tokens, entropy, width, alpha, length, beta):
    tiny = f(parameters, tokens, entropy, 1e-9 * width, alpha, 1e-9 * length, beta)
    whole = f(parameters, tokens, entropy, width, alpha, length, beta)
    yield 1e9 * (tiny - entropy), whole - entropy


def apart(f, parameters, tokens, entropy, width, alpha, length, beta):
    fit = entropy, width, alpha, length, beta
    here, wide = f(parameters, tokens, *fit), f(4 * parameters, tokens, *fit)
    long, both = f(parameters, 4 * tokens, *fit), f(4 * parameters, 4 * tokens, *fit)
    yield here + both, wide + long


def words_and_parameters(f, parameters, tokens, entropy, width, alpha, length, beta):
    swapped = f(tokens, parameters, entropy, length, beta, width, alpha)
    yield swapped, f(parameters, tokens, entropy, width, alpha, length, beta)


def entropy_is_added(f, parameters, tokens, entropy, width, alpha, length, beta):
    rest = width, alpha, length, beta
    yield f(parameters, tokens, 2 * entropy, *rest), entropy + f(parameters, tokens, entropy, *rest)


CHINCHILLA_LOSS = Op(
    text.chinchilla_loss,
    laws=(
        Law("the two terms are proportional to A and B", endless_size),
        Law("the terms of size and of tokens add up", apart),
        Law(
            "exchanging tokens and parameters with their constants changes nothing",
            words_and_parameters,
        ),
        Law("the entropy is added", entropy_is_added),
    ),
    probes=(
        Probe(
            "Chinchilla, Gopher, and a thousand million on twenty times as many words",
            lambda: {
                "parameters": np.array([70e9, 280e9, 1e9]),
                "tokens": np.array([1.4e12, 300e9, 2e10]),
                "entropy": 1.69,
                **FIT,
            },
        ),
    ),
    mistakes=(
        Edit(
            "chinchilla_loss/exponents-exchanged",
            "exchanges the exponents",
            "width / parameters**alpha + length / tokens**beta",
            "width / parameters**beta + length / tokens**alpha",
            effect="the size has too much effect",
            invisible_when="the exponents are equal",
        ),
        Edit(
            "chinchilla_loss/constants-exchanged",
            "exchanges the constants",
            "width / parameters**alpha + length / tokens**beta",
            "length / parameters**alpha + width / tokens**beta",
            effect="a little off",
            invisible_when="the constants are equal",
        ),
        Edit(
            "chinchilla_loss/without-entropy",
            "forgets the irreducible entropy",
            "entropy + width",
            "0 * entropy + width",
            effect="losses fall to zero",
        ),
        Edit(
            "chinchilla_loss/multiplied",
            "multiplies the two terms instead of adding them",
            "+ length / tokens**beta",
            "* length / tokens**beta",
            effect="growing one of the two suffices",
        ),
        Edit(
            "chinchilla_loss/one-shortfall",
            "adds parameters and tokens before raising to a power",
            "width / parameters**alpha + length / tokens**beta",
            "width / (parameters + tokens)**alpha + length / (parameters + tokens)**beta",
            effect="tokens can replace parameters",
        ),
    ),
    precisions=FLOATS,
    values={
        "parameters": draw_sizes_of(6, 12),
        "tokens": draw_sizes_of(8, 13),
        "entropy": near(1.69),
        **{name: near(number) for name, number in FIT.items()},
    },
)


def computing_is_spent(f, compute, width, alpha, length, beta):
    parameters, tokens = f(compute, width, alpha, length, beta)
    yield 6 * parameters * tokens, compute


def slopes_agree(f, compute, width, alpha, length, beta):
    parameters, tokens = f(compute, width, alpha, length, beta)
    yield alpha * width / parameters**alpha, beta * length / tokens**beta


def roles_exchanged(f, compute, width, alpha, length, beta):
    parameters, tokens = f(compute, width, alpha, length, beta)
    words, size = f(compute, length, beta, width, alpha)
    yield words, tokens
    yield size, parameters


def grows_as_a_power(f, compute, width, alpha, length, beta):
    few, many = f(compute, width, alpha, length, beta), f(16 * compute, width, alpha, length, beta)
    share = beta / (alpha + beta)
    yield many[0], few[0] * (16 + 0 * compute) ** share
    yield many[1], few[1] * (16 + 0 * compute) ** (1 - share)


CHINCHILLA_OPTIMUM = Op(
    text.chinchilla_optimum,
    laws=(
        Law("6 N D is the budget", computing_is_spent),
        Law("one per cent of parameters lowers the loss as much as one of tokens", slopes_agree),
        Law(
            "exchanging tokens and parameters with their constants changes nothing", roles_exchanged
        ),
        Law("both are powers of the compute", grows_as_a_power),
    ),
    probes=(
        Probe(
            "Chinchilla's budget, and a smaller one",
            lambda: {"compute": np.array([5.76e23, 1e21]), **FIT},
        ),
    ),
    outputs=("parameters", "tokens"),
    mistakes=(
        Edit(
            "chinchilla_optimum/exponents-exchanged",
            "exchanges the exponents of parameters and tokens",
            "pairs ** (beta / (alpha + beta))",
            "pairs ** (alpha / (alpha + beta))",
            effect="tokens per parameter change in the wrong direction",
            invisible_when="the exponents are equal",
        ),
        Edit(
            "chinchilla_optimum/roots",
            "uses the square root of C / 6 for both",
            "balance * pairs ** (beta / (alpha + beta))",
            "pairs ** 0.5",
            effect="one token per parameter",
            source=EQUAL,
        ),
        Edit(
            "chinchilla_optimum/six-forgotten",
            "forgets the factor 6 in C = 6 N D",
            "pairs = compute / 6",
            "pairs = compute",
            effect="plans for six times the budget",
        ),
        Edit(
            "chinchilla_optimum/balance-inverted",
            "inverts the factor G",
            "(alpha * width / (beta * length))",
            "(beta * length / (alpha * width))",
            effect="too many tokens, too few parameters",
            invisible_when="G is 1",
        ),
        Edit(
            "chinchilla_optimum/balance-without-exponents",
            "leaves the exponents out of the factor G",
            "(alpha * width / (beta * length))",
            "(width / length)",
            effect="the two slopes are not equal",
            invisible_when="the exponents are equal",
        ),
        Edit(
            "chinchilla_optimum/twenty",
            "uses 20 tokens per parameter",
            "return parameters, pairs ** (alpha / (alpha + beta)) / balance",
            "return parameters, 20 * parameters",
            effect="the product is no longer C / 6",
            source=EQUAL,
        ),
    ),
    precisions=FLOATS,
    values={
        "compute": draw_sizes_of(18, 25),
        **{name: near(number) for name, number in FIT.items()},
    },
)
