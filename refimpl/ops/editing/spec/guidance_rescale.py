"""What is known about guidance_rescale: laws, probes and mistakes."""

import numpy as np

from refimpl.op import Law, Op, Probe
from refimpl.ops.common import cosines, mistakes_of, sines
from refimpl.ops.editing import reference as text


def squares(z):
    centred = z - np.mean(z, axis=1, keepdims=True)
    return np.sum(centred * centred, axis=1)


def nothing_of_it(f, guided, conditional, share):
    yield f(guided, conditional, 0 * share), guided


def all_of_it(f, guided, conditional, share):
    yield squares(f(guided, conditional, 0 * share + 1)), squares(conditional)


def already_there(f, guided, conditional, share):
    yield f(guided, guided[:, ::-1], share), guided


def stronger(f, guided, conditional, share):
    whole = 0 * share + 1
    yield f(4 * guided, conditional, whole), f(guided, conditional, whole)


def mean_of_the_prompt(f, guided, conditional, share):
    yield f(guided, conditional + 2, share), f(guided, conditional, share)


def apart(f, guided, conditional, share):
    yield f(guided[:1], conditional[:1], share), f(guided, conditional, share)[:1]


def drawn_uneven(source, known):
    """Predictions whose numbers are not all equal."""
    numbers = source.normal((known["B"], known["D"] + 1))
    return numbers / 16 + np.arange(known["D"] + 1)


wrong = mistakes_of("guidance_rescale")
RATIO = "np.sqrt(squares[0] / squares[1])"

GUIDANCE_RESCALE = Op(
    text.guidance_rescale,
    values={"guided": drawn_uneven},
    laws=(
        Law("a share of 0 changes nothing", nothing_of_it),
        Law("a share of 1 gives the deviation of the conditional prediction", all_of_it),
        Law("equal deviations change nothing", already_there),
        Law("with a share of 1, scaling the guided prediction changes nothing", stronger),
        Law("the mean of the conditional prediction does not matter", mean_of_the_prompt),
        Law("each sample is rescaled by itself", apart),
    ),
    probes=(
        Probe(
            "two samples",
            lambda: {
                "guided": 3 * sines(2, 5) + 1,
                "conditional": cosines(2, 5) + np.array([[2.0], [0.5]]),
                "share": 0.7,
            },
        ),
        Probe(
            "one sample, all of it",
            lambda: {"guided": 7 * cosines(1, 4), "conditional": sines(1, 4), "share": 1.0},
        ),
    ),
    mistakes=(
        wrong(
            "one-tensor",
            "computes both deviations from the same prediction",
            RATIO,
            "np.sqrt(squares[1] / squares[1])",
            "nothing is rescaled",
            "guidance left the deviation alone",
            source="https://github.com/Pur1zumu/RIFT-SVC/issues/8",
        ),
        wrong(
            "variances",
            "uses variances instead of deviations",
            RATIO,
            "squares[0] / squares[1]",
            "images lose contrast",
            "guidance left the deviation alone",
        ),
        wrong(
            "exchanged",
            "inverts the ratio of the deviations",
            RATIO,
            "np.sqrt(squares[1] / squares[0])",
            "contrast grows with the guidance",
            "guidance left the deviation alone",
        ),
        wrong(
            "not-centred",
            "uses the root mean square instead of the deviation",
            "z - np.mean(z, axis=1, keepdims=True)",
            "z",
            "the mean counts as contrast",
            "both means are 0",
        ),
        wrong(
            "over-the-batch",
            "computes one deviation for the whole batch",
            RATIO,
            "np.sqrt(np.sum(squares[0]) / np.sum(squares[1])) + 0 * squares[1]",
            "samples depend on each other",
            "there is one sample",
        ),
        wrong(
            "share-exchanged",
            "exchanges share and 1 - share",
            "share * (guided * factor) + (1 - share) * guided",
            "(1 - share) * (guided * factor) + share * guided",
            "0.3 is rescaled instead of 0.7",
            "the share is a half",
        ),
    ),
)
