"""What is known about the order of windows and about undoing it: laws, probes, mistakes."""

import numpy as np

from refimpl.op import Law, Op, Probe
from refimpl.ops.common import FLOATS, mistakes_of, whole
from refimpl.ops.qwen import reference as text


def each_once(f, frames, rows, cols, window):
    order, lengths = f(frames, rows, cols, window)
    yield np.sort(whole(order)), np.arange(frames * rows * cols)
    yield np.sum(whole(lengths)), frames * rows * cols


def one_window(f, frames, rows, cols, window):
    order, lengths = f(frames, rows, cols, max(rows, cols))
    yield order, np.arange(frames * rows * cols)
    yield lengths, np.full(frames, rows * cols)


def same_window(f, frames, rows, cols, window):
    order, lengths = map(whole, f(frames, rows, cols, window))
    place = np.stack(np.unravel_index(order, (frames, rows, cols)))
    name = place // np.array([[1], [window], [window]])
    first = np.repeat(np.cumsum(lengths) - lengths, lengths)
    yield name, name[:, first]


def frames_apart(f, frames, rows, cols, window):
    order, lengths = f(frames, rows, cols, window)
    alone, few = map(whole, f(1, rows, cols, window))
    yield order[: rows * cols], alone
    yield lengths[: len(few)], few
    yield order[-rows * cols :], alone + (frames - 1) * rows * cols


wrong = mistakes_of("window_order")


def grid(frames, rows, cols, window):
    return lambda: {"frames": frames, "rows": rows, "cols": cols, "window": window}


WINDOW_ORDER = Op(
    text.window_order,
    outputs=("order", "lengths"),
    laws=(
        Law("every token occurs once", each_once),
        Law("with a window of a whole frame it is the reading order", one_window),
        Law("each window holds the tokens of its rows and columns", same_window),
        Law("each frame is ordered by itself", frames_apart),
    ),
    probes=(
        Probe("windows that do not tile", grid(1, 3, 5, 2)),
        Probe("three frames", grid(3, 2, 3, 2)),
        Probe("windows that tile", grid(1, 4, 6, 2)),
    ),
    mistakes=(
        wrong(
            "windows-by-column",
            "orders the windows column by column",
            "for r in range(0, rows, window)\n        for c in range(0, cols, window)",
            "for c in range(0, cols, window)\n        for r in range(0, rows, window)",
            "none if all windows have the same size; otherwise attention is split at wrong places",
            "there is one row or one column of windows",
        ),
        wrong(
            "tokens-by-column",
            "orders the tokens of a window column by column",
            "c : c + window], -1)",
            "c : c + window].T, -1)",
            "tokens are permuted unless the inverse does the same",
            "windows have one row or one column",
        ),
        wrong(
            "lengths-of-full-windows",
            "takes every window to be full",
            "np.array([len(places) for places in windows])",
            "np.array([window * window for places in windows])",
            "windows overlap their neighbours",
            "windows tile the frame",
            source="https://github.com/vllm-project/vllm/pull/15200",
        ),
        wrong(
            "cut-off-lost",
            "drops tokens that do not fill a window",
            "range(0, cols, window)",
            "range(0, cols - cols % window, window)",
            "the right and lower edges are lost",
            "windows tile the frame",
        ),
        wrong(
            "rows-for-columns",
            "exchanges the numbers of rows and columns",
            "reshape(frames, rows, cols)",
            "reshape(frames, cols, rows)",
            "windows are taken apart",
            "the frame is square",
        ),
        wrong(
            "frames-not-separated",
            "joins the windows of all frames",
            "np.array([len(places) for places in windows])",
            "np.array([len(places) for places in windows]).reshape(frames, -1).sum(axis=0)",
            "tokens attend to other frames",
            "there is one frame",
            source="https://github.com/sgl-project/sglang/pull/12261",
        ),
    ),
    precisions=FLOATS,
    values={"window": lambda source, sizes: source.choice([2, 3, 1, 4])},
)


def undone(f, order):
    inverse = whole(f(order))
    yield order[inverse], np.arange(len(order))
    yield inverse[order], np.arange(len(order))


def undone_twice(f, order):
    yield f(whole(f(order))), order


def of_the_identity(f, order):
    yield f(np.arange(len(order))), np.arange(len(order))


def of_a_product(f, order):
    yield f(order[order]), whole(f(order))[whole(f(order))]


def turned_around(f, order):
    yield f(order[::-1]), len(order) - 1 - f(order)


wrong_inverse = mistakes_of("inverse_order")


INVERSE_ORDER = Op(
    text.inverse_order,
    outputs=("inverse",),
    laws=(
        Law("composed with the order it is the identity, on both sides", undone),
        Law("the inverse of the inverse is the order", undone_twice),
        Law("the inverse of the identity is the identity", of_the_identity),
        Law("applying the inverse twice undoes applying the order twice", of_a_product),
        Law("the inverse of a reversed order counts from the end", turned_around),
    ),
    probes=(
        Probe(
            "windows of two in a frame of three by five",
            lambda: {"order": np.array([0, 1, 5, 6, 2, 3, 7, 8, 4, 9, 10, 11, 12, 13, 14])},
        ),
        Probe("a turn of three", lambda: {"order": np.array([2, 0, 1])}),
    ),
    mistakes=(
        wrong_inverse(
            "order-again",
            "returns the order itself",
            "np.argsort(order)",
            "order",
            "tokens are permuted",
            "the order is its own inverse, as for two windows that tile",
            source="https://github.com/lablup/mlxcel/pull/1601",
        ),
        wrong_inverse(
            "not-undone",
            "returns the identity",
            "np.argsort(order)",
            "np.arange(len(order))",
            "tokens are permuted",
            "nothing was moved",
        ),
        wrong_inverse(
            "sorted",
            "sorts the indices instead of inverting them",
            "np.argsort(order)",
            "np.sort(order)",
            "tokens are permuted",
            "nothing was moved",
        ),
        wrong_inverse(
            "from-the-end",
            "reverses the inverse",
            "np.argsort(order)",
            "np.argsort(-order)",
            "tokens are reversed",
            "there is one token",
        ),
        wrong_inverse(
            "turned-around",
            "reverses the order",
            "np.argsort(order)",
            "order[::-1]",
            "tokens are permuted",
            "never",
        ),
    ),
    precisions=FLOATS,
    values={
        "order": lambda source, sizes: np.argsort(
            source.uniform((sizes["N"],), 0, 1), kind="stable"
        )
    },
)
