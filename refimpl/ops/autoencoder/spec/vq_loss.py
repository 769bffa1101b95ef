"""What is known about the loss of a book of codes: laws, probes, mistakes and a dialect."""

import numpy as np

from refimpl.op import Law, Op, Probe
from refimpl.ops.autoencoder import reference as text
from refimpl.ops.common import cosines, mistakes_of, sines

CODES = np.array([2, 0, 1])


def book():
    return {"z": sines(3, 2), "codebook": 2 * cosines(4, 2), "codes": CODES, "beta": 0.25}


def shared_code():
    return {"z": sines(3, 2), "codebook": cosines(2, 2), "codes": np.array([1, 1, 0]), "beta": 0.5}


def at_the_codes(f, z, codebook, codes, beta):
    yield f(codebook[codes], codebook, codes, beta), 0 * beta


def share_of_beta(f, z, codebook, codes, beta):
    yield f(z, codebook, codes, 2 * beta + 1), 2 * f(z, codebook, codes, beta)


def moved(f, z, codebook, codes, beta):
    yield f(z + 2, codebook + 2, codes, beta), f(z, codebook, codes, beta)


def squared_unit(f, z, codebook, codes, beta):
    yield f(-2 * z, -2 * codebook, codes, beta), 4 * f(z, codebook, codes, beta)


wrong = mistakes_of("vq_loss")


BOTH = "to_vectors + beta * to_vectors"

VQ_LOSS = Op(
    text.vq_loss,
    laws=(
        Law("vectors at their codes cost nothing", at_the_codes),
        Law("twice one and beta is twice the loss", share_of_beta),
        Law("moving all together changes nothing", moved),
        Law("is a square", squared_unit),
    ),
    probes=(Probe("three vectors", book), Probe("a code of two vectors", shared_code)),
    mistakes=(
        wrong(
            "sum-over-numbers",
            "adds up over the numbers of a vector",
            "np.mean(apart * apart)",
            "np.mean(np.sum(apart * apart, axis=1))",
            "too large by the width",
            "vectors have one number",
        ),
        wrong(
            "no-commitment",
            "forgets the term that holds the vectors",
            BOTH,
            "to_vectors + 0 * beta",
            "vectors wander",
            "never",
        ),
        wrong(
            "commitment-alone",
            "forgets the term of the codes",
            BOTH,
            "beta * to_vectors",
            "codes never move",
            "never",
        ),
        wrong(
            "distance-not-squared",
            "takes distances, not squares",
            "np.mean(apart * apart)",
            "np.mean(np.abs(apart))",
            "a loss of order one",
            "all distances are 0 or 1",
        ),
        wrong(
            "code-before",
            "looks up the code before",
            "codebook[codes]",
            "codebook[codes - 1]",
            "vectors are pulled to other codes",
            "there is one code",
        ),
        wrong(
            "beta-squared",
            "weighs by the square of beta",
            BOTH,
            "to_vectors + beta * beta * to_vectors",
            "vectors are hardly held",
            "beta is 1",
        ),
    ),
    values={"beta": lambda source, known: source.choice([0.25, 0.5, 2.0])},
)


def pulls_together(f, z, codebook, codes, beta):
    of_vectors, of_codes = f(z, codebook, codes, beta)
    yield np.sum(of_vectors, axis=0), -beta * np.sum(of_codes, axis=0)


def still_at_the_codes(f, z, codebook, codes, beta):
    of_vectors, of_codes = f(codebook[codes], codebook, codes, beta)
    yield of_vectors, 0 * of_vectors
    yield of_codes, 0 * of_codes


def codes_of_nobody(f, z, codebook, codes, beta):
    _, of_codes = f(z, codebook, codes, beta)
    idle = ~np.isin(np.arange(len(codebook)), codes)
    yield np.where(idle[:, None], of_codes, 0), 0 * of_codes


def beta_holds_the_vectors(f, z, codebook, codes, beta):
    once, twice = f(z, codebook, codes, beta), f(z, codebook, codes, 2 * beta)
    yield twice[0], 2 * once[0]
    yield twice[1], once[1]


wrong_gradients = mistakes_of("vq_gradients")


OF_CODES = "-2 * (chosen @ apart)"

VQ_GRADIENTS = Op(
    text.vq_gradients,
    outputs=("z_grad", "codebook_grad"),
    laws=(
        Law("vectors and codes are pulled together", pulls_together),
        Law("at the codes nothing is pulled", still_at_the_codes),
        Law("a code of nobody stays", codes_of_nobody),
        Law("beta holds the vectors alone", beta_holds_the_vectors),
    ),
    probes=(Probe("three vectors", book), Probe("a code of two vectors", shared_code)),
    mistakes=(
        wrong_gradients(
            "codes-get-none",
            "takes the loss behind the straight-through step: codes get no gradient",
            OF_CODES,
            "0 * (chosen @ apart)",
            "the book never moves",
            "vectors are at their codes",
            source="https://github.com/andylolu2/jax-vqvae-gpt/issues/2",
        ),
        wrong_gradients(
            "nothing-stopped",
            "lets the term of the codes pull the vectors, too",
            "return 2 * beta * apart",
            "return 2 * (1 + beta) * apart",
            "vectors run after codes that run after them",
            "vectors are at their codes",
        ),
        wrong_gradients(
            "beta-on-the-codes",
            "holds the codes by beta, and not the vectors",
            "return 2 * beta * apart, -2 *",
            "return 2 * apart, -2 * beta *",
            "codes come too slowly",
            "beta is 1",
        ),
        wrong_gradients(
            "averaged-by-code",
            "averages over the vectors of a code",
            OF_CODES,
            "-2 * (chosen @ apart) / np.maximum(np.sum(chosen, axis=1, keepdims=True), 1)",
            "codes of many vectors come too slowly",
            "no code has two vectors",
        ),
        wrong_gradients(
            "wrong-way",
            "pushes the codes away",
            OF_CODES,
            "2 * (chosen @ apart)",
            "codes leave their vectors",
            "vectors are at their codes",
        ),
        wrong_gradients(
            "sum-of-numbers",
            "divides by the vectors alone",
            "/ z.size",
            "/ len(z)",
            "too large by the width",
            "vectors have one number",
        ),
    ),
    values={"beta": lambda source, known: source.choice([0.25, 0.5, 2.0])},
)
