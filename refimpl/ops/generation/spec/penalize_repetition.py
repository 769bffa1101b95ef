"""What is known about penalize_repetition: laws, probes and mistakes."""

import numpy as np

from refimpl.op import Edit, Law, Op, Probe
from refimpl.ops.common import sines
from refimpl.ops.generation import reference as text

SPLIT = "np.where(logits > 0, logits / penalty, logits * penalty)"
CHOSEN = "np.where(seen > 0, penalized, logits)"
OFTEN = "https://github.com/ohdearquant/lattice/issues/312"


def without(f, logits, seen, penalty):
    yield f(logits, seen, 1.0), logits


def unseen(f, logits, seen, penalty):
    yield f(logits, 0 * seen, penalty), logits


def never_more(f, logits, seen, penalty):
    yield np.maximum(f(logits, seen, 2.0) - logits, 0), 0 * logits


def one_penalty_after_another(f, logits, seen, penalty):
    yield f(f(logits, seen, 2.0), seen, penalty), f(logits, seen, 2 * penalty)


def zero_stays(f, logits, seen, penalty):
    yield f(0 * logits, seen, penalty), 0 * logits


PENALIZE_REPETITION = Op(
    text.penalize_repetition,
    laws=(
        Law("a penalty of one changes nothing", without),
        Law("words that were not seen stay", unseen),
        Law("a penalty above one makes no word likelier", never_more),
        Law("one penalty after another multiplies them", one_penalty_after_another),
        Law("a logit of zero stays", zero_stays),
    ),
    probes=(
        Probe(
            "logits of both signs, half of them seen",
            lambda: {
                "logits": 3 * sines(2, 6),
                "seen": np.array([[1, 0, 1, 1, 0, 1], [0, 1, 1, 0, 1, 1]]),
                "penalty": 1.25,
            },
        ),
    ),
    mistakes=(
        Edit(
            "penalize_repetition/always-divided",
            "divides negative logits as well as positive ones",
            SPLIT,
            "logits / penalty",
            effect="unlikely words that were seen become likelier",
            invisible_when="all logits are positive",
        ),
        Edit(
            "penalize_repetition/inverted",
            "multiplies positive logits and divides negative ones",
            SPLIT,
            "np.where(logits > 0, logits * penalty, logits / penalty)",
            effect="the model repeats itself",
            invisible_when="the penalty is 1",
        ),
        Edit(
            "penalize_repetition/all-words",
            "penalises every word",
            CHOSEN,
            "penalized + 0 * seen",
            effect="a flatter distribution that repeats as before",
            invisible_when="all words were seen",
        ),
        Edit(
            "penalize_repetition/twice",
            "applies the penalty once for each time a word occurs, here twice",
            SPLIT,
            "np.where(logits > 0, logits / penalty / penalty, logits * penalty * penalty)",
            effect="frequent words disappear",
            source=OFTEN,
            invisible_when="words occur once",
        ),
        Edit(
            "penalize_repetition/subtracted",
            "subtracts the penalty",
            SPLIT,
            "logits - penalty",
            effect="a presence penalty, on another scale",
        ),
        Edit(
            "penalize_repetition/unseen",
            "penalises the words that were not seen",
            "seen > 0",
            "seen == 0",
            effect="the model repeats itself",
        ),
    ),
    values={"penalty": lambda source, sizes: source.choice([1.2, 1.1, 2.0, 0.75])},
)
