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
        Law("is a straight line of logarithms", straight_line),
        Law("depends on the quotient alone", only_the_quotient),
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
            "takes the exponent of words for parameters",
            "sizes, exponent)",
            "sizes, exponent * 1.25)",
            effect="the loss falls too fast",
        ),
        Edit(
            "power_law_loss/log-linear",
            "is linear in the logarithm of the size",
            "np.power(scale / sizes, exponent)",
            "1 + exponent * np.log(scale / sizes)",
            effect="right near its scale alone; straight on the wrong axes",
            invisible_when="the size is near its scale",
        ),
        Edit(
            "power_law_loss/base-ten",
            "multiplies a logarithm to base ten and takes e to its power",
            "np.power(scale / sizes, exponent)",
            "np.exp(exponent * np.log10(scale / sizes))",
            effect="losses are much too low",
        ),
        Edit(
            "power_law_loss/with-tables",
            "counts tables of words among the parameters",
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
        Law("the shortfalls are proportional to their constants", endless_size),
        Law("size and words fall short each by themselves", apart),
        Law("words and parameters may change places with their constants", words_and_parameters),
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
            effect="size counts too much",
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
            "forgets what no model can tell",
            "entropy + width",
            "0 * entropy + width",
            effect="losses fall to zero",
        ),
        Edit(
            "chinchilla_loss/multiplied",
            "multiplies the shortfalls",
            "+ length / tokens**beta",
            "* length / tokens**beta",
            effect="either size or words alone suffice",
        ),
        Edit(
            "chinchilla_loss/one-shortfall",
            "adds both quantities before the power, as though one replaced the other",
            "width / parameters**alpha + length / tokens**beta",
            "width / (parameters + tokens)**alpha + length / (parameters + tokens)**beta",
            effect="words make up for size",
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
        Law("spends all computing", computing_is_spent),
        Law("a per cent of size and one of words are worth the same", slopes_agree),
        Law("words and parameters may change places with their constants", roles_exchanged),
        Law("both grow as powers of the computing", grows_as_a_power),
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
            "lets the size grow with the exponent of the words",
            "pairs ** (beta / (alpha + beta))",
            "pairs ** (alpha / (alpha + beta))",
            effect="words for each parameter drift the wrong way",
            invisible_when="the exponents are equal",
        ),
        Edit(
            "chinchilla_optimum/roots",
            "takes the root of the computing for both",
            "balance * pairs ** (beta / (alpha + beta))",
            "pairs ** 0.5",
            effect="as many words as parameters",
            source=EQUAL,
        ),
        Edit(
            "chinchilla_optimum/six-forgotten",
            "forgets the six operations of a parameter and a word",
            "pairs = compute / 6",
            "pairs = compute",
            effect="plans for six times the computing there is",
        ),
        Edit(
            "chinchilla_optimum/balance-inverted",
            "inverts the balance of the two shortfalls",
            "(alpha * width / (beta * length))",
            "(beta * length / (alpha * width))",
            effect="too many words, too few parameters",
            invisible_when="both fall short alike",
        ),
        Edit(
            "chinchilla_optimum/balance-without-exponents",
            "forgets the exponents in the balance",
            "(alpha * width / (beta * length))",
            "(width / length)",
            effect="not where the slopes agree",
            invisible_when="the exponents are equal",
        ),
        Edit(
            "chinchilla_optimum/twenty",
            "takes twenty words for each parameter",
            "return parameters, pairs ** (alpha / (alpha + beta)) / balance",
            "return parameters, 20 * parameters",
            effect="spends another amount than there is",
            source=EQUAL,
        ),
    ),
    precisions=FLOATS,
    values={
        "compute": draw_sizes_of(18, 25),
        **{name: near(number) for name, number in FIT.items()},
    },
)
