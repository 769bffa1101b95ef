"""What is known about the score of an answer: laws, probes, mistakes."""

import numpy as np

from refimpl.op import Law, Op, Probe
from refimpl.ops.common import FLOATS, mistakes_of
from refimpl.ops.qformer import reference as text


def nobody(f, answers, matches):
    yield f(answers, 0 * matches), 0 * matches


def many(f, answers, matches):
    if answers >= 4:
        yield f(answers, 0 * matches + 4), 0 * matches + 1


def one_alone(f, answers, matches):
    """One person's answer counts a third, unless that person is left out."""
    yield f(answers, 0 * matches + 1), 0 * matches + (answers - 1) / (3 * (0 * matches + answers))


def not_above_training(f, answers, matches):
    found, target = f(answers, matches), np.minimum(matches / 3, 1)
    yield np.maximum(found - target, 0), 0 * matches


def apart(f, answers, matches):
    yield f(answers, matches[::-1]), f(answers, matches)[::-1]


wrong = mistakes_of("vqa_score")

VQA_SCORE = Op(
    text.vqa_score,
    laws=(
        Law("an answer that no one gave scores 0", nobody),
        Law("four are enough", many),
        Law("one match scores a third, unless it is left out", one_alone),
        Law("is at most a third per match", not_above_training),
        Law("each answer is scored by itself", apart),
    ),
    probes=(
        Probe(
            "ten people",
            lambda: {"answers": 10, "matches": np.array([0.0, 1.0, 2.0, 3.0, 4.0, 10.0])},
        ),
    ),
    mistakes=(
        wrong(
            "not-divided-by-three",
            "counts one match as full score",
            "np.minimum(matches / 3, 1)",
            "np.minimum(matches, 1)",
            "any answer given by one person scores 1",
            "no one or many gave it",
            source="https://github.com/aimbrain/vqa-project/issues/4",
        ),
        wrong(
            "hard-threshold",
            "requires three matches",
            "np.minimum(matches / 3, 1)",
            "np.minimum(np.floor(matches / 3), 1)",
            "one or two matches score 0",
            "no one or many gave it",
            source="https://github.com/avisingh599/visual-qa/issues/8",
        ),
        wrong(
            "nobody-left-out",
            "does not leave one person out at a time",
            "(matches - 1) / 3",
            "matches / 3",
            "scores up to 0.1 more, as in training targets",
            "nobody or more than three gave it",
        ),
        wrong(
            "not-capped",
            "does not cap the score at 1",
            "np.minimum(matches / 3, 1)",
            "(matches / 3)",
            "frequent answers score more than 1",
            "at most three gave it",
        ),
        wrong(
            "share",
            "returns the share of all answers",
            "(kept + left_out) / answers",
            "(0 * (kept + left_out) + matches) / answers",
            "frequent answers score too little",
            "nobody or all gave it",
        ),
    ),
    precisions=FLOATS,
    values={
        "answers": lambda source, sizes: source.choice([10, 4, 7]),
        "matches": lambda source, known: np.floor(
            source.uniform((known["B"],), 0, known["answers"] + 0.999)
        ),
    },
)
