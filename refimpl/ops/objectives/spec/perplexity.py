"""What is known about perplexity: laws, probes and mistakes."""

import numpy as np

from refimpl.constants import constant
from refimpl.op import Edit, Law, Op, Probe
from refimpl.ops.common import sines
from refimpl.ops.objectives import reference as text

TOTAL = "np.sum(np.where(keep > 0, nats, 0))"
MEAN = f"{TOTAL} / np.sum(keep)"
WINDOWS = "https://github.com/huggingface/transformers/issues/34138"


def uniform(f, nats, keep):
    yield f(0 * nats + np.log(constant(50, nats)), keep), constant(50, nats)


def what_is_not_kept(f, nats, keep):
    yield f(np.where(keep > 0, nats, 9), keep), f(nats, keep)


def a_factor(f, nats, keep):
    yield f(nats + 1, keep), f(nats, keep) * np.exp(constant(1, nats))


def certain(f, nats, keep):
    yield f(0 * nats, keep), 1


def geometric_mean(f, nats, keep):
    first = np.zeros_like(keep)
    first.flat[0] = 1
    if keep.size > 1:
        every = f(nats / 8, 0 * keep + 1)
        rest = f(nats / 8, 1 - first)
        one = f(nats / 8, first)
        n = keep.size
        yield n * np.log(every), np.log(one) + (n - 1) * np.log(rest)


def drawn_nats(source, sizes):
    nats = np.abs(source.normal((sizes["texts"], sizes["N"])))
    return nats * source.choice([1.0, 5.0, 0.01])


PERPLEXITY = Op(
    text.perplexity,
    laws=(
        Law("a uniform model of fifty words has perplexity 50", uniform),
        Law("values at places that are not scored change nothing", what_is_not_kept),
        Law("one nat more multiplies it by e", a_factor),
        Law("a perfect model has perplexity 1", certain),
        Law("is a geometric mean, weighted by words", geometric_mean),
    ),
    probes=(
        Probe(
            "two texts, of which one and three words are scored",
            lambda: {
                "nats": 2 + sines(2, 4),
                "keep": np.array([[1, 0, 0, 0], [1, 1, 0, 1]]),
            },
        ),
        Probe(
            "three words of a text",
            lambda: {
                "nats": np.array([[0.753312448142, 0.478577505643, 0.305319814041]]),
                "keep": np.ones((1, 3), dtype=int),
            },
        ),
    ),
    mistakes=(
        Edit(
            "perplexity/mean-of-texts",
            "takes the exponential of the mean of the texts' means",
            MEAN,
            "np.mean(np.sum(np.where(keep > 0, nats, 0), axis=1)"
            " / np.maximum(keep.sum(axis=1), 1))",
            effect="depends on how a text is cut into windows",
            source=WINDOWS,
            invisible_when="equally many words are scored in each text",
        ),
        Edit(
            "perplexity/mean-of-perplexities",
            "averages the perplexities of the words",
            f"np.exp({MEAN})",
            "np.sum(np.where(keep > 0, np.exp(nats), 0)) / np.sum(keep)",
            effect="one unexpected word dominates",
            invisible_when="all words have the same loss",
        ),
        Edit(
            "perplexity/padding-counted",
            "divides by all words, padding included",
            MEAN,
            f"{TOTAL} / keep.size",
            effect="padding makes a model look better",
            source="https://github.com/eladhoffer/utils.pytorch/issues/4",
            invisible_when="every word is scored",
        ),
        Edit(
            "perplexity/base-two",
            "raises 2 instead of e to a loss in nats",
            f"np.exp({MEAN})",
            f"np.exp2({MEAN})",
            effect="too small: 2.7 becomes 2",
        ),
        Edit(
            "perplexity/loss",
            "returns the loss itself",
            f"np.exp({MEAN})",
            MEAN,
            effect="below 1 for a good model",
        ),
        Edit(
            "perplexity/first-word-skipped",
            "leaves out the first word of each window",
            "np.where(keep > 0, nats, 0)",
            "np.where((keep > 0) & (np.arange(keep.shape[1]) > 0), nats, 0)",
            effect="one word of each window is counted but not scored",
            source="https://github.com/huggingface/transformers/issues/30975",
            invisible_when="the first word is not scored",
        ),
        Edit(
            "perplexity/whole-text",
            "takes the exponential of the sum",
            MEAN,
            f"{TOTAL}",
            effect="the result is one over the text's probability",
            invisible_when="one word is scored",
        ),
    ),
    values={"nats": drawn_nats},
)
