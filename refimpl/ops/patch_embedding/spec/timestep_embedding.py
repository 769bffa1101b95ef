"""What is known about timestep_embedding: laws, probes, mistakes and dialects."""

import numpy as np

from refimpl.op import Edit, Law, Op, Probe, values
from refimpl.ops.patch_embedding import reference as text
from refimpl.ops.patch_embedding.spec.shared import geometric_frequencies


def timestep_embedding_equation(f, t, half):
    angles = t[:, None] * geometric_frequencies(t, half)
    embedding = f(t, half)
    yield embedding[:, :half], np.cos(angles)
    yield embedding[:, half:], np.sin(angles)


def timestep_embedding_as_positions(f, t, half):
    pairs = text.sinusoidal_positions(t, half)
    yield f(t, half), np.concatenate((pairs[:, 1::2], pairs[:, 0::2]), axis=-1)


def timestep_embedding_length(f, t, half):
    embedding = f(t, half)
    yield np.sum(embedding * embedding, axis=-1), np.full(len(t), half)


def timestep_embedding_origin(f, t, half):
    ones_and_zeros = np.repeat([1.0, 0.0], half)
    yield f(0 * t, half), np.tile(ones_and_zeros, (len(t), 1))


def timestep_embedding_double_time(f, t, half):
    once, twice = f(t, half), f(2 * t, half)
    cosine, sine = once[:, :half], once[:, half:]
    yield twice[:, :half], cosine * cosine - sine * sine
    yield twice[:, half:], 2 * sine * cosine


def timestep_embedding_first_frequency(f, t, half):
    embedding = f(t, half)
    yield embedding[:, 0], np.cos(t)
    yield embedding[:, half], np.sin(t)


def timestep_embedding_refined(f, t, half):
    fine, coarse = f(t, 2 * half), f(t, half)
    yield fine[:, : 2 * half : 2], coarse[:, :half]
    yield fine[:, 2 * half :: 2], coarse[:, half:]


def timestep_embedding_slowed(f, t, half):
    if half % 4 == 0 and np.max(values(t), initial=0) > 0:  # a quarter on, frequencies / 10
        slow, embedding = f(t / 10, half), f(t, half)
        quarter = half // 4
        yield slow[:, : half - quarter], embedding[:, quarter:half]
        yield slow[:, half : 2 * half - quarter], embedding[:, half + quarter :]


TIMESTEP_EMBEDDING = Op(
    text.timestep_embedding,
    laws=(
        Law("frequencies fall by a constant ratio", timestep_embedding_equation),
        Law("is a permutation of sinusoidal positions", timestep_embedding_as_positions),
        Law("the squared length is half the width", timestep_embedding_length),
        Law("time zero has cosines 1 and sines 0", timestep_embedding_origin),
        Law("twice the time doubles every angle", timestep_embedding_double_time),
        Law("the first frequency is one", timestep_embedding_first_frequency),
        Law("twice as many frequencies contain these", timestep_embedding_refined),
        Law(
            "dividing the time by 10 shifts the angles by a quarter of the frequencies",
            timestep_embedding_slowed,
        ),
    ),
    probes=(
        Probe("t = 10, width 8", lambda: {"t": np.array([10.0]), "half": 4}),
        Probe(
            "the first and the last step",
            lambda: {"t": np.array([0.0, 999.0]), "half": 16},
        ),
        Probe("width 64", lambda: {"t": np.array([23.0, 24.0, 25.0]), "half": 32}),
        Probe("a rescaled time", lambda: {"t": np.array([250.25, 750.0]), "half": 8}),
    ),
    mistakes=(
        Edit(
            "timestep_embedding/half-minus-one",
            "divides by half the width minus one, so that the last exponent is 1",
            "np.arange(half) / half",
            "np.arange(half) / max(half - 1, 1)",
            effect="wrong conditioning, worse samples",
            source="https://github.com/kohya-ss/sd-scripts/pull/1187",
            invisible_when="the time is zero, or there is one frequency",
        ),
        Edit(
            "timestep_embedding/exponent-over-width",
            "divides the index by the width instead of its half",
            "np.arange(half) / half",
            "np.arange(half) / (2 * half)",
            effect="the lowest frequencies are missing",
            invisible_when="the time is zero, or there is one frequency",
        ),
        Edit(
            "timestep_embedding/rising-frequencies",
            "forgets the minus sign in the exponent",
            "np.exp(-log_base",
            "np.exp(log_base",
            effect="neighbouring times have unrelated embeddings",
            invisible_when="the time is zero, or there is one frequency",
        ),
        Edit(
            "timestep_embedding/unit-interval",
            "embeds times in [0, 1] without scaling them to steps",
            "t[:, None]",
            "t[:, None] / 1000",
            effect="the embedding is almost constant",
            source="https://github.com/ArchiMickey/Just-a-DiT/pull/9",
            invisible_when="the time is zero",
        ),
        Edit(
            "timestep_embedding/time-in-bfloat16",
            "casts the time to bfloat16 before it is embedded",
            "t[:, None]",
            "np.ldexp(np.rint(np.ldexp(np.frexp(t)[0], 8)), np.frexp(t)[1] - 8)[:, None]",
            effect="times above 256 lose their last bits: 999 is embedded as 1000",
            source="https://github.com/huggingface/diffusers/issues/9405",
            invisible_when="the time is a whole number up to 256",
        ),
        Edit(
            "timestep_embedding/counts-from-one",
            "counts t from one, as the papers do",
            "t[:, None]",
            "(t[:, None] + 1)",
            effect="the network is conditioned on the next, noisier time",
        ),
    ),
    dialects=(
        Edit(
            "timestep_embedding/sines-first",
            "puts sines before cosines: diffusers without flip_sin_to_cos",
            "(np.cos(angles), np.sin(angles))",
            "(np.sin(angles), np.cos(angles))",
            effect="the halves are exchanged",
            source="https://github.com/huggingface/diffusers/issues/3981",
        ),
        Edit(
            "timestep_embedding/ho",
            "puts sines before cosines; the last frequency is 1/10000",
            "/ half)  # E\n"
            "    angles = t[:, None] * frequencies  # B E\n"
            "    return np.concatenate((np.cos(angles), np.sin(angles)), axis=-1)",
            "/ max(half - 1, 1))\n"
            "    angles = t[:, None] * frequencies\n"
            "    return np.concatenate((np.sin(angles), np.cos(angles)), axis=-1)",
            effect="the halves are exchanged, frequencies slightly lower",
            source="https://github.com/hojonathanho/diffusion/issues/15",
        ),
        Edit(
            "timestep_embedding/interleaved",
            "puts every cosine beside its sine, as in the first Transformer",
            "np.concatenate((np.cos(angles), np.sin(angles)), axis=-1)",
            "np.reshape(np.stack((np.sin(angles), np.cos(angles)), axis=-1), (len(t), 2 * half))",
            effect="a permutation of the columns",
        ),
    ),
    precisions=("float64", "float32"),
)
