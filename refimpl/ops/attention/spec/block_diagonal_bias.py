"""What is known about block_diagonal_bias: laws, probes, mistakes and dialects."""

import numpy as np

from refimpl.op import Edit, Law, Op, Probe
from refimpl.ops.attention import reference as text
from refimpl.ops.attention.spec.shared import MASK, finite_mask
from refimpl.ops.common import FLOATS


def blocks_equation(f, segments):
    share = np.sum([np.outer(segments == s, segments == s) for s in set(segments.tolist())], axis=0)
    yield np.exp(f(segments)), share


def blocks_symmetric(f, segments):
    yield np.swapaxes(f(segments), 0, 1), f(segments)


def blocks_renumbered(f, segments):
    yield f(5 - 3 * segments), f(segments)


def blocks_reordered(f, segments):
    yield f(segments[::-1]), f(segments)[::-1, ::-1]


def blocks_of_one(f, segments):
    yield f(0 * segments), np.zeros((len(segments),) * 2)


def blocks_transitive(f, segments):
    seen = np.exp(f(segments))
    yield np.minimum(seen @ seen, 1), seen


def blocks_contiguous(f, segments):
    ordered = np.sort(segments)
    _, sizes = np.unique(ordered, return_counts=True)
    ends = np.cumsum(sizes)
    mask = np.full((len(segments),) * 2, -np.inf)
    for start, end in zip(ends - sizes, ends):
        mask[start:end, start:end] = 0
    yield f(ordered), mask


BLOCK_DIAGONAL_BIAS = Op(
    text.block_diagonal_bias,
    laws=(
        Law("is the sum of the segments' own blocks", blocks_equation),
        Law("is symmetric", blocks_symmetric),
        Law("renumbering the segments changes nothing", blocks_renumbered),
        Law("reordering the tokens reorders the mask", blocks_reordered),
        Law("one segment hides nothing", blocks_of_one),
        Law("a token that sees one token of a segment sees all of it", blocks_transitive),
        Law("is block-diagonal for contiguous segments", blocks_contiguous),
    ),
    probes=(
        Probe("three segments", lambda: {"segments": np.array([0, 0, 1, 1, 1, 2])}),
        Probe("a segment in two pieces", lambda: {"segments": np.array([4, -1, 4, 7])}),
    ),
    mistakes=(
        Edit(
            "block_diagonal_bias/causal-too",
            "hides later tokens of the same segment",
            "segments[:, None] == segments",
            "np.tril(segments[:, None] == segments)",
            effect="full attention within a segment becomes causal",
            invisible_when="every token is a segment of its own",
        ),
        Edit(
            "block_diagonal_bias/earlier-segments-seen",
            "shows the segments of smaller numbers as well",
            "segments[:, None] == segments",
            "segments[:, None] >= segments",
            effect="packed samples leak into later ones",
            invisible_when="there is one segment",
        ),
        Edit(
            "block_diagonal_bias/neighbours-seen",
            "shows the neighbouring segments as well",
            "segments[:, None] == segments",
            "np.abs(segments[:, None] - segments) <= 1",
            effect="packed samples leak into the next",
            invisible_when="there is one segment",
        ),
        Edit(
            "block_diagonal_bias/zero-is-padding",
            "hides the segment of number 0",
            "segments[:, None] == segments",
            "(segments[:, None] == segments) & (segments > 0)",
            effect="the first segment sees nothing",
            invisible_when="numbers start at 1",
        ),
        Edit(
            "block_diagonal_bias/inverted",
            "shows the other segments and hides the token's own",
            MASK,
            "-np.inf, 0.0)",
            effect="tokens see everything but their own segment",
            source="https://github.com/pytorch/pytorch/pull/170404",
        ),
        Edit(
            "block_diagonal_bias/dropped",
            "hides nothing",
            "segments[:, None] == segments",
            "segments[:, None] == segments[:, None]",
            effect="packed samples see each other",
            invisible_when="there is one segment",
        ),
    ),
    dialects=(finite_mask("block_diagonal_bias", "Qwen2-VL in eager mode", ""),),
    precisions=FLOATS,
)
