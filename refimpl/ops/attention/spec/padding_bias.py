"""What is known about padding_bias: laws, probes, mistakes and dialects."""

import numpy as np

from refimpl.op import Edit, Law, Op, Probe, values
from refimpl.ops.attention import reference as text
from refimpl.ops.attention.spec.shared import MASK, finite_mask
from refimpl.ops.common import FLOATS


def padding_equation(f, lengths, keys):
    for b, length in enumerate(lengths):
        row = np.concatenate([np.zeros(length), np.full(keys - length, -np.inf)])
        yield f(lengths, keys)[b, 0, 0], row


def padding_counts(f, lengths, keys):
    yield np.sum(np.exp(f(lengths, keys)), axis=(1, 2, 3)), lengths


def padding_of_none(f, lengths, keys):
    yield f(0 * lengths + keys, keys), np.zeros((len(lengths), 1, 1, keys))


def padding_cut_away(f, lengths, keys):
    told = np.broadcast_to(np.square(np.arange(keys))[:, None], (len(lengths), 1, keys, 1))
    asked = np.zeros((len(lengths), 1, 1, 1))
    mixed = text.attention(asked, 0.0 * told, 1.0 * told, values(f(lengths, keys)))
    total = np.round(6 * lengths * mixed[:, 0, 0, 0])
    yield total, (lengths - 1) * lengths * (2 * lengths - 1)


def padding_each_sample_alone(f, lengths, keys):
    yield f(lengths[::-1], keys), f(lengths, keys)[::-1]


def padding_in_a_longer_batch(f, lengths, keys):
    longer = f(lengths, keys + 2)
    yield longer[..., :keys], f(lengths, keys)
    yield np.exp(longer[..., keys:]), np.zeros((len(lengths), 1, 1, 2))


PADDING_BIAS = Op(
    text.padding_bias,
    laws=(
        Law("is length times 0, then -inf", padding_equation),
        Law("a sample sees as many keys as it has", padding_counts),
        Law("full samples hide nothing", padding_of_none),
        Law("attention to squares gives the mean of the real ones", padding_cut_away),
        Law("samples do not depend on each other", padding_each_sample_alone),
        Law("more padding hides more keys and nothing else", padding_in_a_longer_batch),
    ),
    probes=(
        Probe("lengths 0, 1, 3 and 4 of 4", lambda: {"lengths": np.array([0, 1, 3, 4]), "keys": 4}),
        Probe("as many samples as keys", lambda: {"lengths": np.array([2, 1, 3]), "keys": 3}),
    ),
    mistakes=(
        Edit(
            "padding_bias/one-too-many",
            "shows the first padding",
            "np.arange(keys) < lengths[:, None]",
            "np.arange(keys) <= lengths[:, None]",
            effect="one padding key leaks",
            invisible_when="nothing is padded",
        ),
        Edit(
            "padding_bias/left",
            "takes the last keys for the real ones, as with padding on the left",
            "np.arange(keys) < lengths[:, None]",
            "np.arange(keys)[::-1] < lengths[:, None]",
            effect="padding is seen in place of the first tokens",
            invisible_when="nothing is padded",
        ),
        Edit(
            "padding_bias/inverted",
            "hides what should be seen and shows the padding",
            MASK,
            "-np.inf, 0.0)",
            effect="a sample without padding sees nothing",
            source="https://github.com/pytorch/pytorch/pull/170404",
        ),
        Edit(
            "padding_bias/on-queries",
            "puts the keys on the axis of the queries",
            "[:, None, None, :]",
            "[:, None, :, None]",
            effect="queries that are padding see nothing, the others see the padding",
            source="https://github.com/hyunwoongko/transformer/pull/40",
            invisible_when="nothing is padded",
        ),
        Edit(
            "padding_bias/on-heads",
            "puts the samples on the axis of the heads",
            "[:, None, None, :]",
            "[None, :, None, :]",
            effect="each head gets the padding of one sample, or the shapes fail",
            source="https://github.com/ml-explore/mlx-lm/pull/1903",
            invisible_when="the batch is one",
        ),
        Edit(
            "padding_bias/longest-for-all",
            "hides only what is padding in the longest sample",
            "lengths[:, None]",
            "lengths[:, None] * 0 + np.max(lengths, initial=0)",
            effect="shorter samples see padding",
            invisible_when="all samples are as long",
        ),
        Edit(
            "padding_bias/tiny-fill",
            "hides by -1e-9 where -1e9 was meant",
            MASK,
            "0.0, -1e-9)",
            effect="nothing is hidden",
            source="https://github.com/Shujun-He/RibonanzaNet/issues/5",
        ),
        Edit(
            "padding_bias/ones-and-zeros",
            "returns 1 for a real key and 0 for padding, although the mask is added",
            MASK,
            "1.0, 0.0)",
            effect="real keys are favoured by a factor e, nothing is hidden",
            source="https://github.com/mlverse/torch/pull/1208",
        ),
    ),
    dialects=(
        Edit(
            "padding_bias/ten-thousand",
            "hides by -10000: BERT, LAVIS, the prior of diffusers",
            MASK,
            "0.0, -1e4)",
            effect="a sample of padding alone sees all; a score of 10000 shines through",
            source="https://github.com/huggingface/transformers/issues/10484",
        ),
        finite_mask(
            "padding_bias", "LDM, Flamingo, Hugging Face", "a sample of padding alone gets the mean"
        ),
    ),
    precisions=FLOATS,
)
