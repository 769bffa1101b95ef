"""What is known about codes: nearest ones and soft ones."""

import numpy as np

from refimpl.op import Law, Op, Probe, values
from refimpl.ops.autoencoder import reference as text
from refimpl.ops.common import cosines, mistakes_of, sines


def itself(f, z, codebook):
    found = np.asarray(values(f(codebook, codebook)), dtype=int)
    yield np.sum((codebook - codebook[found]) ** 2, axis=1), 0 * codebook[:, 0]


def one_code(f, z, codebook):
    yield f(z, codebook[:1]), np.zeros(len(z))


def nobody_nearer(f, z, codebook):
    found = np.asarray(values(f(z, codebook)), dtype=int)
    to_chosen = np.sum((z - codebook[found]) ** 2, axis=1)
    for k in range(len(codebook)):
        other = np.sum((z - codebook[k]) ** 2, axis=1)
        yield np.maximum(to_chosen - other, 0), 0 * to_chosen


def vectors_apart(f, z, codebook):
    yield f(z[:1], codebook), f(z, codebook)[:1]


wrong = mistakes_of("nearest_code")


NEAREST = "np.argmin(np.sum(apart * apart, axis=-1), axis=-1)"

NEAREST_CODE = Op(
    text.nearest_code,
    outputs=("codes",),
    laws=(
        Law("the nearest code of a code is itself", itself),
        Law("with one code that code is chosen", one_code),
        Law("no code is nearer", nobody_nearer),
        Law("each vector is treated by itself", vectors_apart),
    ),
    probes=(
        Probe("three vectors, four codes", lambda: {"z": sines(3, 2), "codebook": cosines(4, 2)}),
        Probe(
            "long and short codes",
            lambda: {
                "z": np.array([[1.0, 1.0], [0.125, 0.0], [-2.0, 0.5]]),
                "codebook": np.array([[4.0, 4.0], [1.0, 0.5], [0.0, 0.125], [-3.0, 0.0]]),
            },
        ),
    ),
    mistakes=(
        wrong(
            "farthest",
            "takes the farthest code",
            "np.argmin(",
            "np.argmax(",
            "the decoder draws something else",
            "there is one code",
        ),
        wrong(
            "most-alike",
            "takes the code with the largest inner product",
            NEAREST,
            "np.argmax(z @ codebook.T, axis=-1) + 0 * np.argmin(np.sum(apart, axis=-1), axis=-1)",
            "long codes win",
            "all codes have one length",
            source="https://github.com/lucidrains/vector-quantize-pytorch/issues/197",
        ),
        wrong(
            "length-of-codes-forgotten",
            "drops ||e||² from the expanded square",
            NEAREST,
            "np.argmin(np.sum(apart * apart, axis=-1) - np.sum(codebook * codebook, axis=-1), "
            "axis=-1)",
            "long codes win",
            "all codes have one length",
        ),
        wrong(
            "not-squared",
            "sums signed differences instead of squares",
            "np.sum(apart * apart, axis=-1)",
            "np.sum(apart, axis=-1)",
            "large codes win",
            "there is one code",
        ),
        wrong(
            "first-number-alone",
            "compares the first component only",
            "np.sum(apart * apart, axis=-1)",
            "np.abs(apart[..., 0])",
            "the code may differ in all other components",
            "vectors have one number",
        ),
    ),
)


def adds_to_one(f, logits, uniforms, temperature):
    total = np.sum(f(logits, uniforms, temperature), axis=-1)
    yield total, 0 * total + 1


def shift(f, logits, uniforms, temperature):
    yield f(logits + 4, uniforms, temperature), f(logits, uniforms, temperature)


def even_noise(f, logits, uniforms, temperature):
    found = f(logits, 0 * uniforms + 0.5, temperature)
    yield found, text.softmax(logits / temperature)


def unit(f, logits, uniforms, temperature):
    alike = 0 * uniforms + 0.25
    yield f(4 * logits, alike, 4 * temperature), f(logits, alike, temperature)


def turned(f, logits, uniforms, temperature):
    found = f(logits[..., ::-1], uniforms[..., ::-1], temperature)
    yield found, f(logits, uniforms, temperature)[..., ::-1]


wrong_soft = mistakes_of("gumbel_softmax")


NOISE = "-np.log(-np.log(uniforms))"
UNIFORMS = np.array([[0.25, 0.5, 0.75, 0.875]])

GUMBEL_SOFTMAX = Op(
    text.gumbel_softmax,
    laws=(
        Law("rows sum to one", adds_to_one),
        Law("a constant added to the logits changes nothing", shift),
        Law("with equal uniforms it is the softmax at that temperature", even_noise),
        Law("with equal uniforms, scaling logits and temperature together changes nothing", unit),
        Law("permuting the codes permutes the result", turned),
    ),
    probes=(
        Probe(
            "warm",
            lambda: {"logits": sines(1, 4), "uniforms": UNIFORMS, "temperature": 1.0},
        ),
        Probe(
            "cold",
            lambda: {"logits": sines(1, 4), "uniforms": UNIFORMS, "temperature": 0.5},
        ),
    ),
    mistakes=(
        wrong_soft(
            "noise-not-divided",
            "divides the logits but not the noise by the temperature",
            "(logits + gumbel) / temperature",
            "logits / temperature + gumbel",
            "too little noise at low temperature",
            "the temperature is 1",
        ),
        wrong_soft(
            "noise-subtracted",
            "subtracts the noise",
            "logits + gumbel",
            "logits - gumbel",
            "samples from another distribution",
            "all uniforms are equal",
        ),
        wrong_soft(
            "one-logarithm",
            "takes the logarithm once instead of twice",
            NOISE,
            "-np.log(uniforms)",
            "exponential noise instead of Gumbel noise",
            "all uniforms are equal",
        ),
        wrong_soft(
            "temperature-as-guard",
            "adds the temperature inside the logarithm",
            NOISE,
            "-np.log(temperature - np.log(uniforms))",
            "the noise depends on the temperature",
            "all uniforms are equal",
            source="https://github.com/nec-research/tf-imle/issues/1",
        ),
        wrong_soft(
            "multiplied",
            "multiplies by the temperature",
            "(logits + gumbel) / temperature",
            "(logits + gumbel) * temperature",
            "a low temperature acts as a high one",
            "the temperature is 1",
        ),
        wrong_soft(
            "no-noise",
            "forgets the noise",
            "logits + gumbel",
            "logits + 0 * gumbel",
            "the same code is chosen every time",
            "all uniforms are equal",
        ),
    ),
    values={"temperature": lambda source, known: source.choice([1.0, 0.5, 2.0])},
)
