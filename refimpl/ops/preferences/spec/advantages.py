"""What is known about whiten and group_advantage: laws, probes, mistakes and dialects."""

import numpy as np

from refimpl.op import Edit, Law, Op, Probe, values
from refimpl.ops.common import sines
from refimpl.ops.preferences import reference as text
from refimpl.ops.preferences.spec.shared import choose

WHITE = "apart / np.sqrt(variance + eps)"
PADDED = "https://github.com/areal-project/AReaL/pull/1346"


def mean_is_zero(f, x, keep, eps):
    yield np.sum(f(x, keep, eps)), 0


def what_is_not_kept(f, x, keep, eps):
    yield f(np.where(keep > 0, x, 10), keep, eps), f(x, keep, eps)


def hidden_is_zero(f, x, keep, eps):
    yield np.where(keep > 0, 0, f(x, keep, eps)), 0 * values(x)


def a_constant_more(f, x, keep, eps):
    yield f(x + 2, keep, eps), f(x, keep, eps)


def opposite(f, x, keep, eps):
    yield f(-x, keep, eps), -f(x, keep, eps)


def scaled(f, x, keep, eps):
    yield f(4 * x, keep, 16 * eps), f(x, keep, eps)


WHITEN = Op(
    text.whiten,
    laws=(
        Law("the mean over the words that count is zero", mean_is_zero),
        Law("values at places that do not count change nothing", what_is_not_kept),
        Law("is zero where nothing counts", hidden_is_zero),
        Law("adding a constant changes nothing", a_constant_more),
        Law("changes sign with its argument", opposite),
        Law("scaling the input is the same as scaling eps down", scaled),
    ),
    probes=(
        Probe(
            "four advantages",
            lambda: {
                "x": np.array([[0.6448, 0.784, 0.72, 0.6]]),
                "keep": np.ones((1, 4), dtype=int),
                "eps": 1e-8,
            },
        ),
        Probe(
            "two texts, of which one and three words count",
            lambda: {
                "x": 2 + sines(2, 4),
                "keep": np.array([[0, 1, 0, 0], [1, 0, 1, 1]]),
                "eps": 1e-5,
            },
        ),
    ),
    mistakes=(
        Edit(
            "whiten/padding-counted",
            "includes padding in mean and variance",
            "np.sum(np.where(keep > 0, x, 0)) / count",
            "np.mean(x)",
            effect="advantages depend on what padding holds",
            source=PADDED,
            invisible_when="every word counts",
        ),
        Edit(
            "whiten/divided-by-all",
            "divides by all words, padding included",
            "count = np.sum(keep)",
            "count = keep.size",
            effect="mean and variance are too small",
            source=PADDED,
            invisible_when="every word counts",
        ),
        Edit(
            "whiten/by-the-variance",
            "divides by the variance instead of its root",
            WHITE,
            "apart / (variance + eps)",
            effect="small advantages become large",
            invisible_when="the variance is one",
        ),
        Edit(
            "whiten/not-centred",
            "divides by the deviation and keeps the mean",
            WHITE,
            "np.where(keep > 0, x, 0) / np.sqrt(variance + eps)",
            effect="all words may be pushed in the same direction",
            invisible_when="the mean is zero",
        ),
        Edit(
            "whiten/root-mean-square",
            "divides by the root of the mean square",
            WHITE,
            "apart / np.sqrt(variance + mean * mean + eps)",
            effect="advantages are too small where their mean is not zero",
            invisible_when="the mean is zero",
        ),
        Edit(
            "whiten/each-text",
            "whitens each text by itself",
            "apart * apart) / count",
            "apart * apart, axis=1, keepdims=True) / np.maximum("
            "keep.sum(axis=1, keepdims=True), 1)",
            effect="differences between texts are lost",
            invisible_when="there is one text",
        ),
    ),
    dialects=(
        Edit(
            "whiten/unbiased",
            "divides by one fewer than the words that count: trl, trlx, verl",
            "np.sum(apart * apart) / count",
            "np.sum(apart * apart) / np.maximum(count - 1, 1)",
            effect="smaller advantages in small batches",
        ),
        Edit(
            "whiten/mean-kept",
            "adds the mean back: usual for rewards, and in torchtune 0.6 for advantages",
            WHITE,
            "np.where(keep > 0, apart / np.sqrt(variance + eps) + mean, 0)",
            effect="the mean stays",
            invisible_when="the mean is zero",
        ),
        Edit(
            "whiten/mean-alone",
            "subtracts the mean and does not divide: Dr. GRPO",
            WHITE,
            "apart + 0 * eps",
            effect="the scale stays",
            invisible_when="the variance is one",
        ),
    ),
    values={"eps": choose(1e-8, 1e-5, 1e-3)},
)


def group_sums(f, rewards, eps):
    yield np.sum(f(rewards, eps), axis=-1), np.zeros(len(rewards))


def group_constant(f, rewards, eps):
    more = np.arange(len(rewards))[:, None]
    yield f(rewards + more, eps), f(rewards, eps)


def group_order(f, rewards, eps):
    yield f(rewards[:, ::-1], eps), f(rewards, eps)[:, ::-1]


def group_by_group(f, rewards, eps):
    yield f(rewards[::-1], eps), f(rewards, eps)[::-1]


def group_scaled(f, rewards, eps):
    yield f(4 * rewards, 4 * eps), f(rewards, eps)


SHARED = "apart / (np.sqrt(variance) + eps)"
GROUP_ADVANTAGE = Op(
    text.group_advantage,
    laws=(
        Law("the advantages of a question add up to zero", group_sums),
        Law("adding a constant to all rewards changes nothing", group_constant),
        Law("the order of the answers does not matter", group_order),
        Law("each question is treated by itself", group_by_group),
        Law("scaling the input is the same as scaling eps down", group_scaled),
    ),
    probes=(
        Probe(
            "right and wrong answers",
            lambda: {
                "rewards": np.array([[1.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 1.0]]),
                "eps": 1e-4,
            },
        ),
        Probe(
            "three answers to two questions",
            lambda: {"rewards": 2 + sines(2, 3), "eps": 1e-4},
        ),
    ),
    mistakes=(
        Edit(
            "group_advantage/over-the-batch",
            "compares with the answers to all questions",
            "np.mean(rewards, axis=-1, keepdims=True)",
            "np.mean(rewards)",
            effect="every answer to an easy question gets a positive advantage",
            invisible_when="there is one question",
        ),
        Edit(
            "group_advantage/by-the-variance",
            "divides by the variance instead of its root",
            SHARED,
            "apart / (variance + eps)",
            effect="answers that hardly differ are pushed far apart",
            invisible_when="the variance is one",
        ),
        Edit(
            "group_advantage/questions-for-answers",
            "averages over the questions instead of the answers",
            "np.mean(rewards, axis=-1, keepdims=True)",
            "np.mean(rewards, axis=0, keepdims=True)",
            effect="answers are compared with those to other questions",
        ),
        Edit(
            "group_advantage/not-centred",
            "does not subtract the mean",
            SHARED,
            "rewards / (np.sqrt(variance) + eps)",
            effect="all answers get a positive advantage if rewards are positive",
            invisible_when="the mean is zero",
        ),
        Edit(
            "group_advantage/sign",
            "subtracts the reward from the mean",
            SHARED,
            f"-{SHARED}",
            effect="worse answers get a positive advantage",
        ),
        Edit(
            "group_advantage/best-of",
            "compares with the best answer",
            "np.mean(rewards, axis=-1, keepdims=True)",
            "np.max(rewards, axis=-1, keepdims=True)",
            effect="no answer gets a positive advantage",
        ),
    ),
    dialects=(
        Edit(
            "group_advantage/biased",
            "divides by the number of answers: NumPy's deviation",
            "(rewards.shape[-1] - 1)",
            "rewards.shape[-1]",
            effect="larger advantages in small groups",
        ),
        Edit(
            "group_advantage/mean-alone",
            "does not divide by the deviation: Dr. GRPO",
            SHARED,
            "apart + 0 * eps",
            effect="nearly solved questions weigh less",
            invisible_when="the variance is one",
        ),
        Edit(
            "group_advantage/leave-one-out",
            "compares with the mean of the other answers: RLOO",
            SHARED,
            "apart * rewards.shape[-1] / (rewards.shape[-1] - 1) + 0 * eps",
            effect="larger advantages, not divided by the deviation",
        ),
    ),
    values={"eps": choose(1e-4, 1e-6, 1e-3)},
)
