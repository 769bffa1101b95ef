"""What is known about ppo_loss, its gradient and value_loss: laws, probes and mistakes."""

import numpy as np

from refimpl.gradients import LINEAR_IN_GRAD
from refimpl.op import Edit, Law, Op, Probe, values
from refimpl.ops.common import cosines, draw_loss_gradient, sines
from refimpl.ops.preferences import reference as text
from refimpl.ops.preferences.spec.shared import choose

TOTAL = "np.sum(np.where(keep > 0, losses, 0))"
PADDED = "https://github.com/rllm-org/rllm/pull/508"
MINIMUM = "https://github.com/leggedrobotics/rsl_rl/issues/152"
LOSSES = "np.maximum(-advantages * ratio, -advantages * clipped)"


def draw_log_probs(source, sizes):
    return -np.abs(source.normal((sizes["texts"], sizes["N"]))) * source.choice([1.0, 0.3])


def one_policy(f, log_probs, old, advantages, keep, clip):
    mean = np.sum(np.where(keep > 0, advantages, 0)) / np.sum(keep)
    yield f(old, old, advantages, keep, clip), -mean


def scaled_advantages(f, log_probs, old, advantages, keep, clip):
    yield (
        f(log_probs, old, 4 * advantages, keep, clip),
        4 * f(log_probs, old, advantages, keep, clip),
    )


def no_less_than_unclipped(f, log_probs, old, advantages, keep, clip):
    losses = np.where(keep > 0, -advantages * np.exp(log_probs - old), 0)
    plain = np.sum(losses) / np.sum(keep)
    yield np.minimum(f(log_probs, old, advantages, keep, clip) - plain, 0), 0


def what_is_not_kept(f, log_probs, old, advantages, keep, clip):
    other = np.where(keep > 0, advantages, 7)
    yield f(log_probs, old, other, keep, clip), f(log_probs, old, advantages, keep, clip)


def only_ratios(f, log_probs, old, advantages, keep, clip):
    moved = f(log_probs - 1, old - 1, advantages, keep, clip)
    yield moved, f(log_probs, old, advantages, keep, clip)


def four_words(**others):
    return {
        "log_probs": np.array([[-0.7, -0.6, -2.4, -0.1]]),
        "old": np.array([[-1.0, -0.5, -2.0, -0.1]]),
        "advantages": np.array([[-0.601922, 1.3742, 0.465638, -1.237916]]),
        "keep": np.ones((1, 4), dtype=int),
        "clip": 0.2,
        **others,
    }


def far_and_padded(**others):
    return {
        "log_probs": np.array([[-0.1, -3.0, -0.2, -1.0], [-2.0, -0.3, -1.1, -0.4]]),
        "old": np.array([[-1.0, -1.0, -2.0, -1.1], [-0.5, -1.5, -1.0, -3.0]]),
        "advantages": np.array([[1.0, 0.5, -2.0, 0.3], [1.5, -0.5, 2.0, -1.0]]),
        "keep": np.array([[1, 1, 1, 0], [1, 0, 0, 0]]),
        "clip": 0.2,
        **others,
    }


def kept_means(name, total, count):
    """Mistakes of a mean over words of the answer."""
    return (
        Edit(
            f"{name}/padding-counted",
            "divides by all words, padding included",
            f"{total} / {count}",
            f"{total} / {count.replace('np.sum(keep)', 'keep.size')}",
            effect="the step size shrinks with the padding",
            source=PADDED,
            invisible_when="every word counts",
        ),
        Edit(
            f"{name}/padding-learned",
            "includes padding in the sum",
            "np.where(keep > 0, losses, 0)",
            "losses",
            effect="the model learns from padding",
            invisible_when="every word counts",
        ),
        Edit(
            f"{name}/mean-of-means",
            "averages the means of the answers",
            f"{total} / {count}",
            "np.mean(np.sum(np.where(keep > 0, losses, 0), axis=1)"
            f" / np.maximum(keep.sum(axis=1), 1)) / {count.count('2') + 1}",
            effect="words of short answers weigh more; GRPO's first form",
            source="https://github.com/verl-project/verl/issues/593",
            invisible_when="equally many words count in each answer",
        ),
    )


LOG_PROBS = {"log_probs": draw_log_probs, "old": draw_log_probs}
PPO_LOSS = Op(
    text.ppo_loss,
    laws=(
        Law("is minus the mean advantage where both policies are equal", one_policy),
        Law("scaling the advantages scales the loss", scaled_advantages),
        Law("is never less than without clipping", no_less_than_unclipped),
        Law("values at places that do not count change nothing", what_is_not_kept),
        Law("depends on ratios of probabilities alone", only_ratios),
    ),
    probes=(
        Probe("four words", four_words),
        Probe("ratios far from one, and padding", far_and_padded),
    ),
    mistakes=(
        *kept_means("ppo_loss", TOTAL, "np.sum(keep)"),
        Edit(
            "ppo_loss/minimum",
            "takes the minimum of the two losses instead of the maximum",
            LOSSES,
            "np.minimum(-advantages * ratio, -advantages * clipped)",
            effect="a policy that moved far is pushed farther",
            source=MINIMUM,
            invisible_when="no ratio is clipped",
        ),
        Edit(
            "ppo_loss/clipped-alone",
            "always uses the clipped ratio",
            LOSSES,
            "-advantages * clipped",
            effect="a step in the wrong direction is never corrected",
            invisible_when="no ratio is clipped",
        ),
        Edit(
            "ppo_loss/sign",
            "changes the sign of the loss",
            LOSSES,
            f"-{LOSSES}",
            effect="worse words become more likely",
        ),
        Edit(
            "ppo_loss/ratio-inverted",
            "uses the ratio old/new instead of new/old",
            "log_probs - old",
            "old - log_probs",
            effect="better words become less likely",
            source="https://github.com/openai/baselines/issues/652",
            invisible_when="both policies are equal",
        ),
        Edit(
            "ppo_loss/log-ratio",
            "replaces exp(x) by 1 + x in the ratio",
            "np.exp(log_probs - old)",
            "1 + (log_probs - old)",
            effect="right only near the old policy",
            invisible_when="both policies are equal",
        ),
        Edit(
            "ppo_loss/not-clipped",
            "never clips",
            LOSSES,
            "-advantages * ratio + 0 * clipped",
            effect="the policy may move arbitrarily far",
            invisible_when="no ratio is clipped",
        ),
    ),
    values={**LOG_PROBS, "clip": choose(0.2, 0.1, 0.3)},
)


def gradient_of_one_policy(f, log_probs, old, advantages, keep, clip, grad):
    found = f(old, old, advantages, keep, clip, grad)
    yield found, -grad * keep * advantages / np.sum(keep)


def only_where_kept(f, log_probs, old, advantages, keep, clip, grad):
    found = f(log_probs, old, advantages, keep, clip, grad)
    yield np.where(keep > 0, 0, found), 0 * values(found)


def gradient_scaled(f, log_probs, old, advantages, keep, clip, grad):
    four = f(log_probs, old, 4 * advantages, keep, clip, grad)
    yield four, 4 * f(log_probs, old, advantages, keep, clip, grad)


def far_in_the_direction_that_pays(f, log_probs, old, advantages, keep, clip, grad):
    sign = np.sign(values(advantages))
    found = f(old + 3 * sign, old, advantages, keep, clip, grad)
    yield found, 0 * values(found)


def far_in_the_other_direction(f, log_probs, old, advantages, keep, clip, grad):
    sign = np.sign(values(advantages))
    found = f(old - 3 * sign, old, advantages, keep, clip, grad)
    yield found, -grad * keep * advantages * np.exp(-3 * sign + 0 * old) / np.sum(keep)


FAR = "(advantages > 0) & (ratio > 1 + clip) | (advantages < 0) & (ratio < 1 - clip)"
PPO_LOSS_VJP = Op(
    text.ppo_loss_vjp,
    laws=(
        LINEAR_IN_GRAD,
        Law("is the policy gradient where both policies are equal", gradient_of_one_policy),
        Law("is zero where nothing counts", only_where_kept),
        Law("scaling the advantages scales the gradient", gradient_scaled),
        Law("is zero far in the direction of the advantage", far_in_the_direction_that_pays),
        Law("is not clipped far in the other direction", far_in_the_other_direction),
    ),
    probes=(
        Probe("four words", lambda: four_words(grad=np.array(1.0))),
        Probe("ratios far from one, and padding", lambda: far_and_padded(grad=np.array(2.5))),
    ),
    mistakes=(
        Edit(
            "ppo_loss_vjp/both-sides-clipped",
            "has no gradient outside the clip range, whatever the sign of the advantage",
            FAR,
            "(ratio > 1 + clip) | (ratio < 1 - clip)",
            effect="a step in the wrong direction is never corrected",
            invisible_when="no ratio is clipped",
        ),
        Edit(
            "ppo_loss_vjp/not-clipped",
            "returns the gradient without clipping",
            FAR,
            "(advantages > 0) & (ratio < 0 * clip)",
            effect="the policy may move arbitrarily far",
            invisible_when="no ratio is clipped",
        ),
        Edit(
            "ppo_loss_vjp/ratio-forgotten",
            "leaves out the ratio",
            "np.where(far, 0, -advantages * ratio)",
            "np.where(far, 0, -advantages + 0 * ratio)",
            effect="samples of the old policy are not reweighted",
            invisible_when="both policies are equal",
        ),
        Edit(
            "ppo_loss_vjp/sign",
            "forgets the minus sign",
            "-advantages * ratio",
            "advantages * ratio",
            effect="worse words become more likely",
        ),
        Edit(
            "ppo_loss_vjp/padding-counted",
            "divides by all words, padding included",
            "grad / np.sum(keep) *",
            "grad / keep.size *",
            effect="the step size shrinks with the padding",
            source=PADDED,
            invisible_when="every word counts",
        ),
        Edit(
            "ppo_loss_vjp/sides-exchanged",
            "exchanges the sides that are clipped",
            FAR,
            "(advantages < 0) & (ratio > 1 + clip) | (advantages > 0) & (ratio < 1 - clip)",
            effect="the policy is pushed on where it should stop",
            source=MINIMUM,
            invisible_when="no ratio is clipped",
        ),
    ),
    outputs=("log_probs_grad",),
    values={**LOG_PROBS, "clip": choose(0.2, 0.1, 0.3), "grad": draw_loss_gradient},
)


def near_the_old(f, given, old, returns, keep, clip):
    plain = np.sum(np.where(keep > 0, (old - returns) ** 2, 0)) / (2 * np.sum(keep))
    yield f(old, old, returns, keep, clip), plain


def reached(f, given, old, returns, keep, clip):
    yield f(old, old, old, keep, clip), 0


def moved_together(f, given, old, returns, keep, clip):
    yield f(given + 2, old + 2, returns + 2, keep, clip), f(given, old, returns, keep, clip)


def mirrored(f, given, old, returns, keep, clip):
    yield f(-given, -old, -returns, keep, clip), f(given, old, returns, keep, clip)


def no_less_than_the_error(f, given, old, returns, keep, clip):
    plain = np.sum(np.where(keep > 0, (given - returns) ** 2, 0)) / (2 * np.sum(keep))
    yield np.minimum(f(given, old, returns, keep, clip) - plain, 0), 0


def value_law(sides):
    """A law whose first argument is called like the operation's."""

    def law(f, values, old, returns, keep, clip):
        yield from sides(f, values, old, returns, keep, clip)

    return law


VALUE_LOSSES = "np.maximum((values - returns) ** 2, (near - returns) ** 2)"
VALUE_LOSS = Op(
    text.value_loss,
    laws=(
        Law("is half the mean squared error at the old values", value_law(near_the_old)),
        Law("is zero where old and new values equal the returns", value_law(reached)),
        Law("a constant in all three changes nothing", value_law(moved_together)),
        Law("changing the sign of all three changes nothing", value_law(mirrored)),
        Law("is never less than half the mean squared error", value_law(no_less_than_the_error)),
    ),
    probes=(
        Probe(
            "four values",
            lambda: {
                "values": np.array([[0.7, 0.0, 0.3, 0.7]]),
                "old": np.array([[0.2, 0.1, 0.3, 0.4]]),
                "returns": np.array([[0.8448, 0.884, 1.02, 1.0]]),
                "keep": np.ones((1, 4), dtype=int),
                "clip": 0.2,
            },
        ),
        Probe(
            "values that moved far, and padding",
            lambda: {
                "values": 3 * sines(2, 4),
                "old": cosines(2, 4),
                "returns": 1 + 2 * cosines(2, 4),
                "keep": np.array([[1, 1, 1, 0], [1, 0, 0, 0]]),
                "clip": 0.2,
            },
        ),
    ),
    mistakes=(
        *kept_means("value_loss", TOTAL, "(2 * np.sum(keep))"),
        Edit(
            "value_loss/minimum",
            "takes the smaller error",
            VALUE_LOSSES,
            "np.minimum((values - returns) ** 2, (near - returns) ** 2)",
            effect="values stop learning where they moved far",
            source=MINIMUM,
            invisible_when="no value moved far",
        ),
        Edit(
            "value_loss/squared-last",
            "takes the maximum before squaring",
            VALUE_LOSSES,
            "np.maximum(values - returns, near - returns) ** 2",
            effect="where values are too low the smaller error counts",
            source="https://github.com/implementation-matters/code-for-paper/issues/1",
            invisible_when="values are too high, or none moved far",
        ),
        Edit(
            "value_loss/clipped-alone",
            "always uses the clipped values",
            VALUE_LOSSES,
            "(near - returns) ** 2",
            effect="values stop learning where they moved far",
            invisible_when="no value moved far",
        ),
        Edit(
            "value_loss/not-clipped",
            "never clips",
            VALUE_LOSSES,
            "(values - returns) ** 2 + 0 * near",
            effect="values may move arbitrarily far",
            invisible_when="no value moved far",
        ),
        Edit(
            "value_loss/clipped-around-returns",
            "clips around the returns instead of the old values",
            "old + np.minimum(np.maximum(values - old, -clip), clip)",
            "returns + np.minimum(np.maximum(values - old, -clip), clip)",
            effect="errors are at most the clip range",
            invisible_when="the old values were right",
        ),
    ),
    dialects=(
        Edit(
            "value_loss/whole",
            "leaves out the factor 1/2: some of CleanRL's scripts",
            "(2 * np.sum(keep))",
            "np.sum(keep)",
            effect="twice the loss",
        ),
    ),
    values={"clip": choose(0.2, 0.5, 1.0)},
)
