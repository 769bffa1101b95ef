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
        Law("vectors equal to their codes have loss zero", at_the_codes),
        Law("doubling 1 + beta doubles the loss", share_of_beta),
        Law("shifting vectors and codes together changes nothing", moved),
        Law("scaling vectors and codes by -2 gives four times the loss", squared_unit),
    ),
    probes=(Probe("three vectors", book), Probe("a code of two vectors", shared_code)),
    mistakes=(
        wrong(
            "sum-over-numbers",
            "sums over the components of a vector instead of averaging",
            "np.mean(apart * apart)",
            "np.mean(np.sum(apart * apart, axis=1))",
            "too large by the width",
            "vectors have one number",
        ),
        wrong(
            "no-commitment",
            "forgets the commitment term",
            BOTH,
            "to_vectors + 0 * beta",
            "encoder outputs drift away from their codes",
            "never",
        ),
        wrong(
            "commitment-alone",
            "forgets the codebook term",
            BOTH,
            "beta * to_vectors",
            "codes never move",
            "never",
        ),
        wrong(
            "distance-not-squared",
            "takes absolute differences instead of squares",
            "np.mean(apart * apart)",
            "np.mean(np.abs(apart))",
            "an L1 loss",
            "all distances are 0 or 1",
        ),
        wrong(
            "code-before",
            "looks up the code with index one too small",
            "codebook[codes]",
            "codebook[codes - 1]",
            "vectors are pulled towards other codes",
            "there is one code",
        ),
        wrong(
            "beta-squared",
            "weighs the commitment term by beta squared",
            BOTH,
            "to_vectors + beta * beta * to_vectors",
            "the commitment term is too weak",
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
        Law("the gradients of vectors and codes cancel but for beta", pulls_together),
        Law("at the codes both gradients are zero", still_at_the_codes),
        Law("a code without vectors has gradient zero", codes_of_nobody),
        Law("beta scales the gradient of the vectors alone", beta_holds_the_vectors),
    ),
    probes=(Probe("three vectors", book), Probe("a code of two vectors", shared_code)),
    mistakes=(
        wrong_gradients(
            "codes-get-none",
            "computes the loss after the straight-through step, so that codes get no gradient",
            OF_CODES,
            "0 * (chosen @ apart)",
            "the codebook never changes",
            "vectors are at their codes",
            source="https://github.com/andylolu2/jax-vqvae-gpt/issues/2",
        ),
        wrong_gradients(
            "nothing-stopped",
            "omits the stop-gradient, so that the codebook term moves the vectors, too",
            "return 2 * beta * apart",
            "return 2 * (1 + beta) * apart",
            "vectors and codes chase each other",
            "vectors are at their codes",
        ),
        wrong_gradients(
            "beta-on-the-codes",
            "multiplies the codes' gradient by beta instead of the vectors'",
            "return 2 * beta * apart, -2 *",
            "return 2 * apart, -2 * beta *",
            "codes move too slowly",
            "beta is 1",
        ),
        wrong_gradients(
            "averaged-by-code",
            "averages instead of summing over the vectors of a code",
            OF_CODES,
            "-2 * (chosen @ apart) / np.maximum(np.sum(chosen, axis=1, keepdims=True), 1)",
            "codes with many vectors move too slowly",
            "no code has two vectors",
        ),
        wrong_gradients(
            "wrong-way",
            "changes the sign of the codes' gradient",
            OF_CODES,
            "2 * (chosen @ apart)",
            "codes move away from their vectors",
            "vectors are at their codes",
        ),
        wrong_gradients(
            "sum-of-numbers",
            "divides by the number of vectors alone",
            "/ z.size",
            "/ len(z)",
            "too large by the width",
            "vectors have one number",
        ),
    ),
    values={"beta": lambda source, known: source.choice([0.25, 0.5, 2.0])},
)
