"""What is known about inpaint_blend: laws, probes, mistakes and a dialect."""

import numpy as np

from refimpl.op import Law, Op, Probe
from refimpl.ops.common import cosines, mistakes_of, sines
from refimpl.ops.editing import reference as text

LINE = "mask * sample + (1 - mask) * known"
EDGE = np.array([[[[0.0, 0.0, 0.25, 1.0]]]])


def all_new(f, sample, known, mask):
    yield f(sample, known, 0 * mask + 1), sample
    yield f(sample, known, 0 * mask), known


def exchanged(f, sample, known, mask):
    yield f(sample, known, mask), f(known, sample, 1 - mask)


def same(f, sample, known, mask):
    yield f(known, known, mask), known


def whole_masks_twice(f, sample, known, mask):
    whole = np.where(np.asarray(getattr(mask, "value", mask)) > 0.5, 1.0, 0.0)
    yield f(f(sample, known, whole), known, whole), f(sample, known, whole)


wrong = mistakes_of("inpaint_blend")


INPAINT_BLEND = Op(
    text.inpaint_blend,
    laws=(
        Law("a mask of 1 gives the sample, a mask of 0 the known picture", all_new),
        Law("the mask 1 - m exchanges the pictures", exchanged),
        Law("two equal pictures give that picture", same),
        Law("for a binary mask applying it twice is applying it once", whole_masks_twice),
    ),
    probes=(
        Probe(
            "an edge",
            lambda: {"sample": sines(1, 2, 3, 4), "known": 2 + cosines(1, 2, 3, 4), "mask": EDGE},
        ),
        Probe(
            "a mask for each picture",
            lambda: {
                "sample": sines(2, 1, 2, 2),
                "known": 2 + cosines(2, 1, 2, 2),
                "mask": np.array([1.0, 0.125]).reshape(2, 1, 1, 1),
            },
        ),
    ),
    mistakes=(
        wrong(
            "added-on-top",
            "adds the known part without masking the sample",
            LINE,
            "sample + (1 - mask) * known",
            "the known region is too bright",
            "everything is painted",
        ),
        wrong(
            "rounded-mask",
            "rounds the mask up to 1",
            LINE,
            "np.where(mask > 0, sample, known)",
            "hard edges, and known pixels beside them are lost",
            "the mask is 0 or 1 everywhere",
        ),
        wrong(
            "averaged",
            "averages sample and known picture inside the mask",
            LINE,
            "(mask * sample + (2 - mask) * known) / 2",
            "the old picture shines through",
            "nothing is painted",
        ),
        wrong(
            "squared-mask",
            "multiplies the sample by the mask twice",
            LINE,
            "mask * mask * sample + (1 - mask) * known",
            "dark edges",
            "the mask is 0 or 1 everywhere",
        ),
        wrong(
            "first-mask-for-all",
            "uses the first picture's mask for the whole batch",
            LINE,
            "mask[:1] * sample + (1 - mask[:1]) * known",
            "other pictures are repainted in the wrong place",
            "all have one mask",
        ),
        wrong(
            "left-and-right",
            "mirrors the mask",
            LINE,
            "mask[..., ::-1] * sample + (1 - mask[..., ::-1]) * known",
            "the wrong side is painted",
            "the mask is symmetric",
        ),
    ),
    dialects=(
        wrong(
            "one-is-kept",
            "keeps the picture where the mask is 1",
            LINE,
            "(1 - mask) * sample + mask * known",
            "the opposite mask, as RePaint has it",
            "the mask is one half everywhere",
        ),
    ),
)
