"""What is known about plms_eps: laws, probes and mistakes."""

from functools import partial

import numpy as np

from refimpl.op import Edit, Law, Op, Probe
from refimpl.ops.common import sines
from refimpl.ops.samplers import reference as text


def constant(f, history):
    one = history[:1]
    yield f(np.concatenate([one] * len(history))), one[0]


def polynomial(f, history):
    """Times 0, -1, -2, …: the mean of a power over the next step is known."""
    K = len(history)
    for power in range(1, K):
        values = [(-1.0 * k) ** power * history[0] for k in range(K)]
        yield f(np.stack(values)), history[0] / (power + 1)


def homogeneous(f, history):
    yield f(-2 * history), -2 * f(history)


def additive(f, history):
    newest = np.concatenate((history[:1], 0 * history[1:]))
    older = np.concatenate((0 * history[:1], history[1:]))
    yield f(history), f(newest) + f(older)


def sample_by_sample(f, history):
    yield f(history[:, ::-1]), f(history)[::-1]


def predictions(K):
    return {"history": 0.125 + sines(K, 1, 4)}


def draw_history(source, sizes):
    return source.normal((1 + sizes["K"] % 4, sizes["B"], sizes["..."]))


PLMS_EPS = Op(
    text.plms_eps,
    laws=(
        Law("equal predictions are returned unchanged", constant),
        Law("is exact for polynomials in time", polynomial),
        Law("is odd and homogeneous", homogeneous),
        Law("is additive in the predictions", additive),
        Law("each sample is treated by itself", sample_by_sample),
    ),
    probes=tuple(Probe(f"{K} predictions", partial(predictions, K)) for K in (1, 2, 3, 4)),
    mistakes=(
        Edit(
            "plms_eps/oldest-first",
            "reads the history in the opposite order",
            "each * history",
            "each * history[::-1]",
            effect="extrapolates into the past",
            invisible_when="all predictions are equal, or there is one",
        ),
        Edit(
            "plms_eps/one-weight-wrong",
            "has 51 instead of 59 in the fourth-order weights",
            "-59",
            "-51",
            effect="the weights do not sum to one",
            invisible_when="fewer than four predictions",
        ),
        Edit(
            "plms_eps/third-order-divisor",
            "divides the third-order sum by 24 instead of 12",
            "(12, 23",
            "(24, 23",
            effect="half the noise at the third step",
            invisible_when="other numbers of predictions",
        ),
        Edit(
            "plms_eps/no-warm-up-of-third-order",
            "uses second order for three predictions",
            "(12, 23, -16, 5)",
            "(2, 3, -1, 0)",
            effect="less accurate at the third step",
            invisible_when="other numbers of predictions",
        ),
        Edit(
            "plms_eps/moulton",
            "uses the Adams-Moulton weights instead of Adams-Bashforth",
            "(24, 55, -59, 37, -9)",
            "(24, 9, 19, -5, 1)",
            effect="the prediction lags a step behind",
            invisible_when="fewer than four predictions, or all equal",
        ),
        Edit(
            "plms_eps/second-order-sum",
            "adds the second prediction instead of subtracting it",
            "(2, 3, -1)",
            "(4, 3, 1)",
            effect="interpolates instead of extrapolating",
            invisible_when="both predictions are equal",
        ),
        Edit(
            "plms_eps/not-divided",
            "forgets the divisor",
            "axis=0) / divisor",
            "axis=0)",
            effect="the noise is many times too large",
            invisible_when="there is one prediction",
        ),
    ),
    values={"history": draw_history},
)
