"""What is known about gae and its gradient: laws, probes and mistakes."""

import numpy as np

from refimpl.gradients import LINEAR_IN_GRAD
from refimpl.op import Edit, Law, Op, Probe
from refimpl.ops.common import cosines, sines
from refimpl.ops.preferences import reference as text

SURPRISE = "rewards + going * following - values"
CARRIED = "surprise[:, n] + trace * going[:, n] * carried"
FOLLOWING = "np.concatenate((values[:, 1:], bootstrap[:, None]), axis=1)"


def draw_done(source, sizes):
    shape = sizes["B"], sizes["N"]
    return (source.uniform(shape, 0, 1) < source.choice([0.0, 0.25])).astype(np.int64)


def without_trace(f, rewards, values, bootstrap, done, discount, trace):
    following = np.concatenate((values[:, 1:], bootstrap[:, None]), axis=1)
    one_step = rewards + discount * (1 - done) * following - values
    yield f(rewards, values, bootstrap, done, discount, 0.0), one_step


def whole_returns(f, rewards, values, bootstrap, done, discount, trace):
    returns, carried = [], bootstrap
    for n in reversed(range(rewards.shape[1])):
        carried = rewards[:, n] + discount * (1 - done[:, n]) * carried
        returns.append(carried)
    whole = np.stack(returns[::-1], axis=1)
    yield f(rewards, values, bootstrap, done, discount, 1.0), whole - values


def a_constant_more(f, rewards, values, bootstrap, done, discount, trace):
    there = f(rewards, values + 2, bootstrap + 2, 0 * done, 1.0, trace)
    yield there, f(rewards, values, bootstrap, 0 * done, 1.0, trace)


def linear(f, rewards, values, bootstrap, done, discount, trace):
    twice = f(2 * rewards, 2 * values, 2 * bootstrap, done, discount, trace)
    yield twice, 2 * f(rewards, values, bootstrap, done, discount, trace)


def nothing_behind_an_end(f, rewards, values, bootstrap, done, discount, trace):
    last = np.arange(rewards.shape[1]) == rewards.shape[1] - 1
    ended = np.where(last, 1, done)
    found = f(rewards, values, bootstrap, ended, discount, trace)
    yield found, f(rewards, values, 1 - bootstrap, ended, discount, trace)


def an_episode(**others):
    return {
        "rewards": np.array([[0.0, -0.1, 0.05, 1.0]]),
        "values": np.array([[0.2, 0.1, 0.3, 0.4]]),
        "bootstrap": np.array([0.5]),
        "done": np.zeros((1, 4), dtype=int),
        "discount": 0.9,
        "trace": 0.95,
        **others,
    }


def two_episodes(**others):
    return {
        "rewards": sines(2, 5),
        "values": 1 + cosines(2, 5),
        "bootstrap": np.array([2.0, -1.0]),
        "done": np.array([[0, 1, 0, 0, 0], [0, 0, 1, 0, 1]]),
        "discount": 0.75,
        "trace": 0.5,
        **others,
    }


GAE = Op(
    text.gae,
    laws=(
        Law("with λ = 0 it is the one-step TD error", without_trace),
        Law("with λ = 1 it is the return minus the value", whole_returns),
        Law("undiscounted, a constant in all values changes nothing", a_constant_more),
        Law("is linear", linear),
        Law("what comes after the end of an episode changes nothing", nothing_behind_an_end),
    ),
    probes=(
        Probe("an episode of four words that goes on", an_episode),
        Probe("ends in the middle and at the end", two_episodes),
    ),
    mistakes=(
        Edit(
            "gae/ends-one-step-late",
            "uses the end flag of the previous step",
            "discount * (1 - done)",
            "discount * (1 - np.roll(done, 1, axis=1))",
            effect="an episode ends with the value of the next",
            source="https://github.com/DLR-RM/stable-baselines3/pull/185",
            invisible_when="no episode ends",
        ),
        Edit(
            "gae/own-value-masked",
            "masks the step's own value as well as the next",
            SURPRISE,
            "rewards + (1 - done) * (discount * following - values)",
            effect="the last step's advantage is not relative to its value",
            source="https://github.com/AI4Finance-Foundation/ElegantRL/issues/183",
            invisible_when="no episode ends",
        ),
        Edit(
            "gae/ends-ignored",
            "goes on over the end of an episode",
            "discount * (1 - done)",
            "discount * (1 - 0 * done)",
            effect="advantages leak into the previous episode",
            invisible_when="no episode ends",
        ),
        Edit(
            "gae/carried-over-ends",
            "carries advantages over ends, though not values",
            CARRIED,
            "surprise[:, n] + trace * discount * carried",
            effect="advantages leak into the previous episode",
            source="https://github.com/alessiodm/drl-zh/issues/13",
            invisible_when="no episode ends",
        ),
        Edit(
            "gae/trace-forgotten",
            "forgets the factor λ",
            CARRIED,
            "surprise[:, n] + going[:, n] * carried + 0 * trace",
            effect="the advantage is the return minus the value, with high variance",
            invisible_when="λ is 1",
        ),
        Edit(
            "gae/values-behind",
            "uses the previous value instead of the next",
            FOLLOWING,
            "np.concatenate((bootstrap[:, None], values[:, :-1]), axis=1)",
            effect="each step is credited for the step before",
            source="https://github.com/huggingface/trl/issues/44",
            invisible_when="all values are equal",
        ),
        Edit(
            "gae/no-bootstrap",
            "takes the value after the last step as zero",
            FOLLOWING,
            "np.concatenate((values[:, 1:], 0 * bootstrap[:, None]), axis=1)",
            effect="a truncated episode counts as ended",
            invisible_when="the last step ends an episode",
        ),
    ),
    values={"done": draw_done},
)


def transposed(f, done, discount, trace, grad):
    B, N = grad.shape
    rewards, values, bootstrap = sines(B, N), 1 + cosines(B, N), 2 - sines(B)
    advantages = text.gae(grad * 0 + rewards, values, bootstrap, done, discount, trace)
    told, expected, after = f(done, discount, trace, grad)
    back = np.sum(told * rewards) + np.sum(expected * values) + np.sum(after * bootstrap)
    yield np.sum(advantages * grad), back


def first_value_alone(f, done, discount, trace, grad):
    rewards_grad, values_grad, _ = f(done, discount, trace, grad)
    yield values_grad[:, 0], -rewards_grad[:, 0]


def gradient_without_trace(f, done, discount, trace, grad):
    yield f(done, discount, 0.0, grad)[0], grad


def gradient_undiscounted(f, done, discount, trace, grad):
    _, values_grad, bootstrap_grad = f(0 * done, 1.0, trace, grad)
    yield np.sum(values_grad, axis=1) + bootstrap_grad, np.zeros(len(grad))


def gradient_probe(maker, *shape):
    def probe():
        given = maker()
        left = {name: given[name] for name in ("done", "discount", "trace")}
        return {**left, "grad": 1 + sines(*shape) / 2}

    return probe


TOLD = "grad[:, n] + carried"
GAE_VJP = Op(
    text.gae_vjp,
    laws=(
        LINEAR_IN_GRAD,
        Law("is the transpose of the advantages", transposed),
        Law("the first value's gradient is minus its grad", first_value_alone),
        Law("with λ = 0 the gradient of a reward is its own grad", gradient_without_trace),
        Law(
            "undiscounted, the gradients of all values and the bootstrap sum to zero",
            gradient_undiscounted,
        ),
    ),
    probes=(
        Probe("an episode of four words that goes on", gradient_probe(an_episode, 1, 4)),
        Probe("ends in the middle and at the end", gradient_probe(two_episodes, 2, 5)),
    ),
    mistakes=(
        Edit(
            "gae_vjp/backwards",
            "runs backwards in time, as the advantages do, instead of forwards",
            "range(grad.shape[1])",
            "reversed(range(grad.shape[1]))",
            effect="earlier rewards get the gradient of later ones",
            invisible_when="there is one step",
        ),
        Edit(
            "gae_vjp/ends-ignored",
            "goes on over the end of an episode",
            "discount * (1 - done)",
            "discount * (1 - 0 * done)",
            effect="an episode learns from the next",
            invisible_when="no episode ends",
        ),
        Edit(
            "gae_vjp/value-counted-once",
            "forgets that a value is also the previous step's bootstrap",
            "before - rewards_grad",
            "-rewards_grad",
            effect="half of the values' gradient is missing",
        ),
        Edit(
            "gae_vjp/carried-without-trace",
            "forgets the factor λ",
            "trace * going[:, n] * carried",
            "going[:, n] * carried",
            effect="the gradient of λ = 1",
            invisible_when="λ is 1",
        ),
        Edit(
            "gae_vjp/bootstrap-of-the-first",
            "gives the bootstrap value the first step's gradient instead of the last's",
            "onwards[:, -1]",
            "onwards[:, 0]",
            effect="the bootstrap value gets the wrong gradient",
            invisible_when="there is one step",
        ),
        Edit(
            "gae_vjp/not-accumulated",
            "does not accumulate over the steps",
            TOLD,
            "grad[:, n] + 0 * carried",
            effect="the gradient of λ = 0",
            invisible_when="λ is 0",
        ),
    ),
    outputs=("rewards_grad", "values_grad", "bootstrap_grad"),
    values={"done": draw_done},
)
